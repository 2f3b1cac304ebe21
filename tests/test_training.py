import copy
import functools
import re
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.utils._python_dispatch import TorchDispatchMode

from lifelong import shape
from lifelong.errors import NonFiniteError
from lifelong.learner import Learner
from lifelong.method import Method
from lifelong.methods import EWC, L2, Replay
from lifelong.models import MLP
from lifelong.tasks import Batch, Examples, Task
from lifelong.training import Training
from toys import FEATURES, AfterStep, EditGradient, blobs, everything, same, sgd, weights

# Moments


class Recorder(Method):
    """Writes down every moment."""

    def __init__(self, log: list[str]) -> None:
        super().__init__()
        self.log = log

    def __deepcopy__(self, memo: object) -> "Recorder":
        return type(self)(self.log)

    def note(self, moment: str) -> None:
        self.log.append(f"{type(self).__name__}.{moment}")

    def attach(self, learner: Learner) -> None:
        self.note("attach")

    def begin_task(self, learner: Learner, task: Task) -> None:
        self.note("begin_task")

    def choose_examples(self, learner: Learner, task: Task, examples: Examples) -> Examples:
        self.note("choose_examples")
        return examples

    def mix(self, learner: Learner, batch: Batch) -> Batch:
        self.note("mix")
        return batch

    def loss(self, learner: Learner, batch: Batch, output: Tensor, loss: Tensor) -> Tensor:
        self.note("loss")
        return loss

    def edit_gradient(self, learner: Learner, batch: Batch) -> None:
        self.note("edit_gradient")

    def after_step(self, learner: Learner) -> None:
        self.note("after_step")

    def end_task(self, learner: Learner, task: Task) -> None:
        self.note("end_task")


class A(Recorder):
    pass


class B(Recorder):
    pass


def recorded(learner: Learner, *tasks: Task) -> list[str]:
    """What the learner's recorders wrote while it learned."""
    method = learner.methods[0]
    assert isinstance(method, Recorder)
    method.log.clear()
    for task in tasks:
        learner.learn(task)
    return method.log


def test_the_order_of_moments() -> None:
    log: list[str] = []
    learner = Learner(MLP(FEATURES, [4]), [A(log), B(log)], steps=2)
    both = ["begin_task", "choose_examples"]
    step = ["mix", "loss", "edit_gradient", "after_step"]
    got = recorded(learner, blobs("first"))
    expected = [f"{kind}.{moment}" for moment in ["attach", *both, *step, *step] for kind in "AB"]
    assert got == [*expected, "B.end_task", "A.end_task"]
    again = recorded(learner, blobs("second"))
    assert again == [*expected[2:], "B.end_task", "A.end_task"], "attached once"


def test_what_moments_return_is_handed_on() -> None:
    class Mixes(Method):
        def mix(self, learner: Learner, batch: Batch) -> Batch:
            return batch.joined(batch)

    class Sees(Method):
        def mix(self, learner: Learner, batch: Batch) -> Batch:
            sizes.append(len(batch))
            return batch

        def loss(self, learner: Learner, batch: Batch, output: Tensor, loss: Tensor) -> Tensor:
            sizes.append(len(output))
            return loss * 0

        def edit_gradient(self, learner: Learner, batch: Batch) -> None:
            sizes.append(len(batch))
            assert not learner.theta.gradient.any()

    sizes: list[int] = []
    learner = Learner(MLP(FEATURES, [4]), [Mixes(), Sees()], batch_size=60)
    learner.learn(blobs())
    assert sizes == [120, 120, 120]


class Weighing(Method):
    """Gives a batch weights."""

    def __init__(self, weigh: Callable[[int], Tensor | None]) -> None:
        super().__init__()
        self.weigh = weigh

    def mix(self, learner: Learner, batch: Batch) -> Batch:
        return Batch(batch.x, batch.y, batch.head, self.weigh(len(batch)))


