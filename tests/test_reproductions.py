"""Stored results, and docs/reproductions.md that is made from them."""

import importlib.util
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from lifelong import recipe as recipes
from lifelong.errors import RecipeError
from lifelong.results import difference, write_json
from report import synthetic

ROOT = Path(__file__).parent.parent
SPECIFICATION = importlib.util.spec_from_file_location("reproductions", ROOT / "tools" / "reproductions.py")
assert SPECIFICATION is not None and SPECIFICATION.loader is not None
tool = importlib.util.module_from_spec(SPECIFICATION)
SPECIFICATION.loader.exec_module(tool)

COMMAND = "lifelong run noisy-pair"
HIT, MISS = [[0.91, 0.95], [0.79, 0.96]], [[0.91, 0.95], [0.60, 0.98]]


@pytest.fixture
def out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of an experiment; stored results and the page go beside it."""
    monkeypatch.setattr(tool, "RESULTS", tmp_path / "results")
    monkeypatch.setattr(tool, "PAGE", tmp_path / "reproductions.md")
    monkeypatch.setattr(tool, "this_machine", lambda: "A processor, 2 cores")
    (tmp_path / "out").mkdir()
    return tmp_path / "out"


def run(method: str, seed: int, matrix: list[list[float]], **changes: Any) -> dict[str, Any]:
    """A run of noisy-pair; the settings of its stream are the same for all."""
    config = {"stream": {"name": "noisy-mnist"}, "tasks": 2, "training": {"epochs": 10}}
    return synthetic.run(method, seed, ["noisy", "clean"], initial=[0.1, 0.1], matrix=matrix, **{"config": config, **changes})


def store(out: Path, *runs: dict[str, Any], command: str = COMMAND, **options: Any) -> dict[str, Any]:
    results = synthetic.results(runs, ["noisy", "clean"], recipe="noisy-pair")
    write_json(out / "results.json", results)
    tool.store(out, command=command, **options)
    path = out.parent / "results" / f"{options.get('name') or 'noisy-pair'}.json"
    stored: dict[str, Any] = json.loads(path.read_text())
    return stored


def refusal(out: Path, *runs: dict[str, Any], **options: Any) -> str:
    with pytest.raises(RecipeError) as caught:
        store(out, *runs, **options)
    return str(caught.value)


def kept() -> dict[str, dict[str, Any]]:
    """What is in docs/results/."""
    return {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in sorted((ROOT / "docs" / "results").glob("*.json"))}


def table(page: str, method: str) -> list[list[str]]:
    return [[cell.strip() for cell in line.split("|")[1:-1]] for line in page.splitlines() if line.startswith(f"| {method} |")]


def test_the_page_is_what_is_made_of_the_stored_results() -> None:
    assert (ROOT / "docs" / "reproductions.md").read_text(encoding="utf-8") == tool.page(ROOT / "docs" / "results"), (
        "run python tools/reproductions.py write"
    )


def test_a_reproduction_that_failed_says_what_was_tried() -> None:
    for name, stored in kept().items():
        outside = [row for row in tool.compared(stored, name) if row.verdict == "outside"]
        silent = {row.method for row in outside if not row.note and row.method not in stored["tried"]}
        assert not silent, f"{name}: say it in the recipe's note, or with python tools/reproductions.py note"


def test_stored_runs_have_the_settings_that_their_command_gives() -> None:
    for name, stored in kept().items():
        recipe = recipes.load(stored["recipe"])
        changed = {run["method"] for run in stored["runs"] if "--set" in stored["commands"][run["command"]]["command"]}
        for method in stored["settings"].keys() - changed:
            had = stored["settings"][method]
            ours = {
                "stream": recipe.stream.model_dump(),
                "network": recipe.network_of(method).model_dump(),
                "training": recipe.training_of(method).described(),
            }
            stale = f"{name}, {method}: the recipe has other settings than its stored runs: run and store it anew"
            assert difference({key: had[key] for key in ours}, ours) is None, stale
            label = recipe.methods[method].method or method
            assert had["methods"][label].items() >= recipe.methods[method].arguments.items(), stale


def test_stored_results_tell_nothing_of_the_machine_but_its_kind() -> None:
    for name in kept():
        text = (ROOT / "docs" / "results" / f"{name}.json").read_text(encoding="utf-8")
        assert '"/' not in text and '"~' not in text, name


def test_what_is_stored_is_small_and_one_line_a_run(out: Path) -> None:
    stored = store(out, run("finetune", 0, HIT), run("finetune", 1, HIT), run("joint", 0, HIT, told=synthetic.told(0.98)))
    text = (out.parent / "results" / "noisy-pair.json").read_text()
    assert len([line for line in text.splitlines() if '"seed"' in line]) == 3
    assert stored["recipe"] == "noisy-pair"
    assert stored["stream"]["tasks"] == 2
    (command,) = stored["commands"]
    assert command["date"][:2] == "20"
    assert command | {"date": ""} == {
        "command": COMMAND,
        "date": "",
        "machine": "A processor, 2 cores",
        "lifelong": "0.1.0",
        "torch": "2.13.0",
        "python": "3.11.2",
        "threads": 1,
    }
    assert stored["settings"]["finetune"]["training"] == {"epochs": 10}
    first, _, joint = stored["runs"]
    assert first["seconds"] == 12.5
    assert first["values"].items() >= {"accuracy": 0.875, "R[1,1]": 0.91, "R[1,2]": 0.95, "R[2,1]": 0.79, "R[2,2]": 0.96}.items()
    assert joint["values"]["told.accuracy"] == 0.98
    assert "told.accuracy" not in first["values"] and "matrix" not in first


def test_storing_again_adds_runs_and_replaces_those_of_the_same_method_and_seed(out: Path) -> None:
    store(out, run("joint", 0, MISS), run("finetune", 0, MISS), run("finetune", 1, MISS))
    tool.note("noisy-pair", "finetune", "three learning rates")
    other = f"{COMMAND} --seeds 0,2"
    stored = store(out, run("finetune", 2, HIT), run("finetune", 0, HIT), command=other)
    found = [(one["method"], one["seed"], one["values"]["R[2,1]"], stored["commands"][one["command"]]["command"]) for one in stored["runs"]]
    assert found == [
        ("finetune", 0, 0.79, other),
        ("finetune", 1, 0.6, COMMAND),
        ("finetune", 2, 0.79, other),
        ("joint", 0, 0.6, COMMAND),
    ]
    assert stored["tried"] == {"finetune": ["three learning rates"]}
    assert stored["settings"].keys() == {"finetune", "joint"}
    again = store(out, run("finetune", 1, HIT), run("joint", 0, HIT), command=other)
    assert [one["command"] for one in again["commands"]] == [other], "a command that gave none of the runs is dropped"


def test_runs_with_other_settings_are_not_mixed(out: Path) -> None:
    store(out, run("finetune", 0, HIT), run("joint", 0, HIT))
    changed = {"stream": {"name": "noisy-mnist"}, "tasks": 2, "training": {"epochs": 20}}
    assert refusal(out, run("finetune", 0, MISS, config=changed)) == (
        "the stored runs of finetune in noisy-pair.json have other settings: training.epochs is 10 there and 20 now. Drop them with "
        "--replace, or store these under another name with --name"
    )
    stored = store(out, run("finetune", 1, MISS, config=changed), replace=True)
    assert [(one["method"], one["seed"]) for one in stored["runs"]] == [("finetune", 1), ("joint", 0)]

    another = {"stream": {"name": "noisy-mnist", "noise": 1.0}, "tasks": 2, "training": {"epochs": 20}}
    told = refusal(out, run("independent", 0, HIT, config=another))
    assert told.startswith("the stored runs of joint in noisy-pair.json have other settings: stream.noise is null there and 1.0 now. ")
    aside = store(out, run("finetune", 0, MISS, config=another), name="noisier-pair")
    assert [one["seed"] for one in aside["runs"]] == [0]


def test_the_page_shows_ours_beside_the_published_with_verdict_cost_and_source(out: Path) -> None:
    (out.parent / "results").mkdir()
    (out.parent / "results" / "earlier.md").write_text("## Earlier records\n")
    store(out, run("finetune", 0, HIT), run("finetune", 1, HIT), synthetic.failed("finetune", 2, "the loss | became infinite"))
    tool.note("noisy-pair", "finetune", "three learning rates")
    tool.note("noisy-pair", "finetune", "three learning rates")
    tool.write()
    page = (out.parent / "reproductions.md").read_text()
    first = table(page, "finetune")[0]
    assert first == [
        "finetune",
        "task 1 after task 1",
        "2 of 3",
        "91.0 ± 0.0",
        "90.0",
        "+1.0",
        "3.0",
        "within",
        "13",
        "Hung-yi Lee, Life Long Learning, read from the slide",
    ]
    assert [row[2:9] for row in table(page, "joint")] == [
        ["0", "–", published, "–", "3.0", "not run", "–"] for published in ("89.0", "98.0")
    ]
    assert "- [noisy-pair](#noisy-pair): 4 within, 2 not run\n" in page
    assert "scenario “domain”, data embedded mnist (4000)." in page
    assert f"- `{COMMAND}` (20" in page
    assert "; A processor, 2 cores; lifelong 0.1.0, torch 2.13.0, python 3.11.2)\n" in page
    assert "- finetune, tried: three learning rates\n- finetune, seed 2, failed: the loss | became infinite\n" in page
    assert page.endswith("\n## Earlier records\n")


def test_what_is_outside_stays_and_a_method_without_published_numbers_has_its_accuracy(out: Path) -> None:
    store(out, run("finetune", 0, MISS), run("ewc", 0, HIT))
    store(out, run("joint", 0, HIT), command=f"{COMMAND} --methods joint")
    page = tool.page(out.parent / "results")
    assert [row[7] for row in table(page, "finetune")] == ["within", "within", "outside", "within"]
    assert [row[1:] for row in table(page, "ewc")] == [["accuracy", "1", "87.5", "–", "–", "–", "–", "12", "nothing published"]]
    assert f"- finetune, ewc: `{COMMAND}` (" in page and f"- joint: `{COMMAND} --methods joint` (" in page


def test_under_another_name_only_what_was_run_is_compared(out: Path) -> None:
    store(out, run("finetune", 0, HIT), name="noisy-again")
    page = tool.page(out.parent / "results")
    assert "- [noisy-again](#noisy-again): 4 within\n" in page
    assert table(page, "joint") == []


def test_runs_that_have_not_ended_are_left_out_and_told(out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    running = {"method": "joint", "seed": 0, "status": "running", "config": {}}
    stored = store(out, run("finetune", 0, HIT), running)
    assert [one["method"] for one in stored["runs"]] == ["finetune"]
    assert capsys.readouterr().out == "noisy-pair.json: 1 runs stored, 1 left out that have not finished\n"
    assert "has no run that has ended; let the command finish first" in refusal(out, running)


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("lifelong run demo", "these are results of `lifelong run noisy-pair`; give the command that made them"),
        (f"{COMMAND} --tasks 1", "a part of the stream can't be compared with what is published of all of it"),
        (f"{COMMAND} --out /some/where", "leave out the paths of this machine"),
        (f"{COMMAND} --set stream.data=/some/where", "leave out the paths of this machine"),
    ],
)
def test_a_command_that_others_could_not_repeat(out: Path, command: str, message: str) -> None:
    assert refusal(out, run("finetune", 0, HIT), command=command) == f"--command {command!r}: {message}"
    assert not (out.parent / "results").exists()


def test_a_note_on_what_is_not_there(out: Path) -> None:
    store(out, run("finetune", 0, HIT))
    with pytest.raises(RecipeError, match="no runs of 'noisy-pear' are stored; did you mean 'noisy-pair'"):
        tool.note("noisy-pear", "finetune", "nothing")
    with pytest.raises(RecipeError, match="recipe 'noisy-pair' has no method 'fine-tune'; did you mean 'finetune'"):
        tool.note("noisy-pair", "fine-tune", "nothing")


def test_a_mistake_is_one_message(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["reproductions", "store", str(out), "--command", COMMAND])
    with pytest.raises(SystemExit, match="^reproductions: there is no results.json in "):
        tool.main()


def test_the_machine_is_its_processor_and_cores() -> None:
    assert tool.this_machine().endswith(" cores")
