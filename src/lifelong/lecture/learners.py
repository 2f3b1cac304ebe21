"""A recipe's learners, for measures that look into their training. Unlike the rest of the lecture it imports torch: import it inside."""

from collections.abc import Sequence

from lifelong import parts
from lifelong import recipe as recipes
from lifelong.learner import Learner
from lifelong.tasks import Stream


def learner_of(name: str, changes: Sequence[str], label: str, seed: int) -> tuple[Learner, Stream]:
    """A learner that has learned nothing yet, as a run of the recipe begins with it, and the run's stream.

    Args:
        name: the recipe's.
        changes: settings that differ from it, as "training.epochs=10".
        label: of the recipe's method.
        seed: the run's.

    Raises:
        RecipeError: an unknown recipe, method or setting, or a wrong value.

    >>> learner, stream = learner_of("demo", ["stream.tasks=3"], "ewc", seed=0)
    >>> len(stream), [type(method).__name__ for method in learner.methods]
    (3, ['EWC'])
    """
    recipe = recipes.only(recipes.load(name, changes), [label])
    stream = parts.stream_of(recipe, seed)
    return parts.learner_of(recipe, label, seed, stream), stream
