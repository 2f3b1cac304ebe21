"""docs/babi.md, which is made from stored runs."""

import importlib.util
import json
from pathlib import Path

ROOT = Path(__file__).parent.parent
SPECIFICATION = importlib.util.spec_from_file_location("babi_transfer", ROOT / "tools" / "babi_transfer.py")
assert SPECIFICATION is not None and SPECIFICATION.loader is not None
tool = importlib.util.module_from_spec(SPECIFICATION)
SPECIFICATION.loader.exec_module(tool)


def test_the_page_is_what_the_runs_give() -> None:
    stored = json.loads(tool.RESULT.read_text())
    assert stored["compared"] == tool.compared(stored["runs"])
    assert tool.PAGE.read_text() == tool.page(stored)


def test_a_task_is_close_where_the_simulated_one_is_at_most_five_points_behind() -> None:
    runs = {
        "en": {"0": {"a": 0.9, "b": 0.5}, "1": {"a": 0.8, "b": 0.7}},
        "simulated": {"0": {"a": 0.82, "b": 0.3}, "1": {"a": 0.80, "b": 0.4}},
    }
    compared = tool.compared(runs)
    assert {task: round(row["difference"], 6) for task, row in compared["tasks"].items()} == {"a": -0.04, "b": -0.25}
    assert compared["close"] == 1
