import functools
import re
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from lifelong.errors import MethodError, NonFiniteError
from lifelong.learner import Learner
from lifelong.method import Method
from lifelong.methods import EWC, L2, MAS, SI, OnlineEWC
from lifelong.models import MLP
from lifelong.quadratic import QuadraticPenalty, Step
from lifelong.tasks import Batch, Task
from toys import FEATURES, blobs, same, sgd, weights

SIZE = 40


class Given(QuadraticPenalty):
    """Importances that are given one after the other."""

    def __init__(self, *, importances: Sequence[Tensor] = (), strength: float = 1.0, step: Step = "implicit") -> None:
        super().__init__(strength=strength, step=step)
        self.importances = list(importances)

    def estimate(self, learner: Learner, task: Task) -> Tensor:
        return self.importances.pop(0)


class Vector:
    """What a quadratic penalty sees of a learner: theta, a learning rate and how many tasks were learned."""

    def __init__(self, size: int = SIZE, rate: float = 0.1) -> None:
        self.theta = self
        self.value, self.gradient = torch.zeros(size), torch.zeros(size)
        self.learning_rate = rate
        self.tasks: list[str] = []
        self.adopted = False


TASK: Any = None
BATCH: Any = None


def consolidate(method: QuadraticPenalty, learner: Any, tasks: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Importances and parameters (tasks, SIZE) of so many tasks' ends."""
    generator = torch.Generator().manual_seed(seed)
    importances = torch.rand(tasks, SIZE, generator=generator) ** 4 * 10.0 ** torch.randint(-4, 3, (tasks, 1), generator=generator)
    importances[:, 0] = 0  # an entry that never mattered
    importances[: tasks // 2, 1] = 0  # and one that mattered late
    solutions = torch.randn(tasks, SIZE, generator=generator)
    method.importance = method.center = torch.zeros(SIZE)
    for importance, solution in zip(importances, solutions, strict=True):
        learner.value.copy_(solution)
        assert isinstance(method, Given)
        method.importances.append(importance.clone())
        method.end_task(learner, TASK)
        learner.tasks.append("learned")
    return importances, solutions


def test_the_running_quadratic_has_the_gradient_of_the_sum_of_penalties() -> None:
    learner: Any = Vector()
    method = Given(step="additive", strength=3.0)
    importances, solutions = consolidate(method, learner, 50)
    for seed in range(5):
        theta = torch.randn(SIZE, generator=torch.Generator().manual_seed(100 + seed))
        learner.value.copy_(theta)
        learner.gradient.zero_()
        method.edit_gradient(learner, BATCH)
        expected = 3.0 * (importances.double() * (theta.double() - solutions.double())).sum(0)
        assert (learner.gradient - expected).norm() <= 1e-5 * expected.norm()


def test_an_entry_without_importance_is_never_pulled() -> None:
    learner: Any = Vector()
    for step in ("additive", "implicit"):
        method = Given(step=step, strength=3.0)
        consolidate(method, learner, 3)
        learner.value.fill_(5.0)
        learner.gradient.zero_()
        method.edit_gradient(learner, BATCH) if step == "additive" else method.after_step(learner)
        assert learner.value[0] == 5
        assert learner.gradient[0] == 0


def test_the_additive_gradient_is_the_penaltys_by_finite_differences() -> None:
    learner: Any = Vector()
    method = Given(step="additive", strength=0.7)
    importances, solutions = consolidate(method, learner, 4)
    theta = torch.randn(SIZE, dtype=torch.float64)

    def penalty(theta: Tensor) -> Tensor:
        return 0.7 / 2 * (importances.double() * (theta - solutions.double()) ** 2).sum()

    learner.value.copy_(theta)
    learner.gradient.fill_(1.0)
    method.edit_gradient(learner, BATCH)
    for i in range(SIZE):
        nudge = torch.zeros(SIZE, dtype=torch.float64)
        nudge[i] = 1e-4
        difference = (penalty(theta + nudge) - penalty(theta - nudge)) / 2e-4
        assert float(learner.gradient[i]) - 1 == pytest.approx(float(difference), rel=1e-3, abs=1e-4)


@pytest.mark.parametrize("strength", [1e-3, 1.0, 1e3, 1e6])
def test_the_implicit_step_is_the_minimiser_of_the_proximal_problem(strength: float) -> None:
    """argmin_u |u - theta|^2 / (2 rate) + strength/2 sum_t F_t (u - theta*_t)^2, by a Newton step in float64 from far away."""
    learner: Any = Vector(rate=0.05)
    method = Given(strength=strength)
    importances, solutions = consolidate(method, learner, 6)
    theta = torch.randn(SIZE)
    learner.value.copy_(theta)
    method.after_step(learner)

    def problem(u: Tensor) -> Tensor:
        near = ((u - theta.double()) ** 2).sum() / (2 * 0.05)
        return near + strength / 2 * (importances.double() * (u - solutions.double()) ** 2).sum()

    u = torch.zeros(SIZE, dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(problem(u), u, create_graph=True)
    (curvature,) = torch.autograd.grad(slope.sum(), u)
    best = (u - slope / curvature).detach()  # exact: the problem is quadratic and separable
    assert torch.allclose(learner.value.double(), best, rtol=1e-5, atol=1e-5)
    for other in (theta, method.center, learner.value + 0.01):
        assert problem(best) <= problem(other.double())


@pytest.mark.parametrize("small", [1e-2, 1e-3, 1e-4])
def test_both_steps_agree_to_first_order(small: float) -> None:
    """For w = rate * strength * importance they differ by no more than w^2 times the distance."""
    theta, center = torch.randn(SIZE), torch.randn(SIZE)
    learner: Any = Vector(rate=0.1)
    learner.tasks.append("learned")
    moved = []
    for step in ("implicit", "additive"):
        method = Given(strength=small / 0.1, step=step)
        method.importance, method.center = torch.ones(SIZE), center
        learner.value.copy_(theta)
        learner.gradient.zero_()
        method.edit_gradient(learner, BATCH)
        learner.value.sub_(0.1 * learner.gradient)
        method.after_step(learner)
        moved.append(learner.value - theta)
    assert ((moved[0] - moved[1]).abs() <= small**2 * (theta - center).abs() + 1e-6).all()
    assert (moved[0] - moved[1]).norm() < 2 * small * moved[0].norm() + 1e-6


@pytest.mark.parametrize("decay", [0.0, 0.5, 1.0])
def test_online_ewc_fades(decay: float) -> None:
    method = OnlineEWC(strength=1.0, decay=decay)
    method.importance = method.center = torch.zeros(SIZE)
    importances, solutions = torch.rand(4, SIZE), torch.randn(4, SIZE)
    for importance, solution in zip(importances, solutions, strict=True):
        method.importance, method.center = method.merge(importance, solution)
    expected = sum(decay ** (3 - t) * importances[t] for t in range(4))
    assert torch.allclose(method.importance, torch.as_tensor(expected))
    assert torch.equal(method.center, solutions[-1])
    if decay == 0:
        assert torch.equal(method.importance, importances[-1])


def test_the_center_does_not_follow_theta() -> None:
    method = OnlineEWC(strength=1.0)
    method.importance = method.center = torch.zeros(SIZE)
    theta = torch.ones(SIZE)
    _, center = method.merge(torch.ones(SIZE), theta)
    theta.zero_()
    assert (center == 1).all()


def test_changes_of_the_learning_rate_are_followed() -> None:
    learner: Any = Vector(rate=1.0)
    learner.tasks.append("learned")
    method = Given(strength=1.0)
    method.importance, method.center = torch.ones(SIZE), torch.zeros(SIZE)
    for rate in (1.0, 0.5, 0.0, 0.5):
        learner.learning_rate = rate
        learner.value.fill_(1.0)
        method.after_step(learner)
        assert torch.allclose(learner.value, torch.full((SIZE,), 1 / (1 + rate)))


def test_a_schedule_reaches_the_implicit_step() -> None:
    rates: list[float] = []

    class Spy(L2):
        def after_step(self, learner: Learner) -> None:
            super().after_step(learner)
            if learner.tasks:
                assert self._pull is not None
                pull = self._pull[2]
                rates.append(float((pull / (1 - pull) / self.importance)[0]))

    halving = functools.partial(torch.optim.lr_scheduler.StepLR, step_size=1, gamma=0.5)
    learner = Learner(MLP(FEATURES, [5]), [Spy(strength=1.0)], scenario="domain", epochs=3, batch_size=60, scheduler=halving)
    learner.learn(blobs("first"))
    learner.learn(blobs("second", seed=1))
    assert rates == pytest.approx([0.1, 0.05, 0.025])


class WithUnusedLayer(nn.Module):
    """Weight decay moves the unused layer or not, and a method that does nothing must not change that."""

    def __init__(self) -> None:
        super().__init__()
        self.used, self.aside = MLP(FEATURES, [8]), MLP(2, [2])

    def forward(self, x: Tensor) -> Tensor:
        return torch.as_tensor(self.used(x))


METHODS: dict[str, Callable[..., Method]] = {"ewc": EWC, "online-ewc": OnlineEWC, "l2": L2}


@pytest.mark.parametrize("step", ["implicit", "additive"])
@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_strength_0_is_fine_tuning_bit_for_bit(name: str, step: Step, momentum: float) -> None:
    def learned(*methods: Method) -> dict[str, Tensor]:
        learner = Learner(WithUnusedLayer(), methods, scenario="domain", optimizer=sgd(0.1, momentum=momentum, weight_decay=0.1))
        for t in range(3):
            learner.learn(blobs(str(t), seed=t))
        return weights(learner.network)

    assert same(learned(METHODS[name](strength=0, step=step)), learned())


@pytest.mark.parametrize("strength", [0.0, 10.0])
def test_moments_that_are_not_needed_are_not_called(strength: float) -> None:
    implicit, additive = L2(strength=strength), L2(strength=strength, step="additive")
    assert implicit.overrides("after_step") is additive.overrides("edit_gradient") is (strength > 0)
    assert not implicit.overrides("edit_gradient")
    assert not additive.overrides("after_step")
    assert implicit.overrides("end_task")


def test_the_additive_step_diverges_where_the_implicit_one_is_stable() -> None:
    """w = 0.1 * 25 * 1 > 2."""

    def learned(step: Step) -> Learner:
        learner = Learner(MLP(FEATURES, [8]), [L2(strength=25.0, step=step)], scenario="domain", steps=400)
        learner.learn(blobs("first"), steps=4)
        learner.learn(blobs("second", seed=1))
        return learner

    assert torch.isfinite(learned("implicit").theta.value).all()
    with pytest.raises(NonFiniteError, match=re.escape("Lower the learning rate 0.1 or L2's strength 25, or set clip_norm")):
        learned("additive")


@pytest.mark.parametrize("method", [EWC, L2, MAS, OnlineEWC, SI])
@pytest.mark.parametrize("strength", [1e0, 1e5, 1e15, 1e30, 1e38, 1e39, 1e45, 1e300])
def test_every_strength_is_finite(method: Callable[..., Method], strength: float) -> None:
    learner = Learner(MLP(FEATURES, [8]), [method(strength=strength)], scenario="domain", epochs=3)
    for t in range(3):
        learner.learn(blobs(str(t), seed=t))
    assert torch.isfinite(learner.theta.value).all()


@pytest.mark.parametrize("largest", [1e-45, 1.0, 3e38])
@pytest.mark.parametrize("rate", [0.0, 1e-30, 1.0, 1e30])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16])
def test_the_pull_is_between_0_and_1(largest: float, rate: float, dtype: torch.dtype) -> None:
    learner: Any = Vector(3, rate)
    learner.value = torch.ones(3, dtype=dtype)
    learner.tasks.append("learned")
    method = Given(strength=1e300)
    method.importance = torch.tensor([0.0, largest, min(largest, 6e4)], dtype=dtype).nan_to_num(posinf=torch.finfo(dtype).max)
    method.center = torch.zeros(3, dtype=dtype)
    method.after_step(learner)
    assert method._pull is not None
    pull = method._pull[2]
    assert ((pull >= 0) & (pull <= 1)).all()
    assert learner.value[0] == 1
    assert torch.isfinite(learner.value).all()


def test_at_a_very_large_strength_the_first_task_stays_and_the_second_is_not_learned() -> None:
    """The lecture's b = infinity."""
    first, second = blobs("first", size=300), blobs("second", seed=1, size=300)

    def learned(*methods: Method) -> Learner:
        learner = Learner(MLP(FEATURES, [16]), methods, scenario="domain", epochs=15)
        learner.learn(first)
        before.append(learner.predict_proba(first.train.x))
        learner.learn(second)
        learner.evaluate([first, second])
        return learner

    before: list[Tensor] = []
    held, free = learned(L2(strength=1e30)), learned()
    assert torch.allclose(held.predict_proba(first.train.x), before[0], atol=1e-5)
    assert held.matrix.values[2][0] == held.matrix.values[1][0] > 0.9
    assert held.matrix.values[2][1] < free.matrix.values[2][1] - 0.3
    assert free.matrix.values[2][1] > 0.9


def test_heads_that_grow_keep_what_is_known_of_their_rows() -> None:
    learner = Learner(MLP(FEATURES, [5]), [L2(strength=1.0)])
    learner.learn(blobs("first", classes=["a", "b"]))
    learner.learn(blobs("second", classes=["c"], seed=1))
    method = learner.methods[0]
    assert isinstance(method, L2)
    importance = learner.theta.layout.split(method.importance)["heads.layers.0.bias"]
    assert importance.tolist() == [2, 2, 1]


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: EWC(step="both"), "EWC: step is 'both'; expected 'implicit' or 'additive'"),  # type: ignore[arg-type]
        (lambda: L2(strength=-1.0), "L2: strength is -1.0; expected a finite number >= 0, where 0 switches the method off"),
        (lambda: L2(strength=float("nan")), "L2: strength is nan; expected a finite number >= 0, where 0 switches the method off"),
        (lambda: EWC(strength=float("inf")), "EWC: strength is inf; expected a finite number >= 0, where 0 switches the method off"),
        (lambda: OnlineEWC(decay=1.5), "OnlineEWC: decay is 1.5; expected a number from 0 (forget at once) to 1 (keep all)"),
    ],
)
def test_wrong_arguments(make: Callable[[], Method], text: str) -> None:
    with pytest.raises(MethodError) as caught:
        make()
    assert str(caught.value) == text


def test_a_single_task_is_fine_tuning_bit_for_bit() -> None:
    def learned(*methods: Method) -> dict[str, Tensor]:
        learner = Learner(MLP(FEATURES, [8]), methods, optimizer=sgd(0.1, momentum=0.9))
        learner.learn(blobs())
        return weights(learner.network)

    for step in ("implicit", "additive"):
        assert same(learned(EWC(strength=100.0, step=step)), learned())


def test_the_penalty_is_on_a_batch_of_its_own_task_too() -> None:
    """`edit_gradient` adds to what is there; the batch is not looked at."""
    learner: Any = Vector()
    method = Given(step="additive")
    consolidate(method, learner, 1)
    learner.gradient.fill_(2.0)
    method.edit_gradient(learner, Batch(torch.zeros(0), torch.zeros(0)))
    assert torch.allclose(learner.gradient, torch.full((SIZE,), 2.0)), "at the center there is no pull"
