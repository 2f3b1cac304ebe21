"""One run in a process of its own: `python -m lifelong.worker`, started by `lifelong.workers`.

It reads a request (one line of JSON) from its standard input, writes progress as lines of JSON to its standard output, and leaves
the result in the request's file. Started again with the same request, it goes on from the last checkpoint.
"""

import base64
import json
import os
import resource
import shutil
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

import torch

from lifelong import parts
from lifelong.learner import Learner
from lifelong.matrix import Matrix, numbers_to_json, to_json
from lifelong.recipe import Recipe
from lifelong.report.png import grid, png
from lifelong.results import write_json
from lifelong.tasks import Stream

KEPT_BYTES = 32_000_000  # a learner that keeps more is removed when its run is finished: joint training keeps all data, once a seed
SHOW_SECONDS = 0.5  # between reports inside a task


@dataclass(frozen=True)
class Request:
    """What a worker is asked for.

    Attributes:
        recipe: as `Recipe.model_dump` gives it.
        method: its label in the recipe.
        tasks: only the first ones. None: all.
        result: the file for the result; the learner is kept in the folder of the same name without .json.
        config: every setting, for the result.
    """

    recipe: dict[str, Any]
    method: str
    seed: int
    tasks: int | None
    result: str
    config: dict[str, Any]


def main() -> None:
    """Does one run."""
    reports = os.fdopen(os.dup(1), "w", buffering=1, encoding="utf-8")
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job would inherit "ignored"
    os.dup2(2, 1)  # what a library prints goes to the log, and can't be taken for a report
    request = Request(**json.loads(sys.stdin.readline()))
    threading.Thread(target=_stop_with_parent, daemon=True).start()
    try:
        work(request, reports)
    except (ValueError, RuntimeError) as error:
        if not type(error).__module__.startswith("lifelong."):
            raise
        print(str(error).replace("\n", " "), file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt as error:
        print(error or "interrupted", file=sys.stderr)
        sys.exit(130)


def work(request: Request, reports: TextIO) -> None:
    """Learns and evaluates every task that is not learned yet, and writes the result."""
    recipe = Recipe.model_validate(request.recipe)
    training = recipe.training_of(request.method)
    torch.set_num_threads(training.threads)
    folder = Path(request.result).with_suffix("")
    stream = parts.stream_of(recipe, request.seed, request.tasks)
    tasks = list(stream)
    learner = _learner(recipe, request, folder, stream)
    if len(learner.matrix.tasks) < len(tasks) or learner.matrix.learned < len(learner.tasks):
        learner.evaluate(tasks)  # row 0, or the row that a killed run had not come to
    for position in range(len(learner.tasks), len(tasks)):
        with _reporting(learner, reports, position, len(tasks)):
            learner.learn(tasks[position], checkpoint=folder, evaluate=False)
        learner.evaluate(tasks)
    learner.save(folder)
    write_json(Path(request.result), result_of(learner, request))
    if learner.kept_bytes() > KEPT_BYTES:
        shutil.rmtree(folder)


def result_of(learner: Learner, request: Request) -> dict[str, Any]:
    """The run's entry in results.json."""
    matrix = to_json(learner.matrix)
    told = {**to_json(learner.told), "summary": _summary(learner.told)}
    del told["tasks"]
    return {
        "method": request.method,
        "seed": request.seed,
        "status": "finished",
        "config": request.config,
        "keeps": ", ".join(dict.fromkeys(method.keeps for method in learner.methods)) or "nothing",
        "matrix": matrix["matrix"],
        "initial": matrix["initial"],
        "summary": _summary(learner.matrix),
        **({"told": told} if learner.scenario == "class" else {}),
        "cost": {
            "train_seconds": learner.cost.train_seconds,
            "evaluate_seconds": learner.cost.evaluate_seconds,
            "steps": learner.cost.steps,
            "peak_memory_bytes": _peak_memory(),
            "kept_bytes": learner.kept_bytes(),
            "parameters": learner.parameters_count(),
        },
        "pictures": _pictures(learner) if request.seed == Recipe.model_validate(request.recipe).seed_list()[0] else [],
    }


def _pictures(learner: Learner) -> list[dict[str, str]]:
    """What the methods have to show, as the report takes it; of a recipe's first seed only, because a picture is long."""
    drawn = {title: images for method in learner.methods for title, images in method.pictures(learner).items()}
    pixels = {title: (images * 255).round().clamp(0, 255).to(torch.uint8) for title, images in drawn.items()}
    plain = {title: images.squeeze(1) if images.shape[1] == 1 else images.permute(0, 2, 3, 1) for title, images in pixels.items()}
    return [{"title": title, "png": base64.b64encode(png(grid(images.numpy()))).decode()} for title, images in plain.items()]


def _summary(matrix: Matrix) -> dict[str, Any]:
    return {name: numbers_to_json(value) for name, value in matrix.summary().items()}


def _learner(recipe: Recipe, request: Request, folder: Path, stream: Stream) -> Learner:
    if folder.exists():
        return Learner.open(folder)
    training = recipe.training_of(request.method)
    methods = list(parts.methods_of(recipe, request.method).values())
    optimizer, scheduler = parts.optimizer_of(training), parts.scheduler_of(training)
    return Learner(
        parts.network_of(recipe, request.seed, request.method),
        methods,
        stream.scenario,
        classes=list(dict.fromkeys(name for task in stream for name in task.classes)) if recipe.outputs == "all" else [],
        optimizer=optimizer,
        epochs=training.epochs,
        steps=training.steps,
        batch_size=training.batch_size,
        seed=request.seed,
        scheduler=scheduler,
        clip_norm=training.clip_norm,
        precision=training.precision,
        reset_optimizer=training.reset_optimizer,
    )


@contextmanager
def _reporting(learner: Learner, reports: TextIO, position: int, tasks: int) -> Iterator[None]:
    """While a task is learned, tells now and then how much of it is done."""
    over = threading.Event()

    def report() -> None:
        while True:
            try:
                print(json.dumps({"task": position, "tasks": tasks, "share": learner.task_share}), file=reports)
            except BrokenPipeError:
                return  # nobody listens any more; the end of standard input, seen elsewhere, stops the run
            if over.wait(SHOW_SECONDS):
                return

    thread = threading.Thread(target=report, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _peak_memory() -> int:
    # The largest resident set of this process: Python, torch, the data and the run. A run has a process of its own whatever --workers is,
    # so runs can be compared; one that was interrupted counts from where it went on. Linux counts in kilobytes, macOS in bytes.
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _stop_with_parent() -> None:
    """Interrupts this process, which then saves, when its standard input ends: nobody waits for the result any more."""
    sys.stdin.read()
    os.kill(os.getpid(), signal.SIGINT)


if __name__ == "__main__":
    main()
