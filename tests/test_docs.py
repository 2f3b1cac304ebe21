"""The pages in docs/: every method has one of the same shape, its example runs and prints what is shown, and every link leads somewhere."""

import contextlib
import importlib.util
import inspect
import io
import json
import re
import time
from pathlib import Path

import pytest
import torch

from lifelong import recipe as recipes
from lifelong.methods import METHODS

ROOT = Path(__file__).parent.parent
PAGES = ROOT / "docs" / "methods"
HEADINGS = [
    "Equation",
    "Example",
    "What it keeps",
    "What it costs",
    "When to use it, and when not",
    "Settings that matter",
    "Reproduction",
]
NUMBER = r"-?\d+(?:\.\d+)?"
DOCUMENTS = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]


def page(name: str) -> str:
    return (PAGES / f"{name}.md").read_text()


def section(name: str, heading: str) -> str:
    return page(name).split(f"\n## {heading}\n")[1].split("\n## ")[0].strip()


@pytest.mark.parametrize("name", METHODS)
def test_a_methods_page_has_the_shape_of_all(name: str) -> None:
    title, idea = re.split(r"\n+", page(name).split("\n## ")[0].replace(".\n", ". "), maxsplit=1)
    assert title.startswith("# ")
    assert len(re.findall(r"[.!?](?=\s|$)", idea.strip())) == 3, "the idea is told in three sentences"
    assert re.findall(r"^## (.*)$", page(name), re.MULTILINE) == HEADINGS
    assert section(name, "Equation").count("$$") >= 2
    assert f"]({name}.svg)" in section(name, "Settings that matter")


@pytest.mark.parametrize("name", METHODS)
def test_a_methods_page_names_its_settings(name: str) -> None:
    arguments = [p.name for p in inspect.signature(METHODS[name]).parameters.values() if p.kind is p.KEYWORD_ONLY]
    assert [argument for argument in arguments if f"`{argument}`" not in section(name, "Settings that matter")] == []


@pytest.mark.parametrize("name", METHODS)
def test_a_methods_page_names_the_recipes_with_published_numbers_of_it(name: str) -> None:
    published = set()
    for known in recipes.names():
        recipe = recipes.load(known)
        labels = [label for label, part in recipe.methods.items() if (part.method or label) == name]
        if any(number.method in labels for number in recipe.published):
            published.add(known)
    assert set(re.findall(r"reproductions\.md#([\w-]+)", section(name, "Reproduction"))) == published


@pytest.mark.parametrize("name", METHODS)
def test_a_methods_example_prints_what_is_shown(name: str) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", section(name, "Example"), re.DOTALL)
    (shown,) = re.findall(r"```text\n(.*?)```", section(name, "Example"), re.DOTALL)
    printed, threads = io.StringIO(), torch.get_num_threads()
    torch.set_num_threads(1)
    started = time.process_time()
    try:
        with contextlib.redirect_stdout(printed):
            exec(compile(code, f"{name}.md", "exec"), {"__name__": name})
    finally:
        torch.set_num_threads(threads)
    assert time.process_time() - started < 3
    assert re.sub(NUMBER, "#", printed.getvalue()) == re.sub(NUMBER, "#", shown)
    for ours, theirs in zip(re.findall(NUMBER, printed.getvalue()), re.findall(NUMBER, shown), strict=True):
        assert float(ours) == pytest.approx(float(theirs), abs=4)  # percent; another processor adds in another order


def test_the_pictures_are_drawn_from_the_numbers_kept() -> None:
    specification = importlib.util.spec_from_file_location("draw_settings", ROOT / "tools" / "draw_settings.py")
    assert specification is not None
    assert specification.loader is not None
    tool = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(tool)
    kept = json.loads((PAGES / "settings.json").read_text())
    assert list(kept["sweeps"]) == list(METHODS) == list(tool.SWEEPS)
    for name, (stream, sweeps) in tool.SWEEPS.items():
        described = [{"stream": stream, "setting": one.setting, "fixed": one.fixed, "values": one.values} for one in sweeps]
        assert [{key: one[key] for key in described[0]} for one in kept["sweeps"][name]] == described
        assert (PAGES / f"{name}.svg").read_text() == tool.picture(name, kept["sweeps"][name], kept["references"])


def test_the_index_links_to_every_methods_page() -> None:
    index = (PAGES / "README.md").read_text()
    assert [name for name in METHODS if f"| [{name}]({name}.md) |" not in index] == []
    assert {path.stem for path in PAGES.glob("*.md")} == {*METHODS, "README"}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(document: Path) -> None:
    prose = re.sub(r"```.*?```", "", document.read_text(), flags=re.DOTALL)
    targets = [target for target in re.findall(r"\]\(([^)\s]+)\)", prose) if not re.match(r"https?:|#", target)]
    assert [target for target in targets if not (document.parent / target.split("#")[0]).exists()] == []
