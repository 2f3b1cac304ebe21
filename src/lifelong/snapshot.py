"""What a learner was before a task, for when the task ends in an error."""

import copy
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lifelong.learner import Learner

COPIED = ("theta", "dormant", "methods", "_network", "model", "_initial", "cost")
SHARED = ("matrix", "told", "routed", "chosen", "_unfinished", "_carried")  # replaced, and never changed in place
GROWING = ("tasks", "journal", "watched", "sizes")  # lists that only get longer


def taken(learner: "Learner") -> dict[str, Any]:
    """All that a learner is, to be given to `restore`."""
    memo: dict[int, Any] = {}
    return {
        "attributes": {name: copy.deepcopy(getattr(learner, name), memo) for name in COPIED}
        | {name: getattr(learner, name) for name in SHARED},
        "lengths": {name: len(getattr(learner, name)) for name in GROWING},
        "generators": [generator.get_state() for generator in (learner.order, *learner._generators)],
        "random": dict(learner._random.states),
    }


def restore(learner: "Learner", before: dict[str, Any]) -> None:
    """The learner is what it was."""
    for name, value in before["attributes"].items():
        setattr(learner, name, value)
    for name, length in before["lengths"].items():
        del getattr(learner, name)[length:]
    for generator, state in zip((learner.order, *learner._generators), before["generators"], strict=True):
        generator.set_state(state)
    learner._random.states = before["random"]
    learner._run, learner._examples, learner._task_training = None, None, None
    if learner.theta.layout.size:
        named = dict(learner.network.named_parameters())
        learner.theta.bind({name: named[name] for name in learner.theta.layout.shapes})
