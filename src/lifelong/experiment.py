"""An experiment: a recipe's runs, one for each method and seed, done in worker processes and gathered in one folder.

DIR/results.json             everything, rewritten as runs finish
DIR/report.html              the page made from it
DIR/runs/METHOD-SEED.json    one run: "running", "finished" or "failed"
DIR/runs/METHOD-SEED/        its learner, also a checkpoint inside a task; removed at the end if it keeps much data
DIR/runs/METHOD-SEED.log     what the worker said on standard error
"""

import fcntl
import os
import platform
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import BinaryIO

import torch

from lifelong import parts, threads
from lifelong.errors import NonFiniteError, RecipeError
from lifelong.processes import Processes
from lifelong.recipe import Recipe
from lifelong.results import SCHEMA, Json, difference, in_order, read_json, read_results, runs_in, write_json
from lifelong.worker import Request, work
from lifelong.workers import Event, Job, Workers

BASELINES = ("finetune", "joint", "independent", "replay")  # methods that keep a comparison honest
SHARED = ("stream", "outputs", "training", "tasks")  # the settings that all runs of an experiment have in common
MOST_WORKERS = 8  # without --workers; each holds the data and torch in memory


@dataclass(frozen=True)
class Run:
    """One recipe, one method, one seed.

    Attributes:
        config: every setting, defaults included, as it goes into the results.
        file: the run's file in the experiment's folder.
    """

    label: str
    seed: int
    config: Json
    file: Path

    @property
    def name(self) -> str:
        """As in "ewc-0"."""
        return f"{self.label}-{self.seed}"


