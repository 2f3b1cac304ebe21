"""Progressive networks."""

from typing import TYPE_CHECKING, ClassVar, get_args

from torch import Tensor

from lifelong.errors import MethodError, ScenarioError, nearest
from lifelong.growth import add_column
from lifelong.method import Keeps, Method
from lifelong.models.columns import Adapter, Columns
from lifelong.tasks import Task

if TYPE_CHECKING:
    from lifelong.learner import Learner


class Progressive(Method):
    """Progressive networks: a column of layers for every task, which also reads what the columns of earlier tasks compute.

    Paper: Rusu et al. 2016, https://arxiv.org/abs/1606.04671, Eqs. 1 and 2; see `lifelong.models.columns.Columns` for them as computed.
    Loss:  task, over the weights of the task's column, of its adapters and of its head. Earlier columns and heads are frozen and in
        evaluation mode, so that nothing is forgotten: an earlier task's outputs stay as they are, bit for bit.
    Predicting needs to be told the task, so it works in the scenario "task" only. The first task is fine-tuning; the second one's column
        is added when that task begins.
    Departs from the paper: alpha is one number an adapter and starts at a random number from 0 to 1, where the paper says "a variety
        of small random values"; convolutions without a bias get none from the adapters, whose V alone has one.

    Args:
        width: of each further column, as a share of the first one's widths, > 0; every layer has at least one unit. With 1.0 the number of
            parameters grows with the square of the number of tasks: a column costs as much as the first one, and its adapters more
            with every earlier column. With a small share the expansion is slower than the number of tasks.
        adapter: how a column reads earlier ones: "nonlinear", U sigma(V alpha h), a hidden layer as wide as what W reads; "linear", U h,
            which has fewer parameters with few columns, and more with many where W reads more than it gives, or is a convolution.
    Keeps: nothing beside the network, which holds the columns of all tasks. Cost per step: a forward pass of all earlier columns, and one
        of adapters that read them; predicting for a task computes its column and the earlier ones.
    """

    keeps: ClassVar[Keeps] = "a network"

    def __init__(self, *, width: float = 1.0, adapter: Adapter = "nonlinear") -> None:
        super().__init__()
        if not isinstance(width, int | float) or not 0 < width < float("inf"):
            raise MethodError(
                f"Progressive: width is {width!r}; expected a share of the first column's widths > 0, as 0.5 for half of them"
            )
        if adapter not in get_args(Adapter):
            raise MethodError(f"Progressive: adapter is {adapter!r}; {nearest(str(adapter), get_args(Adapter))}")
        self.width, self.adapter = width, adapter

    def prepare_task(self, learner: "Learner", task: Task) -> None:
        if learner.scenario != "task":
            raise ScenarioError(
                "Progressive networks have a column and a head for every task, and must be told which: use scenario='task', "
                f"not {learner.scenario!r}"
            )
        if learner.tasks:
            learner.grow(add_column(self.width, adapter=self.adapter))

    def predict(self, learner: "Learner", x: Tensor, task: str | None) -> Tensor:
        head, columns = learner.heads.find(task), learner.network.features
        if not isinstance(columns, Columns):
            return learner.logits(x, task)
        _, stop = learner.heads.place(head)
        logits: Tensor = learner.heads(columns.first(columns.needed(stop), x), head)  # later columns are not computed
        return logits
