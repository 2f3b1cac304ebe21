import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from lifelong.errors import MethodError
from lifelong.learner import Learner
from lifelong.method import Method
from lifelong.methods import MAS, SI
from lifelong.models import MLP
from lifelong.models.heads import Heads, Network
from lifelong.optimizers import OptimizerFactory
from lifelong.quadratic import QuadraticPenalty, Step
from lifelong.tasks import Batch, Task
from lifelong.testing.comparing import die_at_checkpoint, learned
from lifelong.testing.data import vector_tasks
from lifelong.training import Training
from toys import FEATURES, AfterStep, EditGradient, blobs, everything, same, sgd, weights

MOMENTUM = sgd(0.001, momentum=0.9)
ADAM: OptimizerFactory = functools.partial(torch.optim.Adam, lr=0.003)


def doubles(name: str, seed: int = 0) -> Task:
    return blobs(name, seed=seed, transform=torch.Tensor.double)


def si_of(learner: Learner) -> SI:
    return next(method for method in learner.methods if isinstance(method, SI))


# The path integral


class Bowl(Method):
    """In place of the loss a quadratic of all of theta, its axes not theta's; each task has its minimum elsewhere."""

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        factor = torch.randn(23, 23, generator=generator, dtype=torch.float64)
        self.curvature = factor @ factor.T / torch.linalg.matrix_norm(factor, 2) ** 2  # eigenvalues up to 1
        self.bottoms = torch.randn(3, 23, generator=generator, dtype=torch.float64)

    def value(self, theta: Tensor, task: int) -> Tensor:
        distance = theta - self.bottoms[task]
        return torch.dot(distance, self.curvature @ distance) / 2

    def loss(self, learner: Learner, batch: Batch, output: Tensor, loss: Tensor) -> Tensor:
        return self.value(torch.cat([parameter.reshape(-1) for parameter in learner.theta.parameters]), len(learner.tasks))


def drops_and_paths(optimizer: OptimizerFactory, step: Step, tasks: int, steps: int) -> list[tuple[float, float, float]]:
    """For each task how much the bowl's value fell, the total path integral, and SI's own penalty at the end."""
    learner = Learner(MLP(FEATURES, [2]).double(), [Bowl(), SI(strength=0.3, step=step)], "domain", optimizer=optimizer)
    found = []
    for t in range(tasks):
        old = learner.theta.value.clone()
        learner.learn(doubles(str(t), t), steps=steps, batch_size=60, evaluate=False)
        bowl, method, theta = learner.methods[0], si_of(learner), learner.theta.value
        assert isinstance(bowl, Bowl)
        new = method.path / ((theta - method.start) ** 2 + 0.1)
        penalty = 0.3 * ((method.importance - new) * (theta - old) ** 2).sum() if t else torch.zeros(())
        found.append((float(bowl.value(method.start, t) - bowl.value(theta, t)), float(method.path.sum()), float(penalty)))
    return found


@pytest.mark.parametrize("step", ["implicit", "additive"])
@pytest.mark.parametrize("optimizer", [sgd(0.01), MOMENTUM, ADAM], ids=["sgd", "momentum", "adam"])
def test_the_path_integral_is_the_drop_of_the_loss(optimizer: OptimizerFactory, step: Step) -> None:
    """With its own penalty switched on: the gradient is the task loss's alone, and the step what theta really did."""
    first, second = drops_and_paths(optimizer, step, tasks=2, steps=200)
    for drop, path, _ in (first, second):
        assert abs(drop) > 0.5
        assert path == pytest.approx(drop, rel=0.01)
    assert second[2] > 0.1 * second[0], "the penalty is felt"


def test_what_is_missing_in_the_path_integral_shrinks_with_the_step() -> None:
    """It is a left-end rule: the error is half the curvature times the squared steps, linear in the learning rate."""
    errors = []
    for rate in (0.02, 0.01):
        ((drop, path, _),) = drops_and_paths(sgd(rate), "implicit", tasks=1, steps=100)
        errors.append((path - drop) / drop)
    assert errors[0] > errors[1] > 0
    assert errors[0] < 0.01


