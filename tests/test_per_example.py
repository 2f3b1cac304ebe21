from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from lifelong import per_example
from lifelong.models import GRU, MLP, ConvNet, MemoryNetwork, ReducedResNet18
from lifelong.per_example import Power, sum_of_gradients
from lifelong.theta import Theta

Scores = Callable[[Tensor, Tensor], Tensor]
Inputs = Callable[[int], Tensor]
DOUBLE = torch.float64


def bound(network: nn.Module) -> Theta:
    theta = Theta()
    theta.bind({name: p for name, p in network.named_parameters() if p.requires_grad})
    return theta


def log_p(network: nn.Module) -> Scores:
    return lambda x, y: network(x).log_softmax(1)


def by_hand(theta: Theta, scores: Scores, x: Tensor, y: Tensor, power: Power) -> Tensor:
    """One example and one score at a time."""
    total = torch.zeros(theta.layout.size, dtype=theta.value.dtype)
    for n in range(len(x)):
        for k in range(scores(x[:1], y[:1]).shape[1]):
            for parameter in theta.parameters:
                parameter.grad = None
            scores(x[n : n + 1], y[n : n + 1])[0, k].backward()  # type: ignore[no-untyped-call]
            gradient = torch.cat([(torch.zeros_like(p) if p.grad is None else p.grad).flatten() for p in theta.parameters])
            total += gradient**2 if power == "squared" else gradient.abs()
    theta.drop()
    return total


class Shared(nn.Module):
    """One Linear called twice."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(4, 4), nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        return torch.as_tensor(self.b(torch.tanh(self.a(torch.tanh(self.a(x))))))


class Tied(nn.Module):
    """Two Linear with one weight."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(4, 4), nn.Linear(4, 4)
        self.b.weight = self.a.weight

    def forward(self, x: Tensor) -> Tensor:
        return torch.as_tensor(self.b(torch.tanh(self.a(x))))


class Rows(nn.Module):
    """A Linear on a matrix with two rows an example."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(2, 3), nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        return torch.as_tensor(self.b(torch.tanh(self.a(x.reshape(-1, 2))).reshape(len(x), -1)))


class Cosine(nn.Module):
    """A Linear that keeps a weight and is never called."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(4, 5), nn.Linear(5, 3, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return functional.linear(functional.normalize(self.a(x)), functional.normalize(self.b.weight))


class UsedBesides(nn.Module):
    """A Linear that is called, and whose weight is used directly too."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        return functional.linear(torch.tanh(self.a(x)), self.a.weight.T)


class Besides(nn.Module):
    """A layer before and a layer after what is given, with a head on top."""

    def __init__(self, module: nn.Module, forward: Callable[[nn.Module, Tensor], Tensor], width: int) -> None:
        super().__init__()
        self.module, self.run, self.head = module, forward, nn.Linear(width, 3)

    def forward(self, x: Tensor) -> Tensor:
        return torch.as_tensor(self.head(torch.tanh(self.run(self.module, x))))


class Scale(nn.Module):
    """A user's own layer: two parameters, one output."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.scale, self.shift = nn.Parameter(torch.randn(width)), nn.Parameter(torch.randn(width))

    def forward(self, x: Tensor) -> Tensor:
        return torch.exp(self.scale * x) + self.shift.square()


class Asking(Scale):
    """One that looks at a value, which vmap can't."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) if float(x.detach().abs().max()) < 1e9 else x


class Mixed(Scale):
    """One that looks at all inputs of a batch."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x - x.mean(0))


class WithParts(Scale):
    """One with a layer inside."""

    def __init__(self, width: int) -> None:
        super().__init__(width)
        self.inner = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(self.inner(x))


class View(Scale):
    """One that gives a view, which autograd puts elsewhere in its graph when it is changed in place."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x)[:, :3]


class Named(Scale):
    """One with an argument besides."""

    def forward(self, x: Tensor, power: int = 1) -> Tensor:
        return super().forward(x**power)


class Double(nn.Module):
    """One with two names for one parameter."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = self.shift = nn.Parameter(torch.ones(4))

    def forward(self, x: Tensor) -> Tensor:
        return self.scale * x + self.shift.square()


