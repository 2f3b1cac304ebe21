"""Incremental classifier and representation learning."""

from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, normalize, one_hot

from lifelong.errors import MethodError, ScenarioError
from lifelong.herding import herd
from lifelong.method import Keeps, Method
from lifelong.modes import evaluation_mode
from lifelong.tasks import CHUNK, Batch, Examples, JoinedExamples, Task
from lifelong.teacher import Teacher

if TYPE_CHECKING:
    from lifelong.growth import Change
    from lifelong.learner import Learner


class ICaRL(Method):
    """iCaRL: train with a few exemplars of each class and the old answers, and predict the class whose exemplars' mean is nearest.

    Paper: Rebuffi et al. 2017, https://arxiv.org/abs/1611.07725, Algorithms 1 to 5.
    Loss:  on the task's examples joined with the exemplars, in place of the task's cross-entropy: the binary cross-entropy of the sigmoid
        outputs with the teacher's sigmoid outputs for the classes learned before and with the label for the others; the mean over examples
        and over outputs, as in the authors' code, where the paper writes the sum. The first task is trained so, too. Classes declared to
        the learner have the label 0 until they come, as all classes have in the authors' code; without, nothing looks ahead.
    Exemplars: capacity // (classes seen) of each class, by herding at the task's end; when more classes come, each keeps its first ones.
    Predicts: -||phi(x) - mu_c||^2, phi the features in evaluation mode and mu_c the mean of the class's exemplars, both of length 1. A
        class has a mean from its task's end on, and is not predicted before. In the first task, while there is no mean at all, the outputs
        predict.
    Departs from the paper: the teacher (the network at the task's start, in evaluation mode) is asked in each step, where the paper records
        its answers once. A class that comes again learns from its labels, and its exemplars are chosen anew from old and new ones.
    With others: their terms are added to this loss, so they come after it in the list. What they estimate by `learner.gradient` is of the
        cross-entropy.

    Args:
        capacity: K, exemplars in all, >= 0, shared by the classes. 0 is fine-tuning, bit for bit.
    Keeps: `capacity` examples; in a task, a copy of the network. Cost per step: a forward pass of the teacher.
    """

    keeps: ClassVar[Keeps] = "examples"

    x: Tensor
    y: Tensor

    def __init__(self, *, capacity: int = 2000) -> None:
        super().__init__()
        if not isinstance(capacity, int) or capacity < 0:
            raise MethodError(f"iCaRL: capacity is {capacity!r}; expected a number of examples, an integer >= 0, where 0 switches it off")
        self.capacity = capacity
        self.register_buffer("x", torch.empty(0))  # exemplars of a class are in the order of herding
        self.register_buffer("y", torch.full((capacity,), -1))  # their rows of the head; -1: the slot is free
        self.teacher = Teacher()
        self._old = torch.empty(0, dtype=torch.int64)
        self._means: tuple[Tensor, Tensor] | None = None

    def begin_task(self, learner: "Learner", task: Task) -> None:
        if learner.scenario != "class":
            raise ScenarioError(
                f"iCaRL tells classes apart by their exemplars, all classes at once, and the scenario is {learner.scenario!r}; "
                "use scenario='class', or LwF or Replay"
            )
        if self.capacity == 0:
            return
        before = learner.methods[: learner.methods.index(self)]
        lost = [type(method).__name__ for method in before if method.overrides("loss")]
        if lost:
            raise MethodError(f"iCaRL replaces the loss, and the term that {lost[0]} adds to it would be lost; put ICaRL first in methods")
        old, seen = self._rows(learner, task)
        if old and not learner.tasks:
            names = [learner.heads.classes[0][row] for row in old]
            raise ScenarioError(
                f"iCaRL has no exemplars of the classes {names}, which were adopted, and could never predict them; "
                "let the first task have examples of them, too, or give it a few before, learner.remember(Task(name, train=(x, y)))"
            )
        if self.capacity < len(seen):
            raise MethodError(
                f"iCaRL: capacity {self.capacity} is not enough for an exemplar of each of {len(seen)} classes, those of task "
                f"{task.name!r} counted; make it at least {len(seen)}, or some times that"
            )
        if old:
            self.teacher.copy(learner.network)

    def choose_examples(self, learner: "Learner", task: Task, examples: Examples) -> Examples:
        self._old = torch.tensor(self._rows(learner, task)[0], dtype=torch.int64, device=learner.device)
        self._means = None
        filled = int((self.y >= 0).sum())
        return JoinedExamples([examples, Examples(self.x[:filled].cpu(), self.y[:filled].cpu())]) if filled else examples

    def loss(self, learner: "Learner", batch: Batch, output: Tensor, loss: Tensor) -> Tensor:
        target = one_hot(batch.y, output.shape[1]).to(output.dtype)
        if self.teacher:
            with torch.no_grad():
                answers = self.teacher.network(learner.network)(batch.x).sigmoid()
                target[:, self._old] = answers[:, self._old].to(target.dtype)
        each = binary_cross_entropy_with_logits(output, target, reduction="none").mean(1)
        return each.mean() if batch.weight is None else each @ batch.weight

    def after_step(self, learner: "Learner") -> None:
        self._means = None

    def end_task(self, learner: "Learner", task: Task) -> None:
        self.teacher.clear()
        self._means = None
        if self.capacity == 0:
            return
        examples, (_, seen) = learner.examples_of(task), self._rows(learner, task)
        share, kept, rows = self.capacity // len(seen), [], []
        for row in seen:
            own = self.x[self.y == row] if self.x.numel() else self.x
            fresh = (examples.y == row).nonzero().squeeze(1)
            if len(fresh):
                x = examples.take(fresh).to(self.y.device)
                own = torch.cat([own, x]) if len(own) else x
                own = own[herd(_features(learner, own), share).to(own.device)]
            kept.append(own[:share])
            rows += [row] * len(kept[-1])
        x = torch.cat(kept)
        if self.x.numel() == 0:
            self.x = x.new_zeros(self.capacity, *x.shape[1:])
        self.x[: len(x)] = x
        self.y.fill_(-1)[: len(x)] = torch.tensor(rows, device=self.y.device)

    def predict(self, learner: "Learner", x: Tensor, task: str | None) -> Tensor:
        if self.x.numel() == 0:
            return learner.logits(x, task)
        if self._means is None:
            held = self.y >= 0
            members = one_hot(self.y[held], len(learner.heads.classes[0]))
            features = _features(learner, self.x[held])
            self._means = normalize(members.T.to(features.dtype) @ features), members.sum(0) == 0
        means, absent = self._means
        return -torch.cdist(_features(learner, x), means).square().masked_fill(absent, torch.inf)

    def _rows(self, learner: "Learner", task: Task) -> tuple[list[int], list[int]]:
        """The head's rows of learned classes that are not the task's, and of all classes seen so far."""
        own, learned = learner.heads.rows(0, task.classes).tolist(), learner.learned_rows(0)
        seen, names = sorted({*own, *learned}), learner.heads.classes[0]
        if learner.adopted:  # by name, so that exemplars come in the same order in whatever order a task names its classes
            seen.sort(key=lambda row: (isinstance(names[row], str), names[row]))
        return [row for row in learned if row not in set(own)], seen

    def grown(self, learner: "Learner", change: "Change") -> None:
        self.teacher.grown(change)
        self._means = None

    def state(self) -> dict[str, Tensor]:
        return super().state() | self.teacher.state("teacher")

    def restore(self, state: dict[str, Tensor]) -> None:
        self.x, self.y = state["x"], state["y"]
        self.teacher.restore(state, "teacher")
        self._means = None

    def overrides(self, moment: str) -> bool:
        return self.capacity > 0 and super().overrides(moment)


def _features(learner: "Learner", x: Tensor) -> Tensor:
    """phi: the network's features (N, F) in evaluation mode, each of Euclidean norm 1."""
    with evaluation_mode(learner.network), torch.no_grad():
        return torch.cat([normalize(learner.network.features(part.to(learner.device))) for part in torch.split(x, CHUNK)])
