import base64
import io
import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from lifelong import recipe as recipes
from lifelong.errors import RecipeError
from lifelong.experiment import Experiment
from lifelong.learner import Learner
from lifelong.matrix import to_json
from lifelong.report.png import SIGNATURE
from lifelong.results import read_json, write_json
from lifelong.worker import Request, work
from lifelong.workers import Event

TINY = """
description = "Two small tasks."
seeds = 1
[stream]
name = "permuted-mnist"
tasks = 2
examples = 500
[network]
name = "mlp"
inputs = 784
hidden = [16]
[training]
steps = 40
batch_size = 10
[methods.finetune]
[methods.ewc]
examples = 50
[methods.ewc.training]
steps = 60
[[published]]
method = "ewc"
measure = "R[2, 1]"
value = 0.9
source = "a paper"
"""


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.toml"
    path.write_text(TINY)
    return path


def numbers(results: dict[str, Any]) -> list[dict[str, Any]]:
    """What must not depend on how the runs were done; seconds and memory may."""
    kept = [{key: run[key] for key in ("method", "seed", "status", "config", "matrix", "initial", "summary")} for run in results["runs"]]
    return [{**run, "steps": other["cost"]["steps"]} for run, other in zip(kept, results["runs"], strict=True)]


def weights(out: Path) -> dict[str, bytes]:
    return {str(path.relative_to(out)): path.read_bytes() for path in sorted(out.glob("runs/*/*.safetensors"))}


def children() -> list[int]:
    """Processes that any thread of this one started."""
    return [int(pid) for path in Path("/proc/self/task").glob("*/children") for pid in path.read_text().split()]


@pytest.mark.slow
def test_one_worker_and_two_give_the_same_numbers_and_the_schema_holds(tiny: Path, tmp_path: Path) -> None:
    alone = Experiment(recipes.load(tiny), tmp_path / "one").run(workers=1)
    together = Experiment(recipes.load(tiny), tmp_path / "two").run(workers=2)
    assert numbers(alone) == numbers(together)
    assert weights(tmp_path / "one") == weights(tmp_path / "two")
    assert len(weights(tmp_path / "one")) >= 2

    assert together == read_json(tmp_path / "two" / "results.json")
    assert together.keys() == {"schema", "recipe", "description", "stream", "environment", "baselines", "published", "runs"}
    assert together["schema"] == 1
    assert together["stream"] == {
        "name": "permuted-mnist",
        "scenario": "domain",
        "tasks": ["permutation 1", "permutation 2"],
        "data": "embedded mnist (4000)",
    }
    assert together["environment"].keys() == {"lifelong", "torch", "python", "threads"}
    assert together["baselines"] == ["finetune"]
    assert together["published"] == [{"method": "ewc", "measure": "R[2, 1]", "value": 0.9, "source": "a paper", "tolerance": 0.03}]
    finetune, ewc = together["runs"]
    for run in (finetune, ewc):
        numbered = {"matrix", "initial", "summary", "cost", "sizes", "pictures", "tables"}
        assert run.keys() == {"method", "seed", "status", "config", "keeps", *numbered}
        assert [set(each) for each in run["sizes"]] == [{"parameters", "kept_bytes"}] * 2
        assert run["sizes"][-1] == {key: run["cost"][key] for key in ("parameters", "kept_bytes")}
        assert (len(run["initial"]), [len(row) for row in run["matrix"]]) == (2, [2, 2])
        assert set(run["cost"]) == {"train_seconds", "evaluate_seconds", "steps", "peak_memory_bytes", "kept_bytes", "parameters"}
        assert 50e6 < run["cost"]["peak_memory_bytes"] < 5e9
    assert (finetune["cost"]["steps"], ewc["cost"]["steps"]) == (80, 120)
    assert (finetune["keeps"], ewc["keeps"]) == ("nothing", "statistics")
    assert (finetune["cost"]["kept_bytes"], finetune["cost"]["parameters"]) == (0, 784 * 16 + 16 + 16 * 10 + 10)
    assert ewc["config"]["methods"]["ewc"]["strength"] == 100.0
    assert all(0.05 < row[i] <= 1 for run in (finetune, ewc) for i, row in enumerate(run["matrix"]))


