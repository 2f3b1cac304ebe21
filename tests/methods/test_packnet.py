import functools
import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from lifelong.errors import Interrupted, MethodError, ScenarioError
from lifelong.growth import deepen, widen
from lifelong.learner import Learner
from lifelong.method import Method
from lifelong.methods import EWC, SI, Joint, LwF, PackNet, Replay
from lifelong.methods.packnet import prunable
from lifelong.models import MLP, ConvNet
from lifelong.models.drawing import draw_like_torch
from lifelong.optimizers import OptimizerFactory
from lifelong.tasks import Batch, Task
from lifelong.testing.comparing import bits, die_at_checkpoint, differing, learned, weights
from lifelong.testing.data import image_tasks, vector_tasks
from toys import AfterStep, EditGradient, blobs, sgd

ADAM: OptimizerFactory = functools.partial(torch.optim.Adam, lr=0.01, weight_decay=0.1)
ADAMW: OptimizerFactory = functools.partial(torch.optim.AdamW, lr=0.01, weight_decay=0.1)
MOMENTUM = sgd(0.05, momentum=0.9, weight_decay=0.1)


def packnet_of(learner: Learner) -> PackNet:
    return next(method for method in learner.methods if isinstance(method, PackNet))


def owners(learner: Learner) -> dict[str, Tensor]:
    return {name: owner.clone() for name, owner in packnet_of(learner).owner.items()}


def smooth(*sizes: int) -> nn.Sequential:
    """A network whose units are never dead, so that no weight keeps the 0 that it starts at."""
    model = nn.Sequential(*(layer for a, b in itertools.pairwise(sizes) for layer in (nn.Linear(a, b), nn.Tanh())))
    draw_like_torch(model, 0)
    return model


def outputs(learner: Learner, tasks: list[Task]) -> dict[str, Tensor]:
    return {task.name: learner.predict_proba(task.train.x, task.name) for task in tasks}


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return all(torch.equal(one[name], other[name]) for name in one.keys() & other.keys())


class Mixing(Method):
    """Looks at the learner before each step's forward pass."""

    def __init__(self, action: Any) -> None:
        super().__init__()
        self.action = action

    def mix(self, learner: Learner, batch: Batch) -> Batch:
        self.action(learner)
        return batch


# Which weights are pruned


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.tuples(st.integers(-6, 6), st.booleans()), min_size=1, max_size=24),
    st.floats(0, 1, exclude_max=True),
)
def test_the_cut_off_is_that_of_a_sorted_list(pairs: list[tuple[int, bool]], share: float) -> None:
    """Small integers, so that many are equal."""
    weight, own = (np.array(each) for each in zip(*pairs, strict=True))
    magnitudes = sorted(abs(value) for value, mine in pairs if mine)
    rank = round(share * len(magnitudes))
    expected = own & (np.abs(weight) <= magnitudes[rank - 1]) if rank else np.zeros_like(own)
    got = prunable(torch.tensor(weight, dtype=torch.float32), torch.tensor(own), share)
    assert got.tolist() == expected.tolist()


def test_of_different_weights_the_share_is_pruned_in_every_layer() -> None:
    """Each layer of its own, each task's share of what was free at its start; neither heads nor biases."""
    learner = Learner(smooth(12, 10, 7), [PackNet(prune=0.6)], "task", optimizer=sgd(0.3))
    free = {"features.0.weight": 120, "features.2.weight": 70}
    for t, task in enumerate(vector_tasks(3, 0, size=40)):
        learner.learn(task)
        assert owners(learner).keys() == free.keys()
        for name, owner in owners(learner).items():
            taken = free[name] - round(0.6 * free[name])
            assert int((owner == t + 1).sum()) == taken
            free[name] -= taken
            assert int((owner == 0).sum()) == free[name]
            weight = learner.network.get_parameter(name)
            assert not weight[owner == 0].any()
            assert weight[owner != 0].all()


