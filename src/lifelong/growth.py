"""Growth: operations that change a network's shape, as data for the learner's journal, and how everything follows them.

An operation is a dictionary that JSON knows. `widen` and `deepen` are those of Net2Net (Chen et al. 2016, https://arxiv.org/abs/1511.05641),
which leave what the network computes as it was.
"""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from lifelong.errors import GrowthError
from lifelong.method import Declared, Scales
from lifelong.models.columns import Adapter, Columns
from lifelong.models.heads import Network
from lifelong.structure import CONVOLUTIONS, NORMS, Structure, Units
from lifelong.tasks import Name
from lifelong.theta import Layout

Operation = dict[str, Any]
NOISE = 0.1


def widen(layer: str, width: int, *, noise: float = NOISE, seed: int | None = None) -> Operation:
    """More units for a layer (Net2WiderNet): copies of its own, drawn at random, whose outgoing weights are divided among the copies.

    Layers whose outputs are added to this one's, as in a residual network, get the same copies.

    Args:
        layer: a Linear or convolutional layer, by its name in `model.named_modules()`.
        width: its number of units afterwards, more than before.
        noise: copies differ by random numbers of this size in their outgoing weights, as a share of that layer's root mean square of
            weights over the copies' number. For each unit they sum to zero, so that what the network computes changes by rounding only,
            while the copies get different gradients. 0: copies stay alike for ever.
        seed: of the drawing. None: one that depends on the learner's.
    """
    return {"operation": "widen", "layer": layer, "width": width, "noise": noise, "seed": seed}


def deepen(after: str) -> Operation:
    """A layer more (Net2DeeperNet): an identity, put behind a layer and its activation; with batch norm where that layer has one.

    Args:
        after: a Linear or convolutional layer that ReLU follows, by its name in `model.named_modules()`. It becomes NAME.0 in an
            `nn.Sequential`, and the identity layer is NAME.2; behind a batch norm, that is what becomes NAME.0.
    """
    return {"operation": "deepen", "after": after}


def add_column(width: float = 1.0, *, adapter: Adapter = "nonlinear", seed: int | None = None) -> Operation:
    """A column beside the network, which also reads what the network computes, as in progressive networks; in the scenario "task".

    What there was is frozen, heads included, and the next task's head reads the new column, see `lifelong.models.columns.Columns`. So it
    comes before that head: between tasks, or in `Method.prepare_task`.

    Args:
        width: of its layers, as a share of the widths of the first column.
        adapter: "linear" or "nonlinear" connections from the earlier columns.
        seed: of its first weights. None: one that depends on the learner's.
    """
    return {"operation": "add_column", "width": width, "adapter": adapter, "seed": seed}


def add_classes(names: list[Name]) -> Operation:
    """Outputs for classes, by name, that no task has brought yet; for the scenario "class".

    They compete in training from there on and are not predicted before a task brings them. What an output starts at depends on its
    class's name only, not on the order.
    """
    return {"operation": "declare_classes", "task": "", "classes": list(names)}


def add_head(task: str, classes: list[Name]) -> Operation:
    """A head for a task to come, in the scenario "task"."""
    return {"operation": "add_head", "task": task, "classes": list(classes)}


@dataclass(frozen=True)
class Part:
    """How one dimension of a tensor grew.

    Attributes:
        dimension: which.
        index: int64 (n,): for each entry, which it is a copy of.
        copies: (n,): how many copies there are of that one, itself included.
        divides: whether the copies share the weight: it is outgoing.
    """

    dimension: int
    index: Tensor
    copies: Tensor
    divides: bool


