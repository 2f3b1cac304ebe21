"""The memory network against the paper's equations, written as loops over stories, sentences, words and entries."""

import copy
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import lifelong as ll
from lifelong.fisher import diagonal_fisher
from lifelong.models import MODELS, MemoryNetwork
from toys import same, sgd, weights

WORDS = 11


def encoded(table: Tensor, sentence: Sequence[int]) -> Tensor:
    """sum_j l_j * table[x_j] with l_kj twice the paper's (1 - j/J) - (k/d)(1 - 2j/J), word by word and entry by entry."""
    words, dimension = [word for word in sentence if word], table.shape[1]
    total = torch.zeros(dimension, dtype=table.dtype)
    for j, word in enumerate(words, start=1):
        for k in range(1, dimension + 1):
            share = j / len(words)
            total[k - 1] += 2 * ((1 - share) - k / dimension * (1 - 2 * share)) * table[word - 1, k - 1]
    return total


def read(network: MemoryNetwork, example: Tensor, softmax: bool = True, ages: Sequence[int] | None = None) -> Tensor:
    """One story's features by the paper's equations, with adjacent tying: A_h+1 = C_h, T_h+1 of A = T_h of C, B = A_1."""
    question, *story = example.tolist()
    statements = [(age, statement) for age, statement in enumerate(story) if any(statement)]
    ages = [age for age, _ in statements] if ages is None else ages
    u = encoded(network.meanings[:, 0], question)
    for hop in range(network.hops):
        inputs = [encoded(network.meanings[:, hop], s) + network.ages[age, hop] for age, (_, s) in zip(ages, statements, strict=True)]
        outputs = [
            encoded(network.meanings[:, hop + 1], s) + network.ages[age, hop + 1] for age, (_, s) in zip(ages, statements, strict=True)
        ]
        matches = [float(u @ m) for m in inputs]
        empty = network.sentences - len(statements) if network.empty_memories else 0  # m = c = 0: their match is 0, and they give nothing
        total = sum(math.exp(match) for match in matches) + empty if softmax else 1.0
        for match, c in zip(matches, outputs, strict=True):
            u = u + (math.exp(match) / total if softmax else match) * c
    return u


def network_of(**arguments: Any) -> MemoryNetwork:
    """In double precision, with weights so large that attention is far from even."""
    network = MemoryNetwork(WORDS, **{"dimension": 5, "sentences": 6, "seed": 3, **arguments}).double()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.mul_(4)
    return network


def questions(size: int = 7, statements: int = 4, width: int = 5, dtype: torch.dtype = torch.int16) -> Tensor:
    """Questions on stories of every length from none to `statements`, with sentences of every length."""
    generator = torch.Generator().manual_seed(1)
    x = torch.randint(1, WORDS + 1, (size, 1 + statements, width), generator=generator, dtype=dtype)
    lengths = torch.randint(1, width + 1, (size, 1 + statements, 1), generator=generator)
    x = x.masked_fill(torch.arange(width) >= lengths, 0)
    for i in range(size):
        x[i, 1 + i % (statements + 1) :] = 0
    return x