def by_hand(learner: Learner, tasks: list[Task]) -> tuple[Any, Any]:
    """The algorithm with plain numpy masks over a copy of the model, whole sets as batches: final weights and owners."""
    prune, epochs, again, rate = 0.5, 6, 3, 0.5
    model = smooth(12, 6, 5)
    owner = {name: np.zeros(p.shape, dtype=int) for name, p in model.named_parameters() if p.ndim > 1}
    for t, task in enumerate(tasks, 1):
        head = learner.heads.untrained(t - 1)
        trainable = {name: owner[name] == 0 if name in owner else np.full(p.shape, t == 1) for name, p in model.named_parameters()}
        for part in (epochs, again):
            for _ in range(part):
                parameters = dict(model.named_parameters())
                loss = cross_entropy(head(model(task.train.x)), task.train.y)
                *gradients, weight, bias = torch.autograd.grad(loss, [*parameters.values(), head.weight, head.bias])
                with torch.no_grad():
                    for (name, parameter), gradient in zip(parameters.items(), gradients, strict=True):
                        parameter.sub_(rate * gradient * torch.from_numpy(trainable[name]))
                    head.weight -= rate * weight
                    head.bias -= rate * bias
            if part == epochs:
                for name, p in model.named_parameters():
                    if name in owner:
                        values = p.detach().numpy()
                        mine = np.abs(values[owner[name] == 0])
                        survive = (owner[name] == 0) & (np.abs(values) > np.sort(mine)[round(prune * mine.size) - 1])
                        values[(owner[name] == 0) & ~survive] = 0
                        owner[name][survive] = t
                        trainable[name] = survive
    return dict(model.named_parameters()), owner


def test_equals_a_loop_written_by_hand() -> None:
    """Training of the free weights with the earlier tasks' in the forward pass, pruning, retraining of the survivors; three tasks."""
    tasks = vector_tasks(3, 0, size=40)
    learner = Learner(smooth(12, 6, 5), [PackNet(prune=0.5, retrain=0.5)], "task", optimizer=sgd(0.5), epochs=6, batch_size=40)
    learned(learner, tasks)
    expected, owner = by_hand(learner, tasks)
    for name, mine in owners(learner).items():
        assert mine.tolist() == owner[name.removeprefix("features.")].tolist()
        assert set(mine.unique().tolist()) == {0, 1, 2, 3}
    for name, parameter in learner.network.features.named_parameters():
        assert torch.allclose(parameter, expected[name], rtol=1e-4, atol=1e-6), name


def test_a_task_predicts_with_the_weights_of_its_owners_only() -> None:
    tasks = vector_tasks(3, 0, size=40)
    learner = learned(Learner(smooth(12, 8), [PackNet(prune=0.5)], "task"), tasks)
    layer, x = learner.network.features[0], tasks[0].train.x  # type: ignore[index]
    for t, task in enumerate(tasks, 1):
        owner = owners(learner)["features.0.weight"]
        weight = layer.weight.detach().numpy() * np.isin(owner.numpy(), range(1, t + 1))
        features = np.tanh(x.numpy() @ weight.T + layer.bias.detach().numpy())
        head: Any = learner.heads.layers[t - 1]
        expected = torch.from_numpy(features @ head.weight.detach().numpy().T + head.bias.detach().numpy()).softmax(1)
        assert torch.allclose(learner.predict_proba(x, task.name), expected, atol=1e-5)


def test_nothing_pruned_and_not_retrained_the_first_task_is_fine_tuning() -> None:
    (task,) = image_tasks(1, "task")

    def trained(*methods: Method) -> dict[str, Tensor]:
        return weights(learned(Learner(ConvNet(1, [4, 8]), methods, "task", optimizer=MOMENTUM, batch_size=8), [task]))

    assert differing(trained(PackNet(prune=0, retrain=0)), trained()) == []
    assert differing(trained(PackNet(prune=0.5, retrain=0)), trained()) != []


# Earlier tasks' outputs


