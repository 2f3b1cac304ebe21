import os
from pathlib import Path
from typing import Any

import pytest
import torch

from lifelong import parts, threads
from lifelong import recipe as recipes
from lifelong.errors import RecipeError
from lifelong.experiment import Experiment
from lifelong.recipe import Recipe


def auto(*changes: str) -> Recipe:
    recipe = recipes.load("demo", ["training.threads=auto", "seeds=1", *changes])
    return recipes.only(recipe, ["finetune"])


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Eight cores, on which three threads are always found to be fastest; the largest numbers that were asked for."""
    asked: list[int] = []

    def fastest(recipe: Recipe, label: str, stream: Any, most: int) -> int:
        asked.append(most)
        return 3

    monkeypatch.setattr(threads, "fastest", fastest)
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(8)), raising=False)
    return asked


def counts(experiment: Experiment) -> set[Any]:
    """What results, requests and processes are told."""
    jobs = [experiment._job(run) for run in experiment.runs]
    return {
        *(run.config["training"]["threads"] for run in experiment.runs),
        *(job.threads for job in jobs),
        *(Recipe.model_validate(job.request["recipe"]).training_of(job.request["method"]).threads for job in jobs),
    }


def test_it_is_measured_once_and_kept_with_the_runs(tmp_path: Path, measured: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    experiment = Experiment(auto(), tmp_path, tasks=1)
    assert counts(experiment) == {3}
    assert measured == [8]
    experiment.jobs()  # as a run that is killed at once leaves the folder
    monkeypatch.setattr(threads, "fastest", lambda *arguments: 4)  # the machine is busy otherwise today
    again = Experiment(auto(), tmp_path, tasks=1)
    assert counts(again) == {3}
    again.jobs()  # and the folder takes it for the same experiment
    assert counts(Experiment(auto(), tmp_path / "other", tasks=1)) == {4}


def test_runs_side_by_side_share_the_cores(tmp_path: Path, measured: list[int]) -> None:
    assert counts(Experiment(auto("seeds=4"), tmp_path, tasks=1)) == {3}
    assert measured == [2]
    assert counts(Experiment(auto("seeds=5"), tmp_path, tasks=1)) == {1}
    assert measured == [2]


def test_a_methods_own_number_stays(tmp_path: Path, measured: list[int]) -> None:
    recipe = recipes.only(recipes.load("demo", ["training.threads=auto", "methods.ewc.training.threads=2", "seeds=1"]), ["finetune", "ewc"])
    experiment = Experiment(recipe, tmp_path, tasks=1)
    assert {run.label: run.config["training"]["threads"] for run in experiment.runs} == {"finetune": 3, "ewc": 2}
    assert len(measured) == 1
    assert counts(Experiment(auto("training.threads=2"), tmp_path / "other", tasks=1)) == {2}
    assert len(measured) == 1


def test_steps_are_really_taken_with_each_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "SECONDS", 0.0)
    seen: dict[int, float] = {}

    def best(seconds: dict[int, float]) -> int:
        seen.update(seconds)
        return 1

    monkeypatch.setattr(threads, "best", best)
    set_to: list[int] = []
    monkeypatch.setattr(torch, "set_num_threads", set_to.append)
    recipe = auto()
    assert threads.fastest(recipe, "finetune", parts.stream_of(recipe, 0, 1), 5) == 1
    assert seen.keys() == {1, 2, 4}
    assert all(value > 0 for value in seen.values())
    assert set_to == [1, 2, 4] * 3 + [torch.get_num_threads()]


def test_not_with_torchrun(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(RecipeError) as caught:
        Experiment(auto(), tmp_path, tasks=1)
    assert str(caught.value) == "training.threads: 'auto' is not for runs with torchrun; give a number, as in --set training.threads=2"


@pytest.mark.parametrize("value", ["0", "many"])
def test_what_else_it_can_be(value: str) -> None:
    with pytest.raises(RecipeError, match="training.threads: input should be .* or input should be 'auto'"):
        auto(f"training.threads={value}")
