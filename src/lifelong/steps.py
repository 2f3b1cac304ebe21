"""A network's forward pass as a list of steps, so that networks of one kind can take each step side by side."""

from dataclasses import dataclass
from typing import Any

from torch import Tensor, fx, nn

from lifelong.structure import Structure


@dataclass(frozen=True)
class Value:
    """What an earlier step gave, by the step's name."""

    name: str


@dataclass(frozen=True)
class Step:
    """A step of the forward pass, as torch.fx found it.

    Attributes:
        kind, target: torch.fx's words: "call_module" and the module's name, "call_function" and the function, ...
        args, kwargs: of the call, with a `Value` in place of what an earlier step gave.
        reads: the first value that it reads. last: the values that no later step reads.
    """

    name: str
    kind: str
    target: Any
    args: Any
    kwargs: Any
    reads: str
    last: tuple[str, ...]

    def of(self, network: nn.Module, values: dict[str, Any], x: Tensor) -> Any:
        """What it gives.

        Args:
            network: the traced one, or another of the same kind.
            values: what the steps before it gave there, by name.
            x: the network's input.
        """
        args, kwargs = _filled(self.args, values), _filled(self.kwargs, values)
        if self.kind == "call_module":
            return network.get_submodule(self.target)(*args, **kwargs)
        if self.kind == "call_function":
            return self.target(*args, **kwargs)
        if self.kind == "call_method":
            return getattr(args[0], self.target)(*args[1:], **kwargs)
        if self.kind == "get_attr":
            owner, _, last = self.target.rpartition(".")
            return getattr(network.get_submodule(owner), last)
        return args[0] if self.args else x  # the output, or an argument with a default; else the input


def steps_of(structure: Structure) -> list[Step]:
    """The steps of a network's forward pass."""
    last = {each: node for node in structure.flows for each in node.all_input_nodes}
    steps = []
    for node in structure.flows:
        read = node.all_input_nodes
        ended = tuple(each.name for each in read if last[each] is node)
        first = read[0].name if read else ""
        steps.append(Step(node.name, node.op, node.target, _named(node.args), _named(node.kwargs), first, ended))
    return steps


def _named(arguments: Any) -> Any:
    """Arguments in plain tuples, lists and dictionaries, with values by name in place of nodes."""
    if isinstance(arguments, fx.Node):
        return Value(arguments.name)
    return _each(_named, arguments)


def _filled(arguments: Any, values: dict[str, Any]) -> Any:
    """Arguments with what earlier steps gave."""
    if isinstance(arguments, Value):
        return values[arguments.name]
    return _each(lambda each: _filled(each, values), arguments)


def _each(change: Any, arguments: Any) -> Any:
    if isinstance(arguments, tuple):
        return tuple([change(each) for each in arguments])
    if isinstance(arguments, list):
        return [change(each) for each in arguments]
    if isinstance(arguments, dict):
        return {key: change(each) for key, each in arguments.items()}
    if isinstance(arguments, slice):
        return slice(change(arguments.start), change(arguments.stop), change(arguments.step))
    return arguments
