"""TaskGate: the gate's equations by hand, that it touches nothing else, and that it tells real tasks apart."""

import copy
import itertools
import math
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

import lifelong as ll
from lifelong.data.mnist import load
from lifelong.errors import MethodError, ScenarioError, StoreError, TaskError
from lifelong.learner import Learner
from lifelong.method import Method
from lifelong.methods import EWC, SI, Independent, LwF, PackNet, Progressive, Replay, TaskGate
from lifelong.models import MLP, ConvNet
from lifelong.streams import permuted_mnist, rotated_mnist, split_mnist
from lifelong.streams.transforms import Rotate
from lifelong.tasks import Task
from lifelong.testing.comparing import bits, die_at_checkpoint, learned, require_same
from lifelong.testing.data import image_tasks, vector_tasks
from toys import FEATURES, blobs, sgd

VECTOR = 12
needs_mnist = pytest.mark.skipif(
    not (Path(os.environ.get("LIFELONG_DATA", "nowhere")) / "mnist").is_dir(),
    reason="full MNIST not found: set LIFELONG_DATA to its parent folder",
)


def learner_of(*methods: Method, model: nn.Module | None = None, **settings: Any) -> Learner:
    return Learner(model or MLP(VECTOR, [16]), methods, "task", **{"batch_size": 20, "optimizer": sgd(0.1), **settings})


def gate_of(learner: Learner) -> TaskGate:
    return next(method for method in learner.methods if isinstance(method, TaskGate))


def tasks_of(count: int, size: int = 60) -> list[Task]:
    return vector_tasks(count, 0, size=size, scenario="task")


def by_hand(gate: TaskGate, t: int, x: Tensor) -> float:
    """er_t of one input (C, ...), number by number."""
    mean, deviation = gate.mean.flatten().tolist(), gate.deviation.flatten().tolist()
    channels = [channel.flatten().tolist() if channel.ndim else [channel.item()] for channel in x]
    values = [1 / (1 + math.exp(-(v - mean[c]) / deviation[c])) for c, channel in enumerate(channels) for v in channel]
    code = [
        max(sum(w * v for w, v in zip(row, values, strict=True)) + b, 0.0)
        for row, b in zip(gate.encoder[t].tolist(), gate.code_bias[t].tolist(), strict=True)
    ]
    squares = 0.0
    for row, b, v in zip(gate.decoder[t].tolist(), gate.output_bias[t].tolist(), values, strict=True):
        output = sum(w * c for w, c in zip(row, code, strict=True)) + b
        squares += (1 / (1 + math.exp(-output)) - v) ** 2
    return math.sqrt(squares)


# The equations


@pytest.mark.parametrize("images", [False, True], ids=["vectors", "images"])
def test_errors_probabilities_and_the_choice_are_the_papers(images: bool) -> None:
    tasks = image_tasks(3, "task") if images else tasks_of(3)
    learner = learned(learner_of(TaskGate(steps=30, units=3, temperature=0.5), model=MLP(64 if images else VECTOR, [8])), tasks)
    gate = gate_of(learner)
    x = torch.cat([task.train.x[:4] for task in tasks])
    errors = [[by_hand(gate, t, each) for t in range(3)] for each in x]
    assert torch.allclose(gate.errors(x), torch.tensor(errors), atol=1e-5)
    for row, own in zip(errors, gate.probabilities(x).tolist(), strict=True):
        exponents = [math.exp(-error / 0.5) for error in row]
        assert own == pytest.approx([each / sum(exponents) for each in exponents], abs=1e-5)
    assert learner.predict_task(x).tolist() == [tasks[int(np.argmin(row))].name for row in errors]
    assert gate.probabilities(x).argmax(1).tolist() == gate.route(learner, x).tolist()