def networks() -> dict[str, nn.Module]:
    norm = nn.Sequential(nn.Flatten(0, 0), MLP(64, [16]), nn.BatchNorm1d(16), nn.Linear(16, 12, bias=False), nn.ReLU())
    return {"mlp": MLP(64, [16, 12]), "convnet": ConvNet(1, [6, 8]), "batch norm in between": norm}


@pytest.mark.parametrize("optimizer", [sgd(0.1), MOMENTUM, ADAM, ADAMW], ids=["sgd", "momentum", "adam", "adamw"])
@pytest.mark.parametrize("network", networks())
def test_earlier_outputs_stay_bit_for_bit(network: str, optimizer: OptimizerFactory, tmp_path: Path) -> None:
    """After later tasks, saved, opened and gone on with; with dropout, batch norm, momentum and weight decay."""
    model = nn.Sequential(networks()[network], nn.Dropout(0.2))
    learner = Learner(model, [PackNet(prune=0.6)], "task", optimizer=optimizer, epochs=2, batch_size=8, reset_optimizer=False)
    tasks = image_tasks(4, "task")
    said: dict[str, Tensor] = {}
    for t, task in enumerate(tasks):
        before = weights(learner) if t else {}
        learner.learn(task)
        assert same(said, outputs(learner, tasks[:t]))
        changed = differing(before, weights(learner)) if t else []
        assert not t or f"network/{next(iter(packnet_of(learner).owner))}" in changed, "the later task trains"
        assert t < 2 or all(name.endswith("weight") for name in changed if name.startswith("network/features"))
        said |= outputs(learner, [task])
        learner.evaluate(tasks[: t + 1])
        learner.save(tmp_path)
        learner = Learner.open(tmp_path, model=model)
        assert same(said, outputs(learner, tasks[: t + 1]))
    matrix = learner.matrix
    assert matrix.backward_transfer == 0.0
    for t in range(4):
        assert (matrix.values[t + 1 :, t] == matrix.values[t + 1, t]).all()


def test_single_inputs_are_answered_with_the_same_bits_wherever_in_memory_the_weights_are(tmp_path: Path) -> None:
    """A head begins at an odd place in the first task's theta, and elsewhere when it is opened after a second one."""
    first, second = (blobs(name, seed=seed, classes=range(10)) for seed, name in enumerate(("first", "second")))
    learner = Learner(MLP(6, [7, 100]), [PackNet()], "task")

    def answers() -> Tensor:
        return torch.cat([learner.predict_proba(x, first.name) for x in torch.split(first.train.x, 1)])

    learner.learn(first)
    said = answers()
    learner.learn(second)
    assert torch.equal(said, answers())
    place = learner.heads.layers[0].weight.data_ptr() % 64  # type: ignore[union-attr, operator]
    learner.save(tmp_path)
    learner = Learner.open(tmp_path)
    assert learner.heads.layers[0].weight.data_ptr() % 64 != place  # type: ignore[union-attr, operator]
    assert torch.equal(said, answers())


def test_earlier_weights_are_held_in_every_step() -> None:
    """And the pruned ones at 0 in the retraining. Batch norm is in evaluation mode from the second task on, its statistics stay."""
    pruned: list[bool] = []
    held: dict[str, Tensor] = {}
    owned: dict[str, Tensor] = {}

    def look(learner: Learner) -> None:
        packnet = packnet_of(learner)
        pruned.append(bool(packnet.pruned))
        for name, parameter in learner.network.named_parameters():
            if name in owned:
                assert torch.equal(parameter[owned[name] > 0], held[name][owned[name] > 0])
            elif name in held:
                assert torch.equal(parameter, held[name])
            if packnet.pruned and name in packnet.owner:
                assert not parameter[packnet.owner[name] == 0].any()
        for name, buffer in learner.network.named_buffers():
            assert name not in held or torch.equal(buffer, held[name])
        modes = {type(module).__name__: module.training for module in learner.network.features.modules()}
        assert modes["BatchNorm2d"] is not bool(learner.tasks)
        assert modes["Conv2d"]
        assert modes["Dropout"]

    model = nn.Sequential(ConvNet(1, [6, 8]), nn.Dropout(0.2))
    learner = Learner(model, [PackNet(prune=0.6), Mixing(look)], "task", optimizer=MOMENTUM, epochs=2, batch_size=12)
    for task in image_tasks(3, "task"):
        learner.learn(task)
        held = {name: value.clone() for name, value in learner.network.state_dict().items()}
        owned = owners(learner)
    assert pruned == 3 * [*6 * [False], *3 * [True]]


