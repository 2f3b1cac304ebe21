"""Independent networks of which each is the best of several, by training loss."""

import functools
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from faults.small import halted, own_network, tasks
from lifelong.errors import MethodError
from lifelong.learner import Learner
from lifelong.methods import Independent
from lifelong.tasks import Scenario, Task
from toys import same, sgd, weights

ADAM = functools.partial(torch.optim.Adam, lr=0.03)


class Watched(Independent):
    """Notes every attempt's first and last weights, and its loss, computed here from the outputs."""

    def __init__(self, *, start: Any = "first", attempts: int = 1) -> None:
        super().__init__(start=start, attempts=attempts)
        self.starts: list[dict[str, Tensor]] = []
        self.ends: list[dict[str, Tensor]] = []
        self.found: list[float] = []

    def begin_round(self, learner: Learner) -> None:
        self.starts.append(weights(learner.network))

    def another_round(self, learner: Learner, task: Task) -> dict[str, Any] | None:
        self.ends.append(weights(learner.network))
        examples = learner.examples_of(task)
        self.found.append(float(cross_entropy(learner.logits(examples.x, task.name).double(), examples.y)))
        return super().another_round(learner, task)


def learner_of(method: Independent, scenario: Scenario = "domain", **settings: Any) -> Learner:
    return Learner(own_network(), [method], scenario, **{"batch_size": 4, "optimizer": ADAM, "epochs": 3, "seed": 2, **settings})


def outputs(learner: Learner, made: list[Task]) -> list[Tensor]:
    return [learner.predict_proba(task.train.x, task.name) for task in made]


@pytest.mark.parametrize("start", ["first", "previous"])
@pytest.mark.parametrize("scenario", ["domain", "task"])
def test_the_network_with_the_lowest_training_loss_is_kept(scenario: Scenario, start: Any) -> None:
    made = tasks(scenario)
    learner = learner_of(Watched(start=start, attempts=4), scenario)
    best = []
    for task in made:
        learner.learn(task)
        method = learner.methods[0]
        assert isinstance(method, Watched)
        losses = method.found[-4:]
        assert len(set(losses)) == 4
        best.append(method.ends[-4:][losses.index(min(losses))])
        assert same(weights(learner.network), best[-1])
        assert method.losses == []
    assert len(method.found) == 12
    assert learner.cost.steps == 3 * 4 * 15
    for task, kept, output in zip(made, best, outputs(learner, made), strict=True):
        other = learner_of(Independent(), scenario)
        for each in made:
            other.learn(each, epochs=1)
        other.network.load_state_dict({**other.network.state_dict(), **kept})
        assert torch.equal(other.logits(task.train.x, task.name).softmax(1), output)


@pytest.mark.parametrize("start", ["first", "previous"])
@pytest.mark.parametrize("scenario", ["domain", "task"])
def test_every_attempt_starts_from_the_same_weights(scenario: Scenario, start: Any) -> None:
    learner = learner_of(Watched(start=start, attempts=3), scenario)
    for position, task in enumerate(tasks(scenario)):
        before = weights(learner.network) if position else {}
        learner.learn(task)
        method = learner.methods[0]
        assert isinstance(method, Watched)
        own = f"heads.layers.{learner.heads.find(task.name)}."
        starts = [
            {name: value for name, value in each.items() if not name.startswith("heads.") or name.startswith(own)}
            for each in method.starts[-3:]
        ]
        assert same(starts[0], starts[1])
        assert same(starts[0], starts[2])
        if start == "previous" and position:
            assert all(torch.equal(starts[0][name], value) for name, value in before.items() if name in starts[0])
        if start == "first" and position and scenario == "domain":
            assert same(starts[0], {name: method.starts[0][name] for name in starts[0]})


def test_one_attempt_is_training_as_ever() -> None:
    once, plain = learner_of(Independent(attempts=1)), learner_of(Independent())
    for task in tasks("domain"):
        for learner in (once, plain):
            learner.learn(task)
    assert same(weights(once.network), weights(plain.network))
    assert not once.methods[0].overrides("another_round")
    assert learner_of(Independent(attempts=2)).methods[0].overrides("another_round")


def test_the_first_of_several_attempts_is_the_only_one_of_one() -> None:
    several, one = learner_of(Watched(attempts=3)), learner_of(Independent())
    first = tasks("domain")[0]
    several.learn(first)
    one.learn(first)
    method = several.methods[0]
    assert isinstance(method, Watched)
    assert same(method.ends[0], weights(one.network))


@pytest.mark.parametrize("saves", [7, 20, 40])
def test_halted_in_any_attempt_it_goes_on_the_same(saves: int, tmp_path: Path) -> None:
    """Each attempt has 15 steps, after each of which it is saved."""
    first, second, _ = tasks("domain")
    whole, part = (learner_of(Independent(attempts=3), optimizer=sgd(0.1)) for _ in range(2))
    for learner in (whole, part):
        learner.learn(first)
    whole.learn(second)
    halted(part, second, tmp_path / "part.life", saves)
    opened = Learner.open(tmp_path / "part.life", model=own_network())
    opened.learn(second)
    assert same(weights(opened.network), weights(whole.network))
    assert opened.cost.steps == whole.cost.steps
    assert all(torch.equal(a, b) for a, b in zip(outputs(opened, [first, second]), outputs(whole, [first, second]), strict=True))


@pytest.mark.parametrize("attempts", [0, 2.0, None])
def test_a_wrong_number_is_refused(attempts: Any) -> None:
    text = rf"^Independent: attempts is {attempts!r}; expected an integer >= 1, where 1 trains each task once$"
    with pytest.raises(MethodError, match=text):
        Independent(attempts=attempts)
