"""docs/speed.md, which is made from what the benchmarks stored: from made-up results, and the one in docs."""

import importlib
import json
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "benchmarks" / "results"
SCRIPTS = (
    "speed",
    "speed_tables",
    "speed_peers",
    "speed_thousand",
    "step",
    "passes",
    "pieces",
    "common",
    "peers",
    "peers_work",
    "thousand",
    "ways",
    "stored",
)
MACHINE = {"processor": "A processor", "cores": 2, "torch": "2.13.0", "python": "3.11.7"}
SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(scope="module")
def speed() -> Any:
    """The script, which finds the others as scripts of one folder do."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(ROOT / "benchmarks")
        yield importlib.import_module("speed")
        for name in SCRIPTS:
            sys.modules.pop(name, None)


def run(cpu: float, accuracy: float, **others: Any) -> dict[str, Any]:
    """A run of `peers.py`."""
    return {"cpu_seconds": cpu, "seconds": 2 * cpu, "start_bytes": 3e8, "peak_bytes": 3.5e8, "steps": 40, "accuracy": accuracy, **others}


def compared(method: str, own: list[dict[str, Any]], peer: list[dict[str, Any]], **others: list[dict[str, Any]]) -> dict[str, Any]:
    """A method's runs with one seed after another, in a batch of 10."""
    libraries = {"lifelong": own, "avalanche": peer, **others}
    return {f"{method}, batch 10, {library}, seed {i}": each for library, runs in libraries.items() for i, each in enumerate(runs)}


def look(seconds: float, resident: float, of: int) -> dict[str, float]:
    return {"seconds": seconds, "resident": resident, "kept": 716880, "accuracy": 0.3456, "of": of}


def made_up() -> dict[str, Any]:
    """What each benchmark stores, as little of it as shows everything."""
    cost = {"train_seconds": 2.5, "evaluate_seconds": 0.5, "steps": 1000, "peak_memory_bytes": 4e8, "kept_bytes": 0}
    method: dict[str, Any] = {"settings": {}, "differences": "", "dearer": False, "scenario": "domain"}
    return {
        "step": {
            "settings": {"repeats": 15, "version": "0.1.0"},
            "entries": {
                "sgd; 784-100-100-10, batch 10": {"bare_seconds": 2e-4, "finetune": 1.04, "l2": 1.1, "ewc": 1.126, "si by hand": 1.3},
                "adam; 784-100-100-10, batch 10": {"bare_seconds": 1.2345e-3, "finetune": 0.98},
                "agem; 784-256-256-10, batch 128": {"bare_seconds": 1e-3, "agem": 1.22, "agem, by hand": 1.11},
                "gem, 19 earlier tasks; 784-100-100-10, batch 10": {"bare_seconds": 1e-3, "gem, 19 earlier tasks": 11.34},
            },
        },
        "peers": {
            "settings": {
                "versions": {"torch": "2.14.1", "avalanche-lib": "0.6.0"},
                "tasks": 5,
                "sizes": {"10": [[100, 100], 1000, 0.05]},
                "methods": {
                    "naive": method,
                    "si": {**method, "settings": {"strength": 0.1}, "differences": "Not the same."},
                    **dict.fromkeys(("mas", "lwf", "gem", "icarl", "ewc"), method),
                },
            },
            "entries": {
                # a step by hand takes 2 / 40 s
                **compared(
                    "naive",
                    [run(3, 0.90), run(2, 0.92), run(9, 0.91)],
                    [run(9, 0.5, seconds=27)] * 3,
                    bare=[run(1, 0.9), run(3, 0.9), run(2, 0.9)],
                ),
                **compared("si", [run(2, 0.90), run(4, 0.92)], [run(36, 0.872, steps=50), run(36, 0.892, importance_zero=True)]),
                **compared("mas", [run(2, 0.90), run(4, 0.92)], [run(18, 0.871), run(18, 0.891)]),
                **compared("lwf", [run(3, 0.7)], []),
                **compared("gem", [run(3, 0.7)] * 2, [run(3, 0.7), {"failed": "Traceback\nSolverNotFound: quadprog"}]),
                **compared("ewc", [run(2, 0.9)], [run(6, 0.9)], **{"lifelong, default": [run(5, 0.8)]}),
            },
        },
        "thousand": {
            "settings": {"tasks": 1000, "examples": 500, "batch": 10, "hidden": [100, 100]},
            "entries": {
                "finetune": {"10": look(0.015, 3e8, 1), "100": look(0.018, 3.2e8, 1), "1000": look(0.021, 4e8, 20)},
                "ewc": {"10": look(0.03, 3e8, 1), "100": look(0.03, 4e8, 1), "1000": look(0.033, 6e8, 20)},
                "si": {"10": look(0.02, 3e8, 1), "100": look(0.04, 4e8, 1)},
            },
        },
        "stream": {
            "settings": {"recipes": {"demo": "", "gem-rotations": "gem"}, "pair": ["gem-rotations", "--seeds", "2"], "version": "0.1.0"},
            "entries": {
                "two runs at once": {"one_after_another_seconds": 35.44, "at_once_seconds": 29.9, "ratio": 0.844},
                "recipe demo": {"seconds": 75.0, "runs": {"finetune": cost}},
            },
        },
        "ways": {
            "settings": {"networks": {}, "examples": 10000},
            "entries": {
                "compile, resnet, batch 32": {
                    "eager_seconds": 0.4,
                    "whole_ratio": 0.9,
                    "features_ratio": 1.05,
                    "compile_seconds": 12.34,
                    "compile_seconds_again": 4.2,
                    "steps_to_win_back": None,
                },
                "data, batch 10": {"memory, seconds": 0.1, "dataset, seconds": 1.5, "dataset, 2 workers, seconds": 2.25},
            },
        },
    }


