"""What a step of each method costs, as a ratio to the bare passes that its algorithm needs, written by hand, in the same process.

    python benchmarks/passes.py [--repeats 20] [--methods si,gem] [--out results.json]

The bare loop makes exactly these passes on tensors that lie ready, and takes the optimizer's step: for replay and der one on the batch
joined with as many examples again; for lwf and icarl one on the batch and a teacher's forward pass with the loss between the two; for agem
one on the batch and one on the reference batch; for gem one on the batch and one on every earlier task's memory; for the others one on
the batch. What a method does between the passes is what the ratio shows. One thread, interleaved, medians of the process's own CPU time,
which other processes disturb less than the clock.
"""

import argparse
import functools
import json
import platform
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy, one_hot

import lifelong as ll
from lifelong import learning
from lifelong.data.mnist import load
from lifelong.models import ConvNet
from lifelong.training import fit

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


def digits(count: int) -> tuple[Tensor, Tensor]:
    """float32 images (N, 1, 28, 28) and labels."""
    mnist = load("embedded")
    chosen = torch.arange(count) % len(mnist.train_y)
    return mnist.train_x[chosen].float() / 255, mnist.train_y[chosen]


def network(hidden: list[int]) -> nn.Module:
    if not hidden:
        return nn.Sequential(ConvNet(1, [16, 32]), nn.Linear(32, 10))
    layers: list[nn.Module] = [nn.Flatten()]
    for a, b in pairwise([784, *hidden, 10]):
        layers += [nn.Linear(a, b), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def bare_loop(case: Case, hidden: list[int], batch: int, steps: int) -> Callable[[], None]:
    """The passes by hand: the batch's gradient steps, those of the memories are computed and thrown away."""
    bare, teacher, size = network(hidden), network(hidden).eval().requires_grad_(False), batch * case.joined
    x, y = digits(steps * size)
    parameters = list(bare.parameters())
    optimizer = SGD(parameters)
    kept = [digits(MEMORY) for _ in range(case.memories)]

    def loss(images: Tensor, labels: Tensor) -> Tensor:
        output = bare(images)
        if case.teacher is None:
            return cross_entropy(output, labels)
        answer = teacher(images)
        if case.teacher == "softmax":
            return cross_entropy(output, labels) + cross_entropy(output / 2, (answer / 2).softmax(1))
        target = torch.cat([answer[:, :5].sigmoid(), one_hot(labels, 10)[:, 5:].float()], dim=1)
        return binary_cross_entropy_with_logits(output, target)

    def epoch() -> None:
        order = torch.randperm(len(x))
        xs, ys = x[order], y[order]
        for start in range(0, len(xs), size):
            optimizer.zero_grad()
            torch.autograd.backward(loss(xs[start : start + size], ys[start : start + size]))
            for images, labels in kept:
                torch.autograd.grad(cross_entropy(bare(images), labels), parameters)
            optimizer.step()

    return epoch


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


def ratio(case: Case, hidden: list[int], batch: int, steps: int, repeats: int) -> tuple[float, float]:
    """Median seconds of a bare step, and the learner's as a ratio to it."""
    loops = (bare_loop(case, hidden, batch, steps), learner_loop(case, hidden, batch, steps))
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(repeats + 1):
        for loop, taken in zip(loops, times, strict=True):
            started = time.process_time()
            loop()
            taken.append((time.process_time() - started) / steps)
    bare, own = (statistics.median(taken[1:]) for taken in times)  # the first round warms up
    return bare, own / bare


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--methods", help="only those whose names begin with one of these, as in si,gem")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    wanted = tuple(arguments.methods.split(",")) if arguments.methods else ("",)
    results: dict[str, dict[str, float]] = {}
    for size, (hidden, batch, steps) in SIZES.items():
        for name, case in CASES.items():
            if name.startswith(wanted):
                bare, share = ratio(case, hidden, batch, max(steps // max(case.memories, 1), 2), arguments.repeats)
                results[f"{size}, {name}"] = {"bare_seconds": bare, "ratio": share}
                print(f"{size}, {name}: bare {1e6 * bare:.0f} µs, ratio {share:.2f}", flush=True)
    if arguments.out:
        about = {"torch": torch.__version__, "python": platform.python_version(), "machine": platform.processor() or platform.machine()}
        arguments.out.write_text(json.dumps({"about": about, "ratios": results}, indent=1) + "\n")


if __name__ == "__main__":
    main()