@pytest.mark.parametrize(
    "settings",
    [
        {"optimizer": sgd(0.1, momentum=0.9, nesterov=True, weight_decay=0.01), "clip_norm": 0.1},
        {"optimizer": functools.partial(torch.optim.AdamW, lr=0.01), "reset_optimizer": False},
        {"optimizer": sgd(0.1), "scheduler": functools.partial(torch.optim.lr_scheduler.StepLR, step_size=1, gamma=0.5), "epochs": 3},
    ],
)
@pytest.mark.parametrize("step", ["implicit", "additive"])
def test_the_path_is_the_losses_gradient_times_the_real_step(step: Step, settings: dict[str, Any]) -> None:
    """Recorded around it: the gradient before it adds anything, theta before and after the step. Clipping is the optimizer's affair."""
    gradients: list[Tensor] = []
    values: list[Tensor] = []

    def before(learner: Learner) -> None:
        gradients.append(learner.theta.gradient.clone())
        values.append(learner.theta.value.clone())

    spies = [EditGradient(before), AfterStep(lambda learner: values.append(learner.theta.value.clone()))]
    learner = Learner(MLP(FEATURES, [5]), [spies[0], SI(strength=1.0, step=step), spies[1]], "domain", batch_size=16, **settings)
    for t in range(2):
        gradients.clear()
        values.clear()
        learner.learn(blobs(str(t), seed=t))
        expected = sum(-g * (values[2 * i + 1] - values[2 * i]) for i, g in enumerate(gradients))
        assert torch.allclose(si_of(learner).path, torch.as_tensor(expected), rtol=1e-4, atol=1e-7)


class Aside(MLP):
    """With a layer that no loss reaches, which has no gradient."""

    def __init__(self) -> None:
        super().__init__(FEATURES, [5])
        self.aside = torch.nn.Linear(2, 2)


def test_a_gradient_that_is_not_copied_gives_the_same() -> None:
    """Clipping to a norm that is never reached makes it copy; there are weights that have no gradient."""
    network, learners = Aside(), []
    for clip_norm in (None, 1e9):
        learner = Learner(network, [SI(strength=1.0)], "domain", optimizer=sgd(0.1), clip_norm=clip_norm, epochs=3)
        for t in range(3):
            learner.learn(blobs(str(t), seed=t))
        learners.append(learner)
    ours, copied = map(si_of, learners)
    assert [method.overrides("edit_gradient") for method in (ours, copied)] == [False, True]
    assert torch.allclose(learners[0].theta.value, learners[1].theta.value, rtol=1e-6, atol=1e-7)
    for a, b in ((ours.path, copied.path), (ours.importance, copied.importance)):
        assert a.any()
        assert torch.allclose(a, b, rtol=1e-5, atol=1e-8)


class Looking(Method):
    def edit_gradient(self, learner: Learner, batch: Batch) -> None:
        assert learner.theta.gradient.any()


class Negating(torch.optim.SGD):
    """Its step leaves other gradients than it found."""

    def step(self, closure: Any = None) -> None:
        super().step()
        for group in self.param_groups:
            for parameter in group["params"]:
                parameter.grad.neg_()


@pytest.mark.parametrize(
    ("settings", "others"),
    [
        ({"optimizer": functools.partial(Negating, lr=0.1)}, []),
        ({"optimizer": lambda parameters: torch.optim.SGD(parameters, lr=0.1)}, []),
        ({"optimizer": functools.partial(torch.optim.RMSprop, lr=0.01)}, []),
        ({"optimizer": sgd(0.1, momentum=0.9, nesterov=True)}, []),
        ({"clip_norm": 0.1}, []),
        ({"precision": "float16"}, []),
        ({}, [EditGradient(lambda learner: learner.theta.gradient.neg_())]),
        ({}, [AfterStep(lambda learner: learner.theta.value.mul_(0.9))]),
        ({}, [AfterStep(lambda learner: learner.network.zero_grad())]),
    ],
)
def test_the_gradient_is_copied_where_something_may_change_it(settings: dict[str, Any], others: list[Method]) -> None:
    """It gives what it gives when somebody looks at the gradient just before, for whom it always has to be there."""
    paths = []
    for spies in ([], [Looking()]):
        learner = Learner(MLP(FEATURES, [5]), [*spies, SI(strength=1.0), *others], "domain", steps=3, **settings)
        learner.learn(blobs("first"))
        assert si_of(learner).overrides("edit_gradient")
        paths.append(si_of(learner).path)
    assert torch.equal(paths[0], paths[1])
    assert paths[0].any()


