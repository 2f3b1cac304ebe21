"""Networks that read stories learn them with every retention method that makes sense, and the others say why not."""

import functools
import re
from collections.abc import Callable

import pytest
import torch

from lifelong import methods
from lifelong.errors import GrowthError, MethodError
from lifelong.learner import Learner
from lifelong.method import Method
from lifelong.models import GRU, MemoryNetwork
from lifelong.streams import babi
from lifelong.tasks import Scenario

KINDS: dict[str, Callable[[], Method]] = {
    "joint": methods.Joint,
    "independent": methods.Independent,
    "l2": lambda: methods.L2(strength=0.1),
    "ewc": lambda: methods.EWC(labels="sampled", examples=10),
    "online-ewc": lambda: methods.OnlineEWC(labels="sampled", examples=10),
    "si": methods.SI,
    "mas": lambda: methods.MAS(examples=10),
    "lwf": methods.LwF,
    "replay": lambda: methods.Replay(capacity=20),
    "der": lambda: methods.DER(capacity=20),
    "gem": lambda: methods.GEM(examples_per_task=10),
    "agem": lambda: methods.AGEM(capacity=20),
    "packnet": methods.PackNet,
}
MODELS = {"memory": lambda: MemoryNetwork(145, dimension=8, linear_start=2), "gru": lambda: GRU(145, dimension=6, hidden=8)}


def learned(model: str, *kept: Method, scenario: Scenario = "domain") -> Learner:
    """A learner after two small tasks of stories; it is saved with all else that a method keeps."""
    stream = babi([1, 6], source="simulated", examples=40, scenario=scenario)
    optimizer = functools.partial(torch.optim.Adam, lr=0.01)
    learner = Learner(MODELS[model](), kept, scenario, optimizer=optimizer, batch_size=20)
    for task in stream:
        learner.learn(task, evaluate=False)
    return learner


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("name", KINDS)
def test_a_network_that_reads_learns_with_the_method(name: str, model: str) -> None:
    scenario: Scenario = "task" if name == "packnet" else "domain"
    plain, kept = learned(model, scenario=scenario), learned(model, KINDS[name](), scenario=scenario)
    assert len(kept.tasks) == 2
    if name not in ("gem", "agem"):  # which act only where a step would raise the loss on the memory
        assert not torch.equal(plain.theta.value, kept.theta.value)


def test_exemplars_and_the_nearest_mean_of_stories() -> None:
    learner = learned("memory", methods.ICaRL(capacity=20), scenario="class")
    assert set(learner.classes) >= {"yes", "no", "bathroom"}
    assert 0 < learner.kept_bytes() < 20 * 51 * 12 * 8 + 10_000
    x = next(iter(babi([1], source="simulated", examples=40, scenario="class"))).train.x
    assert set(learner.predict(x)) <= set(learner.classes)


@pytest.mark.parametrize(
    ("method", "scenario", "expected"),
    [
        (
            methods.GenerativeReplay,
            "domain",
            "its generator draws real numbers, and task '1 single supporting fact' has inputs of torch.int16",
        ),
        (methods.ExpertGate, "task", "its autoencoders reproduce floats .* Give a preprocessor"),
        (methods.TaskGate, "task", "its autoencoders reproduce floats .* Give a preprocessor"),
        (methods.Net2Net, "domain", "MemoryNetwork can't be grown, because torch.fx can't follow its forward pass"),
        (methods.Progressive, "task", "MemoryNetwork can't be grown, because torch.fx can't follow its forward pass"),
    ],
)
def test_what_cannot_apply_to_words_is_refused_before_any_training(method: Callable[[], Method], scenario: Scenario, expected: str) -> None:
    stream = babi([1, 6], source="simulated", examples=40, scenario=scenario)
    learner = Learner(MemoryNetwork(145, dimension=8), [method()], scenario)
    with pytest.raises((MethodError, GrowthError)) as refused:
        for task in stream:
            learner.learn(task, evaluate=False)
    assert re.search(expected, str(refused.value))
