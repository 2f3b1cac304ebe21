"""Results of a recipe that was not run: its true settings, and matrices that a test chooses."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from lifelong import recipe as recipes
from lifelong.experiment import Experiment
from lifelong.lecture.section import Json, Measured, Section, Shown
from lifelong.matrix import Matrix, numbers_to_json

Rows = Sequence[Sequence[float]]


def made(recipe: str, values: Mapping[str, Rows], **more: Any) -> Json:
    """Results with these matrices, row 0 first, one for each of the recipe's methods and the same for all its seeds.

    Args:
        more: further entries of every run, such as sizes; a mapping from methods to their own is looked up.
    """
    experiment = Experiment(recipes.load(recipe), Path("nowhere"))
    runs = []
    for run in experiment.runs:
        entries = {key: value[run.label] if isinstance(value, Mapping) and run.label in value else value for key, value in more.items()}
        matrix = Matrix(tuple(experiment.task_names), values[run.label])
        cost = {"train_seconds": 2.0, "evaluate_seconds": 0.5, "steps": 10, "kept_bytes": 1000, "parameters": 5000}
        runs.append(
            {
                "method": run.label,
                "seed": run.seed,
                "status": "finished",
                "config": run.config,
                "initial": numbers_to_json(matrix.values[0]),
                "matrix": numbers_to_json(matrix.values[1:]),
                "summary": numbers_to_json(matrix.summary()),
                "cost": cost,
                **entries,
            }
        )
    return {"recipe": recipe, "stream": {"tasks": experiment.task_names}, "runs": runs}


def rows(tasks: int, own: float, after: float, untrained: float = 0.1) -> Rows:
    """A matrix: `own` on the diagonal, `after` below it, `untrained` above it and in row 0."""
    return [[own if j == i - 1 else after if j < i else untrained for j in range(tasks)] for i in range(tasks + 1)]


def said(section: Section, measured: Measured) -> dict[str, str]:
    """All that the section shows, by language; its pictures are checked to be well-formed and to have a text alternative."""
    return {language: _all(section.show(measured, language)) for language in ("en", "zh")}


def _all(shown: Shown) -> str:
    for picture in shown.pictures:
        parsed = ElementTree.fromstring(picture.image)
        assert parsed.get("role") == "img"
        assert parsed.findtext("{http://www.w3.org/2000/svg}desc")
    tables = [cell for table in shown.tables for row in (table.columns, *table.rows) for cell in row]
    return "\n".join([*shown.text, *(f"{picture.image} {picture.caption}" for picture in shown.pictures), *tables])
