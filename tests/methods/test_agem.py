from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from lifelong.errors import MethodError, NonFiniteError
from lifelong.learner import Learner
from lifelong.methods import AGEM, GEM
from lifelong.models import MLP, ConvNet
from lifelong.tasks import Batch, Scenario, Task
from lifelong.testing.data import image_tasks
from toys import FEATURES, EditGradient, blobs, same, sgd, weights

WAITS = {"aten::_local_scalar_dense", "aten::nonzero", "aten::is_nonzero", "aten::item", "aten::equal", "aten::masked_select"}


def agem_of(learner: Learner) -> AGEM:
    return next(method for method in learner.methods if isinstance(method, AGEM))


def tasks(count: int) -> list[Task]:
    return [blobs(f"task {i}", seed=i) for i in range(count)]


def fresh(*methods: Any, scenario: Scenario = "domain") -> Learner:
    return Learner(MLP(FEATURES, [8]), methods, scenario, optimizer=sgd(0.1), batch_size=10)


@pytest.mark.parametrize("scenario", ["domain", "class", "task"])
def test_the_gradient_loses_its_conflict_with_the_reference(scenario: Scenario) -> None:
    """In every step of a third task the reference is computed again, from the same draw, and Eq. 11 by hand."""
    before: list[Tensor] = []
    draws: list[Tensor] = []
    seen: list[bool] = []

    def keep(learner: Learner) -> None:
        before.append(learner.theta.gradient.clone())
        draws.append(learner.generator(agem_of(learner)).get_state())

    def check(learner: Learner) -> None:
        generator = torch.Generator()
        generator.set_state(draws.pop())
        r = learner.gradient(agem_of(learner).memory.draw(16, generator)).double()
        g = before.pop().double()
        conflict = bool(g @ r < 0)
        expected = g - (g @ r) / (r @ r) * r if conflict else g
        torch.testing.assert_close(learner.theta.gradient.double(), expected, rtol=1e-4, atol=1e-6)
        assert conflict or torch.equal(learner.theta.gradient.double(), g)
        seen.append(conflict)

    given = [blobs(f"task {i}", seed=i, classes=[f"{i}{name}" for name in "abc"] if scenario == "class" else (0, 1, 2)) for i in range(3)]
    learner = fresh(AGEM(capacity=30, replayed=16), scenario=scenario)
    for task in given[:2]:
        learner.learn(task)
    learner.methods = [EditGradient(keep), *learner.methods, EditGradient(check)]
    learner._generators = [torch.Generator(), *learner._generators, torch.Generator()]
    learner.learn(given[2], epochs=5)
    assert True in seen
    assert False in seen or scenario == "class"  # the classes of the earlier tasks object to every step of new ones


class Waits(TorchDispatchMode):
    """Writes down the operations that a host waits for."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if function.name() in WAITS:
            self.found.append(function.name())
        return function(*args, **(kwargs or {}))


@pytest.mark.parametrize("network", ["mlp", "convnet"])
def test_a_step_waits_for_nothing(network: str) -> None:
    first, second = image_tasks(2, "domain")
    model = MLP(64, [8]) if network == "mlp" else ConvNet(1, [4])
    learner = Learner(model, [AGEM(capacity=20)], "domain", optimizer=sgd(0.1), batch_size=8)
    learner.learn(first)
    found: list[list[str]] = []

    class Watched(AGEM):
        def edit_gradient(self, learner: Learner, batch: Batch) -> None:
            with Waits() as waits:
                super().edit_gradient(learner, batch)
            found.append(waits.found)

    learner.methods[0].__class__ = Watched
    learner.learn(second)
    assert found[1:] == [[]] * 4  # the first step of a task looks up what the memory holds
    with Waits() as waits:
        float(torch.ones(()))
    assert waits.found == ["aten::_local_scalar_dense"]


def test_one_earlier_task_and_the_whole_memory_is_gem_without_a_margin() -> None:
    """Where the memory holds one example, every draw is all of it, and two methods do the same."""
    first, second = tasks(2)
    learners = [fresh(AGEM(capacity=1, replayed=1, policy="reservoir")), fresh(GEM(examples_per_task=1, margin=0.0, ridge=0.0))]
    for learner in learners:
        learner.learn(first)
    agem, gem = learners[0].methods[0], learners[1].methods[0]
    assert isinstance(agem, AGEM) and isinstance(gem, GEM)
    gem.memories[0].load_state_dict(agem.memory.state_dict())
    for learner in learners:
        learner.learn(second)
    torch.testing.assert_close(learners[0].theta.value, learners[1].theta.value, rtol=1e-4, atol=1e-6)
    tuned = fresh()
    for task in (first, second):
        tuned.learn(task)
    assert not torch.allclose(learners[0].theta.value, tuned.theta.value, rtol=1e-2)


def test_batch_norm_statistics_are_the_batches_own() -> None:
    first, second = image_tasks(2, "domain")
    learners = [Learner(ConvNet(1, [4]), [AGEM(capacity=capacity)], "domain", optimizer=sgd(0.1), batch_size=8) for capacity in (0, 16)]
    for learner in learners:
        learner.learn(first)
        learner.learn(second, steps=1)
    assert same(*(dict(learner.network.named_buffers()) for learner in learners))
    assert not same(*(weights(learner.network) for learner in learners))


@pytest.mark.parametrize(("policy", "held"), [("ring", [10, 10]), ("reservoir", None)])
def test_what_is_kept(policy: Any, held: list[int] | None) -> None:
    learner = fresh(AGEM(capacity=20, policy=policy))
    for task in tasks(2):
        learner.learn(task)
    memory = agem_of(learner).memory
    assert len(memory) == 20
    assert held is None or memory.task.bincount().tolist() == held
    assert learner.kept_bytes() >= 20 * (4 * FEATURES + 8)


def test_a_loss_that_diverges_is_the_loops_to_report() -> None:
    learner = fresh(AGEM(capacity=20))
    first, second = tasks(2)
    learner.learn(first)
    with pytest.raises(NonFiniteError, match="training with AGEM"):
        learner.learn(second, optimizer=sgd(1e30), epochs=20)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"replayed": 0}, "AGEM: replayed is 0; expected an integer >= 1 (capacity=0 is fine-tuning)"),
        ({"replayed": None}, "AGEM: replayed is None; expected an integer >= 1 (capacity=0 is fine-tuning)"),
        ({"capacity": -1}, "a memory's size is -1; expected an integer >= 0, where 0 keeps nothing"),
        ({"policy": "newest"}, "a memory's policy is 'newest'; expected 'reservoir' or 'ring'"),
    ],
)
def test_bad_arguments(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(MethodError) as error:
        AGEM(**arguments)
    assert str(error.value) == message
