"""Columns against their equation, written with plain tensors."""

import copy
import re
from collections.abc import Callable
from itertools import pairwise
from typing import Any, cast

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn.functional import batch_norm, conv2d, linear, max_pool2d

from lifelong.errors import GrowthError
from lifelong.models import MLP, ConvNet, ReducedResNet18
from lifelong.models.columns import Adapter, Columns, Reduction
from lifelong.models.drawing import draw_like_torch
from toys import same, weights

ADAPTERS: tuple[Adapter, ...] = ("linear", "nonlinear")


def columns_of(base: nn.Module, width: int, *shares: float, adapter: Adapter = "linear") -> Columns:
    """Columns in double precision, whose normalisation is not the one that it starts with."""
    columns = Columns(base.double(), width)
    for k, share in enumerate(shares):
        columns.add(share, adapter, seed=k)
    generator = torch.Generator().manual_seed(0)
    for name, buffer in columns.named_buffers():
        if name.endswith(("mean", "var")):
            buffer.copy_(torch.rand(buffer.shape, generator=generator, dtype=buffer.dtype) + 0.5)
    return columns


def images(size: int = 5, channels: int = 1) -> Tensor:
    return torch.randn(size, channels, 8, 8, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


# The equation, with a U and for each earlier column its own part of it, as the paper writes it.


def lateral(adapter: Any, earlier: list[Tensor], multiply: Callable[[Tensor, Tensor], Tensor]) -> Tensor | float:
    """sum_j U^(k:j) h^(j), or U sigma(V alpha h): V is 1x1."""
    if not earlier:
        return 0.0
    widths = [h.shape[1] for h in earlier]
    if not isinstance(adapter, nn.Sequential):
        parts = adapter.weight.split(widths, 1)
        return sum(multiply(h, u) for h, u in zip(earlier, parts, strict=True))
    return multiply(reduced(adapter[0], earlier), adapter[1].weight)


def reduced(reduction: Any, earlier: list[Tensor]) -> Tensor:
    """sigma(V alpha h), unit for unit."""
    weight = reduction.projection.weight.flatten(1)
    h = reduction.alpha * torch.cat(earlier, 1)
    bias = reduction.projection.bias.view(-1, *[1] * (h.ndim - 2))
    return (torch.einsum("un,bn...->bu...", weight, h) + bias).clamp_min(0)


def by_hand(columns: Columns, x: Tensor, layer: Callable[[Any, tuple[int, int], Tensor, Any, list[Tensor]], Tensor], depth: int) -> Tensor:
    """All features: h_i^(k) for i = 1 to depth, column after column."""
    h: list[list[Tensor]] = []
    parts: list[Tensor] = []
    for k, (column, adapters) in enumerate(zip(columns.columns, columns.adapters, strict=True)):
        own = [x]
        for i in range(depth):
            adapter = cast(nn.ModuleList, adapters)[i - 1] if k and i else None
            own.append(layer(column, (k, i), own[-1], adapter, [each[i] for each in h] if i else []))
        features = own[-1] if own[-1].ndim == 2 else own[-1].mean((2, 3))
        parts.append(features)
        if len(cast(nn.ModuleList, adapters)) == depth:
            parts.append(reduced(cast(nn.ModuleList, adapters)[-1], [each[-1] for each in h]))
        h.append([*own, features])
    return torch.cat(parts, 1)


def mlp_layer(column: Any, place: tuple[int, int], before: Tensor, adapter: Any, earlier: list[Tensor]) -> Tensor:
    layer = column.layers[place[1]]
    return (before @ layer.weight.T + layer.bias + lateral(adapter, earlier, linear)).clamp_min(0)


@pytest.mark.parametrize("adapter", ADAPTERS)
@pytest.mark.parametrize("shares", [(1.0,), (1.0, 1.0), (0.5, 2.0, 0.1)], ids=str)
def test_columns_of_an_mlp_are_the_equation(adapter: Adapter, shares: tuple[float, ...]) -> None:
    columns = columns_of(MLP(12, [7, 6, 4], seed=3), 4, *shares, adapter=adapter)
    x = torch.randn(5, 3, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    expected = by_hand(columns, x.flatten(1), mlp_layer, 3)
    assert torch.allclose(columns(x), expected, rtol=1e-12, atol=1e-14)
    assert columns.ends[-1] == expected.shape[1]


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("adapter", ADAPTERS)
def test_columns_of_a_convnet_are_the_equation(adapter: Adapter, training: bool) -> None:
    columns = columns_of(ConvNet(1, [3, 4], seed=3), 4, 1.0, 0.5, adapter=adapter).train(training)
    trains = [False, False, training]  # by the statistics of the batch

    def layer(column: Any, place: tuple[int, int], before: Tensor, adapter: Any, earlier: list[Tensor]) -> Tensor:
        k, i = place

        def convolved(h: Tensor, weight: Tensor) -> Tensor:
            return conv2d(h, weight, padding=1)

        convolution, norm = column.blocks[4 * i], column.blocks[4 * i + 1]
        z = convolved(before, convolution.weight) + lateral(adapter, earlier, convolved)
        mean, var = norm.running_mean.clone(), norm.running_var.clone()
        return max_pool2d(batch_norm(z, mean, var, norm.weight, norm.bias, trains[k]).clamp_min(0), 2)

    expected = by_hand(columns, images(), layer, 2)
    assert torch.allclose(columns(images()), expected, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("adapter", ADAPTERS)
def test_every_layer_of_a_residual_network_has_its_connections(adapter: Adapter) -> None:
    """The column run by its own forward pass, with each layer's output changed by a hook."""
    base = ReducedResNet18(1, 2, seed=0)
    columns = columns_of(base, 16, 1.0, 0.5, adapter=adapter).eval()
    found: list[list[Tensor]] = []
    for column, adapters in zip(columns.columns, columns.adapters, strict=True):
        inputs: list[Tensor] = []
        handles = []
        for layer in [module for module in column.modules() if isinstance(module, nn.Conv2d)][1:]:

            def add(
                module: nn.Module, args: tuple[Tensor], output: Tensor, adapters: Any = adapters, inputs: list[Tensor] = inputs
            ) -> Tensor:
                place = len(inputs)
                inputs.append(args[0])
                earlier = [each[place] for each in found]
                return output + adapters[place](torch.cat(earlier, 1)) if earlier else output

            handles.append(layer.register_forward_hook(add))
        features = column(images())
        for handle in handles:
            handle.remove()
        found.append([*inputs, features])
    assert len(found[0]) == 20  # 20 convolutions but the first, and the features
    k = len(found) - 1
    read = columns(images())[:, columns.ends[k - 1] :]
    assert torch.allclose(read[:, : columns.widths[k]], found[k][-1], rtol=1e-10, atol=1e-12)
    if adapter == "nonlinear":
        expected = cast(nn.ModuleList, columns.adapters[k])[-1](torch.cat([each[-1] for each in found[:k]], 1))
        assert torch.allclose(read[:, columns.widths[k] :], expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("make", [lambda: MLP(64, [6, 5]), lambda: ConvNet(1, [3, 5]), lambda: ReducedResNet18(1, 2)])
def test_a_single_column_is_the_network_bit_for_bit(make: Callable[[], nn.Module]) -> None:
    base = make().eval()
    x = images().float()
    expected = base(x)
    columns = Columns(base, expected.shape[1])
    assert torch.equal(columns(x), expected)
    columns.add(1.0, "nonlinear", 0)
    columns.add(0.5, "linear", 0)
    columns.train()
    assert torch.equal(columns(x)[:, : expected.shape[1]], expected)


class Unusual(nn.Module):
    """Constants, keyword arguments, an attribute, in-place steps, a shape that is asked for, and a default."""

    shift: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.convolution = nn.Conv1d(2, 6, 3, stride=2, padding=2, dilation=2, groups=2, padding_mode="circular")
        self.group = nn.GroupNorm(2, 6)
        self.second = nn.Conv1d(6, 4, 3, padding="same")
        self.slope = nn.PReLU(4)
        self.last = nn.Linear(20, 3)
        self.register_buffer("shift", torch.ones(3))

    def forward(self, x: Tensor, scale: float = 2.0) -> Tensor:
        h = nn.functional.relu_(self.group(self.convolution(x * scale)))
        h = self.slope(self.second(input=h))[:, :, slice(0, x.size(2) // 2)]
        return torch.tanh(self.last(h.reshape(h.size(0), -1)) + self.shift)


@pytest.mark.parametrize("adapter", ADAPTERS)
def test_a_forward_pass_may_be_written_in_many_ways(adapter: Adapter) -> None:
    base = Unusual().double()
    columns = columns_of(base, 3, 1.0, adapter=adapter)
    x = torch.randn(4, 2, 10, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    assert torch.equal(columns(x)[:, :3], base(x))
    for parameter in columns.adapters.parameters():
        nn.init.zeros_(parameter)
    assert torch.equal(columns(x)[:, 3:6], columns.columns[1](x))


def test_units_of_a_layer_on_sequences_are_in_their_last_dimension() -> None:
    columns = columns_of(nn.Sequential(nn.Linear(2, 5), nn.Tanh(), nn.Linear(5, 3), nn.Flatten()), 12, 1.0, 1.0, adapter="nonlinear")
    x = torch.randn(6, 4, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    h = [column[0](x).tanh() for column in cast(Any, columns.columns)]
    reduction, u = cast(Any, columns.adapters[2])[0]
    v, alpha = reduction.projection, reduction.alpha
    added = ((alpha * torch.cat(h[:2], -1)) @ v.weight.T + v.bias).clamp_min(0) @ u.weight.T
    expected = (cast(Any, columns.columns[2])[2](h[2]) + added).flatten(1)
    assert torch.allclose(columns(x)[:, columns.ends[1] : columns.ends[1] + 12], expected)


# Sizes


def mlp_parameters(sizes: list[int], earlier: list[list[int]], adapter: Adapter) -> int:
    """Of a column of an MLP with these widths (inputs first), beside columns with those; without the head."""
    own = sum((a + 1) * b for a, b in pairwise(sizes))
    read = [sum(each[i] for each in earlier) for i in range(len(sizes))]  # n_i^(<k)
    if not earlier:
        return own
    if adapter == "linear":
        return own + sum(read[i] * sizes[i + 1] for i in range(1, len(sizes) - 1))
    into_v = sum(1 + (read[i] + 1) * sizes[i] for i in range(1, len(sizes)))
    return own + into_v + sum(sizes[i] * sizes[i + 1] for i in range(1, len(sizes) - 1))


@given(
    st.lists(st.integers(1, 9), min_size=1, max_size=4),
    st.lists(st.floats(0.01, 2.0), min_size=1, max_size=3),
    st.sampled_from(ADAPTERS),
)
@settings(deadline=None, max_examples=40)
def test_the_number_of_parameters_is_known(hidden: list[int], shares: list[float], adapter: Adapter) -> None:
    columns = Columns(MLP(5, hidden), hidden[-1])
    every = [[5, *hidden]]
    for k, share in enumerate(shares):
        before = sum(parameter.numel() for parameter in columns.parameters())
        start, stop = columns.add(share, adapter, seed=k)
        own = [5, *(max(1, round(share * width)) for width in hidden)]
        added = sum(parameter.numel() for parameter in columns.parameters()) - before
        assert added == mlp_parameters(own, every, adapter)
        assert added == sum(parameter.numel() for parameter in columns.parameters() if parameter.requires_grad)
        every.append(own)
        assert stop - start == (sum(each[-1] for each in every) if adapter == "linear" else 2 * own[-1])
        assert columns(torch.zeros(2, 5)).shape == (2, stop)


@pytest.mark.parametrize("adapter", ADAPTERS)
def test_parameters_grow_with_the_square_of_the_columns_and_slower_with_narrow_ones(adapter: Adapter) -> None:
    counts = {}
    for share in (1.0, 0.1):
        columns = Columns(ConvNet(1, [10, 20]), 20)
        counts[share] = [sum(parameter.numel() for parameter in columns.parameters())]
        for k in range(4):
            columns.add(share, adapter, seed=k)
            counts[share].append(sum(parameter.numel() for parameter in columns.parameters()))
    steps = torch.tensor(counts[1.0]).diff()
    assert len(set(steps.diff().tolist())) == 1  # each column costs more than the one before, by as much
    assert steps.diff()[0] == (9 * 10 * 20 if adapter == "linear" else 10 * 10 + 20 * 20)
    assert counts[0.1][4] < 2 * counts[0.1][0]


def test_widths_are_scaled_through_flattening_and_norms() -> None:
    base = nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.BatchNorm1d(4 * 36), nn.Linear(4 * 36, 6), nn.ReLU()
    )
    columns = columns_of(base, 6, 0.5)
    second = cast(Any, columns.columns[1])
    assert [tuple(second[i].weight.shape) for i in (0, 1, 4, 5)] == [(2, 1, 3, 3), (2,), (72,), (3, 72)]
    assert columns(images()).shape == (5, 9)


# Where a column starts


def test_a_column_starts_from_its_seed_only() -> None:
    def made(seed: int) -> Columns:
        columns = Columns(ConvNet(1, [3, 5]), 5)
        columns.add(1.0, "nonlinear", seed)
        return columns

    state = torch.get_rng_state()
    first = made(0)
    assert torch.equal(torch.get_rng_state(), state)
    torch.rand(3)
    assert same(weights(first), weights(made(0)))
    other = weights(made(1))
    drawn = [name for name, _ in first.named_parameters() if "blocks.1" not in name and "blocks.5" not in name and "columns.0" not in name]
    assert len(drawn) == 2 + 4 + 3  # two convolutions, alpha and V and U, alpha and V
    assert not any(torch.equal(other[name], value) for name, value in weights(first).items() if name in drawn)


@pytest.mark.parametrize("initial", ["torch", "xavier"])
def test_a_column_is_drawn_as_the_first_one_was(initial: Any) -> None:
    columns = Columns(MLP(50, [300, 200], initial=initial), 200)
    columns.add(1.0, "linear", 0, initial)
    columns.add(1.0, "nonlinear", 1, initial)
    for layer in [*columns.columns[2].modules(), *columns.adapters.modules()]:
        if isinstance(layer, nn.Linear):
            bound = layer.in_features**-0.5 if initial == "torch" else (6 / (layer.in_features + layer.out_features)) ** 0.5
            assert 0.95 * bound < layer.weight.abs().max() <= bound
            if layer.bias is not None:
                assert bool(layer.bias.any()) == (initial == "torch")
    assert all(0 <= module.alpha <= 1 for module in columns.modules() if isinstance(module, Reduction))


def test_what_is_not_drawn_starts_afresh() -> None:
    base = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4, eps=0.01, momentum=0.3), nn.LayerNorm(4), nn.PReLU())
    fresh = {name: value.clone() for name, value in base.state_dict().items() if not name.startswith("0.")}
    for parameter in base.parameters():
        parameter.data.normal_()
    base.train()(torch.randn(5, 3))
    columns = Columns(base, 4)
    columns.add(1.0, "linear", 0)
    second = columns.columns[1]
    assert same({name: value for name, value in second.state_dict().items() if not name.startswith("0.")}, fresh)
    norm = cast(Any, second)[1]
    assert (norm.eps, norm.momentum) == (0.01, 0.3)


def test_earlier_columns_are_frozen_and_in_evaluation_mode() -> None:
    columns = Columns(nn.Sequential(ConvNet(1, [3, 5]), nn.Dropout(0.5)), 5)
    columns.add(1.0, "linear", 0)
    columns.add(1.0, "nonlinear", 1)
    columns.train()
    for k in range(3):
        for part in (columns.columns[k], columns.adapters[k]):
            assert all(module.training == (k == 2) for module in part.modules())
            assert all(parameter.requires_grad == (k == 2) for parameter in part.parameters())
    before = weights(columns)
    columns(images().float()).sum().backward()
    after = weights(columns)
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert {name.rpartition(".")[2] for name in changed} == {"running_mean", "running_var", "num_batches_tracked"}
    assert all(name.startswith("columns.2.") for name in changed)
    columns.eval()
    assert not any(module.training for module in columns.modules())


def test_the_first_columns_are_computed_alone_and_copies_are_alike() -> None:
    columns = Columns(ConvNet(1, [3, 5]), 5)
    columns.add(1.0, "linear", 0)
    columns.add(0.5, "nonlinear", 1)
    columns.eval()
    x, every = images().float(), columns(images().float())
    assert [columns.needed(stop) for stop in columns.ends] == [1, 2, 3]
    for count, stop in enumerate(columns.ends, 1):
        assert torch.equal(columns.first(count, x), every[:, :stop])
    copied = copy.deepcopy(columns)
    assert torch.equal(copied(x), every)
    draw_like_torch(copied, 5)
    assert not torch.equal(copied(x), every)
    assert torch.equal(columns(x), every)


# What can't be done


class Twice(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        features: Tensor = self.layer(self.layer(x))
        return features


class Own(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 4)
        self.scale = nn.Parameter(torch.ones(4))

    def forward(self, x: Tensor) -> Tensor:
        features: Tensor = self.layer(x) * self.scale
        return features


class Branching(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x if x.sum() > 0 else -x


def tied() -> nn.Module:
    network = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 4))
    cast(nn.Linear, network[2]).weight = cast(nn.Linear, network[0]).weight
    return network


@pytest.mark.parametrize(
    ("base", "message"),
    [
        (nn.Flatten(), "Flatten can't get another column: it calls no Linear or convolutional layer"),
        (
            nn.Linear(4, 4),
            "Linear can't get another column: it calls no Linear or convolutional layer; a network that is one layer goes into",
        ),
        (Twice(), "Twice can't get another column: layer 'layer' is called 2 times, and lateral connections need one place for each"),
        (Own(), "Own can't get another column: 'the network itself' (Own) has parameters, and it is not known what they start at"),
        (nn.Sequential(nn.Linear(4, 4), nn.Bilinear(4, 4, 4)), "'1' (Bilinear) has parameters, and it is not known what they start at"),
        (tied(), "'0.weight' and '2.weight' are one parameter; give each layer weights of its own"),
        (Branching(), "torch.fx can't follow its forward pass"),
    ],
)
def test_a_network_of_which_no_column_can_be_made(base: nn.Module, message: str) -> None:
    with pytest.raises(GrowthError, match=re.escape(message)):
        Columns(base, 4)


@pytest.mark.parametrize(
    ("base", "share", "adapter", "message"),
    [
        (MLP(4, [4]), 0, "linear", "width of a column is 0; expected a share of the first column's widths > 0, as 0.5 for half of them"),
        (MLP(4, [4]), float("nan"), "linear", "width of a column is nan; expected a share"),
        (MLP(4, [4]), "1", "linear", "width of a column is '1'; expected a share"),
        (MLP(4, [4]), 1.0, "nonlinaer", "adapter is 'nonlinaer'; did you mean 'nonlinear'? Known: linear, nonlinear"),
        (
            nn.Sequential(nn.Linear(4, 8), nn.LayerNorm(8), nn.Linear(8, 4)),
            0.5,
            "linear",
            "layer '0' can't have 0.5 of its width in another column: '1' (LayerNorm) reads them, and it is not known how "
            "it would read more. Use width=1.0",
        ),
    ],
)
def test_a_column_that_can_not_be_added(base: nn.Module, share: Any, adapter: Any, message: str) -> None:
    columns = Columns(base, 4)
    before = weights(columns)
    with pytest.raises(GrowthError, match=re.escape(message)):
        columns.add(share, adapter, 0)
    assert same(weights(columns), before)
    assert columns.ends == [4]
    assert all(parameter.requires_grad for parameter in columns.parameters())
