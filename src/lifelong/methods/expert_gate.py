"""Expert Gate."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.functional import cross_entropy

from lifelong.errors import MethodError
from lifelong.gate import Gated
from lifelong.method import Keeps, not_negative
from lifelong.tasks import Batch, Task
from lifelong.teacher import Teacher

if TYPE_CHECKING:
    from lifelong.growth import Change
    from lifelong.learner import Learner

SOFTENED = 2.0  # temperature of the distillation, as Li & Hoiem have it


@dataclass(frozen=True)
class Origin:
    """Where an expert comes from.

    Attributes:
        expert: the task whose expert it started from; None for the first, which started from the learner's first weights.
        relatedness: of its task to that one; None for the first.
        training: what it was trained with.
    """

    expert: str | None
    relatedness: float | None
    training: Literal["LwF", "fine-tuning"]


class ExpertGate(Gated):
    """Expert Gate: a network for every task, started from the most related one, and a gate that chooses among them.

    Paper: Aljundi et al. 2017, https://arxiv.org/abs/1611.06194, Algorithm 1; see `lifelong.gate.Gated` for the gate's equations.
    Task k: its autoencoder is trained first. The network starts from the expert of the earlier task a with the largest Rel(k, a), and is
        trained with learning without forgetting where Rel(k, a) > threshold, or else by fine-tuning; then it is kept as the expert of k.
    Loss:  task, or with LwF task + strength * -sum_c y'_c log yhat'_c, the mean over the batch, y' and yhat' the softmax of logits / 2 of
        a's expert and of the network in a's head. The old head is trained for the new expert only: a's own is kept as it was.
    Predicts: with the expert of the task; `predict(x)`, without one, with the expert that the gate chooses. What an expert gives never
        changes, bit for bit; where the learner's network grows, the experts grow alike.
    Departs from the paper: in the standardisation and the centring of inputs, and on pixels, without a preprocessor; LwF has no warm-up.

    Args:
        threshold: of relatedness, finite, above which LwF is used. Relatedness is 1 where the earlier task's autoencoder is as good as the
            task's own.
        strength: weight of LwF's term, >= 0, in the unit of the loss. 0: always fine-tuning.
        temperature, units, hidden, steps, rate, batch_size, preprocessor: of the gate and its autoencoders, as in `TaskGate`.
    Keeps: a copy of the network and an autoencoder a task. Cost per step: none, or with LwF a forward pass of the expert that it started
        from. Cost per task: `steps` of its autoencoder.

    Attributes:
        origins: for each task, in order, where its expert comes from.
    """

    keeps: ClassVar[Keeps] = "a network"

    def __init__(
        self,
        *,
        threshold: float = 0.85,
        strength: float = 1.0,
        temperature: float = 2.0,
        units: int | None = None,
        hidden: Sequence[int] = (),
        steps: int = 500,
        rate: float = 0.005,
        batch_size: int = 64,
        preprocessor: nn.Module | dict[str, str] | None = None,
    ) -> None:
        super().__init__(
            temperature=temperature,
            units=units,
            hidden=hidden,
            steps=steps,
            rate=rate,
            batch_size=batch_size,
            preprocessor=preprocessor,
        )
        if not isinstance(threshold, int | float) or not abs(threshold) < float("inf"):
            raise MethodError(f"ExpertGate: threshold is {threshold!r}; expected a finite number, such as 0.85; 1 is as related as can be")
        self.threshold, self.strength = threshold, not_negative("ExpertGate", "strength", strength)
        self.teacher = Teacher()
        self.experts: dict[str, dict[str, Tensor]] = {}
        self.origins: dict[str, Origin] = {}

    def rehearses(self) -> bool:
        return bool(self.teacher)

    def begin_task(self, learner: "Learner", task: Task) -> None:
        super().begin_task(learner, task)
        self.learn_inputs(learner, task)
        origin = Origin(None, None, "fine-tuning")
        if learner.tasks:
            related = self.relatedness[-1, :-1]
            expert, relatedness = learner.tasks[int(related.argmax())], float(related.max())
            learner.network.load_state_dict(self.experts[expert], strict=False)
            with_lwf = relatedness > self.threshold and self.strength > 0
            origin = Origin(expert, relatedness, "LwF" if with_lwf else "fine-tuning")
            if with_lwf:
                self.teacher.copy(learner.network)
        self.origins = {**self.origins, task.name: origin}

    def loss(self, learner: "Learner", batch: Batch, output: Tensor, loss: Tensor) -> Tensor:
        if not self.teacher:
            return loss
        assert learner.features is not None
        head = learner.heads.find(next(reversed(self.origins.values())).expert)
        with torch.no_grad():
            target = (self.teacher.network(learner.network)(batch.x, head) / SOFTENED).softmax(1)
        return loss + self.strength * cross_entropy(learner.heads(learner.features, head) / SOFTENED, target)

    def end_task(self, learner: "Learner", task: Task) -> None:
        self.teacher.clear()
        own = ("features.", f"heads.layers.{learner.heads.find(task.name)}.")
        named = {**dict(learner.network.named_parameters()), **dict(learner.network.named_buffers())}
        kept = {name: value.detach().clone() for name, value in named.items() if name.startswith(own)}
        self.experts = {**self.experts, task.name: kept}

    def predict(self, learner: "Learner", x: Tensor, task: str | None) -> Tensor:
        head = learner.heads.find(task)
        if task not in self.experts:  # being learned: the network as it is
            return learner.logits(x, task)
        return torch.as_tensor(functional_call(learner.network, self.experts[task], (x, head)))

    def grown(self, learner: "Learner", change: "Change") -> None:
        self.teacher.grown(change)
        fresh = {name: value.to(learner.device) for name, value in change.fresh.items()}
        self.experts = {task: change.carry(expert) | fresh for task, expert in self.experts.items()}

    def parameters_kept(self) -> int:
        return super().parameters_kept() + sum(value.numel() for expert in self.experts.values() for value in expert.values())

    def state(self) -> dict[str, Tensor]:
        origins = json.dumps({task: asdict(origin) for task, origin in self.origins.items()})
        experts = {f"experts.{i}.{name}": value for i, expert in enumerate(self.experts.values()) for name, value in expert.items()}
        told = {"origins": torch.tensor(list(origins.encode()), dtype=torch.uint8)}
        return super().state() | experts | told | self.teacher.state("teacher")

    def restore(self, state: dict[str, Tensor]) -> None:
        self.teacher.restore(state, "teacher")
        self.origins = {task: Origin(**origin) for task, origin in json.loads(bytes(state["origins"].tolist())).items()}
        kept: dict[int, dict[str, Tensor]] = {}
        for key, value in state.items():
            if key.startswith("experts."):
                _, place, name = key.split(".", 2)
                kept.setdefault(int(place), {})[name] = value
        names = list(self.origins)
        self.experts = {names[place]: kept[place] for place in sorted(kept)}
        super().restore({key: value for key, value in state.items() if not key.startswith(("experts.", "teacher.", "origins"))})