@dataclass(frozen=True)
class Change:
    """What an operation did to a network: the one map by which parameters, buffers and everything kept for each of them follow.

    Attributes:
        parts: for the names of tensors that grew, by what. renamed: new names of tensors, by their old ones.
        noise: added to tensors, by name; what it sums to for each unit is zero.
        fresh: what tensors that are new start at, by name.
    """

    parts: Mapping[str, tuple[Part, ...]] = field(default_factory=dict)
    renamed: Mapping[str, str] = field(default_factory=dict)
    noise: Mapping[str, Tensor] = field(default_factory=dict)
    fresh: Mapping[str, Tensor] = field(default_factory=dict)

    def carry(self, tensors: Mapping[str, Tensor], scales: Scales = "theta") -> dict[str, Tensor]:
        """Tensors for the network as it is, from tensors for the network as it was; both under its names ("features. ...").

        With n copies of a unit, an incoming weight w becomes w in each, with a gradient of dL/dw / n; an outgoing weight v becomes
        v / n in each, with the gradient dL/dv. So it is known what each kind of per-parameter state would be if it were measured anew:

        Args:
            scales: "theta": values like the parameters themselves, w and v / n, noise included. "gradient": w / n and v. "squared
                gradient", as the Fisher information is: w / n^2 and v. "product" of a gradient and a change of theta, as SI's path
                integral: w / n and v / n. "copy": as it is.
        """
        return {new: self._carried(new, tensor, scales) for new, tensor in zip(self._names(tensors), tensors.values(), strict=True)}

    def vector(self, vector: Tensor, old: Layout, new: Layout, declared: Declared) -> Tensor:
        """A vector of the layout of theta as it was in the layout of theta as it is."""
        carried = self.carry(old.split(vector), declared.scales)
        made = vector.new_full((new.size,), declared.fill)
        for name, part in new.split(made).items():
            if name in carried:
                part.copy_(carried[name])
            elif declared.scales == "theta":
                part.copy_(self.fresh[name])
        return made

    def _names(self, names: Iterable[str]) -> list[str]:
        return [self.renamed.get(name, name) for name in names]

    def _carried(self, name: str, tensor: Tensor, scales: Scales) -> Tensor:
        for part in self.parts.get(name, ()):
            tensor = tensor.index_select(part.dimension, part.index.to(tensor.device))
            power = POWERS[scales][part.divides]
            if power and tensor.is_floating_point():
                shape = [-1 if dimension == part.dimension else 1 for dimension in range(tensor.ndim)]
                tensor = tensor * part.copies.to(tensor).pow(power).view(shape)
        if scales == "theta" and name in self.noise:
            tensor = tensor + self.noise[name][: len(tensor)].to(tensor)  # a teacher's head may have fewer rows
        return tensor.clone() if name not in self.parts else tensor


# The power of n by which state of incoming (False) and of outgoing weights (True) is multiplied, for n copies.
POWERS: dict[Scales, dict[bool, int]] = {
    "theta": {False: 0, True: -1},
    "gradient": {False: -1, True: 0},
    "squared gradient": {False: -2, True: 0},
    "product": {False: -1, True: -1},
    "copy": {False: 0, True: 0},
}


def growable(network: Network) -> dict[str, int]:
    """Layers that can be widened and are not frozen, and their numbers of units; of those that grow together the first."""
    made = [units.root() for units in Structure(network.features).made.values()]
    frozen = {name.rpartition(".")[0] for name, parameter in network.features.named_parameters() if not parameter.requires_grad}
    free = [units for units in {id(each): each for each in made}.values() if not units.obstacles and frozen.isdisjoint(units.makers)]
    return {next(iter(units.makers)): units.size for units in free}


def change_of(network: Network, operation: Operation) -> Change:
    """Changes the network by an operation on its layers, and says what was done.

    Raises:
        GrowthError: it can't be done; nothing was changed.
    """
    return OPERATIONS[operation["operation"]](network, **{name: value for name, value in operation.items() if name != "operation"})


