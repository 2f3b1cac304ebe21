import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from lifelong.models import MLP, ConvNet
from lifelong.models.heads import Heads, Network
from lifelong.tasks import Scenario
from lifelong.teacher import Teacher
from toys import same, weights

X = torch.randn(6, 1, 8, 8, generator=torch.Generator().manual_seed(0))


def network_of(scenario: Scenario, *tasks: list[Any], dtype: torch.dtype = torch.float32) -> Network:
    """A network with batch norm and dropout that has seen some inputs."""
    model = nn.Sequential(ConvNet(1, [2, 3]), nn.Dropout(0.5)).to(dtype)
    network = Network(model, Heads(3, scenario, 0))
    for t, classes in enumerate(tasks):
        network.heads.admit(f"task {t}", classes)
    with torch.no_grad():
        network.train()(X.to(dtype))
    return network


def trained(network: Network) -> Network:
    """Every value in it changed in place, as training does."""
    with torch.no_grad():
        for value in network.state_dict().values():
            value.add_(1)
    return network


def restored(teacher: Teacher) -> Teacher:
    """As another process has it: made from what was saved."""
    other = Teacher()
    other.restore({name: tensor.clone() for name, tensor in {**teacher.state("teacher"), "other.x": torch.ones(1)}.items()}, "teacher")
    return other


def test_it_is_empty_until_it_copies_and_after_it_is_cleared() -> None:
    teacher = Teacher()
    assert not teacher
    assert teacher.state("teacher") == {}
    teacher.copy(network_of("class", ["a"]))
    assert teacher
    teacher.clear()
    assert not teacher
    assert teacher.state("teacher") == {}


def test_it_answers_as_the_network_did_in_evaluation_mode() -> None:
    network = network_of("class", ["a", "b"])
    expected = copy.deepcopy(network).eval()(X)
    teacher = Teacher()
    teacher.copy(network)
    assert network.training
    assert all(parameter.requires_grad for parameter in network.parameters())
    trained(network)
    own = teacher.network(network)
    for _ in range(2):
        assert torch.equal(own(X), expected)
    assert not any(module.training for module in own.modules())
    assert not any(parameter.requires_grad for parameter in own.parameters())
    assert own is teacher.network(network)


def test_gradients_are_not_copied() -> None:
    network = network_of("class", ["a", "b"])
    network(X).sum().backward()
    teacher = Teacher()
    teacher.copy(network)
    assert all(parameter.grad is None for parameter in teacher.network(network).parameters())
    assert all(parameter.grad is not None for parameter in network.parameters())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("scenario", ["class", "domain", "task"])
def test_it_is_rebuilt_from_its_tensors_beside_a_network_that_has_grown_since(scenario: Scenario, dtype: torch.dtype) -> None:
    network = network_of(scenario, ["a", "b"], ["a", "b"] if scenario == "domain" else ["c", "d", "e"], dtype=dtype)
    teacher = Teacher()
    teacher.copy(network)
    x = X.to(dtype)
    heads = range(len(network.heads.layers))
    expected = [teacher.network(network)(x, head) for head in heads]
    classes = copy.deepcopy(network.heads.classes)
    if scenario != "domain":
        network.heads.admit("task 1", ["c", "d", "e", "f"])  # more rows
        network.heads.admit("task 2", ["g"])  # and, in the scenario "task", one more head
    before = weights(trained(network))
    own = restored(teacher).network(network)
    assert own.heads.classes == classes
    assert [torch.equal(own(x, head), answer) for head, answer in zip(heads, expected, strict=True)] == [True] * len(expected)
    assert not any(module.training for module in own.modules())
    assert not any(parameter.requires_grad for parameter in own.parameters())
    assert same(weights(own), weights(teacher.network(network)))
    assert same(weights(network), before)
    assert all(parameter.requires_grad for parameter in network.parameters())


def test_what_is_saved_is_what_comes_back() -> None:
    teacher = Teacher()
    teacher.copy(network_of("task", ["a"], ["b", "c"]))
    again = restored(teacher)
    assert again
    assert same(again.state("x"), teacher.state("x"))
    assert all(name.startswith("x.") for name in again.state("x"))
    empty = Teacher()
    empty.copy(network_of("class", ["a"]))
    empty.restore({"other.x": torch.ones(1)}, "teacher")
    assert not empty, "nothing saved is an empty teacher"


def test_copies_share_the_frozen_network_and_then_go_their_own_ways() -> None:
    network = network_of("class", ["a", "b"])
    teacher = Teacher()
    teacher.copy(network)
    other = copy.deepcopy(teacher)
    assert other.network(network) is teacher.network(network)
    teacher.clear()
    assert other
    assert not teacher


def test_a_second_copy_replaces_the_first() -> None:
    network = network_of("class", ["a", "b"])
    teacher = Teacher()
    teacher.copy(network)
    first: Tensor = teacher.network(network)(X)
    teacher.copy(trained(network))
    assert torch.equal(teacher.network(network)(X), copy.deepcopy(network).eval()(X))
    assert not torch.equal(teacher.network(network)(X), first)


def test_torchs_random_numbers_are_left_alone() -> None:
    network = Network(MLP(64, [3]), Heads(3, "task", 0))
    network.heads.admit("first", ["a"])
    teacher = Teacher()
    before = torch.get_rng_state()
    teacher.copy(network)
    restored(teacher).network(network)(X)
    assert torch.equal(torch.get_rng_state(), before)
