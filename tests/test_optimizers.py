import functools
import json
from collections.abc import Callable, Iterable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.optim import lr_scheduler
from torch.optim.optimizer import register_optimizer_step_post_hook, register_optimizer_step_pre_hook

from lifelong.errors import MethodError, StoreError
from lifelong.learner import Learner
from lifelong.models import MLP
from lifelong.optimizers import (
    ELEMENTWISE,
    Optimizer,
    OptimizerState,
    describe_factory,
    export_optimizer,
    make_optimizer,
    resolve_factory,
    restore_optimizer,
    step_of,
)
from lifelong.theta import Layout, Theta
from toys import FEATURES, blobs, same, sgd, weights

STATEFUL: dict[str, Callable[..., Optimizer]] = {
    "SGD momentum": sgd(0.1, momentum=0.9),
    "SGD Nesterov": sgd(0.1, momentum=0.9, nesterov=True),
    "Adam": functools.partial(torch.optim.Adam, lr=0.01, betas=(0.8, 0.9)),
    "AdamW AMSGrad": functools.partial(torch.optim.AdamW, lr=0.01, amsgrad=True),
    "RMSprop": functools.partial(torch.optim.RMSprop, lr=0.01, centered=True, momentum=0.5),
    "Adagrad": functools.partial(torch.optim.Adagrad, lr=0.1, lr_decay=0.1),
    "NAdam": functools.partial(torch.optim.NAdam, lr=0.01),
    "Rprop": functools.partial(torch.optim.Rprop, lr=0.01),
}


class OwnSGD(torch.optim.SGD):
    """A user's subclass may do anything."""


def bound(network: nn.Module) -> Theta:
    theta = Theta()
    theta.bind(dict(network.named_parameters()))
    return theta


# One parameter or many


@pytest.mark.parametrize("name", STATEFUL)
def test_elementwise_optimizers_get_theta_as_one_parameter(name: str) -> None:
    theta = bound(nn.Linear(3, 2))
    optimizer, flat = make_optimizer(STATEFUL[name], theta)
    assert flat
    (parameter,) = optimizer.param_groups[0]["params"]
    assert parameter.data_ptr() == theta.value.data_ptr()
    assert parameter.grad is theta.gradient


def grouped(parameters: Any) -> Optimizer:
    first, *rest = parameters
    return torch.optim.Adam([{"params": [first], "lr": 0.1}, {"params": rest}])


@pytest.mark.parametrize(
    "factory",
    [sgd(), sgd(0.1, weight_decay=0.1), functools.partial(OwnSGD, lr=0.1, momentum=0.9), functools.partial(torch.optim.Adafactor), grouped],
)
def test_others_get_the_parameters(factory: Callable[..., Optimizer]) -> None:
    theta = bound(nn.Linear(3, 2))
    optimizer, flat = make_optimizer(factory, theta)
    assert not flat
    assert [p for group in optimizer.param_groups for p in group["params"]] == theta.parameters


def test_parameter_groups_that_the_factory_makes_are_kept() -> None:
    made: list[Optimizer] = []

    def factory(parameters: Iterable[nn.Parameter]) -> Optimizer:
        made.append(grouped(parameters))
        return made[-1]

    learner = Learner(MLP(FEATURES, [5]), optimizer=factory)
    learner.learn(blobs())
    assert [len(optimizer.param_groups) for optimizer in made] == [2]  # made once, on the parameters themselves
    assert {id(p) for group in made[0].param_groups for p in group["params"]} == {id(p) for p in learner.theta.parameters}


@pytest.mark.parametrize("name", ELEMENTWISE)
def test_the_elementwise_optimizers_are(name: str) -> None:
    """The same gradients on one flat parameter and on two, so that the list can't name one that is not."""
    factory = functools.partial(getattr(torch.optim, name), lr=0.01)
    generator = torch.Generator().manual_seed(0)
    start = torch.randn(10, generator=generator)
    flat = nn.Parameter(start.clone())
    parts = [nn.Parameter(start[:4].clone()), nn.Parameter(start[4:].clone().view(2, 3))]
    optimizers = [factory([flat]), factory(parts)]
    for _ in range(5):
        gradient = torch.randn(10, generator=generator)
        flat.grad, parts[0].grad, parts[1].grad = gradient.clone(), gradient[:4].clone(), gradient[4:].view(2, 3).clone()
        for optimizer in optimizers:
            optimizer.step()
    assert torch.equal(flat.detach(), torch.cat([part.detach().flatten() for part in parts]))


# Saving and going on


