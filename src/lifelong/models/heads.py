"""Heads: output layers whose rows belong to classes by name, for the three scenarios."""

import hashlib
import math
from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn

from lifelong.errors import ScenarioError, nearest
from lifelong.models.drawing import Initial, blank_linear
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
    "task". A new row's weights depend only on the seed, the head and the class's name, so the order in which classes come does not
    matter.

    Args:
        width: size of the feature vectors.
        scenario: "task", "domain" or "class".
        seed: of the learner.
        initial: how new rows are drawn, see `MLP`; the fan-out of "xavier" is the number of rows that the head began with.
    """

    def __init__(self, width: int, scenario: Scenario, seed: int, initial: Initial = "torch") -> None:
        super().__init__()
        self.width, self.scenario, self.seed, self.initial = width, scenario, seed, initial
        self.first_rows: list[int] = []  # how many each head began with
        self.layers = nn.ModuleList()
        self.classes: list[list[Name]] = []
        self.names: list[str] = []  # the tasks that own the heads, in the scenario "task"
        self.dtype = torch.float32  # of the first head; later ones are like it
        self.waiting: dict[Name, None] = {}  # declared classes that no task has brought yet, in the order of their outputs
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
        for name in classes:
            self.waiting.pop(name, None)
        if fresh and self.scenario == "domain":
            raise ScenarioError(
                f"task {task!r} brings the classes {fresh}, which are not among {known}: in the scenario 'domain' every task has "
                "the classes of the first. Use scenario='class' or 'task', or name the classes alike"
            )
        if fresh:
            self._extend(head, fresh)
        return head

    def declare(self, classes: Sequence[Name]) -> None:
        """Gives classes outputs before any task brings them: they compete in training, and are never predicted until then."""
        self._add_head(classes)
        self.waiting = dict.fromkeys(classes)

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
        """Whether there is an output for every one of the task's classes, and a task brought it."""
        if self.scenario == "task":
            return task in self.names and set(classes) <= set(self.classes[self.find(task)])
        return bool(self.layers) and set(classes) <= set(self.classes[0]) - self.waiting.keys()

    def rows(self, head: int, classes: Sequence[Name]) -> Tensor:
        """int64 (len(classes),): the classes' rows in the head."""
        places = {name: row for row, name in enumerate(self.classes[head])}
        return torch.tensor([places[name] for name in classes], dtype=torch.int64)

    def _add_head(self, classes: Sequence[Name]) -> int:
        self.first_rows.append(len(classes))
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
        weight, bias = 2 * (self.width**-0.5,) if self.initial == "torch" else (math.sqrt(6 / (self.width + self.first_rows[head])), 0.0)
        with torch.no_grad():
            for row, name in enumerate(classes):
                if name in self.adopted:
                    layer.weight[row], layer.bias[row] = self.adopted[name]
                    continue
                generator = torch.Generator().manual_seed(seed_of(self.seed, "head", head, name))
                layer.weight[row].uniform_(-weight, weight, generator=generator)
                layer.bias[row].uniform_(-bias, bias, generator=generator)
        return layer

    def forward(self, features: Tensor, head: int | Tensor) -> Tensor:
        """Logits (N, C). With a head for each example (int64 (N,) on the CPU), rows of smaller heads end in -inf."""
        if len(self.layers) == 1:
            head = 0
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
