"""The page, read back with parsers: self-contained, well-formed, and its numbers are the results' numbers."""

import base64
import re
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from lifelong.report import ReportError, write_page
from lifelong.report.digest import digest
from lifelong.report.page import page
from lifelong.report.png import png
from report import synthetic

EVIL = "<script>alert('x')</script>"
VOID = {"meta", "link", "br", "hr", "img", "input"}


class Reader(HTMLParser):
    """Collects tags with attributes and visible text, and checks that every element is closed in order."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.open: list[str] = []
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] != "style":
            self.words.append(data)

    @property
    def text(self) -> str:
        return re.sub(r"\s+", " ", " ".join(self.words))


def pictures(html: str) -> list[ElementTree.Element]:
    return [ElementTree.fromstring(found) for found in re.findall(r"<svg.*?</svg>", html, flags=re.DOTALL)]


def titled(html: str, title: str) -> ElementTree.Element:
    (found,) = [image for image in pictures(html) if image.findtext("{*}title") == title]
    return found


def cells_of(image: ElementTree.Element) -> list[str]:
    return [text.text or "" for text in image.iterfind("{*}text[@class='cell']")]


def evil_results() -> dict:
    names = [EVIL, "b&b"]
    runs = [synthetic.run("ewc", 0, names), synthetic.run(EVIL, 0, names, keeps=EVIL, config={EVIL: EVIL}), synthetic.failed("l2", 0, EVIL)]
    published = [{"method": EVIL, "measure": "accuracy", "value": 0.9, "source": EVIL}]
    results = synthetic.results(runs, names, recipe=EVIL, description=EVIL, published=published, date=EVIL, baselines=[EVIL])
    table = synthetic.table(title=EVIL, rows=[EVIL, "b&b"], columns=[EVIL, '"', "'"])
    runs[1] |= {"sizes": synthetic.growing(2), "curves": {EVIL: [[1, 0.5]], "b&b": [[1, None], [2, 0.5]]}, "tables": [table]}
    results["stream"] |= {"name": EVIL, "scenario": EVIL, "data": EVIL}
    results["environment"] = {EVIL: EVIL}
    return results


CASES = {
    "usual": synthetic.several(),
    "class": synthetic.several(scenario="class"),
    "one task": synthetic.several(tasks=1, seeds=1, scenario="class"),
    "40 tasks": synthetic.several(tasks=40, seeds=1, methods=("finetune", "ewc")),
    "everything": synthetic.complete(),
    "everything, 40 tasks": synthetic.complete(tasks=40, seeds=1),
    "everything, one task": synthetic.complete(tasks=1, seeds=1, scenario="class"),
    "escapes": evil_results(),
    "only failures": synthetic.results([synthetic.failed("ewc", 0, "boom")], ["a", "b"]),
    "no runs": synthetic.results([], ["a"]),
    "a method undefined": synthetic.results(
        [synthetic.run("ewc", 0, ["a", "b"], initial=[None, None], matrix=[[None, None], [None, None]])], ["a", "b"]
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_page_is_self_contained_and_well_formed(case: str):
    html = page(CASES[case])
    reader = Reader(html)
    assert not [tag for tag, _ in reader.tags if tag in {"script", "img", "iframe", "object", "embed"}]
    addresses = [
        (name, value)
        for _, attributes in reader.tags
        for name, value in attributes.items()
        if name in {"href", "src", "srcset", "xlink:href"}
    ]
    assert addresses == [("href", "data:,")]
    assert "@import" not in html and "url(" not in html
    assert set(re.findall(r"https?://[^\s\"'<]+", html)) <= {"http://www.w3.org/2000/svg"}
    assert len(pictures(html)) == html.count("<svg")


@pytest.mark.parametrize("case", CASES)
def test_every_picture_has_a_text_alternative_or_is_decoration(case: str):
    for image in pictures(page(CASES[case])):
        if image.get("aria-hidden") == "true":
            continue
        assert image.get("role") == "img"
        assert image.get("aria-label")
        assert image.findtext("{*}title") and image.findtext("{*}desc")


@pytest.mark.parametrize("case", CASES)
def test_every_number_in_a_picture_is_finite(case: str):
    assert not re.search(r'="[^"]*\b(nan|inf)\b[^"]*"', page(CASES[case]).replace("aria-label", "aria"))


@pytest.mark.parametrize("scenario", ["domain", "class"])
def test_heat_map_cells_are_the_means_over_seeds(scenario: str):
    results = synthetic.several(tasks=4, seeds=3, methods=("ewc", "joint"), scenario=scenario)
    html = page(results)
    for method in ("ewc", "joint"):
        mean = np.mean([synthetic.matrix_like(method, 4, seed, scenario) for seed in range(3)], axis=0)
        expected = [f"{100 * value:.1f}" for value in mean.flat if not np.isnan(value)]
        assert cells_of(titled(html, f"Matrix of {method}")) == expected


def test_heat_map_hatches_what_is_undefined_and_frames_the_diagonal():
    image = titled(page(synthetic.several(tasks=3, seeds=1, methods=("ewc",), scenario="class")), "Matrix of ewc")
    (hatching,) = image.iterfind("{*}path")
    assert hatching.get("d").count("M") == 3 + 2 + 1
    assert len([cell for cell in image.iterfind("{*}rect") if cell.get("stroke")]) == 3


def test_heat_map_of_many_tasks_has_no_numbers_and_a_bounded_size():
    for tasks in (13, 60, 120):
        image = titled(page(synthetic.several(tasks=tasks, seeds=1, methods=("ewc",))), "Matrix of ewc")
        assert cells_of(image) == []
        assert float(image.get("width")) < 450
        assert len(list(image.iterfind("{*}rect"))) <= 48 * 49
        assert len(list(image.iterfind("{*}text"))) < 20


def test_labels_stay_inside_their_pictures():
    for tasks in (1, 5, 40, 300):
        for image in pictures(page(synthetic.complete(tasks=tasks, seeds=1, methods=("finetune", "online-ewc-with-a-long-name")))):
            width = float(image.get("width"))
            for text in image.iterfind("{*}text"):
                length = 0.56 * float(text.get("font-size")) * len(text.text)
                share = {"start": 0.0, "middle": 0.5, "end": 1.0}[text.get("text-anchor")]
                start = float(text.get("x")) - share * length
                assert start >= -4 and start + length <= width + 4, (tasks, text.text)


def test_one_line_a_task_and_one_panel_a_method():
    html = page(synthetic.several(tasks=5, methods=("finetune", "ewc")))
    for method in ("finetune", "ewc"):
        panel = titled(html, f"Accuracy of every task over time with {method}")
        solid = [path for path in panel.iterfind("{*}path") if not path.get("stroke-dasharray")]
        assert len(solid) == 5
        assert len({path.get("stroke") for path in solid}) == 5
    average = titled(html, "Accuracy on the tasks seen so far")
    assert [bool(path.get("stroke-dasharray")) for path in average.iterfind("{*}path")] == [True, False], "baselines are dashed"


def test_bars_show_mean_spread_and_every_seed():
    results = synthetic.several(seeds=3, methods=("finetune", "ewc"))
    image = titled(page(results), "Accuracy")
    assert len(list(image.iterfind("{*}rect"))) == 2
    assert len(list(image.iterfind("{*}circle"))) == 2 * 3
    numbers = [text.text for text in image.iterfind("{*}text[@class='number']")]
    assert numbers == [f"{100 * m.measures['accuracy'].mean:.1f} ± {100 * m.measures['accuracy'].spread:.1f}" for m in digest(results)]


def test_every_picture_is_followed_by_what_to_look_for():
    published = [{"method": "ewc", "measure": "accuracy", "value": 0.9, "source": "a paper"}]
    html, older = (page({**results, "published": published}) for results in (synthetic.complete(), synthetic.several()))
    sections = re.findall(r"<section>.*?</section>", html, flags=re.DOTALL)
    assert (len(sections), older.count("<section>")) == (12, 9)
    for section in sections[:-1]:
        assert len(re.findall(r'<p class="look">Look [^<]+\.</p>', section)) == 1


def test_what_must_be_said():
    results = synthetic.several(seeds=2)
    results["runs"] += [
        synthetic.failed("ewc", 2, "the loss became infinite"),
        {"method": "l2", "seed": 2, "status": "running", "config": {}},
    ]
    results["published"] = [
        {"method": "ewc", "measure": "R[3,1]", "value": 0.974, "source": "Kirkpatrick et al. 2017, Fig. 2A", "tolerance": 0.014}
    ]
    results["date"] = "1 April 2025"
    text = Reader(page(results)).text
    for words in (
        "demo",
        "Permuted digits, one after the other.",
        "permuted_mnist, 5 tasks, scenario “domain”",
        "embedded mnist (4000)",
        "lifelong 0.1.0, torch 2.13.0, python 3.11.2, 1 thread",
        "1 April 2025",
        "1 = permutation-1, 2 = permutation-2",
        "ewc, seed 2, failed: the loss became infinite",
        "l2, seed 2, has not finished yet",
        "2 of 3",
        "finetune †",
        "joint (all tasks' data at once: the upper bound)",
        "task 1 after task 3",
        "97.4",
        "1.4",
        "Kirkpatrick et al. 2017, Fig. 2A",
        "412.0 MB",
        "716.9 kB",
        "89,610",
        "850 ms",
        "6,250",
        "training.optimizer.lr",
        "strength 100",
        "statistics",
        "divided by T − 1",
    ):
        assert words in text, words


def test_published_numbers_have_verdicts_and_notes():
    results = synthetic.several(seeds=2)
    results["published"] = [
        {
            "method": "ewc",
            "measure": "accuracy",
            "value": 0.5,
            "source": "a paper",
            "tolerance": 0.01,
            "note": "Three strengths were tried",
        },
        {"method": "ewc", "measure": "accuracy", "value": 0.5, "source": "an aim", "bound": "least"},
    ]
    text = Reader(page(results)).text
    assert "1 within, 1 outside." in text
    assert "a paper. Three strengths were tried" in text
    assert "≥ 50.0" in text


def test_accuracy_where_the_task_is_told_is_a_column_when_a_run_has_it():
    results = synthetic.several(seeds=1)
    assert "told the task" not in page(results)
    next(run for run in results["runs"] if run["method"] == "ewc")["told"] = synthetic.told(0.987)
    html = page(results)
    rows = re.findall(r"<tr>.*?</tr>", html, flags=re.DOTALL)
    assert '<th scope="col">accuracy</th><th scope="col">accuracy, told the task</th>' in rows[0]
    assert [re.findall(r"<td>(.*?)</td>", row)[1] for row in rows[1:6]] == ["–", "–", "98.7", "–", "–"]
    assert "only its own classes compete" in Reader(html).text


def with_pictures(*pictures: dict) -> dict:
    results = synthetic.several(seeds=1, methods=("finetune", "ewc"))
    results["runs"][1]["pictures"] = list(pictures)
    return results


def test_pictures_of_a_run_are_in_the_page_with_a_text_alternative():
    image = base64.b64encode(png(np.zeros((2, 3), dtype=np.uint8))).decode()
    html = page(with_pictures({"title": "after task 1 <b>", "png": image}, {"title": "after task 2", "png": image}))
    shown = [attributes for tag, attributes in Reader(html).tags if tag == "img"]
    assert shown == [
        {"src": f"data:image/png;base64,{image}", "alt": "after task 1 <b>; ewc, seed 0"},
        {"src": f"data:image/png;base64,{image}", "alt": "after task 2; ewc, seed 0"},
    ]
    assert "What the generator draws" in html
    assert "What the generator draws" not in page(with_pictures())


@pytest.mark.parametrize("content", ["no base64!", base64.b64encode(b"<svg onload=alert(1)>").decode(), ""])
def test_a_picture_that_is_no_png(content: str):
    with pytest.raises(ReportError, match="^ewc, seed 0: the picture 'after task 1' is no PNG in base64$"):
        page(with_pictures({"title": "after task 1", "png": content}))


ADDED = ("How fast tasks are learned", "What the methods found out", "How the methods grow")


@pytest.mark.parametrize(("key", "heading"), [*zip(("curves", "tables", "sizes"), ADDED, strict=True)])
def test_a_section_is_there_only_when_a_run_has_what_it_shows(key: str, heading: str):
    results = synthetic.complete()
    assert heading in page(results)
    for run in results["runs"]:
        del run[key]
    html = page(results)
    assert [each in html for each in ADDED] == [each != heading for each in ADDED]


def test_runs_of_older_results_stand_beside_newer_ones():
    results = synthetic.complete(methods=("finetune", "ewc"))
    results["runs"] += synthetic.several(methods=("l2",))["runs"]
    html = page(results)
    assert [each in html for each in ADDED] == [True] * 3
    assert "l2" not in titled(html, "Parameters after each task").findtext("{*}desc")
    assert "l2" in titled(html, "Accuracy on the tasks seen so far").findtext("{*}desc")


def test_settings_shared_by_all_methods_are_told_once():
    html = page(synthetic.several())
    assert html.count("<b>training.epochs</b>") == 1
    assert html.count("<b>strength</b> 100") == 1


def test_names_are_escaped_everywhere():
    html = page(CASES["escapes"])
    assert "<script" not in html
    assert Reader(html).text.count("alert('x')") > 10


def test_undefined_measure_says_so_in_place_of_empty_axes():
    assert "Forward transfer: undefined here" in page(synthetic.several(scenario="class"))


def test_many_task_names_are_not_all_listed():
    text = Reader(page(synthetic.several(tasks=200, seeds=1, methods=("ewc",)))).text
    assert "3 = permutation-3, …, 200 = permutation-200" in text


def test_writing_replaces_the_page_and_leaves_nothing_beside_it(tmp_path: Path):
    target = tmp_path / "report.html"
    target.write_text("old")
    write_page(synthetic.several(tasks=2, seeds=1), target)
    assert target.read_text(encoding="utf-8").startswith("<!DOCTYPE html>")
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]


def test_the_same_results_give_the_same_page():
    assert page(synthetic.several()) == page(synthetic.several())
