"""The network's shape: heads, theta and every method's per-parameter state follow the tasks."""

import copy
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from lifelong.errors import TaskError
from lifelong.growth import OPERATIONS, Change, Operation, change_of
from lifelong.models.adopted import Adopted
from lifelong.models.heads import Heads, Network
from lifelong.models.mlp import MLP
from lifelong.modes import evaluation_mode
from lifelong.optimizers import grown
from lifelong.tasks import Examples, Task
from lifelong.theta import Layout

if TYPE_CHECKING:
    from lifelong.learner import Learner

NETWORK_ERRORS = (RuntimeError, TypeError, ValueError, IndexError)  # what a network raises on inputs that it can't take


def build(learner: "Learner", width: int) -> None:
    """Makes the heads, which needs the features' width, and attaches the methods."""
    heads = Heads(width, learner.scenario, learner.seed, learner.model.initial if isinstance(learner.model, MLP) else "torch")
    if isinstance(learner.model, Adopted):
        rows = zip(learner.model.classes, learner.model.head_weight.cpu(), learner.model.head_bias.cpu(), strict=True)  # type: ignore[arg-type]
        heads.adopted = {name: (weight, bias) for name, weight, bias in rows}
    learner._network = Network(learner.model, heads)
    if learner.scenario != "task" or any(method.restarts for method in learner.methods):
        learner._initial = {name: value.clone() for name, value in learner.model.state_dict().items()}
    for operation in learner.journal:  # classes declared before there was a head
        learner.heads.declare(operation["classes"])
    for method in learner.methods:
        method.attach(learner)
    if isinstance(learner.model, Adopted):
        grow(learner, {"operation": "add_classes", "task": "", "classes": list(learner.model.classes)})


def admit(learner: "Learner", task: Task) -> None:
    """Makes room for the task's classes in the head."""
    known = learner.heads.classes[learner.heads.find(task.name)] if learner.heads.knows(task.name, []) else []
    fresh = [name for name in task.classes if name not in set(known) or name in learner.heads.waiting]
    twin = next((old for name in fresh for old in learner.heads.adopted if str(old) == str(name) and old != name), None)
    if twin is not None:
        kinds = ("text", "number") if isinstance(twin, str) else ("number", "text")
        raise TaskError(
            f"task {task.name!r} has the class {str(twin)!r} as a {kinds[1]}, and it was adopted as a {kinds[0]}: these would be two "
            "classes. Name it alike, in the task's labels or in ll.adopt(network, classes)"
        )
    if fresh:
        known_head = learner.scenario != "task" or task.name in learner.heads.names
        grow(learner, {"operation": "add_classes" if known_head else "add_head", "task": task.name, "classes": fresh})


def grow(learner: "Learner", operation: Operation) -> None:
    """Applies an operation that changes the network's shape, and writes it to the journal.

    Raises:
        GrowthError: it can't be done; nothing was changed.
    """
    kind = operation["operation"]
    if kind in OPERATIONS:
        _follow(learner, change_of(learner.network, operation))
    elif kind == "declare_classes":
        learner.heads.declare(operation["classes"])
    else:
        learner.heads.admit(operation["task"], operation["classes"])
    learner.heads.to(learner.device)
    learner.journal.append(operation)


def _follow(learner: "Learner", change: Change) -> None:
    """Theta, what methods and the optimizer keep for each parameter, and the first weights follow the network."""
    old = learner.theta.layout
    names = {change.renamed.get(name, name) for name in old.shapes} | (change.fresh.keys() if old.shapes else set())
    named = {name: p for name, p in learner.network.named_parameters() if name in names and p.requires_grad}
    layout = Layout({name: tuple(parameter.shape) for name, parameter in named.items()})
    for i, method in enumerate(learner.methods):
        for name, declared in method.declared.items():
            state: Tensor = getattr(method, name)
            if state.numel():
                setattr(method, name, change.vector(state, old, layout, declared))
            dormant = learner.dormant.get(f"{i}.{name}")
            if dormant:
                learner.dormant[f"{i}.{name}"] = change.carry(dormant, declared.scales)
    learner.theta.bind(named)
    if learner._carried is not None:
        learner._carried = grown(learner._carried, change)
    if learner._initial is not None:
        first = change.carry({f"features.{name}": tensor for name, tensor in learner._initial.items()}) | dict(change.fresh)
        learner._initial = {name.removeprefix("features."): tensor.clone() for name, tensor in first.items()}
    for method in learner.methods:
        method.grown(learner, change)


def wanted(learner: "Learner", task: Task) -> dict[str, nn.Parameter]:
    """Parameters to train: the features, the task's head, and the other heads where a method rehearses earlier tasks."""
    every = any(method.rehearses() for method in learner.methods)
    own = f"heads.layers.{learner.heads.find(task.name)}."
    named = learner.network.named_parameters()
    return {n: p for n, p in named if p.requires_grad and (every or not n.startswith("heads.") or n.startswith(own))}


def bind(learner: "Learner", named: dict[str, nn.Parameter]) -> None:
    """Theta becomes these parameters, and every method's per-parameter state follows."""
    old = learner.theta.layout
    learner.theta.bind(named)
    for i, method in enumerate(learner.methods):
        for name, declared in method.declared.items():
            fill = declared.fill
            state = getattr(method, name).to(learner.theta.value)
            dormant = learner.dormant.setdefault(f"{i}.{name}", {})
            remapped = learner.theta.layout.remap(
                state if state.numel() else state.new_full((old.size,), fill), old, fill=fill, dormant=dormant
            )
            setattr(method, name, remapped)


def probe(learner: "Learner", task: Task) -> None:
    """Sends two examples through the network, so that inputs it can't take are an error before any work."""
    x = task.train.take(torch.arange(min(2, len(task.train))))
    what = f"task {task.name!r}: inputs of shape {('N', *x.shape[1:])} and {x.dtype}"
    features = features_of(learner, x, what)
    if not isinstance(features, Tensor) or features.ndim != 2:
        found = f"shape {tuple(features.shape)}" if isinstance(features, Tensor) else type(features).__name__
        raise TaskError(f"{type(learner.model).__name__} must map {what} to features of shape (N, F); it gave {found}")
    if learner._network is None:
        build(learner, features.shape[1])
    elif features.shape[1] != learner.heads.start + learner.heads.width:
        raise TaskError(
            f"{type(learner.model).__name__} maps {what} to {features.shape[1]} features, and earlier ones to "
            f"{learner.heads.start + learner.heads.width}"
        )


def features_of(learner: "Learner", x: Tensor, what: str) -> Any:
    """What the network's features are for inputs, with an error that says what they were."""
    model = learner.model if learner._network is None else learner.network.features
    with evaluation_mode(model), torch.no_grad():
        try:
            return model(x.to(learner.device))
        except NETWORK_ERRORS as error:
            raise TaskError(f"{type(learner.model).__name__} can't take {what}: {error}") from error


def in_rows(learner: "Learner", task: Task, examples: Examples) -> Examples:
    """A task's examples with labels as rows of its head."""
    head = learner.heads.find(task.name)
    rows = learner.heads.rows(head, task.classes)
    own = copy.copy(examples)
    own.head = head
    if rows.tolist() != list(range(len(rows))):
        own.y = rows[examples.y]
    return own


def described(inputs: Tensor) -> str:
    """Inputs in the words of an error."""
    return f"inputs of shape {('N', *inputs.shape[1:])} and {inputs.dtype}"