class Two(Scale):
    """One that reads two tensors."""

    def forward(self, x: Tensor, y: Tensor) -> Tensor:  # type: ignore[override]
        return super().forward(x) * y


class WithoutGradient(nn.Module):
    """Its first layer works where autograd doesn't look."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(4, 5), nn.Linear(5, 3)

    def forward(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            h = torch.tanh(self.a(x))
        return torch.as_tensor(self.b(h))


class Unused(nn.Module):
    """Its second layer is not in the output's graph."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.aside = nn.Linear(4, 3), nn.Linear(3, 3)

    def forward(self, x: Tensor) -> Tensor:
        return torch.as_tensor(self.a(x))


def normed() -> nn.Module:
    """Its Linear's weight is computed from other parameters."""
    return nn.Sequential(torch.nn.utils.spectral_norm(nn.Linear(4, 5)), nn.Tanh(), nn.Linear(5, 3))


def parametrized() -> nn.Module:
    return nn.Sequential(torch.nn.utils.parametrizations.weight_norm(nn.Linear(4, 5)), nn.Tanh(), nn.Linear(5, 3))


def part_frozen() -> nn.Module:
    network = nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 5), nn.Tanh(), nn.Linear(5, 3))
    network[0].requires_grad_(False)
    network[2].bias.requires_grad_(False)
    return network


def convolutions_frozen() -> nn.Module:
    """Of the first convolution the bias is trained, of the second the weight, of the norm the shift."""
    layers = nn.Sequential(nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3), nn.Conv2d(3, 4, 2))
    for parameter in (layers[0].weight, layers[1].weight, layers[2].bias):
        parameter.requires_grad_(False)
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(4 * 9, 3))


def recurrent_frozen() -> nn.Module:
    reader = nn.GRU(3, 4, batch_first=True).requires_grad_(False)
    return Besides(reader, lambda module, x: module(x)[0][:, -1], 4)


def hooked() -> nn.Module:
    """What its first layer gives is changed afterwards."""
    network = nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 3))
    network[0].register_forward_hook(lambda layer, inputs, output: output.square())
    return network


def images(channels: int, size: int) -> Inputs:
    return lambda count: torch.randn(count, channels, size, size, dtype=DOUBLE)


def numbers(*shape: int) -> Inputs:
    return lambda count: torch.randn(count, *shape, dtype=DOUBLE)


def words(*shape: int) -> Inputs:
    return lambda count: torch.randint(1, 7, (count, *shape))


def stories(count: int) -> Tensor:
    """Questions and statements of one to three words, some with fewer statements."""
    x = torch.randint(1, 7, (count, 4, 3))
    x[::2, 3] = 0
    x[1::3, :, 2] = 0
    return x


def with_head(features: nn.Module, width: int) -> nn.Module:
    return nn.Sequential(features, nn.Linear(width, 3))


def layers(*modules: nn.Module, width: int) -> nn.Module:
    return nn.Sequential(*modules, nn.Flatten(), nn.Linear(width, 3))


def of_sentence(module: nn.Module, x: Tensor) -> Tensor:
    return torch.as_tensor(module(x).mean(1))


