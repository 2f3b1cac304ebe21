"""Against a server on this machine that behaves as badly as servers do."""

import gzip
import hashlib
import http.server
import io
import re
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from lifelong.data import download
from lifelong.data.download import fetch
from lifelong.errors import DataError

CONTENT = np.random.default_rng(0).integers(0, 256, 300_000, dtype=np.uint8).tobytes()
PACKED = gzip.compress(CONTENT, 9, mtime=0)
AGAIN = gzip.compress(CONTENT, 0, mtime=0)  # the same content, other bytes: a mirror that compressed again
MD5 = hashlib.md5(CONTENT).hexdigest()
PACKED_MD5 = hashlib.md5(PACKED).hexdigest()


class Server(http.server.ThreadingHTTPServer):
    """Answers by the first part of the path, and notes what was asked for.

    /good: all is well. /drops: closes the connection after half of what remains, every time it is asked. /drops-once: the first time only.
    /silent: closes before the first byte of the content. /wrong: other bytes of the same length. /again: compressed in another way.
    /plain: knows no ranges. /plain-drops-once: both. /endless: says no length. Anything else: 404.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked: list[tuple[str, str | None]] = []

    def url(self, behaviour: str) -> str:
        return f"http://127.0.0.1:{self.server_port}/{behaviour}/file.gz"


class Handler(http.server.BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        behaviour, wanted = self.path.split("/")[1], self.headers["Range"]
        again = (behaviour, None) in self.server.asked
        self.server.asked.append((behaviour, wanted))
        bodies = {"wrong": bytes(len(PACKED)), "again": AGAIN}
        if behaviour == "missing":
            self.send_error(404)
            return
        body = bodies.get(behaviour, PACKED)
        start = int(wanted.removeprefix("bytes=").removesuffix("-")) if wanted and not behaviour.startswith("plain") else 0
        if start >= len(body):
            self.send_error(416)
            return
        self.send_response(206 if start else 200)
        if behaviour != "endless":
            self.send_header("Content-Length", str(len(body) - start))
        self.end_headers()
        rest = body[start:]
        if behaviour == "silent":
            rest = b""
        elif behaviour == "drops" or (behaviour.endswith("drops-once") and not again):
            rest = rest[: len(rest) // 2]
        self.wfile.write(rest)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_is_downloaded(server: Server, tmp_path: Path) -> None:
    fetch([server.url("good")], tmp_path / "file.gz", MD5, progress=False)
    assert (tmp_path / "file.gz").read_bytes() == PACKED
    assert names(tmp_path) == ["file.gz"]


def test_a_dropped_connection_is_continued_where_it_broke(server: Server, tmp_path: Path) -> None:
    fetch([server.url("drops-once")], tmp_path / "file.gz", MD5, progress=False)
    assert (tmp_path / "file.gz").read_bytes() == PACKED
    assert server.asked == [("drops-once", None), ("drops-once", f"bytes={len(PACKED) // 2}-")]


def test_what_arrived_is_kept_for_the_next_call(server: Server, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"the connection broke after [\d,]+ of 300,\d+ bytes"):
        fetch([server.url("drops")], tmp_path / "file.gz", MD5, progress=False)
    assert len(server.asked) == download.ATTEMPTS
    assert names(tmp_path) == ["file.gz.part"]
    size = (tmp_path / "file.gz.part").stat().st_size
    assert size > 0.9 * len(PACKED)
    server.asked.clear()
    fetch([server.url("good")], tmp_path / "file.gz", MD5, progress=False)
    assert server.asked == [("good", f"bytes={size}-")]
    assert (tmp_path / "file.gz").read_bytes() == PACKED
    assert names(tmp_path) == ["file.gz"]


def test_wrong_bytes_are_refused_and_the_next_mirror_is_tried(server: Server, tmp_path: Path) -> None:
    fetch([server.url("wrong"), server.url("good")], tmp_path / "file.gz", MD5, progress=False)
    assert server.asked == [("wrong", None), ("good", None)]
    assert (tmp_path / "file.gz").read_bytes() == PACKED


def test_wrong_bytes_are_deleted(server: Server, tmp_path: Path) -> None:
    found = hashlib.md5(bytes(len(PACKED))).hexdigest()
    with pytest.raises(DataError, match=f"wrong content, md5 {found} where {MD5} was expected; deleted"):
        fetch([server.url("wrong")], tmp_path / "file.gz", MD5, progress=False)
    assert names(tmp_path) == []


def test_the_checksum_is_of_the_content_or_of_the_file(server: Server, tmp_path: Path) -> None:
    fetch([server.url("again")], tmp_path / "content.gz", MD5, progress=False)
    fetch([server.url("good")], tmp_path / "packed.gz", PACKED_MD5, compressed=True, progress=False)
    with pytest.raises(DataError, match="wrong content"):
        fetch([server.url("again")], tmp_path / "other.gz", PACKED_MD5, compressed=True, progress=False)
    assert names(tmp_path) == ["content.gz", "packed.gz"]


def test_the_checksum_may_be_a_sha256(server: Server, tmp_path: Path) -> None:
    content, packed, wrong = (hashlib.sha256(each).hexdigest() for each in (CONTENT, PACKED, bytes(len(PACKED))))
    fetch([server.url("again")], tmp_path / "content.gz", content, progress=False)
    fetch([server.url("good")], tmp_path / "packed.gz", packed, compressed=True, progress=False)
    with pytest.raises(DataError, match=f"wrong content, sha256 {wrong} where {packed} was expected; deleted"):
        fetch([server.url("wrong")], tmp_path / "file.gz", packed, compressed=True, progress=False)
    assert names(tmp_path) == ["content.gz", "packed.gz"]


def test_a_rest_from_another_mirror_that_does_not_fit_starts_again(server: Server, tmp_path: Path) -> None:
    (tmp_path / "file.gz.part").write_bytes(AGAIN[:1000])
    fetch([server.url("good")], tmp_path / "file.gz", MD5, progress=False)
    assert server.asked == [("good", "bytes=1000-"), ("good", None)]
    assert (tmp_path / "file.gz").read_bytes() == PACKED


@pytest.mark.parametrize("part", [PACKED, PACKED + b"more"])
def test_a_part_that_is_whole_or_too_long(server: Server, tmp_path: Path, part: bytes) -> None:
    (tmp_path / "file.gz.part").write_bytes(part)
    fetch([server.url("good")], tmp_path / "file.gz", MD5, progress=False)
    assert (tmp_path / "file.gz").read_bytes() == PACKED


def test_a_server_without_ranges_sends_all_of_it_again(server: Server, tmp_path: Path) -> None:
    fetch([server.url("plain-drops-once")], tmp_path / "file.gz", MD5, progress=False)
    assert [behaviour for behaviour, _ in server.asked] == ["plain-drops-once"] * 2
    assert (tmp_path / "file.gz").read_bytes() == PACKED


def test_a_server_that_says_no_length(server: Server, tmp_path: Path) -> None:
    fetch([server.url("endless")], tmp_path / "file.gz", MD5, progress=False)
    assert (tmp_path / "file.gz").read_bytes() == PACKED


def test_the_error_names_every_address_its_reason_and_what_to_do(server: Server, tmp_path: Path) -> None:
    closed = "http://127.0.0.1:9/file.gz"
    urls = [server.url("missing"), server.url("silent"), server.url("wrong"), closed]
    with pytest.raises(DataError) as caught:
        fetch(urls, tmp_path / "file.gz", MD5, progress=False)
    lines = str(caught.value).splitlines()
    assert lines[0] == "could not download file.gz:"
    assert lines[1] == f"  {urls[0]}: the server answered 404 Not Found"
    assert lines[2] == f"  {urls[1]}: the connection broke after 0 of {len(PACKED):,} bytes"
    assert lines[3].startswith(f"  {urls[2]}: wrong content")
    assert lines[4].startswith(f"  {closed}: no connection: ")
    assert lines[5] == f"Try again to continue, or put the file into {tmp_path} by hand."
    assert len(lines) == 6


def test_a_silent_server_is_given_up(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    let_go = threading.Event()

    def wait(handler: Handler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", "10")
        handler.end_headers()
        let_go.wait(10)

    monkeypatch.setattr(Handler, "do_GET", wait)
    with pytest.raises(DataError, match="the connection broke: timed out"):
        fetch([server.url("good")], tmp_path / "file.gz", MD5, progress=False, timeout=0.1)
    let_go.set()


def test_without_a_terminal_the_progress_is_plain_lines(server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fetch([server.url("good")], tmp_path / "file.gz", MD5)
    output, lines = capsys.readouterr()
    assert output == ""
    assert "\x1b" not in lines
    assert lines.splitlines()[-1] == "file.gz: 0.3 of 0.3 MB"
    assert len(lines.splitlines()) <= 3


def test_on_a_terminal_the_progress_is_a_bar(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    terminal = Terminal()
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys, "stderr", terminal)
    fetch([server.url("good")], tmp_path / "file.gz", MD5)
    assert "file.gz" in terminal.getvalue()
    assert re.search("\x1b", terminal.getvalue())


def test_no_progress_is_no_output(server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fetch([server.url("good")], tmp_path / "file.gz", MD5, progress=False)
    assert capsys.readouterr() == ("", "")
