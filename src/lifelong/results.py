"""results.json and the files of single runs that it is gathered from. Nothing here imports torch."""

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lifelong.errors import RecipeError

SCHEMA = 1
Json = dict[str, Any]


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Writes the file beside and renames it, so that it is the old or the new one at any moment, and never a part."""
    beside = path.with_name(f"{path.name}.{os.getpid()}.new")
    with beside.open("w", encoding="utf-8") as file:
        json.dump(content, file, indent=1, allow_nan=False, ensure_ascii=False)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)


def read_json(path: Path) -> Json:
    """The file's content.

    Raises:
        RecipeError: the file is no JSON.
    """
    try:
        content: Json = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise RecipeError(f"{path} is damaged ({error}); delete it, or start over with --fresh") from error
    return content


def read_results(folder: Path) -> Json:
    """The results of the experiment in a folder.

    Raises:
        RecipeError: there are none.
    """
    path = folder / "results.json"
    if not path.is_file():
        raise RecipeError(f"there is no results.json in {folder}; give the folder that `lifelong run` wrote to, as in runs/demo")
    return read_json(path)


def runs_in(folder: Path) -> list[Json]:
    """The runs recorded in an experiment's folder, finished or not."""
    return [read_json(path) for path in sorted((folder / "runs").glob("*.json"))]


def in_order(runs: Sequence[Json], labels: Sequence[str]) -> list[Json]:
    """Runs by method, in the recipe's order and then any others, and by seed."""
    order = {label: i for i, label in enumerate(labels)}
    return sorted(runs, key=lambda run: (order.get(run["method"], len(order)), run["method"], run["seed"]))


def difference(old: Mapping[str, Any], new: Mapping[str, Any], path: str = "") -> str | None:
    """The first setting in which two configurations differ, as "training.epochs is 2 there and 3 now". None: they are equal.

    >>> difference({"a": {"b": 1}}, {"a": {"b": 2}})
    'a.b is 1 there and 2 now'
    """
    for key in [*old, *(key for key in new if key not in old)]:
        was, now = old.get(key), new.get(key)
        if isinstance(was, Mapping) and isinstance(now, Mapping):
            inner = difference(was, now, f"{path}{key}.")
            if inner is not None:
                return inner
        elif was != now:
            return f"{path}{key} is {json.dumps(was)} there and {json.dumps(now)} now"
    return None
