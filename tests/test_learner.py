import functools
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

import lifelong as ll
from lifelong.errors import MethodError, ScenarioError, TaskError
from lifelong.learner import Learner
from lifelong.methods import EWC, Replay
from lifelong.models import MLP, ConvNet
from lifelong.optimizers import OptimizerFactory
from lifelong.streams import from_tasks
from lifelong.tasks import Batch, Scenario, Stream, Task
from lifelong.testing.cases import Setting
from lifelong.testing.comparing import bits, differing, learned
from lifelong.testing.data import image_tasks

MOMENTUM: OptimizerFactory = functools.partial(torch.optim.SGD, lr=0.05, momentum=0.9)


def learner(scenario: Scenario = "domain", **arguments: Any) -> Learner:
    return Learner(MLP(64, [16]), scenario=scenario, batch_size=8, **arguments)


def pets(name: str, *classes: str | int, seed: int = 0, tests: bool = True) -> Task:
    """Blobs at places that depend on the class's name only."""
    generator = torch.Generator().manual_seed(seed)
    places = [torch.randn(5, generator=torch.Generator().manual_seed(sum(map(ord, str(each))))) for each in classes]
    y = torch.arange(20 * len(classes)) % len(classes)
    x = 3 * torch.stack(places)[y] + 0.3 * torch.randn(len(y), 5, generator=generator)
    labels = [classes[i] for i in y.tolist()]
    return Task(name, (x, labels), (x, labels) if tests else None)


# The example that everybody reads first


def test_the_first_example_runs_as_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    stream = ll.streams.permuted_mnist(tasks=3)
    learner = ll.Learner(ll.models.MLP(784, [100, 100]), methods=[ll.methods.EWC(strength=100.0)], scenario=stream.scenario)
    for task in stream:
        learner.learn(task)
    text = str(learner.evaluate(stream))
    learner.save("digits.life")
    lines = {line.partition(":")[0]: line.split()[-1] for line in text.splitlines() if ":" in line}
    assert {"accuracy", "backward transfer", "forward transfer"} <= lines.keys()
    assert float(lines["accuracy"]) > 75
    assert -10 < float(lines["backward transfer"]) < 2
    assert -20 < float(lines["forward transfer"]) < 20
    again = ll.Learner.open("digits.life")
    assert again.matrix == learner.matrix
    assert (again.predict(stream[0].test.take(torch.arange(50))) == learner.predict(stream[0].test.take(torch.arange(50)))).all()  # type: ignore[union-attr]


# Evaluating


def test_learn_records_what_evaluate_would() -> None:
    tasks = image_tasks(3, "domain")
    silent, recording = learner(), learner()
    for task in tasks:
        silent.evaluate([task])
        silent.learn(task, evaluate=False)
        silent.evaluate([task])
        recording.learn(task)
    for i, task in enumerate(tasks):
        for row in (i, i + 1):
            assert silent.matrix.values[row, i] == recording.matrix.values[row, i], (task.name, row)


def test_forward_transfer_needs_no_call_of_evaluate_in_the_domain_scenario() -> None:
    tasks = image_tasks(3, "domain")
    one = learned(learner(), tasks)
    untrained = learner().evaluate(tasks).values[0]
    assert np.array_equal(one.matrix.values[0], untrained)
    assert math.isfinite(one.matrix.forward_transfer)
    assert one.matrix.forward_transfer == np.mean([one.matrix.values[j, j] - untrained[j] for j in (1, 2)])


@pytest.mark.parametrize("scenario", ["task", "class"])
def test_classes_without_outputs_have_no_accuracy(scenario: Scenario) -> None:
    tasks = image_tasks(2, scenario)
    one = learner(scenario)
    assert np.isnan(one.evaluate(tasks).values).all()
    one.learn(tasks[0])
    matrix = one.evaluate(tasks)
    assert np.isnan(matrix.values[:, 1]).all()
    assert 0 <= matrix.values[1, 0] <= 1
    assert math.isnan(learned(one, tasks[1:]).matrix.forward_transfer)