def test_hidden_layers_are_before_and_behind_the_code(tmp_path: Path) -> None:
    """Against the same layers of torch, ReLU after all but the code and the last; saved and opened, they give the same bits."""
    tasks = tasks_of(2)
    learner = learned(learner_of(TaskGate(steps=30, units=3, hidden=[7, 5], rate=0.01)), tasks)
    gate, x = gate_of(learner), tasks[1].train.x
    sizes = [VECTOR, 7, 5, 3, 5, 7, VECTOR]
    layers = [nn.Linear(*pair) for pair in itertools.pairwise(sizes)]
    weights = [getattr(gate, name) for name in gate._names]
    for t in range(2):
        for layer, weight, bias in zip(layers, weights[::2], weights[1::2], strict=True):
            layer.weight.data, layer.bias.data = weight[t], bias[t]
        first, second, code, third, fourth, last = layers
        values = gate._standardised(x)
        by_torch = last(fourth(third(code(second(first(values).relu()).relu())).relu()).relu()).sigmoid()
        assert torch.allclose(gate.errors(x)[:, t], (by_torch - values).norm(dim=1), atol=1e-5)
    assert gate.parameters_kept() == 2 * sum(a * b + b for a, b in itertools.pairwise(sizes))
    learner.save(tmp_path)
    opened = Learner.open(tmp_path)
    assert torch.equal(gate_of(opened).errors(x), gate.errors(x))
    third_task = tasks_of(3)[2]
    require_same(bits(learned(learner, [third_task])), bits(learned(opened, [third_task])), "the learner and the one opened")


def test_a_temperature_changes_probabilities_and_no_choice() -> None:
    sharp, flat = (learned(learner_of(TaskGate(steps=30, temperature=temperature)), tasks_of(3)) for temperature in (0.1, 10.0))
    x = tasks_of(3)[1].train.x
    assert sharp.predict_task(x).tolist() == flat.predict_task(x).tolist()
    odds = [(p[:, 0].double() / p[:, 1].double()).log() for p in (gate_of(sharp).probabilities(x), gate_of(flat).probabilities(x))]
    likely = odds[0].abs() < 10  # beyond it float32 rounds
    assert likely.any()
    assert torch.allclose(odds[0][likely], 100 * odds[1][likely], rtol=1e-2, atol=1e-2)


def splits(learner: Learner, task: Task) -> tuple[Tensor, Tensor, torch.Generator]:
    """What the gate is going to hold out of a task and to train on, and its generator afterwards."""
    random = torch.Generator()
    random.set_state(learner.generator(gate_of(learner)).get_state())
    order = torch.randperm(len(task.train), generator=random)
    count = len(order) // 10
    return order[:count], order[count:], random


@pytest.mark.parametrize("images", [False, True], ids=["vectors", "images"])
def test_inputs_are_standardised_by_the_first_tasks(images: bool) -> None:
    first, second = image_tasks(2, "task") if images else tasks_of(2)
    x = torch.cat([first.train.x, 3 * first.train.x + 1], 1) if images else first.train.x.clone()
    if not images:
        x[:, 4] = 7.0  # never deviates
    first = Task("first", (x, [first.classes[i] for i in first.train.y.tolist()]), classes=first.classes)
    second = Task("second", (5 + 9 * x, [first.classes[i] for i in first.train.y.tolist()]), classes=first.classes)
    learner = learner_of(TaskGate(steps=2), model=MLP(x[0].numel(), [4]))
    own = x[splits(learner, first)[1]].numpy().astype(np.float64)
    learned(learner, [first, second])
    mean, deviation = (gate_of(learner).mean.flatten(), gate_of(learner).deviation.flatten())
    channels = [own[:, c].ravel() for c in range(x.shape[1])]
    assert mean.tolist() == pytest.approx([channel.mean() for channel in channels], abs=1e-5)
    assert deviation.tolist() == pytest.approx([channel.std() or 1.0 for channel in channels], abs=1e-5)


