import dataclasses
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from lifelong.data import DATA, download, find, get, sources
from lifelong.errors import DataError


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """Empty folders: $LIFELONG_DATA, and lifelong's in the user's cache."""
    monkeypatch.setenv("LIFELONG_DATA", str(tmp_path / "given"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "given", tmp_path / "cache" / "lifelong"


def fill(folder: Path, *, plain: bool = False, leave_out: str = "") -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for file in sources.EMBEDDED.glob("*.gz"):
        if file.name != leave_out:
            shutil.copy(file, folder / (file.stem if plain else file.name))


def test_every_source_is_described_and_every_description_has_a_source() -> None:
    assert set(DATA) == {"embedded", *sources.SOURCES}


@pytest.mark.parametrize("name", sources.SOURCES)
def test_sources_are_well_formed(name: str) -> None:
    source = sources.SOURCES[name]
    digits = [f"{part}-ubyte.gz" for part in ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1")]
    archives = {"cifar100": ["cifar-100-python.tar.gz"], "babi": ["tasks_1-20_v1-2.tar.gz"]}
    assert list(source.files) == archives.get(name, digits)
    assert all(len(digest) == (64 if name == "babi" else 32) and int(digest, 16) for digest in source.files.values())
    assert all(mirror.startswith("http") and mirror.endswith("/") for mirror in source.mirrors)


def test_given_data_come_before_the_cache(places: tuple[Path, Path]) -> None:
    given, cache = places
    assert find("mnist") is None
    fill(cache / "mnist")
    assert find("mnist") == cache / "mnist"
    fill(given / "mnist", plain=True)
    assert find("mnist") == given / "mnist"


def test_an_incomplete_folder_is_not_taken(places: tuple[Path, Path]) -> None:
    given, cache = places
    fill(given / "mnist", leave_out="t10k-labels-idx1-ubyte.gz")
    assert find("mnist") is None
    fill(cache / "mnist")
    assert find("mnist") == cache / "mnist"


def test_the_cache_is_in_the_home_folder_by_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert sources.cache() == tmp_path / ".cache" / "lifelong"


def test_an_unknown_name_gets_the_nearest() -> None:
    message = "'mnits' is neither a known data set nor a folder; did you mean 'mnist'\\? Known: babi, cifar100, embedded, fashion-mnist"
    with pytest.raises(DataError, match=message):
        find("mnits")
    with pytest.raises(DataError, match=message):
        get("mnits")


def test_get_downloads_what_is_missing_into_the_cache(places: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    _, cache = places
    source = sources.SOURCES["mnist"]
    real = {file: download.checksum(sources.EMBEDDED / file, False).removeprefix("md5 ") for file in source.files}
    near = dataclasses.replace(source, files=real, mirrors=(sources.EMBEDDED.as_uri() + "/",))
    monkeypatch.setitem(sources.SOURCES, "mnist", near)
    fill(cache / "mnist", leave_out="t10k-labels-idx1-ubyte.gz")
    before = {file: file.stat().st_mtime_ns for file in (cache / "mnist").iterdir()}
    assert get("mnist", progress=False) == cache / "mnist"
    assert find("mnist") == cache / "mnist"
    assert all(file.stat().st_mtime_ns == time for file, time in before.items())
    assert sorted(file.name for file in (cache / "mnist").iterdir()) == sorted(source.files)


def test_an_archive_may_be_unpacked(places: tuple[Path, Path]) -> None:
    given, cache = places
    for file in ("train", "test"):
        (given / "cifar100" / "cifar-100-python").mkdir(parents=True, exist_ok=True)
        (given / "cifar100" / "cifar-100-python" / file).touch()
    assert find("cifar100") is None
    (given / "cifar100" / "cifar-100-python" / "meta").touch()
    assert find("cifar100") == given / "cifar100"
    (given / "cifar100" / "cifar-100-python" / "meta").unlink()
    (cache / "cifar100").mkdir(parents=True)
    (cache / "cifar100" / "cifar-100-python.tar.gz").touch()
    assert find("cifar100") == get("cifar100", progress=False) == cache / "cifar100"


@pytest.mark.parametrize("part", ["tasks_1-20_v1-2", "en", "en-10k"])
def test_one_folder_of_data_that_are_read_in_parts_is_enough(places: tuple[Path, Path], part: str) -> None:
    given, cache = places
    (cache / "babi").mkdir(parents=True)
    assert find("babi") is None
    (cache / "babi" / "tasks_1-20_v1-2.tar.gz").touch()
    assert find("babi") == cache / "babi"
    (given / "babi").mkdir(parents=True)
    (given / "babi" / "notes").mkdir()
    assert find("babi") == cache / "babi"
    (given / "babi" / part).mkdir()
    assert find("babi") == get("babi", progress=False) == given / "babi"


def test_get_says_when_all_is_there(places: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    _, cache = places
    fill(cache / "kmnist")
    assert get("kmnist") == cache / "kmnist"
    assert capsys.readouterr().err == f"kmnist: already there, in {cache / 'kmnist'}\n"
    assert get("kmnist", progress=False) == cache / "kmnist"
    assert get("embedded", progress=False) == sources.EMBEDDED
    assert capsys.readouterr().err == ""


def test_data_are_listed_without_importing_torch() -> None:
    # `lifelong list data` has to answer quickly. The package's own __init__ is not what is tested here.
    folder = Path(sources.__file__).parents[1]
    code = (
        "import sys, types; package = types.ModuleType('lifelong'); package.__path__ = [sys.argv[1]]; sys.modules['lifelong'] = package\n"
        "import lifelong.data; sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code, str(folder)], check=False).returncode == 0
