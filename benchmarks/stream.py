"""Whole recipes: seconds and peak memory of each run, GEM's against its bare gradient passes, and two runs at once.

    python benchmarks/stream.py [--fresh]

The recipes' runs are those of `lifelong run`, each in a process of its own on one thread. What was measured is not measured again.
The data are MNIST's, which `lifelong data get mnist` brings.
"""

import argparse
import functools
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from stored import Stored
from torch.nn.functional import cross_entropy

import lifelong as ll
from lifelong import parts, recipe
from lifelong.schedule import scheduled

RECIPES = {"demo": "", "gem-rotations": "ewc,gem"}  # of each, which methods; "": all of them
PAIR = ["gem-rotations", "--methods", "gem", "--tasks", "10", "--seeds", "2"]


def run(arguments: list[str], workers: int) -> tuple[float, dict[str, Any]]:
    """Seconds of a command `lifelong run`, start included, and its results."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "lifelong", "run", *arguments, "--workers", str(workers), "--out", folder]
        started = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        seconds = time.perf_counter() - started
        return seconds, json.loads((Path(folder) / "results.json").read_text(encoding="utf-8"))


def whole(name: str) -> dict[str, Any]:
    """Every method of a recipe with one seed, one after another."""
    methods = ["--methods", RECIPES[name]] if RECIPES[name] else []
    seconds, results = run([name, "--seeds", "1", *methods], workers=1)
    wanted = ("train_seconds", "evaluate_seconds", "steps", "peak_memory_bytes", "kept_bytes")
    return {"seconds": seconds, "runs": {each["method"]: {key: each["cost"][key] for key in wanted} for each in results["runs"]}}


def gem_and_its_passes() -> dict[str, float]:
    """GEM on all of gem-rotations, and after each task the passes that it made in it, by hand: the batch's, with plain SGD's step, and
    one on every earlier task's memory, on tensors that lie ready."""
    chosen = recipe.load("gem-rotations")
    stream = parts.stream_of(chosen, 0)
    learner = parts.learner_of(chosen, "gem", 0, stream)
    tasks = list(stream)
    model = torch.nn.Sequential(
        torch.nn.Linear(784, 100), torch.nn.ReLU(), torch.nn.Linear(100, 100), torch.nn.ReLU(), torch.nn.Linear(100, 10)
    )
    parameters = list(model.parameters())
    optimizer = learner.training.optimizer(parameters)
    memories: list[tuple[torch.Tensor, torch.Tensor]] = []
    training = evaluating = passes = 0.0
    for number, task in enumerate(tasks, start=1):
        started = time.perf_counter()
        learner.learn(task, evaluate=False)
        training += time.perf_counter() - started
        started = time.perf_counter()
        learner.evaluate(tasks[i] for i in scheduled(chosen.evaluate, chosen.evaluate_most, number, len(tasks)))
        evaluating += time.perf_counter() - started
        x, y = task.train.take(torch.arange(len(task.train))).flatten(1), task.train.y
        started = time.perf_counter()
        for start in range(0, len(x), learner.training.batch_size):
            for images, labels in memories:
                torch.autograd.grad(cross_entropy(model(images), labels), parameters)
            optimizer.zero_grad()
            torch.autograd.backward(cross_entropy(model(x[start : start + 10]), y[start : start + 10]))
            optimizer.step()
        passes += time.perf_counter() - started
        memories.append((x[:256], y[:256]))
    return {
        "training_seconds": training,
        "evaluating_seconds": evaluating,
        "passes_seconds": passes,
        "ratio": training / passes,
        "whole_ratio": (training + evaluating) / passes,
    }


def two_at_once() -> dict[str, float]:
    """The same two runs one after another and at once, the clock's seconds of the whole command."""
    after, at_once = (run(PAIR, workers)[0] for workers in (1, 2))
    return {"one_after_another_seconds": after, "at_once_seconds": at_once, "ratio": at_once / after}


MEASURES: dict[str, Callable[[], dict[str, Any]]] = {
    "gem-rotations, gem and its bare passes": gem_and_its_passes,
    "two runs at once": two_at_once,
    **{f"recipe {name}": functools.partial(whole, name) for name in RECIPES},
}


def said(entry: dict[str, Any]) -> str:
    """An entry in a line or several."""
    numbers = ", ".join(f"{key} {value:.2f}" for key, value in entry.items() if isinstance(value, float))
    runs = (
        f"\n  {name:<12} {cost['train_seconds']:6.1f} s training, {cost['evaluate_seconds']:5.1f} s evaluating, "
        f"peak {cost['peak_memory_bytes'] / 1e6:.0f} MB"
        for name, cost in entry.get("runs", {}).items()
    )
    return numbers + "".join(runs)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fresh", action="store_true")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    stored = Stored("stream", {"recipes": RECIPES, "pair": PAIR, "version": ll.__version__}, fresh=arguments.fresh)
    for name, measure in MEASURES.items():
        print(f"{name}: {said(stored.entry(name, measure))}", flush=True)


if __name__ == "__main__":
    main()
