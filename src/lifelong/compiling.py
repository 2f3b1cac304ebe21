"""A network's features as machine code, by torch.compile."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from lifelong.errors import CompileError

if TYPE_CHECKING:
    from lifelong.learner import Learner

BACKEND: str | Callable[..., Any] = "inductor"


def compiled(learner: "Learner", network: nn.Module, size: int) -> Callable[[Tensor], Tensor]:
    """The features of a step's batches. A graph is made for each shape of the network and of its inputs, and serves all tasks.

    Which machine code a batch gets depends on the batch and the network alone, not on those before it, so that training that was
    interrupted goes on bit for bit: no graph is for several shapes, and batches with fewer than `size` examples of the task's own, such as
    a pass's last one, go without.

    Args:
        network: from inputs to features.
        size: how many of the task's own examples a batch usually has.

    Raises:
        CompileError: when called: torch can't compile the network, or has no compiler.
    """
    usual = max(len(range(learner.processes.rank, size, learner.processes.count)), 1)
    machine_code = torch.compile(network, dynamic=False, fullgraph=True, backend=BACKEND)

    def features(x: Tensor) -> Tensor:
        try:
            result: Tensor = machine_code(x) if learner.fresh == usual else network(x)
        except Exception as error:
            if not type(error).__module__.startswith(("torch._dynamo", "torch._inductor")):
                raise
            raise CompileError(_why(learner, error)) from error
        return result

    return features


def _why(learner: "Learner", error: Exception) -> str:
    text = str(error)
    lines = [line.strip() for line in text.splitlines() if line.strip()] or [type(error).__name__]
    said = " ".join(lines[:2]) if lines[0].endswith(":") else lines[0]
    if "Limit" in type(error).__name__:
        said = "it was compiled for too many shapes of the network or of its batches in this process"
        advice = "Raise torch._dynamo.config.recompile_limit"
    elif "CxxCompiler" in text or "CppCompileError" in text:
        advice = "Install a C++ compiler, as g++, or name one in the variable CXX"
    else:
        advice = "Change the network so that its forward pass asks for no values of tensors"
    return f"torch.compile can't compile the network ({type(learner.model).__name__}): {said}. {advice}, or leave compile=True out"