def test_held_weights_have_no_gradient() -> None:
    """So that the gradient's norm, which is clipped, is that of the weights that are trained."""
    seen: list[Tensor] = []
    learner = Learner(smooth(12, 8), [PackNet(), EditGradient(lambda learner: seen.append(learner.theta.gradient.clone()))], "task")
    first, second = vector_tasks(2, 0, size=40)
    learner.learn(first)
    free = owners(learner)["features.0.weight"] == 0
    seen.clear()
    learner.learn(second)
    before = [learner.theta.layout.split(gradient)["features.0.weight"] for gradient in seen[:2]]  # the rest is retraining
    assert all(gradient[free].all() and not gradient[~free].any() for gradient in before)


def test_an_evaluation_inside_a_task_finds_earlier_ones_as_they_were() -> None:
    tasks = vector_tasks(3, 0, size=60)
    learner = Learner(MLP(12, [16]), [PackNet()], "task", optimizer=sgd(0.5, momentum=0.9), epochs=3)
    for task in tasks:
        learner.learn(task, watch=tasks[: len(learner.tasks)] or (), watch_every=1)
    learner.evaluate(tasks)
    for each in learner.watched:
        for name, accuracy in each["accuracy"].items():
            assert accuracy == learner.matrix.values[-1, learner.tasks.index(name)]


def test_fine_tuning_forgets_where_it_does_not() -> None:
    tasks = vector_tasks(5, 0, size=200)

    def measured(*methods: Method) -> Any:
        return learned(Learner(MLP(12, [16, 8]), methods, "task", optimizer=sgd(0.5), epochs=10), tasks).evaluate(tasks)

    kept, lost = measured(PackNet(prune=0.6)), measured()
    assert kept.backward_transfer == 0.0
    assert lost.backward_transfer < -0.06
    assert kept.accuracy > 0.96


def test_layers_that_are_frozen_already_serve_every_task() -> None:
    """As a trained feature extractor does."""
    model = smooth(12, 10, 8)
    model[0].requires_grad_(False)
    learner = Learner(model, [PackNet(prune=0.5)], "task")
    first, second = vector_tasks(2, 0, size=40)
    learner.learn(first)
    said = outputs(learner, [first])
    learner.learn(second)
    assert list(owners(learner)) == ["features.2.weight"]
    assert torch.equal(learner.network.get_parameter("features.0.weight"), model[0].weight)
    assert same(said, outputs(learner, [first]))


def test_normalisation_with_weights_of_two_dimensions_is_not_pruned() -> None:
    model = nn.Sequential(nn.LayerNorm([8, 8]), nn.Flatten(), nn.Linear(64, 6))
    learner = Learner(model, [PackNet()], "task", optimizer=sgd(0.5))
    first, second = image_tasks(2, "task")
    learner.learn(first)
    norm = learner.network.get_parameter("features.0.weight").clone()
    learner.learn(second)
    assert list(owners(learner)) == ["features.2.weight"]
    assert not torch.equal(norm, model[0].weight)
    assert torch.equal(norm, learner.network.get_parameter("features.0.weight"))


# Rounds


