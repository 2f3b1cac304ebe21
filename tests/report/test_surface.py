"""Error surfaces as pictures, read back: places, words, sizes."""

import math
from dataclasses import replace
from xml.etree import ElementTree

import pytest

from lifelong.landscape import Landscape, Surface, Sweep, Trajectory
from lifelong.report import svg
from lifelong.report.surface import COLOURS, MARKERS, default_styles, panels, side_by_side
from lifelong.report.surface_words import Words, held, wrapped

ACROSS = tuple(-1 + 6 * i / 60 for i in range(61))
UP = tuple(-1 + 4 * i / 40 for i in range(41))


def surface(task: str, centre: tuple[float, float], widths: tuple[float, float], low: float = 0.3) -> Surface:
    """A bowl whose loss is 0.2 at its centre."""
    values = [[0.2 + ((x - centre[0]) / widths[0]) ** 2 + ((y - centre[1]) / widths[1]) ** 2 for x in ACROSS] for y in UP]
    return Surface(task, tuple(map(tuple, values)), low=low, best=0.2)


SGD = Trajectory("SGD", ((0.0, 0.5), (1.0, 1.5), (2.0, 2.0)), (0.9, 0.21))
EWC = Trajectory("EWC", ((0.0, 0.5), (1.0, 0.5), (2.5, 0.5)), (0.22, 0.25))
FIRST = Trajectory("task 1", ((-0.5, 2.8), (-0.5, 0.8), (0.0, 0.5)), (0.2, 1.5))
WHOLE = Landscape(ACROSS, UP, (surface("task 1", (1.5, 0.5), (9, 1)), surface("task 2", (2.5, 1.5), (3, 3))), (SGD, EWC), FIRST)
WORDS = Words()


def read(image: str) -> ElementTree.Element:
    return ElementTree.fromstring(image)


def texts(image: ElementTree.Element) -> list[str]:
    return ["".join(each.itertext()) for each in image.iterfind(".//{*}text")]


def bold(image: ElementTree.Element) -> dict[str, tuple[float, float]]:
    """The names in the plot and where they are."""
    found = [each for each in image.iterfind(".//{*}text") if each.get("font-weight") == "700"]
    return {"".join(each.itertext()): (float(each.get("x", 0)), float(each.get("y", 0))) for each in found}


def plot(image: ElementTree.Element) -> ElementTree.Element:
    """The inner picture, where surfaces and paths are."""
    return next(image.iterfind("{*}g/{*}svg"))


def place(image: ElementTree.Element, x: float, y: float) -> tuple[float, float]:
    """The pixel of a place, from where the axes' numbers are."""
    group = next(image.iterfind("{*}g"))
    across = {each.text: float(each.get("x", 0)) for each in group.iterfind("{*}text") if each.get("text-anchor") == "middle"}
    up = {each.text: float(each.get("y", 0)) - 4 for each in group.iterfind("{*}text") if each.get("text-anchor") == "end"}
    return across["0"] + x * (across["2"] - across["0"]) / 2, up["0"] + y * (up["2"] - up["0"]) / 2


def test_a_panel_a_task_that_says_in_words_what_is_seen():
    first, second = map(read, panels(WHOLE))
    assert [each.findtext("{*}title") for each in (first, second)] == ["Error surface of task 1", "Error surface of task 2"]
    assert first.findtext("{*}desc") == (
        "darker: smaller loss; low error: loss up to 0.300; SGD ends at loss 0.900: too high; EWC ends at loss 0.220: low."
    )
    assert second.findtext("{*}desc") == (
        "darker: smaller loss; low error: loss up to 0.300; SGD ends at loss 0.210: low; EWC ends at loss 0.250: low."
    )
    assert first.get("role") == "img" and str(first.get("aria-label")).startswith("Error surface of task 1. darker")
    assert {"low error: loss up to 0.300", "low error on task 2", "learning task 1", "θ₁", "θ₂"} <= set(texts(first))
    assert "low error on task 1" in texts(second) and "learning task 1" not in texts(second)


