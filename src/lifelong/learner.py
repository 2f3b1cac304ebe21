"""Learner: a network, its methods, and everything they remember. It learns, predicts, is saved and opened."""

import copy
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from lifelong import adoption, evaluation, learning, prediction, reading, shape, snapshot
from lifelong.errors import NOTHING_LEARNED, Interrupted, MethodError, NonFiniteError, ScenarioError, TaskError, nearest
from lifelong.growth import Operation
from lifelong.matrix import Matrix, empty_matrix
from lifelong.method import Method, check_methods
from lifelong.models.adopted import Adopted
from lifelong.models.heads import Forward, Heads, Network, seed_of
from lifelong.modes import RandomState, buffers_kept, evaluation_mode
from lifelong.optimizers import DEFAULT, OptimizerFactory, OptimizerState, SchedulerFactory
from lifelong.processes import Processes
from lifelong.progress import stop_on_interrupt
from lifelong.tasks import Batch, Examples, Name, Scenario, Stream, Task
from lifelong.theta import Theta
from lifelong.training import Precision, Run, Training


@dataclass
class Cost:
    """What the learner's life has cost so far."""

    train_seconds: float = 0.0
    evaluate_seconds: float = 0.0
    steps: int = 0


class Learner:
    """A network that learns task after task.

    Args:
        model: maps inputs (N, ...) to features (N, F); the learner adds the head. Or what `ll.adopt` made of a complete classifier.
            It is copied, never changed.
        methods: what is done against forgetting, in order; none is fine-tuning. They are copied, too.
        scenario: what is known at test time: "class" (which of all classes so far), "domain" (the same classes in every task) or
            "task" (which task it is: one head each).
        classes: for the scenario "class": names that have outputs from the start, and so compete in training before a task brings them, as
            in protocols that know all classes beforehand. They are never predicted before. (): an output comes with its task.
        optimizer, epochs, steps, batch_size, scheduler, clip_norm, precision, reset_optimizer, workers, compile: see `Training`.
        seed: of the order of examples, of memories, of sampled labels, of dropout and of new rows of the head. Not of the model's
            weights, which are taken as they are; the models of `ll.models` have a seed of their own.
        device: "cpu", "cuda", "mps", ...

    Attributes:
        theta: the parameters that are being trained, as one vector.
        tasks: names of the learned tasks, in order.
        matrix: R, as far as it was measured.
        told: R where prediction is told the task, so that only its own classes compete; in the scenario "class" only.
        routed: R where prediction is not told the task and a method chooses it (`TaskGate`); in the scenario "task" only.
        chosen: how often the test inputs of each task, when they were last evaluated, were taken for which task.
        cost: seconds of training and evaluation, and steps.
        sizes: after each learned task the number of "parameters" and the "kept_bytes", as `parameters_count` and `kept_bytes` give them;
            a learner that an older version saved has only those of the tasks since.
        features: the current batch's (N, F), for `Method.loss`; None outside of it.
        processes: with which others this process trains; alone unless it is set, see `lifelong.processes`.
        fresh: how many of the current batch's examples, its first ones, are the task's own, not added by a method.

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
        classes: Sequence[Name] = (),
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
        compile: bool = False,
    ) -> None:
        if scenario not in ("task", "domain", "class"):
            raise ScenarioError(f"scenario is {scenario!r}; {nearest(str(scenario), ['task', 'domain', 'class'])}")
        if isinstance(model, Adopted) and scenario == "task":
            raise ScenarioError("an adopted classifier has one head for all its classes; use scenario='class' or 'domain'")
        if not isinstance(model, nn.Module):
            raise TypeError(f"model is {model!r}; expected a torch module from inputs to features, as in MLP(784, [100, 100])")
        if classes and (scenario != "class" or isinstance(model, Adopted)):
            raise ScenarioError("classes declares outputs for the scenario 'class' and a network that was not adopted; leave it out")
        check_methods(methods)
        seed = int(seed)  # numpy's integers are another word to `seed_of`, and no JSON
        self.scenario: Scenario = scenario
        self.seed, self.device = seed, torch.device(device)
        self.training = Training(optimizer, epochs, steps, batch_size, scheduler, clip_norm, precision, reset_optimizer, workers, compile)
        self.model = copy.deepcopy(model).to(self.device)
        self.methods = [copy.deepcopy(method).to(self.device) for method in methods]
        self.theta = Theta()
        self.dormant: dict[str, dict[str, Tensor]] = {}
        self.tasks: list[str] = []
        self.journal: list[dict[str, Any]] = []
        if classes:
            self.journal.append({"operation": "declare_classes", "task": "", "classes": list(reading.unique("declared", classes))})
        self.matrix: Matrix = empty_matrix()
        self.told: Matrix = empty_matrix()
        self.routed: Matrix = empty_matrix()
        self.chosen: dict[str, dict[str, int]] = {}
        self.watched: list[dict[str, Any]] = []
        self.sizes: list[dict[str, int]] = []
        self.cost = Cost()
        self.processes = Processes()
        self.order = torch.Generator().manual_seed(seed_of(seed, "order"))
        self._generators = [torch.Generator().manual_seed(seed_of(seed, "method", i)) for i in range(len(self.methods))]
        self._random = RandomState(seed_of(seed, "dropout"), self.device)
        self._network: Network | None = None
        self._initial: dict[str, Tensor] | None = None
        self._run: Run | None = None
        self._task_training: Training | None = None
        self.features: Tensor | None = None
        self.fresh = 0
        self._examples: tuple[str, Examples] | None = None
        self._unfinished: learning.Unfinished | None = None
        self._carried: OptimizerState | None = None
        if isinstance(self.model, Adopted):  # it predicts before it learns
            shape.build(self, self.model.head_weight.shape[1])  # type: ignore[arg-type, index]

    # What methods may use.

    @property
    def network(self) -> Network:
        """The model with its heads."""
        if self._network is None:
            raise TaskError(NOTHING_LEARNED)
        return self._network

    @property
    def heads(self) -> Heads:
        """The output layer."""
        return self.network.heads

    @property
    def adopted(self) -> bool:
        """Whether the network is an adopted classifier: then there is something to forget before the first task, too."""
        return isinstance(self.model, Adopted)

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
            self._examples = (task.name, shape.in_rows(self, task, task.train))
        return self._examples[1]

    def learned_rows(self, head: int) -> list[int]:
        """The rows of a head whose classes were learned before the current task, or adopted."""
        learned = {"", *self.tasks}
        operations = [each for each in self.journal if each["operation"] in ("add_classes", "add_head") and each["task"] in learned]
        names = {
            name for each in operations if self.scenario != "task" or self.heads.find(each["task"]) == head for name in each["classes"]
        }
        return [row for row, name in enumerate(self.heads.classes[head]) if name in names]

    def trained(self) -> dict[str, nn.Parameter]:
        """The parameters that theta is made of in the current task, by name."""
        return dict(zip(self.theta.layout.shapes, self.theta.parameters, strict=True))

    def gradient(self, batch: Batch, out: Tensor | None = None) -> Tensor:
        """The gradient (P,) of the mean loss on a batch; the current gradient and batch-norm statistics stay as they are.

        Args:
            out: a vector (P,) to write it to. None: a new one.
        """
        own, share = self.processes.share(batch)
        forward = Forward(self.network) if self._run is None else self._run.forward
        with torch.enable_grad(), buffers_kept(forward.buffers):
            loss = cross_entropy(forward.logits(forward.features(own.x.to(self.device)), own.head), own.y.to(self.device))
            gradients = torch.autograd.grad(loss, self.theta.parameters, allow_unused=True)
        gradient = self.theta.flatten(gradients, out)
        return gradient if self.processes.alone else self.processes.sum(gradient.mul_(share))

    def restart(self) -> None:
        """Sets the network back to the learner's first weights, its heads to untrained ones."""
        if self._initial is None or not any(method.restarts for method in self.methods):
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

    @property
    def task_training(self) -> Training:
        """The settings of the task that is being learned, or else the learner's."""
        return self._task_training or self.training

    @property
    def task_steps(self) -> int:
        """How many steps the task that is being learned takes in all."""
        if self._run is None:
            raise MethodError("there is a number of steps only while a task is being learned")
        return self._run.total

    @property
    def task_share(self) -> float:
        """How much of the current task's training is done, from 0 to 1; it may be asked for from another thread."""
        run = self._run
        return 0.0 if run is None else run.position.step / max(run.total, 1)  # a method may choose no examples

    def learn(
        self,
        task: Task,
        *,
        checkpoint: str | Path | None = None,
        checkpoint_every: float = 60.0,
        evaluate: bool = True,
        progress: bool = False,
        watch: Sequence[Task] = (),
        watch_every: int = 100,
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
            watch: tasks to evaluate on inside this task, every `watch_every` steps; see `evaluations`.
            settings: training settings for this task only, see `Training`. Going on in a task, only optimizer and clip_norm may change.

        Raises:
            TaskError: the task was learned before, is not the one in progress, or the network can't take its inputs.
            ScenarioError: its classes don't fit the scenario.
            NonFiniteError: the loss became NaN or infinite.
            Interrupted: Ctrl-C; the message says how to go on.
        """
        if not isinstance(task, Task):
            raise TaskError(f"learn was given a {type(task).__name__}; expected one Task, as in: for task in stream: learner.learn(task)")
        if not isinstance(watch_every, int) or watch_every < 1:
            raise ValueError(f"watch_every is {watch_every!r}; expected an integer >= 1")
        training = self.training.changed(settings)
        before = snapshot.taken(self)
        try:
            with self._random, stop_on_interrupt() as stop:
                if self._unfinished is None:
                    adoption.ask(self, task)
                    run = learning.begin(self, task, training, evaluate)
                else:
                    run = learning.resume(self, task, settings)
                folder = Path(checkpoint) if checkpoint is not None else None
                pauses = learning.Pauses(stop, folder, checkpoint_every, tuple(evaluation.tested(self, watch)), watch_every)
                following: Run | None = run
                while following is not None:
                    run = following
                    learning.train(self, task, run, pauses, progress)
                    following = learning.next_round(self, task, run)
                learning.end(self, task, run, evaluate)
        except Interrupted:
            raise
        except BaseException as error:
            snapshot.restore(self, before)
            if checkpoint is not None and isinstance(error, NonFiniteError):
                self.save(checkpoint)  # in place of a state of this task, which would only lead to the same end
            raise
        if checkpoint is not None:
            self.save(checkpoint)
        if stop.requested:  # after the last step, when only the task's end was left to do
            where = f"saved in {checkpoint}" if checkpoint is not None else "kept in memory"
            raise Interrupted(f"stopped when task {task.name!r} was learned, {where}. To go on: learn the next task")

    def remember(self, task: Task, *, evaluate: bool = True) -> None:
        """Takes a task in that an adopted classifier knows already, as if it had just been learned; the network is not trained.

        The methods take from its examples what they take at a task's end: kept examples, importances, a generator. It counts as learned.

        Args:
            task: some examples of classes that the learner knows; a few of each will do.
            evaluate: measure the task's own test set, for the matrix.

        Raises:
            TaskError: the network was not adopted, does not know one of the classes, or can't take the inputs; a task was learned under
                this name, or is in progress.
        """
        adoption.check_known(self, task)
        before = snapshot.taken(self)
        try:
            with self._random:
                adoption.remember(self, task, evaluate)
        except BaseException:
            snapshot.restore(self, before)
            raise

    def consolidate(self, x: Tensor | NDArray[Any], task: str | None = None) -> None:
        """Protects what the network does with unlabelled inputs, as if a task with them had ended; for methods that need no labels (MAS).

        Args:
            x: inputs (N, ...), as the network takes them.
            task: which task they are like. Needed in the scenario "task".

        Raises:
            TaskError: nothing was learned yet, a task is in progress, or the inputs are none, not finite or not what the network takes.
            MethodError: no method of this learner can use unlabelled inputs.
        """
        adoption.consolidate(self, x, task)

    # Predicting and evaluating.

    @property
    def classes(self) -> list[Name]:
        """Names of the classes learned so far, in the order of the outputs; in the scenario "task" of all heads in turn."""
        if self._network is None:
            return []
        return [name for names in self.heads.classes for name in names if name not in self.heads.waiting]

    def classes_of(self, task: str | None = None) -> list[Name]:
        """Names of the classes that a prediction chooses from, in the order of its scores."""
        return list(self.heads.classes[self.heads.find(task)])

    def predict_proba(self, x: Tensor | NDArray[Any], task: str | None = None) -> Tensor:
        """Probabilities (N, C) on the CPU, in the order of `classes_of(task)`.

        Args:
            x: inputs (N, ...), as the network takes them.
            task: which task they are from. Needed in the scenario "task"; for `predict`, unless a method chooses it (`TaskGate`).
        """
        return prediction.checked_scores(self, x, task).softmax(1).cpu()

    def predict(self, x: Tensor | NDArray[Any], task: str | None = None) -> NDArray[Any]:
        """Class names (N,). Arguments as in `predict_proba`."""
        return prediction.names(self, x, task)

    def predict_task(self, x: Tensor | NDArray[Any]) -> NDArray[Any]:
        """Names (N,) of the tasks that inputs are taken for.

        Args:
            x: inputs (N, ...), as the network takes them.

        Raises:
            MethodError: no method of this learner tells tasks apart.
            TaskError: nothing was learned yet, or the network can't take the inputs.
        """
        return prediction.tasks(self, x)

    def evaluate(self, tasks: Stream | Iterable[Task]) -> Matrix:
        """Measures accuracy on the tasks' test sets now, and returns the matrix of everything measured so far.

        The measurements are the matrix's row n after n learned tasks. For classes that the learner has no outputs for it is NaN. Of an
        endless stream, the tasks learned so far and the next one are measured.
        """
        tested: Iterable[Task] = evaluation.tested(self, tasks)
        with self._random:
            if self._network is None:
                tested = list(tested)
                for task in tested:
                    shape.probe(self, task)
            evaluation.record(self, len(self.tasks), tested)
        return self.matrix

    def evaluations(self) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """The evaluations inside tasks: accuracies (N, T) with columns in the order of `tasks`, then of others, and during (N,).

        They are what `average_anytime_accuracy`, `min_accuracy`, `worst_case_accuracy` and their like in `lifelong.matrix` take.
        """
        names = dict.fromkeys([*self.tasks, *(name for each in self.watched for name in each["accuracy"])])
        rows = [[each["accuracy"].get(name, np.nan) for name in names] for each in self.watched]
        return np.array(rows, dtype=np.float64).reshape(len(rows), len(names)), np.array(
            [each["during"] for each in self.watched], dtype=np.int64
        )

    # Its shape, what it keeps, and where.

    def grow(self, operation: Operation) -> None:
        """Changes the network's shape: theta, the optimizer's state and what methods keep follow, and it is written to the journal.

        Between tasks, or in `Method.prepare_task`, `Method.begin_task` and `Method.another_round`.

        Args:
            operation: from `lifelong.growth`, as in learner.grow(widen("layers.0", 200)).

        Raises:
            GrowthError: it can't be done; nothing was changed.
            TaskError: there is no network with heads yet, or a task is in progress.
        """
        if self._network is None:
            raise TaskError(NOTHING_LEARNED)
        if self._unfinished is not None:
            raise TaskError(f"task {self._unfinished.task!r} is in progress; grow when it is learned")
        if operation.get("seed", 0) is None:
            operation = {**operation, "seed": seed_of(self.seed, "grow", len(self.journal))}
        shape.grow(self, operation)

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

    @contextmanager
    def _timed(self, name: str) -> Iterator[None]:
        started = time.perf_counter()
        yield
        setattr(self.cost, name, asdict(self.cost)[name] + time.perf_counter() - started)
