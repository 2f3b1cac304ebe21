"""A section of the lecture: what it claims, what is measured for it, and how that is shown. Nothing here imports torch."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

Language = Literal["en", "zh"]
LANGUAGES: tuple[Language, ...] = ("en", "zh")
Json = dict[str, Any]
Measured = Mapping[str, Json]


class Words(NamedTuple):
    """The same words in English and in Chinese."""

    en: str
    zh: str

    def said(self, language: Language) -> str:
        """Them in one language."""
        return self.zh if language == "zh" else self.en


class Picture(NamedTuple):
    """A picture of the page.

    Attributes:
        image: one SVG element with its text alternative.
        caption: what to look for.
    """

    image: str
    caption: str


class Table(NamedTuple):
    """A table of the page; the first column names its rows."""

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True)
class Shown:
    """A section's content in one language: paragraphs, pictures and tables, in this order."""

    text: Sequence[str] = ()
    pictures: Sequence[Picture] = ()
    tables: Sequence[Table] = ()


@dataclass(frozen=True)
class Section:
    """One demonstration.

    Attributes:
        name: what the command calls it, as in "two-tasks".
        title: its heading.
        claim: what it shows, in one sentence without numbers: numbers come from the run.
        show: the content from what was measured: for every recipe its results and for every measure what it returned, by their names.
        code: where it lives: files and folders, from the repository's root.
        recipes: the recipes that it runs, each with the settings (`key=value`) that `--full` changes.
        measures: what it measures beside recipes: each takes whether the lecture is the full one, and returns what JSON can hold. Run in a
            process of its own, again from its start where it was interrupted.
    """

    name: str
    title: Words
    claim: Words
    show: Callable[[Measured, Language], Shown]
    code: Sequence[str]
    recipes: Mapping[str, Sequence[str]] = field(default_factory=dict)
    measures: Mapping[str, Callable[[bool], Json]] = field(default_factory=dict)
