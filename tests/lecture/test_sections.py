"""What every section of the lecture shows, made from the measurements of a real run, which docs/results/lecture/measured.json keeps."""

import copy
import importlib.util
import json
import re
from pathlib import Path
from types import ModuleType
from typing import Any
from xml.etree import ElementTree

import pytest

from lifelong.lecture.section import LANGUAGES, Language, Section, Shown
from lifelong.lecture.sections import SECTIONS

ROOT = Path(__file__).parents[2]
MEASURED: dict[str, dict[str, Any]] = json.loads((ROOT / "docs" / "results" / "lecture" / "measured.json").read_text())
SVG = "{http://www.w3.org/2000/svg}"
BY_NAME = [pytest.param(section, id=section.name) for section in SECTIONS]


def said(shown: Shown) -> str:
    """All that is to be read, pictures' text alternatives included."""
    rows = [cell for table in shown.tables for row in (table.columns, *table.rows) for cell in row]
    return "\n".join([*shown.text, *(picture.caption for picture in shown.pictures), *rows, *map(about, shown.pictures)])


def about(picture: Any) -> str:
    return ElementTree.fromstring(picture.image).findtext(f"{SVG}desc") or ""


def changed(value: Any) -> Any:
    """The same measurements with other fractions: what is from 0 to 1 and no whole number is halved."""
    if isinstance(value, dict):
        return {key: each if key == "config" else changed(each) for key, each in value.items()}
    if isinstance(value, list):
        return [changed(each) for each in value]
    return value / 2 if isinstance(value, float) and 0 < value < 1 else value


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("section", BY_NAME)
def test_a_section_shows_text_and_pictures_with_alternatives(section: Section, language: Language) -> None:
    measured = copy.deepcopy(MEASURED[section.name])
    shown = section.show(measured, language)
    assert measured == MEASURED[section.name]
    assert shown.text
    assert shown.pictures
    for picture in shown.pictures:
        root = ElementTree.fromstring(picture.image)
        assert root.tag == f"{SVG}svg"
        assert root.get("role") == "img"
        assert root.findtext(f"{SVG}title")
        assert len(about(picture)) > 20
        assert len(picture.image) < 400_000
    for table in shown.tables:
        assert {len(row) for row in table.rows} == {len(table.columns)}
    assert bool(re.search("[\u4e00-\u9fff]", said(shown))) == (language == "zh")
    assert "nan" not in said(shown)


@pytest.mark.parametrize("section", BY_NAME)
def test_other_measurements_are_other_words(section: Section) -> None:
    other = section.show(changed(MEASURED[section.name]), "en")
    assert said(other) != said(section.show(MEASURED[section.name], "en"))


@pytest.mark.parametrize("section", BY_NAME)
def test_a_section_measures_what_it_says_it_does(section: Section) -> None:
    assert set(MEASURED[section.name]) == {*section.recipes, *section.measures}


def tool() -> ModuleType:
    spec = importlib.util.spec_from_file_location("draw_lecture", ROOT / "tools" / "draw_lecture.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_tour_in_docs_is_what_the_measurements_give(tmp_path: Path) -> None:
    tool().write(MEASURED, tmp_path / "lecture")
    assert (tmp_path / "lecture.md").read_text() == (ROOT / "docs" / "lecture.md").read_text()
    made, kept = (
        {path.name: path.read_text() for path in folder.glob("*.svg")} for folder in (tmp_path / "lecture", ROOT / "docs" / "lecture")
    )
    assert made == kept