BY_LAYERS: dict[str, tuple[Callable[[], nn.Module], Inputs]] = {
    "MLP": (lambda: with_head(MLP(4, [6, 5]), 5), numbers(4)),
    "without a bias": (lambda: nn.Sequential(nn.Linear(4, 5, bias=False), nn.Tanh(), nn.Linear(5, 3, bias=False)), numbers(4)),
    "in place": (lambda: nn.Sequential(nn.Linear(4, 5), nn.ReLU(inplace=True), nn.Linear(5, 3)), numbers(4)),
    "partly frozen": (part_frozen, numbers(4)),
    "unused layer": (Unused, numbers(4)),
    "layer without gradient": (WithoutGradient, numbers(4)),
    "layer norm": (lambda: nn.Sequential(nn.Linear(4, 5), nn.LayerNorm(5), nn.Linear(5, 3)), numbers(4)),
    "batch norm of vectors": (lambda: nn.Sequential(nn.Linear(4, 5), nn.BatchNorm1d(5), nn.Tanh(), nn.Linear(5, 3)), numbers(4)),
    "3-D inputs": (lambda: layers(nn.Linear(3, 2), nn.Tanh(), width=4), numbers(2, 3)),
    "4-D inputs": (lambda: layers(nn.Linear(3, 2, bias=False), nn.Tanh(), width=40), numbers(4, 5, 3)),
    "ConvNet": (lambda: with_head(ConvNet(1, [3, 4]), 4), images(1, 8)),
    "ResNet": (lambda: with_head(ReducedResNet18(2, 2), 16), images(2, 8)),
    "convolutions partly frozen": (convolutions_frozen, images(2, 6)),
    "convolutions in place": (
        lambda: layers(nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3), nn.ReLU(inplace=True), nn.Conv2d(3, 2, 1), nn.ReLU(inplace=True), width=32),
        images(2, 6),
    ),
    "strides, dilation and groups": (
        lambda: layers(nn.Conv2d(4, 6, (3, 2), (2, 1), (1, 0), (1, 2), groups=2), nn.Tanh(), nn.Conv2d(6, 6, 2, groups=6), width=90),
        images(4, 8),
    ),
    "1-D convolution": (lambda: layers(nn.Conv1d(3, 4, 3, stride=2, padding="valid"), nn.Tanh(), width=16), numbers(3, 9)),
    "transposed convolution": (lambda: layers(nn.ConvTranspose2d(2, 3, 2), nn.Tanh(), width=48), images(2, 3)),
    "group norm": (lambda: layers(nn.Conv2d(2, 4, 3), nn.GroupNorm(2, 4), nn.Tanh(), width=16), images(2, 4)),
    "instance norm": (lambda: layers(nn.Conv2d(2, 4, 3), nn.InstanceNorm2d(4, affine=True), nn.Tanh(), width=16), images(2, 4)),
    "embedding": (lambda: Besides(nn.Embedding(7, 4, padding_idx=0), of_sentence, 4), words(5)),
    "embedding of one word": (lambda: nn.Sequential(nn.Embedding(7, 3)), words()),
    "PReLU": (lambda: nn.Sequential(nn.Linear(4, 5), nn.PReLU(5), nn.Linear(5, 3)), numbers(4)),
    "a user's module": (lambda: nn.Sequential(nn.Linear(4, 5), Scale(5), nn.Linear(5, 3)), numbers(4)),
    "parameter with two names": (lambda: nn.Sequential(Double(), nn.Linear(4, 3)), numbers(4)),
    "frozen recurrent module": (recurrent_frozen, numbers(5, 3)),
}
ONE_BY_ONE: dict[str, tuple[Callable[[], nn.Module], Inputs]] = {
    "layer called twice": (Shared, numbers(4)),
    "tied weights": (Tied, numbers(4)),
    "two rows an example": (Rows, numbers(4)),
    "weight used directly": (Cosine, numbers(4)),
    "weight called and used": (UsedBesides, numbers(4)),
    "spectral norm": (normed, numbers(4)),
    "weight norm": (parametrized, numbers(4)),
    "hook that changes the output": (hooked, numbers(4)),
    "module that vmap can't go through": (lambda: nn.Sequential(nn.Linear(4, 5), Asking(5), nn.Linear(5, 3)), numbers(4)),
    "embedding bag": (lambda: Besides(nn.EmbeddingBag(7, 4), lambda module, x: module(x), 4), words(5)),
    "module with a layer inside": (lambda: nn.Sequential(WithParts(4), nn.Linear(4, 3)), numbers(4)),
    "view changed in place": (lambda: nn.Sequential(View(4), nn.ReLU(inplace=True), nn.Linear(3, 3)), numbers(4)),
    "module with an argument": (lambda: Besides(Named(4), lambda module, x: module(x, power=2), 4), numbers(4)),
    "module of two tensors": (lambda: Besides(Two(4), lambda module, x: module(x, x.sin()), 4), numbers(4)),
    "positions first": (lambda: Besides(nn.Linear(3, 4), lambda module, x: module(x.transpose(0, 1)).mean(0), 4), numbers(12, 3)),
    "GRU": (lambda: with_head(GRU(6, dimension=3, hidden=4), 4), stories),
    "memory network": (lambda: with_head(MemoryNetwork(6, hops=2, dimension=4, sentences=3), 4), stories),
}
NETWORKS = BY_LAYERS | ONE_BY_ONE