def test_a_task_with_one_unknown_class_has_no_accuracy() -> None:
    one = Learner(MLP(5, [8]))
    one.learn(pets("pets", "cat", "dog"))
    assert np.isnan(one.evaluate([pets("more", "cat", "ape")]).values[1, 1])


def test_an_endless_stream_is_evaluated_up_to_the_next_task() -> None:
    def months() -> Iterator[Task]:
        for i in range(1000):
            yield pets(f"month {i}", "cat", "dog", seed=i)

    stream = from_tasks(months, scenario="domain")
    assert stream.endless
    one = Learner(MLP(5, [8]), scenario="domain")
    for task in stream[:2]:  # type: ignore[union-attr]
        one.learn(task)
    matrix = one.evaluate(stream)
    assert matrix.tasks == ("month 0", "month 1", "month 2")
    assert not np.isnan(matrix.values[2]).any()


def test_a_stream_is_asked_for_one_task_at_a_time() -> None:
    made: list[int] = []

    def make(position: int) -> Task:
        made.append(position)
        return pets(f"month {position}", "cat", "dog", seed=position)

    one = Learner(MLP(5, [8]), scenario="domain")
    for n, task in enumerate(Stream("months", "domain", make, None)):
        one.learn(task)
        assert made == list(range(n + 1))
        if n == 3:
            break


def test_a_task_without_a_test_set_is_learned_and_can_not_be_evaluated() -> None:
    one = Learner(MLP(5, [16]), epochs=10)
    task = pets("pets", "cat", "dog", tests=False)
    one.learn(task)
    assert one.tasks == ["pets"] and one.matrix.tasks == ()
    with pytest.raises(TaskError, match=r"task 'pets' has no test set to evaluate on; give it one: Task\(\.\.\., test=\(x, y\)\)"):
        one.evaluate([task])
    matrix = one.evaluate([pets("pets", "cat", "dog")])
    assert matrix.tasks == ("pets",) and matrix.values[1, 0] == 1


# Predicting


@pytest.mark.parametrize(("names", "kind"), [(("cat", "dog"), str), ((7, 3), int)])
def test_predictions_are_class_names(names: tuple[str | int, ...], kind: type) -> None:
    one = Learner(MLP(5, [16]), epochs=10)
    task = pets("pets", *names)
    one.learn(task)
    x, expected = task.train.x, [task.classes[i] for i in task.train.y]
    for given in (x, x.numpy(), x.double().numpy()):
        assert one.predict(given).tolist() == expected
    assert isinstance(one.predict(x)[0].item(), kind)
    proba = one.predict_proba(x.numpy())
    assert [one.classes_of()[i] for i in proba.argmax(1)] == expected
    assert torch.allclose(proba.sum(1), torch.ones(len(x)))
    assert one.predict(x[:0]).tolist() == []


def test_names_and_numbers_can_be_mixed() -> None:
    one = Learner(MLP(5, [16]), [Replay(capacity=100)], epochs=10)
    first, second = pets("first", "cat", "dog"), pets("second", 3, 12)
    learned(one, [first, second])
    assert one.predict(first.train.x[:2]).tolist() == ["cat", "dog"]
    assert [type(name) for name in one.predict(second.train.x[:2])] == [int, int]


def test_the_task_must_be_said_in_the_task_scenario() -> None:
    one = Learner(MLP(5, [8]), scenario="task", epochs=5)
    first, second = pets("first", "cat", "dog"), pets("second", "ape", "bee", "cat")
    learned(one, [first, second])
    assert one.predict(second.train.x, "second").tolist() == [second.classes[i] for i in second.train.y]
    assert one.classes_of("second") == ["ape", "bee", "cat"]
    assert one.classes == ["cat", "dog", "ape", "bee", "cat"]
    with pytest.raises(ScenarioError, match=r"in the scenario 'task' the task must be said: predict\(x, task=\.\.\.\)\. Known: first, sec"):
        one.predict(first.train.x)
    with pytest.raises(ScenarioError, match="no task 'frist' was learned; did you mean 'first'"):
        one.predict(first.train.x, "frist")