def write(speed: Any, folder: Path, contents: dict[str, Any]) -> str:
    """The page, with its pictures beside it in the folder."""
    results = folder / "results"
    results.mkdir()
    for name, content in contents.items():
        (results / f"{name}.json").write_text(json.dumps({"machine": MACHINE, "seconds": 90.0, **content}), encoding="utf-8")
    speed.write(speed.read(results), folder)
    return (folder / "speed.md").read_text(encoding="utf-8")


@pytest.fixture
def page(speed: Any, tmp_path: Path) -> str:
    return write(speed, tmp_path, made_up())


def after(page: str, heading: str) -> str:
    """From a line on."""
    assert f"{heading}\n" in page
    return page.split(f"{heading}\n", 1)[1]


def row(page: str, first: str) -> list[str]:
    """The first row that begins so, without that."""
    line = next(line for line in page.splitlines() if line.startswith(f"| {first} |"))
    return [cell.strip() for cell in line.split("|")[2:-1]]


def test_steps_by_hand_are_in_microseconds_and_a_learners_are_ratios(page: str) -> None:
    assert row(page, "optimizer") == ["by hand, µs", "finetune", "l2", "ewc", "online-ewc", "si", "mas", "si by hand"]
    assert row(page, "sgd") == ["200", "1.04", "1.10", "1.13", "–", "–", "–", "1.30"]
    assert row(page, "adam") == ["1,234", "0.98", *["–"] * 6]
    assert row(page, "momentum") == ["not measured"] * 8
    assert row(after(page, "**784-256-256-10, batch 128**"), "sgd") == ["not measured"] * 8


def test_ratios_to_own_passes_are_beside_those_by_hand(page: str) -> None:
    no = "not measured"
    assert row(page, "agem") == [no, no, "1.22", "1.11", no, no]
    assert row(page, "gem, 19 earlier tasks") == ["11.3", "–", no, no, no, no]


def test_both_libraries_are_compared_by_medians_over_seeds(page: str) -> None:
    page = after(page, "### 10 examples a step")
    assert row(page, "naive") == ["3", "1.50", "4.50", "3.00", "4.50", "350 (+50)", "350 (+50)", "91.0 ± 1.0", "50.0 ± 0.0 ≠"]
    # 36 s in 50 steps; the standard error of the difference is 1.41 %
    assert row(page, "si") == ["2", "1.50", "14.4", "12.0", "12.0", "350 (+50)", "350 (+50)", "91.0 ± 1.4", "88.2 ± 1.4"]
    assert row(page, "mas")[-1] == "88.1 ± 1.4 ≠"
    assert row(page, "lwf") == ["0", *["not measured"] * 2, "–", "–", *["not measured"] * 4]
    assert row(page, "gem") == ["2", "1.50", "failed", "–", "–", "350 (+50)", "failed", "70.0 ± 0.0", "failed"]
    assert row(page, "ewc, with our defaults") == ["1", "2.50", "", "", "", "350 (+50)", "", "80.0", ""]
    # of 3, 12, 6 and 3; by the clock the first is 4.5
    assert row(page, "**geometric mean of 4**")[3:5] == ["**5.05**", "**5.58**"]
    assert "Network 784-100-100-10, 5 tasks of 1,000 examples, SGD with learning rate 0.05." in page


