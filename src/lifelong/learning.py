"""The learning of one task: begun or gone on with, trained, ended."""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lifelong.errors import Interrupted, TaskError
from lifelong.evaluation import first_network, record, watch
from lifelong.optimizers import OptimizerState, export_optimizer, restore_optimizer
from lifelong.processes import check_together
from lifelong.progress import Progress, Stop
from lifelong.shape import admit, bind, probe, wanted
from lifelong.tasks import Task
from lifelong.training import Position, Run, Training, fit

if TYPE_CHECKING:
    from lifelong.learner import Learner

SAVE_SHARE = 20  # at least so many times the duration of a checkpoint passes until the next one


@dataclass(frozen=True)
class Pauses:
    """What happens between steps.

    Attributes:
        stop: whether Ctrl-C was pressed.
        checkpoint: folder to save in, every so many seconds. None: nothing is saved.
        watch: tasks to evaluate on, every so many steps.
    """

    stop: Stop
    checkpoint: Path | None
    checkpoint_every: float
    watch: tuple[Task, ...]
    watch_every: int


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


def begin(learner: "Learner", task: Task, training: Training, evaluate: bool) -> Run:
    """A task's boundary before its first step."""
    check_together(learner)
    if task.name in learner.tasks:
        raise TaskError(f"task {task.name!r} was learned already; give what is to be learned next a name of its own")
    probe(learner, task)
    if evaluate and task.test is not None:
        record(learner, len(learner.tasks), [task])
        if learner.tasks and learner.scenario != "task" and learner.heads.knows(task.name, task.classes):
            record(learner, 0, [task], first_network(learner))
    learner._task_training = training
    with learner._timed("train_seconds"):
        for method in learner.methods:
            method.prepare_task(learner, task)
        admit(learner, task)
        bind(learner, wanted(learner, task))
        for method in learner.methods:
            method.begin_task(learner, task)
        bind(learner, wanted(learner, task))  # they may have frozen or replaced parameters
        run = make_run(learner, task, training)
        if learner._carried is not None and not training.reset_optimizer:
            _take_over(learner, run)
    return run


def make_run(learner: "Learner", task: Task, training: Training) -> Run:
    """A run over the examples that the methods choose."""
    examples = learner.examples_of(task)
    for method in learner.methods:
        examples = method.choose_examples(learner, task, examples)
    return Run(learner, training, examples, times=max(round(len(examples) / len(task.train)), 1))


def resume(learner: "Learner", task: Task, settings: dict[str, Any]) -> Run:
    """The run of an unfinished task, where it stopped; with another optimizer, that one starts afresh."""
    saved = learner._unfinished
    assert saved is not None
    if task.name != saved.task or len(task.train) != saved.size:
        raise TaskError(
            f"this learner is in the middle of task {saved.task!r} with {saved.size} examples, and was given {task.name!r} "
            f"with {len(task.train)}; give it the same task to go on"
        )
    training, begun = saved.training.changed(settings), saved.training.described()
    changed = [name for name, value in training.described().items() if value != begun[name]]
    fixed = [name for name in changed if name not in ("optimizer", "clip_norm")]
    if fixed:
        raise TaskError(
            f"task {saved.task!r} was begun with {fixed[0]}={begun[fixed[0]]!r}, which can't be changed inside a task; "
            "call learn without it, and it goes on with that. Only optimizer and clip_norm may change"
        )
    learner._examples, learner._task_training = None, training
    run = make_run(learner, task, training)
    run.position = replace(saved.position)
    if "optimizer" not in changed:
        restore_optimizer(run.optimizer, saved.optimizer.tensors, saved.optimizer.rest)
        if run.scheduler is not None and saved.scheduler is not None:
            run.scheduler.load_state_dict(saved.scheduler)
    if run.scaler is not None and saved.scaler is not None:
        run.scaler.load_state_dict(saved.scaler)
    learner._unfinished = None
    return run