@pytest.mark.parametrize("individual", [False, True])
@pytest.mark.parametrize("name", STATEFUL)
def test_exported_and_restored_optimizers_go_on_bit_for_bit(name: str, individual: bool) -> None:
    generator = torch.Generator().manual_seed(0)

    def parameters() -> list[nn.Parameter]:
        shapes: list[tuple[int, ...]] = [(3, 2), (4,)] if individual else [(10,)]
        return [nn.Parameter(torch.ones(shape)) for shape in shapes]

    def steps(optimizer: Optimizer, gradients: list[Tensor]) -> None:
        for gradient in gradients:
            start = 0
            for parameter in optimizer.param_groups[0]["params"]:
                parameter.grad = gradient[start : start + parameter.numel()].view_as(parameter).clone()
                start += parameter.numel()
            optimizer.step()

    gradients = list(torch.randn(6, 10, generator=generator))
    whole, first, second = parameters(), parameters(), parameters()
    steps(STATEFUL[name](whole), gradients)
    optimizer = STATEFUL[name](first)
    steps(optimizer, gradients[:3])
    tensors, rest = export_optimizer(optimizer)
    tensors, rest = {key: value.clone() for key, value in tensors.items()}, json.loads(json.dumps(rest))
    with torch.no_grad():
        for a, b in zip(first, second, strict=True):
            b.copy_(a)
    again = STATEFUL[name](second)
    restore_optimizer(again, tensors, rest)
    assert again.param_groups[0].keys() == optimizer.param_groups[0].keys()
    assert {k: v for k, v in again.param_groups[0].items() if k != "params"} == {
        k: v for k, v in optimizer.param_groups[0].items() if k != "params"
    }
    steps(again, gradients[3:])
    assert all(torch.equal(a, b) for a, b in zip(second, whole, strict=True))


def test_restoring_copies() -> None:
    """What was saved must not follow the optimizer, or a task that fails could not be taken back."""
    parameter = nn.Parameter(torch.ones(3))
    optimizer = torch.optim.Adam([parameter])
    parameter.grad = torch.ones(3)
    optimizer.step()
    tensors, rest = export_optimizer(optimizer)
    kept = {key: value.clone() for key, value in tensors.items()}
    other = torch.optim.Adam([nn.Parameter(torch.ones(3))])
    restore_optimizer(other, kept, rest)
    other.param_groups[0]["params"][0].grad = torch.ones(3)
    other.step()
    assert same(kept, tensors)


# From task to task


def test_momentum_follows_a_head_that_grows() -> None:
    old, new = Layout({"w": (2, 2), "b": (2,)}), Layout({"w": (3, 2), "b": (3,)})
    state = OptimizerState(
        {"0.momentum_buffer": torch.arange(1.0, 7.0), "0.step": torch.tensor(5.0)}, {"values": {}, "groups": []}, old, True
    )
    tensors, values = state.carried_to(new, True)
    assert tensors["0.momentum_buffer"].tolist() == [1, 2, 3, 4, 0, 0, 5, 6, 0]
    assert tensors["0.step"] == 5
    assert values == {}


def test_individual_parameters_of_the_same_shape_keep_their_state() -> None:
    old, new = Layout({"a": (2,), "b": (3,), "c": (1,)}), Layout({"c": (1,), "b": (4,), "a": (2,)})
    tensors = {f"{i}.momentum_buffer": torch.full(shape, float(i)) for i, shape in enumerate(old.shapes.values())}
    state = OptimizerState(tensors, {"values": {"0.count": 7, "1.count": 8}, "groups": []}, old, False)
    moved, values = state.carried_to(new, False)
    assert {key: value.tolist() for key, value in moved.items()} == {"0.momentum_buffer": [2], "2.momentum_buffer": [0, 0]}
    assert values == {"2.count": 7}


def test_another_kind_of_optimizer_is_an_error() -> None:
    learner = Learner(MLP(FEATURES, [5]), scenario="domain", optimizer=sgd(0.1, momentum=0.9), reset_optimizer=False)
    learner.learn(blobs("first"))
    with pytest.raises(MethodError) as caught:
        learner.learn(blobs("second"), optimizer=functools.partial(OwnSGD, lr=0.1, momentum=0.9))
    expected = "reset_optimizer=False carries the state of one kind of optimizer; it can't go from one kind to another"
    assert str(caught.value) == expected


