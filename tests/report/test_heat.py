"""The heat maps of methods' tables, read back: cells, colours, names and words."""

import math
from xml.etree import ElementTree

import pytest

from lifelong.report import ReportError, svg
from lifelong.report.digest import digest
from lifelong.report.heat import table_map, tables
from report import synthetic


def drawn(**changes: object) -> ElementTree.Element:
    return ElementTree.fromstring(table_map("gate", synthetic.table(**changes)))


def numbers(image: ElementTree.Element) -> list[str]:
    return [text.text or "" for text in image.iterfind("{*}text[@class='cell']")]


def colours(image: ElementTree.Element) -> list[str]:
    return [cell.get("fill", "") for cell in image.iterfind("{*}rect") if cell.find("{*}title") is not None]


def test_cells_names_and_words():
    image = drawn()
    assert numbers(image) == ["0.00", "0.25", "1.00", "0.50", "0.13"]
    names = [text.text for text in image.iterfind("{*}text") if not text.get("class")]
    assert names == ["first", "second", "x", "y", "z"]
    assert image.findtext("{*}title") == "likeness with gate"
    assert image.findtext("{*}desc") == "first: x 0.00, y 0.25, z 1.00; second: x 0.50, y –, z 0.13."
    (strokes,) = image.iterfind("{*}path")
    assert strokes.get("d", "").count("M") == 1, "what is undefined is hatched"
    assert [cell.findtext("{*}title") for cell in image.iterfind("{*}rect")][:3] == ["first, x: 0.00", "first, y: 0.25", "first, z: 1.00"]


def test_fractions_are_coloured_from_0_to_1_whatever_there_is():
    assert colours(drawn(values=[[0.0, 0.25, 0.5], [0.5, 0.5, 0.5]]))[:3] == [svg.scale_colour(share) for share in (0.0, 0.25, 0.5)]


@pytest.mark.parametrize(
    ("values", "written", "shares"),
    [
        ([[0, 30, 1200], [600, 0, 0]], ["0", "30", "1,200", "600", "0", "0"], [0.0, 0.025, 1.0, 0.5, 0.0, 0.0]),
        ([[-1.0, 0.5, 3.0], [0.0, -0.001, 1.0]], ["−1.00", "0.50", "3.00", "0.00", "0.00", "1.00"], [0.0, 0.375, 1.0, 0.25, 0.24975, 0.5]),
        ([[12.345, 0.5, 1000.4], [0, 0, 0]], ["12.3", "0.5", "1e+03", "0", "0", "0"], None),
        ([[-2, -2, -2], [-2, -2, -2]], ["−2"] * 6, [0.0] * 6),
    ],
)
def test_other_numbers_are_coloured_from_the_least_to_the_most_with_0(values: list, written: list[str], shares: list[float] | None):
    image = drawn(values=values)
    assert numbers(image) == written
    if shares is not None:
        assert colours(image) == [svg.scale_colour(share) for share in shares]


def test_long_names_are_slanted_and_inside():
    names = [f"permutation number {i}" for i in range(3)]
    image = drawn(columns=names)
    slanted = [text for text in image.iterfind("{*}text") if text.get("transform")]
    assert [text.text for text in slanted] == names
    for text in slanted:
        x, y, length = float(text.get("x", 0)), float(text.get("y", 0)), 0.56 * 12 * len(text.text or "")
        assert x + math.cos(math.radians(40)) * length <= float(image.get("width", 0)) + 4
        assert y - math.sin(math.radians(40)) * length >= 0
    assert not [text for text in drawn().iterfind("{*}text") if text.get("transform")]


@pytest.mark.parametrize(("rows", "columns"), [(20, 13), (100, 100), (1, 300), (60, 3)])
def test_large_tables_have_a_bounded_size(rows: int, columns: int):
    values = [[float(i * j) for j in range(columns)] for i in range(rows)]
    image = drawn(rows=[str(i) for i in range(rows)], columns=[str(j) for j in range(columns)], values=values)
    assert len(numbers(image)) == (48 * 3 if columns == 3 else 0)
    assert len(list(image.iterfind("{*}rect"))) == min(rows, 48) * min(columns, 48)
    assert float(image.get("width", 0)) < 500
    assert image.findtext("{*}desc") == f"{rows} rows and {columns} columns of numbers, from 0 to {(rows - 1) * (columns - 1):g}."


def test_a_table_without_a_defined_value():
    image = drawn(values=[[None] * 3] * 2)
    assert len(list(image.iterfind("{*}rect"))) == 6
    assert numbers(image) == []


def test_an_empty_table():
    image = drawn(rows=[], columns=[], values=[])
    assert not list(image.iterfind("{*}rect"))


def test_tables_stand_under_their_methods_and_seeds():
    names = synthetic.task_names(2)
    runs = [
        synthetic.run("ewc", 4, names, tables=[synthetic.table(), synthetic.table(title="other")]),
        synthetic.run("ewc", 5, names, tables=[]),
        synthetic.run("l2", 4, names),
    ]
    found = tables(digest(synthetic.results(runs, names)))
    assert [(whose, title) for whose, title, _ in found] == [("ewc, seed 4", "likeness"), ("ewc, seed 4", "other")]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([[1.0, 2.0, 3.0]], "gate: the table 'likeness' has 1 rows of 3 values; expected 2 rows of 3, one for each name"),
        ([[1.0], [1.0, 2.0]], "gate: the table 'likeness' has 2 rows of 1, 2 values; expected 2 rows of 3, one for each name"),
        ([], "gate: the table 'likeness' has 0 rows of no values; expected 2 rows of 3, one for each name"),
    ],
)
def test_a_table_that_does_not_fit_its_names(values: list, message: str):
    with pytest.raises(ReportError) as caught:
        drawn(values=values)
    assert str(caught.value) == message
