"""One exception type per kind of mistake; every message says what was given, what was expected and what to do."""

import difflib
from collections.abc import Iterable

NOTHING_LEARNED = "this learner has not learned anything yet, so it has no head; call learn(task) first"


class TaskError(ValueError):
    """A task's data or classes can't be learned from as they are."""


class ScenarioError(ValueError):
    """The scenario can't give what a task, a method or a call asks of it."""


class MethodError(ValueError):
    """A method or its arguments are wrong, or methods don't go together."""


class RecipeError(ValueError):
    """A recipe, a key in it or a setting given for it is wrong."""


class DataError(RuntimeError):
    """A data set is missing, damaged or could not be downloaded."""


class StoreError(RuntimeError):
    """A learner on disk can't be opened or written."""


class ThetaError(RuntimeError):
    """The network's parameters can't be, or are no longer, one vector."""


class NonFiniteError(RuntimeError):
    """Training produced an infinite or undefined loss."""


class GrowthError(ValueError):
    """A network that can't be grown as it was asked to."""


class CompileError(RuntimeError):
    """torch.compile can't make machine code of the network."""


class ProcessError(RuntimeError):
    """Several processes can't train this together, or one of them is gone."""


class Interrupted(KeyboardInterrupt):
    """Training stopped at a step's end because of Ctrl-C; the message says how to go on."""


def nearest(name: str, known: Iterable[str]) -> str:
    """The hint that ends an error about an unknown name: the nearest known one, and all of them.

    >>> nearest("ewcc", ["ewc", "l2"])
    "did you mean 'ewc'? Known: ewc, l2"
    """
    known = sorted(known)
    close = difflib.get_close_matches(name, known, n=1)
    start = f"did you mean {close[0]!r}? " if close else ""
    return f"{start}Known: {', '.join(known)}"
