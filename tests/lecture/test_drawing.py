import math
from xml.etree import ElementTree

import pytest

from lifelong.lecture.drawing import Bars, Series, bars, columns, lines, matrix, percent, width_of

NAMESPACE = "{http://www.w3.org/2000/svg}"


def parsed(picture: str) -> ElementTree.Element:
    return ElementTree.fromstring(picture)


def words(picture: str) -> list[str]:
    return [element.text or "" for element in parsed(picture).iter(f"{NAMESPACE}text")]


def about(picture: str) -> str:
    return parsed(picture).findtext(f"{NAMESPACE}desc") or ""


def test_bars_are_as_long_as_their_numbers() -> None:
    drawn = bars("Both", ["first", "第二"], [Bars("before & after", [0.25, 0.5]), Bars("then", [1.0, math.nan])])
    boxes = [element for element in parsed(drawn).iter(f"{NAMESPACE}rect") if element.get("fill") != "#f6f7f8"]
    lengths = [float(box.get("width", "0")) for box in boxes]
    assert len(lengths) == 3
    assert lengths[1] == pytest.approx(2 * lengths[0], abs=0.02)
    assert lengths[2] == pytest.approx(4 * lengths[0], abs=0.05)
    assert about(drawn) == "before & after: first 25 %, 第二 50 %; then: first 100 %, 第二 –"
    assert {"before & after", "25 %", "–"} <= set(words(drawn))


def test_lines_have_a_legend_a_text_alternative_and_a_gap_where_undefined() -> None:
    drawn = lines("Curves", [Series("ewc", [(1, 0.9), (2, math.nan), (3, 0.7)]), Series("joint", [(1, 0.8), (3, 0.95)], True)], "tasks")
    assert about(drawn) == "ewc: 1 → 90 %, 2 → –, 3 → 70 %; joint: 1 → 80 %, 3 → 95 %"
    assert {"ewc", "joint", "tasks"} <= set(words(drawn))
    paths = [element.get("d", "") for element in parsed(drawn).iter(f"{NAMESPACE}path")]
    assert paths[0].count("M") == 2
    dashes = [element.get("stroke-dasharray") for element in parsed(drawn).iter(f"{NAMESPACE}path")]
    assert dashes == [None, "6 4"]


def test_many_names_get_more_rows_of_legend() -> None:
    few, many = (
        parsed(lines("t", [Series(f"a rather long name {i}", [(0, 0.5), (1, 0.5)]) for i in range(count)], "x")) for count in (2, 7)
    )
    assert float(many.get("height", "0")) > float(few.get("height", "0"))


def test_a_matrix_shows_its_numbers_and_hatches_what_is_undefined() -> None:
    drawn = matrix("R", [[0.1, math.nan], [0.956, 0.02]], ["before", "after 1"], ["task 1", "task 2"], framed=[(1, 0)])
    assert {"10", "96", "2", "before", "task 2"} <= set(words(drawn))
    assert about(drawn) == "before: 10 %, –; after 1: 96 %, 2 %"
    assert len([e for e in parsed(drawn).iter(f"{NAMESPACE}rect") if e.get("stroke-width") == "1.5"]) == 1


def test_chinese_characters_are_wider() -> None:
    assert width_of("任務") > 1.5 * width_of("ab")


def test_percent_of_nothing() -> None:
    assert percent(math.nan) == "–"


def test_columns_are_as_high_as_their_numbers() -> None:
    drawn = columns("Tasks", ["alone", "together"], [Bars("1", [0.25, 1.0]), Bars("2", [math.nan, 0.5])], "task")
    heights = [float(box.get("height", "0")) for box in parsed(drawn).iter(f"{NAMESPACE}rect") if box.get("width") != "12"]
    assert heights == pytest.approx([heights[1] / 4, heights[1], heights[1] / 2], abs=0.05)
    assert about(drawn) == "1: alone 25 %, together 100 %; 2: alone –, together 50 %"
    assert {"alone", "together", "task", "1", "2"} <= set(words(drawn))
