"""Each example is run as its reader would run it, warnings being errors, and what it prints is true."""

import os
import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

from lifelong.testing.cases import Case
from lifelong.testing.checks import CHECKS, settings_of

EXAMPLES = Path(__file__).parent.parent / "examples"


def output(name: str) -> str:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-W", "error", str(EXAMPLES / f"{name}.py")]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout


def number(pattern: str, text: str) -> float:
    found = re.search(pattern.replace("#", r"([-+]?[\d.]+)"), text)
    assert found is not None, f"no {pattern!r} in:\n{text}"
    return float(found[1])


def test_every_example_has_a_test_and_is_short() -> None:
    tested = {name.removeprefix("test_") for name in globals() if name.startswith("test_")}
    for path in EXAMPLES.glob("*.py"):
        assert path.stem in tested
        assert len(path.read_text().splitlines()) <= 60, path


@pytest.mark.slow
def test_own_network() -> None:
    text = output("own_network")
    assert number("fine-tuning: # % of all six digits", text) < 40
    assert number("replay: # % of all six digits", text) > 80
    assert "outputs: [0, 1, 2, 3, 4, 5]\n" in text


@pytest.mark.slow
def test_own_data() -> None:
    text = output("own_data")
    assert "after june: cat, dog, horse, mouse\nafter july: cat, dog, horse, mouse, whale\n" in text
    assert "found: mouse, dog, horse\n" in text
    assert number("accuracy on all months: #", text) > 0.9


@pytest.mark.slow
def test_own_method() -> None:
    text = output("own_method")
    plain, own = (number(f"{name}: accuracy .*backward transfer #", text) for name in ("fine-tuning", "habit"))
    assert plain + 1 < own < 0.5
    assert "opened with Habit and EWC" in text
    assert "Habit: conforms.\n" in text


@pytest.mark.parametrize("check", CHECKS)
def test_the_examples_method_conforms(check: str, tmp_path: Path) -> None:
    kind = runpy.run_path(str(EXAMPLES / "own_method.py"))["Habit"]
    # its strength slows weights down and never stops them, so there is no strength at which the first task can't change
    case = Case(kind, {"strength": 100.0}, off={"strength": 0}, margin=0.0, baseline=True, rigid=False)
    for name, setting in list(settings_of(case, check))[:2]:
        CHECKS[check](case, setting, tmp_path / name)


@pytest.mark.slow
def test_adopt_classifier() -> None:
    text = output("adopt_classifier")
    adopted = number(r"EWC and replay: adopted with # %", text)
    assert adopted == number(r"fine-tuning: adopted with # %", text) > 90
    assert number("fine-tuning: after learning 8 and 9: # % of 0 to 7", text) < 30
    assert number("EWC and replay: after learning 8 and 9: # % of 0 to 7", text) > adopted - 6
    assert number("EWC and replay: .* of 0 to 7, # % of 8 and 9", text) > 70


@pytest.mark.slow
def test_adopt_new_classes() -> None:
    text = output("adopt_new_classes")
    shown = (EXAMPLES.parent / "docs" / "adopt.md").read_text()
    found: dict[str, tuple[float, float]] = {}
    for line in text.splitlines()[1:]:
        title, old, new = re.split(r"\s{2,}", line)
        found[title] = float(old), float(new)
        documented = number(re.escape(title) + r" +#", shown), number(re.escape(title) + r" +[\d.]+ +#", shown)
        assert documented == pytest.approx(found[title], abs=6)  # percent; another processor adds in another order
    assert len(found) == 8
    assert found["before"][0] > 90
    lost, learned = found["no old data: fine-tuning"]
    assert lost < 30
    assert learned > 90
    for title in ("no old data: LwF", "20 a digit remembered: replay", "20 a digit remembered: iCaRL", "20 a digit in the task: LwF"):
        assert found[title][0] > lost + 40
        assert found[title][1] > 50
    assert found["20 a digit in the task: LwF"][0] > found["20 a digit in the task: fine-tuning"][0] + 8


@pytest.mark.slow
def test_keep_for_years() -> None:
    text = output("keep_for_years")
    assert "next month: the process was killed in the middle of rotation 2" in text
    assert "a year later: rotation 1 (40°), rotation 2 (61°), rotation 3 (133°) learned" in text
    assert "the same weights as never having stopped: True\nthe same matrix: True\n" in text


@pytest.mark.slow
def test_ask_questions() -> None:
    said = output("ask_questions")
    assert number("alone: accuracy on the first kind #", said) < 0.3
    assert number("with replay: accuracy on the first kind #", said) > 0.8
    assert said.endswith("Where is Mary? office\n")