def test_inputs_that_the_network_can_not_take() -> None:
    one = Learner(MLP(5, [8]))
    one.learn(pets("pets", "cat", "dog"))
    message = r"MLP can't take inputs of shape \('N', 7\) and torch.float32: mat1 and mat2 shapes cannot be multiplied \(2x7 and 5x8\)"
    with pytest.raises(TaskError, match=message):
        one.predict(torch.zeros(3, 7))
    with pytest.raises(TaskError, match=r"predict: the inputs are a single number; expected shape \(N, ...\)"):
        one.predict(torch.tensor(1.0))
    other = Task("other", (torch.zeros(4, 9), [0, 1, 0, 1]))
    message = r"MLP can't take task 'other': inputs of shape \('N', 9\) and torch.float32: mat1 and mat2 shapes .* \(2x9 and 5x8\)"
    with pytest.raises(TaskError, match=message):
        one.learn(other)
    assert one.tasks == ["pets"]
    with pytest.raises(TaskError, match=r"can't take task 'bytes': inputs of shape \('N', 5\) and torch.uint8: .*(dtype|Byte)"):
        one.learn(Task("bytes", (torch.zeros(4, 5, dtype=torch.uint8), [0, 1, 0, 1])))


# Growing


def test_classes_come_by_name_in_any_order() -> None:
    one = Learner(MLP(5, [16]), methods=[Replay(capacity=200)], epochs=15)
    first, second, third = pets("a", "dog", "ape"), pets("b", "cat", "dog"), pets("c", "ape", "bee", "cat")
    learned(one, [first, second, third])
    assert one.classes == ["ape", "dog", "cat", "bee"]
    for task in (first, second, third):
        assert one.predict(task.train.x).tolist() == [task.classes[i] for i in task.train.y]
    assert one.evaluate([first, second, third]).accuracy == 1


def test_a_new_rows_weights_do_not_depend_on_the_order_of_classes() -> None:
    rows = []
    for names in (("cat", "dog", "ape"), ("ape", "cat", "dog")):
        one = Learner(MLP(5, [8]))
        x = torch.randn(6, 5, generator=torch.Generator().manual_seed(0))
        one.learn(Task("t", (x, [names[i % 3] for i in range(6)]), classes=names), optimizer=functools.partial(torch.optim.SGD, lr=0.0))
        head = one.heads.layers[0]
        assert isinstance(head, nn.Linear)
        rows.append({name: head.weight[one.classes.index(name)] for name in names})
    assert all(torch.equal(rows[0][name], rows[1][name]) for name in rows[0])


def test_in_the_domain_scenario_no_class_can_come() -> None:
    one = Learner(MLP(5, [8]), scenario="domain")
    one.learn(pets("a", "cat", "dog"))
    with pytest.raises(
        ScenarioError, match=r"task 'b' brings the classes \['ape'\], which are not among \['cat', 'dog'\].*scenario='class'"
    ):
        one.learn(pets("b", "cat", "ape"))
    one.learn(pets("c", "dog"))
    assert one.tasks == ["a", "c"]


# The learner's parts


def test_before_the_first_task_there_is_nothing_to_ask() -> None:
    one = Learner(MLP(5, [8]), [EWC(), Replay(capacity=10)])
    for ask in (lambda: one.predict(torch.zeros(1, 5)), lambda: one.network, lambda: one.heads, one.classes_of):
        with pytest.raises(TaskError, match=r"has not learned anything yet, so it has no head; call learn\(task\) first"):
            ask()
    with pytest.raises(MethodError, match="there is a learning rate only while a task is being learned"):
        _ = one.learning_rate
    assert (one.classes, one.tasks, one.in_progress, one.parameters_count(), one.cost.steps) == ([], [], None, 0, 0)
    assert one.matrix.values.shape == (1, 0)
    assert isinstance(one.kept_bytes(), int)


