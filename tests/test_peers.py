"""The comparison with Avalanche, as far as it can be tested without it."""

import dataclasses
import importlib
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

import lifelong as ll


@pytest.fixture(scope="module")
def benchmarks() -> Any:
    """`peers` and `peers_work`, which find each other as scripts of one folder do."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(Path(__file__).parent.parent / "benchmarks")
        yield importlib.import_module("peers"), importlib.import_module("peers_work")
        for name in ("peers", "peers_work", "stored"):
            del sys.modules[name]


@pytest.fixture
def small(benchmarks: tuple[ModuleType, ModuleType], monkeypatch: pytest.MonkeyPatch) -> tuple[ModuleType, ModuleType]:
    peers, _ = benchmarks
    monkeypatch.setattr(peers, "TASKS", 2)
    monkeypatch.setattr(peers, "SIZES", {"10": ([20], 200, 0.05)})
    return benchmarks


@pytest.mark.parametrize("scenario", ["domain", "class"])
def test_all_libraries_begin_with_the_weights_that_a_learner_draws(small: tuple[ModuleType, ModuleType], scenario: str) -> None:
    peers, work_module = small
    work = dataclasses.replace(peers.work_of("10", 3, scenario), rate=0.0)
    x, y = work.train[0]
    model = ll.models.MLP(784, work.hidden, seed=3)
    learner = ll.Learner(model, [], scenario, classes=range(10) if scenario == "class" else (), seed=3)  # type: ignore[arg-type]
    learner.learn(ll.Task("0", train=(x, y), classes=range(10) if scenario == "domain" else None), optimizer=Still)
    plain = work_module.network(work)
    assert torch.allclose(plain(x), learner.logits(x, None), atol=1e-6)
    assert len(learner.classes_of()) == 10


class Still(torch.optim.SGD):
    """Takes no step."""

    def __init__(self, parameters: Any) -> None:
        super().__init__(parameters, lr=0.0)


def test_fine_tuning_by_hand_takes_the_same_steps_and_learns_as_much(small: tuple[ModuleType, ModuleType]) -> None:
    peers, work_module = small
    work = peers.work_of("10", 0, "domain")
    work.train[:] = [(x.repeat(5, 1), y.repeat(5)) for x, y in work.train]
    torch.manual_seed(0)
    own, bare = (work_module.measured(make(work, "naive"), work) for make in (work_module.own, work_module.bare))
    assert own["steps"] == bare["steps"] == 2 * 5 * 200 / 10
    assert own["accuracy"] > 0.5
    assert own["accuracy"] == pytest.approx(bare["accuracy"], abs=0.05)
    assert 0 < own["start_bytes"] <= own["peak_bytes"] < 2**34


@pytest.mark.parametrize(
    "method, fact", [("agem", {"kept": 100}), ("gem", {"kept": 400}), ("replay", {"kept": 400}), ("icarl", {"kept": 240}), ("lwf", {})]
)
def test_a_run_says_what_was_kept(small: tuple[ModuleType, ModuleType], method: str, fact: dict[str, int]) -> None:
    peers, work_module = small
    side = work_module.own(peers.work_of("10", 0, work_module.METHODS[method].scenario), method)
    side.train()
    assert side.facts() == fact


def test_importances_are_written_down(small: tuple[ModuleType, ModuleType]) -> None:
    peers, work_module = small
    for name in ("ewc", "si", "mas"):
        side = work_module.own(peers.work_of("10", 0, "domain"), name)
        side.train()
        assert side.facts()["largest_importance"] > 0.01


@pytest.mark.slow
def test_runs_in_processes_give_numbers_or_the_end_of_what_was_said(small: tuple[ModuleType, ModuleType]) -> None:
    peers, _ = small
    work = peers.work_of("10", 0, "domain")
    entries = dict(peers.runs(Path(sys.executable), work, "naive", ["bare", "unheard of", "lifelong"]))
    assert entries["unheard of"]["failed"].endswith("KeyError: 'unheard of'")
    assert entries["bare"]["steps"] == entries["lifelong"]["steps"] == 40
    assert entries["bare"]["seconds"] > 0


def test_what_is_measured_is_kept_and_not_measured_again(small: tuple[ModuleType, ModuleType], tmp_path: Path, monkeypatch: Any) -> None:
    peers, _ = small
    started: list[tuple[int, str, list[str]]] = []

    def runs(python: Path, work: Any, method: str, libraries: list[str]) -> Any:
        started.append((work.seed, method, libraries))
        for library in libraries:
            if (work.seed, library) == (1, "bare"):
                raise KeyboardInterrupt
            yield library, {"failed": "no"}

    monkeypatch.setattr(peers, "runs", runs)
    for _ in range(2):
        stored = peers.Stored("peers", {}, folder=tmp_path)
        with pytest.raises(KeyboardInterrupt):
            peers.measure(stored, Path("python"), ["naive"], ["10"], 2)
    every = ["lifelong", "avalanche", "bare"]
    assert started == [(0, "naive", every), (1, "naive", every), (1, "naive", ["bare"])]


def entry(cpu: float, steps: int = 40) -> dict[str, Any]:
    return {"cpu_seconds": cpu, "seconds": 2 * cpu, "start_bytes": 1e8, "peak_bytes": 1.5e8, "steps": steps, "accuracy": cpu / 10}


def test_the_table(small: tuple[ModuleType, ModuleType]) -> None:
    peers, _ = small
    cpu = {
        "naive": {"bare": [1, 3, 2], "lifelong": [2, 3, 9], "avalanche": [6, 6, 6]},
        "lwf": {"lifelong": [1, 1, 1], "avalanche": [8, 8, 8]},
    }
    entries = {
        peers.key(method, "10", library, seed): entry(numbers[seed], 39 if (method, library) == ("lwf", "avalanche") else 40)
        for method, found in cpu.items()
        for library, numbers in found.items()
        for seed in range(3)
    }
    for seed in range(3):
        entries |= {peers.key("gem", "10", library, seed): entry(1.0) for library in ("lifelong", "avalanche")}
    entries[peers.key("lwf", "10", "avalanche", 2)]["importance_zero"] = True
    entries[peers.key("gem", "10", "avalanche", 1)] = {"failed": "Traceback\nSolverNotFound: quadprog"}
    lines = list(peers.rows(entries, ["naive", "lwf", "gem"], ["10"], 3))
    found = [line.split() for line in lines]
    assert found[1] == ["naive", "10", "lifelong", "3.00", "1.50", "150", "50", "40", "0.467", "+-", "0.379"]
    assert found[2][:7] == ["naive", "10", "avalanche", "6.00", "3.00", "2.00", "2.00"]
    assert found[5][4:6] == ["4.10", "8.00"]  # a step of 8 / 39 s, and one by hand of 2 / 40 s
    assert lines[7].endswith("avalanche  failed: SolverNotFound: quadprog")
    assert lines[8:] == [
        "lwf, batch 10: not the same number of steps, 39 in Avalanche",
        "lwf, batch 10: every importance is 0 in avalanche, so this is fine-tuning",
        "batch 10: geometric mean of peer/own over 2 methods 4.00",
    ]
