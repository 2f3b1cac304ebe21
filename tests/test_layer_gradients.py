"""A layer's sums against a backward pass for each example."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.autograd.graph import get_gradient_edge

from lifelong import layer_gradients
from lifelong.layer_gradients import Call, CannotVectorizeError, How

DOUBLE = torch.float64
HOWS: list[How] = ["plain", "squared", "absolute"]


def seeded(layer: nn.Module) -> nn.Module:
    """With parameters and statistics that are not the first ones."""
    for tensor in [*layer.parameters(), *layer.buffers()]:
        if tensor.is_floating_point():
            tensor.data.uniform_(0.5, 1.5)
    return layer.double().eval()


def summed(layer: nn.Module, own: list[str], a: Tensor, delta: Tensor | None = None) -> tuple[dict[How, dict[str, Tensor]], Tensor]:
    """A call's three sums by parameter name, and the delta that they are for."""
    named = {name: layer.get_parameter(name) for name in own}
    output = layer(a)
    delta = torch.randn_like(output) if delta is None else delta
    sums: dict[How, dict[str, Tensor]] = {how: {name: torch.zeros_like(p) for name, p in named.items()} for how in HOWS}
    by_id = {how: {id(p): sums[how][name] for name, p in named.items()} for how in HOWS}
    Call(layer, named, a, output.shape, get_gradient_edge(output)).add(delta, by_id)
    return sums, delta


def by_hand(layer: nn.Module, name: str, a: Tensor, delta: Tensor) -> dict[How, Tensor]:
    outputs = [(layer(a[n : n + 1]) * delta[n : n + 1]).sum() for n in range(len(a))]
    each = torch.stack([torch.autograd.grad(output, layer.get_parameter(name))[0] for output in outputs])
    return {"plain": each.sum(0), "squared": each.square().sum(0), "absolute": each.abs().sum(0)}


def check(layer: nn.Module, a: Tensor, own: list[str] | None = None) -> None:
    own = [name for name, _ in layer.named_parameters()] if own is None else own
    sums, delta = summed(layer, own, a)
    for name in own:
        expected = by_hand(layer, name, a, delta)
        for how in HOWS:
            assert torch.allclose(sums[how][name], expected[how], rtol=1e-9, atol=1e-11), (name, how)


class Temperature(nn.Module):
    """One number as a parameter."""

    def __init__(self) -> None:
        super().__init__()
        self.temperature = nn.Parameter(torch.ones(()))

    def forward(self, x: Tensor) -> Tensor:
        return x / self.temperature


LAYERS: dict[str, tuple[Callable[[], nn.Module], Callable[[], Tensor]]] = {
    "matrix": (lambda: nn.Linear(3, 4), lambda: torch.randn(7, 3)),
    "sequence": (lambda: nn.Linear(3, 4), lambda: torch.randn(7, 5, 3)),
    "image": (lambda: nn.Linear(3, 4), lambda: torch.randn(7, 2, 5, 3)),
    "convolution": (lambda: nn.Conv2d(2, 3, 2), lambda: torch.randn(7, 2, 4, 3)),
    "convolution in three dimensions": (lambda: nn.Conv3d(2, 3, (2, 1, 2), (1, 2, 1), 1), lambda: torch.randn(7, 2, 4, 3, 3)),
    "circular convolution": (lambda: nn.Conv2d(2, 3, 3, padding=(1, 2), padding_mode="circular"), lambda: torch.randn(7, 2, 4, 3)),
    "reflecting convolution": (lambda: nn.Conv1d(2, 3, 4, padding="same", padding_mode="reflect"), lambda: torch.randn(7, 2, 6)),
    "transposed convolution": (lambda: nn.ConvTranspose1d(2, 3, 3, stride=2), lambda: torch.randn(7, 2, 4)),
    "batch norm of vectors": (lambda: nn.BatchNorm1d(4), lambda: torch.randn(7, 4)),
    "batch norm of sequences": (lambda: nn.BatchNorm1d(4), lambda: torch.randn(7, 4, 5)),
    "batch norm of images": (lambda: nn.BatchNorm2d(4, eps=0.1), lambda: torch.randn(7, 4, 3, 2)),
    "batch norm of volumes": (lambda: nn.BatchNorm3d(2), lambda: torch.randn(7, 2, 3, 2, 2)),
    "layer norm": (lambda: nn.LayerNorm((3, 2)), lambda: torch.randn(7, 4, 3, 2)),
    "group norm": (lambda: nn.GroupNorm(2, 4), lambda: torch.randn(7, 4, 3)),
    "RMS norm": (lambda: nn.RMSNorm(4), lambda: torch.randn(7, 4)),
    "embedding": (lambda: nn.Embedding(6, 3, padding_idx=1), lambda: torch.randint(6, (7, 5))),
    "one number": (Temperature, lambda: torch.randn(7, 3)),
    "PReLU": (lambda: nn.PReLU(3), lambda: torch.randn(7, 3, 2)),
}


@pytest.mark.parametrize("entries", [1, 60, 2**20])
@pytest.mark.parametrize("name", LAYERS)
def test_equals_a_loop_over_examples(name: str, entries: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layer_gradients, "ENTRIES", entries)
    torch.manual_seed(0)
    make, inputs = LAYERS[name]
    a = inputs()
    check(seeded(make()), a.double() if a.is_floating_point() else a)


