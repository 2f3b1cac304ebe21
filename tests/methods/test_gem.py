from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from lifelong.errors import MethodError, NonFiniteError
from lifelong.learner import Learner
from lifelong.methods import GEM
from lifelong.models import MLP, ConvNet
from lifelong.projection import project
from lifelong.tasks import Batch, Scenario, Task
from lifelong.testing.data import image_tasks, vector_tasks
from toys import FEATURES, AfterStep, EditGradient, blobs, everything, same, sgd, weights


def gem_of(learner: Learner) -> GEM:
    return next(method for method in learner.methods if isinstance(method, GEM))


def small(gem: GEM, scenario: Scenario = "domain") -> Learner:
    return Learner(MLP(FEATURES, [8]), [gem], scenario, optimizer=sgd(0.1), batch_size=10)


def tasks(count: int) -> list[Task]:
    return [blobs(f"task {i}", seed=i) for i in range(count)]


# The step


@pytest.mark.parametrize("scenario", ["domain", "task"])
@pytest.mark.parametrize("margin", [0.0, 0.5])
def test_the_gradient_is_the_projection_on_the_memories_gradients(scenario: Scenario, margin: float) -> None:
    """Checked in every step of a third task against gradients by plain autograd, one memory after the other."""
    before: list[Tensor] = []
    seen: list[bool] = []

    def keep(learner: Learner) -> None:
        before.append(learner.theta.gradient.clone())

    def check(learner: Learner) -> None:
        rows = []
        for memory in gem_of(learner).memories:
            with torch.enable_grad():
                filled, head = int(memory.counts[0]), int(memory.head[0])
                loss = cross_entropy(learner.network(memory.x[:filled], head), memory.y[:filled])
                parts = torch.autograd.grad(loss, learner.theta.parameters, allow_unused=True)
            rows.append(
                torch.cat(
                    [torch.zeros(p.numel()) if g is None else g.flatten() for g, p in zip(parts, learner.theta.parameters, strict=True)]
                )
            )
        G, g = torch.stack(rows), before.pop()
        torch.testing.assert_close(learner.theta.gradient, project(g, G, margin, ridge=0.01), rtol=1e-4, atol=1e-6)
        conflict = bool((G @ g < 0).any())
        assert conflict or torch.equal(learner.theta.gradient, g)
        if conflict and margin == 0:
            assert bool((G @ learner.theta.gradient >= -0.02 * G.norm(dim=1).square().mean()).all())
        seen.append(conflict)

    *first, last = tasks(3)
    learner = small(GEM(examples_per_task=20, margin=margin, ridge=0.01), scenario=scenario)
    for task in first:
        learner.learn(task)
    learner.methods = [EditGradient(keep), *learner.methods, EditGradient(check)]
    learner._generators = [torch.Generator(), *learner._generators, torch.Generator()]
    learner.learn(last, epochs=5)
    assert True in seen
    assert False in seen or scenario == "domain"  # where the tasks share their outputs, every step conflicts


def test_no_memorys_loss_rises_by_much() -> None:
    """The constraint is one of first order: with a small step, no memory's loss rises as it does in fine-tuning."""

    def risen(examples: int) -> float:
        losses: list[Tensor] = []

        def look(learner: Learner) -> None:
            losses.append(cross_entropy(learner.network(x), y).detach())

        first, second = vector_tasks(2, 0)
        learner = Learner(
            MLP(12, [32]), [GEM(examples_per_task=examples, margin=0.0), AfterStep(look)], "domain", optimizer=sgd(0.03), batch_size=10
        )
        x, y = first.train.x, first.train.y
        learner.learn(first, epochs=10)
        losses.clear()
        learner.learn(second, epochs=5)
        return float(losses[-1] - losses[0])

    assert risen(0) > 0.2
    assert risen(300) < 0.02


def test_batch_norm_statistics_are_the_batches_own() -> None:
    """After one step they are fine-tuning's, bit for bit: the memories left no trace in them."""
    first, second = image_tasks(2, "domain")
    learners = [
        Learner(ConvNet(1, [4]), [GEM(examples_per_task=examples)], "domain", optimizer=sgd(0.1), batch_size=8) for examples in (0, 16)
    ]
    for learner in learners:
        learner.learn(first)
        learner.learn(second, steps=1)
    statistics = [dict(learner.network.named_buffers()) for learner in learners]
    assert len(statistics[0]) == 3
    assert same(*statistics)
    assert not same(*(weights(learner.network) for learner in learners))


