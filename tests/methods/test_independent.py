"""Independent networks: exact, through saving, growth and batch norm."""

import functools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from lifelong.growth import deepen, widen
from lifelong.learner import Learner
from lifelong.methods import Independent, Net2Net
from lifelong.models import MLP, ConvNet, ReducedResNet18
from lifelong.optimizers import OptimizerFactory
from lifelong.tasks import Task
from lifelong.testing.comparing import bits, differing, learned
from lifelong.testing.data import image_tasks
from toys import same, sgd, weights

OPTIMIZERS: dict[str, OptimizerFactory] = {
    "momentum": sgd(0.05, momentum=0.9, weight_decay=0.01),
    "adam": functools.partial(torch.optim.Adam, lr=0.01),
}
NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "mlp": lambda: MLP(64, [16, 8]),
    "convnet": lambda: nn.Sequential(ConvNet(1, [4, 8]), nn.Dropout(0.3)),
    "resnet": lambda: ReducedResNet18(1, 2),
}


def fresh(scenario: Any, *methods: Any, network: str = "convnet", **settings: Any) -> Learner:
    return Learner(NETWORKS[network](), methods, scenario, **{"batch_size": 8, "optimizer": OPTIMIZERS["momentum"], **settings})


def outputs(learner: Learner, tasks: Sequence[Task]) -> list[Tensor]:
    return [learner.predict_proba(task.train.x, task.name) for task in tasks]  # type: ignore[attr-defined]


@pytest.mark.parametrize("start", ["first", "previous"])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("scenario", ["task", "domain"])
def test_outputs_of_earlier_tasks_stay_bit_for_bit(scenario: Any, network: str, optimizer: str, start: Any, tmp_path: Path) -> None:
    tasks = image_tasks(3, scenario)
    learner = fresh(scenario, Independent(start=start), network=network, optimizer=OPTIMIZERS[optimizer], reset_optimizer=False)
    before: list[Tensor] = []
    for count, task in enumerate(tasks):
        learner.learn(task)
        before += outputs(learner, [task])
        learner.save(tmp_path / "saved")
        learner = Learner.open(tmp_path / "saved", model=NETWORKS[network]())
        assert all(torch.equal(a, b) for a, b in zip(before, outputs(learner, tasks[: count + 1]), strict=True))
    assert learner.evaluate(tasks).backward_transfer == 0.0
    assert not any(torch.equal(before[0], each) for each in before[1:])


def test_a_tasks_network_is_the_one_that_learns_it_alone() -> None:
    """From the first weights, batch norm included, the second task's network is that of a learner that has only that task."""
    tasks = image_tasks(2, "domain")
    both = learned(fresh("domain", Independent(), network="resnet"), tasks)
    alone = fresh("domain", network="resnet")
    alone.order.set_state(learned(fresh("domain", network="resnet"), tasks[:1]).order.get_state())  # the same order of examples
    alone.learn(tasks[1])
    assert torch.equal(outputs(both, tasks)[1], outputs(alone, tasks)[1])


GROWTH = [[widen("blocks.0", 7)], [widen("blocks.4", 11)], [deepen("blocks.4")], [deepen("blocks.0"), widen("blocks.0", 6)]]


@pytest.mark.parametrize("operations", GROWTH, ids=["widen", "widen the features", "deepen", "deepen and widen"])
def test_kept_networks_follow_growth(operations: list[dict[str, Any]], tmp_path: Path) -> None:
    *tasks, last = image_tasks(3, "task")
    learner = learned(Learner(ConvNet(1, [4, 8]), [Independent()], "task", batch_size=8, optimizer=OPTIMIZERS["momentum"]), tasks)
    before = outputs(learner, tasks)
    for operation in operations:
        learner.grow(operation)
    grown = outputs(learner, tasks)
    assert all(torch.allclose(a, b, atol=1e-5) for a, b in zip(before, grown, strict=True))
    method = learner.methods[0]
    assert isinstance(method, Independent)
    for kept in method.networks.values():
        assert {name: tensor.shape for name, tensor in kept.items()}.items() <= {
            name: tensor.shape for name, tensor in learner.network.state_dict().items()
        }.items()
    learner.save(tmp_path)
    learner = Learner.open(tmp_path)
    learner.learn(last)
    assert all(torch.equal(a, b) for a, b in zip(grown, outputs(learner, tasks), strict=True))


def test_it_goes_with_a_network_that_grows_while_it_learns() -> None:
    tasks = image_tasks(3, "task")
    learner = fresh("task", Independent(start="previous"), Net2Net(until_accuracy=2.0, max_growths=1), network="mlp")
    before = []
    for task in tasks:
        learner.learn(task)
        before += outputs(learner, [task])
    assert all(torch.allclose(a, b, atol=1e-5) for a, b in zip(before, outputs(learner, tasks), strict=True))


def test_the_network_itself_is_not_touched_by_predicting() -> None:
    tasks = image_tasks(2, "task")
    learner = learned(fresh("task", Independent()), tasks)
    before, state = weights(learner.network), bits(learner)
    outputs(learner, tasks)
    assert same(weights(learner.network), before)
    assert differing(bits(learner), state) == []
