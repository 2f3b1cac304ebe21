"""Learner: a network, its methods, and everything they remember. It learns, predicts, is saved and opened."""

import copy
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from lifelong import evaluation
from lifelong.errors import Interrupted, MethodError, ScenarioError, TaskError, nearest
from lifelong.matrix import Matrix, empty_matrix, with_row, with_tasks
from lifelong.method import Method, check_methods
from lifelong.models.adopted import Adopted
from lifelong.models.heads import Heads, Network, seed_of
from lifelong.modes import RandomState, buffers_kept, evaluation_mode
from lifelong.optimizers import DEFAULT, OptimizerFactory, OptimizerState, SchedulerFactory, export_optimizer, restore_optimizer
from lifelong.progress import Progress, Stop, stop_on_interrupt
from lifelong.tasks import Batch, Examples, Name, Scenario, Stream, Task
from lifelong.theta import Theta
from lifelong.training import Position, Precision, Run, Training, fit

SAVE_SHARE = 20  # at least so many times the duration of a checkpoint passes until the next one


@dataclass
class Cost:
    """What the learner's life has cost so far."""

    train_seconds: float = 0.0
    evaluate_seconds: float = 0.0
    steps: int = 0


@dataclass(frozen=True)
class Unfinished:
    """A task in the middle of which training stopped, with all that is needed to go on."""

    task: str
    size: int
    training: Training
    position: Position
    optimizer: OptimizerState
    scheduler: dict[str, Any] | None
    scaler: dict[str, Any] | None


