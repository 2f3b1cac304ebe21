"""What a step of each method costs, as a ratio to the bare passes that its algorithm needs, written by hand, in the same process.

    python benchmarks/passes.py [--repeats 20] [--methods si,gem] [--out results.json]

The bare loop makes exactly these passes on tensors that lie ready, and takes the optimizer's step: for replay and der one on the batch
joined with as many examples again; for lwf and icarl one on the batch and a teacher's forward pass with the loss between the two; for agem
one on the batch and one on the reference batch; for gem one on the batch and one on every earlier task's memory; for the others one on
the batch. What a method does between the passes is what the ratio shows; for si and der another row says what of it remains when that,
too, is written by hand, as far as it says there. One thread, interleaved, medians of the process's own CPU time,
which other processes disturb less than the clock.
"""

import argparse
import functools
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import torch
from common import Row, digits, main
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy, mse_loss, one_hot

import lifelong as ll
from lifelong import learning
from lifelong.models import ConvNet
from lifelong.theta import Theta
from lifelong.training import fit

Loss = Callable[[Tensor, Tensor], Tensor]  # of images and labels

MEMORY = 256
SGD = functools.partial(torch.optim.SGD, lr=0.01)
# For each size: hidden layers (none: the convolutional network), batch, steps between two looks at the clock.
SIZES: dict[str, tuple[list[int], int, int]] = {
    "784-100-100-10, batch 10": ([100, 100], 10, 100),
    "784-256-256-10, batch 128": ([256, 256], 128, 20),
    "convnet with batch norm, batch 10": ([], 10, 10),
}


@dataclass(frozen=True)
class Case:
    """A method and the passes that it can't do without.

    Attributes:
        joined: the batch's pass is on so many times its examples.
        teacher: the loss between a teacher's outputs and the network's, on the batch.
        memories: passes over so many memories of 256 examples; also how many tasks were learned before, at least one.
    """

    make: Callable[[], ll.Method]
    joined: int = 1
    teacher: Literal["softmax", "sigmoid"] | None = None
    memories: int = 0


CASES = {
    "l2": Case(ll.methods.L2),
    "ewc": Case(functools.partial(ll.methods.EWC, examples=100)),
    "si": Case(ll.methods.SI),
    "mas": Case(functools.partial(ll.methods.MAS, examples=100)),
    "lwf": Case(ll.methods.LwF, teacher="softmax"),
    "icarl": Case(functools.partial(ll.methods.ICaRL, capacity=200), teacher="sigmoid"),
    "replay": Case(functools.partial(ll.methods.Replay, capacity=200), joined=2),
    "der": Case(functools.partial(ll.methods.DER, capacity=200, from_current=True), joined=2),
    "der, earlier tasks only": Case(functools.partial(ll.methods.DER, capacity=200), joined=2),
    "der++": Case(functools.partial(ll.methods.DER, capacity=200, beta=0.5, from_current=True), joined=3),
    "agem": Case(functools.partial(ll.methods.AGEM, replayed=MEMORY), memories=1),
    **{f"gem, {k} earlier tasks": Case(ll.methods.GEM, memories=k) for k in (1, 4, 19)},
}


