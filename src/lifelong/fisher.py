"""The diagonal of the Fisher information, from per-example gradients."""

from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor

from lifelong.errors import MethodError
from lifelong.modes import evaluation_mode
from lifelong.per_example import CHUNK, sum_of_gradients
from lifelong.tasks import Task

if TYPE_CHECKING:
    from lifelong.learner import Learner

Labels = Literal["exact", "sampled", "true"]


def check_labels(name: str, labels: str, examples: int | None) -> None:
    """Raises MethodError for an unknown kind of labels or a number of examples below 1."""
    if labels not in ("exact", "sampled", "true"):
        raise MethodError(f"{name}: labels is {labels!r}; expected 'exact', 'sampled' or 'true'")
    if examples is not None and (not isinstance(examples, int) or examples < 1):
        raise MethodError(f"{name}: examples is {examples!r}; expected an integer >= 1, or None for all of the task's")


def diagonal_fisher(learner: "Learner", task: Task, labels: Labels, examples: int | None, generator: torch.Generator) -> Tensor:
    """F_i = mean over examples of E_y[(d log p(y|x) / d theta_i)^2], (P,), with the network in evaluation mode.

    Args:
        labels: "exact": the expectation over the model's own distribution p(y|x), summed over all classes.
            "sampled": one label an example drawn from p(y|x). "true": the data's labels (the empirical Fisher).
        examples: how many training examples, drawn without replacement; None: all.
    """
    own = learner.examples_of(task)
    chosen = torch.randperm(len(own), generator=generator)[:examples]
    x, y = own.take(chosen).to(learner.device), own.y[chosen].to(learner.device)
    if labels == "sampled":
        probabilities = torch.cat([learner.logits(part, task.name).softmax(1).cpu() for part in torch.split(x, CHUNK)])
        y = torch.multinomial(probabilities, 1, generator=generator).squeeze(1).to(learner.device)

    def scores(x: Tensor, y: Tensor) -> Tensor:
        log_p: Tensor = learner.network(x, own.head).log_softmax(1)
        if labels == "exact":
            # E_y[(d log p_y)^2] = sum_y (d (sqrt(p_y) log p_y))^2 with the square root held fixed
            return log_p.exp().sqrt().detach() * log_p
        return log_p.gather(1, y[:, None])

    part = learner.processes.part
    with evaluation_mode(learner.network):
        return learner.processes.sum(sum_of_gradients(learner.network, learner.theta, scores, (part(x), part(y)))) / len(x)