@pytest.mark.parametrize("kind", [{}, {"foreach": True}, {"fused": True}])
@pytest.mark.parametrize("settings", [{}, {"weight_decay": 0.1}, {"maximize": True}, {"weight_decay": 0.1, "maximize": True}])
@pytest.mark.parametrize(
    "optimizer",
    [
        torch.optim.SGD,
        functools.partial(torch.optim.SGD, momentum=0.9),
        torch.optim.Adam,
        functools.partial(torch.optim.Adam, amsgrad=True),
        torch.optim.AdamW,
    ],
)
def test_these_optimizers_leave_gradients_alone(optimizer: Any, kind: dict[str, Any], settings: dict[str, Any]) -> None:
    """On which it relies where it does not copy them."""
    parameter = torch.nn.Parameter(torch.randn(40))
    optimizer = optimizer([parameter], lr=0.1, **kind, **settings)
    for _ in range(3):
        parameter.grad = gradient = torch.randn(40)
        kept, before = gradient.clone(), parameter.detach().clone()
        optimizer.step()
        assert parameter.grad is gradient
        assert torch.equal(gradient, kept)
        assert not torch.equal(parameter, before)


def test_a_step_that_float16_skips_leaves_no_trace() -> None:
    """The first scaled losses overflow, and infinity times no step would be NaN for ever."""
    learner = Learner(MLP(FEATURES, [5]), [SI()], precision="float16")
    learner.learn(blobs(transform=lambda x: 300 * x))
    assert learner.theta.value.isfinite().all()
    assert si_of(learner).path.isfinite().all()
    assert si_of(learner).importance.isfinite().all()


# All of it, parameter by parameter


class ByHand:
    """Synaptic intelligence as the paper writes it, on a network's own parameters and with torch's own optimizer."""

    strength, damping = 0.5, 0.01

    def __init__(self, optimizer: OptimizerFactory, rate: float, nonnegative: bool, step: Step) -> None:
        self.optimizer, self.rate, self.nonnegative, self.step = optimizer, rate, nonnegative, step
        heads = Heads(5, "domain", 0)
        self.network = Network(MLP(FEATURES, [5]).double(), heads)
        heads.admit("first", [0, 1, 2])
        self.omega = {name: torch.zeros_like(p) for name, p in self.network.named_parameters()}
        self.anchor: dict[str, Tensor] = {}

    def learn(self, x: Tensor, y: Tensor, steps: int) -> None:
        named = dict(self.network.named_parameters())
        start = {name: p.detach().clone() for name, p in named.items()}
        path = {name: torch.zeros_like(p) for name, p in named.items()}
        optimizer = self.optimizer(list(named.values()))
        for _ in range(steps):
            gradients = torch.autograd.grad(cross_entropy(self.network(x), y), list(named.values()))
            before = {name: p.detach().clone() for name, p in named.items()}
            for (name, p), gradient in zip(named.items(), gradients, strict=True):
                p.grad = gradient.clone()
                if self.anchor and self.step == "additive":
                    p.grad += 2 * self.strength * self.omega[name] * (p.detach() - self.anchor[name])
            optimizer.step()
            with torch.no_grad():
                for (name, p), gradient in zip(named.items(), gradients, strict=True):
                    if self.anchor and self.step == "implicit":
                        weight = 2 * self.rate * self.strength * self.omega[name]
                        p.copy_((p + weight * self.anchor[name]) / (1 + weight))
                    path[name] -= gradient * (p - before[name])
        for name, p in named.items():
            total = self.omega[name] + path[name] / ((p.detach() - start[name]) ** 2 + self.damping)
            self.omega[name] = total.relu() if self.nonnegative else total
        self.anchor = {name: p.detach().clone() for name, p in named.items()}


