"""Progressive networks: nothing is forgotten, bit for bit, and what was learned helps."""

import functools
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, cast

import pytest
import torch
from torch import Tensor, nn

from lifelong import streams
from lifelong.errors import GrowthError, MethodError, NonFiniteError, ScenarioError
from lifelong.growth import add_column, deepen, widen
from lifelong.learner import Learner
from lifelong.method import Method
from lifelong.methods import AGEM, DER, EWC, GEM, SI, Independent, LwF, Net2Net, Progressive, Replay
from lifelong.models import MLP, ConvNet
from lifelong.models.columns import Columns
from lifelong.models.heads import Heads
from lifelong.optimizers import OptimizerFactory
from lifelong.tasks import Batch, Task
from lifelong.testing.comparing import bits, die_at_checkpoint, differing, learned
from lifelong.testing.data import image_tasks
from toys import same, sgd, weights

OPTIMIZERS: dict[str, OptimizerFactory] = {
    "sgd": sgd(0.05),
    "momentum and decay": sgd(0.05, momentum=0.9, weight_decay=0.01),
    "adam": functools.partial(torch.optim.Adam, lr=0.01),
    "adamw": functools.partial(torch.optim.AdamW, lr=0.01, weight_decay=0.1),
}
NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "mlp": lambda: MLP(64, [16, 8]),
    "convnet": lambda: nn.Sequential(ConvNet(1, [4, 8]), nn.Dropout(0.3)),
}


def fresh(*methods: Method, network: str = "mlp", **settings: Any) -> Learner:
    return Learner(NETWORKS[network](), methods or [Progressive()], "task", **{"batch_size": 8, "optimizer": sgd(0.05), **settings})


def outputs(learner: Learner, tasks: Sequence[Task]) -> list[Tensor]:
    """Probabilities, and the network's logits when all of it is computed."""
    x = [task.train.x for task in tasks]  # type: ignore[attr-defined]
    predicted = [learner.predict_proba(each, task.name) for each, task in zip(x, tasks, strict=True)]
    return predicted + [learner.logits(each, task.name) for each, task in zip(x, tasks, strict=True)]


