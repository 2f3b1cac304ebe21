from collections.abc import Iterator

import pytest
import torch

from lifelong.errors import ScenarioError, TaskError
from lifelong.streams import from_tasks
from lifelong.tasks import Task


def task(name: str) -> Task:
    return Task(name, train=(torch.zeros(2, 3), [0, 1]))


def names(stream: object) -> list[str]:
    return [each.name for each in stream]  # type: ignore[attr-defined]


class Generated:
    """A generator function that counts how often it is called, and how many tasks it made."""

    def __init__(self, count: int | None) -> None:
        self.count, self.calls, self.made = count, 0, 0

    def __call__(self) -> Iterator[Task]:
        self.calls += 1
        position = 0
        while self.count is None or position < self.count:
            self.made += 1
            yield task(f"month {position + 1}")
            position += 1


def test_a_list_is_a_stream() -> None:
    tasks = [task("May"), task("June"), task("July")]
    stream = from_tasks(tasks, name="months", scenario="domain", data="sales (6)")
    assert (stream.name, stream.scenario, len(stream), stream.data) == ("months", "domain", 3, "sales (6)")
    assert list(stream) == tasks
    assert stream[-1] is tasks[2]
    tasks.clear()
    assert names(stream[1:]) == ["June", "July"]


def test_an_iterator_is_read_once() -> None:
    stream = from_tasks(task(name) for name in ("a", "b"))
    assert names(stream) == names(stream) == ["a", "b"]
    assert stream.scenario == "class"


def test_a_generator_function_makes_a_task_when_it_is_asked_for() -> None:
    months = Generated(5)
    stream = from_tasks(months, length=5)
    assert (months.calls, len(stream)) == (0, 5)
    going = iter(stream)
    assert [next(going).name, next(going).name] == ["month 1", "month 2"]
    assert (months.calls, months.made) == (1, 2)
    assert [each.name for each in going] == ["month 3", "month 4", "month 5"]
    assert (months.calls, months.made) == (1, 5)
    assert names(stream) == [f"month {i}" for i in range(1, 6)]
    assert months.calls == 2


def test_any_task_of_a_generator_function_can_be_asked_for() -> None:
    stream = from_tasks(Generated(5), length=5)
    assert [stream[i].name for i in (3, 0, 4, 4, 1)] == ["month 4", "month 1", "month 5", "month 5", "month 2"]
    assert names(stream[1:4:2]) == ["month 2", "month 4"]


def test_two_passes_at_once_do_not_disturb_each_other() -> None:
    stream = from_tasks(Generated(3), length=3)
    assert [(a.name[-1], b.name[-1]) for a, b in zip(stream, stream, strict=True)] == [("1", "1"), ("2", "2"), ("3", "3")]


def test_a_generator_function_may_never_end() -> None:
    stream = from_tasks(Generated(None))
    assert stream.endless
    assert stream[100].name == "month 101"
    assert names(stream[:2]) == ["month 1", "month 2"]


def test_a_generator_function_that_ends_too_early() -> None:
    stream = from_tasks(Generated(2), name="months")
    with pytest.raises(TaskError, match=r"stream 'months' ended after 2 tasks; task 2 was asked for\. Give length=2"):
        list(stream)
    with pytest.raises(TaskError, match="stream 'months' ended after 2 tasks; task 9 was asked for"):
        stream[9]
    assert stream[1].name == "month 2"


def test_one_name_twice_in_a_list() -> None:
    with pytest.raises(TaskError, match="stream 'tasks': tasks 0 and 2 are both called 'a'; give each its own name"):
        from_tasks([task("a"), task("b"), task("a")])


def test_one_name_twice_from_a_generator_function() -> None:
    stream = from_tasks(lambda: iter([task("a"), task("a")]), length=2)
    assert stream[0].name == "a"
    with pytest.raises(TaskError, match="tasks 0 and 1 are both called 'a'"):
        stream[1]


def test_what_is_no_task() -> None:
    with pytest.raises(TaskError, match="stream 'tasks', position 1: expected a Task, got tuple"):
        from_tasks([task("a"), (torch.zeros(1), [0])])  # type: ignore[list-item]
    with pytest.raises(TaskError, match="position 0: expected a Task, got str"):
        from_tasks(lambda: ["a"], length=1)[0]  # type: ignore[list-item, return-value]


def test_no_tasks() -> None:
    with pytest.raises(TaskError, match="stream 'tasks' has no tasks; give at least one"):
        from_tasks([])


def test_wrong_arguments() -> None:
    with pytest.raises(ScenarioError, match="unknown scenario 'classes'; did you mean 'class'\\? Known: class, domain, task"):
        from_tasks([task("a")], scenario="classes")  # type: ignore[arg-type]
    with pytest.raises(TaskError, match="length is 0; expected 1 or more, or None for a stream that never ends"):
        from_tasks(Generated(3), length=0)
    with pytest.raises(TaskError, match="length=2 is for a generator function; this is a list"):
        from_tasks([task("a")], length=2)
