"""The lecture's work: all recipes and measures of its sections, done in worker processes and gathered in one folder.

DIR/RECIPE/            a recipe's experiment, as `lifelong run` leaves it
DIR/measures/NAME.json what a measure returned
DIR/lecture.html       the page
"""

import shutil
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from lifelong.errors import RecipeError
from lifelong.experiment import Experiment, cores, only_one
from lifelong.lecture.section import Json, Section
from lifelong.recipe import Recipe, load
from lifelong.results import read_json, write_json
from lifelong.workers import Event, Job, Workers

COMMAND = (sys.executable, "-m", "lifelong.lecture.worker")


class Course:
    """Some sections of the lecture in a folder.

    Args:
        sections: what to do.
        out: the folder, made when it is not there.
        full: full data and longer training.
    """

    def __init__(self, sections: Sequence[Section], out: Path, *, full: bool = False) -> None:
        self.sections, self.out, self.full = sections, out, full

    def run(self, *, workers: int | None = None, fresh: bool = False, tell: Callable[[Event], None], count: Callable[[int], None]) -> None:
        """Does what is not done yet.

        Args:
            workers: processes at once. None: as many as this process may use cores, at most 8.
            fresh: start over: what these sections measured earlier is deleted.
            tell: called with everything that happens.
            count: called once, with how many jobs there are to do.

        Raises:
            RecipeError: the folder holds other settings, or another process works in it.
            KeyboardInterrupt: Ctrl-C; everything is saved, and the same call goes on.
        """
        with only_one(self.out) as lock:
            if fresh:
                self._delete()
            jobs: list[Job] = []
            begun: set[str] = set()
            heard: dict[str, tuple[Job, Experiment]] = {}
            for section in self.sections:
                jobs += [self._measure(section, name) for name in section.measures if not self._kept(section, name)]
                for name in section.recipes:
                    if name in begun:  # sections may share a recipe
                        continue
                    begun.add(name)
                    experiment = Experiment(self._recipe(section, name), self.out / name)
                    for job in experiment.jobs():
                        title = f"{section.name}: {job.title}"
                        jobs.append(replace(job, name=f"{name}/{job.name}", title=title))
                        heard[f"{name}/{job.name}"] = job, experiment

            def listen(event: Event) -> None:
                if event.job.name in heard:
                    job, experiment = heard[event.job.name]
                    experiment.heard(replace(event, job=job))
                tell(event)

            count(len(jobs))
            Workers(min(workers or cores(), max(len(jobs), 1)), COMMAND, lock).run(jobs, listen)

    def measured(self) -> dict[str, dict[str, Json]]:
        """For each section by name what was measured so far: recipes' results and measures' numbers by name; whole sections only."""
        found: dict[str, dict[str, Json]] = {}
        for section in self.sections:
            parts = {name: self._kept(section, name) for name in section.measures}
            parts |= {name: self._finished(section, name) for name in section.recipes}
            if all(part is not None for part in parts.values()):
                found[section.name] = {name: part for name, part in parts.items() if part is not None}
        return found

    def seconds(self, section: Section) -> float:
        """What the section's work took, in seconds of one process."""
        entries = [self._entry(section, name) for name in section.measures]
        results = [self._finished(section, name) for name in section.recipes]
        costs = [run["cost"] for each in results if each is not None for run in each["runs"]]
        took = [entry["seconds"] for entry in entries if entry is not None]
        return float(sum(took) + sum(cost["train_seconds"] + cost["evaluate_seconds"] for cost in costs))

    def command(self, section: Section) -> str:
        """What reproduces the section alone."""
        return f"lifelong lecture {section.name}{' --full' if self.full else ''}"

    def _recipe(self, section: Section, name: str) -> Recipe:
        return load(name, section.recipes[name] if self.full else ())

    def _finished(self, section: Section, name: str) -> Json | None:
        path = self.out / name / "results.json"
        results = read_json(path) if path.is_file() else None
        if results is None:
            return None
        done = {(run["method"], run["seed"]) for run in results["runs"] if run["status"] == "finished"}
        recipe = self._recipe(section, name)
        return results if done >= {(label, seed) for label in recipe.methods for seed in recipe.seed_list()} else None

    def _path(self, name: str) -> Path:
        return self.out / "measures" / f"{name}.json"

    def _entry(self, section: Section, name: str) -> Json | None:
        path = self._path(name)
        if not path.is_file():
            return None
        entry = read_json(path)
        if entry["full"] != self.full:
            kinds = ("the full lecture", "the short lecture")
            here, asked = kinds if entry["full"] else kinds[::-1]
            raise RecipeError(
                f"{self.out} holds {here}, and {asked} was asked for; use another folder with --out DIR, or start over with --fresh"
            )
        return entry

    def _kept(self, section: Section, name: str) -> Json | None:
        entry = self._entry(section, name)
        return None if entry is None else entry["measured"]

    def _measure(self, section: Section, name: str) -> Job:
        path = self._path(name)
        request = {"section": section.name, "measure": name, "full": self.full, "result": str(path)}
        return Job(name, request, path.with_suffix(".log"), title=f"{section.name}: {name}")

    def _delete(self) -> None:
        for section in self.sections:
            for name in section.measures:
                self._path(name).unlink(missing_ok=True)
            for name in section.recipes:
                if (self.out / name).is_dir():
                    shutil.rmtree(self.out / name)


def write_measured(path: Path, measured: Json, *, full: bool, seconds: float) -> None:
    """Writes what a measure returned, with what it took."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, {"full": full, "seconds": seconds, "measured": measured})
