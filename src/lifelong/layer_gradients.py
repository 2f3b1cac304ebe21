"""One layer's sums over examples of per-example gradients, from what it read and the gradient of what it gave, for all examples at once."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.autograd.graph import GradientEdge
from torch.func import functional_call, vjp, vmap
from torch.nn import functional

How = Literal["plain", "squared", "absolute"]
Sums = Mapping[How, Mapping[int, Tensor]]  # for each way to sum, a tensor for each parameter's id
ENTRIES = 2**20  # of the largest tensor made on the way to a sum: what a processor's cache holds, and more than which costs time
CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)


class CannotVectorizeError(Exception):
    """A module's gradients can't be had for all examples at once: vmap can't go through it."""


@dataclass
class Call:
    """A layer's call.

    Attributes:
        own: the layer's parameters whose gradients are wanted, by the layer's own names.
        a: what it read, (N, ...).
        output: the shape of what it gave, (N, ...).
        edge: where that is in autograd's graph; what comes after may change the tensor in place, as ReLU(inplace=True) does.
    """

    layer: nn.Module
    own: dict[str, nn.Parameter]
    a: Tensor
    output: torch.Size
    edge: GradientEdge
    _powers: dict[How, Tensor] = field(default_factory=dict)

    def add(self, delta: Tensor, sums: Sums) -> None:
        """Adds to each of the sums sum_n g_n, sum_n g_n^2 or sum_n |g_n| of the layer's parameters, g_n the gradient of example n.

        Linear layers, convolutions and batch norm in evaluation mode have closed forms. Other modules' own vector-Jacobian product is
        taken for all examples at once by torch.func.

        Args:
            delta: gradient of a number for each example, added up, with respect to the output; of its shape.
            sums: tensors in the parameters' shapes, added to in place.

        Raises:
            CannotVectorizeError: vmap can't go through the module.
        """
        if self.linear and self.a.ndim == 2:
            self._add_matrices(delta, sums)
            return
        for name, gradients in self._gradients(delta):
            order = sorted(range(1, gradients.ndim), key=gradients.stride().__getitem__, reverse=True)
            inner = gradients.permute(0, *order)  # as they lie in memory: it takes half the time to sum
            for how, views in sums.items():
                views[id(self.own[name])].permute([axis - 1 for axis in order]).add_(powered(inner, how).sum(0))

    def other_axes(self) -> tuple[int, ...]:
        """Sizes of the input's axes that could hold the examples in place of the first: those whose size the layer doesn't fix."""
        if self.linear:
            return tuple(self.a.shape[1:-1])
        return tuple(self.a.shape[2:] if self.convolution else self.a.shape[1:])

    @property
    def linear(self) -> bool:
        return type(self.layer) is nn.Linear and self.a.ndim > 1

    @property
    def convolution(self) -> bool:
        return type(self.layer) in CONVOLUTIONS

    def _add_matrices(self, delta: Tensor, sums: Sums) -> None:
        """The gradient of example n for weight (i, j) is delta_ni a_nj, so that the sum of its powers is a product of matrices."""
        for how, views in sums.items():
            d = powered(delta, how)
            if "weight" in self.own:
                if how not in self._powers:  # the same for all scores
                    self._powers[how] = powered(self.a, how)
                views[id(self.own["weight"])].addmm_(d.T, self._powers[how])
            if "bias" in self.own:
                views[id(self.own["bias"])].add_(d.sum(0))

    def _gradients(self, delta: Tensor) -> Iterator[tuple[str, Tensor]]:
        """Names and gradients (n, ...) of n examples each."""
        known = self.own.keys() <= {"weight", "bias"}
        norm = type(self.layer) in BATCH_NORMS and self.layer.running_mean is not None
        if not known or not (self.linear or self.convolution or norm):
            yield from self._by_vmap(delta)
            return
        if self.linear:
            delta = delta.flatten(1, -2).transpose(1, 2)  # (N, outputs, positions)
        if "bias" in self.own:
            yield "bias", _over_positions(delta)
        if "weight" not in self.own:
            return
        if norm:
            yield "weight", _of_norm(self.layer, self.a, delta)
        elif self.linear:
            a = self.a.flatten(1, -2)
            for each, d in _parts(a, delta, entries=max(a[0].numel(), self.own["weight"].numel())):
                yield "weight", d @ each
        else:
            weight = self.own["weight"]
            read = self.a.shape[1] * weight[0, 0].numel() * delta[0, 0].numel()  # a window for every position
            for each, d in _parts(self.a, delta, entries=max(read, weight.numel())):
                yield "weight", _of_convolution(self.layer, each, d)

    def _by_vmap(self, delta: Tensor) -> Iterator[tuple[str, Tensor]]:
        direct = _Direct(self.layer)
        own = {f"layer.{name}": parameter.detach() for name, parameter in self.own.items()}

        def gradient(a: Tensor, d: Tensor) -> dict[str, Tensor]:
            pull = vjp(lambda own: functional_call(direct, own, (a.unsqueeze(0),)).squeeze(0), own)[1]
            found: dict[str, Tensor] = pull(d)[0]
            return found

        entries = max(self.a[0].numel(), delta[0].numel(), *(parameter.numel() for parameter in own.values()))
        for a, d in _parts(self.a, delta, entries=entries):
            try:
                found = vmap(gradient)(a, d)
            except Exception as error:  # of whatever kind: the module itself did go through this input before
                raise CannotVectorizeError(f"vmap can't go through {type(self.layer).__name__}: {error}") from error
            for name in self.own:
                yield name, found[f"layer.{name}"]


