"""Sums over examples of per-example gradients, squared or absolute: what the importances of EWC and MAS are made of."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Literal

import torch
from torch import Tensor, nn

from lifelong.theta import Theta

Labelled = tuple[Tensor, Tensor]
Power = Literal["squared", "absolute"]
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
    views = {id(p): view for p, view in zip(theta.parameters, theta.layout.split(total).values(), strict=True)}
    for part in zip(*(tensor.split(CHUNK) for tensor in examples), strict=True):
        if layers is None or not _by_layers(layers, views, scores, part, power):
            _one_by_one(theta, scores, part, power, total)
    return total


def _powered(values: Tensor, power: Power) -> Tensor:
    return values.square() if power == "squared" else values.abs()


def _linear_layers(network: nn.Module, theta: Theta) -> list[nn.Linear] | None:
    """The Linear layers that own theta, or None if other modules do, or share a parameter."""
    wanted = {id(parameter) for parameter in theta.parameters}
    owners = [m for m in network.modules() if any(id(p) in wanted for p in m.parameters(recurse=False))]
    owned = [id(p) for m in owners for p in m.parameters(recurse=False)]
    alike = all(type(m) is nn.Linear for m in owners) and len(owned) == len(set(owned)) and wanted <= set(owned)
    return [m for m in owners if isinstance(m, nn.Linear)] if alike else None


@contextmanager
def _recorded(layers: list[nn.Linear]) -> Iterator[list[tuple[nn.Linear, Tensor, Tensor]]]:
    """Collects (layer, input, output) of every call."""
    calls: list[tuple[nn.Linear, Tensor, Tensor]] = []
    handles = [layer.register_forward_hook(lambda m, inputs, output: calls.append((m, inputs[0].detach(), output))) for layer in layers]
    try:
        yield calls
    finally:
        for handle in handles:
            handle.remove()


def _by_layers(layers: list[nn.Linear], views: dict[int, Tensor], scores: Scores, examples: Labelled, power: Power) -> bool:
    """Adds a chunk's sums to the parameters' `views` of the total by products of matrices; False when the layers' calls don't allow it."""
    with _recorded(layers) as calls:
        values = scores(*examples)
    called = [layer for layer, _, _ in calls]
    if len(set(called)) < len(called) or any(a.ndim != 2 or len(a) != len(values) for _, a, _ in calls):
        return False
    inputs = [_powered(a, power) for _, a, _ in calls]
    for k in range(values.shape[1]):
        last = k == values.shape[1] - 1
        deltas = torch.autograd.grad(values[:, k].sum(), [output for _, _, output in calls], retain_graph=not last, allow_unused=True)
        for (layer, _, _), a, delta in zip(calls, inputs, deltas, strict=True):
            if delta is None:
                continue
            d = _powered(delta, power)
            if id(layer.weight) in views:
                views[id(layer.weight)].addmm_(d.T, a)
            if layer.bias is not None and id(layer.bias) in views:
                views[id(layer.bias)].add_(d.sum(0))
    return True


def _one_by_one(theta: Theta, scores: Scores, examples: Labelled, power: Power, total: Tensor) -> None:
    for one in zip(*(tensor.split(1) for tensor in examples), strict=True):
        values = scores(*one)[0]
        for k in range(len(values)):
            last = k == len(values) - 1
            gradients = torch.autograd.grad(values[k], theta.parameters, retain_graph=not last, allow_unused=True)
            total += _powered(theta.flatten(gradients), power)
