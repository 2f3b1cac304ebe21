import copy
import functools
from collections.abc import Callable, Iterable
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from lifelong import shape
from lifelong.errors import ThetaError
from lifelong.learner import Learner
from lifelong.methods import EWC, L2, Replay
from lifelong.models import MLP, ConvNet
from lifelong.tasks import Task
from lifelong.theta import Layout, Theta
from toys import FEATURES, AfterStep, EditGradient, blobs, same, sgd, weights

OPTIMIZERS: dict[str, Callable[..., torch.optim.Optimizer]] = {
    "SGD": sgd(0.1, weight_decay=0.01),
    "momentum": sgd(0.05, momentum=0.9, weight_decay=0.01),
    "Nesterov": sgd(0.05, momentum=0.9, nesterov=True),
    "Adam": functools.partial(torch.optim.Adam, lr=0.01, weight_decay=0.01),
    "AMSGrad": functools.partial(torch.optim.Adam, lr=0.01, amsgrad=True),
    "AdamW": functools.partial(torch.optim.AdamW, lr=0.01),
    "NAdam": functools.partial(torch.optim.NAdam, lr=0.01),
    "RMSprop": functools.partial(torch.optim.RMSprop, lr=0.01, centered=True, momentum=0.5),
    "Adagrad": functools.partial(torch.optim.Adagrad, lr=0.05),
}


def bound(network: nn.Module) -> Theta:
    theta = Theta()
    theta.bind(dict(network.named_parameters()))
    return theta


# The vector is the parameters


def test_the_vector_is_the_parameters_storage() -> None:
    network = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
    before = weights(network)
    theta = bound(network)
    assert same(weights(network), before)
    assert theta.layout.shapes == {name: tuple(p.shape) for name, p in network.named_parameters()}
    assert theta.layout.size == theta.value.numel() == 3 * 4 + 4 + 4 * 2 + 2
    assert torch.equal(theta.value, torch.cat([p.detach().flatten() for p in network.parameters()]))
    with torch.no_grad():
        theta.value.fill_(7)
        assert all(bool((p == 7).all()) for p in network.parameters())
        next(network.parameters()).fill_(3)
    assert theta.value[:12].tolist() == [3] * 12


def test_binding_again_moves_nothing() -> None:
    network = nn.Linear(3, 2)
    theta = bound(network)
    value = theta.value
    assert theta.bind(dict(network.named_parameters())) is False
    assert theta.value is value


def test_the_gradient_is_a_vector_too_and_no_grad_counts_as_zero() -> None:
    network = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2))
    theta = bound(network)
    network[0](torch.ones(2, 3)).sum().backward()
    expected = theta.flatten([p.grad for p in network.parameters()])
    assert torch.equal(theta.gather(), expected)
    assert not expected[16:].any()
    theta.gradient.fill_(5)
    assert all(p.grad is not None and bool((p.grad == 5).all()) for p in network.parameters())
    theta.drop()
    assert all(p.grad is None for p in network.parameters())


def test_gathering_twice_keeps_the_gradient() -> None:
    network = nn.Linear(3, 2)
    theta = bound(network)
    network(torch.ones(2, 3)).sum().backward()
    first = theta.gather().clone()
    assert torch.equal(theta.gather(), first)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_training_on_the_vector_gives_torchs_bits(name: str) -> None:
    factory = OPTIMIZERS[name]
    task = blobs(size=70)
    learner = Learner(MLP(FEATURES, [8, 5], seed=1), optimizer=factory, epochs=3, batch_size=16)
    order = copy.deepcopy(learner.order)
    shape.probe(learner, task)
    learner.heads.admit(task.name, task.classes)
    own = copy.deepcopy(learner.network)
    learner.learn(task)

    optimizer = factory(own.parameters())
    for _ in range(3):
        for positions in torch.split(torch.randperm(70, generator=order), 16):
            optimizer.zero_grad()
            cross_entropy(own(task.train.x[positions]), task.train.y[positions]).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
    assert same(weights(learner.network), weights(own))


# What is not trained is not in theta