class _Direct(nn.Module):
    """A module without its hooks, which are not meant for what vmap sends through it."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.layer.forward(x)
        return y


def powered(values: Tensor, how: How) -> Tensor:
    """The values, their squares or their absolute values."""
    if how == "plain":
        return values
    return values.square() if how == "squared" else values.abs()


def _parts(a: Tensor, delta: Tensor, *, entries: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Inputs and deltas of so many examples at a time that, with so many entries an example, there are at most ENTRIES."""
    count = max(1, ENTRIES // max(1, entries))
    return zip(torch.split(a, count), torch.split(delta, count), strict=True)


def _of_norm(layer: Any, a: Tensor, delta: Tensor) -> Tensor:
    """The gradients (N, C) of a batch norm's scale: sum over positions of delta times the normalised input."""
    centred = a - layer.running_mean.view(-1, *(1,) * (a.ndim - 2))
    scale: Tensor = (layer.running_var + layer.eps).rsqrt()
    return _over_positions(centred.mul_(delta)) * scale


def _over_positions(values: Tensor) -> Tensor:
    """Sums (N, C) of values (N, C, ...) or (N, C)."""
    return values.sum(tuple(range(2, values.ndim))) if values.ndim > 2 else values


def _of_convolution(layer: Any, a: Tensor, delta: Tensor) -> Tensor:
    """The gradients (n, out, in / groups, *kernel) of a convolution's weights: delta times the windows that it reads.

    The windows are copied in the order that the input has in memory: channels last, or positions last.
    """
    sides: list[int] = []
    for i, (size, step) in enumerate(zip(layer.kernel_size, layer.dilation, strict=True)):
        same = step * (size - 1) if layer.padding == "same" else 0
        both = same if isinstance(layer.padding, str) else 2 * layer.padding[i]
        sides = [both // 2, both - both // 2, *sides]  # functional.pad starts at the last axis
    if any(sides):
        a = functional.pad(a, sides, "constant" if layer.padding_mode == "zeros" else layer.padding_mode)
    groups, channels = layer.groups, a.shape[1] // layer.groups
    windows = a.view(len(a), groups, channels, *a.shape[2:])
    for i, (size, stride, step) in enumerate(zip(layer.kernel_size, layer.stride, layer.dilation, strict=True)):
        windows = windows.unfold(i + 3, step * (size - 1) + 1, stride)[..., ::step]
    d = delta.flatten(2)
    d = d.reshape(len(a), groups, -1, d.shape[2])  # (n, groups, out / groups, positions)
    spatial = len(layer.kernel_size)
    positions, kernel = tuple(range(3, 3 + spatial)), tuple(range(3 + spatial, 3 + 2 * spatial))
    if channels > 1 and a.stride(1) == 1:
        columns = windows.permute(0, 1, *positions, *kernel, 2).reshape(len(a), groups, d.shape[3], -1)
        return (d @ columns).view(*delta.shape[:2], *layer.kernel_size, channels).movedim(-1, 2)
    columns = windows.permute(0, 1, 2, *kernel, *positions).reshape(len(a), groups, -1, d.shape[3])
    return (d @ columns.transpose(2, 3)).view(*delta.shape[:2], channels, *layer.kernel_size)