@pytest.mark.parametrize(("step", "nonnegative"), [("additive", True), ("additive", False), ("implicit", True)])
@pytest.mark.parametrize(
    ("optimizer", "rate"),
    [(sgd(0.3), 0.3), (sgd(0.05, momentum=0.9), 0.05), (functools.partial(torch.optim.Adam, lr=0.02), 0.02)],
    ids=["sgd", "momentum", "adam"],
)
def test_equals_a_loop_over_steps_and_parameters(optimizer: OptimizerFactory, rate: float, step: Step, nonnegative: bool) -> None:
    method = SI(strength=ByHand.strength, damping=ByHand.damping, nonnegative=nonnegative, step=step)
    learner = Learner(MLP(FEATURES, [5]).double(), [method], "domain", optimizer=optimizer, batch_size=60, steps=10)
    hand = ByHand(optimizer, rate, nonnegative, step)
    for t in range(3):
        task = doubles(str(t), t)
        learner.learn(task, evaluate=False)
        hand.learn(task.train.x.double(), task.train.y, 10)
        importance = learner.theta.layout.split(si_of(learner).importance)
        for name, p in hand.network.named_parameters():
            assert torch.allclose(learner.trained()[name], p, rtol=1e-8, atol=1e-10), (t, name)
            assert torch.allclose(importance[name], hand.omega[name], rtol=1e-7, atol=1e-10), (t, name)
        assert torch.equal(si_of(learner).center, learner.theta.value)


def test_importance_is_cut_at_0_or_keeps_its_sign() -> None:
    """Over tasks as the authors' code does: what is left after a cut is what later tasks add to."""
    free, cut = SI(nonnegative=False, step="additive"), SI()
    for method in (free, cut):
        method.importance = torch.zeros(3)
        for new in ([1.0, -1.0, -2.0], [-3.0, 5.0, 1.0]):
            method.importance, center = method.merge(torch.tensor(new), torch.ones(3))
            assert center.tolist() == [1, 1, 1]
    assert free.importance.tolist() == [-2, 4, -1]
    assert cut.importance.tolist() == [0, 5, 1]


def test_damping_bounds_the_importance() -> None:
    def importance(damping: float) -> Tensor:
        learner = Learner(MLP(FEATURES, [5]), [SI(damping=damping)], "domain")
        learner.learn(blobs())
        return si_of(learner).importance.sum()

    assert importance(1e-3) > importance(0.1) > importance(10.0)


# The penalty; MAS has the same


class Stub:
    """What a quadratic penalty sees of a learner."""

    def __init__(self, size: int) -> None:
        self.theta = self
        self.value, self.gradient = torch.zeros(size, dtype=torch.float64), torch.zeros(size, dtype=torch.float64)
        self.learning_rate = 0.05
        self.tasks, self.adopted = ["learned"], False
        self.methods: list[Method] = []
        self.task_training = Training(optimizer=functools.partial(torch.optim.RMSprop, lr=0.003))


def given(kind: Callable[..., QuadraticPenalty], step: Step, size: int = 12) -> QuadraticPenalty:
    method = kind(strength=0.7, step=step)
    generator = torch.Generator().manual_seed(0)
    method.importance = torch.rand(size, generator=generator, dtype=torch.float64) * 5
    method.center = torch.randn(size, generator=generator, dtype=torch.float64)
    if isinstance(method, SI):
        method.path = torch.zeros(size, dtype=torch.float64)
    return method


@pytest.mark.parametrize("kind", [SI, MAS])
def test_the_additive_gradient_is_the_penaltys_by_finite_differences(kind: Callable[..., QuadraticPenalty]) -> None:
    learner: Any = Stub(12)
    method = given(kind, "additive")
    theta = torch.randn(12, generator=torch.Generator().manual_seed(1), dtype=torch.float64)

    def penalty(theta: Tensor) -> float:
        return float(0.7 * (method.importance * (theta - method.center) ** 2).sum())  # no factor 1/2

    learner.value.copy_(theta)
    learner.gradient.fill_(1.0)
    method.begin_round(learner)
    method.edit_gradient(learner, Batch(torch.zeros(0), torch.zeros(0)))
    for i, nudge in enumerate(1e-4 * torch.eye(12, dtype=torch.float64)):
        slope = (penalty(theta + nudge) - penalty(theta - nudge)) / 2e-4
        assert float(learner.gradient[i]) - 1 == pytest.approx(slope, rel=1e-6, abs=1e-8)
    assert torch.allclose(learner.gradient - 1, 2 * 0.7 * method.importance * (theta - method.center))


