"""How methods grow, read back from the pictures: means, axes, labels."""

import itertools
import math
from typing import Any
from xml.etree import ElementTree

import pytest

from lifelong.report.charts import method_style
from lifelong.report.digest import MethodDigest, digest
from lifelong.report.sizes import accuracy_against_parameters, growth, sizes_of
from report import synthetic

TITLES = ["Parameters after each task", "Bytes kept after each task", "Accuracy against parameters"]


def digests(runs: dict[str, list[Any]], tasks: int = 3, **changes: Any) -> list[MethodDigest]:
    """Methods with the sizes of each seed; None: a run of older results."""
    names = synthetic.task_names(tasks)
    made = [
        synthetic.run(method, seed, names, **({} if sizes is None else {"sizes": sizes}), **changes)
        for method, seeds in runs.items()
        for seed, sizes in enumerate(seeds)
    ]
    return digest(synthetic.results(made, names))


def drawn(methods: list[MethodDigest]) -> list[ElementTree.Element]:
    styles = [method_style(i, method.baseline) for i, method in enumerate(methods)]
    return [ElementTree.fromstring(image) for _, image in growth(methods, styles)]


def against(parameters: dict[str, int], seeds: int = 1) -> ElementTree.Element:
    return drawn(digests({name: [[{"parameters": number, "kept_bytes": 0}] * 3] * seeds for name, number in parameters.items()}))[2]


def test_sizes_are_means_over_seeds():
    (ewc,) = digests({"ewc": [synthetic.growing(3, 100, 8), synthetic.growing(3, 300, 0)]})
    assert [one.mean for one in sizes_of(ewc, "parameters")] == [200, 400, 600]
    assert [one.mean for one in sizes_of(ewc, "kept_bytes")] == [4, 8, 12]


def test_sizes_of_the_last_tasks_only_belong_to_the_last_tasks():
    (ewc,) = digests({"ewc": [synthetic.growing(3, 100), synthetic.growing(3, 100)[2:]]})
    means = [one.mean for one in sizes_of(ewc, "parameters")]
    assert [math.isnan(mean) for mean in means] == [True, True, False]
    assert means[2] == 300


def test_nothing_where_no_run_has_sizes():
    methods = digests({"ewc": [None, None], "l2": [[]]})
    assert [sizes_of(method, "parameters") for method in methods] == [[], []]
    assert drawn(methods) == [] == drawn([])


def test_three_pictures_one_line_a_method():
    sizes = {"finetune": [synthetic.growing(3, 0, 0)], "ewc": [synthetic.growing(3, 50_000, 700_000)], "old": [None]}
    images = drawn(digests(sizes))
    assert [image.findtext("{*}title") for image in images] == TITLES
    for image in images[:2]:
        assert [bool(path.get("stroke-dasharray")) for path in image.iterfind("{*}path")] == [True, False]
    assert images[0].findtext("{*}desc") == "finetune from 0 to 0; ewc from 50,000 to 150,000."
    assert images[1].findtext("{*}desc") == "finetune from 0 B to 0 B; ewc from 700.0 kB to 2.1 MB."
    assert {"0 B", "500 kB", "1 MB", "1.5 MB", "2 MB"} <= {text.text for text in images[1].iterfind("{*}text")}


def test_points_are_where_they_belong():
    image = drawn(digests({"l2": [[{"parameters": number, "kept_bytes": 0} for number in (100, 200, 300)]]}))[0]
    at = {text.text: (float(text.get("x", 0)), float(text.get("y", 0))) for text in image.iterfind("{*}text")}
    points = [(float(c.get("cx", 0)), float(c.get("cy", 0))) for c in image.iterfind("{*}circle")]
    for (x, y), task, number in zip(points, "123", ("100", "200", "300"), strict=True):
        assert (x, y) == pytest.approx((at[task][0], at[number][1] - 4), abs=0.1)