@pytest.mark.parametrize("name", ["SGD momentum", "Adam", "RMSprop"])
def test_carried_state_is_as_if_training_had_not_been_cut(name: str) -> None:
    """Two tasks of the same data, in the domain scenario, are one long task."""
    task, again = blobs("first"), blobs("second")

    def learned(cut: bool) -> dict[str, Tensor]:
        learner = Learner(MLP(FEATURES, [5]), scenario="domain", optimizer=STATEFUL[name], reset_optimizer=False, epochs=2)
        learner.learn(task, epochs=2 if cut else 4)
        if cut:
            learner.learn(again)
        return weights(learner.network)

    assert same(learned(True), learned(False))


def test_a_reset_optimizer_forgets() -> None:
    def learned(reset: bool) -> dict[str, Tensor]:
        learner = Learner(MLP(FEATURES, [5]), scenario="domain", optimizer=STATEFUL["Adam"], reset_optimizer=reset)
        learner.learn(blobs("first"))
        learner.learn(blobs("second"))
        return weights(learner.network)

    assert not same(learned(True), learned(False))


def carried(learner: Learner) -> dict[str, Tensor]:
    state = learner._carried
    assert state is not None
    return state.layout.split(state.tensors["0.momentum_buffer"])


def test_momentum_in_the_scenario_class() -> None:
    optimizer = sgd(0.1, momentum=0.9)
    learner = Learner(MLP(FEATURES, [5]), optimizer=optimizer, reset_optimizer=False)
    learner.learn(blobs("first", classes=["a", "b"]))
    before = {name: value.clone() for name, value in carried(learner).items()}
    learner.learn(blobs("second", classes=["c", "d"], seed=1), optimizer=sgd(0.0, momentum=1.0), clip_norm=1e-30)  # keeps momentum as it is
    after = carried(learner)
    assert after["heads.layers.0.weight"].shape == (4, 5)
    assert torch.allclose(after["heads.layers.0.weight"][:2], before["heads.layers.0.weight"])
    assert not after["heads.layers.0.weight"][2:].abs().max() > 1e-20
    assert torch.allclose(after["features.layers.0.weight"], before["features.layers.0.weight"])


def test_momentum_when_tasks_alternate_heads() -> None:
    learner = Learner(MLP(FEATURES, [5]), scenario="task", optimizer=sgd(0.1, momentum=0.9), reset_optimizer=False)
    for t in range(3):
        learner.learn(blobs(str(t), seed=t))
        assert [name for name in carried(learner) if name.startswith("heads.")] == [f"heads.layers.{t}.weight", f"heads.layers.{t}.bias"]


def test_a_new_learning_rate_is_not_overwritten_by_the_carried_state() -> None:
    learner = Learner(MLP(FEATURES, [5]), scenario="domain", optimizer=sgd(0.1, momentum=0.9), reset_optimizer=False)
    learner.learn(blobs("first"))
    before = weights(learner.network)
    learner.learn(blobs("second"), optimizer=sgd(0.0, momentum=0.9))
    assert same(weights(learner.network), before)


# Descriptions


@pytest.mark.parametrize(
    ("factory", "home"),
    [
        (sgd(0.1, momentum=0.9, nesterov=True), torch.optim),
        (torch.optim.Adam, torch.optim),
        (functools.partial(torch.optim.AdamW, lr=0.1, betas=(0.5, 0.9), amsgrad=True), torch.optim),
        (functools.partial(lr_scheduler.MultiStepLR, milestones=[3, 5], gamma=0.1), lr_scheduler),
        (functools.partial(lr_scheduler.StepLR, step_size=3), lr_scheduler),
    ],
)
def test_descriptions_are_json_and_are_resolved_to_the_same(factory: Any, home: Any) -> None:
    described = json.loads(json.dumps(describe_factory(factory, home)))
    again = resolve_factory(described, home, "optimizer" if home is torch.optim else "scheduler")
    assert describe_factory(again, home) == describe_factory(factory, home) or "milestones" in described["arguments"]
    parameter = nn.Parameter(torch.ones(2))
    given = parameter if home is torch.optim else None
    if given is not None:
        a, b = factory([given]), again([given])
        assert {k: v for k, v in a.param_groups[0].items() if k != "params"} == {
            k: v for k, v in b.param_groups[0].items() if k != "params"
        }
    else:
        rates: list[list[float]] = []
        for make in (factory, again):
            optimizer = torch.optim.SGD([parameter], lr=1.0)
            scheduler = make(optimizer)
            rates.append([])
            for _ in range(7):
                optimizer.step()
                scheduler.step()
                rates[-1].append(optimizer.param_groups[0]["lr"])
        assert rates[0] == rates[1]


def rate(epoch: int) -> float:
    return 0.5**epoch


