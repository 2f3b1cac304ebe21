"""The one training loop: settings, the step, and going on in the middle of a task."""

import functools
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, fields, replace
from itertools import repeat
from math import ceil, isfinite
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy
from torch.optim import lr_scheduler

from lifelong.compiling import compiled
from lifelong.errors import NonFiniteError, nearest
from lifelong.models.heads import Forward
from lifelong.optimizers import DEFAULT, OptimizerFactory, Scheduler, SchedulerFactory, describe_factory, make_optimizer, step_of
from lifelong.processes import Sharing
from lifelong.tasks import Batch, Examples

if TYPE_CHECKING:
    from lifelong.learner import Learner

Precision = Literal["float32", "bfloat16", "bf16", "float16"]
WINDOW = 64  # steps between looks at the losses; a look waits for the device, a step does not


@dataclass(frozen=True)
class Training:
    """How a task is trained; the arguments of `Learner` and, for one task, of `learn`.

    Args:
        optimizer: from parameters to a torch optimizer, as functools.partial(torch.optim.SGD, lr=0.1).
        epochs: passes over the task's examples.
        steps: number of steps, in place of epochs; passes are repeated or cut as needed. None: use epochs.
        batch_size: examples a step; the last batch of a pass may be smaller.
        scheduler: from the optimizer to a torch learning rate scheduler, stepped after each epoch. None: a constant rate.
        clip_norm: the gradient is scaled down to this Euclidean norm, after the methods' edits. None: it is not.
        precision: of the forward pass: "float32", or "bfloat16", for short "bf16", or "float16" by autocast (float16 with a scaled loss).
            A processor without instructions for bfloat16 computes the same, slower than in float32.
        reset_optimizer: each task starts with a fresh optimizer; False: its state is carried from task to task.
        workers: processes that read a torch Dataset; 0: this one. Sets in memory need none.
        compile: let torch.compile make machine code of the features' part of a step, for a C++ compiler and seconds once a process. It
            paid for a small convolutional network, not for a ResNet, and makes small MLPs slower (docs/speed.md). Sums are rounded
            otherwise than without, and dropout draws others.
    """

    optimizer: OptimizerFactory = DEFAULT
    epochs: int = 1
    steps: int | None = None
    batch_size: int = 32
    scheduler: SchedulerFactory | None = None
    clip_norm: float | None = None
    precision: Precision = "float32"
    reset_optimizer: bool = True
    workers: int = 0
    compile: bool = False

    def __post_init__(self) -> None:
        for name in ("epochs", "steps", "batch_size", "workers"):
            value, least = getattr(self, name), 0 if name == "workers" else 1
            if not (value is None and name == "steps") and (not isinstance(value, int) or value < least):
                raise ValueError(f"{name} is {value!r}; expected an integer >= {least}")
        if self.clip_norm is not None and not self.clip_norm > 0:
            raise ValueError(f"clip_norm is {self.clip_norm!r}; expected a number > 0, or None for no clipping")
        if self.precision == "bf16":
            object.__setattr__(self, "precision", "bfloat16")
        if self.precision not in ("float32", "bfloat16", "float16"):
            raise ValueError(f"precision is {self.precision!r}; expected 'float32', 'bfloat16', 'bf16' or 'float16'")
        if not isinstance(self.compile, bool):
            raise ValueError(f"compile is {self.compile!r}; expected True or False")
        for name, example in (("optimizer", "SGD, lr=0.1"), ("scheduler", "lr_scheduler.StepLR, step_size=10")):
            value = getattr(self, name)
            if not callable(value) and not (name == "scheduler" and value is None):
                raise ValueError(f"{name} is {value!r}; expected something to call, as functools.partial(torch.optim.{example})")

    def changed(self, changes: dict[str, Any]) -> "Training":
        """The same with other settings for one task."""
        known = [field.name for field in fields(self)]
        for name in changes:
            if name not in known:
                raise TypeError(f"learn got an unknown setting {name!r}; {nearest(name, known)}")
        return replace(self, **changes)

    def described(self) -> dict[str, Any]:
        """The settings as JSON has them; equal for settings that train alike, which two partials of one class are not."""
        scheduler = self.scheduler and describe_factory(self.scheduler, lr_scheduler)
        return {**vars(self), "optimizer": describe_factory(self.optimizer, torch.optim), "scheduler": scheduler}


