import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from lifelong.errors import RecipeError
from lifelong.lecture.page import Part, page, parts, write_page
from lifelong.lecture.run import chosen
from lifelong.lecture.section import LANGUAGES
from lifelong.lecture.sections import SECTIONS
from lifelong.recipe import load
from small_sections import BROKEN, COUNTING

ROOT = Path(__file__).parents[2]


def shown(number: int = 3) -> list[Part]:
    measured = {"counting": {"counted": {"number": number}}}
    commands = {"counting": "lifelong lecture counting", "broken": "lifelong lecture broken"}
    return parts([COUNTING, BROKEN], measured, commands, {"counting": 2.0, "broken": 0.0})


class Balance(HTMLParser):
    """Complains about tags that are not closed in their order."""

    EMPTY = ("meta", "link", "input")

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.ids += [value for name, value in attributes if name == "id" and value]
        self.links += [value for name, value in attributes if name == "href" and value and value.startswith("#")]
        if tag not in self.EMPTY:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_page_is_whole_in_both_languages() -> None:
    text = page(shown(), full=False)
    reader = Balance()
    reader.feed(text)
    assert reader.open == []
    assert len(set(reader.ids)) == len(reader.ids)
    assert {link.removeprefix("#") for link in reader.links} <= set(reader.ids)
    for words in (
        "It is 3.",
        "它是3。",
        "A claim.",
        "一個主張。",
        "On counting",
        "關於 counting",
        "lifelong lecture counting",
        "a &lt;caption&gt;",
    ):
        assert words in text
    assert text.count("This section has not been run yet.") == 1
    assert text.count("這一節還沒有跑。") == 1


def test_the_page_needs_nothing_beside_it() -> None:
    text = page(shown(), full=True)
    assert "<script" not in text
    assert set(re.findall(r'https?://[^"<\s]+', text)) == {"http://www.w3.org/2000/svg"}
    assert "the full lecture" in text


def test_other_numbers_are_another_page() -> None:
    assert "It is 4." in page(shown(4), full=False)
    assert "It is 3." not in page(shown(4), full=False)


def test_the_page_is_written_whole(tmp_path: Path) -> None:
    write_page(shown(), tmp_path / "lecture.html", full=False)
    assert [path.name for path in tmp_path.iterdir()] == ["lecture.html"]


def test_sections_are_chosen_in_the_lectures_order() -> None:
    assert chosen([]) == SECTIONS
    assert [section.name for section in chosen(["ewc-strength", "two-tasks"])] == ["two-tasks", "ewc-strength"]
    with pytest.raises(RecipeError) as refused:
        chosen(["two-task"])
    assert str(refused.value).startswith("the lecture has no section 'two-task'; did you mean 'two-tasks'? Known: ")


@pytest.mark.parametrize("section", SECTIONS, ids=lambda section: section.name)
def test_a_section_says_what_it_must(section: object) -> None:
    from lifelong.lecture.section import Section

    assert isinstance(section, Section)
    assert re.fullmatch(r"[a-z][a-z-]*", section.name)
    for language in LANGUAGES:
        assert section.title.said(language)
        # Numbers come from the run, never from the text.
        assert not re.search(r"\d", section.claim.said(language))
    assert re.search("[\u4e00-\u9fff]", section.claim.zh)
    assert not re.search("[\u4e00-\u9fff]", section.claim.en)
    for path in section.code:
        assert (ROOT / path).exists()
    assert section.recipes or section.measures
    for name, full in section.recipes.items():
        short, whole = load(name), load(name, full)
        assert short.methods.keys() == whole.methods.keys()
        assert short.model_dump() != whole.model_dump()


def test_names_are_used_once_and_a_shared_recipe_is_the_same_in_both() -> None:
    names = [section.name for section in SECTIONS]
    measures = [name for section in SECTIONS for name in section.measures]
    changes: dict[str, set[tuple[str, ...]]] = {}
    for section in SECTIONS:
        for name, full in section.recipes.items():
            changes.setdefault(name, set()).add(tuple(full))
    assert len(set(names)) == len(names)
    assert len(set(measures)) == len(measures)
    assert not set(measures) & set(changes)
    assert all(len(different) == 1 for different in changes.values())
