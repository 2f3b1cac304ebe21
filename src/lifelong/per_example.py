"""Sums over examples of per-example gradients, squared or absolute: what the importances of EWC and MAS are made of."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Literal

import torch
from torch import Tensor, nn

from lifelong.theta import Theta

Labelled = tuple[Tensor, Tensor]
Power = Literal["squared", "absolute"]
Call = tuple[nn.Linear, Tensor, Tensor]  # a layer, its input and its output
Scores = Callable[[Tensor, Tensor], Tensor]
CHUNK = 250  # examples that go through the network together


def sum_of_gradients(network: nn.Module, theta: Theta, scores: Scores, examples: Labelled, power: Power = "squared") -> Tensor:
    """sum_n sum_k |d scores(x, y)[n, k] / d theta|^p, p = 2 ("squared") or 1 ("absolute"): a vector (P,).

    The gradient is each example's own, never a batch mean's. The network must treat examples independently (evaluation mode).
    Where all of theta belongs to Linear layers on matrices, each called once, no loop over examples is needed: the gradient of
    example n for weight (i, j) is delta_ni a_nj, so the sum is (|delta|^p)^T |a|^p. Otherwise one backward pass an example and score.

    Args:
        scores: from inputs (N, ...) and labels (N,) to (N, K), through the network.
        examples: inputs (N, ...) and labels (N,).
    """
    total = torch.zeros_like(theta.value)
    layers = _linear_layers(network, theta)
    for part in zip(*(torch.split(tensor, CHUNK) for tensor in examples), strict=True):
        sums = None if layers is None else _by_layers(layers, theta, scores, part, power)
        total += _one_by_one(theta, scores, part, power) if sums is None else sums
    return total


def _powered(values: Tensor, power: Power) -> Tensor:
    return values.square() if power == "squared" else values.abs()


def _linear_layers(network: nn.Module, theta: Theta) -> list[nn.Linear] | None:
    """The Linear layers that own theta, or None if other modules do, or share a parameter."""
    wanted = {id(parameter) for parameter in theta.parameters}
    owners = [m for m in network.modules() if any(id(p) in wanted for p in m.parameters(recurse=False))]
    layers = [m for m in owners if type(m) is nn.Linear]
    owned = [id(p) for layer in layers for p in (layer.weight, layer.bias) if p is not None]
    alike = len(layers) == len(owners) and len(owned) == len(set(owned)) and wanted <= set(owned)
    return layers if alike else None


@contextmanager
def _recorded(layers: list[nn.Linear]) -> Iterator[list[Call]]:
    """Collects (layer, input, output) of every call."""
    calls: list[Call] = []

    def record(layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
        assert isinstance(layer, nn.Linear)
        calls.append((layer, inputs[0].detach(), output))
        return output.clone()  # what comes after may work in place, as ReLU(inplace=True)

    handles = [layer.register_forward_hook(record) for layer in layers]
    try:
        yield calls
    finally:
        for handle in handles:
            handle.remove()


def _by_layers(layers: list[nn.Linear], theta: Theta, scores: Scores, examples: Labelled, power: Power) -> Tensor | None:
    """A chunk's sums (P,) by products of matrices, or None when the layers' calls don't allow it."""
    total = torch.zeros_like(theta.value)
    views = {id(p): view for p, view in zip(theta.parameters, theta.layout.split(total).values(), strict=True)}
    with _recorded(layers) as calls:
        values = scores(*examples)
    called = [layer for layer, _, _ in calls]
    if len(set(called)) < len(called) or any(a.ndim != 2 or len(a) != len(values) for _, a, _ in calls):
        return None
    inputs = [_powered(a, power) for _, a, _ in calls]
    outputs = [output for _, _, output in calls]
    if not _explains(calls, theta, values[:, 0].sum()):
        return None
    for k in range(values.shape[1]):
        last = k == values.shape[1] - 1
        deltas = torch.autograd.grad(values[:, k].sum(), outputs, retain_graph=not last, allow_unused=True)
        for (layer, _, _), a, delta in zip(calls, inputs, deltas, strict=True):
            if delta is None:
                continue
            d = _powered(delta, power)
            if id(layer.weight) in views:
                views[id(layer.weight)].addmm_(d.T, a)
            if layer.bias is not None and id(layer.bias) in views:
                views[id(layer.bias)].add_(d.sum(0))
    return total


def _explains(calls: list[Call], theta: Theta, value: Tensor) -> bool:
    """Whether the value depends on theta through the layers' calls only: a weight may also be used directly, as in a cosine head."""
    outputs = [output for _, _, output in calls]
    found = torch.autograd.grad(value, [*outputs, *theta.parameters], retain_graph=True, allow_unused=True)
    products: dict[int, Tensor] = {}
    for (layer, a, _), delta in zip(calls, found, strict=False):
        if delta is not None:
            products[id(layer.weight)], products[id(layer.bias)] = delta.T @ a, delta.sum(0)
    total = theta.flatten(found[len(outputs) :])
    by_layers = theta.flatten([products.get(id(parameter)) for parameter in theta.parameters])
    return bool((total - by_layers).norm() <= 1e-3 * total.norm())


def _one_by_one(theta: Theta, scores: Scores, examples: Labelled, power: Power) -> Tensor:
    """A chunk's sums (P,), one backward pass an example and score."""
    total = torch.zeros_like(theta.value)
    for one in zip(*(torch.split(tensor, 1) for tensor in examples), strict=True):
        values = scores(*one)[0]
        for k in range(len(values)):
            last = k == len(values) - 1
            gradients = torch.autograd.grad(values[k], theta.parameters, retain_graph=not last, allow_unused=True)
            total += _powered(theta.flatten(gradients), power)
    return total
