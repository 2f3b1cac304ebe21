import builtins
import collections
import io
import os
import pickle
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cifar_files import part, python2
from lifelong.data import pickled
from lifelong.errors import DataError

TABLE = part("train", 60)  # more than 255 values to keep, and a string of more than 255 bytes
SMALL = python2({"names": ["a", "b"], "data": np.arange(6, dtype=np.uint8).reshape(2, 3)})


def read(content: bytes) -> pickled.Table:
    return pickled.read(io.BytesIO(content), "the/train")


def same(found: pickled.Table, table: dict[str, Any]) -> bool:
    arrays = isinstance(found["data"], np.ndarray) and np.array_equal(found["data"], table["data"])
    return arrays and {**found, "data": 0} == {**table, "data": 0}


def test_what_python_2_wrote() -> None:
    content = python2(TABLE)
    assert content.startswith(b"\x80\x02}q\x01(U\tfilenamesq\x02]q\x03(U\x0btrain_0.pngq\x04")
    assert same(read(content), TABLE)
    by_python = pickle.loads(content, encoding="latin-1")
    assert same(by_python, TABLE)  # the form is one that Python itself reads


@pytest.mark.parametrize("keys", [str, str.encode])
def test_what_python_3_writes_with_protocol_2(keys: Any) -> None:
    assert same(read(pickle.dumps({keys(name): value for name, value in TABLE.items()}, protocol=2)), TABLE)


def test_the_older_name_of_numpys_function() -> None:
    content = pickle.dumps(TABLE, protocol=2)
    old, new = b"cnumpy.core.multiarray\n", b"cnumpy._core.multiarray\n"
    assert (old in content) != (new in content)
    assert same(read(content.replace(new, old)), TABLE)
    assert same(read(content.replace(old, new)), TABLE)


def test_arrays_are_in_either_order_and_may_be_written_to() -> None:
    for array in (np.arange(6, dtype=np.uint8).reshape(2, 3), np.arange(6, dtype=np.uint8).reshape(3, 2).T):
        found = read(pickle.dumps({"data": array}, protocol=2))["data"]
        assert found.dtype == np.uint8
        assert np.array_equal(found, array)
        found[:] = 0


def test_the_other_values_of_a_table() -> None:
    table = {
        "numbers": [0, 255, 256, 70000, -3, 2**40],
        "none": None,
        "yes": True,
        "no": False,
        "pair": (1, "a"),
        "few": [(1,), (1, 2, 3, 4), ()],
    }
    assert read(pickle.dumps(table, protocol=2)) == table
    assert read(pickle.dumps({"one": [1]}, protocol=2)) == {"one": [1]}  # APPEND and SETITEM, for one value each


