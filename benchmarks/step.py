"""What a training step costs, as a ratio to a hand-written eager loop in the same process.

    python benchmarks/step.py [--repeats 60] [--out results.json]

One thread; the loops are interleaved and their median times per step compared, so that a machine that drifts does so for all of them.
The learner's loops are the real ones (`training.fit`) on a second task, so that penalties and memories are in use.
"""

import argparse
import functools
import statistics
import time
from collections.abc import Callable, Iterator
from itertools import pairwise

import torch
from common import Row, digits, main
from torch import nn

import lifelong as ll
from lifelong import learning
from lifelong.training import fit

SIZES = {"784-100-100-10, batch 10": ([100, 100], 10, 200), "784-256-256-10, batch 128": ([256, 256], 128, 25)}
OPTIMIZERS = {
    "sgd": functools.partial(torch.optim.SGD, lr=0.01),
    "momentum": functools.partial(torch.optim.SGD, lr=0.001, momentum=0.9),
    "adam": functools.partial(torch.optim.Adam, lr=1e-4),
}
METHODS: dict[str, list[ll.Method]] = {
    "finetune": [],
    "l2": [ll.methods.L2()],
    "ewc": [ll.methods.EWC(examples=200)],
    "ewc additive": [ll.methods.EWC(examples=200, strength=1.0, step="additive")],
    "online-ewc": [ll.methods.OnlineEWC(examples=200)],
}


def bare_loop(hidden: list[int], optimizer: Callable[..., torch.optim.Optimizer], batch: int, steps: int) -> Callable[[], None]:
    """The loop that everybody writes: data in memory, shuffled once an epoch, sliced."""
    sizes = [784, *hidden, 10]
    layers: list[nn.Module] = []
    for a, b in pairwise(sizes):
        layers += [nn.Linear(a, b), nn.ReLU()]
    network = nn.Sequential(*layers[:-1])
    optimizing = optimizer(network.parameters())
    x, y = digits(steps * batch)
    x = x.flatten(1)

    def epoch() -> None:
        order = torch.randperm(len(x))
        xs, ys = x[order], y[order]
        for start in range(0, len(xs), batch):
            optimizing.zero_grad()
            loss = nn.functional.cross_entropy(network(xs[start : start + batch]), ys[start : start + batch])
            loss.backward()
            optimizing.step()

    return epoch


def learner_loop(
    methods: list[ll.Method], hidden: list[int], optimizer: Callable[..., torch.optim.Optimizer], batch: int, steps: int
) -> Callable[[], None]:
    """The same work by a learner that has learned a task already."""
    x, y = digits(steps * batch)
    x = x.flatten(1)
    learner = ll.Learner(ll.models.MLP(784, hidden), methods, "domain", optimizer=optimizer, batch_size=batch)
    learner.learn(ll.Task("first", train=(x, y)))
    second = ll.Task("second", train=(x, y))
    learning.begin(learner, second, learner.training, evaluate=False)

    def epoch() -> None:
        learner._run = run = learning.make_run(learner, second, learner.training)
        fit(learner, run, "benchmark", pause=lambda look: None, show=lambda step, loss: None)

    return epoch


def medians_of(loops: dict[str, Callable[[], None]], steps: int, repeats: int) -> dict[str, float]:
    """Median seconds a step of each loop."""
    times: dict[str, list[float]] = {name: [] for name in loops}
    for _ in range(repeats + 1):
        for name, loop in loops.items():
            started = time.perf_counter()
            loop()
            times[name].append((time.perf_counter() - started) / steps)
    return {name: statistics.median(each[1:]) for name, each in times.items()}  # the first round warms up


def measure(arguments: argparse.Namespace) -> Iterator[Row]:
    for size, (hidden, batch, steps) in SIZES.items():
        for name, optimizer in OPTIMIZERS.items():
            loops = {"bare": bare_loop(hidden, optimizer, batch, steps)}
            loops |= {method: learner_loop(list(methods), hidden, optimizer, batch, steps) for method, methods in METHODS.items()}
            medians = medians_of(loops, steps, arguments.repeats)
            bare = medians["bare"]
            ratios = "  ".join(f"{method} {medians[method] / bare:.2f}" for method in METHODS)
            numbers = {"bare_seconds": bare, **{method: medians[method] / bare for method in METHODS}}
            yield f"{size}, {name}", numbers, f"bare {1e6 * bare:.0f} µs; {ratios}"


if __name__ == "__main__":
    main(__doc__, 60, measure)
