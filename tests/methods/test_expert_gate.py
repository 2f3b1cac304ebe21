"""ExpertGate: where experts start, what they are trained with, that they stay, and what the gate makes of them."""

import functools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from lifelong.errors import MethodError, ScenarioError, StoreError
from lifelong.growth import deepen, widen
from lifelong.learner import Learner
from lifelong.method import Method
from lifelong.methods import ExpertGate, Independent, LwF, Net2Net, Progressive, TaskGate
from lifelong.methods.expert_gate import Origin
from lifelong.models import MLP, ConvNet
from lifelong.optimizers import OptimizerFactory
from lifelong.streams import split_mnist
from lifelong.tasks import Batch, Task
from lifelong.testing.cases import SETTINGS
from lifelong.testing.comparing import bits, die_at_checkpoint, differing, learned, opened, require_same
from lifelong.testing.data import image_tasks, vector_tasks
from toys import AfterStep, blobs, sgd, weights

MOMENTUM: OptimizerFactory = sgd(0.05, momentum=0.9, weight_decay=0.01)
ADAM: OptimizerFactory = functools.partial(torch.optim.Adam, lr=0.01)
NEVER, ALWAYS = 100.0, -100.0  # thresholds


def convnet() -> nn.Module:
    return nn.Sequential(ConvNet(1, [4, 8]), nn.Dropout(0.3))


def learner_of(*methods: Method, model: nn.Module | None = None, **settings: Any) -> Learner:
    return Learner(model or MLP(12, [16]), methods, "task", **{"batch_size": 20, "optimizer": sgd(0.1), **settings})


def gate_of(learner: Learner) -> ExpertGate:
    return next(method for method in learner.methods if isinstance(method, ExpertGate))


def outputs(learner: Learner, tasks: list[Task]) -> list[Tensor]:
    return [learner.predict_proba(task.train.x, task.name) for task in tasks]


def named(task: Task, name: str) -> Task:
    """The same task under another name."""
    labels = [task.classes[i] for i in task.train.y.tolist()]
    return Task(name, (task.train.x, labels), (task.train.x, labels), classes=task.classes)


# Where an expert starts, and what it is trained with


class Started(Method):
    """Keeps the network as it was when each task's first step was taken; to stand after ExpertGate in the list."""

    def begin_task(self, learner: Learner, task: Task) -> None:
        self.__dict__.setdefault("networks", []).append(weights(learner.network))


@pytest.mark.parametrize("threshold", [NEVER, ALWAYS])
def test_an_expert_starts_from_the_most_related_one(threshold: float) -> None:
    one, two = vector_tasks(2, 0, scenario="task")
    tasks = [one, two, named(one, "one again"), named(two, "two again")]
    learner = learned(learner_of(ExpertGate(threshold=threshold, steps=100, rate=0.05), Started()), tasks)
    gate, started = gate_of(learner), learner.methods[1].networks
    assert [origin.expert for origin in gate.origins.values()] == [None, "task 0", "task 0", "task 1"]
    assert list(gate.origins) == list(gate.experts) == [task.name for task in tasks]
    for place, (task, origin) in enumerate(gate.origins.items()):
        if origin.expert is None:
            assert origin == Origin(None, None, "fine-tuning")
            continue
        related = gate.relatedness[place, :place]
        assert origin.relatedness == float(related.max())
        assert origin.expert == tasks[int(related.argmax())].name
        expert = gate.experts[origin.expert]
        assert {name.split(".")[0] for name in expert} == {"features", "heads"}
        assert all(torch.equal(started[place][name], value) for name, value in expert.items())
        own = learner.heads.untrained(learner.heads.find(task))
        assert torch.equal(started[place][f"heads.layers.{place}.weight"], own.weight), "its own head is a fresh one"


def test_lwf_where_relatedness_is_above_the_threshold() -> None:
    one, two = vector_tasks(2, 0, scenario="task")
    learner = learned(learner_of(ExpertGate(threshold=0.85, steps=200, rate=0.05)), [one, two, named(one, "one again")])
    origins = gate_of(learner).origins
    assert [origin.training for origin in origins.values()] == ["fine-tuning", "fine-tuning", "LwF"]
    assert [(origin.relatedness or 0) > 0.85 for origin in origins.values()] == [False, False, True]