def alike(one: Sequence[Tensor], other: Sequence[Tensor]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


# Nothing is forgotten


@pytest.mark.parametrize("adapter", ["linear", "nonlinear"])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("network", NETWORKS)
def test_outputs_of_earlier_tasks_stay_bit_for_bit(network: str, optimizer: str, adapter: Any, tmp_path: Path) -> None:
    tasks = image_tasks(4, "task")
    learner = fresh(
        Progressive(adapter=adapter, width=0.5), network=network, optimizer=OPTIMIZERS[optimizer], epochs=2, reset_optimizer=False
    )
    before: list[list[Tensor]] = []
    for count, task in enumerate(tasks):
        learner.learn(task)
        before.append(outputs(learner, [task]))
        learner.save(tmp_path / "saved")
        learner = Learner.open(tmp_path / "saved", model=NETWORKS[network]())
        for earlier, expected in zip(tasks[: count + 1], before, strict=True):
            assert alike(outputs(learner, [earlier]), expected)
    assert learner.evaluate(tasks).backward_transfer == 0.0
    assert not torch.equal(learner.logits(tasks[0].train.x, tasks[1].name), before[0][1])  # type: ignore[attr-defined]


def test_what_is_trained_is_the_last_column_its_adapters_and_its_head() -> None:
    learner = learned(fresh(), image_tasks(3, "task"))
    names = ("features.columns.2.", "features.adapters.2.", "heads.layers.2.")
    everything = dict(learner.network.named_parameters())
    assert set(learner.trained()) == {name for name in everything if name.startswith(names)}
    assert all(parameter.requires_grad == name.startswith(names) for name, parameter in everything.items())
    assert learner.parameters_count() == sum(parameter.numel() for parameter in everything.values())
    assert learner.kept_bytes() == 0


def test_the_first_column_is_the_network_as_it_was_trained() -> None:
    first, second = image_tasks(2, "task")
    learner = learned(fresh(network="convnet"), [first])
    assert not isinstance(learner.network.features, Columns)
    alone = weights(learner.network.features)
    learner.learn(second)
    assert same(weights(cast(Columns, learner.network.features).columns[0]), alone)


def test_gradient_reaches_the_new_column_through_what_it_reads() -> None:
    """Without its own layers, a column still learns from what the first one computes."""
    first, second = image_tasks(2, "task")
    learner = learned(fresh(Progressive(adapter="linear"), epochs=5), [first])
    learner.grow(add_column(adapter="linear"))
    columns = cast(Columns, learner.network.features)
    x = second.train.x  # type: ignore[attr-defined]
    for parameter in columns.columns[1].parameters():
        nn.init.zeros_(parameter)
    columns(x)[:, 8:].sum().backward()
    assert cast(Any, columns.adapters[1])[0].weight.grad.any()
    assert columns.columns[0].layers[0].weight.grad is None  # type: ignore[union-attr, index]


# Its journal


def test_columns_are_in_the_journal_and_rebuilt_from_it(tmp_path: Path) -> None:
    tasks = image_tasks(3, "task")
    learner = learned(fresh(Progressive(width=0.5)), tasks)
    kinds = [operation["operation"] for operation in learner.journal]
    assert kinds == ["add_head", "add_column", "add_head", "add_column", "add_head"]
    added = [operation for operation in learner.journal if operation["operation"] == "add_column"]
    assert all(operation["width"] == 0.5 and operation["adapter"] == "nonlinear" for operation in added)
    assert added[0]["seed"] != added[1]["seed"]
    learner.save(tmp_path)
    opened = Learner.open(tmp_path)
    assert differing(bits(learner), bits(opened)) == []
    columns, again = cast(Columns, learner.network.features), cast(Columns, opened.network.features)
    assert (again.widths, again.ends) == (columns.widths, columns.ends) == ([8, 4, 4], [8, 16, 24])
    assert (opened.heads.starts, opened.heads.start, opened.heads.width) == ([0, 8, 16], 16, 8)
    frozen = {name for name, parameter in opened.network.named_parameters() if not parameter.requires_grad}
    assert frozen == {name for name, parameter in learner.network.named_parameters() if not parameter.requires_grad}
    assert [module.training for module in opened.network.modules()] == [module.training for module in learner.network.modules()]


@pytest.mark.parametrize("optimizer", ["momentum and decay", "adam"])
@pytest.mark.parametrize("network", NETWORKS)
def test_killed_in_a_task_that_has_grown_it_goes_on_bit_for_bit(network: str, optimizer: str, tmp_path: Path) -> None:
    *tasks, last = image_tasks(3, "task")
    settings: dict[str, Any] = {"network": network, "optimizer": OPTIMIZERS[optimizer], "epochs": 2, "reset_optimizer": False}
    never_stopped, stopped = (learned(fresh(Progressive(width=0.5), **settings), tasks) for _ in range(2))
    never_stopped.learn(last)
    die_at_checkpoint(stopped, last, tmp_path, 4)
    opened = Learner.open(tmp_path, model=NETWORKS[network]())
    assert opened.in_progress == last.name
    assert len(cast(Columns, opened.network.features).columns) == 3
    opened.learn(last)
    assert differing(bits(never_stopped), bits(opened)) == []


def test_a_task_that_fails_leaves_no_column() -> None:
    first, second = image_tasks(2, "task")
    learner = learned(fresh(), [first])
    before, journal = bits(learner), list(learner.journal)
    with pytest.raises(NonFiniteError):
        learner.learn(second, optimizer=sgd(1e30))
    assert differing(before, bits(learner)) == []
    assert learner.journal == journal
    assert all(parameter.requires_grad for parameter in learner.network.parameters())
    learner.learn(second)
    assert differing(bits(learner), bits(learned(fresh(), [first, second]))) == []


def test_other_seeds_give_other_columns() -> None:
    tasks = image_tasks(2, "task")
    one, other = (learned(fresh(seed=seed), tasks).network.state_dict() for seed in (0, 1))
    assert not torch.equal(one["features.columns.1.layers.0.weight"], other["features.columns.1.layers.0.weight"])


# What is learned helps


@pytest.mark.parametrize("adapter", ["linear", "nonlinear"])
def test_a_fifth_related_task_is_learned_in_fewer_steps(adapter: Any) -> None:
    """Digits, each task's a little further turned; steps until 60 % of the last one's test set are right."""
    tasks = list(streams.rotated_mnist(tasks=5, degrees=20.0, examples=1000))

    def steps_needed(learner: Learner) -> int:
        learner.learn(tasks[4], watch=[tasks[4]], watch_every=5, evaluate=False)
        accuracies = [each["accuracy"][tasks[4].name] for each in learner.watched]
        return 5 * next(i for i, accuracy in enumerate(accuracies, 1) if accuracy >= 0.6)

    def learner(*methods: Method) -> Learner:
        return Learner(MLP(784, [100, 50]), methods, "task", batch_size=10)

    progressive = learner(Progressive(adapter=adapter))
    for task in tasks[:4]:
        progressive.learn(task, evaluate=False)
    assert steps_needed(progressive) < 0.6 * steps_needed(learner())  # 30 and 95


# With others


@pytest.mark.parametrize(
    "other",
    [
        Replay(capacity=16),
        DER(capacity=16, beta=0.5),
        GEM(examples_per_task=4),
        AGEM(capacity=16),
        EWC(examples=8),
        SI(),
        LwF(warm_up=1),
        Net2Net(until_accuracy=2.0, max_growths=1),
    ],
    ids=lambda other: type(other).__name__,
)
@pytest.mark.parametrize("turned", [False, True], ids=["first", "last"])
def test_with_another_method_earlier_outputs_stay_all_the_same(other: Method, turned: bool) -> None:
    """Nothing that the others train or repeat reaches an earlier column or its head."""
    tasks = image_tasks(3, "task")
    learner = fresh(*([other, Progressive(width=0.5)] if turned else [Progressive(adapter="linear"), other]))
    before = []
    for task in tasks:
        learner.learn(task)
        before.append(outputs(learner, [task]))
    assert all(alike(outputs(learner, [task]), expected) for task, expected in zip(tasks, before, strict=True))


def test_repeated_examples_go_through_their_own_column() -> None:
    tasks = image_tasks(3, "task")
    learner = learned(fresh(), tasks)
    x = torch.cat([task.train.x[:4] for task in tasks])  # type: ignore[attr-defined]
    heads = torch.arange(3).repeat_interleave(4)
    with torch.no_grad():
        mixed = learner.network.eval()(x, heads)
    expected = torch.cat([learner.logits(task.train.x[:4], task.name) for task in tasks])  # type: ignore[attr-defined]
    assert torch.allclose(mixed, expected, atol=1e-6)
    old = learner.gradient(Batch(x[:4], torch.zeros(4, dtype=torch.int64), 0))
    assert not old.any()


def test_a_column_by_hand_without_the_method() -> None:
    """learner.grow(add_column()) between tasks: what was learned is frozen, and the next task has the new column."""
    tasks = image_tasks(2, "task")
    learner = Learner(NETWORKS["convnet"](), [], "task", batch_size=8)
    learner.learn(tasks[0])
    before = learner.predict_proba(tasks[0].train.x, tasks[0].name)  # type: ignore[attr-defined]
    learner.grow(add_column(0.5, adapter="linear", seed=3))
    learner.learn(tasks[1])
    assert torch.equal(learner.predict_proba(tasks[0].train.x, tasks[0].name), before)  # type: ignore[attr-defined]
    assert learner.heads.place(1) == (0, 8 + 4)


def test_the_last_column_can_be_widened_and_the_next_one_reads_all_of_it() -> None:
    *tasks, last = image_tasks(3, "task")
    learner = learned(fresh(), tasks)
    before = outputs(learner, tasks)
    learner.grow(widen("columns.1.layers.0", 20))
    assert all(torch.allclose(a, b, atol=1e-5) for a, b in zip(before, outputs(learner, tasks), strict=True))
    learner.learn(last)
    adapter = cast(Any, cast(Columns, learner.network.features).adapters[2])[0]
    assert adapter[0].projection.in_features == 16 + 20


# Errors


@pytest.mark.parametrize("scenario", ["domain", "class"])
def test_it_needs_to_be_told_the_task(scenario: Any) -> None:
    learner = Learner(MLP(64, [8]), [Progressive()], scenario)
    with pytest.raises(ScenarioError, match=re.escape(f"must be told which: use scenario='task', not {scenario!r}")):
        learner.learn(image_tasks(1, scenario)[0])
    learner = Learner(MLP(64, [8]), [], scenario)
    learner.learn(image_tasks(1, scenario)[0])
    with pytest.raises(GrowthError, match=re.escape(f"in the scenario 'task' only, and this is {scenario!r}")):
        learner.grow(add_column())


def test_predicting_without_the_task_says_which_there_are() -> None:
    tasks = image_tasks(2, "task")
    with pytest.raises(ScenarioError, match=re.escape("predict(x, task=...). Known: task 0, task 1")):
        learned(fresh(), tasks).predict(tasks[0].train.x)  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"width": 0}, "Progressive: width is 0; expected a share of the first column's widths > 0, as 0.5 for half of them"),
        ({"width": float("inf")}, "Progressive: width is inf; expected a share"),
        ({"width": "half"}, "Progressive: width is 'half'; expected a share"),
        ({"adapter": "lineal"}, "Progressive: adapter is 'lineal'; did you mean 'linear'? Known: linear, nonlinear"),
    ],
)
def test_arguments_that_make_no_sense(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(MethodError, match=re.escape(message)):
        Progressive(**arguments)


def test_a_network_without_columns_says_so_and_stays() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(64, 64)

        def forward(self, x: Tensor) -> Tensor:
            features: Tensor = self.layer(self.layer(x.flatten(1)))
            return features

    first, second = image_tasks(2, "task")
    learner = Learner(Twice(), [Progressive()], "task")
    learner.learn(first)
    before = bits(learner)
    with pytest.raises(GrowthError, match="layer 'layer' is called 2 times"):
        learner.learn(second)
    assert differing(before, bits(learner)) == []


def test_columns_get_no_deeper_and_two_predictions_do_not_go_together() -> None:
    learner = learned(fresh(), image_tasks(2, "task"))
    with pytest.raises(GrowthError, match=re.escape("nothing can be put behind 'columns.1.layers.0': columns must stay alike. Use deepen")):
        learner.grow(deepen("columns.1.layers.0"))
    with pytest.raises(MethodError, match="Progressive and Independent both replace the prediction"):
        fresh(Progressive(), Independent())


# The moment before the head


def test_prepare_task_comes_before_the_head_and_begin_task_after_it() -> None:
    seen: list[tuple[str, int]] = []

    class Seeing(Method):
        def prepare_task(self, learner: Learner, task: Task) -> None:
            seen.append((f"prepare {task.name}", len(learner.heads.layers)))

        def begin_task(self, learner: Learner, task: Task) -> None:
            seen.append((f"begin {task.name}", len(learner.heads.layers)))

    learned(fresh(Seeing()), image_tasks(2, "task"))
    assert seen == [("prepare task 0", 0), ("begin task 0", 1), ("prepare task 1", 1), ("begin task 1", 2)]


def test_heads_read_their_part_of_the_features() -> None:
    heads = Heads(3, "task", 0)
    heads.admit("one", ["a", "b"])
    heads.start, heads.width = 1, 4
    heads.admit("two", ["a"])
    assert [heads.place(head) for head in (0, 1)] == [(0, 3), (1, 5)]
    features = torch.randn(6, 5)
    one, two = (cast(nn.Linear, layer) for layer in heads.layers)
    assert torch.equal(heads(features, 0), nn.functional.linear(features[:, :3].contiguous(), one.weight, one.bias))
    assert torch.equal(heads(features, 1), nn.functional.linear(features[:, 1:5].contiguous(), two.weight, two.bias))
    mixed = heads(features, torch.tensor([0, 1, 1, 0, 1, 0]))
    assert torch.allclose(mixed[[0, 3, 5]], heads(features, 0)[[0, 3, 5]])
    assert torch.allclose(mixed[[1, 2, 4], :1], heads(features, 1)[[1, 2, 4]])
    assert torch.isneginf(mixed[[1, 2, 4], 1]).all()