def test_all_panels_in_one_picture():
    image = read(side_by_side(WHOLE))
    assert image.findtext("{*}title") == "Error surfaces of task 1, task 2"
    desc = str(image.findtext("{*}desc"))
    assert desc.startswith("Error surface of task 1: darker") and "Error surface of task 2: darker" in desc
    single = read(panels(WHOLE)[0])
    assert float(image.get("width", 0)) > 2 * float(single.get("width", 0))
    assert len(list(image.iterfind("{*}g"))) == 2


def test_ends_and_starts_are_where_they_belong():
    image = read(panels(WHOLE)[0])
    group = next(image.iterfind("{*}g"))
    rings = [(float(each.get("cx", 0)), float(each.get("cy", 0))) for each in group.iterfind("{*}circle") if each.get("fill") == "#ffffff"]
    assert rings[0] == pytest.approx(place(image, 0.0, 0.5), abs=0.1)
    assert rings[1] == pytest.approx(place(image, -0.5, 2.8), abs=0.1)
    square = next(each for each in group.iterfind("{*}polygon") if each.get("fill") == COLOURS[0])
    corners = [tuple(map(float, corner.split(","))) for corner in str(square.get("points")).split()]
    middle = sum(x for x, _ in corners) / 4, sum(y for _, y in corners) / 4
    assert middle == pytest.approx(place(image, 2.0, 2.0), abs=0.2)
    assert set(bold(image)) == {"θb", "θ0", "SGD", "EWC"}
    assert math.dist(bold(image)["SGD"], middle) < 40


def test_theta_0_and_the_first_path_are_on_the_first_surface_only():
    assert set(bold(read(panels(WHOLE)[1]))) == {"θb", "SGD", "EWC"}
    dotted = [[each for each in plot(read(image)).iterfind("{*}path") if each.get("stroke-dasharray") == "1 5"] for image in panels(WHOLE)]
    assert [len(each) for each in dotted] == [1, 0]


def test_paths_go_through_their_points():
    image = read(panels(WHOLE)[1])
    line = next(each for each in plot(image).iterfind("{*}path") if each.get("stroke") == COLOURS[1])
    points = [tuple(map(float, each.split())) for each in str(line.get("d"))[1:].split("L")]
    assert points == [pytest.approx(place(image, *point), abs=0.1) for point in (EWC.points[0], EWC.points[-1])], "a straight line"


def test_the_low_error_region_is_where_the_loss_is_low():
    image = read(panels(WHOLE)[1])
    own = [each for each in plot(image).iterfind("{*}path") if each.get("fill") == "none" and each.get("stroke-width") == "2.6"]
    outline = next(each for each in own if not each.get("stroke-opacity"))
    points = [tuple(map(float, each.split())) for each in str(outline.get("d"))[1:-1].split("L")]
    centre, right = place(image, 2.5, 1.5), place(image, 2.5 + 3 * math.sqrt(0.1), 1.5)
    radius = right[0] - centre[0]
    assert len(points) > 20
    assert all(math.dist(point, centre) == pytest.approx(radius, abs=1.0) for point in points)


def test_colours_get_darker_towards_low_error():
    fills = [str(each.get("fill")) for each in plot(read(panels(WHOLE)[1])) if each.get("fill") not in (None, "none")]
    light = [svg.contrast(colour, "#000000") for colour in fills]
    assert light == sorted(light, reverse=True) and len(set(light)) > 8


def test_equal_distances_look_equal():
    image = read(panels(WHOLE)[0])
    zero, right, above = place(image, 0, 0), place(image, 1, 0), place(image, 0, 1)
    assert right[0] - zero[0] == pytest.approx(zero[1] - above[1], rel=0.01)


@pytest.mark.parametrize(("across", "up"), [((0.0, 100.0), (0.0, 1.0)), ((0.0, 1.0), (0.0, 100.0))])
def test_a_very_flat_or_high_plane_is_still_a_picture(across: tuple[float, ...], up: tuple[float, ...]):
    flat = Landscape(across, up, (Surface("one", ((0.1, 0.2), (0.3, 0.4)), low=0.15, best=0.1),))
    (image,) = map(read, panels(flat))
    assert 200 < float(image.get("height", 0)) < 600


