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
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

import torch

from lifelong import parts
from lifelong.learner import Learner
from lifelong.matrix import Matrix, numbers_to_json, to_json, with_tasks
from lifelong.processes import Processes
from lifelong.recipe import Recipe
from lifelong.report.png import grid, png
from lifelong.results import write_json
from lifelong.schedule import sampled_summary, scheduled
from lifelong.tasks import Task

KEPT_BYTES = 32_000_000  # a learner that keeps more is removed when its run is finished: joint training keeps all data, once a seed
ALONE = Processes()
KEPT_TASKS = 100  # of a longer stream, a run does not hold all tasks
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


def perform(request: dict[str, Any], reports: TextIO) -> None:
    """Does one run."""
    work(Request(**request), reports)


def main(perform: Callable[[dict[str, Any], TextIO], None] = perform) -> None:
    """Reads a request and does it; an error of the library is one line and exit code 1.

    Args:
        perform: does what the request asks for, and may write lines of JSON to the stream that it is given.
    """
    reports = os.fdopen(os.dup(1), "w", buffering=1, encoding="utf-8")
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job would inherit "ignored"
    os.dup2(2, 1)  # what a library prints goes to the log, and can't be taken for a report
    request = json.loads(sys.stdin.readline())
    threading.Thread(target=_stop_with_parent, daemon=True).start()
    try:
        perform(request, reports)
    except (ValueError, RuntimeError) as error:
        if not type(error).__module__.startswith("lifelong."):
            raise
        print(str(error).replace("\n", " "), file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt as error:
        print(error or "interrupted", file=sys.stderr)
        sys.exit(130)


def work(request: Request, reports: TextIO, processes: Processes = ALONE) -> None:
    """Learns and evaluates every task that is not learned yet, and writes the result.

    Args:
        reports: gets progress as lines of JSON.
        processes: with which others this process trains; the first of them writes.
    """
    recipe = Recipe.model_validate(request.recipe)
    training = recipe.training_of(request.method)
    torch.set_num_threads(int(training.threads))  # the experiment has measured it where the recipe says "auto"
    folder = Path(request.result).with_suffix("")
    stream = parts.stream_of(recipe, request.seed, request.tasks)
    # A long stream's tasks are made when they are needed, and again the next time: all of them at once would not fit into memory.
    tasks: Sequence[Task] = list(stream) if len(stream) <= KEPT_TASKS else stream  # type: ignore[assignment]
    learner = Learner.open(folder) if folder.exists() else parts.learner_of(recipe, request.method, request.seed, stream)
    learner.processes = processes
    processes.wait()  # all have read what there is before the first one writes
    checkpoint = folder if processes.writes else None
    begun = bool(learner.tasks) or learner.in_progress is not None
    if not begun or learner.matrix.learned < len(learner.tasks):
        _evaluate(learner, recipe, tasks)  # row 0, or the row that a killed run had not come to
    for position in range(len(learner.tasks), len(tasks)):
        watching: dict[str, Any] = {} if recipe.watch_every is None else {"watch": [tasks[position]], "watch_every": recipe.watch_every}
        with _reporting(learner, reports, position, len(tasks)):
            learner.learn(tasks[position], checkpoint=checkpoint, evaluate=False, **watching)
        _evaluate(learner, recipe, tasks)
    if not processes.writes:
        return
    learner.save(folder)
    write_json(Path(request.result), result_of(learner, request, [task.name for task in tasks]))
    if learner.kept_bytes() > KEPT_BYTES:
        shutil.rmtree(folder)


def _evaluate(learner: Learner, recipe: Recipe, tasks: Sequence[Task]) -> None:
    """The matrix's row after the tasks learned so far, as far as the recipe wants it measured."""
    learner.evaluate(tasks[i] for i in scheduled(recipe.evaluate, recipe.evaluate_most, len(learner.tasks), len(tasks)))


def result_of(learner: Learner, request: Request, tasks: Sequence[str] = ()) -> dict[str, Any]:
    """The run's entry in results.json; undefined numbers are null, accuracies are fractions.

    method, seed, status, config, keeps: which run it is, its settings, and what its methods keep between tasks.
    matrix, initial, summary: R after each task, its row 0, and the measures computed from it.
    sampled: {measure: {value, measured, of}}, the measures from the entries that were measured; only where the recipe measures a part.
    told: the same where prediction is told the task; in the scenario "class" only.
    routed: the same where it is not told the task, which a method's gate chooses; in the scenario "task" only.
    cost: train_seconds, evaluate_seconds, steps, peak_memory_bytes, kept_bytes, parameters; of the whole run and at its end.
    sizes: after each task {parameters, kept_bytes}.
    curves: {task: [[step, accuracy], ...]}, each task's own accuracy while it was learned; only where the recipe has `watch_every`.
    pictures: [{title, png in base64}] and
    tables: [{title, rows, columns, values}], what the methods have to show; of the recipe's first seed only, because they are long.
    """
    measured = with_tasks(learner.matrix, tasks)
    matrix = to_json(measured)
    recipe = Recipe.model_validate(request.recipe)
    first = request.seed == recipe.seed_list()[0]
    return {
        "method": request.method,
        "seed": request.seed,
        "status": "finished",
        "config": request.config,
        "keeps": ", ".join(dict.fromkeys(method.keeps for method in learner.methods)) or "nothing",
        "matrix": matrix["matrix"],
        "initial": matrix["initial"],
        "summary": _summary(learner.matrix),
        **({} if recipe.evaluate == "all" and recipe.evaluate_most is None else {"sampled": _sampled(measured)}),
        **({"told": _measured(with_tasks(learner.told, tasks))} if learner.scenario == "class" else {}),
        **({"routed": _measured(with_tasks(learner.routed, tasks))} if learner.routed.learned else {}),
        "cost": {
            "train_seconds": learner.cost.train_seconds,
            "evaluate_seconds": learner.cost.evaluate_seconds,
            "steps": learner.cost.steps,
            "peak_memory_bytes": _peak_memory(),
            "kept_bytes": learner.kept_bytes(),
            "parameters": learner.parameters_count(),
        },
        "sizes": learner.sizes,
        **({} if recipe.watch_every is None else {"curves": _curves(learner)}),
        "pictures": _pictures(learner) if first else [],
        "tables": _tables(learner) if first else [],
    }


def _curves(learner: Learner) -> dict[str, list[list[float | None]]]:
    """Every task's own accuracy while it was learned. Where a method trains in several rounds, each counts on from the last evaluation."""
    curves: dict[str, list[list[float | None]]] = {}
    for position, name in enumerate(learner.tasks, start=1):
        points = [(each["step"], each["accuracy"][name]) for each in learner.watched if each["during"] == position]
        before, last, curve = 0, 0, []
        for step, accuracy in points:
            if step <= last:
                before += last
            last = step
            curve.append([before + step, numbers_to_json(accuracy)])
        curves[name] = curve
    return curves


def _pictures(learner: Learner) -> list[dict[str, str]]:
    """The images that the methods have to show, as the report takes them."""
    drawn = {title: images for method in learner.methods for title, images in method.pictures(learner).items()}
    pixels = {title: (images * 255).round().clamp(0, 255).to(torch.uint8) for title, images in drawn.items()}
    plain = {title: images.squeeze(1) if images.shape[1] == 1 else images.permute(0, 2, 3, 1) for title, images in pixels.items()}
    return [{"title": title, "png": base64.b64encode(png(grid(images.numpy()))).decode()} for title, images in plain.items()]


def _tables(learner: Learner) -> list[dict[str, Any]]:
    """The numbers that the methods have to show, as the report takes them."""
    shown = [(title, table) for method in learner.methods for title, table in method.tables(learner).items()]
    return [
        {"title": title, "rows": list(table.rows), "columns": list(table.columns), "values": numbers_to_json(table.values.tolist())}
        for title, table in shown
    ]


def _measured(matrix: Matrix) -> dict[str, Any]:
    """A matrix without its tasks' names, and the measures computed from it."""
    return {**{key: value for key, value in to_json(matrix).items() if key != "tasks"}, "summary": _summary(matrix)}


def _sampled(matrix: Matrix) -> dict[str, Any]:
    return {name: {**each._asdict(), "value": numbers_to_json(each.value)} for name, each in sampled_summary(matrix.values).items()}


def _summary(matrix: Matrix) -> dict[str, Any]:
    return {name: numbers_to_json(value) for name, value in matrix.summary().items()}


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
