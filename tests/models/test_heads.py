import re
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from lifelong.errors import ScenarioError
from lifelong.learner import Learner
from lifelong.models import MLP
from lifelong.models.heads import Heads, Network, seed_of
from lifelong.tasks import Name, Scenario, Task
from toys import same, weights

WIDTH = 5


def heads_of(scenario: Scenario, *tasks: list[Any], seed: int = 0) -> Heads:
    heads = Heads(WIDTH, scenario, seed)
    for t, classes in enumerate(tasks):
        heads.admit(f"task {t}", classes)
    return heads


def rows(heads: Heads, head: int = 0) -> dict[Name, tuple[Any, Any]]:
    layer = heads.layers[head]
    assert isinstance(layer, nn.Linear)
    return {name: (layer.weight[i].tolist(), layer.bias[i].tolist()) for i, name in enumerate(heads.classes[head])}


# Rows belong to names


@given(st.permutations(["ant", "bee", "cat", "dog", 4, 5]), st.integers(1, 5))
@settings(deadline=None, max_examples=30)
def test_rows_do_not_depend_on_the_order_in_which_classes_come(names: list[Name], cut: int) -> None:
    assert rows(heads_of("class", names[:cut], names[cut:])) == rows(heads_of("class", ["ant", "bee", "cat", "dog", 4, 5]))


def test_rows_depend_on_seed_name_and_head_only() -> None:
    first = rows(heads_of("task", ["a", "b"], ["a", "b"]), 0)
    assert first == rows(heads_of("task", ["b", "a"]), 0)
    assert first != rows(heads_of("task", ["a", "b"], seed=1), 0)
    assert first != rows(heads_of("task", ["a", "b"], ["a", "b"]), 1)
    assert first["a"] != first["b"]


def test_the_names_1_and_one_in_quotes_are_different() -> None:
    heads = heads_of("class", [1, "1"])
    assert len({str(row) for row in rows(heads).values()}) == 2


def test_rows_are_drawn_as_torch_draws_them() -> None:
    layer = heads_of("class", list(range(2000))).layers[0]
    assert isinstance(layer, nn.Linear)
    bound = WIDTH**-0.5
    for values in (layer.weight.detach(), layer.bias.detach()):
        assert float(values.abs().max()) <= bound
        assert float(values.std()) == pytest.approx(2 * bound / 12**0.5, rel=0.05)
        assert float(values.mean()) == pytest.approx(0, abs=0.05)


@pytest.mark.parametrize("scenario", ["domain", "class"])
def test_rows_of_a_network_with_xavier_weights_are_drawn_so(scenario: Scenario, tmp_path: Path) -> None:
    """The fan-out is that of the head's first task, however far it grew; an untrained head has the very rows that it began with."""
    learner = Learner(MLP(3, [200], initial="xavier"), scenario=scenario, optimizer=partial(torch.optim.SGD, lr=0.0))
    for t in range(2):
        names = [f"{t * (scenario == 'class')} {i}" for i in range(50)]
        learner.learn(Task(f"{t}", train=(torch.randn(50, 3), names)))
    learner.save(tmp_path)
    for each in (learner, Learner.open(tmp_path)):
        layer = each.heads.layers[0]
        assert isinstance(layer, nn.Linear)
        assert not layer.bias.any()
        assert float(layer.weight.detach().abs().max()) == pytest.approx((6 / 250) ** 0.5, rel=0.01)
        assert torch.equal(layer.weight, each.heads.untrained(0).weight)


def test_drawing_leaves_torchs_random_state_alone() -> None:
    before = torch.get_rng_state()
    heads_of("class", ["a"], ["b"])
    assert torch.equal(torch.get_rng_state(), before)