@dataclass
class Position:
    """How far a task's training is.

    Attributes:
        step: steps taken in this task. epoch: whole passes made. batch: batches taken in the current pass.
        order: state of the order's generator before the current pass was shuffled.
    """

    step: int = 0
    epoch: int = 0
    batch: int = 0
    order: Tensor | None = None


class Run:
    """The training of one task: everything that lives from its first step to its last.

    Args:
        times: multiplies `training.steps`, where a method trains on several tasks' examples at once.
    """

    def __init__(self, learner: "Learner", training: Training, examples: Examples, times: int = 1) -> None:
        self.training, self.examples = training, examples
        self.forward = Forward(learner.network)
        self.position = Position()
        self.epoch_steps = ceil(len(examples) / training.batch_size)
        self.total = training.epochs * self.epoch_steps if training.steps is None or not len(examples) else training.steps * times
        self.optimizer, self.flat = make_optimizer(training.optimizer, learner.theta)
        self.scheduler: Scheduler | None = training.scheduler(self.optimizer) if training.scheduler else None
        self.scaler = torch.amp.GradScaler(learner.device.type) if training.precision == "float16" else None

    @property
    def finished(self) -> bool:
        """Whether every step was taken."""
        return self.position.step >= self.total

    def batches(self, generator: torch.Generator, device: torch.device) -> Iterator[Batch]:
        """Batches from the current position on; the caller counts them by `advance`."""
        position, size, examples, here = self.position, self.training.batch_size, self.examples, device.type == "cpu"
        while not self.finished:
            if position.order is None:
                position.order = generator.get_state()
            generator.set_state(position.order)
            order = torch.randperm(len(examples), generator=generator)[position.batch * size :]
            heads: Iterable[int | Tensor] = (
                repeat(examples.head) if isinstance(examples.head, int) else torch.split(examples.head[order], size)
            )
            for (x, y), head in zip(examples.batches(order, size, self.training.workers), heads, strict=False):
                yield Batch(x, y, head) if here else Batch(x.to(device, non_blocking=True), y.to(device, non_blocking=True), head)
                if self.finished:
                    return

    def advance(self) -> None:
        """Counts a step, and at a pass's end the pass."""
        position = self.position
        position.step += 1
        position.batch += 1
        if position.batch == self.epoch_steps:
            position.epoch, position.batch, position.order = position.epoch + 1, 0, None
            if self.scheduler is not None:
                self.scheduler.step()


def assemble(learner: "Learner", run: Run) -> Callable[[Batch], Tensor]:
    """The step, made of the moments that the learner's methods really override; it returns the loss, detached."""
    theta, optimizer, scaler = learner.theta, run.optimizer, run.scaler
    features_of, logits_of = _features(learner, run), run.forward.logits
    parameters, precision, optimizer_step = theta.parameters, run.training.precision, step_of(optimizer)
    mixes, terms, afters = (_overridden(learner, moment) for moment in ("mix", "loss", "after_step"))
    edit_gradient = _gradient_editor(learner, run)
    gathers, gather = run.flat or edit_gradient is not None, theta.gather
    if not learner.processes.alone:
        sharing = Sharing(learner)
        mixes, gathers, gather = [*mixes, sharing.mix], True, sharing.gather
    halved = precision != "float32"
    cast_context = functools.partial(torch.autocast, learner.device.type, getattr(torch, precision))

    def forward(batch: Batch) -> Tensor:
        features = features_of(batch.x)
        output = logits_of(features, batch.head)
        if batch.weight is None:
            loss = cross_entropy(output, batch.y)
        else:
            loss = (cross_entropy(output, batch.y, reduction="none") * batch.weight).sum()
        learner.features = features
        for term in terms:
            loss = term(learner, batch, output, loss)
        learner.features = None
        return loss

    def step(batch: Batch) -> Tensor:
        learner.fresh = len(batch)
        for mix in mixes:
            batch = mix(learner, batch)
        if halved:
            with cast_context():
                loss = forward(batch)
        else:
            loss = forward(batch)
        torch.autograd.backward(loss if scaler is None else scaler.scale(loss))
        if gathers:
            gather()
        if scaler is not None:
            scaler.unscale_(optimizer)
            if gathers:
                theta.gradient.nan_to_num_(0.0, 0.0, 0.0)  # a step that overflowed is skipped, and no method is to remember it
        with torch.no_grad():
            if edit_gradient is not None:
                edit_gradient(batch)
            if scaler is None:
                optimizer_step()
            else:
                scaler.step(optimizer)
                scaler.update()
            for after in afters:
                after(learner)
        for parameter in parameters:
            parameter.grad = None
        return loss.detach()

    return step


