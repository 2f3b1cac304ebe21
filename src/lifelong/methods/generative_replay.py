"""Deep generative replay."""

import copy
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor

from lifelong.errors import MethodError, ScenarioError
from lifelong.generators import VAE, Generator, describe, make
from lifelong.method import Keeps, Method
from lifelong.tasks import Batch, Task
from lifelong.teacher import Teacher

if TYPE_CHECKING:
    from lifelong.growth import Change
    from lifelong.learner import Learner


class GenerativeReplay(Method):
    """Deep generative replay: a generator learns to draw earlier tasks' inputs, and the network of before says what they are.

    Paper: Shin et al. 2017, https://arxiv.org/abs/1705.08690, Eq. 1, for a scholar of generator and solver.
    Loss:  r * mean cross-entropy(y, h(x)) + (1 - r) * mean cross-entropy(y', h(x')), r = 1/t in task t; x' are draws from the generator,
        y' the teacher's most likely class of them. In the scenario "task" each draw is asked in an earlier head chosen at random.
    Generator: trained at each task's end on the task's inputs and on draws from itself as it was, with the same weights.
    Departs from the paper: a variational autoencoder is the default generator, where the paper has a WGAN-GP.

    Args:
        generator: a `lifelong.generators.Generator`; or the arguments of a `VAE`, as {"latent": 50, "conditional": True}. None: a VAE with
            two hidden layers of 400 and 100 latents for inputs with values in [0, 1], such as MNIST's.
        replayed: draws added to each batch, >= 0; None: as many as the batch has. 0 is fine-tuning, bit for bit.
        generator_steps: steps of the generator a task; None: as many as the network's.
        generator_rate: learning rate of its Adam.
    Keeps: the generator; in a task, a copy of the network. Cost per step: a step on the joined batch, a draw from the generator and a
        forward pass of the teacher. Cost per task: `generator_steps` of the generator.
    """

    keeps: ClassVar[Keeps] = "a network"

    def __init__(
        self,
        *,
        generator: Generator | dict[str, Any] | None = None,
        replayed: int | None = None,
        generator_steps: int | None = None,
        generator_rate: float = 0.001,
    ) -> None:
        super().__init__()
        for name, value in (("replayed", replayed), ("generator_steps", generator_steps)):
            if value is not None and (not isinstance(value, int) or value < (name == "generator_steps")):
                raise MethodError(
                    f"GenerativeReplay: {name} is {value!r}; expected an integer >= {int(name == 'generator_steps')}, or None"
                )
        if not isinstance(generator_rate, int | float) or not 0 < generator_rate < float("inf"):
            raise MethodError(f"GenerativeReplay: generator_rate is {generator_rate!r}; expected a number > 0")
        if isinstance(generator, dict):
            make(generator, [1])  # a wrong argument is told at once, and not at the first task
        self.generator = describe(generator) if isinstance(generator, Generator) else generator
        self.replayed, self.generator_steps, self.generator_rate = replayed, generator_steps, generator_rate
        self.drawing: Generator | None = copy.deepcopy(generator) if isinstance(generator, Generator) else None
        self.teacher = Teacher()

    def rehearses(self) -> bool:
        return self.replayed != 0

    def begin_task(self, learner: "Learner", task: Task) -> None:
        if self.replayed == 0:
            return
        if learner.tasks:
            self.teacher.copy(learner.network)
        else:
            lost = [name for name in learner.heads.adopted if name not in task.classes]
            if lost:
                raise ScenarioError(
                    f"GenerativeReplay has no generator of the classes {lost}, which were adopted; let it learn to draw them from some of "
                    "their inputs, learner.remember(Task(name, train=(x, y))), or let the first task have all of them"
                )
            x = learner.examples_of(task).take(torch.arange(min(len(task.train), 1000)))
            if self.drawing is None:
                self.drawing = make(self.generator or {}, x.shape[1:]).to(learner.device)
            self._check(task, x)

    def mix(self, learner: "Learner", batch: Batch) -> Batch:
        if not learner.tasks:
            return batch
        n, size = len(batch), len(batch) if self.replayed is None else self.replayed
        current = 1 / (len(learner.tasks) + 1)  # r, Eq. 1
        own = batch.weight if batch.weight is not None else torch.full((n,), 1 / n, device=batch.x.device)
        weight = torch.cat([current * own, own.new_full((size,), (1 - current) / size)])
        joined = batch.joined(self._replay(learner, size))
        return Batch(joined.x, joined.y, joined.head, weight)

    @torch.no_grad()
    def _replay(self, learner: "Learner", size: int) -> Batch:
        """Draws from the generator, labelled by the teacher."""
        assert self.drawing is not None
        random, teacher = learner.generator(self), self.teacher.network(learner.network)
        x, _ = self.drawing.sample(size, random)
        if learner.scenario == "task":
            head = torch.randint(len(learner.tasks), (size,), generator=random)  # heads are in the order of the tasks
            return Batch(x, teacher(x, head).argmax(1), head)
        rows = torch.tensor(learner.learned_rows(0)).to(x.device, non_blocking=True)
        return Batch(x, rows[teacher(x, 0)[:, rows].argmax(1)], 0)

    def end_task(self, learner: "Learner", task: Task) -> None:
        self.teacher.clear()
        if self.replayed == 0 or self.drawing is None:
            return
        before = copy.deepcopy(self.drawing).requires_grad_(False)
        self.drawing.grow(sum(map(len, learner.heads.classes)))
        self.drawing.train()
        optimizer = torch.optim.Adam(self.drawing.parameters(), lr=self.generator_rate)
        current, random = 1 / (len(learner.tasks) + 1), learner.generator(self)
        for x, y in self._batches(learner, task, self.generator_steps or learner.task_steps):
            with torch.enable_grad():
                loss = current * self.drawing.loss(x, y, random).mean()
                if learner.tasks:
                    loss = loss + (1 - current) * self.drawing.loss(*before.sample(len(x), random), random).mean()
                optimizer.zero_grad()
                torch.autograd.backward(loss)
            optimizer.step()
        self.drawing.eval()

    def _batches(self, learner: "Learner", task: Task, steps: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Batches of the task's inputs with their classes, counted over all heads."""
        examples, size, taken = learner.examples_of(task), learner.task_training.batch_size, 0
        offset = sum(map(len, learner.heads.classes[: learner.heads.find(task.name)]))
        while True:
            for x, y in examples.batches(torch.randperm(len(examples), generator=learner.generator(self)), size):
                if taken == steps:
                    return
                taken += 1
                yield x.to(learner.device), y.to(learner.device) + offset

    def _check(self, task: Task, x: Tensor) -> None:
        if not isinstance(self.drawing, VAE):
            return
        if not x.is_floating_point():
            raise MethodError(
                f"GenerativeReplay: its generator draws real numbers, and task {task.name!r} has inputs of {x.dtype}, such as words have; "
                "keep examples instead, with Replay(...), or give a Generator of your own that draws such inputs"
            )
        if self.drawing.likelihood == "bernoulli" and (x.min() < 0 or x.max() > 1):
            raise MethodError(
                f"GenerativeReplay: inputs go from {float(x.min()):.3g} to {float(x.max()):.3g}, and its generator draws values in [0, 1]; "
                "scale them, or give generator={'likelihood': 'gaussian'} or a Generator of your own"
            )

    def pictures(self, learner: "Learner") -> dict[str, Tensor]:
        if self.drawing is None or not learner.tasks:
            return {}
        with torch.no_grad():
            x, _ = self.drawing.sample(100, torch.Generator().manual_seed(learner.seed))
        if x.ndim != 4 or x.shape[1] not in (1, 3):
            return {}  # no images
        return {f"What the generator draws after task {len(learner.tasks)}": x.cpu()}

    def grown(self, learner: "Learner", change: "Change") -> None:
        self.teacher.grown(change)

    def state(self) -> dict[str, Tensor]:
        kept = {} if self.drawing is None else {f"generator.{name}": value for name, value in self.drawing.state_dict().items()}
        shape = {"shape": torch.tensor(self.drawing.shape)} if isinstance(self.drawing, VAE) else {}
        return {**kept, **shape, **self.teacher.state("teacher")}

    def restore(self, state: dict[str, Tensor]) -> None:
        self.teacher.restore(state, "teacher")
        weights = {name.removeprefix("generator."): value for name, value in state.items() if name.startswith("generator.")}
        if not weights:
            return
        if self.drawing is None:
            self.drawing = make(self.generator or {}, state["shape"].tolist())
        if isinstance(self.drawing, VAE):
            self.drawing.grow(len(weights["means"]))
        self.drawing.load_state_dict(weights)
        self.drawing.to(next(iter(weights.values())).device).eval()

    def parameters_kept(self) -> int:
        return 0 if self.drawing is None else sum(parameter.numel() for parameter in self.drawing.parameters())

    def overrides(self, moment: str) -> bool:
        return super().overrides(moment) and (self.replayed != 0 or moment != "mix")
