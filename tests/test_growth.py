"""Growing networks: what they compute stays, and everything that is kept for each parameter follows."""

import functools
import itertools
import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

import lifelong as ll
from lifelong.errors import GrowthError, ScenarioError, TaskError
from lifelong.fisher import diagonal_fisher
from lifelong.growth import Change, add_classes, add_head, change_of, deepen, growable, widen
from lifelong.method import Declared
from lifelong.models import MLP, ConvNet, ReducedResNet18
from lifelong.models.heads import Heads, Network
from lifelong.optimizers import OptimizerState, grown
from lifelong.structure import Structure
from lifelong.testing.comparing import die_at_checkpoint
from lifelong.theta import Layout
from toys import blobs, same, sgd, weights

Drawn = st.DataObject


def network_of(features: nn.Module, x: Tensor, seed: int = 0) -> Network:
    """The features with a head of three classes, all weights and statistics random, in evaluation mode."""
    generator = torch.Generator().manual_seed(seed)
    width = features.eval()(x).shape[1]
    heads = Heads(width, "class", seed)
    heads.admit("a", ["u", "v", "w"])
    network = Network(features, heads).eval()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            for tensor, low, high in ((module.weight, -1.5, 1.5), (module.bias, -1, 1), (module.running_mean, -1, 1)):
                assert tensor is not None
                tensor.data.uniform_(low, high, generator=generator)
            assert module.running_var is not None
            module.running_var.uniform_(0.5, 2.0, generator=generator)
    return network


def chain(*sizes: int, norm: bool = False) -> nn.Sequential:
    layers: list[nn.Module] = []
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(sum(sizes))
        for before, after in itertools.pairwise(sizes):
            layers += [nn.Linear(before, after), *([nn.BatchNorm1d(after)] if norm else []), nn.ReLU()]
    return nn.Sequential(*layers)


class Residual(nn.Module):
    """A convolution, a residual sum, pooling, and a Linear layer that reads it flattened."""

    def __init__(self, maps: int) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(maps)
            self.stem = nn.Conv2d(2, maps, 3, padding=1)
            self.one = nn.Conv2d(maps, maps, 3, padding=1)
            self.norm = nn.BatchNorm2d(maps)
            self.last = nn.Linear(4 * maps, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.stem(x))
        x = torch.relu(x + self.norm(self.one(x)))
        return torch.relu(self.last(torch.flatten(nn.functional.avg_pool2d(x, 2), 1)))


FAMILIES: dict[str, Callable[[Drawn], tuple[nn.Module, Tensor]]] = {
    "mlp": lambda data: (MLP(5, data.draw(st.lists(st.integers(1, 7), min_size=1, max_size=4))), torch.zeros(4, 5)),
    "norm": lambda data: (chain(5, *data.draw(st.lists(st.integers(1, 6), min_size=1, max_size=3)), norm=True), torch.zeros(4, 5)),
    "convnet": lambda data: (ConvNet(2, data.draw(st.lists(st.integers(1, 5), min_size=1, max_size=2))), torch.zeros(2, 2, 4, 4)),
    "residual": lambda data: (Residual(data.draw(st.integers(1, 5))), torch.zeros(2, 2, 4, 4)),
    "resnet": lambda data: (ReducedResNet18(2, data.draw(st.integers(1, 3))), torch.zeros(1, 2, 8, 8)),
}


SHARES = {"mlp": 300, "norm": 200, "convnet": 200, "residual": 250, "resnet": 50}


@pytest.mark.parametrize(
    ("family", "count"), [*((family, 8) for family in SHARES), *(pytest.param(*each, marks=pytest.mark.slow) for each in SHARES.items())]
)
def test_growing_leaves_what_a_network_computes(family: str, count: int) -> None:
    """One thousand random networks and inputs in all."""

    @settings(max_examples=count, deadline=None, database=None)
    @given(data=st.data())
    def grows(data: Drawn) -> None:
        features, x = FAMILIES[family](data)
        seed = data.draw(st.integers(0, 2**31))
        x = torch.randn(x.shape, generator=torch.Generator().manual_seed(seed))
        network = network_of(features, x, seed)
        network.requires_grad_(False)
        before = network(x)
        layers = list(Structure(network.features).made)
        layer = data.draw(st.sampled_from(layers))
        units = Structure(network.features).units(layer)
        more = data.draw(st.integers(1, 8))
        change = change_of(network, widen(layer, units.size + more, noise=data.draw(st.sampled_from([0.0, 0.1, 1.0])), seed=seed))
        scale = max(1.0, float(before.abs().max()))
        assert float((network(x) - before).abs().max()) < 1e-5 * scale
        assert network.get_parameter(f"features.{layer}.weight").shape[0] == units.size + more
        assert {name: tuple(t.shape) for name, t in network.state_dict().items()} == {
            name: tuple(t.shape) for name, t in change.carry(change_source(change, network)).items()
        }
        if deepens(network, data.draw(st.sampled_from(layers))):
            network.requires_grad_(False)
            assert float((network(x) - before).abs().max()) < 1e-5 * scale

    grows()


