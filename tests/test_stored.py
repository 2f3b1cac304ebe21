"""Results of benchmarks, kept entry by entry."""

import importlib
import json
import sys
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture(scope="module")
def stored() -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(Path(__file__).parent.parent / "benchmarks")
        yield importlib.import_module("stored")
        del sys.modules["stored"]


def test_an_interrupted_benchmark_goes_on(stored: Any, tmp_path: Path) -> None:
    first = stored.Stored("some", {"sizes": (1, 2)}, folder=tmp_path)
    assert first.entries == {}
    first.keep("a", {"seconds": 1.5})
    again = stored.Stored("some", {"sizes": (1, 2)}, folder=tmp_path)
    assert again.entries == {"a": {"seconds": 1.5}}
    assert again.entry("a", lambda: pytest.fail("measured again")) == {"seconds": 1.5}
    assert again.entry("b", lambda: {"seconds": 2.5}) == {"seconds": 2.5}
    content = json.loads((tmp_path / "some.json").read_text(encoding="utf-8"))
    assert list(content["entries"]) == ["a", "b"]
    assert content["seconds"] > first.content["seconds"] > 0
    assert [path.name for path in tmp_path.iterdir()] == ["some.json"]


def test_other_settings_machines_and_fresh_start_over(stored: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stored.Stored("some", {"size": 1}, folder=tmp_path).keep("a", 1)
    assert stored.Stored("some", {"size": 2}, folder=tmp_path).entries == {}
    assert stored.Stored("some", {"size": 1}, fresh=True, folder=tmp_path).entries == {}
    monkeypatch.setattr(stored, "processor", lambda: "Another")
    assert stored.Stored("some", {"size": 1}, folder=tmp_path).entries == {}


def test_what_is_no_number_is_not_kept(stored: Any, tmp_path: Path) -> None:
    kept = stored.Stored("some", {}, folder=tmp_path)
    with pytest.raises(ValueError, match="not JSON compliant"):
        kept.keep("a", float("nan"))
    assert list(tmp_path.iterdir()) == []