def test_an_autoencoder_is_trained_by_the_cross_entropy_of_its_own_tasks_inputs_with_adagrad() -> None:
    """Every step by hand, with the gradients of the equations, in float64."""
    tasks, steps, units, rate = tasks_of(2, size=50), 7, 3, 0.05
    learner = learned(learner_of(TaskGate(steps=steps, units=units, rate=rate, batch_size=16)), tasks[:1])
    gate = gate_of(learner)
    _, own, random = splits(learner, tasks[1])
    mean, deviation = gate.mean.flatten().double(), gate.deviation.flatten().double()
    x = ((tasks[1].train.x.double() - mean) / deviation).sigmoid()
    centre = x[own].mean(0)
    encoder = torch.empty(units, VECTOR).uniform_(-(VECTOR**-0.5), VECTOR**-0.5, generator=random).double()
    decoder = torch.empty(VECTOR, units).uniform_(-(units**-0.5), units**-0.5, generator=random).double()
    weights = [encoder, torch.zeros(units, dtype=torch.float64), decoder, (centre / (1 - centre)).log()]
    squares = [torch.zeros_like(weight) for weight in weights]
    batches: list[Tensor] = []
    while len(batches) < steps:
        batches += torch.split(own[torch.randperm(len(own), generator=random)], 16)
    for rows in batches[:steps]:
        target, centred = x[rows], x[rows] - centre
        before = centred @ weights[0].T + weights[1]
        code = before.clamp_min(0)
        output = (code @ weights[2].T + weights[3]).sigmoid()
        slope = (output - target) / target.numel()  # of the mean cross-entropy, in the logits
        back = (slope @ weights[2]) * (before > 0)
        for weight, square, gradient in zip(weights, squares, (back.T @ centred, back.sum(0), slope.T @ code, slope.sum(0)), strict=True):
            square.add_(gradient**2)
            weight.sub_(rate * gradient / (square.sqrt() + 1e-10))
    learner.learn(tasks[1])
    expected = [weights[0], weights[1] - weights[0] @ centre, weights[2], weights[3]]
    for name, wanted in zip(("encoder", "code_bias", "decoder", "output_bias"), expected, strict=True):
        assert torch.allclose(gate_of(learner).get_buffer(name)[1].double(), wanted, atol=1e-4)


def test_relatedness_is_measured_on_the_new_tasks_held_out_tenth() -> None:
    tasks = tasks_of(3)
    learner = learner_of(TaskGate(steps=40))
    for count, task in enumerate(tasks):
        held = splits(learner, task)[0]
        assert len(held) == 6
        learner.learn(task)
        gate = gate_of(learner)
        means = [np.mean([by_hand(gate, t, task.train.x[i]) for i in held.tolist()]) for t in range(count + 1)]
        expected = [1 - (mean - means[count]) / means[count] for mean in means]
        assert gate.relatedness[count, : count + 1].tolist() == pytest.approx(expected, abs=1e-4)
        assert expected[count] == 1
        assert gate.relatedness[count, count + 1 :].isnan().all()
    assert gate_of(learner).relatedness.shape == (3, 3)


def test_a_task_that_comes_again_is_related_to_itself_more_than_to_another() -> None:
    one, other = vector_tasks(2, 0, scenario="task")
    again = Task("again", (one.train.x, one.train.y.tolist()), classes=one.classes)
    relatedness = gate_of(learned(learner_of(TaskGate(steps=200, rate=0.05)), [one, other, again])).relatedness
    assert relatedness[2, 0] > 0.9
    assert relatedness[2, 1] < 0.7


@given(st.floats(0.1, 10), st.floats(-5, 5))
@settings(max_examples=10, deadline=None)
def test_another_scale_of_all_inputs_changes_nothing(scale: float, shift: float) -> None:
    def gate(change: Any) -> Tensor:
        tasks = [Task(t.name, (change(t.train.x), t.train.y.tolist()), classes=t.classes) for t in tasks_of(2)]
        return gate_of(learned(learner_of(TaskGate(steps=10), steps=1), tasks)).errors(change(tasks_of(2)[0].train.x))

    assert torch.allclose(gate(lambda x: x), gate(lambda x: scale * x + shift), atol=1e-2)


# It touches nothing else


@pytest.mark.parametrize("network", ["mlp", "convnet"])
@pytest.mark.parametrize(
    "methods", [[], [EWC(labels="sampled", examples=10)], [Replay(capacity=20)], [SI()]], ids=["none", "ewc", "replay", "si"]
)
def test_the_learner_is_the_one_without_it_bit_for_bit(methods: list[Method], network: str) -> None:
    model = nn.Sequential(MLP(64, [16]) if network == "mlp" else ConvNet(1, [4, 8]), nn.Dropout(0.3))
    tasks = image_tasks(3, "task")
    settings: dict[str, Any] = {"model": model, "optimizer": sgd(0.05, momentum=0.9), "reset_optimizer": False}
    without, with_gate = (learned(learner_of(*each, **settings), tasks) for each in (methods, [*methods, TaskGate(steps=5)]))
    kept = bits(without)
    assert kept.keys() < bits(with_gate).keys()
    require_same(kept, {name: value for name, value in bits(with_gate).items() if name in kept}, "without and with the gate the learners")