@pytest.mark.parametrize("name", ["momentum", "Adam", "AdamW"])
def test_other_tasks_heads_do_not_move(name: str) -> None:
    learner = Learner(MLP(FEATURES, [8]), scenario="task", optimizer=OPTIMIZERS[name], reset_optimizer=False)
    learner.learn(blobs("first"))
    head = weights(learner.heads.layers[0])
    learner.learn(blobs("second", seed=1))
    assert same(weights(learner.heads.layers[0]), head)
    assert [n for n in learner.theta.layout.shapes if n.startswith("heads.")] == ["heads.layers.1.weight", "heads.layers.1.bias"]


def test_heads_that_are_replayed_are_in_theta() -> None:
    learner = Learner(MLP(FEATURES, [8]), [Replay(capacity=20)], scenario="task")
    learner.learn(blobs("first"))
    head = weights(learner.heads.layers[0])
    learner.learn(blobs("second", seed=1))
    assert "heads.layers.0.weight" in learner.theta.layout.shapes
    assert not same(weights(learner.heads.layers[0]), head)


class Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(FEATURES, FEATURES), nn.Linear(FEATURES, FEATURES)
        self.b.weight = self.a.weight

    def forward(self, x: Tensor) -> Tensor:
        return torch.as_tensor(self.b(torch.relu(self.a(x))))


def test_tied_weights_are_counted_once_and_stay_tied() -> None:
    torch.manual_seed(0)
    learner = Learner(Tied(), optimizer=OPTIMIZERS["momentum"])
    learner.learn(blobs())
    features = learner.network.features
    assert isinstance(features, Tied)
    assert features.a.weight is features.b.weight
    assert list(learner.theta.layout.shapes) == [
        "features.a.weight", "features.a.bias", "features.b.bias", "heads.layers.0.weight", "heads.layers.0.bias",
    ]  # fmt: skip
    assert learner.theta.moved() is None


def test_frozen_layers_are_left_out_and_come_back() -> None:
    model = MLP(FEATURES, [8, 5])
    model.layers[0].requires_grad_(False)
    learner = Learner(model, [L2(strength=0.1)], scenario="domain", optimizer=sgd(0.1, momentum=0.9, weight_decay=0.1))
    before = weights(learner.model)
    learner.learn(blobs("first"))
    assert "features.layers.0.weight" not in learner.theta.layout.shapes
    after = weights(learner.network.features)
    assert torch.equal(after["layers.0.weight"], before["layers.0.weight"])
    assert not torch.equal(after["layers.1.weight"], before["layers.1.weight"])
    learner.network.features.requires_grad_(True)
    learner.learn(blobs("second", seed=1))
    assert not torch.equal(weights(learner.network.features)["layers.0.weight"], before["layers.0.weight"])
    assert isinstance(learner.methods[0], L2)
    importance = learner.theta.layout.split(learner.methods[0].importance)
    assert (importance["features.layers.0.weight"] == 1).all(), "of the one task in which it was trained"
    assert (importance["features.layers.1.weight"] == 2).all()


def test_importance_of_a_layer_frozen_for_a_task_is_kept() -> None:
    learner = Learner(MLP(FEATURES, [8, 5]), [EWC(strength=1.0)], scenario="domain")
    learner.learn(blobs("first"))
    method = learner.methods[0]
    assert isinstance(method, EWC)
    kept = learner.theta.layout.split(method.importance)["features.layers.0.weight"].clone()
    layer = learner.network.get_submodule("features.layers.0")
    layer.requires_grad_(False)
    learner.learn(blobs("second", seed=1))
    assert torch.equal(learner.dormant["0.importance"]["features.layers.0.weight"], kept)
    layer.requires_grad_(True)
    learner.learn(blobs("third", seed=2))
    assert (learner.theta.layout.split(method.importance)["features.layers.0.weight"] >= kept).all()
    assert not learner.dormant["0.importance"]


def test_a_layer_that_a_method_freezes_at_the_start_does_not_move() -> None:
    class Freeze(AfterStep):
        def begin_task(self, learner: Learner, task: Task) -> None:
            self.action(learner)

        def after_step(self, learner: Learner) -> None:
            pass

    def freeze(learner: Learner) -> None:
        learner.network.get_submodule("features.layers.0").requires_grad_(False)

    learner = Learner(MLP(FEATURES, [8, 5]), [Freeze(freeze)], optimizer=sgd(0.1, momentum=0.9, weight_decay=0.1))
    before = weights(learner.model)
    learner.learn(blobs())
    after = weights(learner.network.features)
    assert torch.equal(after["layers.0.weight"], before["layers.0.weight"])
    assert not torch.equal(after["layers.1.weight"], before["layers.1.weight"])