class Call:
    """Pickles as a call of a function."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.function, self.arguments = function, arguments

    def __reduce__(self) -> Any:
        return self.function, self.arguments


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_nothing_that_a_file_says_is_run(tmp_path: Path, protocol: int) -> None:
    trace = tmp_path / "trace"
    for call in (
        Call(os.system, f"touch {trace}"),
        Call(builtins.eval, f"open({str(trace)!r}, 'w')"),
        Call(builtins.open, str(trace), "w"),
    ):
        for table in (call, {"data": call}, {"fine_labels": [call]}):
            with pytest.raises(DataError, match="the/train: the (name|instruction) .*; expected a pickled dict"):
                read(pickle.dumps(table, protocol=protocol))
    assert not trace.exists()


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (pickle.dumps({"data": Call(os.system, "true")}, protocol=2), f"the name '{os.system.__module__}.system'"),
        (pickle.dumps({"data": Call(builtins.eval, "1")}, protocol=2), "the name '__builtin__.eval'"),
        (pickle.dumps({"data": collections.OrderedDict()}, protocol=2), "the name 'collections.OrderedDict'"),
        (pickle.dumps({"data": np.float64(1)}, protocol=2), r"the name 'numpy\.\w+\.multiarray\.scalar'"),
        (pickle.dumps({"data": 1.5}, protocol=2), "the instruction BINFLOAT"),
        (pickle.dumps({"data": 1}, protocol=4), "the instruction FRAME"),
        (b"\x80\x02(ios\nsystem\n.", "the instruction INST"),
        (b"\x80\x02Pname\n.", "the instruction PERSID"),
        (b"\x80\x02\x82\x01.", "the instruction EXT1"),
        (b"\x80\x02cnumpy\ndtype\n)\x81.", "the instruction NEWOBJ"),
        (b"\x80\x02cnumpy\nload\n.", "the name 'numpy.load'"),
        (pickle.dumps({"data": np.zeros((2, 2), np.float32)}, protocol=2), "an array of 'f4', not of unsigned bytes (u1)"),
        (pickle.dumps({"data": np.array([None])}, protocol=2), "an array of 'O8', not of unsigned bytes (u1)"),
        (b"\x80\x02cnumpy\ndtype\nX\x01\x00\x00\x00a\x85R.", "an array of 'a', not of unsigned bytes (u1)"),
        (b"\x80\x02cnumpy\nndarray\n)R.", "a call that makes no array of bytes"),
        (b"\x80\x02K\x01)R.", "a call that makes no array of bytes"),
        (b"\x80\x02U\x09new arrayK\x01K\x01K\x01\x87R.", "a call that makes no array of bytes"),
        (SMALL.replace(b"K\x02K\x03\x86", b"K\x02K\x04\x86"), "an array of shape (2, 4) with 6 bytes"),
        (SMALL.replace(b"K\x02K\x03\x86", b"U\x01aK\x03\x86"), "an array whose shape is not made of sizes"),
        (SMALL.replace(b"K\x02K\x03\x86", b"J\xff\xff\xff\xffK\x03\x86"), "an array whose shape is not made of sizes"),
        (SMALL.replace(b"U\x06\0\1\2\3\4\5", b"X\x07\0\0\0\xc4\x80\1\2\3\4\5"), "text in place of an array's bytes"),
        (SMALL.replace(b"\x89U\x06\0\1\2\3\4\5", b"\x89K\x06"), "content that is no array's"),
        (b"\x80\x02}}b.", "content that is no array's"),
        (b"\x80\x02}U\x01acnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\0U\x01b\x87Rs.", "an array without content"),
        (b"\x80\x02]K\x01.", "int where one dict was expected"),
        (b"\x80\x02K\x01}.", "dict where one dict was expected"),
        (b"\x80\x02.", "an instruction without its value"),
        (b"\x80\x02}(\x85.", "an instruction without its value"),
        (b"\x80\x02}K\x01K\x02u.", "an instruction without its mark"),
        (b"\x80\x02}K\x01K\x02s.", "a key that is a int"),
        (b"\x80\x02}(U\x01au.", "keys and values for a dict"),
        (b"\x80\x02]U\x01aK\x01s.", "keys and values for a list"),
        (b"\x80\x02}K\x01a.", "values for a dict as if it were a list"),
        (b"\x80\x02h\x05.", "a value 5 that was never kept"),
    ],
)
def test_anything_else_is_refused_by_name(content: bytes, found: str) -> None:
    pattern = found if found.startswith("the name") and "\\" in found else re.escape(found)
    with pytest.raises(DataError, match=f"^the/train: {pattern}; expected a pickled dict of lists, texts and arrays of bytes, and nothing"):
        read(content)


@pytest.mark.parametrize("content", [b"", b"no pickle at all", b"\xff\xd8\xff\xe0", SMALL[:2], SMALL[:-1]])
def test_what_is_no_whole_pickle(content: bytes) -> None:
    with pytest.raises(DataError, match=r"^the/train: truncated or damaged \(.*\); get the file again"):
        read(content)


def test_a_length_that_no_memory_can_hold(tmp_path: Path) -> None:
    path = tmp_path / "train"
    path.write_bytes(b"\x80\x04\x8d" + (2**62).to_bytes(8, "little") + b"abc")
    with path.open("rb") as file, pytest.raises(DataError, match=r"train: damaged \(a text larger than memory\); get the file again"):
        pickled.read(file, path)


@pytest.mark.parametrize("content", [SMALL, pickle.dumps({"data": np.arange(6, dtype=np.uint8), "names": ["a"]}, protocol=2)])
def test_every_truncation_is_refused(content: bytes) -> None:
    for end in range(len(content)):
        with pytest.raises(DataError):
            read(content[:end])


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # the tokeniser's, for texts of protocol 0
@settings(deadline=None, max_examples=300)
@given(place=st.integers(0, len(SMALL) - 1), inserted=st.binary(max_size=3), removed=st.integers(0, 3))
def test_damage_is_refused_or_read_as_a_table(place: int, inserted: bytes, removed: int) -> None:
    try:
        table = read(SMALL[:place] + inserted + SMALL[place + removed :])
    except DataError:
        return
    assert all(isinstance(key, str) for key in table)
