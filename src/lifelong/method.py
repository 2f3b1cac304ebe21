"""Method: one way not to forget. What it may do, and when."""

import inspect
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from lifelong.errors import MethodError
from lifelong.tasks import Batch, Examples, Task

if TYPE_CHECKING:
    from lifelong.learner import Learner

Keeps = Literal["nothing", "statistics", "a network", "examples"]


class Method(nn.Module):
    """Base of all methods: every moment does nothing, and one that is not overridden costs nothing.

    A method's state is tensors in buffers, which are moved, copied and saved with the learner. Constructor arguments are keyword-only
    and kept as attributes of the same name, in kinds that JSON knows. A method calls the learner and never assigns to it.

    Combining methods: `choose_examples`, `mix` and `loss` are chained and the others called in list order, `end_task` in reverse;
    at most one method may override `predict`.

    Attributes:
        keeps: what the method keeps between tasks: "nothing", "statistics", "a network" or "examples".
        restarts: whether it calls `learner.restart()`, for which the learner keeps a copy of its first weights.
        told_the_task: whether `evaluate` tells its `predict` which task the inputs come from, in every scenario.
    """

    keeps: ClassVar[Keeps] = "nothing"
    restarts: ClassVar[bool] = False
    told_the_task: ClassVar[bool] = False

    def attach(self, learner: "Learner") -> None:
        """Once, when the learner is made or opened: declare state."""

    def begin_task(self, learner: "Learner", task: Task) -> None:
        """A task's boundary, before its first step: teacher, growth, initial weights."""

    def choose_examples(self, learner: "Learner", task: Task, examples: Examples) -> Examples:
        """What to train on in this task. Must be a pure function of the state: it is asked again when a task is resumed."""
        return examples

    def mix(self, learner: "Learner", batch: Batch) -> Batch:
        """Add remembered or generated examples to a batch."""
        return batch

    def loss(self, learner: "Learner", batch: Batch, output: Tensor, loss: Tensor) -> Tensor:
        """Return loss + term, or another loss."""
        return loss

    def edit_gradient(self, learner: "Learner", batch: Batch) -> None:
        """Change `learner.theta.gradient` in place, before the optimizer's step."""

    def after_step(self, learner: "Learner") -> None:
        """After the optimizer's step: path integrals, masks, proximal pulls."""

    def end_task(self, learner: "Learner", task: Task) -> None:
        """A task's boundary, after its last step: importance, exemplars, pruning, a generator."""

    def consolidate(self, learner: "Learner", x: Tensor, task: str | None) -> None:
        """Between tasks, when `learner.consolidate` is called: protect what the network does with unlabelled inputs x (N, ...)."""

    def predict(self, learner: "Learner", x: Tensor, task: str | None) -> Tensor:
        """Scores (N, C), in the order of `learner.classes_of(task)`, in place of the network's logits."""
        return learner.logits(x, task)

    def pictures(self, learner: "Learner") -> dict[str, Tensor]:
        """Pictures for the report, by title: each (N, 1 or 3, height, width), values from 0 to 1."""
        return {}

    def rehearses(self) -> bool:
        """Whether earlier tasks' heads are trained again, and so belong to theta."""
        return False

    def overrides(self, moment: str) -> bool:
        """Whether this class has its own version of a moment."""
        return getattr(type(self), moment) is not getattr(Method, moment)

    def declare(self, name: str, fill: float = 0.0) -> None:
        """Declares per-parameter state: the buffer `name`, one value an entry of theta.

        It follows theta when the network grows or other heads are trained; entries that are new start at `fill`.
        """
        self.register_buffer(name, torch.empty(0))
        self._declared = {**self.declared, name: fill}

    @property
    def declared(self) -> dict[str, float]:
        """Names of the per-parameter state and what its new entries start at."""
        return dict(self.__dict__.get("_declared", {}))

    def arguments(self) -> dict[str, Any]:
        """The constructor's arguments, for reports and for saving."""
        names = [p.name for p in inspect.signature(type(self).__init__).parameters.values() if p.kind is p.KEYWORD_ONLY]
        absent = [name for name in names if not hasattr(self, name)]
        if absent:
            name = absent[0]
            raise MethodError(
                f"{type(self).__name__} does not keep its argument {name!r}, so it can't be saved: set self.{name} in __init__"
            )
        return {name: getattr(self, name) for name in names}

    def state(self) -> dict[str, Tensor]:
        """Everything to save, by name."""
        return {name: buffer for name, buffer in self.named_buffers() if buffer is not None}

    def restore(self, state: dict[str, Tensor]) -> None:
        """Takes back what `state` gave."""
        for name, tensor in state.items():
            path, _, last = name.rpartition(".")
            self.get_submodule(path).register_buffer(last, tensor)

    def kept_bytes(self) -> int:
        """Bytes kept between tasks."""
        return sum(tensor.nbytes for tensor in self.state().values())

    def parameters_kept(self) -> int:
        """Parameters of networks kept beside the learner's own."""
        return 0


def not_negative(method: str, name: str, value: float) -> float:
    """`value`, or an error when it is negative, NaN or infinite."""
    if not isinstance(value, int | float) or not 0 <= value < float("inf"):
        raise MethodError(f"{method}: {name} is {value!r}; expected a finite number >= 0, where 0 switches the method off")
    return value


def check_methods(methods: Sequence[object]) -> None:
    """Raises MethodError for a method given twice, or two methods that both predict."""
    if isinstance(methods, Method):
        raise MethodError(f"methods is one {type(methods).__name__}; expected a list, as in methods=[{type(methods).__name__}()]")
    for method in methods:
        if not isinstance(method, Method):
            raise MethodError(f"methods holds {method!r}; expected instances of Method, as in methods=[EWC(strength=100.0)]")
    given = [method for method in methods if isinstance(method, Method)]
    kinds = [type(method).__name__ for method in given]
    twice = next((kind for kind in kinds if kinds.count(kind) > 1), None)
    if twice is not None:
        raise MethodError(f"methods has {twice} {kinds.count(twice)} times; give each method once")
    predicting = [type(method).__name__ for method in given if method.overrides("predict")]
    if len(predicting) > 1:
        raise MethodError(f"{' and '.join(predicting)} both replace the prediction; use one of them")
