"""Learning without forgetting."""

from typing import TYPE_CHECKING, ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, linear

from lifelong.errors import MethodError
from lifelong.method import Keeps, Method, not_negative
from lifelong.modes import evaluation_mode
from lifelong.tasks import Batch, Task
from lifelong.teacher import Teacher

if TYPE_CHECKING:
    from lifelong.growth import Change
    from lifelong.learner import Learner


class LwF(Method):
    """Learning without forgetting: on the new task's inputs, keep answering the old tasks' questions as before.

    Paper: Li & Hoiem 2016, https://arxiv.org/abs/1606.09282, Eqs. 1 to 4 and Fig. 3.
    Loss:  task + strength * sum over old heads of -sum_c y'_c log yhat'_c, the mean over the batch; y' is the softmax of the teacher's
        logits divided by the temperature, yhat' the same of the network's. No factor temperature^2.
        In the scenarios "class" and "domain" there is one old head: the outputs of the classes learned before; see `competing`.
    Departs from the paper: the teacher (the network at the task's start, in evaluation mode) is asked in each step, where the paper records
        its answers once; it is the same where an example always looks the same. Weight decay is the optimizer's.

    Args:
        strength: lambda_o, weight of each old head's term, >= 0, in the unit of the loss. 0 is fine-tuning, bit for bit.
        temperature: T, > 0. Above 1 it weighs up what the teacher finds unlikely.
        warm_up: passes over the task in which only its own new outputs are trained, before all is. 0: none. Without new outputs, as in
            the scenario "domain" after the first task, there is nothing to warm up.
        competing: what yhat' is a softmax over, where old and new outputs share a head: "old": the old outputs, as the paper's separate
            heads; how the new ones compare with them is left to the task, which takes over. "all": the new ones too, for which y' is 0, as
            in van de Ven & Tolias 2018, https://arxiv.org/abs/1809.10635. None: "all" for an adopted classifier, otherwise "old".
    Keeps: nothing between tasks; in a task, a copy of the network. Cost per step: a forward pass of the teacher.
    """

    keeps: ClassVar[Keeps] = "nothing"

    def __init__(
        self, *, strength: float = 1.0, temperature: float = 2.0, warm_up: int = 0, competing: Literal["old", "all"] | None = None
    ) -> None:
        super().__init__()
        if not isinstance(temperature, int | float) or not 0 < temperature < float("inf"):
            raise MethodError(f"LwF: temperature is {temperature!r}; expected a number > 0, where 1 leaves the answers as they are")
        if not isinstance(warm_up, int) or warm_up < 0:
            raise MethodError(f"LwF: warm_up is {warm_up!r}; expected a number of passes, an integer >= 0")
        if competing not in ("old", "all", None):
            raise MethodError(f"LwF: competing is {competing!r}; expected 'old', 'all' or None")
        self.strength, self.temperature, self.warm_up = not_negative("LwF", "strength", strength), temperature, warm_up
        self.competing = competing
        self.teacher = Teacher()
        self._old: list[tuple[int, Tensor | slice]] | None = None  # heads with outputs learned before, and these outputs' rows

    def rehearses(self) -> bool:
        return self.strength > 0

    def begin_task(self, learner: "Learner", task: Task) -> None:
        self._old = None
        if self.strength > 0 and (learner.tasks or learner.adopted):
            self.teacher.copy(learner.network)
            if self.warm_up:
                self._train_new_outputs(learner, task)

    def loss(self, learner: "Learner", batch: Batch, output: Tensor, loss: Tensor) -> Tensor:
        if not self.teacher:
            return loss
        assert learner.features is not None
        teacher = self.teacher.network(learner.network)
        with torch.no_grad():
            features = teacher.features(batch.x)
        for head, rows in self._old_outputs(learner):
            with torch.no_grad():
                target = (teacher.heads(features, head)[:, rows] / self.temperature).softmax(1)  # y'_o, Eq. 3
            answer = output if learner.scenario != "task" else learner.heads(learner.features, head)
            if (self.competing or ("all" if learner.adopted else "old")) == "all":
                term = -(target * (answer / self.temperature).log_softmax(1)[:, rows]).sum(1).mean()
            else:
                term = cross_entropy(answer[:, rows] / self.temperature, target)
            loss = loss + self.strength * term  # Eq. 2
        return loss

    def _old_outputs(self, learner: "Learner") -> list[tuple[int, Tensor | slice]]:
        if self._old is None:
            learned = {head: learner.learned_rows(head) for head in range(len(learner.heads.layers))}
            first = {head: rows == list(range(len(rows))) for head, rows in learned.items()}  # a slice is cheaper than an index
            self._old = [
                (head, slice(len(rows)) if first[head] else torch.tensor(rows, device=learner.device))
                for head, rows in learned.items()
                if rows
            ]
        return self._old

    def end_task(self, learner: "Learner", task: Task) -> None:
        self.teacher.clear()

    def _train_new_outputs(self, learner: "Learner", task: Task) -> None:
        """The warm-up: all but the rows of new classes is held."""
        head = learner.heads.find(task.name)
        layer, learned = learner.heads.layers[head], set(learner.learned_rows(head))
        assert isinstance(layer, nn.Linear)
        rows = [row for row in learner.heads.rows(head, task.classes).tolist() if row not in learned]
        if not rows:
            return
        fresh = torch.tensor(rows, device=learner.device)
        weight, bias = nn.Parameter(layer.weight.detach()[fresh]), nn.Parameter(layer.bias.detach()[fresh])
        optimizer = learner.task_training.optimizer([weight, bias])
        examples, size = learner.examples_of(task), learner.task_training.batch_size
        for _ in range(self.warm_up):
            order = torch.randperm(len(examples), generator=learner.generator(self))
            for x, y in examples.batches(order, size):
                with evaluation_mode(learner.network), torch.no_grad():
                    features = learner.heads.read(learner.network.features(x.to(learner.device)), head)
                every = layer.weight.detach().index_copy(0, fresh, weight), layer.bias.detach().index_copy(0, fresh, bias)
                optimizer.zero_grad()
                torch.autograd.backward(cross_entropy(linear(features, *every), y.to(learner.device)))
                optimizer.step()
        with torch.no_grad():
            layer.weight[fresh], layer.bias[fresh] = weight, bias

    def grown(self, learner: "Learner", change: "Change") -> None:
        self.teacher.grown(change)

    def state(self) -> dict[str, Tensor]:
        return self.teacher.state("teacher")

    def restore(self, state: dict[str, Tensor]) -> None:
        self.teacher.restore(state, "teacher")

    def overrides(self, moment: str) -> bool:
        return super().overrides(moment) and (self.strength > 0 or moment != "loss")