class Learner:
    """A network that learns task after task.

    Args:
        model: maps inputs (N, ...) to features (N, F); the learner adds the head. Or what `ll.adopt` made of a complete classifier.
            It is copied, never changed.
        methods: what is done against forgetting, in order; none is fine-tuning. They are copied, too.
        scenario: what is known at test time: "class" (which of all classes so far), "domain" (the same classes in every task) or
            "task" (which task it is: one head each).
        optimizer, epochs, steps, batch_size, scheduler, clip_norm, precision, reset_optimizer, workers: see `Training`.
        seed: of the order of examples, of memories, of sampled labels, of dropout and of new rows of the head. Not of the model's
            weights, which are taken as they are; the models of `ll.models` have a seed of their own.
        device: "cpu", "cuda", "mps", ...

    Attributes:
        theta: the parameters that are being trained, as one vector.
        tasks: names of the learned tasks, in order.
        matrix: R, as far as it was measured.
        cost: seconds of training and evaluation, and steps.

    >>> task = Task("sign", train=(torch.tensor([[-1.0], [1.0]]), ["minus", "plus"]))
    >>> learner = Learner(nn.Linear(1, 4), epochs=50)
    >>> learner.learn(task)
    >>> learner.predict(torch.tensor([[3.0], [-2.0]])).tolist()
    ['plus', 'minus']
    """

    def __init__(
        self,
        model: nn.Module,
        methods: Sequence[Method] = (),
        scenario: Scenario = "class",
        *,
        optimizer: OptimizerFactory = DEFAULT,
        epochs: int = 1,
        steps: int | None = None,
        batch_size: int = 32,
        seed: int = 0,
        device: str | torch.device = "cpu",
        scheduler: SchedulerFactory | None = None,
        clip_norm: float | None = None,
        precision: Precision = "float32",
        reset_optimizer: bool = True,
        workers: int = 0,
    ) -> None:
        if scenario not in ("task", "domain", "class"):
            raise ScenarioError(f"scenario is {scenario!r}; {nearest(str(scenario), ['task', 'domain', 'class'])}")
        if isinstance(model, Adopted) and scenario == "task":
            raise ScenarioError("an adopted classifier has one head for all its classes; use scenario='class' or 'domain'")
        check_methods(methods)
        self.scenario: Scenario = scenario
        self.seed, self.device = seed, torch.device(device)
        self.training = Training(optimizer, epochs, steps, batch_size, scheduler, clip_norm, precision, reset_optimizer, workers)
        self.model = copy.deepcopy(model).to(self.device)
        self.methods = [copy.deepcopy(method).to(self.device) for method in methods]
        self.theta = Theta()
        self.dormant: dict[str, dict[str, Tensor]] = {}
        self.tasks: list[str] = []
        self.journal: list[dict[str, Any]] = []
        self.matrix: Matrix = empty_matrix()
        self.cost = Cost()
        self.order = torch.Generator().manual_seed(seed_of(seed, "order"))
        self._generators = [torch.Generator().manual_seed(seed_of(seed, "method", i)) for i in range(len(self.methods))]
        self._random = RandomState(seed_of(seed, "dropout"), self.device)
        self._network: Network | None = None
        self._initial: dict[str, Tensor] | None = None
        self._run: Run | None = None
        self._examples: tuple[str, Examples] | None = None
        self._unfinished: Unfinished | None = None
        self._carried: OptimizerState | None = None

    # What methods may use.

    @property
    def network(self) -> Network:
        """The model with its heads."""
        if self._network is None:
            raise TaskError("this learner has not learned anything yet, so it has no head; call learn(task) first")
        return self._network

    @property
    def heads(self) -> Heads:
        """The output layer."""
        return self.network.heads

    @property
    def learning_rate(self) -> float:
        """The optimizer's current learning rate."""
        if self._run is None:
            raise MethodError("there is a learning rate only while a task is being learned")
        return float(self._run.optimizer.param_groups[0]["lr"])

    def generator(self, method: Method) -> torch.Generator:
        """The method's own source of random numbers, on the CPU; saved with the learner."""
        return self._generators[next(i for i, each in enumerate(self.methods) if each is method)]

    def examples_of(self, task: Task) -> Examples:
        """The task's training examples with labels as rows of their head."""
        if self._examples is None or self._examples[0] != task.name:
            self._examples = (task.name, self._in_rows(task, task.train))
        return self._examples[1]

    def trained(self) -> dict[str, nn.Parameter]:
        """The parameters that theta is made of in the current task, by name."""
        return dict(zip(self.theta.layout.shapes, self.theta.parameters, strict=True))

    def gradient(self, batch: Batch) -> Tensor:
        """The gradient (P,) of the mean loss on a batch; the current gradient and batch-norm statistics stay as they are."""
        with torch.enable_grad(), buffers_kept(self.network):
            loss = cross_entropy(self.network(batch.x.to(self.device), batch.head), batch.y.to(self.device))
            return self.theta.flatten(torch.autograd.grad(loss, self.theta.parameters, allow_unused=True))

    def restart(self) -> None:
        """Sets the network back to the learner's first weights, its heads to untrained ones."""
        if self._initial is None:
            raise MethodError("a method that calls learner.restart() must say so: restarts = True in its class")
        self.network.features.load_state_dict(self._initial)
        for head, layer in enumerate(self.heads.layers):
            layer.load_state_dict(self.heads.untrained(head).state_dict())

    def logits(self, x: Tensor, task: str | None) -> Tensor:
        """The network's outputs (N, C) in evaluation mode, in the order of `classes_of(task)`."""
        with evaluation_mode(self.network), torch.no_grad():
            logits: Tensor = self.network(x.to(self.device), self.heads.find(task))
            return logits

    # Learning.

    @property
    def in_progress(self) -> str | None:
        """The task in the middle of which training stopped, or None."""
        return None if self._unfinished is None else self._unfinished.task

    def learn(
        self,
        task: Task,
        *,
        checkpoint: str | Path | None = None,
        checkpoint_every: float = 60.0,
        evaluate: bool = True,
        progress: bool = False,
        **settings: Any,
    ) -> None:
        """Learns a task. Afterwards it is not needed again.

        Either the task is learned, or Ctrl-C stops it at a step's end to go on later, or an error leaves the learner as it was before.
        A learner that was stopped, or opened from a checkpoint, goes on when it is given the same task.

        Args:
            task: what to learn.
            checkpoint: folder to save the learner in: now and then, at Ctrl-C and at the end. None: nothing is saved.
            checkpoint_every: seconds between checkpoints inside the task; more where saving is slow. 0: after every step.
            evaluate: measure the task's own test set before and after, for the matrix.
            progress: show it on stderr.
            settings: training settings for this task only, see `Training`.

        Raises:
            TaskError: the task was learned before, is not the one in progress, or the network can't take its inputs.
            ScenarioError: its classes don't fit the scenario.
            NonFiniteError: the loss became NaN or infinite.
            Interrupted: Ctrl-C; the message says how to go on.
        """
        training = self.training.changed(settings)
        before = self._snapshot()
        try:
            with self._random, stop_on_interrupt() as stop:
                run = self._begin(task, training, evaluate) if self._unfinished is None else self._resume(task, training, bool(settings))
                folder = Path(checkpoint) if checkpoint is not None else None
                self._train(task, run, stop, checkpoint=folder, every=checkpoint_every, progress=progress)
                self._end(task, run, evaluate)
        except Interrupted:
            raise
        except BaseException:
            self._rollback(before)
            raise
        if checkpoint is not None:
            self.save(checkpoint)

    def _begin(self, task: Task, training: Training, evaluate: bool) -> Run:
        if task.name in self.tasks:
            raise TaskError(f"task {task.name!r} was learned already; give what is to be learned next a name of its own")
        self._probe(task)
        if evaluate and task.test is not None:
            self._record(len(self.tasks), [task])
            if self.tasks and self.scenario == "domain":
                self._record(0, [task], self._first_network())
        with self._timed("train_seconds"):
            self._admit(task)
            self._bind(self._wanted(task))
            for method in self.methods:
                method.begin_task(self, task)
            run = self._make_run(task, training)
            if self._carried is not None and not training.reset_optimizer:
                tensors, values = self._carried.carried_to(self.theta.layout, run.flat)
                groups = export_optimizer(run.optimizer)[1]["groups"]
                restore_optimizer(run.optimizer, tensors, {"values": values, "groups": groups})
        return run

    def _make_run(self, task: Task, training: Training) -> Run:
        examples = self.examples_of(task)
        for method in self.methods:
            examples = method.choose_examples(self, task, examples)
        return Run(self, training, examples, times=max(round(len(examples) / len(task.train)), 1))

    def _resume(self, task: Task, training: Training, changed: bool) -> Run:
        saved = self._unfinished
        assert saved is not None
        if task.name != saved.task or len(task.train) != saved.size:
            raise TaskError(
                f"this learner is in the middle of task {saved.task!r} with {saved.size} examples, and was given {task.name!r} "
                f"with {len(task.train)}; give it the same task to go on"
            )
        if changed and training != saved.training:
            raise TaskError(
                f"task {saved.task!r} was begun with other training settings; call learn without them, and it goes on with those"
            )
        self._examples = None
        run = self._make_run(task, saved.training)
        run.position = replace(saved.position)
        restore_optimizer(run.optimizer, saved.optimizer.tensors, saved.optimizer.rest)
        if run.scheduler is not None and saved.scheduler is not None:
            run.scheduler.load_state_dict(saved.scheduler)
        if run.scaler is not None and saved.scaler is not None:
            run.scaler.load_state_dict(saved.scaler)
        self._unfinished = None
        return run

    def _train(self, task: Task, run: Run, stop: Stop, *, checkpoint: Path | None, every: float, progress: bool) -> None:
        started, steps_before = time.perf_counter(), run.position.step
        due = time.monotonic() + every

        def account() -> None:
            nonlocal started, steps_before
            now = time.perf_counter()
            self.cost.train_seconds += now - started
            self.cost.steps += run.position.step - steps_before
            started, steps_before = now, run.position.step

        def pause() -> None:
            nonlocal due
            if not stop.requested and (checkpoint is None or time.monotonic() < due):
                return
            account()
            self._unfinished = self._frozen(task, run)
            if checkpoint is not None:
                saving = time.monotonic()
                self.save(checkpoint)
                due = time.monotonic() + max(every, SAVE_SHARE * (time.monotonic() - saving)) * (every > 0)
            if stop.requested:
                self._run = None
                raise Interrupted(_how_to_go_on(task.name, run, checkpoint))
            self._unfinished = None

        self._run = run
        title = f"task {task.name!r}"
        with Progress(title, run.total, progress) as shown:
            fit(self, run, title, pause, shown.update)
        account()

    def _end(self, task: Task, run: Run, evaluate: bool) -> None:
        with self._timed("train_seconds"):
            for method in reversed(self.methods):
                method.end_task(self, task)
        if not run.training.reset_optimizer:
            self._carried = OptimizerState(*export_optimizer(run.optimizer), self.theta.layout, run.flat)
        self._run, self._examples = None, None
        self.network.eval()
        self.tasks.append(task.name)
        if evaluate and task.test is not None:
            self._record(len(self.tasks), [task])

    def _frozen(self, task: Task, run: Run) -> Unfinished:
        tensors, rest = export_optimizer(run.optimizer)
        tensors = {name: tensor.clone() for name, tensor in tensors.items()}
        return Unfinished(
            task.name,
            len(task.train),
            run.training,
            replace(run.position),
            OptimizerState(tensors, rest, self.theta.layout, run.flat),
            run.scheduler.state_dict() if run.scheduler is not None else None,
            run.scaler.state_dict() if run.scaler is not None else None,
        )

    # The network's shape and theta.

    def _build(self, width: int) -> None:
        """Makes the heads, which needs the features' width, and attaches the methods."""
        heads = Heads(width, self.scenario, self.seed)
        if isinstance(self.model, Adopted):
            rows = zip(self.model.classes, self.model.head_weight.cpu(), self.model.head_bias.cpu(), strict=True)  # type: ignore[arg-type]
            heads.adopted = {name: (weight, bias) for name, weight, bias in rows}
        self._network = Network(self.model, heads)
        if self.scenario == "domain" or any(method.restarts for method in self.methods):
            self._initial = {name: value.clone() for name, value in self.model.state_dict().items()}
        for method in self.methods:
            method.attach(self)
        if isinstance(self.model, Adopted):
            self._grow({"operation": "add_classes", "task": "", "classes": list(self.model.classes)})

    def _admit(self, task: Task) -> None:
        known = self.heads.classes[self.heads.find(task.name)] if self.heads.knows(task.name, []) else []
        fresh = [name for name in task.classes if name not in set(known)]
        if fresh:
            self._grow({"operation": "add_classes", "task": task.name, "classes": fresh})

    def _grow(self, operation: dict[str, Any]) -> None:
        """Applies an operation that changes the network's shape, and writes it to the journal."""
        self.heads.admit(operation["task"], operation["classes"])
        self.heads.to(self.device)
        self.journal.append(operation)

    def _wanted(self, task: Task) -> dict[str, nn.Parameter]:
        """Parameters to train: the features, the task's head, and the other heads where a method rehearses earlier tasks."""
        every = any(method.rehearses() for method in self.methods)
        own = f"heads.layers.{self.heads.find(task.name)}."
        named = self.network.named_parameters()
        return {n: p for n, p in named if p.requires_grad and (every or not n.startswith("heads.") or n.startswith(own))}

    def _bind(self, named: dict[str, nn.Parameter]) -> None:
        """Theta becomes these parameters, and every method's per-parameter state follows."""
        old = self.theta.layout
        self.theta.bind(named)
        for i, method in enumerate(self.methods):
            for name, fill in method.declared.items():
                state = getattr(method, name).to(self.theta.value)
                dormant = self.dormant.setdefault(f"{i}.{name}", {})
                remapped = self.theta.layout.remap(
                    state if state.numel() else state.new_full((old.size,), fill), old, fill=fill, dormant=dormant
                )
                setattr(method, name, remapped)

    def _probe(self, task: Task) -> None:
        """Sends two examples through the network, so that inputs it can't take are an error before any work."""
        x = task.train.take(torch.arange(min(2, len(task.train))))
        what = f"task {task.name!r}: inputs of shape {('N', *x.shape[1:])} and {x.dtype}"
        with evaluation_mode(self.model), torch.no_grad():
            try:
                features = self.model(x.to(self.device))
            except (RuntimeError, TypeError, ValueError, IndexError) as error:
                raise TaskError(f"{type(self.model).__name__} can't take {what}: {error}") from error
        if not isinstance(features, Tensor) or features.ndim != 2:
            found = f"shape {tuple(features.shape)}" if isinstance(features, Tensor) else type(features).__name__
            raise TaskError(f"{type(self.model).__name__} must map {what} to features of shape (N, F); it gave {found}")
        if self._network is None:
            self._build(features.shape[1])
        elif features.shape[1] != self.heads.width:
            raise TaskError(
                f"{type(self.model).__name__} maps {what} to {features.shape[1]} features, and earlier ones to {self.heads.width}"
            )

    def _in_rows(self, task: Task, examples: Examples) -> Examples:
        head = self.heads.find(task.name)
        rows = self.heads.rows(head, task.classes)
        own = copy.copy(examples)
        own.head = head
        if rows.tolist() != list(range(len(rows))):
            own.y = rows[examples.y]
        return own

    # Predicting and evaluating.

    @property
    def classes(self) -> list[Name]:
        """Names of the classes learned so far, in the order of the outputs; in the scenario "task" of all heads in turn."""
        return [] if self._network is None else [name for names in self.heads.classes for name in names]

    def classes_of(self, task: str | None = None) -> list[Name]:
        """Names of the classes that a prediction chooses from, in the order of its scores."""
        return list(self.heads.classes[self.heads.find(task)])

    def predict_proba(self, x: Tensor | NDArray[Any], task: str | None = None) -> Tensor:
        """Probabilities (N, C) on the CPU, in the order of `classes_of(task)`.

        Args:
            x: inputs (N, ...), as the network takes them.
            task: which task they are from. Needed in the scenario "task".
        """
        return evaluation.scores(self, torch.as_tensor(x), task).softmax(1).cpu()

    def predict(self, x: Tensor | NDArray[Any], task: str | None = None) -> NDArray[Any]:
        """Class names (N,). Arguments as in `predict_proba`."""
        names = np.array(self.classes_of(task))
        chosen: NDArray[Any] = names[evaluation.scores(self, torch.as_tensor(x), task).argmax(1).cpu().numpy()]
        return chosen

    def evaluate(self, tasks: Stream | Iterable[Task]) -> Matrix:
        """Measures accuracy on the tasks' test sets now, and returns the matrix of everything measured so far.

        The measurements are the matrix's row n after n learned tasks. For classes that the learner has no outputs for it is NaN. Of an
        endless stream, the tasks learned so far and the next one are measured.
        """
        if isinstance(tasks, Stream) and tasks.endless:
            tasks = tasks[: len(self.tasks) + 1]  # type: ignore[assignment]
        tasks = list(tasks)
        untested = [task.name for task in tasks if task.test is None]
        if untested:
            raise TaskError(f"task {untested[0]!r} has no test set to evaluate on; give it one: Task(..., test=(x, y))")
        with self._random:
            for task in tasks if self._network is None else []:
                self._probe(task)
            self._record(len(self.tasks), tasks)
        return self.matrix

    def _record(self, row: int, tasks: Sequence[Task], network: Network | None = None) -> None:
        with self._timed("evaluate_seconds"):
            entries = {task.name: evaluation.accuracy(self, task, network) for task in tasks}
        names = [*self.tasks, *(n for n in self.matrix.tasks if n not in self.tasks)]
        self.matrix = with_row(with_tasks(self.matrix, names), row, entries)

    def _first_network(self) -> Network:
        """The network as it was before the first task, for row 0."""
        assert self._initial is not None
        network = copy.deepcopy(self.network)
        network.features.load_state_dict(self._initial)
        for head, layer in enumerate(network.heads.layers):
            layer.load_state_dict(network.heads.untrained(head).state_dict())
        return network

    # What it keeps, and where.

    def kept_bytes(self) -> int:
        """Bytes that the methods keep between tasks, beside the network."""
        dormant = sum(tensor.nbytes for part in self.dormant.values() for tensor in part.values())
        return dormant + sum(method.kept_bytes() for method in self.methods)

    def parameters_count(self) -> int:
        """Number of the network's parameters, heads included, and of networks that methods keep."""
        own = 0 if self._network is None else sum(parameter.numel() for parameter in self.network.parameters())
        return own + sum(method.parameters_kept() for method in self.methods)

    def save(self, path: str | Path) -> None:
        """Writes all of it to a folder; see `lifelong.store`."""
        from lifelong import store  # the store imports the learner

        store.save(self, Path(path))

    @staticmethod
    def open(
        path: str | Path,
        *,
        model: nn.Module | None = None,
        methods: Sequence[Method] | None = None,
        optimizer: OptimizerFactory | None = None,
        scheduler: SchedulerFactory | None = None,
        device: str | torch.device = "cpu",
    ) -> "Learner":
        """Reads a learner from a folder; see `lifelong.store`.

        Args:
            path: the folder.
            model: a network of the same shape, needed where it was not one of the library's; its weights don't matter.
            methods: methods with the same arguments, needed where one was not of the library.
            optimizer, scheduler: needed where they were not torch's own.
            device: where to put it.
        """
        from lifelong import store

        return store.load(Path(path), model=model, methods=methods, optimizer=optimizer, scheduler=scheduler, device=device)

    def _snapshot(self) -> dict[str, Any]:
        kept = ("theta", "dormant", "tasks", "journal", "methods", "_network", "model", "_initial", "cost")
        memo: dict[int, Any] = {}
        copies = {name: copy.deepcopy(getattr(self, name), memo) for name in kept}
        generators = [generator.get_state() for generator in (self.order, *self._generators)]
        shared = {name: getattr(self, name) for name in ("matrix", "_unfinished", "_carried")}
        return {"copies": copies, "shared": shared, "generators": generators, "random": dict(self._random.states)}

    def _rollback(self, before: dict[str, Any]) -> None:
        for name, value in {**before["copies"], **before["shared"]}.items():
            setattr(self, name, value)
        for generator, state in zip((self.order, *self._generators), before["generators"], strict=True):
            generator.set_state(state)
        self._random.states = before["random"]
        self._run, self._examples = None, None
        if self.theta.layout.size:
            named = dict(self.network.named_parameters())
            self.theta.bind({name: named[name] for name in self.theta.layout.shapes})

    @contextmanager
    def _timed(self, name: str) -> Iterator[None]:
        started = time.perf_counter()
        yield
        setattr(self.cost, name, asdict(self.cost)[name] + time.perf_counter() - started)


def _how_to_go_on(task: str, run: Run, checkpoint: Path | None) -> str:
    where = (
        f"saved in {checkpoint}. To go on: Learner.open({str(checkpoint)!r}).learn(task)"
        if checkpoint
        else "kept in memory. To go on: learn(task)"
    )
    return f"stopped in task {task!r} after step {run.position.step} of {run.total}, {where} with the same task"
