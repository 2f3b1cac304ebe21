"""Heads: output layers whose rows belong to classes by name, for the three scenarios."""

import hashlib
from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn

from lifelong.errors import ScenarioError, nearest
from lifelong.models.drawing import blank_linear
from lifelong.tasks import Name, Scenario


def seed_of(*words: object) -> int:
    """A 63-bit seed that depends on the words only.

    >>> seed_of(0, "order") == seed_of(0, "order"), seed_of(0, "order") == seed_of(1, "order")
    (True, False)
    """
    digest = hashlib.sha256("/".join(map(repr, words)).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


class Heads(nn.Module):
    """The output layer of a learner.

    One head for everything in the scenarios "class" (it grows as classes come) and "domain" (the names recur); one head per task in
    "task". A new row's weights depend only on the seed, the head and the class's name, drawn as torch's Linear draws them, so the
    order in which classes come does not matter.

    Args:
        width: size of the feature vectors.
        scenario: "task", "domain" or "class".
        seed: of the learner.
    """

    def __init__(self, width: int, scenario: Scenario, seed: int) -> None:
        super().__init__()
        self.width, self.scenario, self.seed = width, scenario, seed
        self.layers = nn.ModuleList()
        self.classes: list[list[Name]] = []
        self.names: list[str] = []  # the tasks that own the heads, in the scenario "task"
        self.dtype = torch.float32  # of the first head; later ones are like it
        self.adopted: dict[Name, tuple[Tensor, Tensor]] = {}  # rows of an adopted classifier: weight (width,) and bias ()

    def admit(self, task: str, classes: Sequence[Name]) -> int:
        """Makes room for a task's classes and returns its head.

        Raises:
            ScenarioError: new classes in the scenario "domain" after the first task.
        """
        if not classes:
            raise ScenarioError(f"task {task!r} has no classes; a head needs at least one")
        if self.scenario == "task" and task not in self.names:
            self.names.append(task)
            return self._add_head(classes)
        if not self.layers:
            return self._add_head(classes)
        head = self.find(task)
        known = self.classes[head]
        fresh = [name for name in classes if name not in set(known)]
        if fresh and self.scenario == "domain":
            raise ScenarioError(
                f"task {task!r} brings the classes {fresh}, which are not among {known}: in the scenario 'domain' every task has "
                "the classes of the first. Use scenario='class' or 'task', or name the classes alike"
            )
        if fresh:
            self._extend(head, fresh)
        return head

    def find(self, task: str | None) -> int:
        """The head of a task.

        Raises:
            ScenarioError: in the scenario "task", no task or one that has no head.
        """
        if self.scenario != "task":
            return 0
        if task is None:
            raise ScenarioError(f"in the scenario 'task' the task must be said: predict(x, task=...). Known: {', '.join(self.names)}")
        if task not in self.names:
            raise ScenarioError(f"no task {task!r} was learned; {nearest(task, self.names)}")
        return self.names.index(task)

    def knows(self, task: str, classes: Sequence[Name]) -> bool:
        """Whether there is an output for every one of the task's classes."""
        if self.scenario == "task":
            return task in self.names and set(classes) <= set(self.classes[self.find(task)])
        return bool(self.layers) and set(classes) <= set(self.classes[0])

    def rows(self, head: int, classes: Sequence[Name]) -> Tensor:
        """int64 (len(classes),): the classes' rows in the head."""
        places = {name: row for row, name in enumerate(self.classes[head])}
        return torch.tensor([places[name] for name in classes], dtype=torch.int64)

    def _add_head(self, classes: Sequence[Name]) -> int:
        self.layers.append(self._layer(len(self.layers), classes))
        self.classes.append(list(classes))
        return len(self.layers) - 1

    def _extend(self, head: int, classes: Sequence[Name]) -> None:
        """Appends rows for new classes to a head; its old rows keep their values and their places."""
        old = cast(nn.Linear, self.layers[head])
        rows = self._layer(head, classes).to(old.weight.device, old.weight.dtype)
        layer = blank_linear(self.width, len(self.classes[head]) + len(classes), old.weight.dtype)
        layer.weight = nn.Parameter(torch.cat([old.weight.detach(), rows.weight.detach()]))
        layer.bias = nn.Parameter(torch.cat([old.bias.detach(), rows.bias.detach()]))
        self.layers[head] = layer
        self.classes[head] = [*self.classes[head], *classes]

    def untrained(self, head: int) -> nn.Linear:
        """A head's layer as it was before any training, on the CPU."""
        return self._layer(head, self.classes[head])

    def _layer(self, head: int, classes: Sequence[Name]) -> nn.Linear:
        dtype = cast(nn.Linear, self.layers[0]).weight.dtype if self.layers else self.dtype
        layer = blank_linear(self.width, len(classes), dtype)
        bound = self.width**-0.5
        with torch.no_grad():
            for row, name in enumerate(classes):
                if name in self.adopted:
                    layer.weight[row], layer.bias[row] = self.adopted[name]
                    continue
                generator = torch.Generator().manual_seed(seed_of(self.seed, "head", head, name))
                layer.weight[row].uniform_(-bound, bound, generator=generator)
                layer.bias[row].uniform_(-bound, bound, generator=generator)
        return layer

    def forward(self, features: Tensor, head: int | Tensor) -> Tensor:
        """Logits (N, C). With a head for each example (int64 (N,) on the CPU), rows of smaller heads end in -inf."""
        if isinstance(head, int):
            logits: Tensor = self.layers[head](features)
            return logits
        columns = max(len(names) for names in self.classes)
        logits = features.new_full((len(features), columns), -torch.inf)
        for each in sorted(set(head.tolist())):
            chosen = (head == each).nonzero().squeeze(1).to(features.device)
            part = self.layers[each](features[chosen])
            part = nn.functional.pad(part, (0, columns - part.shape[1]), value=-torch.inf)
            logits = logits.index_copy(0, chosen, part.to(logits.dtype))
        return logits


class Network(nn.Module):
    """A model that gives features, and the heads on it, of the model's dtype."""

    def __init__(self, features: nn.Module, heads: Heads) -> None:
        super().__init__()
        self.features, self.heads = features, heads
        tensors = [*features.parameters(), *features.buffers()]
        heads.dtype = next((tensor.dtype for tensor in tensors if tensor.is_floating_point()), torch.float32)

    def forward(self, x: Tensor, head: int | Tensor = 0) -> Tensor:
        logits: Tensor = self.heads(self.features(x), head)
        return logits