@pytest.mark.parametrize("arguments", [{"threshold": NEVER}, {"threshold": ALWAYS, "strength": 0}], ids=["unrelated", "no strength"])
@pytest.mark.parametrize("optimizer", [MOMENTUM, ADAM], ids=["momentum", "adam"])
def test_with_two_tasks_it_is_fine_tuning_where_they_are_unrelated(arguments: dict[str, Any], optimizer: OptimizerFactory) -> None:
    tasks = image_tasks(2, "task")
    settings: dict[str, Any] = {"model": convnet(), "optimizer": optimizer, "reset_optimizer": False}
    plain = learned(learner_of(**settings), tasks)
    own = learned(learner_of(ExpertGate(steps=5, **arguments), **settings), tasks)
    require_same(weights(plain.network), weights(own.network), "fine-tuning's network and the second expert")
    assert [origin.training for origin in gate_of(own).origins.values()] == ["fine-tuning"] * 2


@pytest.mark.parametrize("optimizer", [MOMENTUM, ADAM], ids=["momentum", "adam"])
def test_with_two_tasks_it_is_lwf_where_they_are_related(optimizer: OptimizerFactory) -> None:
    tasks = image_tasks(2, "task")
    settings: dict[str, Any] = {"model": convnet(), "optimizer": optimizer}
    lwf = learned(learner_of(LwF(strength=0.7), **settings), tasks)
    own = learned(learner_of(ExpertGate(steps=5, threshold=ALWAYS, strength=0.7), **settings), tasks)
    require_same(weights(lwf.network), weights(own.network), "LwF's network and the second expert")
    assert gate_of(own).origins["task 1"].training == "LwF"


class Follows(Method):
    """Keeps what each step's loss was made of, and the network at the task's start; to stand after ExpertGate in the list."""

    def begin_task(self, learner: Learner, task: Task) -> None:
        self.__dict__["steps"] = []

    def loss(self, learner: Learner, batch: Batch, output: Tensor, loss: Tensor) -> Tensor:
        assert learner.features is not None
        old = [learner.heads(learner.features, head).detach().clone() for head in range(len(learner.heads.layers))]
        self.__dict__["steps"].append((batch, output.detach().clone(), loss.detach().clone(), old))
        return loss


def test_the_loss_distils_the_expert_that_it_started_from() -> None:
    """In the third task, which starts from the first one's expert and not from the network as it was left."""
    one, two = vector_tasks(2, 0, scenario="task", size=60)
    learner = learned(learner_of(ExpertGate(threshold=0.85, strength=0.7, steps=200, rate=0.05), Follows()), [one, two])
    expert = gate_of(learner).experts["task 0"]
    learner.learn(named(one, "one again"))
    assert gate_of(learner).origins["one again"].training == "LwF"
    teacher = MLP(12, [16])
    teacher.load_state_dict({name.removeprefix("features."): value for name, value in expert.items() if name.startswith("features.")})
    for batch, output, loss, old in learner.methods[1].steps:
        with torch.no_grad():
            logits = teacher(batch.x) @ expert["heads.layers.0.weight"].T + expert["heads.layers.0.bias"]
        terms = []
        for answer, target in zip((old[0] / 2).softmax(1), (logits / 2).softmax(1), strict=True):
            terms.append(-sum(t * a.log() for t, a in zip(target, answer, strict=True)))
        assert torch.allclose(loss, cross_entropy(output, batch.y) + 0.7 * torch.stack(terms).mean(), atol=1e-5)


def test_the_autoencoder_is_trained_before_the_network(tmp_path: Path) -> None:
    seen: list[int] = []
    learner = learner_of(ExpertGate(steps=3), AfterStep(lambda learner: seen.append(len(gate_of(learner).encoder))), steps=2)
    learned(learner, vector_tasks(2, 0, scenario="task"))
    assert seen == [1, 1, 2, 2]