class Losses(Method):
    """Compares the loss with the formula."""

    def __init__(self, seen: list[float]) -> None:
        super().__init__()
        self.seen = seen

    def __deepcopy__(self, memo: object) -> "Losses":
        return type(self)(self.seen)

    def loss(self, learner: Learner, batch: Batch, output: Tensor, loss: Tensor) -> Tensor:
        assert batch.weight is not None
        each = -output.log_softmax(1)[torch.arange(len(batch)), batch.y]
        assert torch.allclose(loss, (each * batch.weight).sum(), rtol=1e-5)
        self.seen.append(loss.item())
        return loss


@pytest.mark.parametrize("scenario", ["class", "task"])
def test_the_loss_is_the_weighted_sum(scenario: Any) -> None:
    seen: list[float] = []
    learner = Learner(MLP(FEATURES, [4]), [Replay(capacity=20), Weighing(lambda n: torch.arange(n) / n), Losses(seen)], scenario)
    for t in range(2):
        learner.learn(blobs(str(t), seed=t, classes=[3 * t, 3 * t + 1]))
    assert len(seen) == 4


def test_without_weights_the_loss_is_the_mean_bit_for_bit() -> None:
    """And equal weights give it up to rounding."""

    def trained(*methods: Method) -> Tensor:
        learner = Learner(MLP(FEATURES, [4]), methods, batch_size=16)
        learner.learn(blobs(), epochs=3)
        return learner.theta.value

    assert torch.equal(trained(Weighing(lambda n: None)), trained())
    assert torch.allclose(trained(Weighing(lambda n: torch.full((n,), 1 / n))), trained(), atol=1e-6)
    assert not torch.allclose(trained(Weighing(lambda n: torch.full((n,), 2 / n))), trained(), atol=1e-3)