def test_batch_norm_buffers_are_not_theta() -> None:
    learner = Learner(ConvNet(1, [2, 3]), scenario="domain", optimizer=OPTIMIZERS["momentum"])
    x = torch.rand(12, 1, 8, 8)
    learner.learn(Task("images", (x, [0, 1] * 6)))
    names = {name for name, _ in learner.network.named_buffers()}
    assert {"features.blocks.1.running_mean", "features.blocks.1.num_batches_tracked"} <= names
    assert not names & set(learner.theta.layout.shapes)
    assert int(learner.network.get_buffer("features.blocks.1.num_batches_tracked")) == 1


# Others change the parameters


def test_moving_to_another_dtype_between_tasks_binds_again() -> None:
    learner = Learner(MLP(FEATURES, [8]), [L2(strength=1.0)], scenario="task")
    learner.learn(blobs("first"))
    learner.network.to(torch.float64)
    assert learner.theta.moved() is not None
    learner.learn(blobs("second", seed=1, transform=torch.Tensor.double))
    assert learner.theta.moved() is None
    assert learner.theta.value.dtype is learner.heads.layers[1].get_parameter("weight").dtype is torch.float64
    learner.network.to(torch.float32)
    learner.learn(blobs("third", seed=2))
    assert learner.theta.value.dtype is torch.float32


def test_a_model_in_float64_gets_heads_in_float64() -> None:
    learner = Learner(MLP(FEATURES, [8]).double(), scenario="domain")
    task = blobs(transform=torch.Tensor.double)
    learner.learn(task)
    assert learner.theta.value.dtype is torch.float64
    assert learner.evaluate([task]).values[0][0] > 0.5


def replace_data(learner: Learner) -> None:
    parameter = next(learner.network.parameters())
    parameter.data = parameter.data.clone()


@pytest.mark.parametrize("change", [replace_data, lambda learner: learner.network.to(torch.float64)])
def test_replacing_a_parameter_in_the_middle_of_training_is_an_error(change: Callable[[Learner], object]) -> None:
    def once(learner: Learner) -> None:
        if learner.theta.moved() is None:
            change(learner)

    learner = Learner(MLP(FEATURES, [8]), [AfterStep(once)], batch_size=60)
    with pytest.raises(ThetaError) as caught:
        learner.learn(blobs())
    assert str(caught.value) == (
        "parameter 'features.layers.0.weight' no longer shares theta's memory: something replaced it during training "
        "(module.to(), parameter.data = ...). Change devices and dtypes between tasks, and values in place, as load_state_dict does"
    )
    assert learner.tasks == []


@pytest.mark.parametrize("assign", [False, True])
def test_load_state_dict_between_calls_reaches_theta(assign: bool) -> None:
    def learned(load: bool) -> Learner:
        learner = Learner(MLP(FEATURES, [8]), scenario="domain", optimizer=OPTIMIZERS["momentum"])
        learner.learn(blobs("first"))
        saved = weights(learner.network)
        if load:
            with torch.no_grad():
                learner.theta.value.zero_()
            learner.network.load_state_dict(saved, assign=assign)
            if not assign:
                assert torch.equal(learner.theta.value, torch.cat([p.detach().flatten() for p in learner.network.parameters()]))
        learner.learn(blobs("second", seed=1))
        assert learner.theta.moved() is None
        return learner

    assert same(weights(learned(True).network), weights(learned(False).network))


@pytest.mark.parametrize("to_none", [True, False, None])
def test_what_a_user_does_to_gradients_between_calls_does_not_matter(to_none: bool | None) -> None:
    def learned(zero: bool) -> Learner:
        learner = Learner(MLP(FEATURES, [8]), scenario="domain", optimizer=OPTIMIZERS["momentum"])
        learner.learn(blobs("first"))
        if zero:
            learner.network(torch.ones(2, FEATURES)).sum().backward()
            if to_none is not None:  # otherwise the gradient is left as it is
                learner.network.zero_grad(set_to_none=to_none)
        learner.learn(blobs("second", seed=1))
        return learner

    assert same(weights(learned(True).network), weights(learned(False).network))


