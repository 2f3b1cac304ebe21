"""Any PyTorch network learns task after task without forgetting."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lifelong import methods, models, streams
    from lifelong.learner import Learner
    from lifelong.matrix import Matrix
    from lifelong.method import Method
    from lifelong.methods.task_gate import TaskGate
    from lifelong.models.adopted import adopt
    from lifelong.tasks import Batch, Stream, Task

__version__ = "0.1.0"

# Loaded when first used, so that the command line answers without importing torch.
_HOMES = {
    "Batch": "lifelong.tasks",
    "Learner": "lifelong.learner",
    "Matrix": "lifelong.matrix",
    "Method": "lifelong.method",
    "Stream": "lifelong.tasks",
    "Task": "lifelong.tasks",
    "TaskGate": "lifelong.methods.task_gate",
    "adopt": "lifelong.models.adopted",
}
_MODULES = ("methods", "models", "streams")

__all__ = ["Batch", "Learner", "Matrix", "Method", "Stream", "Task", "TaskGate", "adopt", "methods", "models", "streams"]


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return import_module(f"lifelong.{name}")
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'lifelong' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