def test_a_learner_can_do_without_the_task_and_loses_little() -> None:
    tasks = vector_tasks(4, 0, scenario="task")
    learner = learned(learner_of(Independent(), TaskGate(steps=200, rate=0.05), epochs=5), tasks)
    matrix = learner.evaluate(tasks)
    assert matrix.accuracy > 0.95
    assert learner.routed.accuracy > matrix.accuracy - 0.02
    assert learner.predict(tasks[2].train.x).tolist() == [
        learner.predict(x[None], task)[0] for x, task in zip(tasks[2].train.x, learner.predict_task(tasks[2].train.x), strict=True)
    ]


@pytest.mark.parametrize("method", [PackNet(prune=0.5), Progressive(), LwF(), SI()], ids=lambda method: type(method).__name__)
def test_it_goes_with_other_ways_to_predict_and_to_grow(method: Method, tmp_path: Path) -> None:
    tasks = vector_tasks(3, 0, scenario="task")
    learner = learned(learner_of(method, TaskGate(steps=200, rate=0.05), epochs=3), tasks)
    assert learner.evaluate(tasks).accuracy > 0.9
    assert learner.routed.accuracy > learner.matrix.accuracy - 0.02
    learner.save(tmp_path)
    x = torch.cat([task.train.x for task in tasks])
    assert Learner.open(tmp_path).predict(x).tolist() == learner.predict(x).tolist()


def test_the_tables() -> None:
    tasks = tasks_of(3)
    learner = learner_of(TaskGate(steps=30))
    assert gate_of(learner).tables(learner) == {}
    learned(learner, tasks)
    learner.evaluate(tasks[:2])
    learner.chosen.pop("task 2")  # as where a task has no test set
    tables = gate_of(learner).tables(learner)
    assert list(tables) == ["Relatedness", "Which task the gate chose"]
    names = ("task 0", "task 1", "task 2")
    assert {table.rows for table in tables.values()} == {table.columns for table in tables.values()} == {names}
    assert torch.equal(tables["Relatedness"].values.nan_to_num(9), gate_of(learner).relatedness.nan_to_num(9))
    shares = tables["Which task the gate chose"].values
    assert tasks[0].test is not None
    chosen = learner.predict_task(tasks[0].test.x).tolist()
    assert shares[0].tolist() == [chosen.count(name) / len(chosen) for name in names]
    assert shares[2].isnan().all()


def test_what_it_keeps() -> None:
    learner = learned(learner_of(TaskGate(steps=2, units=3)), tasks_of(2))
    gate, floats = gate_of(learner), 2 * (2 * 3 * VECTOR + 3 + VECTOR)
    assert gate.parameters_kept() == floats
    assert gate.kept_bytes() == 4 * (floats + 2 * VECTOR + 2 * 2) + 8  # mean and deviation, relatedness; the shape
    assert gate.kept_bytes() == learner.kept_bytes() == learner.sizes[-1]["kept_bytes"]


@pytest.mark.parametrize(("values", "units"), [(784, 196), (3 * 32 * 32, 200), (6, 1), (2, 1)])
def test_units_are_200_or_a_quarter_of_the_values(values: int, units: int) -> None:
    task = Task("one", (torch.randn(20, values, generator=torch.Generator().manual_seed(0)), [0, 1] * 10))
    gate = gate_of(learned(learner_of(TaskGate(steps=1), model=MLP(values, [2])), [task]))
    assert gate.encoder.shape == (1, units, values)


# Saving


