"""Whether other ways to take the same step pay on this machine: torch.compile, a second thread, bfloat16, and the data from memory.

    python benchmarks/ways.py [--only threads,data] [--fresh] [--out FOLDER]

compile    forward pass, loss, backward pass and plain SGD's step by hand, with the learner's network: eager, with the forward pass and
           the loss compiled as one function, and with the features alone. CPU time on one thread. Seconds of compiling in a process that
           is the first and in one that finds torch's cache on the disk, and after how many steps the first are won back.
threads    a learner's step on two threads, as a ratio to one. Time by the clock.
precision  a learner's step in bfloat16, as a ratio to float32. CPU time on one thread.
data       an epoch of 10,000 digits without any training: from memory, and from a torch Dataset through the DataLoader. Time by the clock.

Medians of interleaved repeats. What was measured is not measured again; compiling is in processes of its own.
"""

import argparse
import functools
import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from common import digits
from stored import RESULTS, Stored
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.utils.data import TensorDataset

import lifelong as ll
from lifelong import learning
from lifelong.models import MLP, ConvNet, ReducedResNet18
from lifelong.tasks import Examples
from lifelong.training import Precision, fit

Loop = Callable[[], None]
Numbers = dict[str, float | None]  # None: never

EXAMPLES = 10_000
SGD = functools.partial(torch.optim.SGD, lr=0.001)


@dataclass(frozen=True)
class Setting:
    """A network and its batches.

    Attributes:
        steps: between two looks at the clock. repeats: how often.
    """

    make: Callable[[], nn.Module]
    batch: int
    steps: int
    repeats: int
    coloured: bool = False


SETTINGS = {
    "784-100-100-10, batch 10": Setting(lambda: MLP(784, [100, 100]), 10, 200, 25),
    "784-256-256-10, batch 128": Setting(lambda: MLP(784, [256, 256]), 128, 40, 25),
    "convnet, batch 10": Setting(lambda: ConvNet(1, [16, 32]), 10, 20, 25),
    "resnet, batch 32": Setting(ReducedResNet18, 32, 1, 9, coloured=True),
}
LOADED: dict[str, tuple[bool, int]] = {"memory": (False, 0), "dataset": (True, 0), "dataset, 2 workers": (True, 2)}


def learner_of(setting: Setting, precision: Precision = "float32") -> tuple[ll.Learner, ll.Task]:
    """A learner at the beginning of a task that it makes so many steps in."""
    size = setting.batch * setting.steps
    x, y = (torch.rand(size, 3, 32, 32), torch.arange(size) % 10) if setting.coloured else digits(size)
    learner = ll.Learner(setting.make(), [], "domain", optimizer=SGD, batch_size=setting.batch, precision=precision)
    task = ll.Task("digits", train=(x, y), classes=range(10))
    learning.begin(learner, task, learner.training, evaluate=False)
    return learner, task


def training_loop(setting: Setting, precision: Precision = "float32", threads: int = 1) -> Loop:
    """The learner's own steps."""
    learner, task = learner_of(setting, precision)

    def loop() -> None:
        torch.set_num_threads(threads)
        learner._run = run = learning.make_run(learner, task, learner.training)
        fit(learner, run, "benchmark", pause=lambda look: None, show=lambda step, loss: None)
        torch.set_num_threads(1)

    return loop


def loop_by_hand(setting: Setting, way: str) -> Loop:
    """Steps by hand with a learner's network, so that what is compiled can be chosen."""
    learner, task = learner_of(setting)
    network, parameters = learner.network.train(), learner.theta.parameters
    optimizer = SGD(parameters)
    x, y = next(task.train.batches(torch.arange(setting.batch), setting.batch))
    features: Callable[[Tensor], Tensor] = network.features

    def loss_of(x: Tensor, y: Tensor) -> Tensor:
        return cross_entropy(network.heads(features(x), 0), y)

    loss = loss_of
    if way == "features":
        features = torch.compile(network.features, dynamic=False, fullgraph=True)
    elif way == "whole":
        loss = torch.compile(loss_of, dynamic=False, fullgraph=True)

    def loop() -> None:
        for _ in range(setting.steps):
            torch.autograd.backward(loss(x, y))
            optimizer.step()
            for parameter in parameters:
                parameter.grad = None

    return loop


def medians_of(loops: Mapping[str, Loop], repeats: int, clock: Callable[[], float]) -> dict[str, float]:
    """Median seconds of each loop, after a round that warms up."""
    times: dict[str, list[float]] = {name: [] for name in loops}
    for _ in range(repeats + 1):
        for name, loop in loops.items():
            started = clock()
            loop()
            times[name].append(clock() - started)
    return {name: statistics.median(taken[1:]) for name, taken in times.items()}