def prepared(name: str, count: int) -> tuple[nn.Module, Tensor, Tensor]:
    """A network in float64 with statistics that are not the first ones, inputs and labels."""
    torch.manual_seed(0)
    make, inputs = NETWORKS[name]
    network = make().double()
    network(inputs(9))
    return network.eval(), inputs(count), torch.randint(3, (count,))


@pytest.mark.parametrize("power", ["squared", "absolute"])
@pytest.mark.parametrize("name", NETWORKS)
def test_equals_a_loop_over_examples(name: str, power: Power, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(per_example, "CHUNK", 5)
    network, x, y = prepared(name, 12)
    theta = bound(network)
    buffers = [buffer.clone() for buffer in network.buffers()]
    got = sum_of_gradients(network, theta, log_p(network), (x, y), power)
    assert torch.allclose(got, by_hand(theta, log_p(network), x, y, power), rtol=1e-9, atol=1e-12)
    assert got.any()
    assert all(p.grad is None for p in network.parameters())
    assert all(torch.equal(a, b) for a, b in zip(buffers, network.buffers(), strict=True))


@pytest.mark.parametrize("power", ["squared", "absolute"])
@pytest.mark.parametrize("name", NETWORKS)
def test_one_score(name: str, power: Power) -> None:
    network, x, y = prepared(name, 12)
    theta = bound(network)

    def scores(x: Tensor, y: Tensor) -> Tensor:
        return torch.as_tensor(network(x).log_softmax(1).gather(1, y[:, None]))

    got = sum_of_gradients(network, theta, scores, (x, y), power)
    assert torch.allclose(got, by_hand(theta, scores, x, y, power), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", BY_LAYERS)
def test_float32(name: str) -> None:
    network, x, y = prepared(name, 12)
    theta = bound(network)
    expected = by_hand(theta, log_p(network), x, y, "squared")
    network.float()
    theta = bound(network)
    got = sum_of_gradients(network, theta, log_p(network), (x.float() if x.is_floating_point() else x, y))
    assert got.dtype == torch.float32
    assert torch.allclose(got.double(), expected, rtol=1e-3, atol=float(1e-6 * expected.max()))


def counted_loop(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many examples each loop over examples takes, as it is taken."""
    taken: list[int] = []
    loop = per_example._one_by_one

    def counted(theta: Theta, scores: Scores, examples: per_example.Labelled, power: Power) -> Tensor:
        taken.append(len(examples[0]))
        return loop(theta, scores, examples, power)

    monkeypatch.setattr(per_example, "_one_by_one", counted)
    return taken


@pytest.mark.parametrize("dtype", [torch.float32, DOUBLE])
@pytest.mark.parametrize("name", NETWORKS)
def test_the_loop_is_taken_only_where_it_must_be(name: str, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch) -> None:
    taken = counted_loop(monkeypatch)
    network, x, y = prepared(name, 12)
    network.to(dtype)
    sum_of_gradients(network, bound(network), log_p(network), (x.to(dtype) if x.is_floating_point() else x, y))
    assert taken == ([] if name in BY_LAYERS else [12])


def counted_passes(monkeypatch: pytest.MonkeyPatch) -> list[None]:
    """An entry for each backward pass."""
    passes: list[None] = []
    original = torch.autograd.grad

    def counted(*arguments: Any, **named: Any) -> Any:
        passes.append(None)
        return original(*arguments, **named)

    monkeypatch.setattr(torch.autograd, "grad", counted)
    return passes


@pytest.mark.parametrize("count", [2, 11, 97])
@pytest.mark.parametrize("name", ["ConvNet", "ResNet"])
def test_backward_passes_do_not_depend_on_the_number_of_examples(name: str, count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    network, x, y = prepared(name, count)
    theta = bound(network)
    passes = counted_passes(monkeypatch)
    sum_of_gradients(network, theta, log_p(network), (x, y))
    shapes_leave_a_doubt = count == 2
    assert len(passes) == 1 + 3 + shapes_leave_a_doubt, "one to check, one for each score"
    passes.clear()
    sum_of_gradients(network, theta, lambda x, _: network(x).square().sum(1, keepdim=True), (x, y), "absolute")
    assert len(passes) == 1 + shapes_leave_a_doubt, "with one score, the pass that checks gives it too"


@pytest.mark.parametrize("length", [4, 6])
def test_words_first_after_an_example_of_one_word(length: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first example, which goes ahead alone, looks like one of a network with examples first; so do 6 examples of 6 words."""

    def words_first(module: nn.Module, x: Tensor) -> Tensor:
        return torch.as_tensor(module(x[:, : int((x > 0).sum(1).max())].T).sum(0))

    torch.manual_seed(0)
    network = Besides(nn.Embedding(7, 4, padding_idx=0), words_first, 4).double().eval()
    x, y = torch.randint(1, 7, (6, length)), torch.randint(3, (6,))
    x[0, 1:] = 0
    theta, taken = bound(network), counted_loop(monkeypatch)
    got = sum_of_gradients(network, theta, log_p(network), (x, y))
    assert taken == [6]
    assert torch.allclose(got, by_hand(theta, log_p(network), x, y, "squared"), rtol=1e-9, atol=1e-12)


def test_tied_weights_beside_a_parameter_of_no_module(monkeypatch: pytest.MonkeyPatch) -> None:
    """There are as many places as parameters, but not one for each."""
    network, x, y = prepared("tied weights", 5)
    theta, taken = Theta(), counted_loop(monkeypatch)
    theta.bind(dict(network.named_parameters()) | {"apart": nn.Parameter(torch.ones(2, dtype=DOUBLE))})
    got = sum_of_gradients(network, theta, log_p(network), (x, y))
    assert taken == [5]
    assert torch.allclose(got, by_hand(theta, log_p(network), x, y, "squared"), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", ["weight called and used", "hook that changes the output"])
def test_the_check_looks_at_all_scores(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A class that no example can have gives no gradient to check."""
    network, x, y = prepared(name, 8)
    theta = bound(network)

    def scores(x: Tensor, y: Tensor) -> Tensor:
        log_p = network(x).log_softmax(1)
        return torch.cat([0 * log_p[:, :1], log_p[:, 1:]], 1)

    taken = counted_loop(monkeypatch)
    got = sum_of_gradients(network, theta, scores, (x, y))
    assert taken == [8]
    assert torch.allclose(got, by_hand(theta, scores, x, y, "squared"), rtol=1e-9, atol=1e-12)


class Uneven(UsedBesides):
    """A weight that is used besides, in a network whose other gradients are far greater."""

    def __init__(self, small: float) -> None:
        super().__init__()
        self.small, self.large = small, nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        return torch.as_tensor(self.small * super().forward(x) + self.large(x))


@pytest.mark.parametrize(("dtype", "small"), [(torch.float32, 1e-3), (DOUBLE, 1e-9)])
def test_the_check_looks_at_every_parameter(dtype: torch.dtype, small: float, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    network, taken = Uneven(small).to(dtype), counted_loop(monkeypatch)
    theta, scores = bound(network), lambda x, y: network(x)
    x, y = torch.randn(30, 4, dtype=dtype), torch.zeros(30, dtype=torch.int64)
    got = sum_of_gradients(network, theta, scores, (x, y))
    assert taken == [30]
    assert torch.allclose(got, by_hand(theta, scores, x, y, "squared"), rtol=1e-4, atol=0)


def test_a_gradient_that_is_rounding_error_is_no_reason_for_the_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    """Group norm takes away what a bias before it adds."""
    torch.manual_seed(0)
    network = layers(nn.Conv2d(1, 4, 3), nn.GroupNorm(1, 4), nn.ReLU(), nn.Conv2d(4, 4, 3), nn.GroupNorm(4, 4), nn.ReLU(), width=2304)
    theta, taken = bound(network), counted_loop(monkeypatch)
    got = sum_of_gradients(network, theta, log_p(network), (torch.randn(100, 1, 28, 28), torch.zeros(100, dtype=torch.int64)))
    assert taken == []
    parts = theta.layout.split(got)
    assert parts["3.bias"].max() < 1e-6 * parts["3.weight"].max()


def test_examples_that_depend_on_one_another_are_taken_alone() -> None:
    """What batch norm without running statistics gives for one example at a time."""
    torch.manual_seed(0)
    network = layers(nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3, track_running_stats=False), nn.Tanh(), width=12).double().eval()
    theta, x, y = bound(network), torch.randn(7, 2, 4, 4, dtype=DOUBLE), torch.zeros(7, dtype=torch.int64)
    got = sum_of_gradients(network, theta, log_p(network), (x, y))
    assert torch.allclose(got, by_hand(theta, log_p(network), x, y, "squared"), rtol=1e-9, atol=1e-12)


def test_a_module_that_mixes_examples_is_not_taken_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    network, taken = nn.Sequential(Mixed(4), nn.Linear(4, 3)).double(), counted_loop(monkeypatch)
    sum_of_gradients(network, bound(network), log_p(network), (torch.randn(7, 4, dtype=DOUBLE), torch.zeros(7, dtype=torch.int64)))
    assert taken == [7]


@pytest.mark.parametrize(
    ("large", "kept", "largest"), [(750, 10**9, 10), (749, 10**9, 6), (749, 300, 4), (750, 300, 4), (750, 75, 1), (750, 1, 1)]
)
def test_so_many_examples_go_together_that_their_outputs_can_be_kept(
    large: int, kept: int, largest: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The layers give 2 * 6 * 6 + 3 = 75 numbers an example."""
    monkeypatch.setattr(per_example, "CHUNK", 10)
    monkeypatch.setattr(per_example, "LARGE", large)
    monkeypatch.setattr(per_example, "FEWER", 6)
    monkeypatch.setattr(per_example, "KEPT", kept)
    network = layers(nn.Conv2d(1, 2, 3), nn.Tanh(), width=72)
    sizes: list[int] = []

    def scores(x: Tensor, y: Tensor) -> Tensor:
        sizes.append(len(x))
        return torch.as_tensor(network(x))

    sum_of_gradients(network, bound(network), scores, (torch.randn(21, 1, 8, 8), torch.zeros(21, dtype=torch.int64)))
    assert sum(sizes) == 1 + 21, "the first example goes ahead"
    assert max(sizes) == largest


@pytest.mark.parametrize("name", ["MLP", "tied weights"])
def test_no_examples(name: str) -> None:
    network, x, y = prepared(name, 3)
    theta = bound(network)
    assert torch.equal(sum_of_gradients(network, theta, log_p(network), (x[:0], y[:0])), torch.zeros_like(theta.value))


def test_everything_frozen() -> None:
    network = nn.Linear(4, 3).requires_grad_(False)
    got = sum_of_gradients(network, bound(network), log_p(network), (torch.ones(2, 4), torch.zeros(2, dtype=torch.int64)))
    assert got.shape == (0,)


@pytest.mark.parametrize("size", [1, 4, 5, 6, 10, 11])
@pytest.mark.parametrize("name", ["MLP", "ConvNet", "tied weights"])
def test_chunks_do_not_show(name: str, size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    network, *examples_of = prepared(name, size)
    theta, examples = bound(network), (examples_of[0], examples_of[1])
    whole = sum_of_gradients(network, theta, log_p(network), examples)
    monkeypatch.setattr(per_example, "CHUNK", 5)
    assert torch.allclose(sum_of_gradients(network, theta, log_p(network), examples), whole, rtol=1e-12)


def test_labels_reach_the_scores() -> None:
    network = nn.Linear(4, 3).double()
    theta = bound(network)
    x, y = torch.randn(7, 4, dtype=torch.float64), torch.randint(3, (7,))

    def scores(x: Tensor, y: Tensor) -> Tensor:
        return network(x).log_softmax(1).gather(1, y[:, None])  # type: ignore[no-any-return]

    got = sum_of_gradients(network, theta, scores, (x, y))
    delta = functional.one_hot(y, 3) - network(x).softmax(1).detach()
    assert torch.allclose(got, torch.cat([((delta**2).T @ x**2).flatten(), (delta**2).sum(0)]))


def test_no_hooks_stay_behind() -> None:
    network = nn.Sequential(nn.Linear(4, 3))

    def scores(x: Tensor, y: Tensor) -> Tensor:
        network(x)
        raise RuntimeError("in the scores")

    with pytest.raises(RuntimeError, match="in the scores"):
        sum_of_gradients(network, bound(network), scores, (torch.ones(2, 4), torch.zeros(2, dtype=torch.int64)))
    assert not network[0]._forward_hooks