def train(learner: "Learner", task: Task, run: Run, pauses: Pauses, progress: bool) -> None:
    """Takes the steps that are left; between them, evaluates, saves and stops as it is asked to."""
    stop, checkpoint, every = pauses.stop, pauses.checkpoint, pauses.checkpoint_every
    started, steps_before = time.perf_counter(), run.position.step
    due = time.monotonic() + every

    def account() -> None:
        nonlocal started, steps_before
        now = time.perf_counter()
        learner.cost.train_seconds += now - started
        learner.cost.steps += run.position.step - steps_before
        started, steps_before = now, run.position.step

    def pause(look: Callable[[], None]) -> None:
        nonlocal due, started
        if pauses.watch and run.position.step % pauses.watch_every == 0:
            account()
            watch(learner, run.position.step, pauses.watch)
            started = time.perf_counter()
        if not stop.requested and (checkpoint is None or time.monotonic() < due):
            return
        look()  # no infinite weight is saved as a state to go on from
        account()
        learner._unfinished = frozen(learner, task, run)
        if checkpoint is not None:
            saving = time.monotonic()
            learner.save(checkpoint)
            due = time.monotonic() + max(every, SAVE_SHARE * (time.monotonic() - saving)) * (every > 0)
        if stop.requested:
            learner._run = None
            raise Interrupted(_how_to_go_on(task.name, run, checkpoint))
        learner._unfinished = None

    learner._run = run
    title = f"task {task.name!r}"
    with Progress(title, run.total, progress) as shown:
        fit(learner, run, title, pause, shown.update)
    account()


def next_round(learner: "Learner", task: Task, run: Run) -> Run | None:
    """A further round of training, when a method wants one; the optimizer goes on, also when the network has grown. None: no more."""
    asked = [method for method in learner.methods if method.overrides("another_round")]
    if not asked:
        return None
    learner._carried = _state_of(learner, run)
    with learner._timed("train_seconds"):
        for method in asked:
            settings = method.another_round(learner, task)
            if settings is not None:
                bind(learner, wanted(learner, task))  # a method may have frozen parameters
                following = make_run(learner, task, run.training.changed(settings))
                _take_over(learner, following)
                learner._task_training = following.training
                return following
    return None


def _state_of(learner: "Learner", run: Run) -> OptimizerState:
    return OptimizerState(*export_optimizer(run.optimizer), learner.theta.layout, run.flat)


def _take_over(learner: "Learner", run: Run) -> None:
    """The run's optimizer goes on with the state that the learner carries."""
    assert learner._carried is not None
    tensors, values = learner._carried.carried_to(learner.theta.layout, run.flat)
    restore_optimizer(run.optimizer, tensors, {"values": values, "groups": export_optimizer(run.optimizer)[1]["groups"]})


def end(learner: "Learner", task: Task, run: Run, evaluate: bool) -> None:
    """A task's boundary after its last step."""
    learner._carried = None if run.training.reset_optimizer else _state_of(learner, run)
    with learner._timed("train_seconds"):
        for method in reversed(learner.methods):
            method.end_task(learner, task)
    learner._run, learner._examples, learner._task_training = None, None, None
    learner.network.eval()
    learner.tasks.append(task.name)
    learner.sizes.append({"parameters": learner.parameters_count(), "kept_bytes": learner.kept_bytes()})
    if evaluate and task.test is not None:
        record(learner, len(learner.tasks), [task])


def frozen(learner: "Learner", task: Task, run: Run) -> Unfinished:
    """All that is needed to go on later."""
    tensors, rest = export_optimizer(run.optimizer)
    tensors = {name: tensor.clone() for name, tensor in tensors.items()}
    return Unfinished(
        task.name,
        len(task.train),
        run.training,
        replace(run.position),
        OptimizerState(tensors, rest, learner.theta.layout, run.flat),
        run.scheduler.state_dict() if run.scheduler is not None else None,
        run.scaler.state_dict() if run.scaler is not None else None,
    )


def _how_to_go_on(task: str, run: Run, checkpoint: Path | None) -> str:
    where = (
        f"saved in {checkpoint}. To go on: Learner.open({str(checkpoint)!r}).learn(task)"
        if checkpoint
        else "kept in memory. To go on: learn(task)"
    )
    return f"stopped in task {task!r} after step {run.position.step} of {run.total}, {where} with the same task"
