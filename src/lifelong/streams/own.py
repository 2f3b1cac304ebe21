"""Streams made of a user's own tasks."""

from collections.abc import Callable, Iterable, Iterator
from typing import get_args

from lifelong.errors import ScenarioError, TaskError, nearest
from lifelong.tasks import Scenario, Stream, Task


def from_tasks(
    tasks: Iterable[Task] | Callable[[], Iterable[Task]],
    *,
    name: str = "tasks",
    scenario: Scenario = "class",
    length: int | None = None,
    data: str = "",
) -> Stream:
    """A stream of your own tasks.

    Args:
        tasks: a list of tasks; or any other iterable, which is read to its end at once; or a generator function without arguments,
            for tasks that don't fit into memory together: each is made when the stream comes to it, and never kept. It is called
            again each time the stream is gone through, and has to yield the same tasks.
        name: how the stream is called in results.
        scenario: "task", "domain" or "class": what is known at test time.
        length: how many tasks a generator function yields. None: it never ends. Not for lists and iterables, which know.
        data: the data's name and size, for results.

    Raises:
        TaskError: no task, something that is no Task, two tasks with the same name, a generator function that ends before `length`.
        ScenarioError: an unknown scenario.

    >>> import torch
    >>> months = [Task(month, train=(torch.rand(4, 2), [0, 1, 0, 1])) for month in ("May", "June")]
    >>> from_tasks(months, name="months")
    Stream('months', scenario='class', tasks=2)
    """
    if scenario not in get_args(Scenario):
        raise ScenarioError(f"unknown scenario {scenario!r}; {nearest(str(scenario), get_args(Scenario))}")
    if callable(tasks):
        if length is not None and length < 1:
            raise TaskError(f"length is {length}; expected 1 or more, or None for a stream that never ends")
        return Stream(name, scenario, _Generated(name, tasks), length, data)
    kept = list(tasks)
    if length is not None:
        raise TaskError(f"length={length} is for a generator function; this is a {type(tasks).__name__}")
    if not kept:
        raise TaskError(f"stream {name!r} has no tasks; give at least one")
    seen: dict[str, int] = {}
    for position, task in enumerate(kept):
        _check(name, task, position, seen)
    return Stream(name, scenario, kept.__getitem__, len(kept), data)


class _Generated:
    """Gives the task at a position from a generator function: the next one from the generator at work, else from a new one."""

    def __init__(self, name: str, function: Callable[[], Iterable[Task]]) -> None:
        self.name, self.function = name, function
        self.tasks: Iterator[Task] = iter(())
        self.position = -1  # of the task that `tasks` gave last
        self.seen: dict[str, int] = {}

    def __call__(self, position: int) -> Task:
        if position <= self.position or self.position < 0:
            self.tasks, self.position = iter(self.function()), -1
        while True:
            task = next(self.tasks, None)
            if task is None:
                ended, self.position = self.position + 1, -1
                raise TaskError(f"stream {self.name!r} ended after {ended} tasks; task {position} was asked for. Give length={ended}")
            self.position += 1
            _check(self.name, task, self.position, self.seen)
            if self.position == position:
                return task


def _check(stream: str, task: Task, position: int, seen: dict[str, int]) -> None:
    """Refuses what is no task, and a name that a task at another position has."""
    if not isinstance(task, Task):
        raise TaskError(f"stream {stream!r}, position {position}: expected a Task, got {type(task).__name__}")
    first = seen.setdefault(task.name, position)
    if first != position:
        raise TaskError(f"stream {stream!r}: tasks {first} and {position} are both called {task.name!r}; give each its own name")
