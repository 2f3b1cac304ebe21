"""Columns: a network beside which others are put, each of which also reads what the earlier ones compute."""

import copy
from collections.abc import Iterator, Sequence
from typing import Any, Literal, cast, get_args

import torch
from torch import Tensor, fx, nn

from lifelong.errors import GrowthError, nearest
from lifelong.models.drawing import Initial, own_weights
from lifelong.models.heads import seed_of
from lifelong.steps import steps_of
from lifelong.structure import CONVOLUTIONS, NORMS, Structure, Units

Adapter = Literal["linear", "nonlinear"]
LAYERS = (nn.Linear, *CONVOLUTIONS)
RESET = (nn.PReLU, nn.LayerNorm, nn.GroupNorm)  # start at numbers that are not drawn


class Reduction(nn.Module):
    """sigma(V alpha h): earlier columns' values, scaled and projected to a column's own width.

    Args:
        projection: V, a Linear layer or a 1x1 convolution.
        alpha: what the learned scalar starts at.
    """

    def __init__(self, projection: nn.Module, alpha: Tensor) -> None:
        super().__init__()
        self.projection = projection
        self.alpha = nn.Parameter(alpha)

    def forward(self, h: Tensor) -> Tensor:
        return torch.relu(self.projection(self.alpha * h))


