import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from lifelong.errors import ScenarioError, TaskError
from lifelong.learner import Learner
from lifelong.models import adopt
from lifelong.models.adopted import Adopted
from lifelong.tasks import Task
from toys import FEATURES, blobs, same, weights

CLASSES = ["cat", "dog", "eel"]


class Classifier(nn.Module):
    """A user's own class, whose head has an unusual place."""

    def __init__(self) -> None:
        super().__init__()
        self.parts = nn.ModuleDict({"out": nn.Linear(8, 3), "body": nn.Linear(FEATURES, 8)})

    def forward(self, x: Tensor) -> Tensor:
        return torch.as_tensor(self.parts["out"](torch.relu(self.parts["body"](x))))


class Double(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.double()


def mlp() -> nn.Module:
    return nn.Sequential(nn.Linear(FEATURES, 8), nn.ReLU(), nn.Dropout(0.5), nn.Linear(8, 3))


def convolutional() -> nn.Module:
    body = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    return nn.Sequential(body, nn.Linear(4, 3))


def trained(make: Callable[[], nn.Module], x: Tensor) -> nn.Module:
    torch.manual_seed(0)
    network = make()
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    for _ in range(20):
        optimizer.zero_grad()
        cross_entropy(network(x), torch.arange(len(x)) % 3).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    return network


NETWORKS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "mlp": (mlp, (30, FEATURES)),
    "convolutional": (convolutional, (30, 1, 8, 8)),
    "float64": (lambda: nn.Sequential(Double(), mlp().double()), (30, FEATURES)),
    "no bias": (lambda: nn.Sequential(nn.Linear(FEATURES, 8), nn.Tanh(), nn.Linear(8, 3, bias=False)), (30, FEATURES)),
    "only a head": (lambda: nn.Linear(FEATURES, 3), (30, FEATURES)),
}


def inputs(name: str) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(NETWORKS[name][1], generator=generator)


@pytest.mark.parametrize("name", NETWORKS)
def test_it_predicts_as_before(name: str) -> None:
    x = inputs(name)
    network = trained(NETWORKS[name][0], x)
    learner = Learner(adopt(network, CLASSES, example=x), scenario="class")
    expected = network.eval()(x)
    assert torch.equal(learner.predict_proba(x), expected.softmax(1))
    assert learner.predict(x).tolist() == [CLASSES[i] for i in expected.argmax(1)]
    assert learner.classes == CLASSES


@pytest.mark.parametrize("name", NETWORKS)
def test_the_given_network_is_not_changed(name: str) -> None:
    x = inputs(name)
    network = trained(NETWORKS[name][0], x)
    network.train()
    before, modes = weights(network), [module.training for module in network.modules()]
    structure = repr(network)
    learner = Learner(adopt(network, CLASSES, example=x))
    learner.learn(Task("new", (x, ["fox"] * 30)))
    assert same(weights(network), before)
    assert [module.training for module in network.modules()] == modes
    assert repr(network) == structure
    assert all(parameter.requires_grad for parameter in network.parameters())


@pytest.mark.parametrize("name", ["mlp", "convolutional"])
def test_it_learns_new_classes(name: str) -> None:
    x = inputs(name)
    network = trained(NETWORKS[name][0], x)
    learner = Learner(adopt(network, CLASSES), epochs=60)
    new = Task("new", (torch.cat([x[:10], x[10:] + 5]), ["cat"] * 10 + ["fox"] * 20), classes=["fox", "cat"])
    learner.learn(new)
    assert learner.classes == [*CLASSES, "fox"], "new rows come after the known ones"
    assert (learner.predict(x[10:] + 5) == "fox").mean() > 0.9
    assert learner.predict_proba(x).shape == (30, 4)


def test_a_task_that_has_known_classes_continues_with_their_rows() -> None:
    x = inputs("mlp")
    network = trained(mlp, x)
    task = Task("again", (x, [CLASSES[i % 3] for i in range(30)]), (x, [CLASSES[i % 3] for i in range(30)]), classes=["eel", "cat", "dog"])
    learner = Learner(adopt(network, CLASSES), scenario="domain")
    before = learner.evaluate([task]).values[0][0]
    assert before == float((network.eval()(x).argmax(1) == torch.arange(30) % 3).double().mean())
    learner.learn(task, optimizer=lambda p: torch.optim.SGD(p, lr=0.0))
    assert learner.matrix.values[1][0] == before


