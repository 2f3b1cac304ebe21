"""Pieces of pictures."""

import math
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lifelong.report import svg


def test_everything_is_escaped():
    drawn = svg.picture(10, 10, "<b>&", 'a "quoted" title', svg.text(0, 0, "</text><script>"), svg.element("g", class_='"x"'))
    root = ElementTree.fromstring(drawn)
    assert root.find("{*}text").text == "</text><script>"
    assert root.find("{*}title").text == "<b>&"
    assert root.get("aria-label") == '<b>&. a "quoted" title'
    assert root.find("{*}g").get("class") == '"x"'


def test_colours_get_darker_evenly_and_text_on_them_is_readable():
    colours = [svg.scale_colour(step / 50) for step in range(51)]
    light = [svg.contrast(colour, "#000000") for colour in colours]
    assert light == sorted(light, reverse=True)
    assert all(svg.contrast(svg.ink_on(colour), colour) >= 4.5 for colour in colours)
    assert svg.scale_colour(-1) == colours[0] and svg.scale_colour(2) == colours[-1]
    assert svg.ink_on(colours[0]) == "#000000" and svg.ink_on(colours[-1]) == "#ffffff"


def test_contrast_of_black_and_white():
    assert svg.contrast("#000000", "#ffffff") == pytest.approx(21)


@pytest.mark.parametrize("shape", svg.MARKERS)
def test_every_marker_is_drawn(shape: str):
    assert ElementTree.fromstring(svg.marker(shape, 5, 5, fill="#000000")).tag in {"circle", "polygon"}


def test_lines_break_at_undefined_points():
    nan = math.nan
    path = ElementTree.fromstring(svg.polyline([(0, 1), (1, 2), (2, nan), (3, 4), (4, nan), (5, 5), (6, 6)])).get("d")
    assert path == "M0.0 1.0L1.0 2.0M3.0 4.0h0.1M5.0 5.0L6.0 6.0"


@given(st.floats(-1, 1), st.floats(0, 2), st.integers(3, 9))
def test_ticks_are_inside_and_not_too_many(low: float, span: float, most: int):
    marks = svg.ticks(low, low + span, most)
    assert 1 <= len(marks) <= most + 1 or span < 1e-6
    assert all(low - 1e-6 <= mark <= low + span + 1e-6 for mark in marks)


@given(st.integers(1, 500), st.integers(2, 60))
def test_thinning_keeps_the_ends(count: int, most: int):
    kept = svg.thin(count, most)
    assert kept[0] == 0 and kept[-1] == count - 1
    assert len(kept) == min(count, most)
    assert kept == sorted(set(kept))


def test_long_words_are_cut():
    assert svg.shorten("short", 100) == "short"
    assert svg.shorten("a very long name", 60) == "a very…"