@pytest.mark.parametrize(
    ("factory", "name"),
    [
        (functools.partial(OwnSGD, lr=0.1), "OwnSGD"),
        (functools.partial(torch.optim.SGD, lr=torch.tensor(0.1)), "SGD"),
        (functools.partial(grouped), "grouped"),
    ],
)
def test_a_factory_of_ones_own_must_be_given_again(factory: Any, name: str) -> None:
    described = json.loads(json.dumps(describe_factory(factory, torch.optim)))
    with pytest.raises(StoreError) as caught:
        resolve_factory(described, torch.optim, "optimizer")
    assert str(caught.value) == (
        f"this learner was trained with optimizer {name}, which is not torch's own and can't be rebuilt from a file; "
        "pass it: Learner.open(path, optimizer=...)"
    )


def test_a_lambda_must_be_given_again() -> None:
    with pytest.raises(StoreError, match="trained with scheduler .*<lambda>, which is not torch's own"):
        resolve_factory(describe_factory(lambda o: lr_scheduler.StepLR(o, 1), lr_scheduler), lr_scheduler, "scheduler")


@pytest.mark.parametrize("name", ["Adamm", "Optimizer", "lr_scheduler", "__builtins__", "functools"])
def test_only_optimizers_are_looked_up(name: str) -> None:
    with pytest.raises(StoreError) as caught:
        resolve_factory({"name": name, "arguments": {}}, torch.optim, "optimizer")
    text = f"this learner was trained with optimizer {name!r}, which this version of torch does not have; "
    assert str(caught.value).startswith(text)
    if name == "Adamm":
        assert "did you mean 'Adam'? Known: " in str(caught.value)


def test_only_names_of_the_module_are_described_as_such() -> None:
    class SGD(torch.optim.SGD):
        """The name of torch's."""

    assert "custom" in describe_factory(functools.partial(SGD, lr=0.1), torch.optim)
    assert "custom" in describe_factory(functools.partial(lr_scheduler.LambdaLR, lr_lambda=rate), lr_scheduler)


# The step without what torch wraps around it


@pytest.mark.parametrize("name", ["SGD", *STATEFUL])
def test_a_step_is_torchs_own(name: str) -> None:
    results = []
    for bare in (False, True):
        network = nn.Linear(3, 2)
        nn.init.constant_(network.weight, 0.5)
        nn.init.constant_(network.bias, 0.5)
        optimizer = STATEFUL.get(name, sgd(0.1))(network.parameters())
        step = step_of(optimizer) if bare else optimizer.step
        for i in range(4):
            for parameter in network.parameters():
                parameter.grad = torch.linspace(-1, 1, parameter.numel()).view_as(parameter) * (i + 1)
            with torch.no_grad():
                step()
        results.append(weights(network))
        if bare:
            assert "wrapper" not in step.func.__qualname__  # type: ignore[attr-defined]
    assert same(*results)


def _own_hook(optimizer: Optimizer, called: list[str]) -> Any:
    return optimizer.register_step_post_hook(lambda *_: called.append("after"))


def _own_hook_before(optimizer: Optimizer, called: list[str]) -> Any:
    return optimizer.register_step_pre_hook(lambda *_: called.append("before"))


def _hook_of_all(optimizer: Optimizer, called: list[str]) -> Any:
    return register_optimizer_step_post_hook(lambda *_: called.append("after"))


def _hook_of_all_before(optimizer: Optimizer, called: list[str]) -> Any:
    return register_optimizer_step_pre_hook(lambda *_: called.append("before"))


@pytest.mark.parametrize("hang", [_own_hook, _own_hook_before, _hook_of_all, _hook_of_all_before])
def test_hooks_on_a_step_are_called(hang: Callable[[Optimizer, list[str]], Any]) -> None:
    called: list[str] = []
    optimizer = torch.optim.SGD(nn.Linear(3, 2).parameters(), lr=0.1)
    handle = hang(optimizer, called)
    step = step_of(optimizer)
    step()
    handle.remove()
    assert len(called) == 1


def test_a_subclass_and_an_optimizer_with_a_scheduler_keep_their_step() -> None:
    own = OwnSGD(nn.Linear(3, 2).parameters(), lr=0.1)
    assert step_of(own) == own.step
    scheduled = torch.optim.SGD(nn.Linear(3, 2).parameters(), lr=0.1)
    scheduler = lr_scheduler.StepLR(scheduled, 1)
    with torch.no_grad():
        step_of(scheduled)()
    scheduler.step()  # would warn, had the step not been counted