def test_everything_is_escaped():
    evil = '<script>"&'
    changed = replace(
        WHOLE,
        surfaces=(replace(WHOLE.surfaces[0], task=evil), WHOLE.surfaces[1]),
        trajectories=(replace(SGD, name=evil), EWC),
        sweeps=(Sweep(evil, (1.0,), ((1.0, 1.0),), ((0.2, 0.2),)),),
    )
    for image in (*panels(changed), side_by_side(changed)):
        assert "<script" not in image
        assert evil in bold(read(image))
    assert read(panels(changed)[0]).findtext("{*}title") == f"Error surface of {evil}"


def test_pictures_are_small():
    wavy = replace(WHOLE, trajectories=tuple(replace(SGD, name=name, points=_wavy(shift)) for shift, name in enumerate("abc")))
    assert len(side_by_side(wavy).encode()) < 60_000
    assert len(side_by_side(WHOLE).encode()) < 40_000


def _wavy(shift: int) -> tuple[tuple[float, float], ...]:
    return tuple((i / 100, 1 + shift / 3 + 0.05 * math.sin(i)) for i in range(400))


def test_words_in_another_language_and_numbers_on_the_axes():
    chinese = Words(
        title="{task} 的 error surface",
        across="θ₁（b₁ 很小）",
        ends="{name} 停在 loss {loss}，{verdict}",
        inside="在低 error 區內",
        outside="在低 error 區外",
        low="低 error 區：loss 不超過 {low}",
    )
    image = read(panels(WHOLE, chinese)[0])
    assert image.findtext("{*}title") == "task 1 的 error surface"
    assert {"SGD 停在 loss 0.900，在低 error 區外", "EWC 停在 loss 0.220，在低 error 區內", "θ₁（b₁ 很小）"} <= set(texts(image))
    assert {"−1", "0", "2"} <= set(texts(image))


def test_long_words_are_in_several_lines_and_inside_the_picture():
    long = Words(ends="{name} " + "goes a long way and " * 6 + "ends at {loss}: {verdict}")
    image, short = read(panels(WHOLE, long)[0]), read(panels(WHOLE)[0])
    assert float(image.get("height", 0)) > float(short.get("height", 0)) + 50
    for each in image.iterfind("{*}text"):
        assert float(each.get("x", 0)) + 0.5 * 13 * len(each.text or "") < float(image.get("width", 0))
        assert float(each.get("y", 0)) < float(image.get("height", 0))


@pytest.mark.parametrize(
    "words", ["one two three", "這是一個很長的句子而且沒有空格", "mixed 中文 and English 混在一起", "unbreakablyLongWord", ""]
)
def test_wrapping_loses_nothing(words: str):
    lines = wrapped(words, 60, 13)
    assert "".join(lines).replace(" ", "") == words.replace(" ", "")
    assert lines == [line.strip() for line in lines]


def test_what_stands_still_is_said_to():
    still = Trajectory("b = ∞", ((0.0, 0.5), (0.0, 0.5001)), (0.2, 1.5))
    desc = str(read(panels(replace(WHOLE, trajectories=(SGD, still)))[1]).findtext("{*}desc"))
    assert "b = ∞ stands still at loss 1.500: too high" in desc and "SGD ends at" in desc
    away = replace(still, off=5.0)
    assert "b = ∞ ends at" in str(read(panels(replace(WHOLE, trajectories=(away,)))[1]).findtext("{*}desc"))