def seconds_of_compiling(setting: Setting) -> Numbers:
    """By the clock, of the first step with compiled features: further processes compile, too."""
    loop = loop_by_hand(replace(setting, steps=1), "features")
    started = time.perf_counter()
    loop()
    return {"seconds": time.perf_counter() - started}


def ratios_of_compiling(setting: Setting) -> Numbers:
    loops = {way: loop_by_hand(setting, way) for way in ("eager", "whole", "features")}
    medians = medians_of(loops, setting.repeats, time.process_time)
    eager = medians["eager"]
    return {
        "eager_seconds": eager / setting.steps,
        "whole_ratio": medians["whole"] / eager,
        "features_ratio": medians["features"] / eager,
    }


def compiling(name: str) -> Numbers:
    """In processes of their own: the first one with an empty cache, the second with what the first left there."""
    with tempfile.TemporaryDirectory() as cache:

        def ask(what: str) -> Numbers:
            command = [sys.executable, __file__, "--one", what, name]
            environment = {**os.environ, "OMP_NUM_THREADS": "1", "TORCHINDUCTOR_CACHE_DIR": cache}
            done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=environment)
            numbers: Numbers = json.loads(done.stdout)
            return numbers

        first, again = ask("seconds")["seconds"], ask("seconds")["seconds"]
        numbers = ask("ratios")
    eager, ratio = numbers["eager_seconds"], numbers["features_ratio"]
    assert first is not None and eager is not None and ratio is not None
    saved = eager * (1 - ratio)
    return {
        **numbers,
        "compile_seconds": first,
        "compile_seconds_again": again,
        "steps_to_win_back": math.ceil(first / saved) if saved > 0 else None,
    }


def threads(name: str) -> Numbers:
    setting = SETTINGS[name]
    loops = {str(count): training_loop(setting, threads=count) for count in (1, 2)}
    medians = medians_of(loops, setting.repeats, time.perf_counter)
    return {"one_seconds": medians["1"] / setting.steps, "two_ratio": medians["2"] / medians["1"]}


def precision(name: str) -> Numbers:
    setting = SETTINGS[name]
    medians = medians_of({each: training_loop(setting, each) for each in ("float32", "bfloat16")}, setting.repeats, time.process_time)
    return {"float32_seconds": medians["float32"] / setting.steps, "bfloat16_ratio": medians["bfloat16"] / medians["float32"]}


class Digits(TensorDataset):
    """Digits as a torch Dataset that knows its labels."""

    def __init__(self, x: Tensor, y: Tensor) -> None:
        super().__init__(x, y)
        self.targets = y


def data(name: str) -> Numbers:
    x, y = digits(EXAMPLES)
    batch = int(name.removeprefix("batch "))
    order = torch.randperm(EXAMPLES, generator=torch.Generator().manual_seed(0))

    def epoch(examples: Examples, workers: int) -> None:
        for _ in examples.batches(order, batch, workers):
            pass

    loops = {
        way: functools.partial(epoch, ll.Task("digits", train=Digits(x, y) if dataset else (x, y)).train, workers)
        for way, (dataset, workers) in LOADED.items()
    }
    return {f"{way}, seconds": seconds for way, seconds in medians_of(loops, 5, time.perf_counter).items()}


ASKED = {"seconds": seconds_of_compiling, "ratios": ratios_of_compiling}
MEASURES: dict[str, tuple[Callable[[str], Numbers], list[str]]] = {
    "data": (data, ["batch 10", "batch 128"]),
    "threads": (threads, list(SETTINGS)),
    "precision": (precision, list(SETTINGS)),
    "compile": (compiling, list(SETTINGS)),
}


def said(numbers: dict[str, Any]) -> str:
    """In one line, with times in ms."""
    words = []
    for name, value in numbers.items():
        if name.endswith("seconds") and "compile" not in name:
            words.append(f"{name.removesuffix('seconds').strip('_, ')} {1000 * value:.4g} ms")
        else:
            words.append(f"{name.replace('_', ' ')} {'never' if value is None else round(value, 2)}")
    return ", ".join(words)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default=",".join(MEASURES), help="some of " + ", ".join(MEASURES))
    parser.add_argument("--out", type=Path, default=RESULTS, help="the folder for ways.json")
    parser.add_argument("--fresh", action="store_true")
    parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    if arguments.one:
        what, name = arguments.one
        print(json.dumps(ASKED[what](SETTINGS[name])))
        return
    settings = {name: [each.batch, each.steps, each.repeats] for name, each in SETTINGS.items()}
    stored = Stored("ways", {"networks": settings, "examples": EXAMPLES}, fresh=arguments.fresh, folder=arguments.out)
    for kind in arguments.only.split(","):
        measure, names = MEASURES[kind]
        for name in names:
            key = f"{kind}, {name}"
            print(f"{key:<40} {said(stored.entry(key, functools.partial(measure, name)))}", flush=True)


if __name__ == "__main__":
    main()
