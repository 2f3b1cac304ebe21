"""A learner on disk: a folder with a manifest in JSON and tensors in safetensors files. No code is stored, and none is run on opening."""

import json
import math
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from inspect import signature
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from lifelong import __version__, files, shape
from lifelong.errors import StoreError, nearest
from lifelong.learner import Cost, Learner
from lifelong.learning import Unfinished
from lifelong.manifest import (
    FORMAT,
    Described,
    Manifest,
    optimizer_record,
    optimizer_state,
    scheduler_state,
    trainings,
    unfinished_record,
    validated,
)
from lifelong.matrix import from_json, numbers_to_json, to_json
from lifelong.method import Method
from lifelong.methods import METHODS
from lifelong.models import MODELS
from lifelong.models.adopted import Adopted
from lifelong.optimizers import OptimizerFactory, OptimizerState, SchedulerFactory
from lifelong.training import Position


def save(learner: Learner, path: Path) -> None:
    """Writes a learner to a folder, in place of what it held; a crash at any byte leaves the old learner or the new one.

    Files: network (weights and buffers), initial (the first weights, where a method or the matrix needs them) and adopted (the first
    rows of an adopted head, there, too), method-I-NAME (each method's state), dormant (per-parameter state of parameters not trained at
    the moment), optimizer, random (generators).

    Raises:
        StoreError: the folder can't be written, or something in the learner can't be saved.
    """
    unfinished, carried = learner._unfinished, learner._carried
    sets: dict[str, dict[str, Tensor]] = {"random": _random(learner), "network": _network(learner)}
    if learner._initial is not None:
        sets["initial"] = learner._initial
        if learner.heads.adopted:
            weights, biases = zip(*learner.heads.adopted.values(), strict=True)
            sets["adopted"] = {"weight": torch.stack(weights), "bias": torch.stack(biases)}
    for i, method in enumerate(learner.methods):
        sets[_method_file(i, method)] = method.state()
    sets["dormant"] = {f"{state}/{name}": v for state, part in learner.dormant.items() for name, v in part.items()}
    running = unfinished.optimizer if unfinished is not None else None
    sets["optimizer"] = {**_prefixed("unfinished", running), **_prefixed("carried", carried)}
    manifest = {
        "format": FORMAT,
        "lifelong": __version__,
        "model": _describe(learner.model, MODELS),
        "methods": [_describe(method, METHODS) for method in learner.methods],
        "scenario": learner.scenario,
        "seed": learner.seed,
        "training": learner.training.described(),
        "width": None if learner._network is None else learner.heads.first_width,
        "journal": learner.journal,
        "classes": [] if learner._network is None else learner.heads.classes,
        "tasks": learner.tasks,
        "theta": list(learner.theta.layout.shapes),
        "frozen": [name for name, parameter in _parameters(learner).items() if not parameter.requires_grad],
        "matrix": to_json(learner.matrix),
        "told": to_json(learner.told),
        "routed": to_json(learner.routed),
        "chosen": learner.chosen,
        "watched": [{**each, "accuracy": numbers_to_json(each["accuracy"])} for each in learner.watched],
        "sizes": learner.sizes,
        "cost": asdict(learner.cost),
        "carried": carried and optimizer_record(carried).model_dump(),
        "unfinished": unfinished and unfinished_record(unfinished).model_dump(),
    }
    files.write(path, manifest, {name: tensors for name, tensors in sets.items() if tensors})


