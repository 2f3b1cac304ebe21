"""Loops for `step.py`: the bare passes that a method's algorithm needs, all of its step by hand, and a learner's own.

The bare loop makes the passes on tensors that lie ready, with every term of the method's loss, and takes the optimizer's step: for replay
and der one on the batch joined with as many examples again; for lwf and icarl one on the batch and a teacher's forward pass; for agem one
on the batch and one on the reference batch; for gem one on the batch and one on every earlier task's memory. What a method does between
the passes is what the ratio to it shows. The loops by hand do that, too, in as few calls as there are: what is left between them and the
learner's is the library's.
"""

import functools
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import torch
from common import digits
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy, mse_loss, one_hot

import lifelong as ll
from lifelong import learning
from lifelong.models import ConvNet
from lifelong.projection import project
from lifelong.theta import Theta
from lifelong.training import fit

Loop = Callable[[], None]  # an epoch
Loss = Callable[[Tensor, Tensor], Tensor]  # of images and labels
Optimizer = Callable[..., torch.optim.Optimizer]

MEMORY = 256
SGD: Optimizer = functools.partial(torch.optim.SGD, lr=0.01)


@dataclass(frozen=True)
class Size:
    """Hidden layers (none: the convolutional network), examples a step, and steps between two looks at the clock."""

    hidden: tuple[int, ...]
    batch: int
    steps: int


SIZES = {
    "784-100-100-10, batch 10": Size((100, 100), 10, 100),
    "784-256-256-10, batch 128": Size((256, 256), 128, 20),
    "convnet with batch norm, batch 10": Size((), 10, 10),
}


@dataclass(frozen=True)
class Case:
    """A method and the passes that it can't do without.

    Attributes:
        joined: the batch's pass is on so many times its examples.
        against: what else the loss compares the network's outputs with: a teacher's by softmax or sigmoid, or logits that were kept.
        memories: passes over so many memories of 256 examples; also how many tasks were learned before, at least one.
    """

    make: Callable[[], list[ll.Method]]
    joined: int = 1
    against: Literal["softmax", "sigmoid", "logits"] | None = None
    memories: int = 0


CASES = {
    "lwf": Case(lambda: [ll.methods.LwF()], against="softmax"),
    "icarl": Case(lambda: [ll.methods.ICaRL(capacity=200)], against="sigmoid"),
    "replay": Case(lambda: [ll.methods.Replay(capacity=200)], joined=2),
    "der": Case(lambda: [ll.methods.DER(capacity=200, from_current=True)], joined=2, against="logits"),
    "der, earlier tasks only": Case(lambda: [ll.methods.DER(capacity=200)], joined=2, against="logits"),
    "der++": Case(lambda: [ll.methods.DER(capacity=200, beta=0.5, from_current=True)], joined=3, against="logits"),
    "agem": Case(lambda: [ll.methods.AGEM(replayed=MEMORY)], memories=1),
    **{f"gem, {k} earlier tasks": Case(lambda: [ll.methods.GEM()], memories=k) for k in (1, 4, 19)},
}


