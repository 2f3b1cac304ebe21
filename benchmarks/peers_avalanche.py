"""Avalanche's side of `peers.py`: its own strategies as their users call them, without loggers, metrics and evaluation in training."""

import random
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from avalanche.benchmarks import benchmark_from_datasets, nc_benchmark
from avalanche.benchmarks.utils import DataAttribute, TaskAwareSupervisedClassificationDataset
from avalanche.training import supervised
from avalanche.training.plugins import EvaluationPlugin, SynapticIntelligencePlugin
from avalanche.training.supervised import ICaRL
from avalanche.training.templates import SupervisedTemplate
from peers_work import METHODS, Pairs, Side, Work, network
from torch import Tensor, nn


class Views:
    """What Avalanche makes its data set of: a view of every example, which it gets faster than from torch's TensorDataset."""

    def __init__(self, x: Tensor, y: Tensor) -> None:
        self.inputs, self.targets = list(x), y.tolist()

    def __len__(self) -> int:
        return len(self.inputs)

    def __getitem__(self, position: int) -> tuple[Tensor, int]:
        return self.inputs[position], self.targets[position]


def joined(pairs: Pairs) -> Views:
    return Views(torch.cat([x for x, _ in pairs]), torch.cat([y for _, y in pairs]))


def experiences(work: Work) -> Any:
    """The stream of training tasks, made of the fastest data sets that all its strategies take."""
    if work.scenario == "domain":
        views = [Views(x, y) for x, y in work.train]
        names = [[DataAttribute(each.targets, "targets"), DataAttribute([0] * len(each), "targets_task_labels")] for each in views]
        pairs = zip(views, names, strict=True)
        made = [TaskAwareSupervisedClassificationDataset([each], data_attributes=attributes) for each, attributes in pairs]
        return benchmark_from_datasets(train=made).train_stream
    # the only one of its benchmarks that tells iCaRL the classes of a task
    order = list(range(10))
    return nc_benchmark(joined(work.train), joined(work.test), len(work.train), task_labels=False, fixed_class_order=order).train_stream


def side(work: Work, name: str) -> Side:
    """A strategy ready to train."""
    random.seed(work.seed)
    np.random.seed(work.seed)  # Avalanche draws from it
    settings, model = METHODS[name].settings, network(work)
    common = {
        "optimizer": torch.optim.SGD(model.parameters(), lr=work.rate),
        "train_mb_size": work.batch,
        "train_epochs": 1,
        "eval_mb_size": 128,
        "device": torch.device("cpu"),
        "evaluator": EvaluationPlugin(loggers=[]),
    }
    plain = {**common, "model": model, "criterion": nn.CrossEntropyLoss()}
    makers: dict[str, Callable[[], SupervisedTemplate]] = {
        "naive": lambda: supervised.Naive(**plain),
        "ewc": lambda: supervised.EWC(**plain, ewc_lambda=settings["strength"] / 2),  # it has no factor 1/2
        "si": lambda: supervised.SynapticIntelligence(**plain, si_lambda=2 * settings["strength"], eps=settings["damping"]),  # it has one
        "mas": lambda: supervised.MAS(**plain, lambda_reg=settings["strength"]),
        "lwf": lambda: supervised.LwF(**plain, alpha=settings["strength"], temperature=settings["temperature"]),
        "replay": lambda: supervised.Replay(**plain, mem_size=settings["capacity"]),
        "agem": lambda: supervised.AGEM(**plain, patterns_per_exp=settings["share"], sample_size=settings["replayed"]),
        "gem": lambda: supervised.GEM(**plain, patterns_per_exp=settings["share"], memory_strength=settings["margin"]),
        "icarl": lambda: ICaRL(
            **common,
            feature_extractor=model[:-1],
            classifier=model[-1],
            memory_size=settings["capacity"],
            buffer_transform=None,
            fixed_memory=True,
        ),
    }
    stream, strategy = experiences(work), makers[name]()

    def train() -> int:
        for experience in stream:
            strategy.train(experience, num_workers=0)
        return int(strategy.clock.train_iterations)

    def predict(x: Tensor) -> Tensor:
        answers: Tensor = strategy.model.eval()(x)
        return answers.argmax(1)

    return Side(train, predict, lambda: facts(name, strategy))


def facts(name: str, strategy: SupervisedTemplate) -> dict[str, Any]:
    """How many examples a strategy kept, or the largest importance that a weight has."""
    by_name = {type(plugin).__name__: plugin for plugin in strategy.plugins}
    if name == "replay":
        return {"kept": len(by_name["ReplayPlugin"].storage_policy.buffer)}
    if name == "agem":
        return {"kept": sum(map(len, by_name["AGEMPlugin"].buffers))}
    if name == "gem":
        return {"kept": sum(map(len, by_name["GEMPlugin"].memory_x.values()))}
    if name == "icarl":
        return {"kept": sum(map(len, by_name["_ICaRLPlugin"].x_memory))}
    importances: list[Any] = []
    if name == "ewc":
        importances = [each for task in by_name["EWCPlugin"].importances.values() for each in task.values()]
    if name == "si":
        importances = list(by_name[SynapticIntelligencePlugin.__name__].ewc_data[1].values())
    if name == "mas":
        importances = list(by_name["MASPlugin"].importance.values())
    if not importances:
        return {}
    largest = max(float(each.data.abs().max()) for each in importances)
    return {"largest_importance": largest, "importance_zero": largest == 0}