@pytest.mark.parametrize(
    ("training", "retrain", "steps"),
    [
        ({"epochs": 4}, 0.5, 4 * 3 + 2 * 3),
        ({"epochs": 1}, 0.1, 3 + 3),
        ({"epochs": 2}, 0, 2 * 3),
        ({"steps": 10}, 0.3, 10 + 3),
        ({"steps": 2}, 2.0, 2 + 4),
    ],
)
def test_the_length_of_the_retraining(training: dict[str, int], retrain: float, steps: int) -> None:
    (task,) = vector_tasks(1, 0, size=30)
    learner = Learner(MLP(12, [8]), [PackNet(retrain=retrain)], "task", batch_size=10, **training)  # type: ignore[arg-type]
    learner.learn(task)
    assert learner.cost.steps == steps
    assert not packnet_of(learner).pruned


@pytest.mark.parametrize("number", [2, 8])
def test_killed_inside_either_round_it_goes_on(number: int, tmp_path: Path) -> None:
    *tasks, last = image_tasks(3, "task")
    whole, stopped = (
        learned(Learner(ConvNet(1, [6, 8]), [PackNet(prune=0.6)], "task", optimizer=ADAM, epochs=2, batch_size=12), tasks) for _ in range(2)
    )
    die_at_checkpoint(stopped, last, tmp_path, number)
    opened = Learner.open(tmp_path)
    assert bool(packnet_of(opened).pruned) is (number > 6)
    whole.learn(last)
    opened.learn(last)
    assert differing(bits(whole), bits(opened)) == []


def test_stopped_inside_a_task_it_predicts_earlier_ones_as_before() -> None:
    def stop(learner: Learner) -> None:
        if learner.tasks:
            import signal

            signal.raise_signal(signal.SIGINT)

    first, second = vector_tasks(2, 0, size=40)
    learner = Learner(MLP(12, [8]), [PackNet(), Mixing(stop)], "task")
    learner.learn(first)
    said = outputs(learner, [first])
    with pytest.raises(Interrupted):
        learner.learn(second)
    assert learner.in_progress == second.name
    assert same(said, outputs(learner, [first]))


def test_every_round_begins_in_training_mode() -> None:
    """The moment `begin_round`, on which the held weights and modes depend: for each round, and again on going on inside one."""
    begun: list[tuple[int, bool, bool]] = []

    class Beginning(Method):
        def begin_round(self, learner: Learner) -> None:
            begun.append((len(learner.tasks), learner.network.training, bool(packnet_of(learner).pruned)))

    def stop(learner: Learner) -> None:
        if packnet_of(learner).pruned and len(begun) == 2:
            import signal

            signal.raise_signal(signal.SIGINT)

    first, second = vector_tasks(2, 0, size=40)
    learner = Learner(MLP(12, [8]), [Mixing(stop), PackNet(), Beginning()], "task")
    with pytest.raises(Interrupted):
        learner.learn(first)
    learner.learn(first)
    learner.learn(second)
    assert begun == [(0, True, False), (0, True, True), (0, True, True), (1, True, False), (1, True, True)]


# With others


@pytest.mark.parametrize(
    "others",
    [
        [EWC(strength=10.0, examples=10)],
        [EWC(strength=0.1, examples=10, step="additive")],
        [SI(strength=1.0)],
        [LwF()],
        [Replay(capacity=20)],
        [EWC(examples=10), Replay(capacity=20)],
    ],
    ids=lambda others: " + ".join(type(method).__name__ for method in others),
)
def test_earlier_outputs_stay_with_other_methods(others: list[Method], tmp_path: Path) -> None:
    """Heads that another method trains again are held, too; and together they are saved and go on."""
    *tasks, last = image_tasks(4, "task")
    model = nn.Sequential(ConvNet(1, [6, 8]), nn.Dropout(0.2))
    learner = Learner(model, [*others, PackNet(prune=0.6)], "task", optimizer=MOMENTUM, epochs=2, batch_size=8)
    said: dict[str, Tensor] = {}
    for task in tasks:
        learner.learn(task)
        said |= outputs(learner, [task])
    assert same(said, outputs(learner, tasks))
    learner.save(tmp_path)
    opened = Learner.open(tmp_path, model=model)
    for each in (learner, opened):
        each.learn(last)
        assert same(said, outputs(each, tasks))
    assert differing(bits(learner), bits(opened)) == []


