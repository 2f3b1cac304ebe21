"""The teacher: a frozen copy of the network from before the current task."""

import copy
from typing import TYPE_CHECKING

from torch import Tensor

from lifelong.models.drawing import blank_linear
from lifelong.models.heads import Network

if TYPE_CHECKING:
    from lifelong.growth import Change


class Teacher:
    """A place for a frozen network; empty until `copy`. What it holds is saved, and the network rebuilt from it when first asked.

    The copy is always in evaluation mode: its dropout is off and its batch norm uses the statistics that it was copied with.
    """

    def __init__(self) -> None:
        self.tensors: dict[str, Tensor] = {}
        self._network: Network | None = None

    def __deepcopy__(self, memo: dict[int, object]) -> "Teacher":
        other = Teacher()  # frozen, so copies of a learner share it
        other.tensors, other._network = self.tensors, self._network
        return other

    def __bool__(self) -> bool:
        """Whether it holds a network."""
        return bool(self.tensors)

    def copy(self, network: Network) -> None:
        """Holds the network as it is."""
        self._network = frozen(network)
        self.tensors = dict(self._network.state_dict())

    def clear(self) -> None:
        """Holds nothing."""
        self.tensors, self._network = {}, None

    def grown(self, change: "Change") -> None:
        """Its structure follows the learner's network, which has grown; what it answers stays, up to rounding."""
        if self.tensors:
            self.tensors = change.carry(self.tensors) | {name: tensor.clone() for name, tensor in change.fresh.items()}
            self._network = None

    def network(self, like: Network) -> Network:
        """The frozen network.

        Args:
            like: the learner's, from which a teacher that was opened from a file takes its structure; it may have grown since.
        """
        if self._network is None:
            network = frozen(like)
            count = sum(name.startswith("heads.layers.") and name.endswith(".weight") for name in self.tensors)
            del network.heads.layers[count:]
            for head in range(count):
                weight = self.tensors[f"heads.layers.{head}.weight"]
                layer = blank_linear(weight.shape[1], weight.shape[0], weight.dtype).to(weight.device)
                network.heads.layers[head] = layer.requires_grad_(False)
                network.heads.classes[head] = network.heads.classes[head][: len(weight)]
            del network.heads.classes[count:]
            network.load_state_dict(self.tensors)
            self._network = network.eval()
        return self._network

    def state(self, prefix: str) -> dict[str, Tensor]:
        """What it holds, for saving."""
        return {f"{prefix}.{name}": tensor for name, tensor in self.tensors.items()}

    def restore(self, state: dict[str, Tensor], prefix: str) -> None:
        """Takes back what `state` gave."""
        self.clear()
        self.tensors = {name.removeprefix(f"{prefix}."): value for name, value in state.items() if name.startswith(f"{prefix}.")}


def frozen(network: Network) -> Network:
    """A copy in evaluation mode that asks for no gradients."""
    copied = copy.deepcopy(network).eval().requires_grad_(False)
    for parameter in copied.parameters():
        parameter.grad = None
    return copied