def test_its_autoencoders_are_those_of_the_gate_alone() -> None:
    tasks = vector_tasks(3, 0, scenario="task")
    both = [learned(learner_of(method), tasks) for method in (ExpertGate(steps=20), TaskGate(steps=20))]
    x = torch.cat([task.train.x for task in tasks])
    assert both[0].predict_task(x).tolist() == both[1].predict_task(x).tolist()
    one, other = (learner.methods[0].relatedness for learner in both)
    assert torch.equal(one.nan_to_num(9), other.nan_to_num(9))


# Experts stay


@pytest.mark.parametrize("optimizer", [MOMENTUM, ADAM], ids=["momentum", "adam"])
@pytest.mark.parametrize("threshold", [NEVER, ALWAYS], ids=["fine-tuning", "LwF"])
def test_what_earlier_experts_give_stays_bit_for_bit(threshold: float, optimizer: OptimizerFactory, tmp_path: Path) -> None:
    tasks = image_tasks(4, "task")
    learner = learner_of(ExpertGate(threshold=threshold, steps=10), model=convnet(), optimizer=optimizer, reset_optimizer=False)
    before: list[Tensor] = []
    for count, task in enumerate(tasks):
        learner.learn(task)
        before += outputs(learner, [task])
        learner.save(tmp_path / "saved")
        learner = Learner.open(tmp_path / "saved", model=convnet())
        assert all(torch.equal(a, b) for a, b in zip(before, outputs(learner, tasks[: count + 1]), strict=True))
    assert learner.evaluate(tasks).backward_transfer == 0.0
    assert not any(torch.equal(before[0], each) for each in before[1:])


def test_an_expert_is_the_network_as_it_was_trained() -> None:
    learner = learner_of(ExpertGate(steps=5, threshold=ALWAYS), model=convnet())
    for task in image_tasks(3, "task"):
        learner.learn(task)
        assert torch.equal(outputs(learner, [task])[0], learner.logits(task.train.x, task.name).softmax(1))


GROWTH = [[widen("blocks.0", 7)], [widen("blocks.4", 11)], [deepen("blocks.4")], [deepen("blocks.0"), widen("blocks.0", 6)]]


@pytest.mark.parametrize("operations", GROWTH, ids=["widen", "widen the features", "deepen", "deepen and widen"])
def test_experts_follow_growth(operations: list[dict[str, Any]], tmp_path: Path) -> None:
    *tasks, last = image_tasks(3, "task")
    learner = learned(learner_of(ExpertGate(steps=5, threshold=ALWAYS), model=ConvNet(1, [4, 8]), optimizer=MOMENTUM), tasks)
    before = outputs(learner, tasks)
    for operation in operations:
        learner.grow(operation)
    grown = outputs(learner, tasks)
    assert all(torch.allclose(a, b, atol=1e-5) for a, b in zip(before, grown, strict=True))
    learner.save(tmp_path)
    learner = Learner.open(tmp_path)
    learner.learn(last)
    assert all(torch.equal(a, b) for a, b in zip(grown, outputs(learner, tasks), strict=True))


def test_it_goes_with_a_network_that_grows_while_it_learns() -> None:
    tasks = image_tasks(2, "task")
    grows = Net2Net(until_accuracy=2.0, max_growths=1)
    learner = learned(learner_of(ExpertGate(steps=5, threshold=ALWAYS), grows, model=ConvNet(1, [4, 8])), tasks)
    assert learner.parameters_count() > learned(learner_of(ExpertGate(steps=5), model=ConvNet(1, [4, 8])), tasks).parameters_count()
    assert learner.evaluate(tasks).accuracy > 0.3


# Without being told the task


