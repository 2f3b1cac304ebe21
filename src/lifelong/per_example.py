"""Sums over examples of per-example gradients, squared or absolute: what the importances of EWC and MAS are made of."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.autograd.graph import get_gradient_edge

from lifelong.layer_gradients import Call, CannotVectorizeError, Sums, powered
from lifelong.theta import Theta

Labelled = tuple[Tensor, Tensor]
Power = Literal["squared", "absolute"]
Scores = Callable[[Tensor, Tensor], Tensor]
Layers = dict[nn.Module, dict[str, nn.Parameter]]  # the layers that own theta, each with its parameters in theta by its own names
CHUNK = 250  # examples that go through the network together, at most
LARGE = 2**21  # entries of all layers' outputs for a whole chunk, above which larger chunks take longer, not shorter, for the memory
FEWER = 50  # that go together then
KEPT = 2**24  # entries of all layers' outputs that are kept at a time, at most; what autograd keeps for them is a few times as much


def sum_of_gradients(network: nn.Module, theta: Theta, scores: Scores, examples: Labelled, power: Power = "squared") -> Tensor:
    """sum_n sum_k |d scores(x, y)[n, k] / d theta|^p, p = 2 ("squared") or 1 ("absolute"): a vector (P,).

    The gradient is each example's own, never a batch mean's. The network must treat examples independently (evaluation mode).

    No loop over examples is needed where each parameter of theta belongs to one module without submodules, and each of these is called
    once, with one tensor, examples first, and gives one: a backward pass a score gives the gradients of the modules' outputs, and those
    of their parameters follow from them (`lifelong.layer_gradients`). Otherwise, and with modules that torch's vmap can't go through,
    it takes one backward pass an example and score: with weights used directly, tied or computed from others, a module called twice,
    torch's recurrent modules, embeddings of sequences with words first.

    Args:
        scores: from inputs (N, ...) and labels (N,) to (N, K), through the network.
        examples: inputs (N, ...) and labels (N,).
    """
    total = torch.zeros_like(theta.value)
    if not len(examples[0]) or not theta.parameters:
        return total
    layers = _owners(network, theta)
    together = None if layers is None else _together(layers, scores, examples)
    if layers is None or together is None:
        return _one_by_one(theta, scores, examples, power)
    for part in zip(*(torch.split(tensor, together) for tensor in examples), strict=True):
        sums = _by_layers(layers, theta, scores, part, power)
        total += _one_by_one(theta, scores, part, power) if sums is None else sums
    return total


def _owners(network: nn.Module, theta: Theta) -> Layers | None:
    """The layers that own theta, or None if a module with submodules does, or a parameter has two places."""
    wanted = {id(parameter) for parameter in theta.parameters}
    layers: Layers = {}
    owned: list[int] = []
    for module in network.modules():
        own = {name: p for name, p in module.named_parameters(recurse=False) if id(p) in wanted}
        if own:
            layers[module] = own
            owned += map(id, own.values())
    alike = len(owned) == len(wanted) and set(owned) == wanted and not any(list(module.children()) for module in layers)
    return layers if alike else None


@contextmanager
def _recorded(layers: Layers) -> Iterator[list[Call | None]]:
    """Collects every call that autograd follows; None stands for one of another form than from a tensor to a tensor."""
    calls: list[Call | None] = []

    def record(layer: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        if len(inputs) != 1 or not isinstance(inputs[0], Tensor) or not isinstance(output, Tensor):
            calls.append(None)
        elif output.requires_grad:
            calls.append(Call(layer, layers[layer], inputs[0].detach(), output.shape, get_gradient_edge(output)))

    handles = [layer.register_forward_hook(record) for layer in layers]
    try:
        yield calls
    finally:
        for handle in handles:
            handle.remove()


def _fitting(recorded: list[Call | None], count: int) -> list[Call] | None:
    """The calls, or None if one is of another form, of a layer that was called before, or not of so many examples."""
    calls = [call for call in recorded if call is not None]
    once = len({call.layer for call in calls}) == len(recorded)
    return calls if once and all(each[:1] == (count,) for call in calls for each in (call.a.shape, call.output)) else None


def _together(layers: Layers, scores: Scores, examples: Labelled) -> int | None:
    """How many examples may go through the network together, or None when the first one shows that the layers' calls don't fit."""
    with _recorded(layers) as recorded:
        scores(*(tensor[:1] for tensor in examples))
    calls = _fitting(recorded, 1)
    if calls is None:
        return None
    entries = max(1, sum(call.output.numel() for call in calls))
    return min(CHUNK, max(1, KEPT // entries), CHUNK if CHUNK * entries <= LARGE else FEWER)


def _by_layers(layers: Layers, theta: Theta, scores: Scores, examples: Labelled, power: Power) -> Tensor | None:
    """A chunk's sums (P,) from the layers' calls, or None when these don't allow it."""
    with _recorded(layers) as recorded:
        values = scores(*examples)
    calls = _fitting(recorded, len(values))
    if calls is None:
        return None
    scored = values.shape[1]
    outputs = [call.edge for call in calls]
    total, explained = torch.zeros_like(theta.value), torch.zeros_like(theta.value)
    sums: Sums = {power: _views(theta, total)}
    # With random signs the examples' gradients don't cancel in the sum that is checked, and their powers stay as they are.
    signs = torch.randint(2, values.shape, generator=torch.Generator().manual_seed(0)).to(values).mul_(2).sub_(1)
    places: list[Any] = [*outputs, *theta.parameters]
    found = torch.autograd.grad((signs * values).sum(), places, retain_graph=True, allow_unused=True)
    deltas, whole = found[: len(outputs)], found[len(outputs) :]
    plain: Sums = {"plain": _views(theta, explained)}
    try:
        _add(calls, deltas, {**plain, **sums} if scored == 1 else plain)
    except CannotVectorizeError:
        return None
    if not _explains(plain["plain"].values(), whole) or not _examples_first(calls, values, signs, deltas):
        return None
    for k in range(scored if scored > 1 else 0):
        _add(calls, torch.autograd.grad(values[:, k].sum(), outputs, retain_graph=k < scored - 1, allow_unused=True), sums)
    return total


