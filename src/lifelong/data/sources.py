"""Which files a data set consists of, where they are looked for, and where they are downloaded from."""

import os
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from lifelong.data import download
from lifelong.errors import DataError, nearest

EMBEDDED = Path(__file__).parent / "embedded_mnist"


@dataclass(frozen=True, slots=True)
class Source:
    """A data set that can be downloaded.

    Attributes:
        files: for each file's name, the md5, or the sha256 (64 digits), that it must have.
        mirrors: addresses of folders that hold the files, tried in this order.
        compressed: whether the checksums are of the .gz files as published, or of what they contain. The second is the better
            one, because mirrors compress again; the first is used where only it is published.
        unpacked: the files that an archive unpacks to; where all of them are, the archive is not needed.
        folders: the folders that an archive unpacks to, or that it consists of; where one of them is, the archive is not needed. For
            data that are read in parts, which need not all be there.
    """

    files: dict[str, str]
    mirrors: tuple[str, ...]
    compressed: bool
    unpacked: tuple[str, ...] = ()
    folders: tuple[str, ...] = ()


SOURCES: dict[str, Source] = {
    "mnist": Source(
        files={
            "train-images-idx3-ubyte.gz": "6bbc9ace898e44ae57da46a324031adb",
            "train-labels-idx1-ubyte.gz": "a25bea736e30d166cdddb491f175f624",
            "t10k-images-idx3-ubyte.gz": "2646ac647ad5339dbf082846283269ea",
            "t10k-labels-idx1-ubyte.gz": "27ae3e4e09519cfbb04c329615203637",
        },
        mirrors=("https://ossci-datasets.s3.amazonaws.com/mnist/", "https://storage.googleapis.com/cvdf-datasets/mnist/"),
        compressed=False,
    ),
    "fashion-mnist": Source(
        files={
            "train-images-idx3-ubyte.gz": "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
            "train-labels-idx1-ubyte.gz": "25c81989df183df01b3e8a0aad5dffbe",
            "t10k-images-idx3-ubyte.gz": "bef4ecab320f06d8554ea6380940ec79",
            "t10k-labels-idx1-ubyte.gz": "bb300cfdad3c16e7a12a480ee83cd310",
        },
        mirrors=(
            "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
            "https://github.com/zalandoresearch/fashion-mnist/raw/master/data/fashion/",
        ),
        compressed=True,
    ),
    "kmnist": Source(
        files={
            "train-images-idx3-ubyte.gz": "bdb82020997e1d708af4cf47b453dcf7",
            "train-labels-idx1-ubyte.gz": "e144d726b3acfaa3e44228e80efcd344",
            "t10k-images-idx3-ubyte.gz": "5c965bf0a639b31b8f53240b1b52f4d7",
            "t10k-labels-idx1-ubyte.gz": "7320c461ea6c1c855c0b718fb2a4b134",
        },
        mirrors=("http://codh.rois.ac.jp/kmnist/dataset/kmnist/",),
        compressed=True,
    ),
    "cifar100": Source(
        files={"cifar-100-python.tar.gz": "eb9058c3a382ffc7106e4002c42a8d85"},
        mirrors=("https://www.cs.toronto.edu/~kriz/",),
        compressed=True,
        unpacked=("cifar-100-python/train", "cifar-100-python/test", "cifar-100-python/meta"),
    ),
    # The checksum is the one that https://huggingface.co/datasets/facebook/babi_qa has of the first mirror's file. Other copies of the
    # archive were packed again and have other checksums.
    "babi": Source(
        files={"tasks_1-20_v1-2.tar.gz": "0364ebde659f14d11bc21744516c5ec49d3d06cb692733f66680771244998898"},
        mirrors=(
            "http://www.thespermwhale.com/jaseweston/babi/",
            "https://huggingface.co/datasets/facebook/babi_qa/resolve/main/data/",
        ),
        compressed=True,
        folders=("tasks_1-20_v1-2", "en", "en-10k"),
    ),
}


def cache() -> Path:
    """The folder that downloads go to: $XDG_CACHE_HOME/lifelong, or ~/.cache/lifelong."""
    home = os.environ.get("XDG_CACHE_HOME")
    return (Path(home) if home else Path.home() / ".cache") / "lifelong"


def find(name: str) -> Path | None:
    """The folder that holds the data set `name` completely: in $LIFELONG_DATA, then in the cache. None: neither.

    Files may be plain or .gz, an archive may be unpacked.

    >>> find("embedded").name
    'embedded_mnist'
    """
    if name == "embedded":
        return EMBEDDED
    source = _source(name)
    return next((folder for folder in _folders(name) if _complete(folder, source)), None)


def place(data: str, known: Sequence[str]) -> tuple[Path, str]:
    """The folder that `data` stands for, and what results call it.

    Args:
        data: one of `known`, which is downloaded where it is not there yet, or the path of a folder.
        known: the data sets that the caller can read.

    Raises:
        DataError: neither, or a file that could not be downloaded.
    """
    if data in known:
        return find(data) or get(data), data
    folder = Path(data)
    if not folder.is_dir():
        raise _unknown(data, known)
    return folder, folder.resolve().name


def get(name: str, progress: bool = True) -> Path:
    """The folder that holds the data set `name`, downloaded into the cache where it is not there yet.

    A download that was interrupted is continued. Every downloaded file is checked before it gets its name.

    Args:
        name: a key of `lifelong.data.DATA`.
        progress: tell on stderr what is done: a bar on a terminal, plain lines elsewhere.

    Raises:
        DataError: an unknown name, or a file that no mirror gave; what each said, and where to put the file by hand.
    """
    found = find(name)
    if found is not None:
        if progress:
            print(f"{name}: already there, in {found}", file=sys.stderr)
        return found
    source, folder = _source(name), cache() / name
    folder.mkdir(parents=True, exist_ok=True)
    for file in missing(folder, source.files):
        urls = [mirror + file for mirror in source.mirrors]
        download.fetch(urls, folder / file, source.files[file], compressed=source.compressed, progress=progress)
    return folder


def missing(folder: Path, files: Iterable[str]) -> list[str]:
    """Those of `files`, named as in NAME.gz, that `folder` holds neither compressed nor plain."""
    return [file for file in files if not (folder / file).is_file() and not (folder / file.removesuffix(".gz")).is_file()]


def _complete(folder: Path, source: Source) -> bool:
    unpacked = bool(source.unpacked) and all((folder / file).is_file() for file in source.unpacked)
    return unpacked or any((folder / part).is_dir() for part in source.folders) or not missing(folder, source.files)


def _folders(name: str) -> list[Path]:
    given = os.environ.get("LIFELONG_DATA")
    return ([Path(given) / name] if given else []) + [cache() / name]


def _source(name: str) -> Source:
    if name not in SOURCES:
        raise _unknown(name, ["embedded", *SOURCES])
    return SOURCES[name]


def _unknown(name: str, known: Iterable[str]) -> DataError:
    return DataError(f"{name!r} is neither a known data set nor a folder; {nearest(name, known)}")