def test_without_the_task_the_gate_chooses_the_expert() -> None:
    tasks = vector_tasks(4, 0, scenario="task")
    learner = learned(learner_of(ExpertGate(steps=200, rate=0.05), epochs=5), tasks)
    matrix = learner.evaluate(tasks)
    assert matrix.accuracy > 0.95
    assert learner.routed.accuracy > matrix.accuracy - 0.02
    x = torch.cat([task.train.x[:20] for task in tasks])
    chosen = learner.predict_task(x).tolist()
    by_hand = [
        learner.classes_of(task)[int(learner.predict_proba(each[None], task).argmax())] for each, task in zip(x, chosen, strict=True)
    ]
    assert learner.predict(x).tolist() == by_hand
    assert len(set(chosen)) == 4


def test_with_the_task_the_gate_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    tasks = vector_tasks(2, 0, scenario="task")
    learner = learned(learner_of(ExpertGate(steps=5)), tasks)
    monkeypatch.setattr(ExpertGate, "route", lambda *_: pytest.fail("asked"))
    assert learner.predict(tasks[0].train.x, "task 0").shape == (300,)
    with pytest.raises(ScenarioError, match="the task must be said"):
        learner.predict_proba(tasks[0].train.x)


# What it keeps


def test_what_it_keeps() -> None:
    learner = learned(learner_of(ExpertGate(steps=2, units=3, threshold=ALWAYS)), vector_tasks(2, 0, scenario="task"))
    gate = gate_of(learner)
    expert, autoencoder = 12 * 16 + 16 + 16 * 4 + 4, 2 * 3 * 12 + 3 + 12
    assert gate.parameters_kept() == 2 * (expert + autoencoder)
    assert learner.parameters_count() == gate.parameters_kept() + expert + 16 * 4 + 4
    assert 0 < gate.kept_bytes() - 4 * gate.parameters_kept() < 500
    assert not gate.teacher


def test_origins_are_saved_and_the_tables_are_the_gates(tmp_path: Path) -> None:
    tasks = vector_tasks(3, 0, scenario="task")
    learner = learned(learner_of(ExpertGate(steps=20)), tasks)
    learner.save(tmp_path)
    again = Learner.open(tmp_path)
    assert gate_of(again).origins == gate_of(learner).origins
    assert list(gate_of(again).origins) == learner.tasks
    tables = gate_of(again).tables(again)
    assert list(tables) == ["Relatedness", "Which task the gate chose"]
    assert tables["Which task the gate chose"].values.sum(1).tolist() == pytest.approx([1.0] * 3)


@pytest.mark.parametrize("threshold", [NEVER, ALWAYS], ids=["fine-tuning", "LwF"])
def test_killed_inside_a_task_it_goes_on_and_answers_for_the_tasks_before(threshold: float, tmp_path: Path) -> None:
    tasks, method = image_tasks(3, "task"), {"steps": 10, "threshold": threshold}
    setting = SETTINGS["mlp-sgd-task"]
    whole = learned(setting.learner(ExpertGate(**method)), tasks)
    learner = learned(setting.learner(ExpertGate(**method)), tasks[:2])
    before, chosen = outputs(learner, tasks[:2]), learner.predict_task(tasks[0].train.x).tolist()
    die_at_checkpoint(learner, tasks[2], tmp_path, 2)
    learner = opened(tmp_path, setting, ExpertGate(**method))
    assert learner.in_progress == "task 2"
    assert list(gate_of(learner).origins) == ["task 0", "task 1", "task 2"]
    assert list(gate_of(learner).experts) == ["task 0", "task 1"]
    assert all(torch.equal(a, b) for a, b in zip(before, outputs(learner, tasks[:2]), strict=True))
    assert learner.predict_task(tasks[0].train.x).tolist() == chosen
    assert set(learner.predict_task(tasks[2].train.x).tolist()) <= {"task 0", "task 1"}, "the third one has no expert yet"
    learner.learn(tasks[2])
    require_same(bits(whole), bits(learner), "the learner that never stopped and the one killed")


def test_a_task_that_fails_leaves_it_as_it_was() -> None:
    tasks = image_tasks(2, "task")
    learner = learned(learner_of(ExpertGate(steps=5), model=convnet()), tasks[:1])
    before = bits(learner)
    with pytest.raises(RuntimeError, match="the weights became infinite|the loss became"):
        learner.learn(tasks[1], optimizer=sgd(1e30))
    assert differing(before, bits(learner)) == []
    assert list(gate_of(learner).origins) == ["task 0"]
    learner.learn(tasks[1])


