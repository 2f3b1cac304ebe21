"""Theta: all trainable parameters as one vector, as the papers write it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from math import prod

import torch
from torch import Tensor, nn

from lifelong.errors import ThetaError

Dormant = dict[str, Tensor]


@dataclass(frozen=True)
class Layout:
    """Where each parameter lies in theta: names and shapes in order."""

    shapes: dict[str, tuple[int, ...]]

    @property
    def size(self) -> int:
        return sum(prod(shape) for shape in self.shapes.values())

    def split(self, vector: Tensor) -> dict[str, Tensor]:
        """Views of `vector` (size,), one a parameter, in its shape."""
        parts = torch.split(vector, [prod(shape) for shape in self.shapes.values()])
        return {name: part.view(shape) for (name, shape), part in zip(self.shapes.items(), parts, strict=True)}

    def remap(self, vector: Tensor, old: "Layout", *, fill: float = 0.0, dormant: Dormant | None = None) -> Tensor:
        """`vector` of the layout `old` in this layout.

        A parameter that grew keeps its values in its leading corner; entries that are new get `fill`. Values of parameters that
        this layout leaves out go to `dormant` under their names, and come back from there when the parameter does.
        """
        dormant = {} if dormant is None else dormant
        before = old.split(vector)
        known = dormant | before
        for name in before.keys() - self.shapes.keys():
            dormant[name] = before[name].clone()
        after = vector.new_full((self.size,), fill)
        for name, part in self.split(after).items():
            if name in known:
                copy_corner(known[name], part)
            dormant.pop(name, None)
        return after


def copy_corner(source: Tensor, target: Tensor) -> None:
    """Copies what both tensors have in common: the leading entries of every dimension."""
    corner = tuple(slice(min(a, b)) for a, b in zip(source.shape, target.shape, strict=True))
    target[corner] = source[corner]


class Theta:
    """One vector whose slices are the storage of the parameters that are being trained.

    Modules keep working on their parameters, which are views. Buffers, frozen parameters and parameters not handed to `bind` are
    not in theta. A tied parameter is in it once.

    Attributes:
        layout: names and shapes, in order.
        value: float vector (layout.size,); changing it in place changes the network.
        parameters: the network's own parameters, in the layout's order.
    """

    def __init__(self) -> None:
        self.layout = Layout({})
        self.value = torch.empty(0)
        self.parameters: list[nn.Parameter] = []
        self._gradient: Tensor | None = None
        self._gradient_views: list[Tensor] = []

    def bind(self, named: Mapping[str, nn.Parameter]) -> bool:
        """Makes the parameters' storage slices of one vector, and tells whether anything had to be moved.

        Args:
            named: the parameters to train, under the names that layouts and saved files use.

        Raises:
            ThetaError: different dtypes or devices, or two parameters that share memory.
        """
        layout = Layout({name: tuple(parameter.shape) for name, parameter in named.items()})
        parameters = list(named.values())
        same = len(parameters) == len(self.parameters) and all(a is b for a, b in zip(parameters, self.parameters, strict=True))
        if same and layout == self.layout and self.moved() is None:
            return False
        _check_alike(named)
        device, dtype = (parameters[0].device, parameters[0].dtype) if parameters else (None, None)
        self.layout, self.parameters = layout, parameters
        self.value = torch.empty(layout.size, device=device, dtype=dtype)
        for parameter, view in zip(parameters, layout.split(self.value).values(), strict=True):
            view.copy_(parameter.detach())
            parameter.data = view
            parameter.grad = None
        self._gradient = None
        return True

    def moved(self) -> str | None:
        """The name of the first parameter that is no longer a slice of theta (after `.to()`, say), or None."""
        views = self.layout.split(self.value).values()
        for name, parameter, view in zip(self.layout.shapes, self.parameters, views, strict=True):
            if parameter.data_ptr() != view.data_ptr() or parameter.shape != view.shape or parameter.dtype != view.dtype:
                return name
        return None

    def check(self) -> None:
        """Raises ThetaError when a parameter was replaced while theta was in use: training would no longer reach it."""
        name = self.moved()
        if name is not None:
            raise ThetaError(
                f"parameter {name!r} no longer shares theta's memory: something replaced it during training "
                "(module.to(), parameter.data = ...). Change devices and dtypes between tasks, and values in place, as load_state_dict does"
            )

    @property
    def gradient(self) -> Tensor:
        """The current gradient (layout.size,), for `Method.edit_gradient`; filled by `gather`."""
        if self._gradient is None:
            self._gradient = torch.zeros_like(self.value)
            self._gradient_views = list(self.layout.split(self._gradient).values())
        return self._gradient

    def gather(self) -> Tensor:
        """Copies the parameters' `.grad` into `gradient`, makes them slices of it, and returns it. No `.grad` counts as zero."""
        gradient, views = self.gradient, self._gradient_views
        gradients = [parameter.grad for parameter in self.parameters]
        if any(each is None for each in gradients):
            gradients = [view.new_zeros(view.shape) if each is None else each for each, view in zip(gradients, views, strict=True)]
        torch._foreach_copy_(views, gradients)  # type: ignore[arg-type]
        self.lend()
        return gradient

    def lend(self) -> None:
        """Makes the parameters' `.grad` slices of `gradient`, whatever they were."""
        for parameter, view in zip(self.parameters, self._gradient_views, strict=True):
            parameter.grad = view

    def drop(self) -> None:
        """Sets the parameters' `.grad` to None, so that the next backward pass starts from nothing."""
        for parameter in self.parameters:
            parameter.grad = None

    def flatten(self, gradients: Iterable[Tensor | None], out: Tensor | None = None) -> Tensor:
        """One vector, a new one or `out`, from tensors in the parameters' shapes and order; None counts as zero."""
        pairs = zip(gradients, self.parameters, strict=True)
        return torch.cat([(torch.zeros_like(p) if g is None else g).reshape(-1) for g, p in pairs], out=out)


def _check_alike(named: Mapping[str, nn.Parameter]) -> None:
    """One dtype, one device, no shared memory."""
    kinds = {(parameter.dtype, parameter.device): name for name, parameter in reversed(list(named.items()))}
    if len(kinds) > 1:
        found = ", ".join(f"{name!r} is {dtype} on {device}" for (dtype, device), name in kinds.items())
        raise ThetaError(
            f"the trainable parameters must have one dtype and one device to be one vector: {found}. Move the whole network with .to()"
        )
    ends: list[tuple[int, int, str]] = sorted((p.data_ptr(), p.data_ptr() + p.nbytes, name) for name, p in named.items() if p.numel())
    for (_, end, first), (start, _, second) in pairwise(ends):
        if start < end:
            raise ThetaError(
                f"parameters {first!r} and {second!r} are different Parameter objects in the same memory; "
                "tie weights by assigning one Parameter to both modules (b.weight = a.weight)"
            )
