"""Method: one way not to forget. What it may do, and when."""

import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from lifelong.errors import MethodError
from lifelong.tasks import Batch, Examples, Task

if TYPE_CHECKING:
    from lifelong.growth import Change
    from lifelong.learner import Learner

Keeps = Literal["nothing", "statistics", "a network", "examples"]
Scales = Literal["theta", "gradient", "squared gradient", "product", "copy"]


@dataclass(frozen=True)
class Declared:
    """Per-parameter state of a method: what new entries start at, and how it follows units that are copied."""

    fill: float
    scales: Scales


@dataclass(frozen=True)
class Table:
    """Numbers with names on both sides.

    Attributes:
        rows, columns: their names.
        values: (rows, columns), finite floats; NaN: undefined.

    Raises:
        MethodError: the values are no floats, not as many as the names ask for, or infinite.
    """

    rows: tuple[str, ...]
    columns: tuple[str, ...]
    values: Tensor

    def __post_init__(self) -> None:
        expected = (len(self.rows), len(self.columns))
        if tuple(self.values.shape) != expected or not self.values.is_floating_point():
            raise MethodError(
                f"a table's values are {self.values.dtype} of shape {tuple(self.values.shape)}; expected floats of shape {expected}, "
                f"for {expected[0]} rows and {expected[1]} columns"
            )
        if bool(self.values.isinf().any()):
            raise MethodError("a table's values hold an infinity; expected finite floats, and NaN where a value is undefined")


class Method(nn.Module):
    """Base of all methods: every moment does nothing, and one that is not overridden costs nothing.

    A method's state is tensors in buffers, which are moved, copied and saved with the learner. Constructor arguments are keyword-only
    and kept as attributes of the same name, in kinds that JSON knows. A method calls the learner and never assigns to it.

    Combining methods: `choose_examples`, `mix` and `loss` are chained and the others called in list order, `end_task` in reverse;
    at most one method may override `predict`, and at most one `route`.

    Attributes:
        keeps: what the method keeps between tasks: "nothing", "statistics", "a network" or "examples".
        restarts: whether it calls `learner.restart()`, for which the learner keeps a copy of its first weights.
        together: whether several processes can train with it, each on its share of every batch (`lifelong.processes`): False where the
            loss compares what belongs to whole batches.
        told_the_task: whether `evaluate` tells its `predict` which task the inputs come from, in every scenario.
    """

    keeps: ClassVar[Keeps] = "nothing"
    restarts: ClassVar[bool] = False
    together: ClassVar[bool] = True
    told_the_task: ClassVar[bool] = False

    def attach(self, learner: "Learner") -> None:
        """Once, when the learner is made or opened: declare state."""

    def prepare_task(self, learner: "Learner", task: Task) -> None:
        """Before the task has its head: growth that changes how many features there are."""

    def begin_task(self, learner: "Learner", task: Task) -> None:
        """A task's boundary, before its first step: teacher, growth, initial weights."""

    def begin_round(self, learner: "Learner") -> None:
        """Before the first step of a round of training, and on going on inside one; the network is in training mode. The place to put
        parts of it in evaluation mode, and to make what steps read and is not saved."""

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

    def another_round(self, learner: "Learner", task: Task) -> dict[str, Any] | None:
        """After the last step, before `end_task`: settings of a further round of training over the same task, {} for those of the round
        before, or None when there is to be none. The place to prune or to grow. The optimizer goes on with its state.
        """
        return None

    def grown(self, learner: "Learner", change: "Change") -> None:
        """The network has grown: what the method keeps of it and did not declare follows. See `lifelong.growth.Change`."""

    def route(self, learner: "Learner", x: Tensor) -> Tensor:
        """int64 (N,): for each input the place in `learner.tasks` of the task that it is taken for, where prediction is not told it."""
        raise NotImplementedError

    def consolidate(self, learner: "Learner", x: Tensor, task: str | None) -> None:
        """Between tasks, when `learner.consolidate` is called: protect what the network does with unlabelled inputs x (N, ...)."""

    def predict(self, learner: "Learner", x: Tensor, task: str | None) -> Tensor:
        """Scores (N, C), in the order of `learner.classes_of(task)`, in place of the network's logits."""
        return learner.logits(x, task)

    def pictures(self, learner: "Learner") -> dict[str, Tensor]:
        """Pictures for the report, by title: each (N, 1 or 3, height, width), values from 0 to 1."""
        return {}

    def tables(self, learner: "Learner") -> dict[str, Table]:
        """What the method has to show as numbers, by title, for the report."""
        return {}

    def rehearses(self) -> bool:
        """Whether earlier tasks' heads are trained again, and so belong to theta."""
        return False

    def overrides(self, moment: str) -> bool:
        """Whether this class has its own version of a moment."""
        return getattr(type(self), moment) is not getattr(Method, moment)

    def declare(self, name: str, fill: float = 0.0, *, scales: Scales = "copy") -> None:
        """Declares per-parameter state: the buffer `name`, one value an entry of theta.

        It follows theta when the network grows or other heads are trained; entries that are new start at `fill`.

        Args:
            scales: what it is for a unit that was copied, see `lifelong.growth.Scales`.
        """
        self.register_buffer(name, torch.empty(0))
        self._declared = {**self.declared, name: Declared(fill, scales)}

    @property
    def declared(self) -> dict[str, Declared]:
        """The per-parameter state by name."""
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
    for moment, what in (("predict", "replace the prediction"), ("route", "choose the task")):
        able = [type(method).__name__ for method in given if method.overrides(moment)]
        if len(able) > 1:
            raise MethodError(f"{' and '.join(able)} both {what}; use one of them")
