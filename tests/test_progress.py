import itertools
import signal
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor

from lifelong import progress
from lifelong.errors import Interrupted
from lifelong.learner import Learner
from lifelong.method import Method
from lifelong.methods import EWC, Replay
from lifelong.models import MLP
from lifelong.progress import Progress, stop_on_interrupt
from lifelong.tasks import Batch, Task
from toys import FEATURES, AfterStep, blobs, everything, same, sgd


class Clock:
    """Stands in for the time module: each look at it is `pace` seconds later."""

    def __init__(self, pace: float) -> None:
        self.times: Iterator[float] = itertools.count(100.0, pace)

    def monotonic(self) -> float:
        return next(self.times)


@pytest.fixture(autouse=True)
def _python_handles_interrupts() -> Iterator[None]:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


# Showing


def test_plain_lines_where_there_is_no_terminal(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "time", Clock(4.0))
    with Progress("task 'a'", 900, shown=True) as shown:
        for step in range(100, 1000, 100):
            shown.update(step, 2 / step)
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines() == [
        "task 'a': step 300 of 900, loss 0.007",
        "task 'a': step 600 of 900, loss 0.003",
        "task 'a': step 900 of 900, loss 0.002",
    ]


@pytest.mark.parametrize("terminal", [False, True])
def test_nothing_is_shown_unasked(terminal: bool, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "time", Clock(100.0))
    monkeypatch.setattr(sys.stderr, "isatty", lambda: terminal)
    with Progress("task 'a'", 900, shown=False) as shown:
        shown.update(100, 1.0)
    assert capsys.readouterr() == ("", "")


def test_a_bar_on_a_terminal(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "time", Clock(0.2))
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    with Progress("task 'a'", 900, shown=True) as shown:
        described = []
        for step in range(100, 600, 100):
            shown.update(step, 0.25)
            described.append((shown.bar.tasks[0].completed, shown.bar.tasks[0].description))
    assert [completed for completed, _ in described] == [0, 200, 200, 400, 400], "redrawn no more often than every 0.25 s"
    assert described[1][1] == "task 'a'  loss 0.250"
    assert "step" not in capsys.readouterr().err


def test_learn_shows_its_progress(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "time", Clock(20.0))
    learner = Learner(MLP(FEATURES, [5]), steps=100)
    learner.learn(blobs("pets"), progress=True)
    lines = capsys.readouterr().err.splitlines()
    assert [line.partition(", loss ")[0] for line in lines] == ["task 'pets': step 64 of 100", "task 'pets': step 100 of 100"]
    learner.learn(blobs("more"), progress=False)
    assert capsys.readouterr().err == ""


# Ctrl-C


def test_the_first_interrupt_is_noted_and_the_second_is_at_once() -> None:
    with stop_on_interrupt() as stop:
        assert not stop.requested
        signal.raise_signal(signal.SIGINT)
        assert stop.requested
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_the_handler_is_put_back_after_an_error() -> None:
    with pytest.raises(RuntimeError), stop_on_interrupt():
        assert signal.getsignal(signal.SIGINT) is not signal.default_int_handler
        raise RuntimeError
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_handler_of_the_users_own_stays() -> None:
    def own(number: int, frame: object) -> None:
        pass

    signal.signal(signal.SIGINT, own)
    with stop_on_interrupt() as stop:
        assert signal.getsignal(signal.SIGINT) is own
        signal.raise_signal(signal.SIGINT)
        assert not stop.requested
    assert signal.getsignal(signal.SIGINT) is own


def test_no_handler_is_installed_outside_the_main_thread() -> None:
    handlers: list[object] = []

    def learn() -> None:
        learner = Learner(MLP(FEATURES, [5]), [AfterStep(lambda learner: handlers.append(signal.getsignal(signal.SIGINT)))])
        learner.learn(blobs())
        handlers.append(learner.tasks)

    thread = threading.Thread(target=learn)
    thread.start()
    thread.join()
    assert handlers == [signal.default_int_handler] * 2 + [["first"]]


def press(learner: Learner) -> None:
    signal.raise_signal(signal.SIGINT)


class PressAt(Method):
    """Presses Ctrl-C so many times during one step of the second task, then never again."""

    def __init__(self, *, step: int = 3, times: int = 1) -> None:
        super().__init__()
        self.step, self.times = step, times
        self.register_buffer("taken", torch.tensor(0))

    taken: Tensor

    def mix(self, learner: Learner, batch: Batch) -> Batch:
        if learner.tasks:
            self.taken += 1
            if self.taken == self.step:
                for _ in range(self.times):
                    press(learner)
        return batch