def network(hidden: tuple[int, ...]) -> nn.Module:
    if not hidden:
        return nn.Sequential(ConvNet(1, [16, 32]), nn.Linear(32, 10))
    layers: list[nn.Module] = [nn.Flatten()]
    for a, b in pairwise([784, *hidden, 10]):
        layers += [nn.Linear(a, b), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def memory(position: int) -> tuple[Tensor, Tensor]:
    """Digits in another order of their pixels: an earlier task's examples."""
    order = torch.randperm(784, generator=torch.Generator().manual_seed(position))
    images, labels = digits(MEMORY)
    return images.flatten(1)[:, order].view(-1, 1, 28, 28), labels


def loop_of(model: nn.Module, size: Size, loss: Loss, optimizer: Optimizer = SGD, *, times: int = 1, between: Loop = lambda: None) -> Loop:
    """The loop that everybody writes: data in memory, shuffled once an epoch, sliced into batches.

    Args:
        times: a step has so many times the batch's examples.
        between: called between the backward pass and the optimizer's step.
    """
    batch = size.batch * times
    x, y = digits(size.steps * batch)
    optimizing = optimizer(model.parameters())

    def epoch() -> None:
        order = torch.randperm(len(x))
        xs, ys = x[order], y[order]
        for start in range(0, len(xs), batch):
            optimizing.zero_grad()
            torch.autograd.backward(loss(xs[start : start + batch], ys[start : start + batch]))
            between()
            optimizing.step()

    return epoch


def plain_loop(size: Size, optimizer: Optimizer) -> Loop:
    """Fine-tuning."""
    model = network(size.hidden)
    return loop_of(model, size, lambda images, labels: cross_entropy(model(images), labels), optimizer)


def bare_loop(case: Case, size: Size) -> Loop:
    """The passes by hand: the batch's gradient steps, those of the memories are computed and thrown away."""
    bare, teacher, n = network(size.hidden), network(size.hidden).eval().requires_grad_(False), size.batch
    parameters, kept, logits = list(bare.parameters()), [memory(k) for k in range(case.memories)], torch.randn(n, 10)

    def loss(images: Tensor, labels: Tensor) -> Tensor:
        output = bare(images)
        if case.against is None:
            return cross_entropy(output, labels)
        if case.against == "logits":
            total = cross_entropy(output[:n], labels[:n]) + 0.5 * mse_loss(output[n : 2 * n], logits)
            return total if case.joined == 2 else total + 0.5 * cross_entropy(output[2 * n :], labels[2 * n :])
        answer = teacher(images)
        if case.against == "softmax":
            return cross_entropy(output, labels) + cross_entropy(output / 2, (answer / 2).softmax(1))
        target = torch.cat([answer[:, :5].sigmoid(), one_hot(labels, 10)[:, 5:].float()], dim=1)
        return binary_cross_entropy_with_logits(output, target)

    def between() -> None:
        for images, labels in kept:
            torch.autograd.grad(cross_entropy(bare(images), labels), parameters)

    return loop_of(bare, size, loss, times=case.joined, between=between)


def si_by_hand(size: Size, optimizer: Optimizer) -> Loop:
    """The pull to the center and the path integral on vectors that the parameters are slices of."""
    model, theta = network(size.hidden), Theta()
    theta.bind(dict(model.named_parameters()))
    value, center, before, path = theta.value, theta.value.clone(), theta.value.clone(), torch.zeros_like(theta.value)
    pull = torch.rand_like(value) / 1000
    parts = list(zip(theta.parameters, *(theta.layout.split(vector).values() for vector in (path, before)), strict=True))
    batch, (x, y) = size.batch, digits(size.steps * size.batch)
    optimizing = optimizer(model.parameters())

    def epoch() -> None:
        order = torch.randperm(len(x))
        xs, ys = x[order], y[order]
        for start in range(0, len(xs), batch):
            optimizing.zero_grad()
            torch.autograd.backward(cross_entropy(model(xs[start : start + batch]), ys[start : start + batch]))
            optimizing.step()
            with torch.no_grad():
                value.lerp_(center, pull)
                before.sub_(value)
                for parameter, integral, step in parts:
                    integral.addcmul_(parameter.grad, step)
                before.copy_(value)

    return epoch


def der_by_hand(case: Case, size: Size) -> Loop:
    """A draw from a memory that never changes, and the two losses."""
    model, (kept, _), logits, n = network(size.hidden), memory(0), torch.randn(MEMORY, 10), size.batch

    def loss(images: Tensor, labels: Tensor) -> Tensor:
        drawn = torch.randint(MEMORY, (n,))
        output = model(torch.cat([images, kept.index_select(0, drawn)]))
        return cross_entropy(output[:n], labels) + 0.5 * mse_loss(output[n:], logits.index_select(0, drawn))

    return loop_of(model, size, loss)


def gem_by_hand(case: Case, size: Size) -> Loop:
    """The memories' gradients as rows of a matrix, the batch's as a vector, the projection, and back; agem's is one row."""
    model = network(size.hidden)
    parameters, memories = list(model.parameters()), [memory(k) for k in range(case.memories)]
    examples, labels = memories[0]
    rows = torch.empty(len(memories), sum(each.numel() for each in parameters))
    averaged = case is CASES["agem"]

    def between() -> None:
        drawn = torch.randint(MEMORY, (MEMORY,))
        batches = [(examples.index_select(0, drawn), labels.index_select(0, drawn))] if averaged else memories
        for (images, answers), row in zip(batches, rows, strict=True):
            found = torch.autograd.grad(cross_entropy(model(images), answers), parameters)
            torch.cat([each.reshape(-1) for each in found], out=row)
        vector = torch.cat([each.grad.reshape(-1) for each in parameters if each.grad is not None])
        if averaged:
            vector -= torch.dot(vector, rows[0]).clamp_max(0) / torch.dot(rows[0], rows[0]) * rows[0]
        else:
            vector = project(vector, rows, margin=0.5)
        for parameter, part in zip(parameters, torch.split(vector, [each.numel() for each in parameters]), strict=True):
            parameter.grad = part.view_as(parameter)

    return loop_of(model, size, lambda images, labels: cross_entropy(model(images), labels), between=between)


def by_hand(name: str, case: Case, size: Size) -> Loop | None:
    """All of a method's step by hand, for those in which much happens between the passes."""
    makers = {"der": der_by_hand, "agem": gem_by_hand, "gem": gem_by_hand}
    maker = makers.get(name.partition(",")[0])
    return None if maker is None or "only" in name else maker(case, size)


def learner_loop(case: Case, size: Size, optimizer: Optimizer = SGD) -> Loop:
    """A learner that has learned tasks before: the digits in other orders of their pixels, or for icarl the digits 0 to 4."""
    classes = case.against == "sigmoid"
    model = ll.models.MLP(784, size.hidden) if size.hidden else ConvNet(1, [16, 32])
    learner = ll.Learner(model, case.make(), "class" if classes else "domain", optimizer=optimizer, batch_size=size.batch)
    for position in range(max(case.memories, 1)):
        images, labels = memory(position)
        part = labels < 5 if classes else labels >= 0
        learner.learn(ll.Task(f"{position}", train=(images[part], labels[part]), classes=range(5 if classes else 10)))
    x, y = digits(size.steps * size.batch)
    last = ll.Task("last", train=(x, y % 5 + 5 if classes else y), classes=range(5, 10) if classes else range(10))
    learning.begin(learner, last, learner.training, evaluate=False)
    examples = learner.examples_of(last)

    def epoch() -> None:
        learner._run = run = learning.make_run(learner, last, learner.training)
        run.examples = examples  # icarl trains on its exemplars, too: as many steps as the bare loop's are timed here
        run.epoch_steps = run.total = size.steps
        fit(learner, run, "benchmark", pause=lambda look: None, show=lambda step, loss: None)

    return epoch


def medians(loops: dict[str, Loop], steps: int, repeats: int) -> dict[str, float]:
    """Median seconds a step of each loop, by the process's own CPU time."""
    times: dict[str, list[float]] = {name: [] for name in loops}
    for _ in range(repeats + 1):
        for name, loop in loops.items():
            started = time.process_time()
            loop()
            times[name].append((time.process_time() - started) / steps)
    return {name: statistics.median(each[1:]) for name, each in times.items()}  # the first round warms up
