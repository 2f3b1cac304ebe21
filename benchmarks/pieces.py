"""Parts of a step and of a task's end, in two ways each: the one that is taken, and another one.

    python benchmarks/pieces.py [--fresh]

step        the optimizer's step as torch wraps it, and without; 784-100-100-10, each parameter by itself, and as one vector.
finite      whether a network's weights are finite: asked of each, and of their sum.
importance  sum_n sum_k (d scores[n, k] / d theta)^2, ten scores an example: a loop over examples and scores, layer by layer, and the bare
            passes, one forward and ten backward over all examples together.

CPU time on one thread, medians. What was measured is not measured again.
"""

import argparse
import functools
import statistics
import time
from collections.abc import Callable

import torch
from common import digits
from passes import network
from stored import Stored
from torch import Tensor, nn

import lifelong as ll
from lifelong.models import MLP, ConvNet, ReducedResNet18
from lifelong.optimizers import OptimizerFactory, make_optimizer, step_of
from lifelong.per_example import _one_by_one, sum_of_gradients
from lifelong.theta import Theta

OPTIMIZERS: dict[str, OptimizerFactory] = {
    "plain SGD": functools.partial(torch.optim.SGD, lr=1e-6),
    "momentum": functools.partial(torch.optim.SGD, lr=1e-6, momentum=0.9),
    "Adam": functools.partial(torch.optim.Adam, lr=1e-6),
}
# The features, the size of the examples, and how many there are.
NETWORKS: dict[str, tuple[Callable[[], nn.Module], bool, int]] = {
    "784-100-100-10": (lambda: MLP(784, [100, 100]), False, 250),
    "convnet": (lambda: ConvNet(1, [16, 32]), False, 250),
    "resnet": (ReducedResNet18, True, 50),
}


def seconds_of(action: Callable[[], object], times: int, repeats: int) -> float:
    """Of one call: the median of rounds of so many, after one that warms up."""
    taken = []
    for _ in range(repeats + 1):
        started = time.process_time()
        for _ in range(times):
            action()
        taken.append((time.process_time() - started) / times)
    return statistics.median(taken[1:])


def bound() -> Theta:
    theta = Theta()
    theta.bind(dict(network((100, 100)).named_parameters()))
    for parameter in theta.parameters:
        parameter.grad = torch.rand_like(parameter)
    return theta


def step(name: str) -> dict[str, float]:
    theta = bound()
    theta.gather()
    optimizer, _ = make_optimizer(OPTIMIZERS[name], theta)
    with torch.no_grad():
        return {"other_seconds": seconds_of(optimizer.step, 300, 15), "seconds": seconds_of(step_of(optimizer), 300, 15)}


def finite(name: str) -> dict[str, float]:
    value = bound().value
    ways = {"other_seconds": lambda: bool(value.isfinite().all()), "seconds": lambda: float(value.sum())}
    return {way: seconds_of(look, 100, 15) for way, look in ways.items()}


def importance(name: str) -> dict[str, float]:
    make, coloured, count = NETWORKS[name]
    x, y = (torch.rand(count, 3, 32, 32), torch.arange(count) % 10) if coloured else digits(count)
    learner = ll.Learner(make(), [], "domain", batch_size=count)
    learner.learn(ll.Task("digits", train=(x, y), classes=range(10)), evaluate=False)
    whole, theta = learner.network.eval(), learner.theta

    def scores(x: Tensor, _: Tensor) -> Tensor:
        log_p: Tensor = whole(x, 0).log_softmax(1)
        return log_p

    def bare() -> None:
        values = scores(x, y)
        for k in range(10):
            torch.autograd.grad(values[:, k].sum(), theta.parameters, retain_graph=k < 9)

    repeats = 1 if coloured else 3
    return {
        "other_seconds": seconds_of(lambda: _one_by_one(theta, scores, (x, y), "squared"), 1, repeats),
        "seconds": seconds_of(lambda: sum_of_gradients(whole, theta, scores, (x, y)), 1, repeats),
        "bare_seconds": seconds_of(bare, 1, repeats),
    }


MEASURES: dict[str, tuple[Callable[[str], dict[str, float]], list[str]]] = {
    "step": (step, list(OPTIMIZERS)),
    "finite": (finite, ["89,610 weights"]),
    "importance": (importance, list(NETWORKS)),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fresh", action="store_true")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    stored = Stored("pieces", {"examples": {name: count for name, (_, _, count) in NETWORKS.items()}}, fresh=arguments.fresh)
    for kind, (measure, names) in MEASURES.items():
        for name in names:
            key = f"{kind}, {name}"
            entry = stored.entry(key, functools.partial(measure, name))
            print(f"{key}: {', '.join(f'{field} {1e6 * value:.1f} µs' for field, value in entry.items())}", flush=True)


if __name__ == "__main__":
    main()
