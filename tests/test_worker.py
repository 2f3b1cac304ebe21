"""What a worker does in its process: the run's entry in results.json, and that watching a task changes no number."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from lifelong.learner import Learner
from lifelong.matrix import from_json, numbers_to_json
from lifelong.method import Method, Table
from lifelong.models import MLP
from lifelong.recipe import Recipe
from lifelong.results import read_json, write_json
from lifelong.tasks import Task
from lifelong.worker import Request, result_of, work
from toys import FEATURES, blobs

RECIPE = {
    "name": "small",
    "seeds": [3, 4],
    "stream": {"name": "permuted-mnist", "tasks": 2, "examples": 300},
    "network": {"name": "mlp", "inputs": 784, "hidden": [8]},
    "training": {"steps": 25, "batch_size": 10},
    "methods": {"finetune": {}, "ewc": {"examples": 20}, "replay": {"capacity": 30}},
}


def request(path: Path, method: str = "finetune", seed: int = 3, **changes: Any) -> Request:
    recipe = Recipe.model_validate({**RECIPE, **changes})
    return Request(recipe.model_dump(), method, seed, None, str(path), {})


def done(folder: Path, method: str, **changes: Any) -> tuple[dict[str, Any], dict[str, bytes]]:
    """A run in this process: its result, and the saved learner's tensors."""
    folder.mkdir()
    asked = request(folder / "run.json", method, **changes)
    work(asked, io.StringIO())
    return read_json(folder / "run.json"), {path.name: path.read_bytes() for path in folder.glob("run/*.safetensors")}


@pytest.mark.parametrize("method", ["finetune", "ewc", "replay"])
def test_watching_a_task_changes_nothing_bit_for_bit(tmp_path: Path, method: str) -> None:
    plain, plain_tensors = done(tmp_path / "plain", method)
    watched, watched_tensors = done(tmp_path / "watched", method, watch_every=10)
    assert watched_tensors == plain_tensors
    assert {"network.safetensors", "random.safetensors"} <= {name.split("-")[0].split(".")[0] + ".safetensors" for name in plain_tensors}
    for key in ("matrix", "initial", "summary", "sizes", "pictures", "tables"):
        assert watched[key] == plain[key]
    assert "curves" not in plain
    assert {task: [step for step, _ in curve] for task, curve in watched["curves"].items()} == {
        "permutation 1": [10, 20],
        "permutation 2": [10, 20],
    }
    assert all(0 <= accuracy <= 1 for curve in watched["curves"].values() for _, accuracy in curve)


def test_the_end_of_a_curve_is_the_matrix(tmp_path: Path) -> None:
    result, _ = done(tmp_path / "run", "finetune", watch_every=25)
    matrix = from_json(["1", "2"], result["initial"], result["matrix"])
    assert list(result["curves"].values()) == [[[25, matrix.values[1, 0]]], [[25, matrix.values[2, 1]]]]


def test_sizes_are_those_of_the_learner(tmp_path: Path) -> None:
    result, _ = done(tmp_path / "run", "ewc")
    parameters = 784 * 8 + 8 + 8 * 10 + 10
    assert result["sizes"] == [{"parameters": parameters, "kept_bytes": 2 * 4 * parameters}] * 2
    assert (result["cost"]["parameters"], result["cost"]["kept_bytes"]) == (parameters, 2 * 4 * parameters)


class Telling(Method):
    """Has two tables to show."""

    def tables(self, learner: Learner) -> dict[str, Table]:
        names = tuple(learner.tasks)
        likeness = torch.tensor([[1.0, torch.nan], [0.25, 1.0]], device=learner.device)
        return {
            "likeness": Table(names, names, likeness),
            "experts": Table(("one",), names, torch.tensor([[3.0, 4.0]], dtype=torch.float64)),
        }


def toy(*methods: Method) -> Learner:
    return Learner(MLP(FEATURES, [5]), methods, "domain", steps=4)


TASKS = [blobs("a"), blobs("b", seed=1)]


def test_tables_of_the_first_seed_are_in_the_result(tmp_path: Path) -> None:
    one = toy(Telling())
    for task in TASKS:
        one.learn(task)
    tables = result_of(one, request(tmp_path / "x.json"))["tables"]
    assert tables == [
        {"title": "likeness", "rows": ["a", "b"], "columns": ["a", "b"], "values": [[1.0, None], [0.25, 1.0]]},
        {"title": "experts", "rows": ["one"], "columns": ["a", "b"], "values": [[3.0, 4.0]]},
    ]
    assert result_of(one, request(tmp_path / "x.json", seed=4))["tables"] == []
    assert result_of(toy_learned(), request(tmp_path / "x.json"))["tables"] == []
    write_json(tmp_path / "tables.json", {"tables": tables})
    assert read_json(tmp_path / "tables.json")["tables"] == tables


def toy_learned() -> Learner:
    one = toy()
    one.learn(TASKS[0])
    return one


