from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from lifelong import per_example
from lifelong.models import MLP, ConvNet
from lifelong.per_example import Power, sum_of_gradients
from lifelong.theta import Theta

Scores = Callable[[Tensor, Tensor], Tensor]


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


class Sequences(nn.Module):
    """A Linear on 3-D inputs (N, 2, 2)."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(2, 3), nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        return torch.as_tensor(self.b(torch.tanh(self.a(x.reshape(-1, 2, 2))).flatten(1)))


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


class Unused(nn.Module):
    """Its second layer is not in the output's graph."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.aside = nn.Linear(4, 3), nn.Linear(3, 3)

    def forward(self, x: Tensor) -> Tensor:
        return torch.as_tensor(self.a(x))


NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "MLP": lambda: nn.Sequential(MLP(4, [6, 5]), nn.Linear(5, 3)),
    "without a bias": lambda: nn.Sequential(nn.Linear(4, 5, bias=False), nn.Tanh(), nn.Linear(5, 3, bias=False)),
    "in place": lambda: nn.Sequential(nn.Linear(4, 5), nn.ReLU(inplace=True), nn.Linear(5, 3)),
    "partly frozen": part_frozen,
    "unused layer": Unused,
    "layer called twice": Shared,
    "tied weights": Tied,
    "3-D inputs": Sequences,
    "two rows an example": Rows,
    "weight used directly": Cosine,
    "weight called and used": UsedBesides,
    "spectral norm": normed,
    "weight norm": parametrized,
    "layer norm": lambda: nn.Sequential(nn.Linear(4, 5), nn.LayerNorm(5), nn.Linear(5, 3)),
}
BY_LAYERS = ["MLP", "without a bias", "in place", "partly frozen", "unused layer"]


@pytest.mark.parametrize("power", ["squared", "absolute"])
@pytest.mark.parametrize("name", NETWORKS)
def test_equals_a_loop_over_examples(name: str, power: Power, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(per_example, "CHUNK", 5)
    torch.manual_seed(0)
    network = NETWORKS[name]().double().eval()
    theta = bound(network)
    x, y = torch.randn(12, 4, dtype=torch.float64), torch.randint(3, (12,))
    got = sum_of_gradients(network, theta, log_p(network), (x, y), power)
    assert torch.allclose(got, by_hand(theta, log_p(network), x, y, power), rtol=1e-9, atol=1e-12)
    assert got.any()
    assert all(p.grad is None for p in network.parameters())


@pytest.mark.parametrize("name", NETWORKS)
def test_the_loop_is_taken_only_where_it_must_be(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[int] = []
    loop = per_example._one_by_one

    def counted(theta: Theta, scores: Scores, examples: per_example.Labelled, power: Power) -> Tensor:
        taken.append(len(examples[0]))
        return loop(theta, scores, examples, power)

    monkeypatch.setattr(per_example, "_one_by_one", counted)
    torch.manual_seed(0)
    network = NETWORKS[name]().eval()
    sum_of_gradients(network, bound(network), log_p(network), (torch.randn(6, 4), torch.zeros(6, dtype=torch.int64)))
    assert taken == ([] if name in BY_LAYERS else [6])


@pytest.mark.parametrize("power", ["squared", "absolute"])
def test_a_convolutional_network_with_batch_norm(power: Power) -> None:
    network = nn.Sequential(ConvNet(1, [3, 4]), nn.Linear(4, 3)).double()
    network(torch.randn(8, 1, 8, 8, dtype=torch.float64))  # statistics that are not the first ones
    network.eval()
    buffers = [buffer.clone() for buffer in network.buffers()]
    theta = bound(network)
    x, y = torch.randn(5, 1, 8, 8, dtype=torch.float64), torch.randint(3, (5,))
    got = sum_of_gradients(network, theta, log_p(network), (x, y), power)
    assert torch.allclose(got, by_hand(theta, log_p(network), x, y, power), rtol=1e-9, atol=1e-12)
    assert all(torch.equal(a, b) for a, b in zip(buffers, network.buffers(), strict=True))


@pytest.mark.parametrize("size", [1, 4, 5, 6, 10, 11])
@pytest.mark.parametrize("name", ["MLP", "tied weights"])
def test_chunks_do_not_show(name: str, size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    network = NETWORKS[name]().double().eval()
    theta = bound(network)
    examples = torch.randn(size, 4, dtype=torch.float64), torch.zeros(size, dtype=torch.int64)
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