# Refusing


@pytest.mark.parametrize("threshold", [float("nan"), float("inf"), "0.85", None])
def test_thresholds_that_are_no_numbers(threshold: Any) -> None:
    with pytest.raises(MethodError, match=f"ExpertGate: threshold is {threshold!r}; expected a finite number, such as 0.85"):
        ExpertGate(threshold=threshold)


def test_other_arguments_out_of_range() -> None:
    with pytest.raises(MethodError, match="ExpertGate: strength is -1; expected a finite number >= 0"):
        ExpertGate(strength=-1)
    with pytest.raises(MethodError, match="ExpertGate: steps is 0; expected an integer >= 1"):
        ExpertGate(steps=0)


@pytest.mark.parametrize("scenario", ["domain", "class"])
def test_other_scenarios(scenario: Any) -> None:
    message = f"ExpertGate tells which task an input is from, which the scenario '{scenario}' does not ask for; use scenario='task'"
    with pytest.raises(ScenarioError, match=message):
        Learner(MLP(6, [4]), [ExpertGate()], scenario).learn(blobs())


@pytest.mark.parametrize("other", [Independent(), Progressive(), TaskGate()], ids=lambda method: type(method).__name__)
def test_others_that_predict_or_route(other: Method) -> None:
    with pytest.raises(MethodError, match=f"ExpertGate and {type(other).__name__} both"):
        learner_of(ExpertGate(), other)


def test_a_preprocessor_must_be_given_again(tmp_path: Path) -> None:
    tasks = vector_tasks(2, 0, scenario="task", size=40)
    learner = learned(learner_of(ExpertGate(steps=3, preprocessor=nn.Linear(12, 20))), tasks)
    learner.save(tmp_path)
    again = Learner.open(tmp_path, methods=[ExpertGate(steps=3, preprocessor=nn.Linear(12, 20))])
    require_same(bits(learner), bits(again), "the learner and the one opened")
    with pytest.raises(
        StoreError, match=r"ExpertGate's preprocessor, a Linear, is not the library's .* methods=\[ExpertGate\(preprocessor="
    ):
        Learner.open(tmp_path)


# Real digits


@pytest.mark.slow
def test_it_learns_pairs_of_digits_and_tells_them_apart() -> None:
    tasks = list(split_mnist())
    learner = learned(Learner(MLP(784, [100]), [ExpertGate()], "task", epochs=3), tasks)
    matrix = learner.evaluate(tasks)
    shares = [learner.chosen[task.name][task.name] / sum(learner.chosen[task.name].values()) for task in tasks]
    assert matrix.accuracy > 0.97
    assert np.mean(shares) > 0.94
    assert learner.routed.accuracy > 0.92


class Counts(nn.Module):
    """Features of inputs that are numbers of words: how often each of seven occurs."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(7, 7)

    def forward(self, x: Tensor) -> Tensor:
        counts: Tensor = self.layer(torch.nn.functional.one_hot(x.long(), 7).flatten(1, -2).sum(1).float())
        return counts


def test_words_need_a_preprocessor() -> None:
    stories = Task("stories", (torch.ones(8, 3, 2, dtype=torch.int16), [0, 1] * 4))
    learner = learner_of(ExpertGate(steps=2), model=Counts(), steps=2)
    message = (
        r"ExpertGate: inputs are torch.int16 of shape \(2, 3, 2\) for 2 examples; its autoencoders reproduce floats .*Give a preprocessor"
    )
    with pytest.raises(MethodError, match=message):
        learner.learn(stories)
    assert learner.tasks == []
    assert gate_of(learner).experts == {}
    given = learner_of(ExpertGate(steps=2, preprocessor=Counts()), model=Counts(), steps=2)
    given.learn(stories)
    assert given.tasks == ["stories"]