class Columns(nn.Module):
    """Networks of one kind side by side, of which all but the last are frozen and in evaluation mode.

    Rusu et al. 2016, https://arxiv.org/abs/1606.04671, Eqs. 1 and 2. Layer i of column k gives

        h_i^(k) = f(W_i^(k) h_{i-1}^(k) + U_i^(k) [h_{i-1}^(1), ..., h_{i-1}^(k-1)])                              "linear"
        h_i^(k) = f(W_i^(k) h_{i-1}^(k) + U_i^(k) sigma(V_i^(k) alpha_i^(k) [h_{i-1}^(1), ..., h_{i-1}^(k-1)]))   "nonlinear"

    for each Linear and convolutional layer but those that read the network's inputs, which all columns share. f is all that follows
    until the next layer, batch norm included, and sigma is ReLU. U is a layer of W's kind without a bias, with W's stride and padding;
    V projects to as many values as W reads, with a bias, by a 1x1 convolution where they are images; alpha is one number, drawn from 0
    to 1. In a residual network every layer has its connections, the shortcuts' too.

    The features are those of all columns side by side, so that the head of column k has the lateral connections of the output layer: it
    reads h^(1), ..., h^(k) with "linear" adapters, and h^(k), sigma(V^(k) alpha^(k) [h^(1), ..., h^(k-1)]) with "nonlinear" ones.

    Args:
        base: the first column, any network whose forward pass torch.fx can follow and that calls each of its layers once.
        width: of its features.

    Attributes:
        columns: the networks. adapters: of each, those of its layers in turn; with "nonlinear" also that before the head.
        widths: of each column's own features. ends: for each column, where its part of all features ends.

    Raises:
        GrowthError: of the base no column can be made; it names the layer.
    """

    def __init__(self, base: nn.Module, width: int) -> None:
        super().__init__()
        structure = Structure(base)
        _check(base, structure)
        self.steps = steps_of(structure)
        self.places = {name: place for place, name in enumerate(_lateral(structure))}
        self.columns = nn.ModuleList([base])
        self.adapters = nn.ModuleList([nn.ModuleList()])
        self.widths, self.ends = [width], [width]

    def add(self, share: float, adapter: Adapter, seed: int, initial: Initial = "torch") -> tuple[int, int]:
        """Adds a column with its adapters, and freezes the others.

        Args:
            share: its layers' widths as a share of those of the first column; each has at least one unit.
            adapter: "linear" or "nonlinear".
            seed: of its weights. initial: how they are drawn, see `MLP`.

        Returns:
            From where to where in the features its head reads.

        Raises:
            GrowthError: it can't be done; nothing was changed.
        """
        if not isinstance(share, int | float) or not 0 < share < float("inf"):
            raise GrowthError(f"width of a column is {share!r}; expected a share of the first column's widths > 0, as 0.5 for half of them")
        if adapter not in get_args(Adapter):
            raise GrowthError(f"adapter is {adapter!r}; {nearest(str(adapter), get_args(Adapter))}")
        column, adapters = copy.deepcopy(self.columns[0]).requires_grad_(True), nn.ModuleList()
        with own_weights(column, seed_of(seed, "column"), initial):
            width = _afresh(column, share, self.widths[0])
        with own_weights(adapters, seed_of(seed, "adapters"), initial):
            adapters.extend(self._adapters(column, width, adapter, torch.Generator().manual_seed(seed_of(seed, "alpha"))))
        self.requires_grad_(False)
        device = next(self.parameters()).device
        self.columns.append(column.to(device))
        self.adapters.append(adapters.to(device))
        self.widths.append(width)
        self.ends.append(self.ends[-1] + (width if adapter == "linear" else 2 * width))
        self.train(self.training)
        return (0 if adapter == "linear" else self.ends[-2]), self.ends[-1]

    def _adapters(self, column: nn.Module, width: int, adapter: Adapter, generator: torch.Generator) -> Iterator[nn.Module]:
        """A new column's adapters; the generator is that of alpha."""
        dtype = next(self.parameters()).dtype
        for name in self.places:
            layer = column.get_submodule(name)
            earlier = sum(_sizes(each.get_submodule(name))[0] for each in self.columns)
            own, outputs = _sizes(layer)
            if adapter == "linear":
                yield _like(layer, earlier, outputs)
            else:
                alpha = torch.rand((), generator=generator, dtype=dtype)
                yield nn.Sequential(Reduction(_projection(layer, earlier, own), alpha), _like(layer, own, outputs))
        if adapter == "nonlinear":
            projection = nn.Linear(sum(self.widths), width, dtype=dtype)
            yield Reduction(projection, torch.rand((), generator=generator, dtype=dtype))

    def train(self, mode: bool = True) -> "Columns":
        """The last column trains; the others stay in evaluation mode, so that their batch-norm statistics stay, too."""
        super().train(mode)
        for earlier in (*self.columns[:-1], *self.adapters[:-1]):
            earlier.eval()
        return self

    def needed(self, stop: int) -> int:
        """How many columns the features up to this one need."""
        return self.ends.index(stop) + 1

    def forward(self, x: Tensor) -> Tensor:
        """The features (N, F) of all columns, side by side."""
        return self.first(len(self.columns), x)

    def first(self, count: int, x: Tensor) -> Tensor:
        """The features (N, F) of the first columns, side by side; the others are not computed."""
        columns = list(self.columns)[:count]
        adapters = [list(cast(nn.ModuleList, each)) for each in self.adapters]
        values: list[dict[str, Any]] = [{} for _ in columns]  # of each column, what later steps read
        for step in self.steps:  # all columns side by side, so that only one layer's inputs are kept at a time
            place = self.places.get(step.target) if step.kind == "call_module" else None
            h = [own[step.reads] for own in values] if place is not None else []  # h_{i-1}^(j)
            for k, (column, own) in enumerate(zip(columns, values, strict=True)):
                given = step.of(column, own, x)
                if place is not None and k:
                    given = given + adapters[k][place](
                        _beside(h[:k], -1 if isinstance(column.get_submodule(step.target), nn.Linear) else 1)
                    )
                for name in step.last:
                    del own[name]
                own[step.name] = given
        features = [own[self.steps[-1].name] for own in values]
        parts: list[Tensor] = []
        for k, own_features in enumerate(features):
            parts.append(own_features)
            if len(adapters[k]) > len(self.places):
                parts.append(adapters[k][-1](_beside(features[:k], 1)))
        return _beside(parts, 1)


def _beside(tensors: Sequence[Tensor], dimension: int) -> Tensor:
    return tensors[0] if len(tensors) == 1 else torch.cat(list(tensors), dimension)


def _lateral(structure: Structure) -> Iterator[str]:
    """The layers with lateral connections: those that read what another layer made."""
    made: set[fx.Node] = set()  # what depends on a layer
    for node in structure.flows:
        is_layer, depends = isinstance(structure.module_of(node), LAYERS), not made.isdisjoint(node.all_input_nodes)
        if is_layer and depends:
            yield str(node.target)
        if is_layer or depends:
            made.add(node)