def test_growing_keeps_old_rows_bit_for_bit() -> None:
    heads = heads_of("class", ["a", "b"])
    layer = heads.layers[0]
    assert isinstance(layer, nn.Linear)
    with torch.no_grad():
        layer.weight.normal_()
        layer.bias.normal_()
    features = torch.randn(7, WIDTH)
    before, output = rows(heads), heads(features, 0)
    assert heads.admit("next", ["b", "c", "a", "d"]) == 0
    assert heads.classes == [["a", "b", "c", "d"]]
    assert {name: row for name, row in rows(heads).items() if name in before} == before
    assert torch.allclose(heads(features, 0)[:, :2], output)
    assert {name: row for name, row in rows(heads).items() if name not in before} == rows(heads_of("class", ["c", "d"]))


def test_known_classes_change_nothing() -> None:
    heads = heads_of("class", ["a", "b"])
    layer = heads.layers[0]
    heads.admit("again", ["b", "a"])
    assert heads.layers[0] is layer


def test_growing_keeps_the_dtype() -> None:
    heads = heads_of("class", ["a"]).double()
    heads.admit("next", ["b"])
    assert {parameter.dtype for parameter in heads.parameters()} == {torch.float64}
    of_tasks = heads_of("task", ["a"]).double()
    of_tasks.admit("next", ["b"])
    assert {parameter.dtype for parameter in of_tasks.parameters()} == {torch.float64}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_heads_have_the_models_dtype(dtype: torch.dtype) -> None:
    heads = Heads(WIDTH, "class", 0)
    network = Network(nn.Linear(3, WIDTH).to(dtype), heads)
    heads.admit("first", ["a", "b"])
    assert network(torch.ones(2, 3, dtype=dtype)).dtype is dtype


def test_rows_of_names() -> None:
    heads = heads_of("class", ["a", "b"], ["c"])
    assert heads.rows(0, ["c", "a"]).tolist() == [2, 0]
    assert heads.rows(0, ["c", "a"]).dtype is torch.int64


def test_untrained_heads_are_the_first_ones() -> None:
    heads = heads_of("task", ["a", "b"], ["c"])
    first = [weights(layer) for layer in heads.layers]
    with torch.no_grad():
        for parameter in heads.parameters():
            parameter.zero_()
    assert all(same(weights(heads.untrained(i)), kept) for i, kept in enumerate(first))


def test_adopted_rows_are_taken_as_they_are() -> None:
    heads = Heads(WIDTH, "class", 0)
    heads.adopted = {"b": (torch.arange(5.0), torch.tensor(7.0))}
    heads.admit("first", ["a", "b"])
    assert rows(heads) == {**rows(heads_of("class", ["a"])), "b": ([0, 1, 2, 3, 4], 7)}
    assert torch.equal(weights(heads.untrained(0))["weight"][1], torch.arange(5.0))


# Declared classes


def declared(*names: Name) -> Heads:
    heads = Heads(WIDTH, "class", 0)
    heads.declare(names)
    return heads


def test_declared_classes_wait_until_a_task_brings_them() -> None:
    heads = declared("c", "a", "b")
    assert heads.classes == [["c", "a", "b"]]
    assert list(heads.waiting) == ["c", "a", "b"]
    assert not heads.knows("task", ["a"])
    assert heads.admit("task", ["a", "c"]) == 0
    assert heads.classes == [["c", "a", "b"]]
    assert list(heads.waiting) == ["b"]
    assert heads.knows("task", ["a", "c"])
    assert not heads.knows("task", ["a", "b"])


def test_declared_rows_are_those_that_come_with_a_task() -> None:
    heads = declared("c", "a", "b")
    before, layer = rows(heads), heads.layers[0]
    assert before == rows(heads_of("class", ["a"], ["b", "c"]))
    heads.admit("task", ["a"])
    assert heads.layers[0] is layer, "an output that is there stays as it is"


def test_a_class_that_was_not_declared_is_appended() -> None:
    heads = declared("b", "a")
    heads.admit("task", ["c", "a"])
    assert heads.classes == [["b", "a", "c"]]
    assert list(heads.waiting) == ["b"]
    assert rows(heads) == rows(heads_of("class", ["a", "b", "c"]))


def test_nothing_waits_without_declaring() -> None:
    assert not heads_of("class", ["a"]).waiting
    assert not heads_of("task", ["a"]).waiting