@pytest.mark.parametrize("own", ["weight", "bias"])
@pytest.mark.parametrize("name", ["matrix", "sequence", "convolution", "batch norm of images", "layer norm"])
def test_only_the_parameters_that_are_wanted(name: str, own: str) -> None:
    torch.manual_seed(0)
    make, inputs = LAYERS[name]
    check(seeded(make()), inputs().double(), [own])


@st.composite
def convolutions(draw: st.DrawFn) -> tuple[nn.Module, Tensor]:
    """A convolution of any geometry and an input that is large enough for it, channels first or last in memory."""
    spatial = draw(st.integers(1, 2))

    def sizes(low: int, high: int) -> tuple[int, ...]:
        return tuple(draw(st.integers(low, high)) for _ in range(spatial))

    groups, kernel, dilation = draw(st.integers(1, 3)), sizes(1, 3), sizes(1, 2)
    padding: Any = draw(st.sampled_from(["same", "valid", sizes(0, 2)]))
    stride = (1,) * spatial if padding == "same" else sizes(1, 3)
    inputs, outputs = groups * draw(st.integers(1, 3)), groups * draw(st.integers(1, 3))
    torch.manual_seed(draw(st.integers(0, 99)))
    kind = nn.Conv1d if spatial == 1 else nn.Conv2d
    layer = kind(inputs, outputs, kernel, stride, padding, dilation, groups, draw(st.booleans()), dtype=DOUBLE)  # type: ignore[arg-type]
    size = sizes(1, 7)
    around = (0,) * spatial if isinstance(padding, str) else padding
    spans = [d * (k - 1) + 1 - 2 * p for d, k, p in zip(dilation, kernel, around, strict=True)]
    assume(padding == "same" or all(has >= span for has, span in zip(size, spans, strict=True)))
    a = torch.randn(draw(st.integers(1, 4)), inputs, *size, dtype=DOUBLE)
    return layer, a.movedim(1, -1).contiguous().movedim(-1, 1) if draw(st.booleans()) else a


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel lengths")  # torch's own, of the forward pass
@settings(deadline=None)
@given(convolutions(), st.sampled_from([1, 100, 2**20]))
def test_convolutions_of_any_geometry(drawn: tuple[nn.Module, Tensor], entries: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(layer_gradients, "ENTRIES", entries)
        check(*drawn)


def test_an_input_of_the_same_number_everywhere_in_memory() -> None:
    """What autograd gives for a mean: a delta whose entries are one number."""
    layer, a = seeded(nn.Conv2d(2, 3, 2)), torch.randn(4, 2, 5, 5, dtype=DOUBLE)
    delta = torch.randn(4, 3, 1, 1, dtype=DOUBLE).expand(4, 3, 4, 4)
    sums, _ = summed(layer, ["weight", "bias"], a, delta)
    for name, each in sums["squared"].items():
        assert torch.allclose(each, by_hand(layer, name, a, delta)["squared"])


@pytest.mark.parametrize("name", ["sequence", "convolution", "layer norm", "batch norm of images", "matrix"])
def test_what_is_given_is_not_changed(name: str) -> None:
    torch.manual_seed(0)
    make, inputs = LAYERS[name]
    layer, a = seeded(make()), inputs().double()
    before, delta = a.clone(), torch.randn_like(layer(a))
    given_delta = delta.clone()
    summed(layer, ["weight", "bias"], a, delta)
    assert torch.equal(a, before)
    assert torch.equal(delta, given_delta)


def test_hooks_don_t_see_what_vmap_sends() -> None:
    seen: list[Tensor] = []
    layer = seeded(nn.LayerNorm(3))
    layer.register_forward_hook(lambda layer, inputs, output: seen.append(output))
    summed(layer, ["weight"], torch.randn(4, 3, dtype=DOUBLE))
    assert len(seen) == 1, "the call itself"


def test_a_module_that_vmap_can_t_go_through() -> None:
    class Asking(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.scale = nn.Parameter(torch.ones(()))

        def forward(self, x: Tensor) -> Tensor:
            return x * self.scale if float(x.sum()) < 1e9 else x

    with pytest.raises(CannotVectorizeError, match="^vmap can't go through Asking: vmap: "):
        summed(Asking(), ["scale"], torch.ones(3, 2))


@pytest.mark.parametrize(
    ("layer", "a", "axes"),
    [
        (nn.Linear(3, 2), torch.ones(5, 3), ()),
        (nn.Linear(3, 2), torch.ones(5, 4, 3), (4,)),
        (nn.Conv2d(3, 2, 1), torch.ones(5, 3, 6, 7), (6, 7)),
        (nn.Embedding(3, 2), torch.zeros(5, 4, dtype=torch.int64), (4,)),
        (nn.LayerNorm(3), torch.ones(5, 4, 3), (4, 3)),
    ],
)
def test_axes_besides_the_first(layer: nn.Module, a: Tensor, axes: tuple[int, ...]) -> None:
    output = layer(a)
    assert Call(layer, dict(layer.named_parameters()), a, output.shape, get_gradient_edge(output)).other_axes() == axes


@pytest.mark.parametrize(("entries", "count"), [(1, 64), (10, 6), (64, 1), (1000, 1), (0, 64)])
def test_parts_have_no_more_entries_than_fit(entries: int, count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layer_gradients, "ENTRIES", 64)
    parts = list(layer_gradients._parts(torch.arange(100), torch.arange(100), entries=entries))
    assert max(len(a) for a, _ in parts) == count
    assert torch.equal(torch.cat([delta for _, delta in parts]), torch.arange(100))