def _check(base: nn.Module, structure: Structure) -> None:
    """Raises GrowthError where it is not known how a network like this one starts afresh, or which of its layers would read which."""
    start = f"{type(base).__name__} can't get another column: "
    called = [str(node.target) for node in structure.flows if isinstance(structure.module_of(node), LAYERS)]
    if not called:
        raise GrowthError(f"{start}it calls no Linear or convolutional layer; a network that is one layer goes into nn.Sequential(...)")
    twice = next((name for name in called if called.count(name) > 1), None)
    if twice is not None:
        raise GrowthError(f"{start}layer {twice!r} is called {called.count(twice)} times, and lateral connections need one place for each")
    owners: dict[int, str] = {}
    for name, module in base.named_modules(remove_duplicate=False):
        own = dict(module.named_parameters(recurse=False))
        if own and type(module) not in (*LAYERS, *NORMS, *RESET):
            raise GrowthError(
                f"{start}{name or 'the network itself'!r} ({type(module).__name__}) has parameters, and it is not known what they start "
                "at; known are Linear and convolutional layers, PReLU, and batch, layer and group norms"
            )
        for last, parameter in own.items():
            other = owners.setdefault(id(parameter), f"{name}.{last}")
            if other != f"{name}.{last}":
                raise GrowthError(f"{start}{other!r} and '{name}.{last}' are one parameter; give each layer weights of its own")


def _afresh(column: nn.Module, share: float, width: int) -> int:
    """Gives a copy of the first column a share of its widths, and what is not drawn its first value; returns the width of its features."""
    structure = Structure(column)
    for name in structure.made if share != 1 else ():
        if structure.units(name).obstacles:
            reasons = "; ".join(dict.fromkeys(structure.units(name).obstacles))
            raise GrowthError(f"layer {name!r} can't have {share:g} of its width in another column: {reasons}. Use width=1.0")

    def scaled(size: int, units: Units | None) -> int:
        """A size that is a multiple of the number of units."""
        if share == 1 or units is None or units.root().size < 0:  # those of the network's inputs
            return size
        own = units.root().size
        return size // own * max(1, round(share * own))

    of_norms = {norm: units for units in structure.made.values() for norm in units.root().norms}
    for name, module in structure.modules.items():
        if isinstance(module, LAYERS):
            inputs, outputs = _sizes(module)
            inputs, outputs = scaled(inputs, structure.read.get(name)), scaled(outputs, structure.made.get(name))
            _put(column, name, _like(module, inputs, outputs, module.bias is not None, getattr(module, "groups", 1)))
        elif isinstance(module, NORMS):
            _put(column, name, _norm_like(module, scaled(module.num_features, of_norms.get(name))))
        elif isinstance(module, RESET):
            cast(nn.PReLU, module).reset_parameters()
    (output,) = next(node for node in structure.flows if node.op == "output").all_input_nodes
    return scaled(width, structure.flows[output].units)


def _put(network: nn.Module, name: str, module: nn.Module) -> None:
    path, _, last = name.rpartition(".")
    setattr(network.get_submodule(path), last, module)


def _sizes(layer: Any) -> tuple[int, int]:
    """How many values a layer reads and gives."""
    return (layer.in_features, layer.out_features) if isinstance(layer, nn.Linear) else (layer.in_channels, layer.out_channels)


def _like(layer: Any, inputs: int, outputs: int, bias: bool = False, groups: int = 1) -> nn.Module:
    """A layer of the same kind and geometry with other widths."""
    if isinstance(layer, nn.Linear):
        return nn.Linear(inputs, outputs, bias, dtype=layer.weight.dtype)
    geometry = {name: getattr(layer, name) for name in ("kernel_size", "stride", "padding", "dilation", "padding_mode")}
    made: nn.Module = type(layer)(inputs, outputs, **geometry, groups=groups, bias=bias, dtype=layer.weight.dtype)
    return made


def _projection(layer: Any, inputs: int, outputs: int) -> nn.Module:
    """V before a layer."""
    size = () if isinstance(layer, nn.Linear) else (1,)
    made: nn.Module = type(layer)(inputs, outputs, *size, dtype=layer.weight.dtype)
    return made


def _norm_like(norm: Any, features: int) -> nn.Module:
    """A batch norm as it starts, with other widths."""
    dtype = next((tensor.dtype for tensor in (norm.weight, norm.running_mean) if tensor is not None), None)
    options = {name: getattr(norm, name) for name in ("eps", "momentum", "affine", "track_running_stats")}
    made: nn.Module = type(norm)(features, **options, dtype=dtype)
    return made