@pytest.mark.parametrize("operation", [widen("layers.0", 14), deepen("layers.0")], ids=["widen", "deepen"])
def test_it_follows_a_network_that_grows(operation: dict[str, Any], tmp_path: Path) -> None:
    """Growing changes earlier outputs by rounding only, and no task after it changes them at all."""
    tasks = vector_tasks(4, 0, size=80)
    learner = Learner(MLP(12, [10, 10]), [PackNet(prune=0.6)], "task", optimizer=MOMENTUM, epochs=3)
    learned(learner, tasks[:2])
    before = outputs(learner, tasks[:2])
    learner.grow(operation)
    said = outputs(learner, tasks[:2])
    assert all(torch.allclose(said[name], before[name], atol=1e-5) for name in before)
    named = dict(learner.network.named_parameters())
    assert {name: owner.shape for name, owner in owners(learner).items()} == {name: named[name].shape for name in owners(learner)}
    assert {name for name in named if name.startswith("features.") and named[name].ndim > 1} == owners(learner).keys()
    for task in tasks[2:]:
        learner.save(tmp_path)
        learner = Learner.open(tmp_path)
        learner.learn(task)
        assert same(said, outputs(learner, tasks[:2]))


def test_a_layer_added_by_growth_belongs_to_the_tasks_before_where_it_passes_on() -> None:
    learner = learned(Learner(MLP(12, [10, 10]), [PackNet(prune=0.6)], "task"), vector_tasks(1, 0, size=40))
    learner.grow(deepen("layers.0"))
    assert torch.equal(owners(learner)["features.layers.0.2.weight"], torch.eye(10, dtype=torch.uint8))


# What it keeps and shows


def test_it_keeps_a_byte_a_weight() -> None:
    learner = learned(Learner(MLP(12, [10, 8]), [PackNet()], "task"), vector_tasks(2, 0, size=40))
    assert learner.kept_bytes() == 12 * 10 + 10 * 8 + 1  # the last one: whether the current task's weights are pruned
    assert learner.parameters_count() == sum(p.numel() for p in learner.network.parameters())


def test_the_table_of_shares() -> None:
    learner = Learner(smooth(12, 10, 8), [PackNet(prune=0.6)], "task", optimizer=sgd(0.3))
    assert packnet_of(learner).tables(learner) == {}
    learned(learner, vector_tasks(2, 0, size=40))
    ((title, table),) = packnet_of(learner).tables(learner).items()
    assert title == "Share of each layer's weights that each task owns"
    assert table.rows == ("0.weight", "2.weight")
    assert table.columns == ("task 0", "task 1", "free")
    assert table.values[0].tolist() == pytest.approx([48 / 120, (72 - 43) / 120, 43 / 120])
    assert table.values.sum(1).tolist() == pytest.approx([1, 1])


# Errors


def refused(learner: Learner, task: Task, kind: type[Exception]) -> str:
    """The message with which a task is refused, having checked that the learner stays as it was."""
    before = bits(learner)
    with pytest.raises(kind) as caught:
        learner.learn(task)
    assert differing(before, bits(learner)) == []
    return str(caught.value)


def test_with_nothing_pruned_there_is_no_second_task() -> None:
    first, second = image_tasks(2, "task")
    learner = learned(Learner(nn.Sequential(ConvNet(1, [2, 3]), nn.Dropout(0.2)), [PackNet(prune=0)], "task"), [first])
    said = outputs(learner, [first])
    for _ in range(2):
        assert refused(learner, second, MethodError) == (
            "PackNet: '0.blocks.0.weight' has 0 of its 18 weights free, and prune=0 leaves none of them to task 'task 1'. "
            "Taken so far: 'task 0' 18. Begin anew with a wider network, or a larger prune from the first task on; "
            "this learner stays as it was"
        )
        assert same(said, outputs(learner, [first]))
        assert learner.tasks == ["task 0"]


