import sys
from pathlib import Path

import pytest

from lifelong.workers import RETRIES, Event, Job, Workers

# Stands in for a run: appends a line to the file in the request at each start, then does what the request says.
WORKER = """
import json, os, signal, sys, threading
request = json.loads(sys.stdin.readline())
with open(request["file"], "a") as file:
    file.write(f"{os.environ['OMP_NUM_THREADS']}\\n")
starts = len(open(request["file"]).readlines())
def tell():
    print(json.dumps({"starts": starts}), flush=True)
if not request.get("waits"):
    tell()
if starts <= request.get("killed", 0):
    os.kill(os.getpid(), signal.SIGKILL)
if request.get("waits"):
    try:
        tell()
        threading.Event().wait(60)
    except KeyboardInterrupt:
        open(request["file"] + ".saved", "w").close()
        sys.exit(130)
if "error" in request:
    sys.exit(request["error"])
"""
COMMAND_HERE = (sys.executable, "-c", WORKER)


def job(folder: Path, name: str, **request: object) -> Job:
    return Job(name, {"file": str(folder / name), **request}, folder / f"{name}.log")


def run(jobs: list[Job], count: int) -> list[Event]:
    events: list[Event] = []
    Workers(count, COMMAND_HERE).run(jobs, events.append)
    return events


def kinds(events: list[Event], name: str) -> list[str]:
    return [event.kind for event in events if event.job.name == name]


def test_every_job_is_done_once_with_its_threads(tmp_path: Path) -> None:
    events = run([job(tmp_path, f"job-{i}") for i in range(5)], count=2)
    for i in range(5):
        assert kinds(events, f"job-{i}") == ["started", "progress", "finished"]
        assert (tmp_path / f"job-{i}").read_text() == "1\n"


def test_a_killed_worker_is_tried_again_and_the_others_are_left_alone(tmp_path: Path) -> None:
    events = run([job(tmp_path, "victim", killed=1), job(tmp_path, "other")], count=2)
    assert kinds(events, "victim") == ["started", "progress", "retried", "progress", "finished"]
    assert [event.error for event in events if event.kind == "retried"] == ["the worker was killed by SIGKILL"]
    assert kinds(events, "other") == ["started", "progress", "finished"]


def test_a_worker_that_is_killed_every_time_has_failed(tmp_path: Path) -> None:
    events = run([job(tmp_path, "victim", killed=99)], count=1)
    assert kinds(events, "victim").count("retried") == RETRIES
    assert events[-1].kind == "failed"
    assert events[-1].error == "the worker was killed by SIGKILL, 3 times"


def test_a_failure_is_told_with_the_logs_last_line_and_stops_nothing_else(tmp_path: Path) -> None:
    events = run([job(tmp_path, "bad", error="first line\nthe loss became nan"), job(tmp_path, "good")], count=1)
    assert [event.error for event in events if event.kind == "failed"] == ["the loss became nan"]
    assert kinds(events, "good")[-1] == "finished"


def test_a_failure_without_a_word(tmp_path: Path) -> None:
    assert run([job(tmp_path, "bad", error=7)], count=1)[-1].error == "the worker ended with code 7"


def test_ctrl_c_tells_every_worker_once_and_waits_until_they_have_saved(tmp_path: Path) -> None:
    started: list[str] = []

    def interrupt(event: Event) -> None:
        if event.kind == "progress":
            started.append(event.job.name)
            if len(started) == 2:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Workers(2, COMMAND_HERE).run([job(tmp_path, name, waits=True) for name in ("a", "b", "c")], interrupt)
    assert sorted(path.name for path in tmp_path.glob("*.saved")) == ["a.saved", "b.saved"]
    assert not (tmp_path / "c").exists()


def test_an_error_while_listening_ends_the_workers(tmp_path: Path) -> None:
    def fail(event: Event) -> None:
        if event.kind == "progress":
            raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        Workers(1, COMMAND_HERE).run([job(tmp_path, "a", waits=True)], fail)


def test_a_command_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        Workers(1, ("/nowhere/python",)).run([job(tmp_path, "a")], lambda event: None)