def make(*methods: Method) -> Learner:
    return Learner(
        MLP(FEATURES, [8]),
        [EWC(strength=10.0, labels="sampled"), Replay(capacity=20), *methods],
        optimizer=sgd(0.1, momentum=0.9),
        epochs=3,
        batch_size=16,
    )


TASKS = [blobs(str(t), seed=t, classes=[2 * t, 2 * t + 1]) for t in range(3)]


def uninterrupted(step: int) -> Learner:
    learner = make(PressAt(step=step, times=0))
    for task in TASKS:
        learner.learn(task)
    return learner


@pytest.mark.parametrize("step", [1, 3, 4, 11, 12])
def test_learning_goes_on_bit_for_bit(step: int) -> None:
    """Steps 4 and 12 end a pass; 12 is the task's last."""
    learner = make(PressAt(step=step))
    learner.learn(TASKS[0])
    with pytest.raises(Interrupted) as caught:
        learner.learn(TASKS[1])
    assert str(caught.value) == f"stopped in task '1' after step {step} of 12, kept in memory. To go on: learn(task) with the same task"
    assert isinstance(caught.value, KeyboardInterrupt)
    assert learner.in_progress == "1"
    assert learner.tasks == ["0"]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    learner.predict(TASKS[0].train.x)  # looking at it in between changes nothing
    learner.learn(TASKS[1])
    assert learner.in_progress is None
    learner.learn(TASKS[2])
    assert same(everything(learner), everything(uninterrupted(step)))


@pytest.mark.parametrize("step", [3, 12])
def test_an_opened_checkpoint_goes_on_bit_for_bit(step: int, tmp_path: Path) -> None:
    learner = make(PressAt(step=step))
    learner.learn(TASKS[0])
    folder = tmp_path / "digits.life"
    with pytest.raises(Interrupted) as caught:
        learner.learn(TASKS[1], checkpoint=folder)
    assert str(caught.value) == (
        f"stopped in task '1' after step {step} of 12, saved in {folder}. "
        f"To go on: Learner.open({str(folder)!r}).learn(task) with the same task"
    )
    methods = [EWC(strength=10.0, labels="sampled"), Replay(capacity=20), PressAt(step=step)]
    opened = Learner.open(folder, methods=methods)
    assert opened.in_progress == "1"
    for task in TASKS[1:]:
        opened.learn(task)
    learner = uninterrupted(step)
    assert same(everything(opened), everything(learner))


def test_a_second_interrupt_is_at_once_and_takes_the_task_back() -> None:
    learner = make(PressAt(times=2))
    learner.learn(TASKS[0])
    before = everything(learner)
    with pytest.raises(KeyboardInterrupt) as caught:
        learner.learn(TASKS[1])
    assert not isinstance(caught.value, Interrupted)
    assert learner.tasks == ["0"]
    assert learner.in_progress is None
    assert same(everything(learner), before)


class PressAtEnd(Method):
    def end_task(self, learner: Learner, task: Task) -> None:
        if len(learner.tasks) == 1:
            press(learner)


@pytest.mark.parametrize("saved", [True, False])
def test_an_interrupt_at_the_tasks_end_is_not_lost(saved: bool, tmp_path: Path) -> None:
    learner = make(PressAtEnd())
    learner.learn(TASKS[0])
    with pytest.raises(Interrupted) as caught:
        learner.learn(TASKS[1], checkpoint=tmp_path / "a" if saved else None)
    where = f"saved in {tmp_path / 'a'}" if saved else "kept in memory"
    assert str(caught.value) == f"stopped when task '1' was learned, {where}. To go on: learn the next task"
    assert learner.tasks == ["0", "1"]
    assert learner.in_progress is None
    if saved:
        assert Learner.open(tmp_path / "a", methods=[EWC(strength=10.0, labels="sampled"), Replay(capacity=20), PressAtEnd()]).tasks == [
            "0",
            "1",
        ]


def test_an_error_after_going_on_takes_back_to_where_it_went_on() -> None:
    class Fail(Method):
        def after_step(self, learner: Learner) -> None:
            if len(learner.tasks) == 1 and learner._run is not None and learner._run.position.step == 6 and failing:
                raise RuntimeError("a method's own")

    failing = True
    learner = make(PressAt(step=3), Fail())
    learner.learn(TASKS[0])
    with pytest.raises(Interrupted):
        learner.learn(TASKS[1])
    for _ in range(2):
        with pytest.raises(RuntimeError, match="a method's own"):
            learner.learn(TASKS[1])
        assert learner.in_progress == "1"
    failing = False
    for task in TASKS[1:]:
        learner.learn(task)
    plain = make(PressAt(step=3, times=0), Fail())
    for task in TASKS:
        plain.learn(task)
    assert same(everything(learner), everything(plain))
