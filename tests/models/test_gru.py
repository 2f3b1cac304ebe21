"""The GRU against its equations, a word at a time."""

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import lifelong as ll
from lifelong.models import GRU, MODELS
from toys import same, sgd, weights

X = [
    [[1, 2, 3], [4, 5, 0], [6, 0, 0], [7, 8, 9]],
    [[2, 0, 0], [3, 1, 0], [0, 0, 0], [0, 0, 0]],
    [[5, 6, 0], [9, 8, 7], [1, 0, 0], [0, 0, 0]],
    [[4, 0, 0], [0, 0, 0], [0, 0, 0], [0, 0, 0]],
]  # fmt: skip
TEXTS = [[7, 8, 9, 6, 4, 5, 1, 2, 3], [3, 1, 2], [1, 9, 8, 7, 5, 6], [4]]  # as they are to be read: oldest statement first, question last


def read(network: GRU, text: list[int]) -> Tensor:
    """The last state: r, z = sigmoid(W v + b + U h + c), n = tanh(W v + b + r * (U h + c)), h = (1 - z) n + z h."""
    into, back, b, c = (parameter.detach() for parameter in network.reader.parameters())
    h = torch.zeros(network.hidden, dtype=into.dtype)
    for word in text:
        gates, memory = into @ network.meanings.weight[word].detach() + b, back @ h + c
        (r, z, n), (hr, hz, hn) = gates.chunk(3), memory.chunk(3)
        r, z = torch.sigmoid(r + hr), torch.sigmoid(z + hz)
        h = (1 - z) * torch.tanh(n + r * hn) + z * h
    return h


def network_of(**arguments: Any) -> GRU:
    return GRU(9, **{"dimension": 4, "hidden": 5, "seed": 2, **arguments}).double()


def task(name: str, seed: int = 0) -> ll.Task:
    """Which of two words the latest statement has."""
    x = torch.randint(3, 10, (24, 3, 3), generator=torch.Generator().manual_seed(seed), dtype=torch.int16)
    y = torch.arange(24) % 2
    x[:, 1, 1] = (1 + y).to(torch.int16)
    return ll.Task(name, (x, [["no", "yes"][i] for i in y.tolist()]))


@torch.no_grad()
@pytest.mark.parametrize("dtype", [torch.int16, torch.int64])
def test_it_reads_the_story_and_then_the_question_word_by_word(dtype: torch.dtype) -> None:
    network = network_of()
    expected = torch.stack([read(network, text) for text in TEXTS])
    assert torch.allclose(network(torch.tensor(X, dtype=dtype)), expected, rtol=0, atol=1e-12)


@torch.no_grad()
def test_empty_places_and_columns_change_nothing() -> None:
    network, x = network_of(), torch.tensor(X)
    wider = torch.zeros(4, 9, 6, dtype=x.dtype)
    wider[:, :4, :3] = x
    assert torch.allclose(network(wider), network(x), rtol=0, atol=1e-15)


@torch.no_grad()
def test_an_example_does_not_depend_on_the_others_of_its_batch() -> None:
    network, x = network_of(), torch.tensor(X)
    assert torch.allclose(network(x), torch.cat([network(one) for one in x.split(1)]), rtol=0, atol=1e-12)


@torch.no_grad()
def test_nothing_at_all_is_finite() -> None:
    network = network_of()
    output = network(torch.zeros(2, 3, 3, dtype=torch.int16))
    assert torch.allclose(output, read(network, [0]).expand(2, -1), rtol=0, atol=1e-12)


def test_initial_weights_are_as_torch_draws_them() -> None:
    before = torch.get_rng_state()
    network = GRU(300, dimension=40, hidden=25, seed=1)
    assert torch.equal(torch.get_rng_state(), before)
    values = network.meanings.weight.detach()[1:].double()
    assert abs(float(values.mean())) < 4 / math.sqrt(values.numel())
    assert float(values.std()) == pytest.approx(1, abs=4 / math.sqrt(2 * values.numel()))
    assert not bool(network.meanings.weight[0].any())
    for parameter in network.reader.parameters():
        assert float(parameter.detach().abs().max()) <= 0.2
        # the deviation of a uniform number is its half-width by the root of 3
        assert float(parameter.detach().std()) == pytest.approx(0.2 / math.sqrt(3), rel=4 / math.sqrt(parameter.numel()))
    assert same(weights(GRU(300, dimension=40, hidden=25, seed=1)), weights(network))
    assert not torch.equal(GRU(300, dimension=40, hidden=25, seed=2).meanings.weight, network.meanings.weight)


def test_what_is_no_word_is_not_learned() -> None:
    learner = ll.Learner(GRU(9, dimension=4, hidden=5), scenario="domain", optimizer=sgd(0.1), batch_size=4, epochs=2)
    learner.learn(task("first"))
    assert not bool(learner.network.features.meanings.weight[0].any())


def test_a_saved_learner_predicts_the_same_and_learns_on_the_same(tmp_path: Path) -> None:
    learner = ll.Learner(GRU(9, dimension=4, hidden=5, seed=4), scenario="domain", optimizer=sgd(0.1), batch_size=4, epochs=2)
    learner.learn(task("first"))
    learner.save(tmp_path / "reader.life")
    opened = ll.Learner.open(tmp_path / "reader.life")
    assert torch.equal(opened.predict_proba(torch.tensor(X)), learner.predict_proba(torch.tensor(X)))
    for each in (learner, opened):
        each.learn(task("second", seed=1))
    assert same(weights(opened.network), weights(learner.network))


def test_it_has_its_name_in_the_table() -> None:
    assert MODELS["gru"] is GRU


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"words": 0}, "words is 0; expected an integer >= 1"),
        ({"dimension": 0}, "dimension is 0; expected an integer >= 1"),
        ({"hidden": "8"}, "hidden is '8'; expected an integer >= 1"),
    ],
)
def test_wrong_numbers_are_refused(arguments: dict[str, Any], text: str) -> None:
    with pytest.raises(ValueError, match=f"^{text}$"):
        GRU(**{"words": 5, **arguments})