class Experiment:
    """A recipe in a folder.

    Args:
        recipe: what to run.
        out: the folder, made when it is not there.
        tasks: only the first tasks of the stream. None: all.

    Raises:
        RecipeError: a name, an argument or a value in the recipe that can't be; it is checked here, before any work starts.
    """

    def __init__(self, recipe: Recipe, out: Path, tasks: int | None = None) -> None:
        self.recipe, self.out, self.tasks = recipe, out, tasks
        self.seeds = recipe.seed_list()
        self.stream = parts.stream_of(recipe, self.seeds[0], tasks)
        if recipe.outputs == "all" and self.stream.scenario != "class":
            raise RecipeError(
                f"outputs: 'all' is for streams of the scenario 'class', and {self.stream.name!r} has {self.stream.scenario!r}; "
                "leave it out"
            )
        self.recipe = threads.fixed(recipe, self.stream, runs_in(out))
        self.task_names = self._task_names()
        self.runs = [
            Run(label, seed, self._config(label), out / "runs" / f"{label}-{seed}.json") for label in recipe.methods for seed in self.seeds
        ]

    def run(self, *, workers: int | None = None, fresh: bool = False, tell: Callable[[Event], None] = lambda event: None) -> Json:
        """Does the runs that are not finished yet; the results of all.

        Args:
            workers: processes at once. None: as many as this process may use cores, at most 8.
            fresh: start over: the experiment's earlier runs and results in the folder are deleted.
            tell: called with everything that happens.

        Raises:
            RecipeError: the folder holds runs with other settings, or another process works in it.
            KeyboardInterrupt: Ctrl-C; everything is saved, and the same call goes on.
        """
        with only_one(self.out) as lock:
            jobs = self.jobs(fresh=fresh)

            def listen(event: Event) -> None:
                self.heard(event)
                tell(event)

            count = min(workers or cores(), max(len(jobs), 1))
            try:
                Workers(count, lock=lock).run(jobs, listen)
            finally:
                results = self.save()
        return results

    def run_together(self, processes: Processes, *, fresh: bool = False, tell: Callable[[Event], None] = lambda event: None) -> Json:
        """Like `run`, called in each of several processes: every run is trained by all of them, one run after another.

        Raises:
            ProcessError: another process is gone.
        """
        with only_one(self.out) if processes.writes else nullcontext(), open(os.devnull, "w", encoding="utf-8") as nowhere:
            if processes.writes:
                self.jobs(fresh=fresh)
            processes.wait()
            waiting = self.waiting()
            processes.wait()
            for run in waiting:
                job = self._job(run)
                tell(Event(job, "started"))
                event = Event(job, "finished")
                try:
                    work(Request(**job.request), nowhere, processes)
                except NonFiniteError as error:  # in all processes, because theta is the same in all
                    event = Event(job, "failed", error=str(error))
                if processes.writes:
                    self.heard(event)
                tell(event)
            processes.wait()
            return self.save() if processes.writes else read_results(self.out)

    def jobs(self, *, fresh: bool = False) -> list[Job]:
        """Work for `Workers`: the runs that are not finished yet, each written down as begun. Its events are to be told to `heard`.

        Raises:
            RecipeError: the folder holds runs with other settings.
        """
        (self.out / "runs").mkdir(parents=True, exist_ok=True)
        if fresh:
            self._delete()
        self._check_folder()
        waiting = self.waiting()
        for run in waiting:
            write_json(run.file, self._entry(run, "running"))
        return [self._job(run) for run in waiting]

    def heard(self, event: Event) -> None:
        """Writes down what became of a job."""
        if event.kind == "failed":
            run = next(run for run in self.runs if run.name == event.job.name)
            write_json(run.file, self._entry(run, "failed", event.error))
        if event.kind in ("finished", "failed"):
            self.save()

    def waiting(self) -> list[Run]:
        """The runs that are not finished yet."""
        return [run for run in self.runs if _status(run) != "finished"]

    def save(self) -> Json:
        """Writes results.json from the runs there are; its content."""
        results = {
            "schema": SCHEMA,
            "recipe": self.recipe.name,
            "description": self.recipe.description,
            "stream": {
                "name": self.stream.name,
                "scenario": self.stream.scenario,
                "tasks": self.task_names,
                "data": self.stream.data,
            },
            "environment": {
                "lifelong": version("lifelong"),
                "torch": torch.__version__,
                "python": platform.python_version(),
                "threads": self.recipe.training.threads,
            },
            "baselines": [
                label for label, part in self.recipe.methods.items() if (part.method or label) in BASELINES and not part.together
            ],
            "published": [number.model_dump(exclude_none=True) for number in self.recipe.published],
            "runs": in_order(runs_in(self.out), list(self.recipe.methods)),
        }
        write_json(self.out / "results.json", results)
        return results

    def _config(self, label: str) -> Json:
        training = self.recipe.training_of(label)
        where = f"methods.{label}.training" if self.recipe.methods[label].training else "training"
        parts.optimizer_of(training, where)
        parts.scheduler_of(training, where)
        parts.network_of(self.recipe, self.seeds[0], label)
        methods = parts.methods_of(self.recipe, label)
        return {
            "stream": self.recipe.stream.model_dump(),
            "tasks": len(self.stream),
            "network": self.recipe.network_of(label).model_dump(),
            "outputs": self.recipe.outputs,
            **({} if self.recipe.watch_every is None else {"watch_every": self.recipe.watch_every}),
            **({} if self.recipe.evaluate == "all" else {"evaluate": self.recipe.evaluate}),
            **({} if self.recipe.evaluate_most is None else {"evaluate_most": self.recipe.evaluate_most}),
            "training": training.described(),
            "methods": {name: method.arguments() for name, method in methods.items()},
        }

    def _task_names(self) -> list[str]:
        names = [task.name for task in self.stream]
        # With a stream of its own for every seed, one seed's names would be wrong for the others.
        return [f"task {i + 1}" for i in range(len(names))] if self.recipe.stream.arguments.get("seed") == parts.OF_THE_RUN else names

    def _entry(self, run: Run, status: str, error: str = "") -> Json:
        entry = {"method": run.label, "seed": run.seed, "status": status, "config": run.config}
        return {**entry, "error": error} if error else entry

    def _job(self, run: Run) -> Job:
        request = {
            "recipe": self.recipe.model_dump(mode="json", by_alias=True),
            "method": run.label,
            "seed": run.seed,
            "tasks": self.tasks,
            "result": str(run.file),
            "config": run.config,
        }
        count = int(self.recipe.training_of(run.label).threads)
        return Job(run.name, request, run.file.with_suffix(".log"), count, title=f"{run.label}, seed {run.seed}")

    def _check_folder(self) -> None:
        """Refuses a folder whose runs had other settings: numbers in one table must be comparable."""
        ours = {run.name: run for run in self.runs}
        for earlier in runs_in(self.out):
            run = ours.get(f"{earlier['method']}-{earlier['seed']}")
            if run is not None:
                differing = difference(earlier["config"], run.config)
            else:
                was, now = (
                    {key: config[key] for key in SHARED if key != "training"} for config in (earlier["config"], self.runs[0].config)
                )
                differing = difference(was, now)
            if differing is not None:
                raise RecipeError(
                    f"{self.out} holds another experiment: in {earlier['method']}, seed {earlier['seed']}, {differing}. "
                    "Write to another folder with --out DIR, or start over with --fresh"
                )

    def _delete(self) -> None:
        for name in ("results.json", "report.html"):
            (self.out / name).unlink(missing_ok=True)
        shutil.rmtree(self.out / "runs")
        (self.out / "runs").mkdir()


def _status(run: Run) -> str | None:
    return read_json(run.file)["status"] if run.file.is_file() else None


def cores() -> int:
    """How many processes at once suit this machine."""
    return min(threads.cores(), MOST_WORKERS)


@contextmanager
def only_one(out: Path) -> Iterator[BinaryIO]:
    """A lock on a folder of runs, held by this process and its workers."""
    out.mkdir(parents=True, exist_ok=True)
    with (out / ".lock").open("wb") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise RecipeError(f"another `lifelong run` is working in {out}; wait for its end, or write elsewhere with --out DIR") from error
        yield lock