def load(
    path: Path,
    *,
    model: nn.Module | None,
    methods: Sequence[Method] | None,
    optimizer: OptimizerFactory | None,
    scheduler: SchedulerFactory | None,
    device: str | torch.device,
) -> Learner:
    """Reads a learner from a folder. Arguments as in `Learner.open`.

    Raises:
        StoreError: a file is missing, truncated, damaged or of a newer format; the model or the methods given don't fit.
    """
    device = torch.empty(0, device=device).device  # one that is not there is no fault of the files
    raw = files.read_manifest(path, FORMAT)
    manifest = validated(path / files.MANIFEST, raw)
    with _rebuilding(path, manifest):
        unfinished = manifest.unfinished
        records = [manifest.training] if unfinished is None else [manifest.training, unfinished.training]
        settings = trainings(records, optimizer, scheduler)
        tensors = files.read_set(path, raw, "network")
        learner = Learner(
            _model(path, manifest.model, model, tensors),
            _methods(manifest.methods, methods),
            manifest.scenario,
            seed=manifest.seed,
            device=device,
        )
        learner.training = settings[0]
        _load_network(learner, manifest, path, raw, tensors)
        for i, method in enumerate(learner.methods):
            state = files.read_set(path, raw, _method_file(i, method))
            method.restore({name: tensor.to(learner.device) for name, tensor in state.items()})
            _check_declared(learner, method, path)
        for key, tensor in files.read_set(path, raw, "dormant").items():
            state_name, _, name = key.partition("/")
            learner.dormant.setdefault(state_name, {})[name] = tensor.to(learner.device)
        learner.tasks, learner.journal = manifest.tasks, manifest.journal
        learner.matrix, learner.told = from_json(**manifest.matrix), from_json(**manifest.told)
        learner.routed, learner.chosen = from_json(**manifest.routed), manifest.chosen
        learner.watched = [
            {**each, "accuracy": {k: math.nan if v is None else v for k, v in each["accuracy"].items()}} for each in manifest.watched
        ]
        learner.sizes = manifest.sizes
        learner.cost = Cost(manifest.cost["train_seconds"], manifest.cost["evaluate_seconds"], int(manifest.cost["steps"]))
        states = files.read_set(path, raw, "optimizer")
        if manifest.carried is not None:
            learner._carried = optimizer_state(manifest.carried, _without_prefix("carried", states), learner.device)
        order = _restore_random(learner, files.read_set(path, raw, "random"))
        if unfinished is not None:
            learner._unfinished = Unfinished(
                unfinished.task,
                unfinished.size,
                settings[1],
                Position(unfinished.step, unfinished.epoch, unfinished.batch, order),
                optimizer_state(unfinished.optimizer, _without_prefix("unfinished", states), learner.device),
                scheduler_state(unfinished.scheduler),
                unfinished.scaler,
            )
    return learner


@contextmanager
def _rebuilding(path: Path, manifest: Manifest) -> Iterator[None]:
    """A manifest whose checksum is right can still say what makes no learner: written by a program of somebody else's."""
    try:
        yield
    except StoreError:
        raise
    except Exception as error:
        raise StoreError(
            f"{path / files.MANIFEST}, written by lifelong {manifest.lifelong}, and what was passed to open make no learner: "
            f"{type(error).__name__}: {error}; check what is passed, or take another copy of this learner"
        ) from error


def _describe(thing: nn.Module, table: dict[str, Any]) -> dict[str, Any]:
    name = next((name for name, kind in table.items() if type(thing) is kind), None)
    arguments = thing.arguments() if isinstance(thing, Method) else {}
    if name is not None and not isinstance(thing, Method):
        arguments = {key: getattr(thing, key) for key in signature(type(thing)).parameters}
    return {"name": name, "kind": type(thing).__qualname__, "arguments": arguments}


def _model(path: Path, described: Described, given: nn.Module | None, tensors: dict[str, Tensor]) -> nn.Module:
    if given is not None:
        return given
    if described.kind == Adopted.__qualname__:
        raise StoreError(
            f"the network in {path} was adopted; pass one of the same shape with the same classes: "
            "Learner.open(path, model=adopt(network, classes))"
        )
    if described.name is None:
        raise StoreError(
            f"the network in {path} is a {described.kind}, which is not one of the library's; "
            "pass one of the same shape: Learner.open(path, model=...)"
        )
    if described.name not in MODELS:
        raise StoreError(
            f"the network in {path} is {described.name!r}, which this version of lifelong does not have; {nearest(described.name, MODELS)}"
        )
    model: nn.Module = MODELS[described.name](**described.arguments)
    dtype = next((tensor.dtype for name, tensor in tensors.items() if name.startswith("features.") and tensor.is_floating_point()), None)
    return model.to(dtype)


def _methods(described: list[Described], given: Sequence[Method] | None) -> list[Method]:
    if given is not None:
        expected = [(each.kind, each.arguments) for each in described]
        got = [(type(method).__qualname__, method.arguments()) for method in given]
        if json.dumps(expected) != json.dumps(got):
            raise StoreError(
                f"this learner was saved with the methods {_said(expected)}, and methods={_said(got)} was given; give the same ones"
            )
        return list(given)
    custom = next((each.kind for each in described if each.name not in METHODS), None)
    if custom is not None:
        raise StoreError(f"the saved method {custom} is not one of the library's; pass all methods: Learner.open(path, methods=[...])")
    return [METHODS[str(each.name)](**each.arguments) for each in described]


def _said(methods: list[tuple[str, dict[str, Any]]]) -> str:
    return "[" + ", ".join(f"{kind}({', '.join(f'{k}={v!r}' for k, v in arguments.items())})" for kind, arguments in methods) + "]"


def _parameters(learner: Learner) -> dict[str, nn.Parameter]:
    """All parameters, under the names that they have in the network."""
    if learner._network is not None:
        return dict(learner._network.named_parameters())
    return {f"features.{name}": parameter for name, parameter in learner.model.named_parameters()}