def change_source(change: Change, network: Network) -> dict[str, Tensor]:
    """Tensors in the shapes from before a widening, from those after it."""
    source = network.state_dict()
    for name, parts in change.parts.items():
        for part in parts:
            source[name] = source[name].index_select(part.dimension, torch.arange(int(part.index.max()) + 1))
    return source


def deepens(network: Network, layer: str) -> bool:
    try:
        change_of(network, deepen(layer))
    except GrowthError as error:
        assert "followed by add" in str(error)
        return False
    return True


def test_a_copy_s_gradient_is_measured_as_it_is_carried() -> None:
    """The rule by which state follows, against gradients and Fisher information measured anew in the grown network."""
    x, y = torch.randn(8, 5, generator=torch.Generator().manual_seed(1)), torch.arange(8) % 3
    network = network_of(MLP(5, [4, 3], seed=2), x)
    small = gradients(network, x, y)
    squares = squared(network, x, y)
    for operation in (widen("layers.0", 7, noise=0.0, seed=3), widen("layers.1", 5, noise=0.0, seed=4)):
        change = change_of(network, operation)
        small, squares = change.carry(small, "gradient"), change.carry(squares, "squared gradient")
    for carried, measured in ((small, gradients(network, x, y)), (squares, squared(network, x, y))):
        for name in measured:
            torch.testing.assert_close(carried[name], measured[name], rtol=1e-4, atol=1e-7)


def gradients(network: Network, x: Tensor, y: Tensor) -> dict[str, Tensor]:
    named = dict(network.named_parameters())
    loss = cross_entropy(network(x), y)
    return dict(zip(named, torch.autograd.grad(loss, list(named.values())), strict=True))


def squared(network: Network, x: Tensor, y: Tensor) -> dict[str, Tensor]:
    """The mean of squared per-example gradients, by a loop."""
    each = [gradients(network, x[i : i + 1], y[i : i + 1]) for i in range(len(x))]
    return {name: torch.stack([one[name].square() for one in each]).mean(0) for name in each[0]}


def test_ewc_s_importance_after_growth_is_the_fisher_information_of_the_grown_network() -> None:
    method = ll.methods.EWC(strength=1.0, examples=None)
    learner = ll.Learner(MLP(6, [5]), [method], "domain", optimizer=sgd(0.1))
    task = blobs()
    learner.learn(task)
    learner.grow(widen("layers.0", 9, noise=0.0))
    kept = learner.methods[0]
    assert isinstance(kept, ll.methods.EWC)
    learner._examples = None
    anew = diagonal_fisher(learner, task, "exact", None, torch.Generator())
    torch.testing.assert_close(kept.importance, anew, rtol=1e-4, atol=1e-8)
    assert torch.equal(kept.center, learner.theta.value)  # the solution of the only task is what the network is


def test_the_penalty_s_centre_moves_with_the_noise() -> None:
    learner = ll.Learner(MLP(6, [5]), [ll.methods.L2(strength=1.0)], "domain")
    learner.learn(blobs())
    learner.grow(widen("layers.0", 9, noise=0.5))
    kept = learner.methods[0]
    assert isinstance(kept, ll.methods.L2)
    assert torch.equal(kept.center, learner.theta.value)
    assert torch.equal(kept.importance, torch.ones_like(kept.importance))