def _widen(network: Network, layer: str, width: int, noise: float, seed: int) -> Change:
    structure = Structure(network.features)
    units = structure.units(layer)
    if not isinstance(width, int) or width <= units.size:
        raise GrowthError(f"width of {layer!r} is {width!r}; expected an integer above the {units.size} units that it has")
    if units.obstacles:
        raise GrowthError(f"layer {layer!r} can't be widened: its units are {units.size}, and {'; '.join(dict.fromkeys(units.obstacles))}")
    generator = torch.Generator().manual_seed(seed)
    index = torch.cat([torch.arange(units.size), torch.randint(units.size, (width - units.size,), generator=generator)])  # g(j)
    copies = torch.bincount(index, minlength=units.size)[index].float()
    parts = _parts(network, structure, units, index, copies)
    noises = {name: _noise(network.get_parameter(name), each, noise, generator) for name, each in parts.items() if each[-1].divides}
    change = Change(parts, noise=noises)
    grown = change.carry({name: tensor.detach() for name, tensor in network.state_dict().items() if name in parts})
    for name, tensor in grown.items():
        _assign(network, name, tensor)
    for name in (*units.makers, *units.norms, *units.readers):
        _tell_sizes(structure.modules[name])
    if units.leaves:
        network.heads.widened(*_repeated(index, copies, network.heads.width // units.size))
    return change


def _parts(network: Network, structure: Structure, units: Units, index: Tensor, copies: Tensor) -> dict[str, tuple[Part, ...]]:
    """Which dimensions of which tensors grow."""
    parts: dict[str, tuple[Part, ...]] = {}
    for name in units.makers:
        for tensor in ("weight", "bias"):
            if getattr(structure.modules[name], tensor) is not None:
                parts[f"features.{name}.{tensor}"] = (Part(0, index, copies, False),)
    for name in units.norms:
        norm = structure.modules[name]
        for tensor in ("weight", "bias", "running_mean", "running_var"):
            if getattr(norm, tensor) is not None:
                parts[f"features.{name}.{tensor}"] = (Part(0, *_repeated(index, copies, norm.num_features // units.size), False),)
    for name in units.readers:
        inputs = structure.modules[name].weight.shape[1]
        outgoing = Part(1, *_repeated(index, copies, inputs // units.size), True)
        parts[f"features.{name}.weight"] = (*parts.get(f"features.{name}.weight", ()), outgoing)
    for head in range(len(network.heads.layers) if units.leaves else 0):
        parts[f"heads.layers.{head}.weight"] = (Part(1, *_repeated(index, copies, network.heads.width // units.size), True),)
    return parts


def _repeated(index: Tensor, copies: Tensor, times: int) -> tuple[Tensor, Tensor]:
    """The same where each unit is `times` values side by side."""
    places = torch.arange(times)
    return (index[:, None] * times + places).flatten(), copies.repeat_interleave(times)


def _noise(weight: Tensor, parts: tuple[Part, ...], noise: float, generator: torch.Generator) -> Tensor:
    """Random numbers in the grown weight's shape that sum to zero over the copies of each unit that it reads."""
    shape = list(weight.shape)
    for part in parts:
        shape[part.dimension] = len(part.index)
    reads = parts[-1]
    drawn = torch.randn(shape, generator=generator)
    shape[reads.dimension] = weight.shape[reads.dimension]
    sums = torch.zeros(shape).index_add_(reads.dimension, reads.index, drawn)
    copies = reads.copies.view([-1 if dimension == reads.dimension else 1 for dimension in range(weight.ndim)])
    size = noise * weight.detach().square().mean().sqrt().cpu()
    return size / copies * (drawn - sums.index_select(reads.dimension, reads.index) / copies)


def _assign(network: nn.Module, name: str, tensor: Tensor) -> None:
    """Puts a tensor of another shape in the place of a parameter or a buffer."""
    path, _, last = name.rpartition(".")
    module = network.get_submodule(path)
    old = getattr(module, last)
    setattr(module, last, nn.Parameter(tensor, requires_grad=old.requires_grad) if isinstance(old, nn.Parameter) else tensor)


def _tell_sizes(module: nn.Module) -> None:
    """A layer's attributes say what its weights are."""
    if isinstance(module, nn.Linear):
        module.out_features, module.in_features = module.weight.shape
    elif isinstance(module, CONVOLUTIONS):
        module.out_channels, module.in_channels = module.weight.shape[:2]
    elif isinstance(module, NORMS):
        module.num_features = len(next(tensor for tensor in (module.weight, module.running_mean) if tensor is not None))


def _add_column(network: Network, width: float, adapter: Adapter, seed: int) -> Change:
    base, heads = network.features, network.heads
    if heads.scenario != "task":
        raise GrowthError(f"a column needs a head of its own, which there is in the scenario 'task' only, and this is {heads.scenario!r}")
    columns = base if isinstance(base, Columns) else Columns(base, heads.width)
    start, stop = columns.add(width, adapter, seed, heads.initial)
    heads.requires_grad_(False)
    heads.start, heads.width = start, stop - start
    network.features = columns
    renamed = {f"features.{name}": f"features.columns.0.{name}" for name in base.state_dict()} if columns is not base else {}
    added = (f"columns.{len(columns.columns) - 1}.", f"adapters.{len(columns.columns) - 1}.")
    fresh = {f"features.{name}": tensor.detach().clone() for name, tensor in columns.state_dict().items() if name.startswith(added)}
    return Change(renamed=renamed, fresh=fresh)


def _deepen(network: Network, after: str) -> Change:
    if isinstance(network.features, Columns):
        raise GrowthError(f"nothing can be put behind {after!r}: columns must stay alike. Use deepen before the first add_column")
    structure = Structure(network.features)
    size = structure.units(after).size
    followers = structure.followers(after)
    anchor = str(followers[0].target) if len(followers) == 1 and isinstance(structure.module_of(followers[0]), NORMS) else after
    if anchor != after:
        followers = structure.followers(anchor)
    if len(followers) != 1 or not structure.is_relu(followers[0]):
        found = ", ".join(str(each.target if each.op == "call_module" else each.name) for each in followers) or "nothing"
        raise GrowthError(
            f"nothing can be put behind {after!r}: it is followed by {found}, and an identity layer stays one only behind ReLU, "
            "where applying the activation twice is applying it once"
        )
    norm = structure.modules[anchor] if anchor != after else None
    identity = _identity(structure.modules[after], size)
    added = [identity] if norm is None else [identity, _undone(norm)]
    old = structure.modules[anchor]
    sequence = nn.Sequential(old, nn.ReLU(), *added).to(next(network.parameters()).device)
    sequence.train(old.training)
    path, _, last = anchor.rpartition(".")
    setattr(network.features.get_submodule(path), last, sequence)
    inside = f"features.{anchor}."
    renamed = {f"{inside}{name}": f"{inside}0.{name}" for name in old.state_dict()}
    fresh = {f"{inside}{name}": tensor.detach().clone() for name, tensor in sequence.state_dict().items() if not name.startswith("0.")}
    return Change(renamed=renamed, fresh=fresh)


def _identity(layer: Any, size: int) -> nn.Module:
    """A layer of the same kind whose output is its input; a convolution with an odd kernel keeps the image's size."""
    dtype = layer.weight.dtype
    with torch.random.fork_rng(devices=[]):
        if isinstance(layer, nn.Linear):
            identity: Any = nn.Linear(size, size, dtype=dtype)
        else:
            kernel = [each if each % 2 else each + 1 for each in layer.kernel_size]
            identity = type(layer)(size, size, kernel, padding=[each // 2 for each in kernel], dtype=dtype)
    each_unit = torch.arange(size)
    with torch.no_grad():
        identity.weight.zero_()
        identity.bias.zero_()
        identity.weight[(each_unit, each_unit, *(length // 2 for length in identity.weight.shape[2:]))] = 1.0
    made: nn.Module = identity
    return made


def _undone(norm: Any) -> nn.Module:
    """A batch norm behind a batch norm and ReLU that gives what it is given: its own weights undo its normalisation.

    In evaluation mode it does so exactly. In training mode it does where what the first one gives is distributed as its weights say,
    normally with mean beta and standard deviation gamma: then the statistics of what ReLU makes of it are known.
    """
    size = norm.num_features
    gamma = norm.weight.detach().abs().cpu() if norm.affine else torch.ones(size)
    beta = norm.bias.detach().cpu() if norm.affine else torch.zeros(size)
    ratio = beta / gamma.clamp_min(torch.finfo(gamma.dtype).tiny)
    below, density = torch.special.ndtr(ratio), (-ratio.square() / 2).exp() / math.sqrt(2 * math.pi)
    mean = beta * below + gamma * density
    variance = ((beta.square() + gamma.square()) * below + beta * gamma * density - mean.square()).clamp_min(0)
    undone: Any = type(norm)(size, eps=norm.eps, momentum=norm.momentum, dtype=gamma.dtype)
    with torch.no_grad():
        undone.running_mean.copy_(mean)
        undone.running_var.copy_(variance)
        undone.weight.copy_((variance + norm.eps).sqrt())
        undone.bias.copy_(mean)
    made: nn.Module = undone
    return made


OPERATIONS: dict[str, Callable[..., Change]] = {"widen": _widen, "deepen": _deepen, "add_column": _add_column}
