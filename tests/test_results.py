from pathlib import Path

import pytest

from lifelong.errors import RecipeError
from lifelong.results import difference, in_order, read_json, read_results, runs_in, write_json


def test_what_is_written_is_read_and_nothing_is_left_beside(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"a": [1.5, None, "θ"]})
    assert read_json(tmp_path / "a.json") == {"a": [1.5, None, "θ"]}
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]


def test_an_undefined_number_is_refused_and_the_old_file_stays(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"a": 1})
    with pytest.raises(ValueError, match="Out of range float values are not JSON compliant"):
        write_json(tmp_path / "a.json", {"a": float("nan")})
    assert read_json(tmp_path / "a.json") == {"a": 1}


def test_a_damaged_file(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('{"a": ')
    with pytest.raises(RecipeError, match=r"a\.json is damaged .*; delete it, or start over with --fresh"):
        read_json(tmp_path / "a.json")


def test_a_folder_without_results(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="there is no results.json in .*; give the folder that `lifelong run` wrote to"):
        read_results(tmp_path)


def test_runs_are_found_and_ordered(tmp_path: Path) -> None:
    (tmp_path / "runs").mkdir()
    for method, seed in (("b", 1), ("a", 0), ("other", 0), ("b", 0)):
        write_json(tmp_path / "runs" / f"{method}-{seed}.json", {"method": method, "seed": seed})
    ordered = in_order(runs_in(tmp_path), ["b", "a"])
    assert [(run["method"], run["seed"]) for run in ordered] == [("b", 0), ("b", 1), ("a", 0), ("other", 0)]


def test_the_first_difference_is_named() -> None:
    assert difference({"a": 1, "b": {"c": [1]}}, {"a": 1, "b": {"c": [1]}}) is None
    assert difference({"b": {"c": 1}}, {"b": {"c": 1, "d": "x"}}) == 'b.d is null there and "x" now'
