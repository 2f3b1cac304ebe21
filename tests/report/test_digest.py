"""From runs to numbers for each method."""

import math

import numpy as np
import pytest

from lifelong.matrix import Matrix
from lifelong.report import ReportError, published_rows
from lifelong.report.digest import digest, estimate
from report import synthetic


def test_mean_and_sample_standard_deviation():
    one = estimate([0.5, 0.7, 0.9])
    assert one.mean == pytest.approx(0.7)
    assert one.spread == pytest.approx(0.2)
    assert one.points == (0.5, 0.7, 0.9)


def test_one_seed_has_no_spread_and_none_has_no_mean():
    assert math.isnan(estimate([0.5]).spread)
    assert math.isnan(estimate([]).mean)


def test_an_undefined_seed_makes_the_mean_undefined():
    assert math.isnan(estimate([0.5, math.nan]).mean)


def test_methods_in_the_order_of_the_runs_with_baselines_marked():
    methods = digest(synthetic.several(methods=("joint", "ewc", "finetune")))
    assert [(method.name, method.baseline) for method in methods] == [("joint", True), ("ewc", False), ("finetune", True)]


def test_the_matrix_is_the_mean_over_finished_seeds():
    results = synthetic.several(tasks=3, seeds=2, methods=("ewc",))
    results["runs"].append(synthetic.failed("ewc", 2, "lost"))
    results["runs"].append({"method": "ewc", "seed": 3, "status": "running", "config": {}})
    (ewc,) = digest(results)
    expected = np.mean([synthetic.matrix_like("ewc", 3, seed) for seed in (0, 1)], axis=0)
    assert ewc.matrix == Matrix(tuple(synthetic.task_names(3)), expected)
    assert (len(ewc.finished), len(ewc.failed), len(ewc.running)) == (2, 1, 1)
    assert ewc.measures["accuracy"].mean == pytest.approx(expected[3].mean())
    assert ewc.costs["train_seconds"].mean == pytest.approx(13.0)


def test_seeds_are_sorted():
    names = synthetic.task_names(2)
    (ewc,) = digest(synthetic.results([synthetic.run("ewc", seed, names) for seed in (4, 0, 2)], names))
    assert [run["seed"] for run in ewc.finished] == [0, 2, 4]


def test_average_so_far():
    names = ["a", "b"]
    run = synthetic.run("ewc", 0, names, initial=[0.1, 0.1], matrix=[[0.9, 0.2], [0.5, 0.7]])
    (ewc,) = digest(synthetic.results([run], names))
    assert [one.mean for one in ewc.average_so_far()] == pytest.approx([0.9, 0.6])


def test_undefined_entries_stay_undefined():
    (ewc,) = digest(synthetic.several(tasks=3, methods=("ewc",), scenario="class"))
    assert ewc.matrix is not None
    assert np.isnan(ewc.matrix.values[0]).all()
    assert math.isnan(ewc.measures["forward_transfer"].mean)
    assert not math.isnan(ewc.measures["forgetting"].mean)


def test_settings_are_flat_and_show_what_differs_between_seeds():
    names = synthetic.task_names(2)
    configs = [
        {"training": {"lr": 0.1, "nesterov": True, "scheduler": None, "hidden": [100, 50]}, "order": seed, "seed": seed, "empty": {}}
        for seed in (0, 1)
    ]
    runs = [synthetic.run("ewc", seed, names, config=config) for seed, config in enumerate(configs)]
    (ewc,) = digest(synthetic.results(runs, names))
    assert ewc.settings == {
        "training.lr": "0.1",
        "training.nesterov": "yes",
        "training.scheduler": "none",
        "training.hidden": "[100, 50]",
        "order": "0, 1",
    }


def test_other_schema():
    with pytest.raises(ReportError, match="these results have schema 2; this version of lifelong reads schema 1"):
        digest(synthetic.several() | {"schema": 2})
    with pytest.raises(ReportError, match="schema None"):
        published_rows({})


def test_seeds_with_different_numbers_of_tasks():
    names = synthetic.task_names(3)
    short = synthetic.run("ewc", 1, names)
    short["matrix"] = short["matrix"][:2]
    with pytest.raises(ReportError, match=r"ewc's seeds have different shapes: \(3, 3\), \(4, 3\)"):
        digest(synthetic.results([synthetic.run("ewc", 0, names), short], names))