def _views(theta: Theta, vector: Tensor) -> dict[int, Tensor]:
    return {id(p): view for p, view in zip(theta.parameters, theta.layout.split(vector).values(), strict=True)}


def _add(calls: list[Call], deltas: Sequence[Tensor | None], sums: Sums) -> None:
    for call, delta in zip(calls, deltas, strict=True):
        if delta is not None:
            call.add(delta, sums)


def _explains(explained: Iterable[Tensor], whole: Sequence[Tensor | None]) -> bool:
    """Whether the layers' gradients are all there is to theta's: a weight may also be used directly, as in a cosine head.

    Args:
        explained: the gradient of each parameter by the layers; changed in place.
        whole: the gradient by autograd; None counts as zero.
    """
    pairs = [
        (by_layers if g is None else by_layers.sub_(g), by_layers.new_zeros(()) if g is None else g)
        for by_layers, g in zip(explained, whole, strict=True)
    ]
    differences, sizes = (torch.stack([tensor.norm() for tensor in side]) for side in zip(*pairs, strict=True))
    rounding = 100 * torch.finfo(sizes.dtype).eps * sizes.norm()  # all that there is to a gradient that should be 0
    return bool((differences <= 1e-3 * sizes + rounding).all())


def _examples_first(calls: list[Call], values: Tensor, signs: Tensor, deltas: Sequence[Tensor | None]) -> bool:
    """Whether row n of each output belongs to example n alone: where other axes fit the examples too, they may be what is first.

    A sequence-first layer with as many words as examples looks like an examples-first one. With the scores of example n weighted by
    c_n, its delta must be c_n times what it was.
    """
    if len(values) < 2 or not any(size % len(values) == 0 for call in calls for size in call.other_axes()):
        return True
    weights = 1 + torch.rand(len(values), 1, generator=torch.Generator().manual_seed(1)).to(values)
    found = torch.autograd.grad((weights * signs * values).sum(), [call.edge for call in calls], retain_graph=True, allow_unused=True)
    for weighted, delta in zip(found, deltas, strict=True):
        if weighted is None or delta is None:
            continue
        expected = weights.view(-1, *(1,) * (delta.ndim - 1)) * delta
        if bool((weighted - expected).norm() > 1e-3 * expected.norm()):
            return False
    return True


def _one_by_one(theta: Theta, scores: Scores, examples: Labelled, power: Power) -> Tensor:
    """A chunk's sums (P,), one backward pass an example and score."""
    total = torch.zeros_like(theta.value)
    for one in zip(*(torch.split(tensor, 1) for tensor in examples), strict=True):
        values = scores(*one)[0]
        for k in range(len(values)):
            last = k == len(values) - 1
            gradients = torch.autograd.grad(values[k], theta.parameters, retain_graph=not last, allow_unused=True)
            total += powered(theta.flatten(gradients), power)
    return total