@pytest.mark.parametrize("name", ["SGD", "momentum"])
def test_zero_grad_to_none_inside_a_moment_does_not_lose_the_gradient(name: str) -> None:
    def learned(method: EditGradient) -> dict[str, Tensor]:
        learner = Learner(MLP(FEATURES, [8]), [method], optimizer=OPTIMIZERS[name])
        learner.learn(blobs())
        return weights(learner.network)

    clearing = learned(EditGradient(lambda learner: learner.network.zero_grad(set_to_none=True)))
    assert same(clearing, learned(EditGradient(lambda learner: None)))


@pytest.mark.parametrize("name", ["SGD", "momentum"])
def test_zero_grad_in_place_inside_a_moment_is_an_edit_of_the_gradient(name: str) -> None:
    def learned(action: Callable[[Learner], object]) -> dict[str, Tensor]:
        learner = Learner(MLP(FEATURES, [8]), [EditGradient(action)], optimizer=OPTIMIZERS[name])
        learner.learn(blobs())
        return weights(learner.network)

    assert same(
        learned(lambda learner: learner.network.zero_grad(set_to_none=False)), learned(lambda learner: learner.theta.gradient.zero_())
    )


def test_zero_grad_after_the_step_does_not_matter() -> None:
    def learned(*methods: AfterStep) -> dict[str, Tensor]:
        learner = Learner(MLP(FEATURES, [8]), methods, optimizer=OPTIMIZERS["momentum"])
        learner.learn(blobs())
        return weights(learner.network)

    assert same(learned(), learned(AfterStep(lambda learner: learner.network.zero_grad(set_to_none=False))))


# What can't be a vector


def test_two_parameters_in_the_same_memory_are_an_error() -> None:
    a, b = nn.Linear(3, 2), nn.Linear(3, 2)
    b.weight = nn.Parameter(a.weight.data)
    with pytest.raises(ThetaError) as caught:
        bound(nn.ModuleDict({"a": a, "b": b}))
    assert str(caught.value) == (
        "parameters 'a.weight' and 'b.weight' are different Parameter objects in the same memory; "
        "tie weights by assigning one Parameter to both modules (b.weight = a.weight)"
    )


def test_parameters_that_overlap_in_part_are_an_error() -> None:
    whole = torch.zeros(6)
    with pytest.raises(ThetaError, match="'a' and 'b' are different Parameter objects in the same memory"):
        Theta().bind({"a": nn.Parameter(whole[:4]), "b": nn.Parameter(whole[2:])})
    Theta().bind({"a": nn.Parameter(whole[:3]), "b": nn.Parameter(whole[3:])})


def test_mixed_dtypes_are_an_error() -> None:
    network = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2).double())
    with pytest.raises(ThetaError) as caught:
        bound(network)
    assert str(caught.value) == (
        "the trainable parameters must have one dtype and one device to be one vector: '1.weight' is torch.float64 on cpu, "
        "'0.weight' is torch.float32 on cpu. Move the whole network with .to()"
    )


# Optimizers that look at whole parameters


class Normalised(torch.optim.Optimizer):
    """Each parameter's gradient scaled to its length, as in LARS: not element-wise."""

    def __init__(self, parameters: Iterable[nn.Parameter], lr: float) -> None:
        super().__init__(parameters, {"lr": lr})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            for parameter in group["params"]:
                parameter.sub_(group["lr"] * parameter.grad / parameter.grad.norm())


def test_an_optimizer_that_is_not_elementwise_gets_the_parameters() -> None:
    task = blobs()
    seen: list[list[torch.Size]] = []

    def look(learner: Learner) -> None:
        assert learner._run is not None
        seen.append([p.shape for group in learner._run.optimizer.param_groups for p in group["params"]])
        assert learner.theta.moved() is None

    learner = Learner(MLP(FEATURES, [8]), [AfterStep(look)], optimizer=functools.partial(Normalised, lr=0.1), batch_size=60)
    shape.probe(learner, task)
    learner.heads.admit(task.name, task.classes)
    own = copy.deepcopy(learner.network)
    order = torch.randperm(60, generator=copy.deepcopy(learner.order))
    learner.learn(task)
    assert seen == [[p.shape for p in own.parameters()]]
    cross_entropy(own(task.train.x[order]), task.train.y[order]).backward()  # type: ignore[no-untyped-call]
    Normalised(own.parameters(), 0.1).step()
    assert same(weights(learner.network), weights(own))
    for (name, parameter), view in zip(
        learner.network.named_parameters(), learner.theta.layout.split(learner.theta.value).values(), strict=True
    ):
        assert parameter.data_ptr() == view.data_ptr(), name