@pytest.mark.parametrize(
    "optimizer",
    [
        functools.partial(torch.optim.SGD, lr=0.1, momentum=0.9),
        functools.partial(torch.optim.Adam, lr=0.1),
        functools.partial(torch.optim.Adam, lr=0.1, amsgrad=True),
        functools.partial(torch.optim.RMSprop, lr=0.1, momentum=0.5),
        functools.partial(torch.optim.Adagrad, lr=0.1),
    ],
)
def test_the_optimizer_s_state_follows(optimizer: Callable[..., torch.optim.Optimizer]) -> None:
    """Flat or a tensor a parameter, it is the same; momentum is like a gradient and a second moment like its square."""
    learner = ll.Learner(MLP(6, [5]), [], "domain", optimizer=optimizer, reset_optimizer=False)
    learner.learn(blobs())
    flat = learner._carried
    assert flat is not None and flat.flat
    each = {
        f"{i}.{name.partition('.')[2]}": part
        for name, tensor in flat.tensors.items()
        if tensor.shape == (flat.layout.size,)
        for i, part in enumerate(flat.layout.split(tensor).values())
    }
    separate = OptimizerState(each, flat.rest, flat.layout, False)
    change = change_of(learner.network, widen("layers.0", 9, seed=1))
    one, other = grown(flat, change), grown(separate, change)
    assert one.layout == other.layout
    for name, tensor in one.tensors.items():
        if tensor.shape == (one.layout.size,):
            parts = [other.tensors[f"{i}.{name.partition('.')[2]}"].flatten() for i in range(len(one.layout.shapes))]
            assert torch.equal(tensor, torch.cat(parts))
    kind = next(name for name in ("exp_avg_sq", "square_avg", "sum", "momentum_buffer") if f"0.{name}" in flat.tensors)
    incoming = flat.layout.split(flat.tensors[f"0.{kind}"])["features.layers.0.bias"]
    (part,) = change.parts["features.layers.0.bias"]
    share = part.copies if kind == "momentum_buffer" else part.copies.square()
    torch.testing.assert_close(one.layout.split(one.tensors[f"0.{kind}"])["features.layers.0.bias"], incoming[part.index] / share)


def test_a_run_s_optimizer_goes_on_after_growth() -> None:
    learner = ll.Learner(MLP(6, [5]), [], "domain", optimizer=torch.optim.Adam, reset_optimizer=False)
    learner.learn(blobs())
    assert learner._carried is not None
    steps = learner._carried.tensors["0.step"]
    learner.grow(widen("layers.0", 9))
    learner.grow(deepen("layers.0"))
    assert learner._carried.layout.shapes["features.layers.0.0.weight"] == (9, 6)
    learner.learn(blobs("second", seed=1))
    assert learner._carried.tensors["0.step"] == steps + 2
    assert "features.layers.0.2.weight" in learner._carried.layout.shapes


def test_new_entries_start_at_the_fill_and_values_at_the_network_s() -> None:
    change = Change(renamed={"a": "b"}, fresh={"c": torch.tensor([5.0])})
    old, new = Layout({"a": (2,)}), Layout({"c": (1,), "b": (2,)})
    vector = torch.tensor([1.0, 2.0])
    assert change.vector(vector, old, new, Declared(7.0, "gradient")).tolist() == [7.0, 1.0, 2.0]
    assert change.vector(vector, old, new, Declared(7.0, "theta")).tolist() == [5.0, 1.0, 2.0]


@pytest.mark.parametrize(("noise", "alike"), [(0.0, True), (0.1, False)])
def test_copies_part_in_training_only_with_noise(noise: float, alike: bool) -> None:
    learner = ll.Learner(MLP(6, [3, 3]), [], "domain", optimizer=sgd(0.1), epochs=3)
    learner.learn(blobs())
    learner.grow(widen("layers.0", 6, noise=noise))
    weight = learner.network.get_parameter("features.layers.0.weight")
    index = torch.cat([torch.arange(3), *[torch.tensor([i]) for i in range(3)]])
    origin = [next(i for i in range(3) if torch.equal(weight[row], weight[i])) for row in range(6)]
    learner.learn(blobs("second", seed=1))
    after = learner.network.get_parameter("features.layers.0.weight")
    together = [torch.equal(after[row], after[origin[row]]) for row in range(3, 6) if bool((weight[row] != 0).any())]
    assert all(together) if alike else not any(together), (index, together)


def test_an_opened_learner_has_grown_and_grows_on(tmp_path: Path) -> None:
    learner = ll.Learner(MLP(6, [5, 4]), [ll.methods.EWC(), ll.methods.Replay(capacity=9)], "class", optimizer=sgd(0.1, momentum=0.9))
    learner.learn(blobs())
    learner.grow(widen("layers.1", 7))
    learner.grow(deepen("layers.0"))
    learner.save(tmp_path)
    opened = ll.Learner.open(tmp_path)
    assert [each["operation"] for each in opened.journal] == ["add_classes", "widen", "deepen"]
    assert json.loads(json.dumps(opened.journal)) == learner.journal
    for each in (learner, opened):
        each.grow(widen("layers.0.2", 9))
        each.learn(blobs("second", seed=1, classes=(3, 4)))
    assert same(weights(learner.network), weights(opened.network))
    assert same(learner.methods[0].state(), opened.methods[0].state())
    assert opened.sizes == learner.sizes