def test_saved_and_opened_it_chooses_alike_and_goes_on(tmp_path: Path) -> None:
    *tasks, last = tasks_of(4)
    learner = learned(learner_of(EWC(examples=10), TaskGate(steps=20)), tasks)
    learner.save(tmp_path)
    again = Learner.open(tmp_path)
    x = torch.cat([task.train.x for task in tasks])
    assert torch.equal(gate_of(learner).probabilities(x), gate_of(again).probabilities(x))
    assert again.predict(x).tolist() == learner.predict(x).tolist()
    require_same(bits(learned(learner, [last])), bits(learned(again, [last])), "the learner that went on and the one opened")


def test_inside_a_task_the_tasks_before_are_told_apart(tmp_path: Path) -> None:
    tasks = tasks_of(3)
    learner = learned(learner_of(TaskGate(steps=20)), tasks[:2])
    before = learner.predict_task(tasks[0].train.x).tolist()
    die_at_checkpoint(learner, tasks[2], tmp_path, 2)
    opened = Learner.open(tmp_path)
    assert opened.in_progress == "task 2"
    assert opened.predict_task(tasks[0].train.x).tolist() == before


# Preprocessors


def squares() -> nn.Module:
    """(N, 12) to (N, 4, 6), with a buffer that training mode would change."""
    model = nn.Sequential(nn.Linear(VECTOR, 24), nn.BatchNorm1d(24), nn.Dropout(0.5), nn.Unflatten(1, (4, 6)))
    with torch.no_grad():
        model[0].weight.copy_(torch.linspace(-1, 1, 24 * VECTOR).sin().view(24, VECTOR))
    return model


def test_with_a_preprocessor_it_reproduces_what_that_gives(tmp_path: Path) -> None:
    given, tasks = squares(), tasks_of(2)
    state = copy.deepcopy(given.state_dict())
    learner = learned(learner_of(TaskGate(steps=30, preprocessor=given)), tasks)
    gate, x = gate_of(learner), tasks[1].train.x[:5]
    assert given.training
    assert all(torch.equal(value, state[name]) for name, value in given.state_dict().items())
    assert gate.mean.shape == (4, 1)
    with torch.no_grad():
        values = copy.deepcopy(given).eval()(x)
    assert torch.allclose(gate.errors(x), torch.tensor([[by_hand(gate, t, each) for t in range(2)] for each in values]), atol=1e-5)
    assert gate.parameters_kept() == 2 * (2 * 6 * 24 + 6 + 24) + sum(p.numel() for p in given.parameters())

    learner.save(tmp_path)
    other = nn.Sequential(nn.Linear(VECTOR, 24), nn.BatchNorm1d(24), nn.Dropout(0.5), nn.Unflatten(1, (4, 6)))
    again = Learner.open(tmp_path, methods=[TaskGate(steps=30, preprocessor=other)])
    assert torch.equal(gate_of(again).probabilities(x), gate.probabilities(x)), "its weights are the saved ones"
    with pytest.raises(
        StoreError, match=r"TaskGate's preprocessor, a Sequential, is not the library's .* methods=\[TaskGate\(preprocessor="
    ):
        Learner.open(tmp_path)
    with pytest.raises(StoreError, match="size mismatch"):
        Learner.open(tmp_path, methods=[TaskGate(steps=30, preprocessor=nn.Sequential(nn.Linear(VECTOR, 20), *other[1:]))])