def test_examples_of_weight_0_are_not_learned() -> None:
    """The first half alone, bit for bit up to the order in which a sum rounds."""
    task = blobs(size=40)

    class FirstHalf(Method):
        def mix(self, learner: Learner, batch: Batch) -> Batch:
            half = len(batch) // 2
            return Batch(batch.x[:half], batch.y[:half])

    half = Weighing(lambda n: torch.cat([torch.full((n // 2,), 2 / n), torch.zeros(n - n // 2)]))
    learners = [Learner(MLP(FEATURES, [4]), [method], batch_size=20) for method in (half, FirstHalf())]
    for learner in learners:
        learner.learn(task)
    assert torch.allclose(learners[0].theta.value, learners[1].theta.value, atol=1e-6)


def test_edits_happen_before_the_step_and_without_recording() -> None:
    grads = []

    def edit(learner: Learner) -> None:
        grads.append(torch.is_grad_enabled())
        learner.theta.gradient.zero_()

    learner = Learner(MLP(FEATURES, [4]), [EditGradient(edit)])
    before = weights(learner.model)
    learner.learn(blobs())
    assert grads == [False, False]
    assert same(weights(learner.network.features), before)


def test_moments_that_are_not_overridden_are_not_called(monkeypatch: pytest.MonkeyPatch) -> None:
    called: list[str] = []
    for moment in ("mix", "loss", "edit_gradient", "after_step"):
        monkeypatch.setattr(Method, moment, lambda *_, moment=moment: called.append(moment))
    Learner(MLP(FEATURES, [4]), [AfterStep(lambda learner: called.append("own"))], steps=3).learn(blobs())
    assert called == ["own"] * 3


# How long


def sizes_of(**settings: Any) -> tuple[list[int], Learner]:
    sizes: list[int] = []

    class Sizes(Method):
        def mix(self, learner: Learner, batch: Batch) -> Batch:
            sizes.append(len(batch))
            return batch

    learner = Learner(MLP(FEATURES, [4]), [Sizes()])
    learner.learn(blobs(size=10), **settings)
    return sizes, learner


@pytest.mark.parametrize(
    ("settings", "sizes"),
    [
        ({"batch_size": 4}, [4, 4, 2]),
        ({"batch_size": 5, "epochs": 2}, [5, 5, 5, 5]),
        ({"batch_size": 20, "epochs": 3}, [10, 10, 10]),
        ({"batch_size": 4, "epochs": 9, "steps": 2}, [4, 4]),
        ({"batch_size": 4, "steps": 7}, [4, 4, 2, 4, 4, 2, 4]),
    ],
)
def test_steps_epochs_and_the_last_smaller_batch(settings: dict[str, Any], sizes: list[int]) -> None:
    got, learner = sizes_of(**settings)
    assert got == sizes
    assert learner.cost.steps == len(sizes)


def test_every_pass_sees_every_example_once_in_another_order() -> None:
    seen: list[Tensor] = []

    class Looks(Method):
        def mix(self, learner: Learner, batch: Batch) -> Batch:
            seen.append(batch.x[:, 0])
            return batch

    task = blobs(size=20)
    Learner(MLP(FEATURES, [4]), [Looks()], epochs=3, batch_size=7).learn(task)
    passes = torch.split(torch.cat(seen), 20)
    for each in passes:
        assert each.sort().values.tolist() == task.train.x[:, 0].sort().values.tolist()
    assert not torch.equal(passes[0], passes[1])


def test_a_scheduler_is_stepped_once_an_epoch() -> None:
    rates: list[float] = []
    learner = Learner(
        MLP(FEATURES, [4]),
        [AfterStep(lambda learner: rates.append(learner.learning_rate))],
        scheduler=functools.partial(torch.optim.lr_scheduler.ExponentialLR, gamma=0.1),
    )
    learner.learn(blobs(size=10), epochs=3, batch_size=5)
    assert rates == pytest.approx([0.1, 0.1, 0.01, 0.01, 0.001, 0.001])
    rates.clear()
    learner.learn(blobs("second"), steps=1)
    assert rates == [0.1], "each task starts anew"


# The step, against torch


def by_hand(learner: Learner, task: Task, step: Callable[[nn.Module, torch.optim.Optimizer, Tensor, Tensor], None]) -> dict[str, Tensor]:
    """Weights after a pass of a hand-written loop over batches of 16, from the learner's present state."""
    shape.probe(learner, task)
    learner.heads.admit(task.name, task.classes)
    network, order = copy.deepcopy(learner.network), copy.deepcopy(learner.order)
    optimizer = learner.training.optimizer(network.parameters())
    for positions in torch.split(torch.randperm(len(task.train), generator=order), 16):
        optimizer.zero_grad()
        step(network, optimizer, task.train.x[positions], task.train.y[positions])
    return weights(network)


@pytest.mark.parametrize("optimizer", [sgd(1.0), sgd(1.0, momentum=0.9), functools.partial(torch.optim.Adam, lr=0.1)])
@pytest.mark.parametrize("norm", [1e-3, 0.5, 1e6])
def test_clipping_is_torchs(optimizer: Any, norm: float) -> None:
    def step(network: nn.Module, optimizer: torch.optim.Optimizer, x: Tensor, y: Tensor) -> None:
        cross_entropy(network(x), y).backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(network.parameters(), norm)
        optimizer.step()

    task = blobs()
    learner = Learner(MLP(FEATURES, [4]), optimizer=optimizer, batch_size=16, clip_norm=norm)
    expected = by_hand(learner, task, step)
    learner.learn(task)
    got = weights(learner.network)
    assert all(torch.allclose(got[name], expected[name], rtol=1e-4, atol=1e-6) for name in expected)


def test_clipping_comes_after_the_methods_edits() -> None:
    class Loud(Method):
        def edit_gradient(self, learner: Learner, batch: Batch) -> None:
            learner.theta.gradient.mul_(1000)

    before: list[Tensor] = []

    class Before(Method):
        def begin_task(self, learner: Learner, task: Task) -> None:
            before.append(learner.theta.value.clone())

    learner = Learner(MLP(FEATURES, [4]), [Before(), Loud()], optimizer=sgd(1.0), clip_norm=0.5, steps=1)
    learner.learn(blobs())
    assert float((learner.theta.value - before[0]).norm()) == pytest.approx(0.5, rel=1e-3)


@pytest.mark.parametrize("precision", ["bfloat16", "bf16"])
def test_bfloat16_is_autocast(precision: Any) -> None:
    def step(network: nn.Module, optimizer: torch.optim.Optimizer, x: Tensor, y: Tensor) -> None:
        with torch.autocast("cpu", torch.bfloat16):
            loss = cross_entropy(network(x), y)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()

    task = blobs()
    learner = Learner(MLP(FEATURES, [4]), batch_size=16, precision=precision)
    assert learner.training.precision == "bfloat16"
    expected = by_hand(learner, task, step)
    learner.learn(task)
    assert same(weights(learner.network), expected)
    plain = Learner(MLP(FEATURES, [4]), batch_size=16)
    plain.learn(task)
    assert not same(weights(plain.network), expected)
    assert all(value.dtype is torch.float32 for value in weights(learner.network).values())


@pytest.mark.parametrize("optimizer", [sgd(0.1), sgd(0.1, momentum=0.9)])
def test_float16_scales_the_loss(optimizer: Any) -> None:
    """Close to float32: gradients that were not unscaled before the step would be 65536 times too large."""
    got = {}
    for precision in ("float32", "float16"):
        learner = Learner(MLP(FEATURES, [4]), [L2(strength=0.1, step="additive")], scenario="domain", optimizer=optimizer, clip_norm=10.0)
        for t in range(2):
            learner.learn(blobs(str(t), seed=t), precision=precision)
        got[precision] = learner.theta.value.clone()
    assert torch.allclose(got["float16"], got["float32"], atol=0.02)


def test_weights_lose_no_precision_to_autocast() -> None:
    """The losses are summed in float32, as their mean is: a sum in bfloat16 would have three digits."""
    losses: list[Tensor] = []

    class Sees(Method):
        def loss(self, learner: Learner, batch: Batch, output: Tensor, loss: Tensor) -> Tensor:
            losses.append(loss.detach())
            return loss

    for methods in ([Sees()], [Weighing(lambda n: torch.full((n,), 1 / n)), Sees()]):
        Learner(MLP(FEATURES, [4]), methods, batch_size=60, precision="bfloat16").learn(blobs())
    assert {loss.dtype for loss in losses} == {torch.float32}
    assert torch.allclose(losses[0], losses[1], rtol=1e-6)


def test_a_gradient_that_overflows_reaches_no_method() -> None:
    """float16 skips such a step; what a method would remember of it, infinity times nothing, would never go away."""
    finite: list[bool] = []
    moved: list[bool] = []
    before: list[Tensor] = []

    def edit(learner: Learner) -> None:
        finite.append(bool(learner.theta.gradient.isfinite().all()))
        before.append(learner.theta.value.clone())

    steps = [EditGradient(edit), AfterStep(lambda learner: moved.append(not torch.equal(before[-1], learner.theta.value)))]
    learner = Learner(MLP(FEATURES, [4]), steps, precision="float16", batch_size=10, optimizer=sgd(1e-5))
    learner.learn(blobs(transform=lambda x: 300 * x), epochs=5)
    assert all(finite)
    assert not all(moved), "the first scaled losses overflow"
    assert any(moved)


# Losses that are not finite


def make(*methods: Method, **settings: Any) -> Learner:
    return Learner(MLP(FEATURES, [8]), methods, scenario="domain", optimizer=sgd(0.1, momentum=0.9), batch_size=10, **settings)


@pytest.mark.parametrize("reset", [True, False])
@pytest.mark.parametrize("evaluate", [True, False])
def test_training_that_diverges_never_happened(reset: bool, evaluate: bool) -> None:
    def methods() -> list[Method]:
        return [EWC(strength=1e-25, labels="sampled"), Replay(capacity=20)]  # a pull too weak to hold what diverges

    def learned(diverges: bool) -> Learner:
        learner = make(*methods(), reset_optimizer=reset, epochs=3)
        learner.learn(blobs("first"))
        before = everything(learner)
        if diverges:
            for task in (blobs("second", seed=1), blobs("third", seed=2)):
                with pytest.raises(NonFiniteError):
                    learner.learn(task, optimizer=sgd(1e20, momentum=0.9), evaluate=evaluate)
                assert same(everything(learner), before)
        assert learner.tasks == ["first"]
        for t in range(2):
            learner.learn(blobs(str(t), seed=3 + t))
        return learner

    assert same(everything(learned(True)), everything(learned(False)))


def test_diverging_in_the_first_task() -> None:
    learner = make(epochs=3)
    with pytest.raises(NonFiniteError):
        learner.learn(blobs("first"), optimizer=sgd(1e20))
    learner.learn(blobs("first"))
    plain = make(epochs=3)
    plain.learn(blobs("first"))
    assert same(everything(learner), everything(plain))


def test_carried_state_of_adam_is_not_touched_by_a_task_that_failed() -> None:
    def learned(diverges: bool) -> Learner:
        adam = functools.partial(torch.optim.Adam, lr=0.01)
        learner = Learner(MLP(FEATURES, [8]), scenario="domain", optimizer=adam, reset_optimizer=False)
        learner.learn(blobs("first"))
        if diverges:
            with pytest.raises(NonFiniteError):
                learner.learn(blobs("bad"), optimizer=functools.partial(torch.optim.Adam, lr=1e30), epochs=5)
        learner.learn(blobs("second", seed=1))
        return learner

    assert same(weights(learned(True).network), weights(learned(False).network))


class Spoil(Method):
    """Makes the loss of one step NaN."""

    def __init__(self, *, step: int = 1, strength: float = 0.5) -> None:
        super().__init__()
        self.step, self.strength = step, strength
        self.steps = 0

    def loss(self, learner: Learner, batch: Batch, output: Tensor, loss: Tensor) -> Tensor:
        self.steps += 1
        return loss * float("nan") if self.steps == self.step else loss


@pytest.mark.parametrize("step", [1, 5, 63, 64, 65, 130, 150])
def test_the_error_names_task_step_method_and_setting(step: int) -> None:
    learner = make(Spoil(step=step), steps=150)
    with pytest.raises(NonFiniteError) as caught:
        learner.learn(blobs("pets"))
    assert str(caught.value) == (
        f"task 'pets': the loss became nan at step {step} of 150, training with Spoil. "
        "Nothing of this task was kept, and what was learned before it is intact. "
        "Lower the learning rate 0.1 or Spoil's strength 0.5, or set clip_norm"
    )


def test_without_methods_it_is_fine_tuning() -> None:
    with pytest.raises(NonFiniteError, match=re.escape("training with fine-tuning. Nothing of this task")):
        make(steps=10).learn(blobs(), optimizer=sgd(1e30))


def test_weights_that_the_last_step_made_infinite() -> None:
    learner = make(EditGradient(lambda learner: learner.theta.gradient.mul_(1e20)))
    with pytest.raises(NonFiniteError, match="task 'first': the weights became infinite at step 1 of 1, training with EditGradient"):
        learner.learn(blobs(), steps=1, optimizer=sgd(1e30))
    assert learner.tasks == []


def test_a_checkpoint_holds_no_state_that_diverged(tmp_path: Path) -> None:
    learner = make()
    learner.learn(blobs("first"), checkpoint=tmp_path / "a")
    before = everything(learner)
    with pytest.raises(NonFiniteError, match="at step 3 of 6"):
        learner.learn(blobs("second", seed=1), checkpoint=tmp_path / "a", checkpoint_every=0, optimizer=sgd(1e12))
    assert same(everything(learner), before)
    opened = Learner.open(tmp_path / "a")
    assert opened.in_progress is None
    assert opened.tasks == ["first"]
    assert same(everything(opened), before)


# Settings


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"epochs": 0}, "epochs is 0; expected an integer >= 1"),
        ({"epochs": 1.5}, "epochs is 1.5; expected an integer >= 1"),
        ({"steps": 0}, "steps is 0; expected an integer >= 1"),
        ({"batch_size": -3}, "batch_size is -3; expected an integer >= 1"),
        ({"batch_size": None}, "batch_size is None; expected an integer >= 1"),
        ({"workers": -1}, "workers is -1; expected an integer >= 0"),
        ({"clip_norm": 0}, "clip_norm is 0; expected a number > 0, or None for no clipping"),
        ({"clip_norm": float("nan")}, "clip_norm is nan; expected a number > 0, or None for no clipping"),
        ({"precision": "half"}, "precision is 'half'; expected 'float32', 'bfloat16', 'bf16' or 'float16'"),
        ({"optimizer": "sgd"}, "optimizer is 'sgd'; expected something to call, as functools.partial(torch.optim.SGD, lr=0.1)"),
        ({"optimizer": None}, "optimizer is None; expected something to call, as functools.partial(torch.optim.SGD, lr=0.1)"),
        (
            {"scheduler": "step"},
            "scheduler is 'step'; expected something to call, as functools.partial(torch.optim.lr_scheduler.StepLR, step_size=10)",
        ),
    ],
)
def test_wrong_settings(settings: dict[str, Any], text: str) -> None:
    learner = make()
    with pytest.raises(ValueError, match=re.escape(text)):
        Training(**settings)
    with pytest.raises(ValueError, match=re.escape(text)):
        learner.learn(blobs(), **settings)
    assert learner.tasks == []


def test_an_unknown_setting() -> None:
    with pytest.raises(TypeError) as caught:
        make().learn(blobs(), epoch=2)
    assert str(caught.value).startswith("learn got an unknown setting 'epoch'; did you mean 'epochs'? Known: batch_size, clip_norm")


def test_settings_are_for_one_task() -> None:
    learner = make()
    learner.learn(blobs("first"), epochs=5)
    assert learner.cost.steps == 30
    learner.learn(blobs("second"))
    assert learner.cost.steps == 36


# What a step costs


class Counting(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts torch's operators."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.counts = Counter[str]()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.counts[str(func)] += 1
        return func(*args, **(kwargs or {}))


def calls_of(work: Callable[[], object]) -> int:
    """Python functions called in some work."""
    calls = 0

    def count(frame: FrameType, event: str, argument: object) -> None:
        nonlocal calls
        calls += event == "call"

    sys.setprofile(count)
    try:
        work()
    finally:
        sys.setprofile(None)
    return calls


def operators_of(work: Callable[[], object]) -> int:
    with Counting() as counting:
        work()
    return sum(counting.counts.values())


def a_step(count: Callable[[Callable[[], object]], int], *methods: Method, optimizer: Any) -> float:
    """The count for one step of a second task, MLP 784-100-100-10 at batch 10, over two windows of 64 steps."""
    generator = torch.Generator().manual_seed(0)
    x, y = torch.rand(1280, 784, generator=generator), torch.arange(1280) % 10
    counts = []
    for steps in (128, 256):
        learner = Learner(MLP(784, [100, 100]), methods, scenario="domain", batch_size=10, optimizer=optimizer)
        learner.learn(Task("first", (x[:100], y[:100]), classes=range(10)), evaluate=False)
        counts.append(count(functools.partial(learner.learn, Task("second", (x, y), classes=range(10)), evaluate=False, steps=steps)))
    return (counts[1] - counts[0]) / 128


BUDGETS: dict[str, tuple[Callable[[], list[Method]], Any, int, int]] = {
    "fine-tuning": (list, sgd(0.1), 67, 57),
    "fine-tuning, momentum": (list, sgd(0.1, momentum=0.9), 80, 55),
    "l2": (lambda: [L2(strength=0.1)], sgd(0.1), 69, 58),
    "ewc": (lambda: [EWC(strength=1.0, examples=10)], sgd(0.1), 69, 58),
    "ewc, additive": (lambda: [EWC(strength=1.0, examples=10, step="additive")], sgd(0.1), 84, 60),
}


@pytest.mark.parametrize("name", BUDGETS)
def test_a_step_does_not_grow(name: str) -> None:
    """The budgets are what was counted when they were written, and a tenth more."""
    methods, optimizer, calls, operators = BUDGETS[name]
    assert a_step(calls_of, *methods(), optimizer=optimizer) <= calls * 1.1
    assert a_step(operators_of, *methods(), optimizer=optimizer) <= operators * 1.1
