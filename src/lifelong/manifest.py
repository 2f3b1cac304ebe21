"""What the manifest of a saved learner says beside its tensors, and the settings of a training in JSON."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from pydantic import BaseModel, ConfigDict, ValidationError
from torch import Tensor
from torch.optim import lr_scheduler

from lifelong.errors import StoreError
from lifelong.learning import Unfinished
from lifelong.optimizers import OptimizerFactory, OptimizerState, SchedulerFactory, resolve_factory
from lifelong.tasks import Name, Scenario
from lifelong.theta import Layout
from lifelong.training import Training

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
    """What manifest.json holds; `files` says which safetensors file holds what, with its size and checksum.

    Attributes:
        frozen: names of the network's parameters that are never trained. theta: of those that are at the moment.
        width: of the features before any growth; None when nothing was learned yet, and there is no head.
        sizes: missing in manifests that were written before learners recorded them.
    """

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
    frozen: list[str]
    matrix: dict[str, Any]
    told: dict[str, Any]
    routed: dict[str, Any]
    chosen: dict[str, dict[str, int]]
    watched: list[dict[str, Any]]
    sizes: list[dict[str, int]] = []
    cost: dict[str, float]
    carried: OptimizerRecord | None
    unfinished: UnfinishedRecord | None
    files: dict[str, dict[str, Any]]
    sha256: str


def validated(path: Path, raw: dict[str, Any]) -> Manifest:
    """`raw` as an object.

    Raises:
        StoreError: a key is missing, unknown or of another type.
    """
    try:
        return Manifest.model_validate(raw)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise StoreError(
            f"{path} is not as this version of lifelong writes it: {where}: {first['msg']}; take another copy of this learner"
        ) from error


def trainings(records: Sequence[dict[str, Any]], optimizer: OptimizerFactory | None, scheduler: SchedulerFactory | None) -> list[Training]:
    """The settings of `records`: the learner's own, and those of the task in progress if there is one.

    A factory that was given stands for those that are not torch's own. Where all are, it is for the tasks to come: a task in progress
    goes on as it was begun.
    """
    made = [
        Training(
            **{
                **record,
                "optimizer": _factory(record["optimizer"], optimizer, torch.optim, "optimizer"),
                "scheduler": record["scheduler"] and _factory(record["scheduler"], scheduler, lr_scheduler, "scheduler"),
            }
        )
        for record in records
    ]
    given: dict[str, Any] = {"optimizer": optimizer, "scheduler": scheduler}
    for name, factory in given.items():
        if factory is not None and not any(record[name] and "custom" in record[name] for record in records):
            made[0] = replace(made[0], **{name: factory})
    return made


def _factory(record: dict[str, Any], given: Any, home: Any, argument: str) -> Any:
    return given if given is not None and "custom" in record else resolve_factory(record, home, argument)


def optimizer_record(state: OptimizerState) -> OptimizerRecord:
    """An optimizer's state beside its tensors."""
    return OptimizerRecord(rest=state.rest, shapes={name: list(shape) for name, shape in state.layout.shapes.items()}, flat=state.flat)


def optimizer_state(record: OptimizerRecord, tensors: dict[str, Tensor], device: torch.device) -> OptimizerState:
    """An optimizer's state from its record and its tensors."""
    layout = Layout({name: tuple(shape) for name, shape in record.shapes.items()})
    # counts of steps (no dimensions) stay on the CPU, where torch's optimizers keep them
    return OptimizerState({k: v.to(device) if v.ndim else v for k, v in tensors.items()}, record.rest, layout, record.flat)


def unfinished_record(unfinished: Unfinished) -> UnfinishedRecord:
    """A task in progress, without its tensors."""
    position, scheduler = unfinished.position, unfinished.scheduler
    return UnfinishedRecord(
        task=unfinished.task,
        size=unfinished.size,
        training=unfinished.training.described(),
        step=position.step,
        epoch=position.epoch,
        batch=position.batch,
        optimizer=optimizer_record(unfinished.optimizer),
        scheduler=scheduler and {key: _counts_as_list(value) for key, value in scheduler.items()},
        scaler=unfinished.scaler,
    )


def scheduler_state(record: dict[str, Any] | None) -> dict[str, Any] | None:
    """The state that a scheduler gave, from its record."""
    return record and {key: _list_as_counts(value) for key, value in record.items()}


def _counts_as_list(value: Any) -> Any:
    """JSON would make the milestones of a MultiStepLR strings."""
    return {"counts": sorted(value.elements())} if isinstance(value, Counter) else value


def _list_as_counts(value: Any) -> Any:
    return Counter(value["counts"]) if isinstance(value, dict) and value.keys() == {"counts"} else value
