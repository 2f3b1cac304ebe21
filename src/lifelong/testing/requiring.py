"""How a check says that a method does not conform. Not `assert`, which does nothing under `python -O`."""


class ConformanceError(AssertionError):
    """A method does not conform; the text says where and why."""


def require(condition: bool, reason: str) -> None:
    """Raises ConformanceError unless the condition holds."""
    if not condition:
        raise ConformanceError(reason)
