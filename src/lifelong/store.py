"""A learner on disk: a folder with a manifest in JSON and tensors in safetensors files. No code is stored, and none is run on opening."""

from collections.abc import Sequence
from dataclasses import asdict
from inspect import signature
from pathlib import Path
from typing import Any

import torch
from pydantic import BaseModel, ConfigDict, ValidationError
from torch import Tensor, nn
from torch.optim import lr_scheduler

from lifelong import __version__, files
from lifelong.errors import StoreError, nearest
from lifelong.learner import Cost, Learner, Unfinished
from lifelong.matrix import from_json, to_json
from lifelong.method import Method
from lifelong.methods import METHODS
from lifelong.models import MODELS
from lifelong.optimizers import OptimizerFactory, OptimizerState, SchedulerFactory, describe_factory, resolve_factory
from lifelong.tasks import Name, Scenario
from lifelong.theta import Layout
from lifelong.training import Position, Training

FORMAT = 1


class Described(BaseModel):
    """A model or a method: its name in the library's table, or None and its class's name; and its arguments."""

    model_config = ConfigDict(extra="forbid", strict=True)
    name: str | None
    kind: str
    arguments: dict[str, Any]


class OptimizerRecord(BaseModel):
    """An optimizer's state beside its tensors."""

    model_config = ConfigDict(extra="forbid", strict=True)
    rest: dict[str, Any]
    shapes: dict[str, list[int]]
    flat: bool


class UnfinishedRecord(BaseModel):
    """A task in the middle of which the learner was saved."""

    model_config = ConfigDict(extra="forbid", strict=True)
    task: str
    size: int
    training: dict[str, Any]
    step: int
    epoch: int
    batch: int
    optimizer: OptimizerRecord
    scheduler: dict[str, Any] | None
    scaler: dict[str, Any] | None


class Manifest(BaseModel):
    """What manifest.json holds; `files` says which safetensors file holds what, with its size and checksum."""

    model_config = ConfigDict(extra="forbid", strict=True)
    format: int
    lifelong: str
    model: Described
    methods: list[Described]
    scenario: Scenario
    seed: int
    training: dict[str, Any]
    width: int | None
    journal: list[dict[str, Any]]
    classes: list[list[Name]]
    tasks: list[str]
    theta: list[str]
    matrix: dict[str, Any]
    cost: dict[str, float]
    carried: OptimizerRecord | None
    unfinished: UnfinishedRecord | None
    files: dict[str, dict[str, Any]]
    sha256: str


def save(learner: Learner, path: Path) -> None:
    """Writes a learner to a folder, in place of what it held; a crash at any byte leaves the old learner or the new one.

    Files: network (weights and buffers), initial (the first weights, where a method or the matrix needs them), method-I-NAME (each
    method's state), dormant (per-parameter state of parameters not trained at the moment), optimizer, random (generators).
    """
    unfinished, carried = learner._unfinished, learner._carried
    sets: dict[str, dict[str, Tensor]] = {"random": _random(learner)}
    if learner._network is not None:
        sets["network"] = learner._network.state_dict()
        sets["initial"] = learner._initial or {}
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
        "training": _training_record(learner.training),
        "width": None if learner._network is None else learner.heads.width,
        "journal": learner.journal,
        "classes": [] if learner._network is None else learner.heads.classes,
        "tasks": learner.tasks,
        "theta": list(learner.theta.layout.shapes),
        "matrix": to_json(learner.matrix),
        "cost": asdict(learner.cost),
        "carried": carried and _optimizer_record(carried).model_dump(),
        "unfinished": unfinished and _unfinished_record(unfinished).model_dump(),
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
    raw = files.read_manifest(path, FORMAT)
    try:
        manifest = Manifest.model_validate(raw)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise StoreError(f"{path / files.MANIFEST} is not as this version of lifelong writes it: {where}: {first['msg']}") from error
    settings = _training(manifest.training, optimizer, scheduler)
    learner = Learner(
        _model(path, manifest.model, model), _methods(manifest.methods, methods), manifest.scenario, seed=manifest.seed, device=device
    )
    learner.training = settings
    if manifest.width is not None:
        _load_network(learner, manifest, path, raw)
    for i, method in enumerate(learner.methods):
        state = files.read_set(path, raw, _method_file(i, method))
        method.restore({name: tensor.to(learner.device) for name, tensor in state.items()})
        _check_declared(learner, method, path)
    for key, tensor in files.read_set(path, raw, "dormant").items():
        state_name, _, name = key.partition("/")
        learner.dormant.setdefault(state_name, {})[name] = tensor.to(learner.device)
    learner.tasks, learner.journal = manifest.tasks, manifest.journal
    learner.matrix = from_json(**manifest.matrix)
    learner.cost = Cost(manifest.cost["train_seconds"], manifest.cost["evaluate_seconds"], int(manifest.cost["steps"]))
    tensors = files.read_set(path, raw, "optimizer")
    if manifest.carried is not None:
        learner._carried = _optimizer_state(manifest.carried, "carried", tensors, learner.device)
    position = _restore_random(learner, files.read_set(path, raw, "random"))
    if manifest.unfinished is not None:
        record = manifest.unfinished
        learner._unfinished = Unfinished(
            record.task,
            record.size,
            _training(record.training, optimizer, scheduler),
            Position(record.step, record.epoch, record.batch, position),
            _optimizer_state(record.optimizer, "unfinished", tensors, learner.device),
            record.scheduler,
            record.scaler,
        )
    return learner