def test_accuracy_against_parameters_in_words_and_with_an_error_bar():
    image = against({"ewc": 1000, "l2": 3000}, seeds=2)
    ewc, l2 = digests({"ewc": [None] * 2, "l2": [None] * 2})
    said = [f"{100 * m.measures['accuracy'].mean:.1f} ± {100 * m.measures['accuracy'].spread:.1f}" for m in (ewc, l2)]
    assert image.findtext("{*}desc") == f"Accuracy in percent with parameters: ewc {said[0]} with 1,000; l2 {said[1]} with 3,000."
    bars = [each for each in image.iterfind("{*}line") if each.get("stroke-width") == "1.5"]
    marker = next(image.iterfind("{*}circle"))
    assert len(bars) == 2
    assert bars[0].get("x1") == bars[0].get("x2") == marker.get("cx")
    assert (float(bars[0].get("y1", 0)) + float(bars[0].get("y2", 0))) / 2 == pytest.approx(float(marker.get("cy", 0)), abs=0.02)
    assert not [each for each in against({"ewc": 1000}).iterfind("{*}line") if each.get("stroke-width") == "1.5"], "one seed has no spread"


@pytest.mark.parametrize(("most", "logarithmic"), [(20_000, False), (20_001, True), (1000, False), (3_000_000, True)])
def test_parameters_are_logarithmic_beyond_a_ratio_of_20(most: int, logarithmic: bool):
    image = against({"ewc": 1000, "l2": most})
    texts = [text.text for text in image.iterfind("{*}text")]
    assert ("parameters, logarithmic" in texts, "parameters" in texts) == (logarithmic, not logarithmic)
    at = {text.text: float(text.get("x", 0)) for text in image.iterfind("{*}text")}
    ewc = float(next(image.iterfind("{*}circle")).get("cx", 0))
    if logarithmic:
        assert ewc == pytest.approx(at["1 k"], abs=0.1)
        assert at["10 k"] > at["1 k"]
    else:
        assert ewc > at["0"]


def boxes(image: ElementTree.Element, names: set[str]) -> list[tuple[float, float, float]]:
    """Where the methods' names are: left, right and baseline."""
    found = [(text, 0.56 * 12 * len(text.text or "")) for text in image.iterfind("{*}text") if text.text in names]
    return [(float(text.get("x", 0)), float(text.get("x", 0)) + length, float(text.get("y", 0))) for text, length in found]


@pytest.mark.parametrize("factor", [0, 1, 30])
def test_labels_do_not_cover_each_other_and_stay_inside(factor: int):
    names = ["finetune †", "l2", "ewc", "online-ewc", "si", "mas", "lwf", "icarl", "replay †", "der", "gem", "agem", "joint †", "packnet"]
    image = against({name.removesuffix(" †"): 90_000 * (1 + factor * (i % 3)) for i, name in enumerate(names)})
    placed = boxes(image, set(names))
    assert len(placed) == len(names)
    for one, other in itertools.combinations(placed, 2):
        assert one[1] <= other[0] or other[1] <= one[0] or abs(one[2] - other[2]) >= 13, (one, other)
    for left, right, y in placed:
        assert left >= 0 and right <= float(image.get("width", 0)) + 1 and 10 <= y <= float(image.get("height", 0)) - 25


def test_a_method_with_an_undefined_accuracy_has_no_point():
    names = synthetic.task_names(2)
    lost = synthetic.run("ewc", 0, names, initial=[None] * 2, matrix=[[None] * 2] * 2, sizes=synthetic.growing(2))
    methods = digest(synthetic.results([lost, synthetic.run("l2", 0, names, sizes=synthetic.growing(2))], names))
    image = drawn(methods)[2]
    assert "ewc" not in str(image.findtext("{*}desc"))
    undefined = accuracy_against_parameters("Accuracy", methods[:1], [method_style(0, False)])
    assert ElementTree.fromstring(undefined).findtext("{*}desc") == "Undefined."


def test_one_task():
    images = drawn(digests({"ewc": [[{"parameters": 10, "kept_bytes": 0}]]}, tasks=1))
    assert [image.findtext("{*}desc") for image in images[:2]] == ["ewc from 10 to 10.", "ewc from 0 B to 0 B."]
