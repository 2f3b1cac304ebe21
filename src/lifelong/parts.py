"""A recipe's tables as objects: its stream, network, methods, optimizer and scheduler."""

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import torch
from torch import nn

from lifelong.errors import DataError, RecipeError, nearest
from lifelong.learner import Learner
from lifelong.method import Method
from lifelong.methods import METHODS
from lifelong.models import MODELS
from lifelong.recipe import Recipe, Training
from lifelong.streams import STREAMS
from lifelong.tasks import Stream

Made = TypeVar("Made")
OF_THE_RUN = "run"  # `seed = "run"` in [stream]: every run draws its stream from its own seed


def stream_of(recipe: Recipe, seed: int, tasks: int | None = None) -> Stream:
    """The stream of one run.

    Args:
        seed: the run's; the stream depends on it only where the recipe says `seed = "run"`.
        tasks: only the first ones. None: all.

    Raises:
        RecipeError: an unknown stream or argument, a stream that never ends, or one with fewer tasks than asked for.
    """
    call = recipe.stream
    arguments = {**call.arguments, "seed": seed} if call.arguments.get("seed") == OF_THE_RUN else call.arguments
    stream: Stream = _made("stream", _named("stream.name", call.name, STREAMS), arguments)
    if tasks is not None and not stream.endless and tasks > len(stream):
        raise RecipeError(
            f"--tasks {tasks}: the stream has only {len(stream)} tasks; a longer one, where it can be: --set stream.tasks={tasks}"
        )
    if tasks is None and stream.endless:
        raise RecipeError(
            f"stream {stream.name!r} never ends, and an experiment has to (joint training would keep all of it); "
            "say how many tasks to learn, as in --tasks 10"
        )
    return stream if tasks is None else stream[:tasks]  # type: ignore[return-value]  # a slice of a stream is a stream


def network_of(recipe: Recipe, seed: int, label: str) -> nn.Module:
    """The network of one run of a method, its weights drawn from the run's seed."""
    where = f"methods.{label}.network" if recipe.methods[label].network else "network"
    call = recipe.network_of(label)
    return _made(where, _named(f"{where}.name", call.name, MODELS), call.arguments, seed=seed)


def methods_of(recipe: Recipe, label: str) -> dict[str, Method]:
    """A method of the recipe and what it is combined with, by name and in order.

    Raises:
        RecipeError: an unknown method or argument, or a wrong value.
    """
    part = recipe.methods[label]
    name = part.method or label
    where = f"methods.{label}"
    made = {name: _made(where, _named(f"{where}.method" if part.method else where, name, METHODS), part.arguments)}
    for other, arguments in part.together.items():
        inside = f"{where}.with.{other}"
        if other in made:
            raise RecipeError(f"{inside}: a method can't be combined with itself")
        made[other] = _made(inside, _named(inside, other, METHODS), arguments)
    return made


def learner_of(recipe: Recipe, label: str, seed: int, stream: Stream) -> Learner:
    """A learner that has learned nothing yet, as a run of a method begins.

    Args:
        label: the method's in the recipe.
        seed: the run's.
        stream: the run's, as `stream_of` gives it.
    """
    training = recipe.training_of(label)
    return Learner(
        network_of(recipe, seed, label),
        list(methods_of(recipe, label).values()),
        stream.scenario,
        classes=list(dict.fromkeys(name for task in stream for name in task.classes)) if recipe.outputs == "all" else [],
        optimizer=optimizer_of(training),
        epochs=training.epochs,
        steps=training.steps,
        batch_size=training.batch_size,
        seed=seed,
        scheduler=scheduler_of(training),
        clip_norm=training.clip_norm,
        precision=training.precision,
        reset_optimizer=training.reset_optimizer,
        compile=training.compile,
    )


def optimizer_of(training: Training, where: str = "training") -> Callable[..., torch.optim.Optimizer]:
    """The optimizer as what `Learner` takes: called with the parameters, it gives the optimizer."""
    known = {name: kind for name, kind in vars(torch.optim).items() if _is_one_of(kind, torch.optim.Optimizer)}
    call = training.optimizer
    kind = _named(f"{where}.optimizer.name", call.name, known)
    _made(f"{where}.optimizer", kind, call.arguments, params=[nn.Parameter(torch.zeros(1))])
    return functools.partial(kind, **call.arguments)


def scheduler_of(training: Training, where: str = "training") -> Callable[..., Any] | None:
    """The scheduler as what `Learner` takes: called with the optimizer, it gives the scheduler. None: no scheduler."""
    call = training.scheduler
    if call is None:
        return None
    known = {name: kind for name, kind in vars(torch.optim.lr_scheduler).items() if _is_one_of(kind, torch.optim.lr_scheduler.LRScheduler)}
    kind = _named(f"{where}.scheduler.name", call.name, known)
    probe = optimizer_of(training, where)([nn.Parameter(torch.zeros(1))])
    _made(f"{where}.scheduler", kind, call.arguments, optimizer=probe)
    return functools.partial(kind, **call.arguments)


def _is_one_of(kind: Any, base: type) -> bool:
    return inspect.isclass(kind) and issubclass(kind, base) and kind is not base


def _named(path: str, name: str, table: Mapping[str, Made]) -> Made:
    if name not in table:
        raise RecipeError(f"{path}: unknown name {name!r}; {nearest(name, table)}")
    return table[name]


def _made(path: str, make: Callable[..., Made], arguments: Mapping[str, Any], **given: Any) -> Made:
    """`make(**arguments, **given)`, its arguments checked by name before, and a refusal of their values told with the path."""
    parameters = inspect.signature(make).parameters
    known = [name for name, p in parameters.items() if name not in given and p.kind in (p.KEYWORD_ONLY, p.POSITIONAL_OR_KEYWORD)]
    for name in arguments:
        if name not in known:
            raise RecipeError(f"{path}.{name}: unknown argument; {nearest(name, known) if known else 'it takes none'}")
    for name in known:
        if name not in arguments and parameters[name].default is inspect.Parameter.empty:
            raise RecipeError(f"{path}.{name}: is missing")
    try:
        return make(**arguments, **given)
    except (TypeError, ValueError, DataError) as error:
        raise RecipeError(f"{path}: {error}") from error