def _features(learner: "Learner", run: Run) -> Callable[[Tensor], Tensor]:
    network, size = run.forward.features, min(run.training.batch_size, len(run.examples))
    return compiled(learner, network, size) if run.training.compile else network


def _overridden(learner: "Learner", moment: str) -> list[Callable[..., Any]]:
    return [getattr(method, moment) for method in learner.methods if method.overrides(moment)]


def _gradient_editor(learner: "Learner", run: Run) -> Callable[[Batch], None] | None:
    """What happens to the gradient between the backward pass and the optimizer's step; None: nothing."""
    theta, clip, edits = learner.theta, run.training.clip_norm, _overridden(learner, "edit_gradient")
    if not edits and clip is None:
        return None

    def edit_gradient(batch: Batch) -> None:
        for edit in edits:
            edit(learner, batch)
        if not run.flat:
            theta.lend()  # an edit may have called zero_grad(), and the optimizer would skip the parameters
        if clip is not None:
            # one fused norm over theta; the optimizer's gradients are slices of it
            theta.gradient.mul_((clip / (theta.gradient.norm() + 1e-6)).clamp_max(1.0))

    return edit_gradient


def fit(learner: "Learner", run: Run, title: str, pause: Callable[[Callable[[], None]], None], show: Callable[[int, float], None]) -> None:
    """Takes the steps that are left.

    Args:
        title: of the task, for errors.
        pause: called after every step, with everything in a state that can be saved, and with a function that looks at the losses
            since the last look, to be called before saving.
        show: called with the step and the mean loss now and then.

    Raises:
        NonFiniteError: the loss or a weight became NaN or infinite; it names the step.
    """
    learner.network.train()
    for method in learner.methods:
        method.begin_round(learner)
    learner.theta.drop()  # what a user's own backward pass left behind is not this task's
    step = assemble(learner, run)
    losses: list[Tensor] = []

    def look() -> None:
        if losses:
            show(run.position.step, _mean_loss(learner, run, losses, title))
            losses.clear()
            learner.theta.check()

    for batch in run.batches(learner.order, learner.device):
        losses.append(step(batch))
        run.advance()
        if len(losses) == WINDOW or run.finished:
            look()
        pause(look)


def _mean_loss(learner: "Learner", run: Run, losses: list[Tensor], title: str) -> float:
    values = torch.stack(losses)
    mean = values.mean()
    if isfinite(float(mean + learner.theta.value.sum())):  # then each of them is; cheaper than looking at each
        return float(mean)
    finite = values.isfinite()
    if bool(finite.all() & learner.theta.value.isfinite().all()):
        return float(mean)
    # where all losses are finite, the last step made the weights infinite
    first = int((~finite).nonzero()[0]) if not finite.all() else len(losses) - 1
    what = f"the loss became {float(values[first])}" if not finite.all() else "the weights became infinite"
    step = run.position.step - len(losses) + first + 1
    rates = ", ".join(f"{group['lr']:g}" for group in run.optimizer.param_groups)
    strengths = [f"{type(m).__name__}'s strength {m.strength:g}" for m in learner.methods if hasattr(m, "strength")]
    methods = " and ".join(type(m).__name__ for m in learner.methods) or "fine-tuning"
    raise NonFiniteError(
        f"{title}: {what} at step {step} of {run.total}, training with {methods}. "
        "Nothing of this task was kept, and what was learned before it is intact. "
        f"Lower {' or '.join([f'the learning rate {rates}', *strengths])}, or set clip_norm"
    )
