"""Heads: output layers whose rows belong to classes by name, for the three scenarios."""

import hashlib
import math
from collections.abc import Callable, Sequence
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
        width: size of the feature vectors. In the scenario "task", where the network gets columns, heads read parts of them.
        scenario: "task", "domain" or "class".
        seed: of the learner.
        initial: how new rows are drawn, see `MLP`; the fan-out of "xavier" is the number of rows that the head began with.
    """

    def __init__(self, width: int, scenario: Scenario, seed: int, initial: Initial = "torch") -> None:
        super().__init__()
        self.width, self.scenario, self.seed, self.initial = width, scenario, seed, initial
        self.first_width = width  # before any growth
        self.start = 0  # from where in the features the next head reads, so many as `width`
        self.starts: list[int] = []  # from where each head does
        self.first_rows: list[int] = []  # how many each head began with
        self.born: list[
            list[tuple[int, int]]
        ] = []  # of each row: the features' width when it was added, and how often they had been widened
        self.widenings: list[
            tuple[Tensor, Tensor]
        ] = []  # of the features: which old one each is a copy of, and among how many it is shared
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
        """Gives classes outputs before any task brings them: they compete in training, and are never predicted until then.

        Raises:
            ScenarioError: the scenario is not "class", or a class has an output already.
        """
        if self.scenario != "class":
            raise ScenarioError(
                f"classes get outputs before a task brings them in the scenario 'class' only, and this is {self.scenario!r}"
            )
        known = [name for name in classes if self.classes and name in set(self.classes[0])]
        if known:
            raise ScenarioError(f"the classes {known} have outputs already; name only those that have none")
        if self.layers:
            self._extend(0, classes)
        else:
            self._add_head(classes)
        self.waiting |= dict.fromkeys(classes)

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
        self.starts.append(self.start)
        self.born.append(self._births(classes))
        self.layers.append(self._layer(len(self.layers), classes, self.born[-1]))
        self.classes.append(list(classes))
        return len(self.layers) - 1

    def _births(self, classes: Sequence[Name]) -> list[tuple[int, int]]:
        return [(self.width if name not in self.adopted else len(self.adopted[name][0]), len(self.widenings)) for name in classes]

    def _extend(self, head: int, classes: Sequence[Name]) -> None:
        """Appends rows for new classes to a head; its old rows keep their values and their places."""
        old = cast(nn.Linear, self.layers[head])
        born = self._births(classes)
        rows = self._layer(head, classes, born).to(old.weight.device, old.weight.dtype)
        layer = blank_linear(old.in_features, len(self.classes[head]) + len(classes), old.weight.dtype)
        layer.weight = nn.Parameter(torch.cat([old.weight.detach(), rows.weight.detach()]))
        layer.bias = nn.Parameter(torch.cat([old.bias.detach(), rows.bias.detach()]))
        self.layers[head] = layer
        self.classes[head] = [*self.classes[head], *classes]
        self.born[head] = [*self.born[head], *born]

    def untrained(self, head: int) -> nn.Linear:
        """A head's layer as it was before any training, on the CPU; grown with the features, so that it still computes the same."""
        return self._layer(head, self.classes[head], self.born[head])

    def widened(self, index: Tensor, copies: Tensor) -> None:
        """The features were widened, and the layers with them; see `lifelong.growth.Part` for the arguments."""
        self.width = len(index)
        self.widenings.append((index, copies))
        for layer in self.layers:
            assert isinstance(layer, nn.Linear)
            layer.in_features = self.width

    def _layer(self, head: int, classes: Sequence[Name], born: Sequence[tuple[int, int]]) -> nn.Linear:
        dtype = cast(nn.Linear, self.layers[0]).weight.dtype if self.layers else self.dtype
        drawn = [self._row(head, name, width, dtype) for name, (width, _) in zip(classes, born, strict=True)]
        grown = [self._grown(weight, birth) for (weight, _), (_, birth) in zip(drawn, born, strict=True)]
        layer = blank_linear(len(grown[0]), len(classes), dtype)
        with torch.no_grad():
            layer.weight.copy_(torch.stack(grown))
            layer.bias.copy_(torch.stack([bias for _, bias in drawn]))
        return layer

    def _row(self, head: int, name: Name, width: int, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """A class's weights (width,) and bias () before any training."""
        if name in self.adopted:
            return self.adopted[name]
        bounds = 2 * (width**-0.5,) if self.initial == "torch" else (math.sqrt(6 / (width + self.first_rows[head])), 0.0)
        generator = torch.Generator().manual_seed(seed_of(self.seed, "head", head, name))
        weight, bias = torch.empty(width, dtype=dtype), torch.empty((), dtype=dtype)
        return weight.uniform_(-bounds[0], bounds[0], generator=generator), bias.uniform_(-bounds[1], bounds[1], generator=generator)

    def _grown(self, weight: Tensor, birth: int) -> Tensor:
        """A row's weights after the widenings since it was added."""
        for index, copies in self.widenings[birth:]:
            weight = weight[index] / copies.to(weight)
        return weight

    def place(self, head: int) -> tuple[int, int]:
        """From where to where in the features a head reads."""
        return self.starts[head], self.starts[head] + cast(nn.Linear, self.layers[head]).in_features

    def read(self, features: Tensor, head: int) -> Tensor:
        """The features (N, width) that a head reads, of all."""
        if self.layers[head].in_features == features.shape[1]:
            return features
        start, stop = self.place(head)
        return features[:, start:stop].contiguous()

    def forward(self, features: Tensor, head: int | Tensor) -> Tensor:
        """Logits (N, C). With a head for each example (int64 (N,) on the CPU), rows of smaller heads end in -inf."""
        if len(self.layers) == 1:
            head = 0
        if isinstance(head, int):
            layer = self.layers[head]
            logits: Tensor = layer(features if layer.in_features == features.shape[1] else self.read(features, head))
            return logits
        columns = max(len(names) for names in self.classes)
        logits = features.new_full((len(features), columns), -torch.inf)
        for each in sorted(set(head.tolist())):
            chosen = (head == each).nonzero().squeeze(1).to(features.device, non_blocking=True)
            part = self.layers[each](self.read(features[chosen], each))
            part = nn.functional.pad(part, (0, columns - part.shape[1]), value=-torch.inf)
            logits = logits.index_copy(0, chosen, part.to(logits.dtype))
        return logits

    def reader(self) -> Callable[[Tensor, int | Tensor], Tensor]:
        """`forward` for many batches in a row, without the search for the layer; until a layer is added or replaced."""
        layers = list(self.layers)

        def read(features: Tensor, head: int | Tensor) -> Tensor:
            layer = layers[0] if len(layers) == 1 else layers[head] if isinstance(head, int) else None
            if layer is None or layer.in_features != features.shape[1]:
                return self(features, head)  # type: ignore[no-any-return]
            return layer(features)  # type: ignore[no-any-return]

        return read


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


class Forward:
    """A network's forward pass for many batches in a row, with what it looks up found once; until a module or buffer is replaced.

    Attributes:
        features, logits: from inputs to features, and from features and a head to logits.
        buffers: the network's, which a pass in training mode may change.
    """

    def __init__(self, network: Network) -> None:
        self.features, self.logits = network.features, network.heads.reader()
        self.buffers = list(network.buffers())