def _network(learner: Learner) -> dict[str, Tensor]:
    """The weights and buffers: of the network, or before it has heads of the model, under the same names."""
    if learner._network is not None:
        return learner._network.state_dict()
    return {f"features.{name}": tensor for name, tensor in learner.model.state_dict().items()}


def _load_network(learner: Learner, manifest: Manifest, path: Path, raw: dict[str, Any], tensors: dict[str, Tensor]) -> None:
    if manifest.width is not None and learner._network is None:
        shape.build(learner, manifest.width)
    for operation in manifest.journal if learner._network is not None else []:  # classes can be declared before there is a head
        shape.grow(learner, operation)
    if learner._network is not None and learner.heads.classes != manifest.classes:
        raise StoreError(
            f"the learner in {path} has the outputs {manifest.classes}, and the model that was given makes them {learner.heads.classes}; "
            "pass a model with the same classes in the same order"
        )
    _check_alike(_file(path, raw, "network"), tensors, _network(learner))
    if learner._network is not None:
        learner._network.load_state_dict(tensors)
    else:
        learner.model.load_state_dict(_without_prefix("features", tensors))
    named = _parameters(learner)
    for name, parameter in named.items():
        parameter.requires_grad_(name not in manifest.frozen)
    learner.theta.bind({name: named[name] for name in manifest.theta})
    if learner._initial is not None:
        initial = files.read_set(path, raw, "initial")
        _check_alike(_file(path, raw, "initial"), initial, learner._initial)
        learner._initial = {name: tensor.to(learner.device) for name, tensor in initial.items()}
        if learner.heads.adopted:
            rows = files.read_set(path, raw, "adopted")
            learner.heads.adopted = dict(zip(learner.heads.adopted, zip(rows["weight"], rows["bias"], strict=True), strict=True))
    if learner._network is not None:
        learner._network.eval()


def _file(path: Path, raw: dict[str, Any], name: str) -> Path:
    """The file of a set; the manifest, when the set was empty."""
    return path / str(raw["files"].get(name, {"file": files.MANIFEST})["file"])


def _check_alike(where: Path, saved: dict[str, Tensor], own: dict[str, Tensor]) -> None:
    """Names, shapes and dtypes."""
    for name in [*own, *saved]:
        if name not in own or name not in saved:
            has, lacks = (str(where), "the model") if name in saved else ("the model", str(where))
            raise StoreError(
                f"{has} has the tensor {name!r} and {lacks} has not; pass the model that was saved: Learner.open(path, model=...)"
            )
        for what in ("shape", "dtype"):
            there, here = (getattr(tensor, what) for tensor in (saved[name], own[name]))
            if there != here:
                there, here = (tuple(each) if what == "shape" else each for each in (there, here))
                raise StoreError(
                    f"tensor {name!r} has {what} {there} in {where} and {here} in the model; pass a model of the {what} that was saved"
                )


def _check_declared(learner: Learner, method: Method, path: Path) -> None:
    size = learner.theta.layout.size
    for name in method.declared:
        found = getattr(method, name).numel()
        if found not in (0, size):
            raise StoreError(
                f"{type(method).__name__}'s {name!r} in {path} has {found} entries, and theta has {size}; take another copy of this learner"
            )


def _method_file(i: int, method: Method) -> str:
    kind = re.sub(r"\W", "_", type(method).__name__.lower())  # letters of Python's names that a set's name can't have
    return f"method-{i}-{kind}"


def _random(learner: Learner) -> dict[str, Tensor]:
    states = {"order": learner.order.get_state()}
    states |= {f"method.{i}": generator.get_state() for i, generator in enumerate(learner._generators)}
    states |= {f"dropout.{device}": state for device, state in learner._random.own().items()}
    position = learner._unfinished.position.order if learner._unfinished is not None else None
    return states if position is None else {**states, "position": position}


def _restore_random(learner: Learner, states: dict[str, Tensor]) -> Tensor | None:
    learner.order.set_state(states["order"])
    for i, generator in enumerate(learner._generators):
        generator.set_state(states[f"method.{i}"])
    for device in learner._random.states:
        if f"dropout.{device}" in states:  # a learner that moves to a GPU starts that device's generator from the seed
            learner._random.states[device] = states[f"dropout.{device}"]
    return states.get("position")


def _prefixed(prefix: str, state: OptimizerState | None) -> dict[str, Tensor]:
    return {} if state is None else {f"{prefix}.{name}": tensor for name, tensor in state.tensors.items()}


def _without_prefix(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(f"{prefix}."): tensor for name, tensor in tensors.items() if name.startswith(f"{prefix}.")}