def test_what_it_costs() -> None:
    one = Learner(MLP(64, [16]), [EWC(examples=4)], "domain", batch_size=8)
    learned(one, image_tasks(2, "domain"))
    size = 64 * 16 + 16 + 16 * 3 + 3
    assert one.parameters_count() == size
    assert one.kept_bytes() == 2 * 4 * size
    assert one.cost.steps == 2 * 5
    assert one.cost.train_seconds > 0 and one.cost.evaluate_seconds > 0


def test_the_gradient_is_autograds_and_leaves_everything_alone() -> None:
    seen: list[tuple[Tensor, Tensor]] = []

    class Looking(ll.Method):
        def edit_gradient(self, learner: Learner, batch: Batch) -> None:
            before = {name: value.clone() for name, value in learner.network.state_dict().items()}
            current = learner.theta.gradient.clone()
            seen.append((learner.gradient(batch), learner.gradient(batch)))
            assert learner.network.training
            assert torch.equal(current, learner.theta.gradient)
            assert differing(before, dict(learner.network.state_dict())) == []
            assert torch.allclose(seen[-1][0], current, atol=1e-6)

    task = image_tasks(1, "domain")[0]
    one = Learner(ConvNet(1, [4, 8]), [Looking()], "domain", batch_size=8, optimizer=MOMENTUM)
    plain = Learner(ConvNet(1, [4, 8]), [], "domain", batch_size=8, optimizer=MOMENTUM)
    one.learn(task)
    plain.learn(task)
    assert len(seen) == 5 and all(torch.equal(a, b) for a, b in seen)
    assert differing(dict(one.network.state_dict()), dict(plain.network.state_dict())) == []
    batch = Batch(task.train.x[:8], task.train.y[:8])
    loss = nn.functional.cross_entropy(one.network(batch.x, 0), batch.y)
    expected = torch.cat([g.flatten() for g in torch.autograd.grad(loss, one.theta.parameters)])
    assert torch.equal(one.gradient(batch), expected)


class Pairs(Dataset[tuple[Any, Any]]):
    def __init__(self, x: Any, y: Any) -> None:
        self.x, self.y = x, y

    def __len__(self) -> int:
        return len(self.y)

    def __getitem__(self, i: int) -> tuple[Any, Any]:
        return self.x[i], self.y[i]


@pytest.mark.parametrize("methods", [[], [Replay(capacity=20), EWC(examples=8)]])
def test_a_dataset_is_learned_as_the_tensors_are(methods: list[ll.Method]) -> None:
    setting = Setting("convnet", MOMENTUM, "class")
    tasks = image_tasks(2, "class")
    as_pairs = []
    for task in tasks:
        assert task.test is not None
        own = [Pairs(part.x, [task.classes[i] for i in part.y.tolist()]) for part in (task.train, task.test)]
        as_pairs.append(Task(task.name, *own))
    one, other = (learned(setting.learner(*methods), each) for each in (tasks, as_pairs))
    assert differing(bits(one), bits(other)) == []


def test_features_must_be_vectors() -> None:
    task = image_tasks(1, "class")[0]
    with pytest.raises(
        TaskError, match=r"Conv2d must map task 'task 0': inputs of shape .* to features of shape \(N, F\); it gave shape \(2, 2,"
    ):
        Learner(nn.Conv2d(1, 2, 3)).learn(task)
    with pytest.raises(TaskError, match=r"LSTM must map .* to features of shape \(N, F\); it gave tuple"):
        Learner(nn.LSTM(5, 3)).learn(Task("t", (torch.zeros(4, 2, 5), [0, 1, 0, 1])))

    class AsWideAsTheInput(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.flatten(1)

    one = Learner(nn.Sequential(AsWideAsTheInput(), nn.Identity()))
    one.evaluate([pets("pets", "cat", "dog")])
    with pytest.raises(TaskError, match=r"maps task 'wide': .* to 9 features, and earlier ones to 5"):
        one.learn(Task("wide", (torch.zeros(4, 9), [0, 1, 0, 1])))