@pytest.mark.parametrize("kind", [SI, MAS])
def test_the_implicit_step_is_the_minimiser_of_the_proximal_problem(kind: Callable[..., QuadraticPenalty]) -> None:
    """At argmin_u |u - theta|^2 / (2 rate) + strength sum_i Omega_i (u_i - theta*_i)^2 the slope is zero."""
    learner: Any = Stub(12)
    method = given(kind, "implicit")
    theta = torch.randn(12, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    learner.value.copy_(theta)
    method.begin_round(learner)
    method.edit_gradient(learner, Batch(torch.zeros(0), torch.zeros(0)))
    method.after_step(learner)
    slope = (learner.value - theta) / 0.05 + 2 * 0.7 * method.importance * (learner.value - method.center)
    assert slope.abs().max() < 1e-10
    assert (learner.value - theta).abs().max() > 0.05


# Fine-tuning, saving, errors


@pytest.mark.parametrize("optimizer", [sgd(0.1, momentum=0.9, weight_decay=0.1), ADAM], ids=["momentum", "adam"])
def test_strength_0_is_fine_tuning_bit_for_bit(optimizer: OptimizerFactory) -> None:
    def trained(*methods: Method) -> dict[str, Tensor]:
        learner = Learner(MLP(FEATURES, [8]), methods, optimizer=optimizer)
        for t in range(3):
            learner.learn(blobs(str(t), seed=t, classes=[2 * t, 2 * t + 1]))
        return weights(learner.network)

    assert same(trained(SI(strength=0)), trained())
    assert same(trained(SI(strength=0.0, step="additive")), trained())
    assert not same(trained(SI(strength=1.0)), trained())


def test_it_forgets_less_than_fine_tuning() -> None:
    tasks = vector_tasks(2, 0, size=200)

    def accuracies(*methods: Method) -> list[float]:
        learner = learned(Learner(MLP(12, [32]), methods, "domain", epochs=10), tasks)
        return [float(value) for value in learner.evaluate(tasks).values[2]]

    (kept, new), (lost, _) = accuracies(SI(strength=1.0, damping=0.01)), accuracies()
    assert kept > lost + 0.1
    assert new > 0.9


@pytest.mark.parametrize("scenario", ["class", "task"])
def test_inside_a_task_path_and_start_are_saved(scenario: Any, tmp_path: Path) -> None:
    first, second = blobs("first", classes=["a", "b"]), blobs("second", seed=1, classes=["c", "d", "e"])

    def fresh() -> Learner:
        learner = Learner(MLP(FEATURES, [5]), [SI(strength=1.0)], scenario, batch_size=8, optimizer=sgd(0.1, momentum=0.9))
        learner.learn(first)
        return learner

    whole, stopped = fresh(), fresh()
    before = whole.theta.layout.split(whole.theta.value.clone())
    die_at_checkpoint(stopped, second, tmp_path, 4)
    opened = Learner.open(tmp_path)
    assert opened.in_progress == "second"
    assert si_of(opened).path.any()
    start = opened.theta.layout.split(si_of(opened).start)
    assert all(torch.equal(start[name], before[name]) for name in before if name.startswith("features"))
    for learner in (whole, opened):
        learner.learn(second)
    assert same(everything(whole), everything(opened))


def test_a_task_starts_a_path_of_its_own() -> None:
    starts: list[tuple[Tensor, Tensor]] = []

    def look(learner: Learner) -> None:
        method = learner.methods[0]
        assert isinstance(method, SI)
        starts.append((method.path.clone(), method.start.clone()))

    learner = Learner(MLP(FEATURES, [5]), [SI(strength=1.0), EditGradient(look)], "domain", batch_size=60)
    learner.learn(blobs("first"))
    between = learner.theta.value.clone()
    learner.learn(blobs("second", seed=1))
    for path, _ in starts:
        assert not path.any()
    assert torch.equal(starts[1][1], between)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"damping": 0}, "SI: damping is 0; expected a number > 0, which bounds the importance of weights that hardly moved"),
        ({"damping": float("inf")}, "SI: damping is inf; expected a number > 0, which bounds the importance of weights that hardly moved"),
        ({"damping": "small"}, "SI: damping is 'small'; expected a number > 0, which bounds the importance of weights that hardly moved"),
        (
            {"nonnegative": False},
            "SI: nonnegative=False allows negative importances, which the implicit step can't solve; use step='additive'",
        ),
        ({"strength": -1.0}, "SI: strength is -1.0; expected a finite number >= 0, where 0 switches the method off"),
        ({"step": "both"}, "SI: step is 'both'; expected 'implicit' or 'additive'"),
    ],
)
def test_wrong_arguments(arguments: dict[str, Any], text: str) -> None:
    with pytest.raises(MethodError) as caught:
        SI(**arguments)
    assert str(caught.value) == text