def test_batch_norm_normalises_a_memory_by_its_own_statistics() -> None:
    """In evaluation mode the gradient would be another."""
    first, second = image_tasks(2, "domain")
    learner = Learner(ConvNet(1, [4]), [GEM(examples_per_task=16)], "domain", optimizer=sgd(0.1), batch_size=8)
    learner.learn(first)
    memory = gem_of(learner).memories[0]
    batch = Batch(memory.x, memory.y)
    evaluating = learner.gradient(batch)
    learner.network.train()
    training = learner.gradient(batch)
    used: list[Tensor] = []

    def look(learner: Learner) -> None:
        constraints = gem_of(learner)._constraints
        assert constraints is not None
        used.append(constraints[1][0].clone())

    learner.methods.append(EditGradient(look))
    learner._generators.append(torch.Generator())
    learner.learn(second, steps=1)
    assert torch.equal(used[0], training)
    assert not torch.allclose(used[0], evaluating)


def test_one_example_and_batch_norm_is_torchs_error_and_no_harm() -> None:
    network = nn.Sequential(nn.Linear(FEATURES, 4), nn.BatchNorm1d(4))
    learner = Learner(network, [GEM(examples_per_task=1)], "domain", batch_size=10)
    first, second = tasks(2)
    learner.learn(first)
    kept = everything(learner)
    with pytest.raises(ValueError, match="Expected more than 1 value per channel when training"):
        learner.learn(second)
    assert same(everything(learner), kept)


def test_a_loss_that_diverges_is_the_loops_to_report() -> None:
    learner = small(GEM(examples_per_task=20))
    first, second = tasks(2)
    learner.learn(first)
    with pytest.raises(NonFiniteError, match="training with GEM"):
        learner.learn(second, optimizer=sgd(1e30), epochs=20)
    assert learner.tasks == ["task 0"]
    learner.learn(second)


# What it keeps


def test_each_task_keeps_its_number_of_examples_drawn_at_random() -> None:
    learner = small(GEM(examples_per_task=20), scenario="class")
    given = [blobs("large", seed=0, size=60), blobs("small", seed=1, size=12, classes=("a", "b", "c"))]
    for task in given:
        learner.learn(task)
    kept = gem_of(learner).memories
    assert [len(memory) for memory in kept] == [20, 12]
    for memory, task in zip(kept, given, strict=True):
        places = [int((task.train.x == x).all(1).nonzero()) for x in memory.x[: len(memory)]]
        assert len(set(places)) == len(places)
        assert learner.examples_of(task).y[places].tolist() == memory.y[: len(memory)].tolist()
    assert sorted(places) == list(range(12))
    first = [int((given[0].train.x == x).all(1).nonzero()) for x in kept[0].x]
    assert sorted(first) not in (list(range(20)), list(range(40, 60)))


def test_what_is_kept_is_counted_and_saved(tmp_path: Path) -> None:
    learner = small(GEM(examples_per_task=20))
    assert learner.kept_bytes() == 0
    for task in tasks(2):
        learner.learn(task)
    assert learner.kept_bytes() >= 2 * 20 * (4 * FEATURES + 8)
    learner.save(tmp_path)
    again = Learner.open(tmp_path)
    assert same(everything(learner), everything(again))
    last = blobs("last", seed=9)
    learner.learn(last)
    again.learn(last)
    assert same(everything(learner), everything(again))


def test_the_room_for_gradients_is_given_back_at_the_tasks_end() -> None:
    learner = small(GEM(examples_per_task=20))
    for task in tasks(2):
        learner.learn(task)
    assert gem_of(learner)._constraints is None


def test_earlier_heads_are_trained_again_only_with_a_memory() -> None:
    for examples, names in ((20, {"heads.layers.0.weight", "heads.layers.1.weight"}), (0, {"heads.layers.1.weight"})):
        learner = small(GEM(examples_per_task=examples), scenario="task")
        for task in tasks(2):
            learner.learn(task)
        assert {name for name in learner.trained() if name.endswith("weight") and "heads" in name} == names


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"examples_per_task": -1}, "GEM: examples_per_task is -1; expected an integer >= 0, where 0 is fine-tuning"),
        ({"examples_per_task": 2.5}, "GEM: examples_per_task is 2.5; expected an integer >= 0, where 0 is fine-tuning"),
        ({"margin": -0.5}, "GEM: margin is -0.5; expected a finite number >= 0"),
        ({"margin": "half"}, "GEM: margin is 'half'; expected a finite number >= 0"),
        ({"ridge": float("inf")}, "GEM: ridge is inf; expected a finite number >= 0"),
        ({"ridge": float("nan")}, "GEM: ridge is nan; expected a finite number >= 0"),
    ],
)
def test_bad_arguments(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(MethodError) as error:
        GEM(**arguments)
    assert str(error.value) == message
