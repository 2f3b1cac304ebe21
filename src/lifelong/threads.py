"""How many threads a recipe's runs get where it says "auto": measured once, before the experiment's first run."""

import os
import statistics
import time
from collections.abc import Sequence
from dataclasses import replace

import torch

from lifelong import learning, parts
from lifelong.errors import RecipeError
from lifelong.recipe import Recipe
from lifelong.results import Json
from lifelong.tasks import Stream
from lifelong.training import assemble

SECONDS = 2.0  # of measuring, at least
STEPS = 5  # between two looks at the clock
WORTH = 0.9  # of the time of fewer threads, at most, is what more are to take
MANY = 10**9


def fixed(recipe: Recipe, stream: Stream, runs: Sequence[Json]) -> Recipe:
    """The recipe with a number in place of "auto": that of the runs there are, or else the one with the fastest steps.

    Where there are as many runs as cores it is 1, because threads of runs side by side would take the cores from each other.

    Args:
        runs: recorded in the experiment's folder.

    Raises:
        RecipeError: several processes that torchrun started, which would each measure another number.
    """
    asking = [label for label in recipe.methods if recipe.training_of(label).threads == "auto"]
    if not asking:
        return recipe
    if os.environ.get("WORLD_SIZE", "1") != "1":
        raise RecipeError("training.threads: 'auto' is not for runs with torchrun; give a number, as in --set training.threads=2")
    known = next((run["config"]["training"]["threads"] for run in runs if run["method"] in asking), None)
    most = cores() // (len(recipe.methods) * len(recipe.seed_list()))
    return recipe.with_threads(known or (fastest(recipe, asking[0], stream, most) if most > 1 else 1))


def cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def fastest(recipe: Recipe, label: str, stream: Stream, most: int) -> int:
    """Of 1, 2, 4, ... up to `most` threads, the number that a method's steps in the stream's first task are fastest with, by the clock."""
    learner, task, before = parts.learner_of(recipe, label, recipe.seed_list()[0], stream), next(iter(stream)), torch.get_num_threads()
    counts = [2**i for i in range(most.bit_length())]
    times: dict[int, list[float]] = {count: [] for count in counts}
    with learner._random:
        training = replace(learner.training, steps=MANY, scheduler=None)
        run = learner._run = learning.begin(learner, task, training, evaluate=False)
        learner.network.train()
        for method in learner.methods:
            method.begin_round(learner)
        step, batches, end = assemble(learner, run), run.batches(learner.order, learner.device), time.monotonic() + SECONDS
        while time.monotonic() < end or len(times[1]) < 3:
            for count in counts:
                torch.set_num_threads(count)
                started = time.perf_counter()
                for _ in range(STEPS):
                    step(next(batches))
                    run.advance()
                times[count].append(time.perf_counter() - started)
    torch.set_num_threads(before)
    return best({count: statistics.median(taken[1:]) for count, taken in times.items()})


def best(seconds: dict[int, float]) -> int:
    """The fewest threads that no larger number is clearly faster than.

    >>> best({1: 1.0, 2: 0.95, 4: 0.94}), best({1: 1.0, 2: 0.6, 4: 0.58})
    (1, 2)
    """
    chosen = 1
    for count in sorted(seconds):
        if seconds[count] < WORTH * seconds[chosen]:
            chosen = count
    return chosen
