"""What a learner records after every task: parameters and bytes kept; and what a table of a method has to be."""

import json
from pathlib import Path

import pytest
import torch

from lifelong import files
from lifelong.errors import MethodError, NonFiniteError
from lifelong.learner import Learner
from lifelong.method import Method, Table
from lifelong.methods import EWC, Replay
from lifelong.models import MLP
from toys import FEATURES, blobs, sgd

HIDDEN = 5
BODY = FEATURES * HIDDEN + HIDDEN


def learner(*methods: Method) -> Learner:
    return Learner(MLP(FEATURES, [HIDDEN]), methods, "class")


FIRST, SECOND = blobs("first", classes=["a", "b", "c"]), blobs("second", seed=1, classes=["d", "e"])


def test_sizes_grow_with_the_head_and_with_what_is_kept() -> None:
    one = learner(EWC(examples=4), Replay(capacity=20))
    assert one.sizes == []
    one.learn(FIRST)
    memory = 20 * (4 * FEATURES + 8)
    parameters = [BODY + classes * (HIDDEN + 1) for classes in (3, 5)]
    assert one.sizes == [{"parameters": parameters[0], "kept_bytes": one.kept_bytes()}]
    one.learn(SECOND)
    assert [each["parameters"] for each in one.sizes] == parameters
    assert one.sizes[1]["kept_bytes"] == one.kept_bytes()
    assert one.sizes[1]["kept_bytes"] - one.sizes[0]["kept_bytes"] == 2 * 4 * 2 * (HIDDEN + 1), "two vectors of EWC for two classes more"
    assert one.sizes[0]["kept_bytes"] >= memory + 2 * 4 * parameters[0]


def test_a_task_that_failed_leaves_no_size() -> None:
    one = learner(EWC(examples=4))
    one.learn(FIRST)
    sizes = [dict(each) for each in one.sizes]

    with pytest.raises(NonFiniteError):
        one.learn(SECOND, optimizer=sgd(1e30), epochs=10)
    assert one.sizes == sizes
    one.learn(SECOND)
    assert len(one.sizes) == 2


def test_an_error_after_the_last_step_leaves_no_size() -> None:
    """The test set is measured after the size is recorded."""
    one = learner()
    one.learn(FIRST)
    broken = blobs("second", seed=1, classes=["d", "e"])
    assert broken.test is not None
    broken.test.y = broken.test.y + 7  # type: ignore[misc]
    with pytest.raises(IndexError):
        one.learn(broken)
    assert (one.tasks, len(one.sizes)) == (["first"], 1)


def test_sizes_are_saved_and_go_on(tmp_path: Path) -> None:
    one = learner(EWC(examples=4))
    one.learn(FIRST)
    one.save(tmp_path)
    opened = Learner.open(tmp_path)
    assert opened.sizes == one.sizes
    for each in (one, opened):
        each.learn(SECOND)
    assert opened.sizes == one.sizes
    assert len(one.sizes) == 2


def test_a_learner_that_was_saved_before_sizes_were_recorded_opens_without_them(tmp_path: Path) -> None:
    one = learner()
    one.learn(FIRST)
    one.save(tmp_path)
    manifest = json.loads((tmp_path / "manifest.json").read_bytes())
    del manifest["sizes"]
    manifest["sha256"] = files._checksum(manifest)
    (tmp_path / "manifest.json").write_bytes(files._dumped(manifest))
    opened = Learner.open(tmp_path)
    assert opened.sizes == []
    one.learn(SECOND)
    opened.learn(SECOND)
    assert opened.sizes == one.sizes[1:]


def test_a_method_has_no_tables_unless_it_says_so() -> None:
    assert EWC().tables(learner()) == {}


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            torch.zeros(3, 2),
            r"a table's values are torch.float32 of shape \(3, 2\); expected floats of shape \(2, 3\), for 2 rows and 3 col",
        ),
        (torch.zeros(2, 3, dtype=torch.int64), r"a table's values are torch.int64 of shape \(2, 3\); expected floats of shape \(2, 3\)"),
        (
            torch.tensor([[0.0, torch.inf, 0.0], [0.0, 0.0, 0.0]]),
            "hold an infinity; expected finite floats, and NaN where a value is undef",
        ),
    ],
)
def test_a_table_that_does_not_fit_its_names(values: torch.Tensor, message: str) -> None:
    with pytest.raises(MethodError, match=message):
        Table(("a", "b"), ("x", "y", "z"), values)
    assert Table(("a", "b"), ("x",), torch.tensor([[0.5], [torch.nan]])).rows == ("a", "b")