# Scenarios


def test_one_head_a_task() -> None:
    heads = heads_of("task", ["a", "b"], ["a", "b", "c"])
    assert [heads.find("task 0"), heads.find("task 1")] == [0, 1]
    assert heads.classes == [["a", "b"], ["a", "b", "c"]]
    assert heads.admit("task 0", ["a", "b", "d"]) == 0
    assert heads.classes[0] == ["a", "b", "d"]


@pytest.mark.parametrize("scenario", ["class", "domain"])
def test_one_head_for_all(scenario: Scenario) -> None:
    heads = heads_of(scenario, ["a", "b"], ["b", "a"])
    assert heads.find(None) == heads.find("whatever") == 0
    assert heads.classes == [["a", "b"]]


@pytest.mark.parametrize("scenario", ["task", "class", "domain"])
def test_what_it_knows(scenario: Scenario) -> None:
    heads = Heads(WIDTH, scenario, 0)
    assert not heads.knows("task 0", ["a"])
    heads.admit("task 0", ["a", "b"])
    assert heads.knows("task 0", ["b"])
    assert not heads.knows("task 0", ["c"])
    assert heads.knows("task 1", ["a"]) is (scenario != "task")


def test_a_head_for_each_example() -> None:
    heads = heads_of("task", ["a", "b"], ["c", "d", "e"], ["f"])
    features = torch.randn(40, WIDTH, requires_grad=True)
    which = torch.arange(40) * 7 % 3
    logits = heads(features, which)
    assert logits.shape == (40, 3)
    for n in range(40):
        own = heads(features[n : n + 1], int(which[n]))[0]
        assert torch.allclose(logits[n, : len(own)], own)
        assert (logits[n, len(own) :] == -torch.inf).all()
    loss = nn.functional.cross_entropy(logits, torch.zeros(40, dtype=torch.int64))
    loss.backward()  # type: ignore[no-untyped-call]
    assert features.grad is not None
    assert features.grad.isfinite().all()
    by_head = sum(
        nn.functional.cross_entropy(
            heads(features[which == h], h), torch.zeros(int((which == h).sum()), dtype=torch.int64), reduction="sum"
        )
        for h in range(3)
    )
    assert torch.allclose(loss * 40, torch.as_tensor(by_head))


def test_a_network_is_its_head_on_its_features() -> None:
    features, heads = nn.Linear(3, WIDTH), heads_of("class", ["a", "b"])
    x = torch.randn(4, 3)
    assert torch.equal(Network(features, heads)(x), heads(features(x), 0))


def test_seeds_depend_on_all_words() -> None:
    words: list[tuple[object, ...]] = [(0,), (1,), ("0",), (0, 0), (0, "a"), ("0/0",), ("0", "0")]
    seeds = [seed_of(*each) for each in words]
    assert len(set(seeds)) == len(words)
    assert all(0 <= seed < 2**63 for seed in seeds)


# Errors


def test_new_classes_in_the_scenario_domain() -> None:
    with pytest.raises(ScenarioError) as caught:
        heads_of("domain", ["a", "b"], ["b", "c", "d"])
    assert str(caught.value) == (
        "task 'task 1' brings the classes ['c', 'd'], which are not among ['a', 'b']: in the scenario 'domain' every task has "
        "the classes of the first. Use scenario='class' or 'task', or name the classes alike"
    )


def test_no_classes() -> None:
    with pytest.raises(ScenarioError, match=re.escape("task 'task 0' has no classes; a head needs at least one")):
        heads_of("class", [])


def test_a_task_must_be_said_in_the_scenario_task() -> None:
    heads = heads_of("task", ["a"], ["b"])
    with pytest.raises(ScenarioError) as caught:
        heads.find(None)
    assert str(caught.value) == "in the scenario 'task' the task must be said: predict(x, task=...). Known: task 0, task 1"
    with pytest.raises(ScenarioError) as caught:
        heads.find("tsk 1")
    assert str(caught.value) == "no task 'tsk 1' was learned; did you mean 'task 1'? Known: task 0, task 1"