def test_a_preprocessor_can_take_inputs_of_many_sizes_and_of_integers() -> None:
    class Lengths(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return nn.functional.one_hot(x, 9).float().mean(1)

    class Counting(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return nn.functional.one_hot(x, 9).float().mean(1)

    words = torch.randint(9, (40, 5), generator=torch.Generator().manual_seed(0))
    tasks = [Task("short", (words, [0, 1] * 20)), Task("long", (torch.cat([words, words], 1), [0, 1] * 20))]
    learner = learned(learner_of(TaskGate(steps=5, preprocessor=Lengths()), model=Counting()), tasks)
    assert learner.predict_task(words).shape == (40,)


# Unusual data


def test_data_that_are_always_the_same() -> None:
    tasks = [Task(name, (torch.full((30, 8), value), [0, 1] * 15)) for name, value in (("ones", 1.0), ("twos", 2.0), ("again", 1.0))]
    gate = gate_of(learned(learner_of(TaskGate(steps=5), model=MLP(8, [4])), tasks))
    assert gate.relatedness.isfinite().sum() == 6
    assert gate.relatedness[2, 0] == 1
    assert gate.relatedness[1, 0] < -100


def test_a_task_of_one_example_and_one_of_nine() -> None:
    generator = torch.Generator().manual_seed(0)
    tasks = [Task(f"of {size}", (torch.randn(size, 8, generator=generator), ["a"] * size), classes=["a", "b"]) for size in (1, 9)]
    learner = learned(learner_of(TaskGate(steps=5), model=MLP(8, [4])), tasks)
    assert gate_of(learner).relatedness[1].isfinite().all()
    assert gate_of(learner).probabilities(tasks[1].train.x).isfinite().all()


def test_a_network_of_doubles_and_arrays_of_doubles() -> None:
    tasks = tasks_of(2)
    learner = learner_of(TaskGate(steps=10), model=MLP(VECTOR, [8]).double())
    doubles = [Task(t.name, (t.train.x, t.train.y.tolist()), classes=t.classes, transform=lambda x: x.double()) for t in tasks]
    learned(learner, doubles)
    assert gate_of(learner).encoder.dtype == torch.float32
    x = tasks[0].train.x.double()
    assert torch.equal(gate_of(learner).probabilities(x), gate_of(learner).probabilities(x.numpy()))


# Refusing


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"temperature": 0}, "TaskGate: temperature is 0; expected a finite number > 0"),
        ({"temperature": "2"}, "TaskGate: temperature is '2'; expected a finite number > 0"),
        ({"rate": float("nan")}, "TaskGate: rate is nan; expected a finite number > 0"),
        ({"steps": 0}, "TaskGate: steps is 0; expected an integer >= 1"),
        ({"steps": None}, "TaskGate: steps is None; expected an integer >= 1"),
        ({"batch_size": 2.5}, "TaskGate: batch_size is 2.5; expected an integer >= 1"),
        ({"units": 0}, "TaskGate: units is 0; expected an integer >= 1, or None"),
        ({"hidden": 256}, "TaskGate: hidden is 256; expected widths of layers, as [256, 128], or [] for none"),
        ({"hidden": [256, 0]}, "TaskGate: hidden is [256, 0]; expected widths of layers"),
        (
            {"preprocessor": len},
            "TaskGate: preprocessor is <built-in function len>; expected a torch module from inputs (N, ...) to floats",
        ),
    ],
)
def test_arguments_out_of_range(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(MethodError) as error:
        TaskGate(**arguments)
    assert str(error.value).startswith(message)


@pytest.mark.parametrize("scenario", ["domain", "class"])
def test_other_scenarios(scenario: Any) -> None:
    with pytest.raises(ScenarioError, match=f"which the scenario '{scenario}' does not ask for; use scenario='task'"):
        Learner(MLP(FEATURES, [4]), [TaskGate()], scenario).learn(blobs())


def test_inputs_that_it_cant_reproduce() -> None:
    learner = learned(learner_of(TaskGate(steps=2), model=nn.Flatten()), [Task("first", (torch.randn(9, 3, 4), [0] * 9))])
    other = Task("second", (torch.randn(9, 12, 1), [0] * 9))
    with pytest.raises(
        MethodError, match=r"reproduce \('N', 3, 4\), and task 'second' has \('N', 12, 1\); they need all tasks' inputs of one"
    ):
        learner.learn(other)
    assert learner.tasks == ["first"]
    with pytest.raises(TaskError, match=r"TaskGate was given \('N', 12, 1\); its autoencoders reproduce \('N', 3, 4\)"):
        gate_of(learner).probabilities(other.train.x)
    with pytest.raises(
        MethodError, match=r"an autoencoder of 12 units can copy the 12 values of any input, and .* fewer units than values"
    ):
        learner_of(TaskGate(units=12), model=nn.Flatten()).learn(other)
    words = Task("words", (torch.zeros(4, 3, dtype=torch.int64), [0] * 4))
    with pytest.raises(MethodError, match=r"inputs are torch.int64 of shape \(2, 3\) for 2 examples; its autoencoders reproduce floats"):
        learner_of(TaskGate(), model=Floats()).learn(words)
    stories = Task("stories", (torch.ones(4, 3, 2, dtype=torch.int16), [0] * 4))
    of_words = learner_of(TaskGate(), model=nn.Sequential(nn.Flatten(), Floats()))
    with pytest.raises(
        MethodError, match=r"inputs are torch.int16 of shape \(2, 3, 2\) .*Give a preprocessor, a module that makes such of"
    ):
        of_words.learn(stories)
    assert of_words.tasks == []
    with pytest.raises(MethodError, match=r"its preprocessor gives torch.int64 of shape \(2, 3\)"):
        learner_of(TaskGate(preprocessor=nn.Identity()), model=Floats()).learn(words)


class Floats(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.float()


def test_before_anything_was_learned_there_are_no_probabilities() -> None:
    with pytest.raises(TaskError, match="TaskGate knows no task yet; call learn"):
        TaskGate().probabilities(torch.zeros(1, 3))


def test_it_is_exported() -> None:
    assert ll.TaskGate is ll.methods.TaskGate is TaskGate


# Real digits


def gated(tasks: list[Task], **arguments: Any) -> Learner:
    """A learner that hardly trains, so that what is measured is the gate."""
    return learned(learner_of(TaskGate(**arguments), model=MLP(784, [4]), steps=1), tasks)


def shares(learner: Learner) -> list[float]:
    """How often the gate chose each task for its own test inputs."""
    return [learner.chosen[name].get(name, 0) / sum(learner.chosen[name].values()) for name in learner.tasks]


def mixed(data: str) -> list[Task]:
    """Two permutations, two rotations and two pairs of digits."""
    return [*permuted_mnist(tasks=2, data=data), *rotated_mnist(tasks=2, data=data), *list(split_mnist(data=data))[:2]]


def rotated(degrees: float, data: str) -> Task:
    digits, transform = load(data), Rotate.by(degrees, 28, 28)
    pairs = (digits.train_x, digits.train_y), (digits.test_x, digits.test_y)
    return Task(f"by {degrees:g}", *pairs, classes=range(10), transform=transform)


def check_digits(data: str, **arguments: Any) -> None:
    """Gate accuracy on the pairs of digits and on a mixed stream, and what is related to what."""
    pairs = gated(list(split_mnist(data=data)), **arguments)
    pairs.evaluate(split_mnist(data=data))
    assert np.mean(shares(pairs)) >= 0.94
    tasks = mixed(data)
    learner = gated(tasks, **arguments)
    learner.evaluate(tasks)
    assert np.mean(shares(learner)) >= 0.94
    related = gated([rotated(20, data), rotated(30, data), *permuted_mnist(tasks=2, data=data)], **arguments)
    assert gate_of(related).relatedness[1, 0] > 0.7
    assert gate_of(related).relatedness[3, 2] < 0.2


def test_it_tells_embedded_digits_apart() -> None:
    check_digits("embedded", steps=150, rate=0.01)


@pytest.mark.slow
@needs_mnist
def test_it_tells_mnist_apart_with_its_defaults() -> None:
    check_digits("mnist")


@pytest.mark.slow
@needs_mnist
def test_with_hidden_layers_little_is_lost_on_pairs_of_digits() -> None:
    """Pairs share no class, so that every wrong choice of the task is a wrong answer."""
    stream = split_mnist(data="mnist")
    methods = [Independent(), TaskGate(units=10, hidden=[256, 128], steps=2000, rate=0.002)]
    learner = learned(learner_of(*methods, model=MLP(784, [100, 100]), batch_size=10), list(stream))
    matrix = learner.evaluate(stream)
    assert np.mean(shares(learner)) >= 0.975
    assert learner.routed.accuracy > matrix.accuracy - 0.02


@pytest.mark.slow
def test_a_mixed_stream_loses_little_without_the_task() -> None:
    tasks = mixed("embedded")
    learner = learned(Learner(MLP(784, [100]), [EWC(examples=100), TaskGate()], "task", epochs=2), tasks)
    matrix = learner.evaluate(tasks)
    assert learner.routed.accuracy > matrix.accuracy - 0.02
