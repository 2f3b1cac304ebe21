"""The lecture's section on generative replay."""

import base64
import itertools
from xml.etree import ElementTree

import pytest

from lecture.made_results import made, rows, said
from lifelong.lecture.section import Json
from lifelong.lecture.sections.generative_replay import DRAWS, RECIPE, SECTION, SHOWN, agreed, draws
from lifelong.lecture.sheet import sheet

ENDS = {"finetune": 0.21, "generative-replay": 0.82, "replay": 0.73, "joint": 0.94}
PIXEL = "iVBORw0KGgo="


def drawn(share: float) -> Json:
    tasks = [[2 * i, 2 * i + 1] for i in range(5)]
    agree = [[(share if digit < 2 else 0.66) if digit < 2 * n else None for digit in range(10)] for n in range(1, 6)]
    agree[0][:2] = [0.9, 0.96]
    size = [579, 144]
    return {"png": PIXEL, "size": size, "digits": list(range(10)), "tasks": tasks, "agree": agree, "draws": 345, "judge": 0.97}


def measured(ends: dict[str, float], share: float = 0.57) -> dict[str, Json]:
    sizes = {label: [{"parameters": 5, "kept_bytes": 4000 + n * (label == "joint") * 1000} for n in range(1, 6)] for label in ends}
    return {RECIPE: made(RECIPE, {label: rows(5, end, end) for label, end in ends.items()}, sizes=sizes), DRAWS: drawn(share)}


def test_the_page_tells_accuracies_sizes_and_what_the_judge_says() -> None:
    shown = said(SECTION, measured(ENDS))
    for text in shown.values():
        for end in ENDS.values():
            assert f"{100 * end:.0f} %" in text
        for words in ("97 %", "345", "93 %", "57 %", "66 %", "4.0 kB", "5.0 kB", "9.0 kB", f"base64,{PIXEL}"):
            assert words in text, words
    assert "after 8, 9" in shown["en"]
    assert "學完 8、9" in shown["zh"]
    assert said(SECTION, measured(ENDS, share=0.11)) != shown
    assert said(SECTION, measured({**ENDS, "replay": 0.12})) != shown


def test_the_judges_share_is_the_mean_over_digits() -> None:
    assert agreed(drawn(0.5), 1, [0, 1]) == pytest.approx(0.93)
    assert agreed(drawn(0.5), 5, [1, 9]) == pytest.approx(0.58)


def test_a_sheet_names_its_rows_and_columns() -> None:
    page = ElementTree.fromstring(sheet("Drawn", "Two rows.", PIXEL, (200.0, 100.0), rows=["a", "b"], columns=["1", "2", "3", "4"]))
    places = {element.text: (element.get("x"), element.get("y")) for element in page.iter("{http://www.w3.org/2000/svg}text")}
    assert set(places) == {"a", "b", "1", "2", "3", "4"}
    across = [float(places[name][0] or 0) for name in "1234"]
    assert [after - before for before, after in itertools.pairwise(across)] == [50.0] * 3
    assert float(places["b"][1] or 0) - float(places["a"][1] or 0) == 50.0


def test_a_row_is_drawn_after_every_task(monkeypatch: pytest.MonkeyPatch) -> None:
    changes = ("training.steps=20", "methods.generative-replay.generator_steps=20", "network.hidden=[10]", "stream.classes_per_task=5")
    monkeypatch.setattr("lifelong.lecture.sections.generative_replay.FULL", changes)
    monkeypatch.setattr("lifelong.lecture.sections.generative_replay.COUNT", 100)
    found = draws(True)
    assert found["tasks"] == [[0, 1, 2, 3, 4], [5, 6, 7, 8, 9]]
    assert [value is None for value in found["agree"][0]] == [False] * 5 + [True] * 5
    assert None not in found["agree"][1]
    assert found["size"] == [29 * SHOWN * 10 - 1, 29 * 2 - 1]
    assert base64.b64decode(found["png"]).startswith(b"\x89PNG")
    assert found["judge"] > 0.7  # it learned from real digits of all kinds