def test_what_must_be_said_of_a_row_is_said_below(page: str) -> None:
    peers = after(page, "### 10 examples a step").split("\n## ")[0]
    notes = [line for line in peers.splitlines() if line.startswith("- ")]
    assert notes == [
        "- ≠: the accuracies differ by more than twice the standard error of their difference: naive, mas.",
        "- si: not the same number of steps, 40 here and 50 in Avalanche.",
        "- si: every importance is 0 in Avalanche, so this is fine-tuning.",
        "- si (strength 0.1): Not the same.",
        "- gem, batch 10, avalanche: `SolverNotFound: quadprog` (1 of its runs)",
    ]


def test_a_life_is_seen_after_10_100_and_1000_tasks(page: str) -> None:
    part = after(page, "## A thousand tasks")
    assert row(part, "method") == ["ms a task after 10 tasks", "after 100", "after 1,000", "1,000 ÷ 10"]
    assert row(part, "finetune") == ["15.0", "18.0", "21.0", "1.40"]
    assert row(part, "si") == ["20.0", "40.0", "not measured", "not measured"]
    memory, kept = part.split("| method |")[2:4]
    assert row(memory, "finetune") == ["300.0 MB", "320.0 MB", "400.0 MB", "1.25"]
    assert row(kept, "finetune") == ["716.9 kB", "716.9 kB", "716.9 kB", "34.6 (1)", "34.6 (1)", "34.6 (20)"]


def test_recipes_and_ways(page: str) -> None:
    assert "**demo**: 1 min 15 s for the whole command." in page
    assert row(after(page, "## Whole recipes"), "finetune") == ["2.5 s", "500 ms", "1,000", "2,500", "400.0 MB", "0 B"]
    assert "**gem-rotations**: not measured." in page
    assert row(after(page, "## Whole recipes"), "gem") == ["not measured"] * 5
    assert row(page, "`lifelong run gem-rotations --seeds 2`") == ["35.4 s", "29.9 s", "0.84"]
    assert row(after(page, "### torch.compile"), "resnet, batch 32") == ["400,000", "0.90", "1.05", "12.3 s", "4.2 s", "never"]
    assert row(after(page, "### A second thread"), "resnet, batch 32") == ["not measured"] * 2
    assert row(page, "batch 10") == ["100 ms", "1.5 s", "2.2 s"]


def test_the_page_says_where_and_with_what_was_measured(page: str) -> None:
    machines = [line for line in page.split("## A step against", maxsplit=1)[0].splitlines() if line.startswith("- ")]
    assert machines == [
        "- Machine: A processor, 2 cores, torch 2.13.0, python 3.11.7.",
        "- lifelong 0.1.0.",
        "- lifelong and Avalanche side by side, in an environment of their own: torch 2.14.1, avalanche-lib 0.6.0.",
        "- Measuring took 8 minutes in all.",  # 5 times 90 seconds, rounded to even
        "- Here not measured: `pieces.py`.",
    ]
    assert "elsewhere" not in page


def test_tables_of_another_machine_say_so(speed: Any, tmp_path: Path) -> None:
    contents = made_up()
    contents["thousand"]["machine"] = {**MACHINE, "processor": "Another", "date": "2026-11-26"}
    page = write(speed, tmp_path, contents)
    said = "Measured elsewhere: Another, 2 cores, torch 2.13.0, python 3.11.7, date 2026-11-26."
    assert page.count(said) == page.count("elsewhere") == 1
    assert said in after(page, "## A thousand tasks").split("\n## ")[0]


def test_a_benchmark_that_was_not_run_is_not_measured(speed: Any, tmp_path: Path) -> None:
    (tmp_path / "speed").mkdir()
    (tmp_path / "speed" / "thousand.svg").write_text("of earlier results")
    page = write(speed, tmp_path, {"step": made_up()["step"]})
    assert "- Here not measured: `peers.py`, `thousand.py`, `stream.py`, `ways.py`, `pieces.py`." in page
    assert after(page, "### What failed").splitlines()[1] == "`benchmarks/peers.py`: not measured."
    assert "`benchmarks/step.py`: not measured" not in page
    assert "![" not in page
    assert list((tmp_path / "speed").iterdir()) == []


def test_without_any_results_nothing_is_measured(speed: Any, tmp_path: Path) -> None:
    page = write(speed, tmp_path, {})
    assert "- Machine: not measured." in page
    assert page.count("py`: not measured.") == len(speed.PLACES)
    assert "{{" not in page


