"""The lecture as one self-contained page in two languages, switched without scripts."""

import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from importlib.metadata import version
from pathlib import Path

from lifelong.lecture.section import LANGUAGES, Json, Language, Section, Shown, Words
from lifelong.report import units


@dataclass(frozen=True)
class Part:
    """A section as the page shows it.

    Attributes:
        shown: its content by language; None: it was not run yet.
        command: what reproduces it alone.
        seconds: what its work took.
    """

    section: Section
    shown: Mapping[Language, Shown] | None
    command: str
    seconds: float


FIXED: dict[str, Words] = {
    "title": Words("Life long learning", "終身學習"),
    "kind": Words("lifelong · a lecture with its demonstrations", "lifelong · 一堂課，連同它的每個示範"),
    "lead": Words(
        "The demonstrations of Hung-yi Lee's lecture “Life Long Learning”, each one run by this library. Every number and every picture on "
        "this page comes from that run.",
        "李宏毅老師「Life Long Learning」課程中的示範，每一個都由這個套件實際跑過。頁面上的每個數字、每張圖都來自這次執行。",
    ),
    "contents": Words("Contents", "目錄"),
    "command": Words("Run it alone", "單獨執行"),
    "code": Words("In the code", "程式碼在"),
    "took": Words("Its work took", "花費"),
    "missing": Words("This section has not been run yet.", "這一節還沒有跑。"),
    "environment": Words("Environment", "環境"),
    "length": Words("Length", "版本"),
    "short": Words("the short lecture, on data that come with the library", "短版，用套件內附的資料"),
    "full": Words("the full lecture", "完整版"),
    "work": Words("Work", "總計算時間"),
}


def parts(
    sections: Sequence[Section], measured: Mapping[str, Mapping[str, Json]], commands: Mapping[str, str], seconds: Mapping[str, float]
) -> list[Part]:
    """Every section with its content in both languages, where it was measured."""
    return [
        Part(
            section,
            {language: section.show(measured[section.name], language) for language in LANGUAGES} if section.name in measured else None,
            commands[section.name],
            seconds[section.name],
        )
        for section in sections
    ]


def page(shown: Sequence[Part], *, full: bool) -> str:
    """The page as a string."""
    import jinja2
    from markupsafe import Markup

    template = resources.files("lifelong.lecture").joinpath("page.html.jinja").read_text(encoding="utf-8")
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters["drawn"] = Markup
    environment.filters["unbroken"] = lambda words: words.replace(" %", "\u00a0%")  # the sign never alone on a new line
    return environment.from_string(template).render(
        parts=shown,
        languages=LANGUAGES,
        fixed=FIXED,
        full=full,
        total=units.seconds(sum(part.seconds for part in shown)),
        seconds=units.seconds,
        environment=f"lifelong {version('lifelong')}, torch {version('torch')}, Python {platform.python_version()}",
    )


def write_page(shown: Sequence[Part], path: Path, *, full: bool) -> None:
    """Writes the page, whole or not at all."""
    beside = path.with_name(path.name + ".part")
    beside.write_text(page(shown, full=full), encoding="utf-8")
    os.replace(beside, path)