def test_growth_is_drawn_from_the_learner_s_seed() -> None:
    one, same_seed, other = (ll.Learner(MLP(6, [5]), [], "domain", seed=seed) for seed in (0, 0, 1))
    for learner in (one, same_seed, other):
        learner.learn(blobs())
        learner.grow(widen("layers.0", 9))
    assert one.journal == same_seed.journal
    assert one.journal[-1]["seed"] != other.journal[-1]["seed"]


def test_row_0_of_the_matrix_is_the_first_network_grown() -> None:
    """An untrained network that has grown computes what it computed, so row 0 for a later task is what it would have been."""
    tasks = [blobs(), blobs("second", seed=1)]
    plain, growing = (ll.Learner(MLP(6, [5]), [], "domain") for _ in range(2))
    for learner in (plain, growing):
        learner.learn(tasks[0])
    growing.grow(widen("layers.0", 12))
    growing.grow(deepen("layers.0"))
    for learner in (plain, growing):
        learner.learn(tasks[1])
    assert growing.matrix.values[0].tolist() == plain.matrix.values[0].tolist()


def test_an_error_in_learning_takes_back_the_growth() -> None:
    class Grows(ll.Method):
        def begin_task(self, learner: ll.Learner, task: ll.Task) -> None:
            if learner.tasks:
                learner.grow(widen("layers.0", 9))
                raise RuntimeError("after growing")

    learner = ll.Learner(MLP(6, [5]), [Grows(), ll.methods.EWC()], "domain")
    learner.learn(blobs())
    before, journal = weights(learner.network), list(learner.journal)
    with pytest.raises(RuntimeError, match="after growing"):
        learner.learn(blobs("second", seed=1))
    assert same(weights(learner.network), before)
    assert learner.journal == journal
    learner.methods = learner.methods[1:]
    learner._generators = learner._generators[1:]
    learner.learn(blobs("second", seed=1))


# What can't be grown, and why.


class Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = nn.Linear(4, 4), nn.Linear(4, 4)
        self.two.weight = self.one.weight

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.two(torch.relu(self.one(x))))


class Scaled(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.one, self.scale = nn.Linear(4, 4), nn.Parameter(torch.ones(4))

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.one(x)) * self.scale