def _describe(thing: nn.Module, table: dict[str, Any]) -> dict[str, Any]:
    name = next((name for name, kind in table.items() if type(thing) is kind), None)
    if name is None:
        return {"name": None, "kind": type(thing).__qualname__, "arguments": thing.arguments() if isinstance(thing, Method) else {}}
    arguments = thing.arguments() if isinstance(thing, Method) else {key: getattr(thing, key) for key in signature(type(thing)).parameters}
    return {"name": name, "kind": type(thing).__qualname__, "arguments": arguments}


def _model(path: Path, described: Described, given: nn.Module | None) -> nn.Module:
    if given is not None:
        return given
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
    return model


def _methods(described: list[Described], given: Sequence[Method] | None) -> list[Method]:
    if given is not None:
        expected = [(each.kind, each.arguments) for each in described]
        got = [(type(method).__qualname__, method.arguments()) for method in given]
        if expected != got:
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


def _load_network(learner: Learner, manifest: Manifest, path: Path, raw: dict[str, Any]) -> None:
    assert manifest.width is not None
    learner._build(manifest.width)
    for operation in manifest.journal:
        learner._grow(operation)
    tensors = files.read_set(path, raw, "network")
    where = path / raw["files"]["network"]["file"]
    _check_shapes(where, tensors, dict(learner.network.state_dict()))
    learner.network.load_state_dict(tensors)
    named = dict(learner.network.named_parameters())
    learner.theta.bind({name: named[name] for name in manifest.theta})
    if learner._initial is not None:
        initial = files.read_set(path, raw, "initial")
        _check_shapes(path / raw["files"]["initial"]["file"], initial, learner._initial)
        learner._initial = {name: tensor.to(learner.device) for name, tensor in initial.items()}
    learner.network.eval()


def _check_shapes(where: Path, saved: dict[str, Tensor], own: dict[str, Tensor]) -> None:
    for name in [*saved, *own]:
        if name not in own or name not in saved:
            has, lacks = (str(where), "the model") if name in saved else ("the model", str(where))
            raise StoreError(
                f"{has} has the tensor {name!r} and {lacks} has not; pass the model that was saved: Learner.open(path, model=...)"
            )
        if saved[name].shape != own[name].shape:
            shapes = f"{tuple(saved[name].shape)} in {where} and {tuple(own[name].shape)} in the model"
            raise StoreError(f"tensor {name!r} has shape {shapes}; pass a model of the shape that was saved")


def _check_declared(learner: Learner, method: Method, path: Path) -> None:
    size = learner.theta.layout.size
    for name in method.declared:
        found = getattr(method, name).numel()
        if found not in (0, size):
            raise StoreError(
                f"{type(method).__name__}'s {name!r} in {path} has {found} entries, and theta has {size}; take another copy of this learner"
            )


def _method_file(i: int, method: Method) -> str:
    return f"method-{i}-{type(method).__name__.lower()}"


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


def _training_record(training: Training) -> dict[str, Any]:
    record = {name: value for name, value in vars(training).items() if name not in ("optimizer", "scheduler")}
    scheduler = training.scheduler and describe_factory(training.scheduler, lr_scheduler)
    return {**record, "optimizer": describe_factory(training.optimizer, torch.optim), "scheduler": scheduler}


def _training(record: dict[str, Any], optimizer: OptimizerFactory | None, scheduler: SchedulerFactory | None) -> Training:
    given_optimizer = optimizer or resolve_factory(record["optimizer"], torch.optim, "optimizer")
    given_scheduler = scheduler or (record["scheduler"] and resolve_factory(record["scheduler"], lr_scheduler, "scheduler"))
    return Training(**{**record, "optimizer": given_optimizer, "scheduler": given_scheduler})


def _prefixed(prefix: str, state: OptimizerState | None) -> dict[str, Tensor]:
    return {} if state is None else {f"{prefix}.{name}": tensor for name, tensor in state.tensors.items()}


def _optimizer_record(state: OptimizerState) -> OptimizerRecord:
    return OptimizerRecord(rest=state.rest, shapes={name: list(shape) for name, shape in state.layout.shapes.items()}, flat=state.flat)


def _optimizer_state(record: OptimizerRecord, prefix: str, tensors: dict[str, Tensor], device: torch.device) -> OptimizerState:
    layout = Layout({name: tuple(shape) for name, shape in record.shapes.items()})
    own = {name.removeprefix(f"{prefix}."): tensor for name, tensor in tensors.items() if name.startswith(f"{prefix}.")}
    # counts of steps (no dimensions) stay on the CPU, where torch's optimizers keep them
    return OptimizerState({k: v.to(device) if v.ndim else v for k, v in own.items()}, record.rest, layout, record.flat)


def _unfinished_record(unfinished: Unfinished) -> UnfinishedRecord:
    position = unfinished.position
    return UnfinishedRecord(
        task=unfinished.task,
        size=unfinished.size,
        training=_training_record(unfinished.training),
        step=position.step,
        epoch=position.epoch,
        batch=position.batch,
        optimizer=_optimizer_record(unfinished.optimizer),
        scheduler=unfinished.scheduler,
        scaler=unfinished.scaler,
    )