def test_a_curve_for_every_task_also_where_none_was_measured(tmp_path: Path) -> None:
    one = toy()
    for task in TASKS:
        one.learn(task, watch=[task], watch_every=4 if task is TASKS[1] else 5)
    assert result_of(one, request(tmp_path / "x.json", watch_every=4))["curves"] == {"a": [], "b": [[4, one.matrix.values[2, 1]]]}


def test_what_was_watched_of_other_tasks_is_not_the_tasks_own_curve(tmp_path: Path) -> None:
    one = toy()
    one.learn(TASKS[0])
    one.learn(TASKS[1], watch=TASKS, watch_every=2)
    curves = result_of(one, request(tmp_path / "x.json", watch_every=2))["curves"]
    accuracies, during = one.evaluations()
    assert during.tolist() == [2, 2]
    assert curves == {"a": [], "b": [[2, accuracies[0, 1]], [4, accuracies[1, 1]]]}


def test_rounds_of_one_task_count_on(tmp_path: Path) -> None:
    """A second round begins with step 1 again; its steps come after those of the first."""
    one = toy_learned()
    one.watched = [{"during": 1, "step": step, "accuracy": {"a": step / 100}} for step in (10, 20, 10, 20, 30, 10)]
    curves = result_of(one, request(tmp_path / "x.json", watch_every=10))["curves"]
    assert curves == {"a": [[10, 0.1], [20, 0.2], [30, 0.1], [40, 0.2], [50, 0.3], [60, 0.1]]}


def test_an_undefined_accuracy_is_null(tmp_path: Path) -> None:
    one = toy_learned()
    one.watched = [{"during": 1, "step": 10, "accuracy": {"a": np.nan}}]
    curves = result_of(one, request(tmp_path / "x.json", watch_every=10))["curves"]
    assert curves == {"a": [[10, None]]}


def test_a_task_is_watched_with_its_own_test_set_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, list[str], int]] = []
    learn = Learner.learn

    def noted(self: Learner, task: Task, **arguments: Any) -> None:
        asked.append((task.name, [each.name for each in arguments["watch"]], arguments["watch_every"]))
        learn(self, task, **arguments)

    monkeypatch.setattr(Learner, "learn", noted)
    done(tmp_path / "run", "finetune", watch_every=20)
    assert asked == [("permutation 1", ["permutation 1"], 20), ("permutation 2", ["permutation 2"], 20)]


def result_on_pairs(tmp_path: Path, methods: dict[str, Any]) -> dict[str, Any]:
    stream = {"name": "split-mnist", "scenario": "task"}
    changes = {"stream": stream, "methods": methods, "training": {"steps": 3, "batch_size": 10}}
    asked = Request(Recipe.model_validate({**RECIPE, **changes}).model_dump(), next(iter(methods)), 3, 2, str(tmp_path / "run.json"), {})
    work(asked, io.StringIO())
    return read_json(tmp_path / "run.json")


def test_accuracy_without_the_task_is_in_the_result(tmp_path: Path) -> None:
    result = result_on_pairs(tmp_path, {"ewc": {"examples": 5, "with": {"task-gate": {"steps": 5}}}})
    learner = Learner.open(tmp_path / "run")
    (one, nothing), both = result["routed"]["matrix"]
    assert nothing is None, "the second task was not learned yet, so that it can't be chosen"
    assert [one, *both] == [learner.routed.values[1, 0], *learner.routed.values[2]]
    assert result["routed"]["initial"] == [None, None]
    assert result["routed"]["summary"] == {name: numbers_to_json(value) for name, value in learner.routed.summary().items()}
    assert result["routed"]["summary"]["accuracy"] == pytest.approx(np.mean(both))
    assert "told" not in result
    assert [table["title"] for table in result["tables"]] == ["Relatedness", "Which task the gate chose"]


def test_a_method_that_is_told_the_task_has_none(tmp_path: Path) -> None:
    assert "routed" not in result_on_pairs(tmp_path, {"finetune": {}})


def test_a_schedule_measures_a_part_and_says_of_how_much_the_numbers_are(tmp_path: Path) -> None:
    whole, whole_tensors = done(tmp_path / "all", "finetune", stream={"name": "permuted-mnist", "tasks": 3, "examples": 100})
    part, part_tensors = done(
        tmp_path / "last", "finetune", stream={"name": "permuted-mnist", "tasks": 3, "examples": 100}, evaluate="last", evaluate_most=2
    )
    assert part_tensors == whole_tensors
    assert "sampled" not in whole
    first, second, third = whole["matrix"]
    assert part["initial"] == [None, None, None]
    assert part["matrix"] == [[first[0], None, None], [None, second[1], None], [third[0], None, third[2]]]
    assert part["summary"]["accuracy"] is None
    assert part["sampled"]["accuracy"] == {"value": pytest.approx((third[0] + third[2]) / 2), "measured": 2, "of": 3}
    assert part["sampled"]["backward_transfer"] == {"value": pytest.approx(third[0] - first[0]), "measured": 1, "of": 2}
    assert part["sampled"]["forward_transfer"] == {"value": None, "measured": 0, "of": 2}