def test_the_layer_that_is_full_first_is_named() -> None:
    """1 of the 4 weights of the second layer, then round(2.25) = 2 are pruned, then round(1.5) = 2 of 2."""
    learner = Learner(smooth(12, 2, 2), [PackNet(prune=0.75)], "task", optimizer=sgd(0.5))
    *tasks, last = vector_tasks(3, 0, size=40)
    learned(learner, tasks)
    assert refused(learner, last, MethodError) == (
        "PackNet: '2.weight' has 2 of its 4 weights free, and prune=0.75 leaves none of them to task 'task 2'. "
        "Taken so far: 'task 0' 1, 'task 1' 1. Begin anew with a wider network, or a larger prune from the first task on; "
        "this learner stays as it was"
    )


def test_a_layer_that_is_too_small_for_the_first_task() -> None:
    (task,) = vector_tasks(1, 0, size=40)
    learner = Learner(smooth(12, 1, 1), [PackNet(prune=0.75)], "task")
    with pytest.raises(MethodError) as caught:
        learner.learn(task)
    assert str(caught.value) == (
        "PackNet: '2.weight' has 1 of its 1 weights free, and prune=0.75 leaves none of them to task 'task 0'. Taken so far: none. "
        "Begin anew with a wider network, or a smaller prune; this learner stays as it was"
    )
    assert learner.tasks == []


def test_more_tasks_than_a_byte_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lifelong.methods.packnet.MOST_TASKS", 2)
    *tasks, last = vector_tasks(3, 0, size=40)
    learner = learned(Learner(MLP(12, [8]), [PackNet()], "task"), tasks)
    assert refused(learner, last, MethodError) == "PackNet counts to 2 tasks; learn 'task 2' with a new learner"


@pytest.mark.parametrize("scenario", ["domain", "class"])
def test_it_must_be_told_the_task(scenario: Any) -> None:
    with pytest.raises(ScenarioError) as caught:
        Learner(MLP(6, [5]), [PackNet()], scenario).learn(blobs())
    assert str(caught.value) == (
        f"PackNet must be told the task, whose weights it predicts with, and the scenario is {scenario!r}; "
        "use scenario='task', or EWC or Replay"
    )


def test_it_must_come_after_methods_that_move_weights() -> None:
    with pytest.raises(MethodError) as caught:
        Learner(MLP(6, [5]), [PackNet(), EWC()], "task").learn(blobs())
    assert str(caught.value) == "PackNet holds earlier tasks' weights, which EWC may move after it; put PackNet behind it in methods"
    Learner(MLP(6, [5]), [AfterStep(lambda learner: None), PackNet(), EWC(step="additive")], "task").learn(blobs())


def test_no_other_method_may_start_afresh() -> None:
    with pytest.raises(MethodError) as caught:
        Learner(MLP(6, [5]), [Joint(), PackNet()], "task").learn(blobs())
    assert str(caught.value) == "PackNet keeps earlier tasks' weights, and Joint sets the network back to its first; use one of them"


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"prune": 1}, "PackNet: prune is 1; expected the share of a task's weights that is given up, 0 <= prune < 1"),
        ({"prune": -0.1}, "PackNet: prune is -0.1; expected the share of a task's weights that is given up, 0 <= prune < 1"),
        ({"prune": "0.5"}, "PackNet: prune is '0.5'; expected the share of a task's weights that is given up, 0 <= prune < 1"),
        ({"prune": float("nan")}, "PackNet: prune is nan; expected the share of a task's weights that is given up, 0 <= prune < 1"),
        ({"retrain": -1}, "PackNet: retrain is -1; expected a share of the training, a finite number >= 0, where 0 is none"),
        ({"retrain": float("inf")}, "PackNet: retrain is inf; expected a share of the training, a finite number >= 0, where 0 is none"),
        ({"retrain": None}, "PackNet: retrain is None; expected a share of the training, a finite number >= 0, where 0 is none"),
    ],
)
def test_wrong_arguments(arguments: dict[str, Any], text: str) -> None:
    with pytest.raises(MethodError) as caught:
        PackNet(**arguments)
    assert str(caught.value) == text