def test_how_much_of_a_path_the_plane_holds_is_said():
    assert held(WHOLE, WORDS) == []
    assert "the plane holds" not in " ".join(texts(read(panels(WHOLE)[0])))
    out = replace(
        WHOLE, trajectories=(replace(SGD, held=0.234, off=1e-14), replace(EWC, held=0.5, off=1.3871)), first=replace(FIRST, held=0.03)
    )
    said = [
        "the plane holds 3\u00a0% of the length of task 1's path and passes its end at a distance of 0",
        "the plane holds 23\u00a0% of the length of SGD's path and passes its end at a distance of 0",
        "the plane holds 50\u00a0% of the length of EWC's path and passes its end at a distance of 1.39",
    ]
    assert held(out, WORDS) == said
    for image in map(read, panels(out)):
        assert "of the paths' lengths the plane holds: SGD 23\u00a0%, EWC 50\u00a0%" in " ".join(texts(image))
    assert str(read(panels(out)[0]).findtext("{*}desc")).endswith(f"{'; '.join(said)}.")


def test_a_sweep_is_dots_and_says_which_strengths_reach_both():
    l2 = Sweep("L2", (0.1, 1.0, 10.0), ((2.0, 2.0), (1.0, 1.2), (0.0, 0.5)), ((0.9, 0.2), (0.4, 0.5), (0.2, 1.5)))
    ewc = Sweep("EWC", (0.1, 1.0, 10.0), ((2.0, 1.0), (2.5, 0.5), (0.1, 0.5)), ((0.3, 0.2), (0.2, 0.25), (0.2, 1.4)))
    image = read(panels(replace(WHOLE, trajectories=(SGD,), sweeps=(l2, ewc)))[0])
    said = "L2: none of 3 strengths, 0.1 to 10, ends low on all; EWC: 2 of 3 strengths, 0.1 to 1, end low on all."
    assert str(image.findtext("{*}desc")).endswith(said)
    dots = [each for each in next(image.iterfind("{*}g")).iterfind("{*}circle") if each.get("fill") == COLOURS[1]]
    assert [float(dot.get("cx", 0)) for dot in dots] == pytest.approx([place(image, x, 0)[0] for x, _ in l2.ends], abs=0.1)
    assert {"L2", "EWC", "SGD"} <= set(bold(image))


def test_ends_beyond_the_picture_have_no_marker_and_are_still_told():
    away = replace(SGD, points=((0.0, 0.5), (50.0, 2.0)))
    image = read(panels(replace(WHOLE, trajectories=(away,), first=None))[0])
    assert set(bold(image)) == {"θb"}
    assert "SGD ends at loss 0.900: too high" in texts(image)


def test_surfaces_alone():
    bare = Landscape(WHOLE.across, WHOLE.up, WHOLE.surfaces)
    for image in map(read, panels(bare)):
        assert bold(image) == {}
        assert image.findtext("{*}desc") == "darker: smaller loss; low error: loss up to 0.300."


def test_a_plane_without_low_error_has_no_outline():
    high = replace(WHOLE, surfaces=(replace(WHOLE.surfaces[0], best=0.01, low=0.02), WHOLE.surfaces[1]))
    for image in panels(high):
        assert all(each.get("d") for each in read(image).iter() if each.tag.endswith("path"))
    own, other = ([each.get("stroke-width") for each in plot(read(image)).iterfind("{*}path")] for image in panels(high))
    assert "1.3" in own and "1.3" not in other, "only the second task's region is there"


def test_a_flat_surface():
    flat = Landscape((0.0, 1.0), (0.0, 1.0), (Surface("one", ((0.5, 0.5), (0.5, 0.5)), low=0.6, best=0.5),))
    assert "low error: loss up to 0.600" in texts(read(panels(flat)[0]))


def test_styles_can_be_given():
    image = read(panels(WHOLE, styles=[("#0072b2", "cross", True), ("#009e73", "nabla", False)])[0])
    strokes = {each.get("stroke"): each.get("stroke-dasharray") for each in plot(image).iterfind("{*}path")}
    assert strokes["#0072b2"] == "6 4" and strokes["#009e73"] is None


def test_colours_are_told_apart_from_each_other_and_from_the_surface():
    styles = default_styles(5)
    assert len({colour for colour, _, _ in styles}) == len({marker for _, marker, _ in styles}) == 5
    assert set(COLOURS) <= set(svg.COLOURS) and set(MARKERS) <= set(svg.MARKERS)
    assert len(default_styles(12)) == 12