# Layouts

SHAPES = st.dictionaries(st.sampled_from("abcdef"), st.lists(st.integers(0, 4), min_size=0, max_size=3).map(tuple), min_size=1, max_size=5)


@st.composite
def grown(draw: st.DrawFn) -> tuple[Layout, Layout]:
    """A layout, and one in which some parameters left, some grew, some came and the order changed."""
    old = draw(SHAPES)
    stay = draw(st.lists(st.sampled_from(sorted(old)), unique=True))
    new = {name: tuple(n + draw(st.integers(0, 2)) for n in old[name]) for name in stay}
    new |= {name.upper(): shape for name, shape in draw(SHAPES).items()}
    order = draw(st.permutations(sorted(new)))
    return Layout(old), Layout({name: new[name] for name in order})


def counted(layout: Layout) -> Tensor:
    return torch.arange(1.0, layout.size + 1)


@given(SHAPES)
@settings(deadline=None, max_examples=50)
def test_sizes_add_up_and_split_is_a_view_of_everything(shapes: dict[str, tuple[int, ...]]) -> None:
    layout = Layout(shapes)
    assert layout.size == sum(torch.zeros(shape).numel() for shape in shapes.values())
    vector = counted(layout)
    parts = layout.split(vector)
    assert {name: tuple(part.shape) for name, part in parts.items()} == shapes
    assert torch.equal(torch.cat([part.reshape(-1) for part in parts.values()]), vector)
    for part in parts.values():
        part.zero_()
    assert not vector.any()


@given(SHAPES)
@settings(deadline=None, max_examples=50)
def test_the_identity_map_is_exact(shapes: dict[str, tuple[int, ...]]) -> None:
    layout, dormant = Layout(shapes), dict[str, Tensor]()
    vector = counted(layout)
    assert torch.equal(layout.remap(vector, layout, fill=9.0, dormant=dormant), vector)
    assert not dormant


@given(grown(), st.sampled_from([0.0, -1.0]))
@settings(deadline=None, max_examples=100)
def test_remap(layouts: tuple[Layout, Layout], fill: float) -> None:
    old, new = layouts
    vector, dormant = counted(old), dict[str, Tensor]()
    before, after = old.split(vector), new.split(new.remap(vector, old, fill=fill, dormant=dormant))
    assert after.keys() == new.shapes.keys()
    for name, part in after.items():
        if name not in before:
            assert (part == fill).all()
            continue
        corner = tuple(slice(n) for n in before[name].shape)
        assert torch.equal(part[corner], before[name]), "a parameter that grew keeps its leading corner"
        assert (part == fill).sum() == part.numel() - before[name].numel(), "and gets the fill elsewhere"
    assert dormant.keys() == before.keys() - after.keys()
    assert all(torch.equal(dormant[name], before[name]) for name in dormant)


@given(grown())
@settings(deadline=None, max_examples=100)
def test_what_leaves_theta_comes_back(layouts: tuple[Layout, Layout]) -> None:
    old, new = layouts
    vector, dormant = counted(old), dict[str, Tensor]()
    there = new.remap(vector, old, dormant=dormant)
    kept = {name: value.clone() for name, value in dormant.items()}
    both = Layout({**new.shapes, **{name: shape for name, shape in old.shapes.items() if name not in new.shapes}})
    back = both.split(both.remap(there, new, dormant=dormant))
    assert all(torch.equal(back[name], kept[name]) for name in kept)
    assert not dormant


def test_dormant_values_do_not_change_with_the_vector_they_came_from() -> None:
    old, new, dormant = Layout({"a": (2,), "b": (2,)}), Layout({"b": (2,)}), dict[str, Tensor]()
    vector = counted(old)
    new.remap(vector, old, dormant=dormant)
    vector.zero_()
    assert dormant["a"].tolist() == [1, 2]