class Branching(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.one = nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.one(x)
        return torch.relu(y) if y.sum() > 0 else y


class Unflattened(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = nn.Conv2d(1, 4, 3, padding=1), nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.two(torch.relu(self.one(x)))
        return y.mean((2, 3))


class Concatenated(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = nn.Linear(4, 3), nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([self.one(x), self.two(x)], 1)


@pytest.mark.parametrize(
    ("features", "x", "operation", "message"),
    [
        (MLP(4, [3]), (2, 4), widen("layers.9", 5, seed=0), "layer 'layers.9' does not exist; expected a Linear or convolutional layer"),
        (MLP(4, [3]), (2, 4), widen("layer.0", 5, seed=0), "did you mean 'layers.0'?"),
        (MLP(4, [3]), (2, 4), widen("layers", 5, seed=0), "layer 'layers' is a ModuleList"),
        (MLP(4, [3]), (2, 4), widen("layers.0", 3, seed=0), "width of 'layers.0' is 3; expected an integer above the 3 units that it has"),
        (MLP(4, [3]), (2, 4), deepen("layers.3"), "layer 'layers.3' does not exist"),
        (Tied(), (2, 4), widen("one", 5, seed=0), "'one.weight' and 'two.weight' are one parameter"),
        (Scaled(), (2, 4), widen("one", 5, seed=0), "the tensor 'scale' is used together with them"),
        (Branching(), (2, 4), widen("one", 5, seed=0), "torch.fx can't follow its forward pass"),
        (Unflattened(), (2, 1, 4, 4), widen("one", 5, seed=0), "'two' reads them as another form than (N, units)"),
        (Concatenated(), (2, 4), widen("one", 5, seed=0), "'cat' reads them, and it is not known how it would read more"),
        (
            nn.Sequential(nn.Linear(4, 4), nn.LayerNorm(4)),
            (2, 4),
            widen("0", 5, seed=0),
            "layer '0' can't be widened: its units are 4, and '1' (LayerNorm) reads them",
        ),
        (
            nn.Sequential(nn.Conv2d(2, 4, 3), nn.Conv2d(4, 4, 1, groups=2), nn.Flatten()),
            (2, 2, 3, 3),
            widen("0", 5, seed=0),
            "'1' is a convolution in 2 groups",
        ),
        (nn.Sequential(nn.Linear(4, 4), nn.Tanh()), (2, 4), deepen("0"), "nothing can be put behind '0': it is followed by 1"),
        (nn.Sequential(nn.Linear(4, 4)), (2, 4), deepen("0"), "it is followed by output, and an identity layer stays one only behind ReLU"),
    ],
)
def test_errors(features: nn.Module, x: tuple[int, ...], operation: dict[str, object], message: str) -> None:
    network = Network(features, Heads(features(torch.zeros(x)).shape[1] if not isinstance(features, Branching) else 4, "class", 0))
    network.heads.admit("a", ["u"])
    before, names = weights(network), [name for name, _ in network.named_modules()]
    with pytest.raises(GrowthError) as error:
        change_of(network, operation)
    assert message in str(error.value)
    assert same(weights(network), before) and [name for name, _ in network.named_modules()] == names


def test_what_can_be_widened() -> None:
    x = torch.zeros(1, 2, 8, 8)
    assert growable(network_of(ConvNet(2, [3, 4]), x)) == {"blocks.0": 3, "blocks.4": 4}
    assert growable(network_of(Residual(3), x[..., :4, :4])) == {"stem": 3, "last": 5}
    assert growable(network_of(nn.Sequential(nn.Linear(4, 4), nn.LayerNorm(4)), torch.zeros(2, 4))) == {}


def test_layers_whose_sum_is_read_grow_together() -> None:
    units = Structure(ReducedResNet18(3, 2)).units("blocks.0.second.0")
    assert set(units.makers) == {"stem.0", "blocks.0.second.0", "blocks.1.second.0"}
    assert set(units.readers) == {"blocks.0.first.0", "blocks.1.first.0", "blocks.2.first.0", "blocks.2.shortcut.0"}


def test_growing_needs_a_network_and_a_task_s_end(tmp_path: Path) -> None:
    learner = ll.Learner(MLP(6, [5]), [], "domain", batch_size=10)
    with pytest.raises(TaskError, match="has not learned anything yet"):
        learner.grow(widen("layers.0", 9))
    die_at_checkpoint(learner, blobs(), tmp_path, 2)
    with pytest.raises(TaskError, match="task 'first' is in progress; grow when it is learned"):
        ll.Learner.open(tmp_path).grow(widen("layers.0", 9))


def test_declared_classes_compete_and_are_not_predicted() -> None:
    learner = ll.Learner(MLP(6, [8]), [], "class", optimizer=sgd(0.1), epochs=5)
    learner.learn(blobs(classes=("a", "b")))
    learner.grow(add_classes(["d", "c"]))
    assert learner.classes == ["a", "b"]
    assert learner.classes_of() == ["a", "b", "d", "c"]
    assert set(learner.predict(blobs(classes=("a", "b")).train.x).tolist()) <= {"a", "b"}
    learner.learn(blobs("second", seed=1, classes=("c", "d")))
    assert learner.classes == ["a", "b", "d", "c"]
    with pytest.raises(ScenarioError, match=r"the classes \['c'\] have outputs already"):
        learner.grow(add_classes(["c"]))


def test_outputs_start_alike_in_every_order() -> None:
    rows = {}
    for order in (["c", "d", "e"], ["e", "c", "d"]):
        learner = ll.Learner(MLP(6, [8]), [], "class")
        learner.learn(blobs(classes=("a", "b")))
        learner.grow(add_classes(order))
        layer = learner.heads.layers[0]
        assert isinstance(layer, nn.Linear)
        rows[tuple(order)] = {name: layer.weight[row].tolist() for row, name in enumerate(learner.classes_of())}
    assert rows["c", "d", "e"] == rows["e", "c", "d"]


def test_a_head_can_be_added_before_its_task() -> None:
    tasks = [blobs(), blobs("second", seed=1)]
    early, late = (ll.Learner(MLP(6, [8]), [], "task") for _ in range(2))
    for learner in (early, late):
        learner.learn(tasks[0])
    early.grow(add_head("second", [0, 1, 2]))
    assert early.classes_of("second") == [0, 1, 2]
    for learner in (early, late):
        learner.learn(tasks[1])
    assert same(weights(early.network), weights(late.network))
    with pytest.raises(ScenarioError, match="in the scenario 'class' only, and this is 'task'"):
        early.grow(add_classes([7]))