def test_the_order_in_which_a_task_names_its_classes_does_not_matter() -> None:
    def learned(classes: list[str]) -> Learner:
        learner = Learner(adopt(trained(mlp, inputs("mlp")), CLASSES))
        learner.learn(blobs(classes=classes))
        return learner

    first = learned(["dog", "fox"])
    other = Learner(adopt(trained(mlp, inputs("mlp")), CLASSES))
    task = blobs(classes=["dog", "fox"])
    names = [task.classes[i] for i in task.train.y.tolist()]
    other.learn(Task("first", (task.train.x, names), classes=["fox", "dog"]))
    x = inputs("mlp")
    assert first.classes == other.classes
    assert torch.equal(first.predict_proba(x), other.predict_proba(x))


def test_a_head_of_another_name() -> None:
    torch.manual_seed(0)
    network, x = Classifier(), torch.randn(5, FEATURES)
    adopted = adopt(network, CLASSES, head="parts.out", example=x)
    assert isinstance(adopted, Adopted)
    assert torch.allclose(nn.functional.linear(adopted(x), network.parts["out"].get_parameter("weight"), adopted.head_bias), network(x))  # type: ignore[arg-type]
    assert torch.allclose(Learner(adopted).predict_proba(x), network(x).softmax(1))


def test_its_rows_come_back_at_a_restart() -> None:
    """Joint training starts every task from the first weights, which are the adopted ones."""
    from lifelong.methods import Joint

    x = inputs("mlp")
    network = trained(mlp, x).eval()
    learner = Learner(adopt(network, CLASSES), [Joint()], optimizer=lambda p: torch.optim.SGD(p, lr=0.0))
    learner.learn(blobs("first", classes=CLASSES))
    with torch.no_grad():
        learner.theta.value.add_(1.0)
    learner.learn(blobs("second", classes=["fox"]))
    assert torch.equal(learner.network(x)[:, :3], network(x))


# Errors


def test_wrong_heads_and_classes() -> None:
    with pytest.raises(TaskError) as caught:
        adopt(nn.Sequential(nn.Conv2d(1, 2, 3)), ["a"])
    assert str(caught.value) == "Sequential has no Linear layer to become the head; adopt takes classifiers that end in one"
    with pytest.raises(TaskError) as caught:
        adopt(Classifier(), CLASSES, head="parts.oat")
    assert str(caught.value) == "Classifier has no Linear layer 'parts.oat'; did you mean 'parts.out'? Known: parts.body, parts.out"
    text = "layer '3' has 3 outputs, but classes are ['a', 'b']; name each output once"
    with pytest.raises(TaskError, match=re.escape(text)):
        adopt(mlp(), ["a", "b"])
    with pytest.raises(TaskError, match=re.escape("classes are ['a', 'b', 'a']; name each output once")):
        adopt(mlp(), ["a", "b", "a"])


@pytest.mark.parametrize("kind", [list, tuple, np.array, torch.tensor, lambda names: [np.int64(name) for name in names], iter])
def test_names_are_pythons_own(kind: Callable[[list[int]], Any], tmp_path: Path) -> None:
    """Given as numpy's or torch's numbers they are the same names, and can be saved."""
    x, expected = inputs("mlp"), Learner(adopt(trained(mlp, inputs("mlp")), [30, 10, 20]))
    learner = Learner(adopt(trained(mlp, x), kind([30, 10, 20])))
    for each in (expected, learner):
        each.learn(Task("new", (x, [10, 40] * 15)))
    assert [type(name) for name in learner.classes] == [int] * 4
    assert torch.equal(learner.predict_proba(x), expected.predict_proba(x))
    learner.save(tmp_path)
    assert Learner.open(tmp_path, model=adopt(mlp(), [30, 10, 20])).classes == [30, 10, 20, 40]


def test_a_class_is_a_string_or_an_integer() -> None:
    for names, kind in (([0.5, 1.5, 2.5], "0.5 is of type float"), (["a", "b", None], "None is of type NoneType")):
        with pytest.raises(TaskError) as caught:
            adopt(mlp(), names)  # type: ignore[arg-type]
        assert str(caught.value) == f"class {kind}; class names are strings or integers"


def test_a_layer_that_is_not_the_last_step() -> None:
    expected = "layer 'parts.body' is not the network's last step: its outputs on `example` differ from the network's; name the right one"
    with pytest.raises(TaskError) as caught:
        adopt(Classifier(), list(range(8)), example=torch.randn(5, FEATURES))
    assert str(caught.value) == expected


def test_a_softmax_after_the_head_is_found_out() -> None:
    network = nn.Sequential(nn.Linear(FEATURES, 3), nn.Softmax(1))
    with pytest.raises(TaskError, match="layer '0' is not the network's last step"):
        adopt(network, CLASSES, example=torch.randn(5, FEATURES))


def test_one_head_a_task_is_not_for_adopted_classifiers() -> None:
    with pytest.raises(ScenarioError) as caught:
        Learner(adopt(mlp(), CLASSES), scenario="task")
    assert str(caught.value) == "an adopted classifier has one head for all its classes; use scenario='class' or 'domain'"