@pytest.mark.slow
def test_finished_runs_are_kept_and_only_the_missing_are_done(tiny: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    Experiment(recipes.only(recipes.load(tiny), ["finetune"]), out).run()
    before = (out / "runs" / "finetune-0.json").stat()
    events: list[Event] = []
    results = Experiment(recipes.load(tiny), out).run(tell=events.append)
    after = (out / "runs" / "finetune-0.json").stat()
    assert (before.st_mtime_ns, before.st_ino) == (after.st_mtime_ns, after.st_ino)
    assert {event.job.name for event in events} == {"ewc-0"}
    assert [run["method"] for run in results["runs"]] == ["finetune", "ewc"]


@pytest.mark.slow
def test_a_failed_run_is_told_and_leaves_the_others_alone(tiny: Path, tmp_path: Path) -> None:
    recipe = recipes.load(tiny, ["methods.ewc.training.optimizer.lr=1e30"])
    results = Experiment(recipe, tmp_path / "out").run()
    finetune, ewc = results["runs"]
    assert finetune["status"] == "finished"
    assert ewc.keys() == {"method", "seed", "status", "config", "error"}
    assert ewc["status"] == "failed"
    assert ewc["error"].startswith("task 'permutation 1': the loss became")
    assert [run.name for run in Experiment(recipe, tmp_path / "out").waiting()] == ["ewc-0"]


@pytest.mark.slow
def test_a_worker_killed_by_sigkill_is_retried_and_the_results_are_the_same(tiny: Path, tmp_path: Path) -> None:
    recipe = recipes.only(recipes.load(tiny, ["methods.ewc.training.steps=1500"]), ["ewc"])
    undisturbed = Experiment(recipe, tmp_path / "one").run()
    retried: list[str] = []

    def kill(event: Event) -> None:
        if event.kind == "progress" and event.message["task"] == 1 and not retried:
            for pid in children():
                os.kill(pid, signal.SIGKILL)
        if event.kind == "retried":
            retried.append(event.error)

    disturbed = Experiment(recipe, tmp_path / "two").run(tell=kill)
    assert retried == ["the worker was killed by SIGKILL"]
    assert numbers(disturbed) == numbers(undisturbed)
    assert weights(tmp_path / "two") == weights(tmp_path / "one")


@pytest.mark.slow
def test_ctrl_c_saves_says_how_to_go_on_and_going_on_gives_the_same_numbers(tiny: Path, tmp_path: Path) -> None:
    options = [str(tiny), "--methods", "finetune", "--set", "training.steps=4000"]
    command = [sys.executable, "-m", "lifelong", "run", *options, "--out"]
    with subprocess.Popen([*command, "two"], cwd=tmp_path, stderr=subprocess.PIPE, text=True, start_new_session=True) as process:
        assert process.stderr is not None
        assert process.stderr.readline() == "finetune, seed 0: task 1/2, 0 % of the run\n"
        threading.Timer(0.5, os.killpg, (process.pid, signal.SIGINT)).start()
        said = process.stderr.read()
    assert process.returncode == 130
    assert "Stopped; everything is saved in two. The same command goes on from there: lifelong run " in said
    assert "Traceback" not in said
    assert read_json(tmp_path / "two" / "results.json")["runs"][0]["status"] == "running"
    manifest = json.loads((tmp_path / "two" / "runs" / "finetune-0" / "manifest.json").read_text())
    assert manifest["unfinished"]["task"] == "permutation 1"

    for folder in ("two", "one"):
        assert subprocess.run([*command, folder], cwd=tmp_path, capture_output=True, check=False).returncode == 0
    one, two = (read_json(tmp_path / folder / "results.json") for folder in ("one", "two"))
    assert numbers(one) == numbers(two)
    assert weights(tmp_path / "one") == weights(tmp_path / "two")


CLASSES = "stream={name='split-mnist', scenario='class'}"


def done_here(recipe: recipes.Recipe, out: Path, label: str, position: int = 0) -> tuple[dict[str, Any], Learner]:
    """One run of an experiment in this process, of the seed at a position: its result and its learner."""
    experiment = Experiment(recipe, out, 2)
    run = [run for run in experiment.runs if run.label == label][position]
    run.file.parent.mkdir(parents=True)
    request = Request(recipe.model_dump(), label, run.seed, 2, str(run.file), run.config)
    work(request, io.StringIO())
    return read_json(run.file), Learner.open(run.file.with_suffix(""))


def test_a_run_has_the_networks_and_outputs_that_the_recipe_says(tiny: Path, tmp_path: Path) -> None:
    changes = [CLASSES, "training.steps=2", "methods.finetune.network.hidden=[5]"]
    for outputs, operations in (("seen", ["add_classes"] * 2), ("all", ["declare_classes", *["add_classes"] * 2])):
        recipe = recipes.load(tiny, [*changes, f"outputs={outputs}"])
        result, learner = done_here(recipe, tmp_path / outputs, "finetune")
        assert result["config"]["outputs"] == outputs
        assert result["config"]["network"] == {"name": "mlp", "inputs": 784, "hidden": [5]}
        assert result["cost"]["parameters"] == 784 * 5 + 5 + 5 * 4 + 4
        assert [each["operation"] for each in learner.journal] == operations
        assert learner.heads.classes == [[0, 1, 2, 3]]


def test_a_run_tells_how_it_does_when_told_the_task(tiny: Path, tmp_path: Path) -> None:
    recipe = recipes.load(tiny, [CLASSES, "training.steps=20"])
    result, learner = done_here(recipe, tmp_path / "class", "finetune")
    told = result["told"]
    assert told.keys() == {"matrix", "initial", "summary"}
    assert told["matrix"] == to_json(learner.told)["matrix"]
    assert told["summary"].keys() == result["summary"].keys()
    assert told["summary"]["accuracy"] >= result["summary"]["accuracy"]
    assert "told" not in done_here(recipes.load(tiny, ["training.steps=2"]), tmp_path / "domain", "finetune")[0]


def test_what_a_generator_draws_is_in_the_first_seeds_result(tiny: Path, tmp_path: Path) -> None:
    changes = [CLASSES, "training.steps=2", "seeds=[4, 7]", "methods.generative-replay.generator={hidden=[8], latent=2}"]
    recipe = recipes.load(tiny, changes)
    result, _ = done_here(recipe, tmp_path / "first", "generative-replay")
    (picture,) = result["pictures"]
    assert picture["title"] == "What the generator draws after task 2"
    assert base64.b64decode(picture["png"]).startswith(SIGNATURE)
    assert done_here(recipe, tmp_path / "other", "generative-replay", position=1)[0]["pictures"] == []
    assert done_here(recipe, tmp_path / "none", "finetune")[0]["pictures"] == []


def test_watching_is_a_setting_of_the_run_only_where_the_recipe_has_it(tiny: Path, tmp_path: Path) -> None:
    watched, plain = (Experiment(recipes.load(tiny, changes), tmp_path / "out") for changes in (["watch_every=7"], []))
    assert [run.config.get("watch_every") for run in watched.runs] == [7, 7]
    assert not any("watch_every" in run.config for run in plain.runs)
    record(plain)
    with pytest.raises(RecipeError, match="in ewc, seed 0, watch_every is null there and 7 now. Write to another folder with --out DIR"):
        watched.run()


def test_outputs_of_all_classes_are_for_the_class_scenario(tiny: Path, tmp_path: Path) -> None:
    with pytest.raises(RecipeError) as caught:
        Experiment(recipes.load(tiny, ["outputs=all"]), tmp_path / "out")
    assert str(caught.value) == ("outputs: 'all' is for streams of the scenario 'class', and 'permuted-mnist' has 'domain'; leave it out")


def record(experiment: Experiment) -> None:
    """Writes the experiment's runs as if they had been done."""
    (experiment.out / "runs").mkdir(parents=True)
    for run in experiment.runs:
        write_json(run.file, {"method": run.label, "seed": run.seed, "status": "finished", "config": run.config})


def test_nothing_is_left_to_do_when_every_run_is_finished(tiny: Path, tmp_path: Path) -> None:
    experiment = Experiment(recipes.load(tiny), tmp_path / "out")
    record(experiment)
    events: list[Event] = []
    assert len(experiment.run(tell=events.append)["runs"]) == 2
    assert events == []


@pytest.mark.parametrize(
    ("changes", "tasks", "message"),
    [
        (["methods.ewc.strength=7"], None, "in ewc, seed 0, methods.ewc.strength is 100.0 there and 7 now"),
        (["methods.ewc.network.hidden=[5]"], None, "in ewc, seed 0, network.hidden is [16] there and [5] now"),
        (["training.batch_size=7"], None, "in ewc, seed 0, training.batch_size is 10 there and 7 now"),
        (["stream.seed=5", "seeds=[1]"], None, "in ewc, seed 0, stream.seed is null there and 5 now"),
        ([], 1, "in ewc, seed 0, tasks is 2 there and 1 now"),
    ],
)
def test_a_folder_of_another_experiment_is_refused(tiny: Path, tmp_path: Path, changes: list[str], tasks: int | None, message: str) -> None:
    record(Experiment(recipes.load(tiny), tmp_path / "out"))
    with pytest.raises(RecipeError) as caught:
        Experiment(recipes.load(tiny, changes), tmp_path / "out", tasks).run()
    assert str(caught.value) == (
        f"{tmp_path / 'out'} holds another experiment: {message}. Write to another folder with --out DIR, or start over with --fresh"
    )


def test_starting_over_deletes_the_experiments_files_only(tiny: Path, tmp_path: Path) -> None:
    experiment = Experiment(recipes.load(tiny), tmp_path)
    record(experiment)
    write_json(tmp_path / "results.json", {})
    (tmp_path / "notes.txt").write_text("mine")
    experiment._delete()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["notes.txt", "runs", "tiny.toml"]
    assert not list((tmp_path / "runs").iterdir())


def test_two_runs_in_one_folder_are_refused(tiny: Path, tmp_path: Path) -> None:
    experiment = Experiment(recipes.load(tiny), tmp_path / "out")
    record(experiment)
    code = "import fcntl, sys; f = open(sys.argv[1], 'wb'); fcntl.flock(f, fcntl.LOCK_EX); print('held', flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path / "out" / ".lock")], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdin is not None
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(
            RecipeError, match="another `lifelong run` is working in .*; wait for its end, or write elsewhere with --out DIR"
        ):
            experiment.run()
        holder.stdin.close()


def test_what_is_wrong_is_found_before_any_work(tiny: Path, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"methods.ewc.training.optimizer.lrr: unknown argument"):
        Experiment(recipes.load(tiny, ["methods.ewc.training.optimizer.lrr=1"]), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_tasks_have_no_names_where_every_seed_has_its_own_stream(tiny: Path, tmp_path: Path) -> None:
    experiment = Experiment(recipes.load(tiny, ["stream.seed=run"]), tmp_path / "out")
    record(experiment)
    assert experiment.save()["stream"]["tasks"] == ["task 1", "task 2"]
