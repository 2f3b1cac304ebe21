"""Who makes and who reads the units of a network, found by tracing it with torch.fx."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Literal

from torch import fx, nn

from lifelong.errors import GrowthError, nearest

Form = Literal["vector", "image", "flat"]  # (N, C); (N, C, ...); (N, C * r), each unit r values side by side

CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
ACTIVATIONS = (nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.ELU, nn.SELU, nn.CELU, nn.GELU, nn.SiLU, nn.Mish, nn.Softplus, nn.Softsign)
SQUASHING = (nn.Tanh, nn.Sigmoid, nn.Hardtanh, nn.Hardsigmoid, nn.Hardswish, nn.LogSigmoid)
POOLS = tuple(getattr(nn, f"{kind}Pool{n}d") for n in (1, 2, 3) for kind in ("Max", "Avg", "AdaptiveAvg", "AdaptiveMax"))
EACH_UNIT = (*ACTIVATIONS, *SQUASHING, *POOLS, nn.Identity, nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d)
# Functions and methods of tensors, by name, that treat each unit by itself and all alike.
EACH_UNIT_NAMES = frozenset(
    [
        "relu",
        "relu_",
        "relu6",
        "leaky_relu",
        "elu",
        "selu",
        "celu",
        "gelu",
        "silu",
        "mish",
        "softplus",
        "softsign",
        "tanh",
        "sigmoid",
        "hardtanh",
        "hardsigmoid",
        "hardswish",
        "logsigmoid",
        "abs",
        "exp",
        "square",
        "sqrt",
        "clamp",
        "clamp_min",
        "clamp_max",
        "dropout",
        "dropout1d",
        "dropout2d",
        "dropout3d",
        "max_pool1d",
        "max_pool2d",
        "max_pool3d",
        "avg_pool1d",
        "avg_pool2d",
        "avg_pool3d",
        "adaptive_avg_pool1d",
        "adaptive_avg_pool2d",
        "adaptive_avg_pool3d",
        "adaptive_max_pool1d",
        "adaptive_max_pool2d",
        "adaptive_max_pool3d",
        "contiguous",
        "clone",
        "to",
        "float",
        "neg",
    ]
)
JOINING = frozenset(["add", "iadd", "add_", "sub", "isub", "sub_", "mul", "imul", "mul_"])


@dataclass
class Units:
    """The units (outputs of a Linear layer, feature maps of a convolution) that several layers may make or read together.

    Attributes:
        size: their number.
        makers: layers whose outputs they are; several where outputs are added.
        norms: batch norms that they go through.
        readers: layers that they are inputs of.
        leaves: whether they are the network's features.
        obstacles: why they can't be more: what does, and why.
    """

    size: int
    makers: dict[str, None] = field(default_factory=dict)
    norms: dict[str, None] = field(default_factory=dict)
    readers: dict[str, None] = field(default_factory=dict)
    leaves: bool = False
    obstacles: list[str] = field(default_factory=list)
    joined: "Units | None" = None

    def root(self) -> "Units":
        """What these units are, after all joins."""
        return self if self.joined is None else self.joined.root()

    def join(self, other: "Units") -> None:
        """Both are one: they are added, or the same layer makes or reads them."""
        one, two = self.root(), other.root()
        if one is two:
            return
        for name in ("makers", "norms", "readers"):
            getattr(one, name).update(getattr(two, name))
        one.leaves |= two.leaves
        one.obstacles += two.obstacles
        if one.size != two.size:
            one.obstacles.append(f"{one.size} and {two.size} units are joined by broadcasting")
        two.joined = one


@dataclass
class Flow:
    """A tensor on its way through the network."""

    units: Units
    form: Form


class Structure:
    """The units of a network.

    Args:
        network: maps inputs (N, ...) to features (N, F).

    Attributes:
        made: the units that each Linear and convolutional layer makes, by its name.

    Raises:
        GrowthError: torch.fx can't trace the network.
    """

    def __init__(self, network: nn.Module) -> None:
        try:
            graph = fx.Tracer().trace(network)
        except Exception as error:  # whatever the network's own code raises on symbolic values
            raise GrowthError(
                f"{type(network).__name__} can't be grown, because torch.fx can't follow its forward pass: {error}; "
                "write it without branches on values and with torch's layers"
            ) from error
        self.modules = dict(network.named_modules())
        self.made: dict[str, Units] = {}
        self.read: dict[str, Units] = {}
        self.flows: dict[fx.Node, Any] = {}
        for node in graph.nodes:
            self.flows[node] = self._flow(node)
        self._refuse_tied(network)

    def units(self, layer: str) -> Units:
        """The units that a layer makes.

        Raises:
            GrowthError: no such layer.
        """
        if layer not in self.made:
            kind = f"is a {type(self.modules[layer]).__name__}" if layer in self.modules else "does not exist"
            raise GrowthError(f"layer {layer!r} {kind}; expected a Linear or convolutional layer that is used. {nearest(layer, self.made)}")
        return self.made[layer].root()

    def followers(self, layer: str) -> list[fx.Node]:
        """The nodes that read what a module gives."""
        return [user for node in self.flows if node.op == "call_module" and node.target == layer for user in node.users]

    def module_of(self, node: fx.Node) -> nn.Module | None:
        """The module that a node calls. None: it calls none."""
        return self.modules[str(node.target)] if node.op == "call_module" else None

    def is_relu(self, node: fx.Node) -> bool:
        """Whether a node is a ReLU, for which phi(phi(v)) = phi(v)."""
        named = node.target if isinstance(node.target, str) else getattr(node.target, "__name__", "")
        return type(self.module_of(node)) is nn.ReLU or (node.op != "call_module" and named in ("relu", "relu_"))

    def _flow(self, node: fx.Node) -> Any:
        flows = [self.flows[each] for each in node.all_input_nodes]
        tensors = [flow for flow in flows if isinstance(flow, Flow)]
        if node.op == "placeholder":
            return Flow(Units(-1, obstacles=["they are the network's inputs"]), "image")
        if node.op == "output":
            for flow in tensors:
                flow.units.root().leaves = True
                if flow.form == "image":
                    flow.units.root().obstacles.append("they leave the network as an image")
            return None
        if node.op == "get_attr":
            return Flow(Units(-1, obstacles=[f"the tensor {node.target!r} is used together with them"]), "image")
        if node.op == "call_module":
            return self._module(str(node.target), tensors)
        return self._function(node, tensors)

    def _module(self, name: str, tensors: list[Flow]) -> Flow:
        module = self.modules[name]
        kind = type(module)
        if len(tensors) != 1:
            return self._unknown(f"{name!r} ({kind.__name__})", tensors)
        flow = tensors[0]
        if kind is nn.Linear or kind in CONVOLUTIONS:
            return self._layer(name, module, flow)
        if kind in NORMS:
            flow.units.root().norms[name] = None
            return flow
        if kind in EACH_UNIT or (kind is nn.PReLU and module.num_parameters == 1):
            return flow
        if kind is nn.Flatten and module.start_dim == 1 and module.end_dim == -1:
            return _flattened(flow)
        return self._unknown(f"{name!r} ({kind.__name__})", tensors)

    def _layer(self, name: str, module: Any, flow: Flow) -> Flow:
        """A Linear or convolutional layer reads units and makes others."""
        units, linear = flow.units.root(), isinstance(module, nn.Linear)
        fitting = ("vector", "flat") if linear else ("image",)
        if flow.form not in fitting and units.size > 0:
            units.obstacles.append(f"{name!r} reads them as another form than (N, units{'' if linear else ', ...'})")
        inputs = module.in_features if linear else module.in_channels
        if units.size > 0 and (inputs % units.size or (flow.form != "flat" and inputs != units.size)):
            units.obstacles.append(f"{name!r} reads {inputs} values of {units.size} units")
        self.read.setdefault(name, units).join(units)
        units.root().readers[name] = None
        size = module.out_features if linear else module.out_channels
        made = self.made.setdefault(name, Units(size, {name: None}))
        if not linear and module.groups != 1:
            for each in (units, made):
                each.root().obstacles.append(f"{name!r} is a convolution in {module.groups} groups")
        return Flow(made, "vector" if linear else "image")

    def _function(self, node: fx.Node, tensors: list[Flow]) -> Any:
        name = node.target if isinstance(node.target, str) else node.target.__name__
        first = tensors[0] if tensors else None
        if first is None or name in ("size", "dim", "getattr"):
            return None
        if name in EACH_UNIT_NAMES and len(tensors) == 1:
            return first
        if name in JOINING:
            for other in tensors[1:]:
                first.units.join(other.units)
                if other.form != first.form:
                    first.units.root().obstacles.append(f"tensors of different forms meet in {node.name!r}")
            return first
        arguments = [*node.args[1:], *node.kwargs.values()]
        if name == "flatten" and arguments == [1]:
            return _flattened(first)
        if name in ("view", "reshape") and len(arguments) == 2 and arguments[1] == -1:
            return _flattened(first)
        if name in ("mean", "amax") and first.form == "image" and _dimensions(arguments) in ((2, 3), (-2, -1), (2, 3, 4)):
            kept = any(argument is True for argument in arguments)
            return first if kept else Flow(first.units, "vector")
        return self._unknown(f"{name!r}", tensors)

    def _unknown(self, what: str, tensors: Iterable[Flow]) -> Flow:
        for flow in tensors:
            flow.units.root().obstacles.append(f"{what} reads them, and it is not known how it would read more")
        return Flow(Units(-1, obstacles=[f"{what} makes them"]), "image")

    def _refuse_tied(self, network: nn.Module) -> None:
        owners: dict[int, list[str]] = {}
        for name, parameter in network.named_parameters(remove_duplicate=False):
            owners.setdefault(id(parameter), []).append(name)
        for names in owners.values():
            for name in names if len(names) > 1 else ():
                layer = name.rpartition(".")[0]
                for units in filter(None, (self.made.get(layer), self.read.get(layer))):
                    units.root().obstacles.append(f"{' and '.join(map(repr, names))} are one parameter")


def _flattened(flow: Flow) -> Flow:
    return Flow(flow.units, "flat" if flow.form == "image" else flow.form)


def _dimensions(arguments: list[Any]) -> tuple[int, ...]:
    given = arguments[0] if arguments else ()
    return tuple(sorted(given)) if isinstance(given, list | tuple) else (given,)
