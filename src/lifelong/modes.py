"""Modes of a network, and random state, that are put back afterwards."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn


@contextmanager
def evaluation_mode(network: nn.Module) -> Iterator[None]:
    """Dropout off and batch norm by its running statistics; afterwards every module is in the mode that it was in."""
    modes = [(module, module.training) for module in network.modules()]
    network.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training


@contextmanager
def buffers_kept(buffers: Sequence[Tensor]) -> Iterator[None]:
    """Batch-norm statistics and other buffers are, afterwards, as they were."""
    values = [buffer.clone() for buffer in buffers]
    try:
        yield
    finally:
        for buffer, value in zip(buffers, values, strict=True):
            buffer.copy_(value)


class RandomState:
    """The state of torch's global generators that dropout draws from, a learner's own.

    Used as a context, it takes the place of the process's random state and gives that back afterwards; inside itself it does nothing.
    """

    def __init__(self, seed: int, device: torch.device) -> None:
        self.device = device
        self.depth = 0
        self.states: dict[str, Tensor] = {"cpu": torch.Generator().manual_seed(seed).get_state()}
        if device.type == "cuda":
            self.states["cuda"] = torch.Generator(device).manual_seed(seed).get_state()

    def _swap(self) -> None:
        current = {"cpu": torch.get_rng_state()}
        torch.set_rng_state(self.states["cpu"])
        if "cuda" in self.states:
            current["cuda"] = torch.cuda.get_rng_state(self.device)
            torch.cuda.set_rng_state(self.states["cuda"], self.device)
        self.states = current

    def __enter__(self) -> None:
        if self.depth == 0:
            self._swap()
        self.depth += 1

    def __exit__(self, *_: object) -> None:
        self.depth -= 1
        if self.depth == 0:
            self._swap()

    def own(self) -> dict[str, Tensor]:
        """The learner's states, whether they are in place or not."""
        if self.depth == 0:
            return dict(self.states)
        own = {"cpu": torch.get_rng_state()}
        if "cuda" in self.states:
            own["cuda"] = torch.cuda.get_rng_state(self.device)
        return own