def test_the_words_have_a_place_for_everything(speed: Any) -> None:
    words = speed.WORDS.read_text(encoding="utf-8").splitlines()
    places = [line.strip("{}") for line in words if line.startswith("{{")]
    assert sorted(places) == sorted(["machines", *speed.PLACES])


def test_a_place_that_is_none_is_refused(speed: Any) -> None:
    with pytest.raises(ValueError) as caught:
        speed.page({}, "# Speed\n\n{{pears}}\n")
    assert str(caught.value).startswith("speed_words.md has a place {{pears}}; did you mean 'peers'? Known: at once, ")


def test_pictures_have_their_main_numbers_as_alternative_text(page: str, tmp_path: Path) -> None:
    shown = {line.rpartition("(speed/")[2].rstrip(")"): line[2:].partition("](")[0] for line in page.splitlines() if line.startswith("![")}
    assert shown == {
        "peers-batch-10.svg": "Seconds of a training step, 10 examples, as multiples of the loop by hand: lifelong 1.00 to 1.50; "
        "Avalanche 3.00 to 14.4; Avalanche 5.05 times lifelong in the geometric mean of 4 methods",
        "thousand.svg": "Of 2 methods, a task after 1,000 takes at most 1.40 times the seconds of one after 10 (finetune), and resident "
        "memory is at most 1.50 times that after 100 (ewc)",
    }
    assert {path.name for path in (tmp_path / "speed").iterdir()} == set(shown)


def test_bars_are_as_long_as_their_numbers(page: str, tmp_path: Path) -> None:
    picture = ElementTree.parse(tmp_path / "speed" / "peers-batch-10.svg").getroot()
    assert picture.findtext(f"{SVG}title") == "Seconds of a training step, 10 examples, as multiples of the loop by hand"
    said = picture.findtext(f"{SVG}desc") or ""
    assert said.startswith("naive in lifelong 1.50; naive in Avalanche 4.50; si in lifelong 1.50; si in Avalanche 14.4;")
    assert said.endswith(
        "gem in lifelong 1.50; gem in Avalanche failed; icarl in lifelong not measured; icarl in Avalanche not measured; "
        "ewc in lifelong 1.00; ewc in Avalanche 3.00."
    )
    background, _, _, *bars = picture.findall(f"{SVG}rect")
    assert background.get("fill") == "#ffffff"
    widths = [float(bar.get("width", "nan")) for bar in bars]
    assert widths == pytest.approx([496 / 14.4 * value for value in (1.5, 4.5, 1.5, 14.4, 1.5, 9, 0, 0, 1.5, 0, 0, 0, 1, 3)], abs=0.01)
    by_hand = next(line for line in picture.findall(f"{SVG}line") if line.get("stroke-dasharray"))
    assert float(by_hand.get("x1", "nan")) - float(bars[0].get("x", "nan")) == pytest.approx(widths[-2], abs=0.02)


def test_points_of_a_life_are_where_their_numbers_are(page: str, tmp_path: Path) -> None:
    picture = ElementTree.parse(tmp_path / "speed" / "thousand.svg").getroot()
    points = [float(point.get("cx", "nan")) for point in picture.findall(f"{SVG}circle")][3:]  # without the legend's
    seconds, resident = points[:8], points[8:]
    assert [x - 96 for x in seconds] == pytest.approx([250 / 42 * ms for ms in (15, 18, 21, 30, 30, 33, 20, 40)], abs=0.01)
    assert [x - 96 - 340 for x in resident] == pytest.approx([250 / 630 * mb for mb in (300, 320, 400, 300, 400, 600, 300, 400)], abs=0.01)
    assert "si, ms a task: 20.0, 40.0, –" in (picture.findtext(f"{SVG}desc") or "")


@pytest.mark.skipif(not any(RESULTS.glob("*.json")), reason="no benchmark was run")
def test_the_page_in_docs_is_what_the_stored_results_give(speed: Any, tmp_path: Path) -> None:
    speed.write(speed.read(RESULTS), tmp_path)
    again = "run python benchmarks/speed.py"
    assert (tmp_path / "speed.md").read_text(encoding="utf-8") == (ROOT / "docs" / "speed.md").read_text(encoding="utf-8"), again
    made, kept = ({path.name: path.read_text() for path in (docs / "speed").glob("*.svg")} for docs in (tmp_path, ROOT / "docs"))
    assert made == kept, again
