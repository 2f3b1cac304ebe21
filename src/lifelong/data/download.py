"""Downloading one file: several mirrors, continued where it broke off, checked before it gets its name."""

import hashlib
import http.client
import os
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from lifelong.data import idx
from lifelong.errors import DataError

ATTEMPTS = 4  # per mirror; each continues where the one before broke off
BLOCK = 1 << 16  # bytes read at once
TIMEOUT = 30.0  # seconds without a byte
LINES = 2.0  # seconds between the lines that tell the progress where there is no terminal

Tell = Callable[[int, int | None], None]  # bytes there, and bytes in all where the server says so


@dataclass(frozen=True, slots=True)
class _Wanted:
    """What is asked of a mirror: the arguments of `fetch`, with `part`, the file that holds what has arrived."""

    part: Path
    digest: str
    compressed: bool
    timeout: float

    def size(self) -> int:
        """Bytes that have arrived."""
        return self.part.stat().st_size if self.part.exists() else 0


class _Broken(Exception):
    """A transfer from one mirror failed; the message says how."""


def fetch(
    urls: Sequence[str], target: Path, digest: str, *, compressed: bool = False, progress: bool = True, timeout: float = TIMEOUT
) -> None:
    """Downloads a file from the first of `urls` that gives it whole and right.

    What arrived before a connection broke stays beside the target as NAME.part, and the next attempt asks for the rest only, in this
    call or in a later one. A file with the wrong checksum is deleted and the next mirror tried. The target appears whole or not at all.

    Args:
        urls: addresses of the same file, http or https, tried in this order.
        target: where the file goes; its folder exists.
        digest: the md5 (32 digits) or sha256 (64) of what the file contains, decompressed; or, with compressed=True, of the file as it is.
        compressed: which of the two.
        progress: tell on stderr how far it is: a bar on a terminal, plain lines elsewhere.
        timeout: seconds after which a silent server is given up.

    Raises:
        DataError: no mirror gave the file; names each, why, and where to put the file by hand.
    """
    wanted = _Wanted(target.with_name(target.name + ".part"), digest, compressed, timeout)
    reasons = []
    for url in urls:
        try:
            with _telling(target.name, progress) as tell:
                _complete(wanted, url, tell)
        except _Broken as broken:
            reasons.append(f"  {url}: {broken}")
        else:
            os.replace(wanted.part, target)
            return
    tried = "\n".join(reasons)
    raise DataError(f"could not download {target.name}:\n{tried}\nTry again to continue, or put the file into {target.parent} by hand.")


def _complete(wanted: _Wanted, url: str, tell: Tell) -> None:
    """Completes the part from one mirror, or raises _Broken; a part that turns out wrong is deleted."""
    # Bytes that another mirror left may not fit these: if the whole is wrong, it gets one more chance from its beginning.
    mixed = wanted.part.exists()
    attempts = 0
    while True:
        size = wanted.size()
        try:
            _transfer(wanted, url, tell)
        except _Broken:
            attempts += 1
            if attempts == ATTEMPTS or wanted.size() <= size:
                raise
            continue
        algorithm = "sha256" if len(wanted.digest) == 64 else "md5"
        found = checksum(wanted.part, wanted.compressed, algorithm)
        if found == f"{algorithm} {wanted.digest}":
            return
        wanted.part.unlink()
        if not mixed:
            raise _Broken(f"wrong content, {found} where {wanted.digest} was expected; deleted")
        mixed = False


def _transfer(wanted: _Wanted, url: str, tell: Tell) -> None:
    """One request for what the part lacks; appends what comes."""
    size = wanted.size()
    request = urllib.request.Request(url, headers={"Range": f"bytes={size}-"} if size else {})
    try:
        response = urllib.request.urlopen(request, timeout=wanted.timeout)
    except urllib.error.HTTPError as error:
        with error:
            if error.code == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE and size:
                return  # nothing lies beyond what is there: the checksum decides whether it is whole
            raise _Broken(f"the server answered {error.code} {error.reason}") from error
    except (OSError, http.client.HTTPException) as error:
        raise _Broken(f"no connection: {error}") from error
    with response:
        start = size if response.status == http.HTTPStatus.PARTIAL_CONTENT else 0  # a server without ranges sends all of it
        length = response.headers.get("Content-Length")
        total = start + int(length) if length is not None else None
        with wanted.part.open("r+b" if start else "wb") as file:
            file.seek(start)
            for block in _blocks(response):
                file.write(block)
                tell(file.tell(), total)
            there = file.tell()
    if total is not None and there < total:
        raise _Broken(f"the connection broke after {there:,} of {total:,} bytes")


def _blocks(response: http.client.HTTPResponse) -> Iterator[bytes]:
    while True:
        try:
            block = response.read(BLOCK)
        except (OSError, http.client.HTTPException) as error:
            raise _Broken(f"the connection broke: {error}") from error
        if not block:
            return
        yield block


def checksum(path: Path, compressed: bool, algorithm: str = "md5") -> str:
    """ "md5 ..." of a file as it is (compressed=True) or of what it contains; for damaged gzip data, a text that says so."""
    try:
        content = path.read_bytes() if compressed else idx.contents(path)
    except DataError:
        return "damaged gzip data"
    return f"{algorithm} {hashlib.new(algorithm, content, usedforsecurity=False).hexdigest()}"


@contextmanager
def _telling(name: str, progress: bool) -> Iterator[Tell]:
    """A function that shows how much of `name` is there."""
    if not progress:
        yield lambda there, total: None
    elif sys.stderr.isatty():
        with _bar(name) as tell:
            yield tell
    else:
        yield _Lines(name)


@contextmanager
def _bar(name: str) -> Iterator[Tell]:
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as bar:
        row = bar.add_task(name, total=None)
        yield lambda there, total: bar.update(row, completed=there, total=total)


class _Lines:
    """Tells the progress in plain lines: the first at once, then one every LINES seconds, and the last."""

    def __init__(self, name: str) -> None:
        self.name, self.next = name, 0.0

    def __call__(self, there: int, total: int | None) -> None:
        now = time.monotonic()
        if now < self.next and there != total:
            return
        self.next = now + LINES
        whole = "" if total is None else f" of {total / 1e6:.1f}"
        print(f"{self.name}: {there / 1e6:.1f}{whole} MB", file=sys.stderr)
