import json
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from lifelong.errors import RecipeError
from lifelong.lecture import course as courses
from lifelong.lecture.course import Course
from lifelong.lecture.section import Section
from lifelong.results import read_results
from lifelong.workers import Event
from small_sections import BROKEN, COUNTING, ENDLESS, RECIPE

HERE = Path(__file__).parents[1]


@pytest.fixture(autouse=True)
def small_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(courses, "COMMAND", (sys.executable, str(HERE / "small_sections.py")))


def done(course: Course, **settings: bool) -> list[Event]:
    """Runs the course; what was told."""
    events: list[Event] = []
    counted: list[int] = []
    course.run(workers=1, tell=events.append, count=counted.append, fresh=settings.get("fresh", False))
    assert counted == [len({event.job.name for event in events})]
    return events


def test_what_was_measured_is_kept_and_not_measured_again(tmp_path: Path) -> None:
    course = Course([COUNTING], tmp_path)
    assert course.measured() == {}
    assert course.seconds(COUNTING) == 0.0
    assert [event.kind for event in done(course)] == ["started", "finished"]
    assert course.measured() == {"counting": {"counted": {"number": 3}}}
    assert course.seconds(COUNTING) > 0.0
    assert done(course) == []
    assert [event.kind for event in done(course, fresh=True)] == ["started", "finished"]


def test_the_full_lecture_measures_more_and_has_its_own_folder(tmp_path: Path) -> None:
    done(Course([COUNTING], tmp_path, full=True))
    assert Course([COUNTING], tmp_path, full=True).measured()["counting"]["counted"] == {"number": 7}
    with pytest.raises(RecipeError) as refused:
        done(Course([COUNTING], tmp_path))
    assert str(refused.value) == (
        f"{tmp_path} holds the full lecture, and the short lecture was asked for; use another folder with --out DIR, "
        "or start over with --fresh"
    )
    done(Course([COUNTING], tmp_path), fresh=True)
    with pytest.raises(RecipeError, match="holds the short lecture, and the full lecture was asked for"):
        done(Course([COUNTING], tmp_path, full=True))


def test_a_broken_measure_is_told_and_leaves_the_others_alone(tmp_path: Path) -> None:
    course = Course([BROKEN, COUNTING], tmp_path)
    events = {event.job.name: event for event in done(course)}
    assert (events["broken"].kind, events["broken"].error) == ("failed", "ValueError: this measure is broken")
    assert events["broken"].job.title == "broken: broken"
    assert set(course.measured()) == {"counting"}


def test_stopped_it_goes_on_with_what_is_left(tmp_path: Path) -> None:
    course = Course([COUNTING, ENDLESS], tmp_path)

    def stop(event: Event) -> None:
        if (event.job.name, event.kind) == ("endless", "started"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        course.run(workers=1, tell=stop, count=lambda jobs: None)
    assert set(course.measured()) == {"counting"}
    started: list[str] = []

    def note(event: Event) -> None:
        started.append(event.job.name)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        course.run(workers=1, tell=note, count=lambda jobs: None)
    assert started[0] == "endless"


@pytest.mark.slow
def test_a_recipe_is_run_as_the_command_runs_it(tmp_path: Path) -> None:
    section = replace(RECIPE, name="two-tasks")
    course = Course([section], tmp_path, full=True)
    events = done(course)
    finished = [event.job.title for event in events if event.kind == "finished"]
    assert finished == ["two-tasks: finetune, seed 0", "two-tasks: joint, seed 0"]
    results = read_results(tmp_path / "lecture-two-tasks")
    assert course.measured() == {"two-tasks": {"lecture-two-tasks": results}}
    assert course.seconds(section) == pytest.approx(
        sum(run["cost"]["train_seconds"] + run["cost"]["evaluate_seconds"] for run in results["runs"])
    )
    assert results["runs"][0]["config"]["training"]["epochs"] == 1
    path = tmp_path / "lecture-two-tasks" / "results.json"
    path.write_text(json.dumps({**results, "runs": [{**results["runs"][0], "status": "failed"}, results["runs"][1]]}))
    assert course.measured() == {}


def test_the_command_reproduces_one_section(tmp_path: Path) -> None:
    section: Section = COUNTING
    assert Course([section], tmp_path).command(section) == "lifelong lecture counting"
    assert Course([section], tmp_path, full=True).command(section) == "lifelong lecture counting --full"


def test_two_lectures_in_one_folder_are_refused(tmp_path: Path) -> None:
    def again(event: Event) -> None:
        with pytest.raises(RecipeError, match="another `lifelong run` is working in"):
            Course([COUNTING], tmp_path).run(tell=lambda event: None, count=lambda jobs: None)
        refused.append(event.kind)

    refused: list[str] = []
    Course([COUNTING], tmp_path).run(workers=1, tell=again, count=lambda jobs: None)
    assert refused == ["started", "finished"]


@pytest.mark.slow
def test_ctrl_c_stops_the_command_and_the_same_command_goes_on(tmp_path: Path) -> None:
    def interrupted(jobs: int) -> None:
        """Presses Ctrl-C when one of so many jobs is done."""
        command = [sys.executable, "-m", "lifelong", "lecture", "two-tasks", "--out", str(tmp_path / "out"), "--workers", "1"]
        said = ""
        with subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True) as process:
            assert process.stderr is not None
            for line in process.stderr:
                said += line
                if line.startswith(f"[1/{jobs}]"):
                    process.send_signal(signal.SIGINT)
        assert process.returncode == 130, said
        again = " ".join(["lifelong", *command[3:]])
        assert f"Stopped; everything is saved in {tmp_path / 'out'}. The same command goes on from there: {again}" in said
        assert "This section has not been run yet." in (tmp_path / "out" / "lecture.html").read_text()

    interrupted(6)
    interrupted(5)