def network(hidden: list[int]) -> nn.Module:
    if not hidden:
        return nn.Sequential(ConvNet(1, [16, 32]), nn.Linear(32, 10))
    layers: list[nn.Module] = [nn.Flatten()]
    for a, b in pairwise([784, *hidden, 10]):
        layers += [nn.Linear(a, b), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def loop_of(model: nn.Module, size: int, steps: int, loss: Loss, after: Callable[[], None] = lambda: None) -> Callable[[], None]:
    """The loop that everybody writes: data in memory, shuffled once an epoch, sliced into batches of `size`."""
    x, y = digits(steps * size)
    optimizer = SGD(model.parameters())

    def epoch() -> None:
        order = torch.randperm(len(x))
        xs, ys = x[order], y[order]
        for start in range(0, len(xs), size):
            optimizer.zero_grad()
            torch.autograd.backward(loss(xs[start : start + size], ys[start : start + size]))
            optimizer.step()
            after()

    return epoch


def bare_loop(case: Case, hidden: list[int], batch: int, steps: int) -> Callable[[], None]:
    """The passes by hand: the batch's gradient steps, those of the memories are computed and thrown away."""
    bare, teacher = network(hidden), network(hidden).eval().requires_grad_(False)
    parameters, kept = list(bare.parameters()), [digits(MEMORY) for _ in range(case.memories)]

    def loss(images: Tensor, labels: Tensor) -> Tensor:
        output = bare(images)
        if case.teacher is None:
            return cross_entropy(output, labels)
        answer = teacher(images)
        if case.teacher == "softmax":
            return cross_entropy(output, labels) + cross_entropy(output / 2, (answer / 2).softmax(1))
        target = torch.cat([answer[:, :5].sigmoid(), one_hot(labels, 10)[:, 5:].float()], dim=1)
        return binary_cross_entropy_with_logits(output, target)

    def after() -> None:
        for images, labels in kept:
            torch.autograd.grad(cross_entropy(bare(images), labels), parameters)

    return loop_of(bare, batch * case.joined, steps, loss, after)


def si_by_hand(hidden: list[int], batch: int, steps: int) -> Callable[[], None]:
    """The pull to the center and the path integral, in as few calls as there are on vectors that the parameters are slices of."""
    model, theta = network(hidden), Theta()
    theta.bind(dict(model.named_parameters()))
    value, center, before, path = theta.value, theta.value.clone(), theta.value.clone(), torch.zeros_like(theta.value)
    pull = torch.rand_like(value) / 1000
    parts = list(zip(theta.parameters, *(theta.layout.split(vector).values() for vector in (path, before)), strict=True))

    @torch.no_grad()
    def after() -> None:
        value.lerp_(center, pull)
        before.sub_(value)
        for parameter, integral, step in parts:
            integral.addcmul_(parameter.grad, step)
        before.copy_(value)

    return loop_of(model, batch, steps, lambda images, labels: cross_entropy(model(images), labels), after)


def der_by_hand(hidden: list[int], batch: int, steps: int) -> Callable[[], None]:
    """A draw from a memory that never changes, and the two losses."""
    model, (kept, _), logits = network(hidden), digits(200), torch.randn(200, 10)

    def loss(images: Tensor, labels: Tensor) -> Tensor:
        drawn = torch.randint(len(kept), (batch,))
        output = model(torch.cat([images, kept.index_select(0, drawn)]))
        return cross_entropy(output[:batch], labels) + 0.5 * mse_loss(output[batch:], logits.index_select(0, drawn))

    return loop_of(model, batch, steps, loss)


BY_HAND = {"si": si_by_hand, "der": der_by_hand}


def learner_loop(case: Case, hidden: list[int], batch: int, steps: int) -> Callable[[], None]:
    """A learner that has learned tasks before: the digits in other orders of their pixels, or for icarl the digits 0 to 4."""
    classes = case.teacher == "sigmoid"
    model = ll.models.MLP(784, hidden) if hidden else ConvNet(1, [16, 32])
    learner = ll.Learner(model, [case.make()], "class" if classes else "domain", optimizer=SGD, batch_size=batch)
    x, y = digits(steps * batch)
    for position in range(max(case.memories, 1)):
        order = torch.randperm(784, generator=torch.Generator().manual_seed(position))
        images, labels = digits(MEMORY)
        images = images.flatten(1)[:, order].view(-1, 1, 28, 28)
        part = labels < 5 if classes else labels >= 0
        learner.learn(ll.Task(f"{position}", train=(images[part], labels[part]), classes=range(5 if classes else 10)))
    last = ll.Task("last", train=(x, y % 5 + 5 if classes else y), classes=range(5, 10) if classes else range(10))
    learning.begin(learner, last, learner.training, evaluate=False)
    examples = learner.examples_of(last)

    def epoch() -> None:
        learner._run = run = learning.make_run(learner, last, learner.training)
        run.examples = examples  # icarl trains on its exemplars, too: as many steps as the bare loop's are timed here
        run.epoch_steps = run.total = steps
        fit(learner, run, "benchmark", pause=lambda look: None, show=lambda step, loss: None)

    return epoch


def ratio(loops: tuple[Callable[[], None], Callable[[], None]], steps: int, repeats: int) -> tuple[float, float]:
    """Median seconds of a step of the first loop, and the second's as a ratio to it."""
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(repeats + 1):
        for loop, taken in zip(loops, times, strict=True):
            started = time.process_time()
            loop()
            taken.append((time.process_time() - started) / steps)
    bare, own = (statistics.median(taken[1:]) for taken in times)  # the first round warms up
    return bare, own / bare


def measure(arguments: argparse.Namespace) -> Iterator[Row]:
    wanted = tuple(arguments.methods.split(",")) if arguments.methods else ("",)
    for size, (hidden, batch, most) in SIZES.items():
        for name, case in CASES.items():
            steps = max(most // max(case.memories, 1), 2)
            makers = {name: functools.partial(learner_loop, case), f"{name}, by hand": BY_HAND.get(name)}
            for title, make in makers.items():
                if make is not None and name.startswith(wanted):
                    loops = (bare_loop(case, hidden, batch, steps), make(hidden, batch, steps))
                    bare, share = ratio(loops, steps, arguments.repeats)
                    yield f"{size}, {title}", {"bare_seconds": bare, "ratio": share}, f"bare {1e6 * bare:.0f} µs, ratio {share:.2f}"


if __name__ == "__main__":
    main(__doc__, 20, measure, methods="only those whose names begin with one of these, as in si,gem")
