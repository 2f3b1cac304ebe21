"""PackNet: several tasks packed into one network by pruning."""

from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor, nn
from torch.func import functional_call

from lifelong.errors import MethodError, ScenarioError
from lifelong.method import Keeps, Method, Table
from lifelong.tasks import Batch, Task

if TYPE_CHECKING:
    from lifelong.growth import Change
    from lifelong.learner import Learner

MOST_TASKS = 255  # a weight's owner is one byte
NORMS = (nn.LayerNorm, nn.RMSNorm)  # the normalisations whose weights can have several dimensions


class PackNet(Method):
    """PackNet: after each task give up the weights that it can do without, and freeze the others; the next task trains what was given up.

    Paper: Mallya & Lazebnik 2018, https://arxiv.org/abs/1711.05769, Sec. 3; scenario "task" only.
    Loss:  task. Trained are the weights that no earlier task owns, and the task's head; those of earlier tasks are held, bit for bit, and
        take part in the forward pass.
    Prunes: when task k was trained, in each layer those of its n weights with |w| <= the round(prune * n)-th smallest |w|. They become 0
        and stay so while the survivors are retrained; task k owns the survivors from there on. The next task starts the free ones at 0.
    Predicts: task k with the weights of the owners 1 to k, the others 0: its outputs never change again, so backward transfer is 0.
    Weights are the features' tensors of two or more dimensions. Biases and normalisation are trained in the first task and frozen then;
        batch norm is in evaluation mode from the second task on.
    Departs from the paper: one share for all tasks, where it prunes 50 % after ImageNet and 75 % after each later task; and the
        retraining has the training's learning rate, where it goes on at the last, lower one.
    With others: nothing is held against a method that moves weights after PackNet's step, so it must be last of those that act after steps.
        Earlier tasks' heads are held where another method rehearses them. When the network grows, earlier outputs stay up to rounding.

    Args:
        prune: share of a task's weights that is given up after its training, 0 <= prune < 1. 0: the first task takes all there are, and
            there can be no second one.
        retrain: length of the retraining, >= 0, as a share of the training's epochs or steps, at least one of them. 0: none.
    Keeps: a byte a weight; in a task, a copy of theta and a mask. Cost per step: three passes over theta.
    """

    keeps: ClassVar[Keeps] = "statistics"
    pruned: Tensor

    def __init__(self, *, prune: float = 0.75, retrain: float = 0.5) -> None:
        super().__init__()
        if not isinstance(prune, int | float) or not 0 <= prune < 1:
            raise MethodError(f"PackNet: prune is {prune!r}; expected the share of a task's weights that is given up, 0 <= prune < 1")
        if not isinstance(retrain, int | float) or not 0 <= retrain < float("inf"):
            raise MethodError(f"PackNet: retrain is {retrain!r}; expected a share of the training, a finite number >= 0, where 0 is none")
        self.prune, self.retrain = prune, retrain
        self.owner: dict[str, Tensor] = {}  # of each weight, by its tensor's name: uint8, 0 free or k of the k-th task
        self.register_buffer("pruned", torch.tensor(False))  # whether the current task's weights are
        self._trained = self._kept = torch.empty(0)  # (P,): 1 where theta is trained and 0 where it is held; what it is held at, or 0

    def begin_task(self, learner: "Learner", task: Task) -> None:
        self._check(learner)
        if not learner.tasks:
            named = {name: parameter for name, parameter in learner.trained().items() if _is_weight(learner, name, parameter)}
            self.owner = {name: torch.zeros_like(parameter, dtype=torch.uint8) for name, parameter in named.items()}
        self._check_capacity(learner, task)

    def begin_round(self, learner: "Learner") -> None:
        if learner.tasks:
            for module in learner.network.features.modules():
                if hasattr(module, "running_mean"):
                    module.eval()
        theta, heads = learner.theta, [f"heads.layers.{learner.heads.find(name)}." for name in learner.tasks]
        self._trained = torch.ones_like(theta.value)
        for name, trained in theta.layout.split(self._trained).items():
            if name in self.owner:
                trained.copy_(self.owner[name] == (len(learner.tasks) + 1 if self.pruned else 0))
            elif name.startswith(("features.", *heads)):
                trained.fill_(not learner.tasks)
        self._kept = theta.value * (1 - self._trained)

    def edit_gradient(self, learner: "Learner", batch: Batch) -> None:
        learner.theta.gradient.mul_(self._trained)

    def after_step(self, learner: "Learner") -> None:
        learner.theta.value.mul_(self._trained).add_(self._kept)  # momentum and weight decay move weights without a gradient, too

    def another_round(self, learner: "Learner", task: Task) -> dict[str, Any] | None:
        if self.pruned:
            return None
        self.pruned = torch.ones_like(self.pruned)
        named = dict(learner.network.named_parameters())
        for name, owner in self.owner.items():
            survivors = (owner == 0) & ~prunable(named[name].detach(), owner == 0, self.prune)
            owner[survivors] = len(learner.tasks) + 1
            named[name].detach()[owner == 0] = 0.0
        training = learner.task_training
        what = "epochs" if training.steps is None else "steps"
        return {what: max(round(self.retrain * getattr(training, what)), 1)} if self.retrain else None

    def end_task(self, learner: "Learner", task: Task) -> None:
        self.pruned = torch.zeros_like(self.pruned)
        self._trained = self._kept = torch.empty(0)

    def predict(self, learner: "Learner", x: Tensor, task: str | None) -> Tensor:
        if task not in learner.tasks:  # being learned, or not learned yet: the network as it is
            return learner.logits(x, task)
        place, head = learner.tasks.index(task) + 1, learner.heads.find(task)
        used: dict[str, Tensor] = {}
        for name, parameter in learner.network.named_parameters():
            if name in self.owner:
                owner = self.owner[name]
                used[name] = parameter.detach() * ((owner > 0) & (owner <= place))
            elif name.startswith(f"heads.layers.{head}."):
                used[name] = parameter.detach().clone()  # a product's last bits depend on where in memory a matrix begins
        return torch.as_tensor(functional_call(learner.network, used, (x, head)))

    def grown(self, learner: "Learner", change: "Change") -> None:
        self.owner = change.carry(self.owner, "copy")
        for name, tensor in change.fresh.items():
            if tensor.ndim > 1:  # a layer that does nothing yet: what is not 0 in it, every task needs
                self.owner[name] = (tensor != 0).to(torch.uint8) * bool(learner.tasks or self.pruned)

    def tables(self, learner: "Learner") -> dict[str, Table]:
        """What share of each layer's weights each task owns."""
        counts = {name.removeprefix("features."): self._owned(learner, owner) for name, owner in self.owner.items()}
        if not counts:
            return {}
        shares = torch.stack([count / count.sum() for count in counts.values()])
        columns = (*learner.tasks, "free")
        return {"Share of each layer's weights that each task owns": Table(tuple(counts), columns, shares.roll(-1, 1))}

    def state(self) -> dict[str, Tensor]:
        return super().state() | {f"owner.{name}": owner for name, owner in self.owner.items()}

    def restore(self, state: dict[str, Tensor]) -> None:
        self.pruned = state["pruned"]
        self.owner = {name.removeprefix("owner."): owner for name, owner in state.items() if name.startswith("owner.")}

    def _owned(self, learner: "Learner", owner: Tensor) -> Tensor:
        """How many weights of a tensor are free, and how many each learned task owns."""
        return torch.bincount(owner.flatten(), minlength=len(learner.tasks) + 1).cpu()

    def _check(self, learner: "Learner") -> None:
        """Raises ScenarioError or MethodError where earlier tasks' outputs could not stay as they are."""
        if learner.scenario != "task":
            raise ScenarioError(
                f"PackNet must be told the task, whose weights it predicts with, and the scenario is {learner.scenario!r}; "
                "use scenario='task', or EWC or Replay"
            )
        later = learner.methods[learner.methods.index(self) + 1 :]
        moves = [type(method).__name__ for method in later if method.overrides("after_step")]
        if moves:
            raise MethodError(f"PackNet holds earlier tasks' weights, which {moves[0]} may move after it; put PackNet behind it in methods")
        resets = [type(method).__name__ for method in learner.methods if method.restarts]
        if resets:
            raise MethodError(f"PackNet keeps earlier tasks' weights, and {resets[0]} sets the network back to its first; use one of them")

    def _check_capacity(self, learner: "Learner", task: Task) -> None:
        """Raises MethodError where a layer would have no weight for the task."""
        if len(learner.tasks) == MOST_TASKS:
            raise MethodError(f"PackNet counts to {MOST_TASKS} tasks; learn {task.name!r} with a new learner")
        for name, owner in self.owner.items():
            free, *taken = self._owned(learner, owner).tolist()
            if free - round(self.prune * free) > 0:
                continue
            by = ", ".join(f"{each!r} {count}" for each, count in zip(learner.tasks, taken, strict=True)) or "none"
            better = "or a larger prune from the first task on" if learner.tasks else "or a smaller prune"
            raise MethodError(
                f"PackNet: {name.removeprefix('features.')!r} has {free} of its {owner.numel()} weights free, and prune={self.prune:g} "
                f"leaves none of them to task {task.name!r}. Taken so far: {by}. Begin anew with a wider network, {better}; "
                "this learner stays as it was"
            )


def prunable(weight: Tensor, own: Tensor, share: float) -> Tensor:
    """bool, in the weight's shape: which of the `own` weights are to be pruned, those up to the magnitude of rank round(share * n).

    As in the authors' code, all that are equal to that magnitude are among them. Nothing is, where the rank is 0.
    """
    magnitudes = weight.abs()
    rank = round(share * int(own.sum()))
    if rank == 0:
        return torch.zeros_like(own)
    return own & (magnitudes <= magnitudes[own].kthvalue(rank).values)


def _is_weight(learner: "Learner", name: str, parameter: Tensor) -> bool:
    """Whether it is a layer's weight: neither of a head, nor a bias, nor of a normalisation."""
    module = learner.network.get_submodule(name.rpartition(".")[0])
    return name.startswith("features.") and parameter.ndim > 1 and not isinstance(module, NORMS)