def task(name: str, seed: int = 0, size: int = 24) -> ll.Task:
    """Which of two words the latest statement has."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randint(3, WORDS + 1, (size, 4, 3), generator=generator, dtype=torch.int16)
    y = torch.arange(size) % 2
    x[:, 1, 1] = (1 + y).to(torch.int16)
    return ll.Task(name, (x, [["no", "yes"][i] for i in y.tolist()]), (x, [["no", "yes"][i] for i in y.tolist()]))


def learner_of(network: MemoryNetwork, **settings: Any) -> ll.Learner:
    return ll.Learner(network, scenario="domain", **{"optimizer": sgd(0.1), "batch_size": 4, "epochs": 2, "seed": 5, **settings})


@torch.no_grad()
@pytest.mark.parametrize("empty", [True, False])
@pytest.mark.parametrize("hops", [1, 2, 3])
def test_it_is_the_papers_equations(hops: int, empty: bool) -> None:
    network, x = network_of(hops=hops, empty_memories=empty).eval(), questions()
    assert network(x).shape == (7, 5)
    assert torch.allclose(network(x), torch.stack([read(network, example) for example in x]), rtol=0, atol=1e-12)


@torch.no_grad()
@pytest.mark.parametrize("hops", [1, 3])
def test_before_the_switch_attention_is_without_softmax(hops: int) -> None:
    network, x = network_of(hops=hops, linear_start=1).eval(), questions()
    expected = torch.stack([read(network, example, softmax=False) for example in x])
    assert torch.allclose(network(x), expected, rtol=1e-12)
    assert not torch.allclose(network(x), torch.stack([read(network, example) for example in x]), rtol=1e-3)


@torch.no_grad()
def test_it_switches_after_exactly_so_many_batches_of_training() -> None:
    network, x = network_of(linear_start=3, noise=0.0), questions()
    linear, soft = (torch.stack([read(network, example, softmax) for example in x]) for softmax in (False, True))
    for expected in (linear, linear, linear, soft, soft):
        assert torch.allclose(network.train()(x), expected, rtol=1e-12)
        for _ in range(2):  # predictions do not count, and are as the next batch will be
            network.eval()(x)
    assert int(network.batches) == 3
    network = network_of(linear_start=3, noise=0.0)
    network.train()(x)
    assert torch.allclose(network.eval()(x), linear, rtol=1e-12)


@torch.no_grad()
def test_without_a_linear_start_nothing_is_counted() -> None:
    network, x = network_of(noise=0.0), questions()
    expected = torch.stack([read(network, example) for example in x])
    assert torch.allclose(network.train()(x), expected, rtol=0, atol=1e-12)
    assert int(network.batches) == 0


@torch.no_grad()
@pytest.mark.parametrize("empty", [True, False])
def test_empty_places_and_columns_change_nothing(empty: bool) -> None:
    network, x = network_of(empty_memories=empty).eval(), questions()
    wider = torch.zeros(7, 7, 9, dtype=x.dtype)
    wider[:, :5, :5] = x
    assert torch.equal(network(wider), network(x))


@torch.no_grad()
def test_an_example_does_not_depend_on_the_others_of_its_batch() -> None:
    network, x = network_of().eval(), questions()
    assert torch.allclose(network(x), torch.cat([network(one) for one in x.split(1)]), rtol=0, atol=1e-12)
    assert torch.allclose(network(x.flip(0)), network(x).flip(0), rtol=0, atol=1e-12)


@pytest.mark.parametrize("empty", [True, False])
def test_an_empty_story_gives_the_question_and_finite_gradients(empty: bool) -> None:
    network, x = network_of(linear_start=1, empty_memories=empty), questions(size=2)[:, :1]
    for training in (True, False):
        network.train(training)
        output = network(torch.cat([x, torch.zeros(2, 3, 5, dtype=x.dtype)], 1))
        assert torch.allclose(output, torch.stack([encoded(network.meanings[:, 0], one[0].tolist()) for one in x]), rtol=0, atol=1e-12)
        assert torch.equal(network(x), output)
        assert all(bool(g.isfinite().all()) for g in torch.autograd.grad(output.sum(), [*network.parameters()]))
    nothing = torch.zeros(2, 4, 5, dtype=x.dtype)
    assert torch.equal(network(nothing), torch.zeros(2, 5, dtype=torch.float64))


@torch.no_grad()
def test_the_order_of_statements_and_of_words_matters() -> None:
    network = network_of().eval()
    x = torch.tensor([[[1, 2, 3], [4, 5, 6], [7, 8, 9]]])
    outputs = [network(y) for y in (x, x[:, [0, 2, 1]], torch.tensor([[[1, 2, 3], [5, 4, 6], [7, 8, 9]]]))]
    assert not torch.allclose(outputs[0], outputs[1], rtol=1e-3)
    assert not torch.allclose(outputs[0], outputs[2], rtol=1e-3)


@torch.no_grad()
def test_noise_puts_empty_memories_between_statements() -> None:
    """With one statement its age is 0 or 1; with three, ages that grow, each step by 1 or 2, beginning at 0 or 1."""
    network = network_of(noise=0.5).train()
    x = torch.tensor([[[1, 2], [3, 4], [5, 6], [7, 8]]]).expand(400, -1, -1)
    possible = [[a, a + b, a + b + c] for a in (0, 1) for b in (1, 2) for c in (1, 2)]
    expected = torch.stack([read(network, x[0], ages=ages) for ages in possible])
    torch.manual_seed(0)
    far = (network(x)[:, None] - expected[None]).abs().amax(2)
    assert float(far.amin(1).max()) < 1e-9
    counts = (far < 1e-9).sum(0)
    assert counts.min() > 400 / 8 - 4 * math.sqrt(400 / 8)  # each of the eight with the same probability
    assert counts.max() < 400 / 8 + 4 * math.sqrt(400 / 8)


@torch.no_grad()
def test_a_tenth_of_the_memories_are_empty() -> None:
    network = network_of(noise=0.1).train()
    x = torch.tensor([[[1, 2], [3, 4]]]).expand(5000, -1, -1)
    torch.manual_seed(0)
    moved = (network(x) - read(network, x[0], ages=[1])).abs().amax(1) < 1e-9
    assert float(moved.double().mean()) == pytest.approx(0.1, abs=4 * math.sqrt(0.1 * 0.9 / 5000))


@torch.no_grad()
def test_ages_beyond_the_table_are_its_last() -> None:
    network = network_of(noise=0.999, sentences=3).train()
    x = torch.tensor([[[1, 2], [3, 4], [5, 6], [7, 8]]])
    torch.manual_seed(0)
    assert torch.allclose(network(x), read(network, x[0], ages=[1, 2, 2])[None], rtol=0, atol=1e-12)


@torch.no_grad()
@pytest.mark.parametrize(("noise", "training"), [(0.5, False), (0.0, True), (0.0, False)])
def test_without_noise_nothing_is_drawn(noise: float, training: bool) -> None:
    network, before = network_of(noise=noise).train(training), torch.get_rng_state()
    network(questions())
    assert torch.equal(torch.get_rng_state(), before)


@torch.no_grad()
def test_noise_is_drawn_from_torchs_global_generator() -> None:
    network, x, outputs = network_of(noise=0.5).train(), questions(), []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        outputs.append(network(x))
    assert torch.equal(outputs[0], outputs[1])
    assert not torch.equal(outputs[0], outputs[2])


def test_initial_weights_are_normal_with_a_tenth_as_deviation() -> None:
    before = torch.get_rng_state()
    network = MemoryNetwork(200, dimension=30, seed=1)
    assert torch.equal(torch.get_rng_state(), before)
    for parameter in (network.meanings, network.ages):
        values = parameter.detach().double() / 0.1
        assert abs(float(values.mean())) < 4 / math.sqrt(values.numel())
        assert float(values.std()) == pytest.approx(1, abs=4 / math.sqrt(2 * values.numel()))
        assert float(values.pow(4).mean()) == pytest.approx(3, abs=4 * math.sqrt(96 / values.numel()))
    assert network.meanings.shape == (200, 4, 30)
    assert network.ages.shape == (50, 4, 30)
    assert same(weights(MemoryNetwork(200, dimension=30, seed=1)), weights(network))
    assert not torch.equal(MemoryNetwork(200, dimension=30, seed=2).meanings, network.meanings)


def test_gradients_are_those_of_the_equations() -> None:
    network, x = network_of(dimension=3, hops=2, linear_start=1), questions(size=4, statements=2, width=3)
    for parts in (1, 2):  # without softmax, then with it
        network.noise, network.batches = 0.0, torch.tensor(parts - 1)
        network.eval()

        def features(meanings: Tensor, ages: Tensor) -> Tensor:
            return torch.func.functional_call(network, {"meanings": meanings, "ages": ages}, (x,))

        assert torch.autograd.gradcheck(features, (network.meanings, network.ages))


def test_the_fisher_is_a_mean_of_squares_of_each_examples_gradient() -> None:
    learner = learner_of(MemoryNetwork(WORDS, dimension=4, sentences=6))
    first = task("first", size=8)
    learner.learn(first)
    fisher = diagonal_fisher(learner, first, "true", None, torch.Generator())
    expected = torch.zeros_like(fisher)
    learner.network.eval()
    for i in range(8):
        loss = torch.nn.functional.cross_entropy(learner.network(first.train.x[i : i + 1]), first.train.y[i : i + 1])
        expected += learner.theta.flatten(torch.autograd.grad(loss, learner.theta.parameters, allow_unused=True)).square() / 8
    assert torch.allclose(fisher, expected, rtol=1e-4, atol=1e-9)
    assert float(expected.sum()) > 0


def test_a_copy_is_of_its_own() -> None:
    network, x = network_of(linear_start=2, noise=0.0), questions()
    network.train()(x)
    other = copy.deepcopy(network)
    other(x)
    assert (int(network.batches), int(other.batches)) == (1, 2)
    network.load_state_dict(other.state_dict())
    assert int(network.batches) == 2
    assert torch.equal(network(x), other(x))


def test_a_gradient_asked_for_does_not_count_as_a_batch() -> None:
    learner = learner_of(MemoryNetwork(WORDS, dimension=4, linear_start=100))
    first = task("first")
    learner.learn(first)
    assert int(learner.network.features.batches) == 12
    learner.network.train()
    learner.gradient(ll.tasks.Batch(first.train.x[:4], first.train.y[:4]))
    assert int(learner.network.features.batches) == 12


def test_a_saved_learner_predicts_the_same_and_learns_on_the_same(tmp_path: Path) -> None:
    """Saved in the middle of the linear start, and with noise."""
    learner = learner_of(MemoryNetwork(WORDS, dimension=4, sentences=7, linear_start=15, noise=0.3, hops=2, empty_memories=False, seed=4))
    learner.learn(task("first"))
    learner.save(tmp_path / "reader.life")
    opened = ll.Learner.open(tmp_path / "reader.life")
    x = task("second", seed=1).train.x
    assert torch.equal(opened.predict_proba(x), learner.predict_proba(x))
    for each in (learner, opened):
        each.learn(task("second", seed=1))
    assert same(weights(opened.network), weights(learner.network))
    assert int(opened.network.features.batches) == 15


def test_it_learns_to_look_at_the_right_statement() -> None:
    learner = learner_of(MemoryNetwork(WORDS, dimension=8, sentences=7), epochs=60, optimizer=sgd(0.3))
    first = task("first")
    assert learner.evaluate([first]).values[0, 0] <= 0.8
    learner.learn(first)
    assert learner.evaluate([first]).accuracy >= 0.95


def test_it_has_its_name_in_the_table() -> None:
    assert MODELS["memory-network"] is MemoryNetwork


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"words": 0}, "words is 0; expected an integer >= 1"),
        ({"hops": 0}, "hops is 0; expected an integer >= 1"),
        ({"dimension": 2.5}, "dimension is 2.5; expected an integer >= 1"),
        ({"sentences": -1}, "sentences is -1; expected an integer >= 1"),
        ({"linear_start": -1}, "linear_start is -1; expected a number of batches >= 0, where 0 is softmax from the first on"),
        ({"noise": 1.0}, "noise is 1.0; expected a probability from 0 to below 1"),
        ({"noise": -0.1}, "noise is -0.1; expected a probability from 0 to below 1"),
    ],
)
def test_wrong_numbers_are_refused(arguments: dict[str, Any], text: str) -> None:
    with pytest.raises(ValueError, match=f"^{text}$"):
        MemoryNetwork(**{"words": 5, **arguments})


def test_stories_that_are_too_long_are_refused() -> None:
    text = r"^stories of 3 statements, and the network was made for 2; cut them to the latest, or make it with sentences=3$"
    with pytest.raises(ValueError, match=text):
        MemoryNetwork(5, sentences=2)(torch.ones(1, 4, 2, dtype=torch.int16))


def test_words_that_it_does_not_have_are_refused() -> None:
    with pytest.raises(RuntimeError, match="out of bounds"):
        MemoryNetwork(5)(torch.tensor([[[6, 0], [1, 2]]]))
