"""What bad input gets: every kind of it, and messages that say what was given, what was expected and what to do."""

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

import lifelong as ll
from lifelong.errors import MethodError, NonFiniteError, ScenarioError, TaskError, ThetaError
from lifelong.learner import Learner
from lifelong.methods import DER, EWC, L2, MAS, SI, Independent, Joint, LwF, OnlineEWC, Replay
from lifelong.models import MLP
from lifelong.tasks import Examples, Task
from lifelong.testing.data import image_tasks

X = torch.zeros(4, 5)
Y = [0, 1, 0, 1]


def small(name: str = "t", **arguments: Any) -> Task:
    return Task(name, (torch.randn(8, 5, generator=torch.Generator().manual_seed(0)), [0, 1] * 4), **arguments)


def learner(*methods: Any, **arguments: Any) -> Learner:
    return Learner(MLP(5, [4]), methods, **arguments)


class Predicting(ll.Method):
    def predict(self, learner: Learner, x: Tensor, task: str | None) -> Tensor:
        return learner.logits(x, task)


class AlsoPredicting(Predicting):
    pass


class Restarting(ll.Method):
    def begin_task(self, learner: Learner, task: Task) -> None:
        learner.restart()


class Careless(ll.Method):
    def __init__(self, *, depth: int = 3) -> None:
        super().__init__()


# Data


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Task("t", (X[:0], [])), r"task 't', train is empty; a task needs at least one example"),
        (lambda: Task("t", (X, Y), (X[:0], [])), r"task 't', test is empty"),
        (lambda: Task("t", (X, Y[:3])), r"task 't', train: 4 inputs but 3 labels; give one label for each input"),
        (lambda: Task("t", (X, Y), classes=[0, 2]), r"train: label 1 is not one of the classes \[0, 2\]; add it to `classes` or correct"),
        (lambda: Task("t", (X, ["a", "b"] * 2), classes=["a"]), r"label 'b' is not one of the classes \['a'\]"),
        (
            lambda: Task("t", (X + torch.nan, Y)),
            r"train: NaN or infinite inputs, first in example 0; clean the data or drop those examples",
        ),
        (lambda: Task("t", (X, Y), (torch.eye(4) / torch.eye(4), Y)), r"task 't', test: NaN or infinite inputs, first in example 0"),
        (lambda: Task("t", (np.full((4, 5), np.inf), Y)), r"NaN or infinite inputs"),
        (lambda: Task("t", (X, X)), r"labels have shape \(4, 5\); expected one label an example, shape \(N,\)"),
        (lambda: Task("t", X), r"train: expected \(x, y\) or a torch Dataset, got Tensor"),  # type: ignore[arg-type]
        (lambda: ll.streams.from_tasks([]), r"stream 'tasks' has no tasks; give at least one"),
        (lambda: ll.streams.from_tasks([small("a"), small("a")]), r"tasks 0 and 1 are both called 'a'; give each its own name"),
    ],
)
def test_data_that_can_not_be_learned_from(make: Callable[[], Any], message: str) -> None:
    with pytest.raises(TaskError, match=message):
        make()


def test_a_task_seen_twice_under_one_name() -> None:
    one = learner()
    one.learn(small())
    with pytest.raises(TaskError, match="task 't' was learned already; give what is to be learned next a name of its own"):
        one.learn(small())


def test_nan_that_only_reading_can_find_is_found_by_the_loss() -> None:
    class Lazy(Dataset[tuple[Tensor, int]]):
        targets = Y

        def __len__(self) -> int:
            return 4

        def __getitem__(self, i: int) -> tuple[Tensor, int]:
            return torch.full((5,), torch.nan), Y[i]

    with pytest.raises(NonFiniteError, match="task 'lazy': the loss became nan at step 1 of 1, training with fine-tuning"):
        learner().learn(Task("lazy", Lazy()))


# Settings of a learner


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"epochs": 0}, "epochs is 0; expected an integer >= 1"),
        ({"epochs": 1.5}, "epochs is 1.5; expected an integer >= 1"),
        ({"steps": 0}, "steps is 0; expected an integer >= 1"),
        ({"batch_size": -4}, "batch_size is -4; expected an integer >= 1"),
        ({"workers": -1}, "workers is -1; expected an integer >= 0"),
        ({"clip_norm": 0.0}, "clip_norm is 0.0; expected a number > 0, or None for no clipping"),
        ({"clip_norm": float("nan")}, "clip_norm is nan; expected a number > 0"),
        ({"precision": "float64"}, "precision is 'float64'; expected 'float32', 'bfloat16', 'bf16' or 'float16'"),
        ({"optimizer": "adam"}, r"optimizer is 'adam'; expected something to call, as functools.partial\(torch.optim.SGD, lr=0.1\)"),
        ({"scheduler": 0.5}, r"scheduler is 0.5; expected something to call, as functools.partial\(torch.optim.lr_scheduler"),
    ],
)
def test_wrong_settings(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        learner(**arguments)
    one = learner()
    with pytest.raises(ValueError, match=message):
        one.learn(small(), **arguments)
    assert one.tasks == []


def test_wrong_words() -> None:
    with pytest.raises(TypeError, match="learn got an unknown setting 'batchsize'; did you mean 'batch_size'"):
        learner().learn(small(), batchsize=4)
    with pytest.raises(ScenarioError, match="scenario is 'domian'; did you mean 'domain'. Known: class, domain, task"):
        learner(scenario="domian")
    with pytest.raises(AttributeError, match="module 'lifelong' has no attribute 'Lerner'"):
        _ = ll.Lerner
    adopted = ll.adopt(nn.Sequential(nn.Linear(5, 2)), classes=["a", "b"])
    with pytest.raises(ScenarioError, match="an adopted classifier has one head for all its classes; use scenario='class' or 'domain'"):
        Learner(adopted, scenario="task")


# Methods


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: EWC(strength=-1.0), "EWC: strength is -1.0; expected a finite number >= 0, where 0 switches the method off"),
        (lambda: L2(strength=float("nan")), "L2: strength is nan; expected a finite number >= 0"),
        (lambda: OnlineEWC(strength=float("inf")), "OnlineEWC: strength is inf; expected a finite number >= 0"),
        (lambda: EWC(strength="10"), "EWC: strength is '10'; expected a finite number >= 0"),  # type: ignore[arg-type]
        (lambda: L2(step="explicit"), "L2: step is 'explicit'; expected 'implicit' or 'additive'"),  # type: ignore[arg-type]
        (lambda: EWC(labels="real"), "EWC: labels is 'real'; expected 'exact', 'sampled' or 'true'"),  # type: ignore[arg-type]
        (lambda: EWC(examples=0), "EWC: examples is 0; expected an integer >= 1, or None for all of the task's"),
        (lambda: EWC(examples=0.5), "EWC: examples is 0.5; expected an integer >= 1"),  # type: ignore[arg-type]
        (lambda: OnlineEWC(decay=1.1), r"OnlineEWC: decay is 1.1; expected a number from 0 \(forget at once\) to 1 \(keep all\)"),
        (lambda: Independent(start="second"), "Independent: start is 'second'; expected 'first' or 'previous'"),  # type: ignore[arg-type]
        (lambda: SI(damping=0), "SI: damping is 0; expected a number > 0, which bounds the importance of weights that hardly moved"),
        (lambda: SI(nonnegative=False), "SI: nonnegative=False allows negative importances, .*; use step='additive'"),
        (lambda: MAS(examples=-1), "MAS: examples is -1; expected an integer >= 0, or None for all of the task's"),
        (lambda: LwF(temperature=0), "LwF: temperature is 0; expected a number > 0, where 1 leaves the answers as they are"),
        (lambda: LwF(warm_up=-1), "LwF: warm_up is -1; expected a number of passes, an integer >= 0"),
        (lambda: DER(replayed=0), "DER: replayed is 0; expected an integer >= 1, or None for as many as the batch has"),
        (lambda: DER(beta=-1), "DER: beta is -1; expected a finite number >= 0, where 0 switches the method off"),
        (lambda: Replay(capacity=-1), "a memory's size is -1; expected an integer >= 0, where 0 keeps nothing"),
        (lambda: Replay(capacity=2.5), "a memory's size is 2.5; expected an integer >= 0"),  # type: ignore[arg-type]
        (lambda: Replay(policy="newest"), "a memory's policy is 'newest'; expected 'reservoir' or 'ring'"),  # type: ignore[arg-type]
        (lambda: Replay(replayed=-2), "Replay: replayed is -2; expected an integer >= 0, or None for as many as the batch has"),
        (lambda: learner(EWC(), EWC(strength=3.0)), "methods has EWC 2 times; give each method once"),
        (lambda: learner("ewc"), r"methods holds 'ewc'; expected instances of Method, as in methods=\[EWC\(strength=100.0\)\]"),
        (lambda: learner(EWC), "methods holds <class .*EWC'>; expected instances of Method"),
        (lambda: Learner(MLP(5), EWC()), r"methods is one EWC; expected a list, as in methods=\[EWC\(\)\]"),  # type: ignore[arg-type]
        (lambda: learner(Predicting(), AlsoPredicting()), "Predicting and AlsoPredicting both replace the prediction; use one of them"),
        (lambda: Careless().arguments(), "Careless does not keep its argument 'depth', so it can't be saved: set self.depth in __init__"),
        (lambda: learner(Restarting()).learn(small()), r"calls learner.restart\(\) must say so: restarts = True in its class"),
        (lambda: learner().learning_rate, "there is a learning rate only while a task is being learned"),
    ],
)
def test_methods_that_are_wrong_or_do_not_go_together(make: Callable[[], Any], message: str) -> None:
    with pytest.raises(MethodError, match=message):
        make()


def test_a_method_that_needs_what_the_scenario_can_not_give() -> None:
    one = learner(Independent())
    with pytest.raises(
        ScenarioError, match="Independent networks can't tell classes of different tasks apart; use scenario='task' or 'dom"
    ):
        one.learn(small())
    assert one.tasks == []
    one = learner(Independent(), scenario="domain")
    one.learn(small())
    with pytest.raises(ScenarioError, match=r"Independent networks must be told the task: predict\(x, task=\.\.\.\)\. Known: t"):
        one.predict(X)


@pytest.mark.parametrize("method", [Replay(capacity=8), Joint()])
def test_methods_that_rehearse_need_inputs_of_one_shape(method: ll.Method) -> None:
    one = Learner(nn.Sequential(nn.AdaptiveAvgPool1d(4), nn.Flatten()), [method])
    one.learn(Task("a", (torch.zeros(4, 1, 5), Y)))
    with pytest.raises(
        TaskError, match=r"inputs of shapes \('N', 1, 9\) and \('N', 1, 5\) can't be one batch; .* needs all tasks' inputs of one shape"
    ):
        one.learn(Task("b", (torch.zeros(4, 1, 9), Y)))
    assert one.tasks == ["a"]


def test_a_memory_too_small_for_its_tasks() -> None:
    one = learner(Replay(capacity=1, policy="ring"))
    one.learn(small("a"))
    with pytest.raises(MethodError, match="a ring memory of 1 can't give 2 tasks an example each; make it larger or use 'reservoir'"):
        one.learn(small("b"))
    assert one.tasks == ["a"]


def test_joint_keeps_tasks_of_one_head() -> None:
    joint, examples = Joint(), Examples(X, torch.tensor(Y))
    examples.head = torch.tensor([0, 0, 1, 1])
    joint.kept = [examples]
    with pytest.raises(MethodError, match="Joint keeps tasks of one head each; a task's examples came with a head an example"):
        joint.state()


def test_the_optimizer_can_not_change_its_kind_when_its_state_is_carried() -> None:
    one = learner(reset_optimizer=False, optimizer=functools.partial(torch.optim.Adam, lr=0.01))
    one.learn(small("a"))
    with pytest.raises(MethodError, match="reset_optimizer=False carries the state of one kind of optimizer; it can't go from one kind to"):
        one.learn(small("b"), optimizer=functools.partial(torch.optim.SGD, lr=0.01))


# Training


def test_a_strength_too_large_for_the_additive_step_is_named() -> None:
    one = Learner(MLP(64, [16]), [L2(strength=1e6, step="additive")], "domain")
    first, second = image_tasks(2, "domain")
    one.learn(first)
    kept = one.theta.value.clone()
    message = r"task 'task 1': .* at step \d+ of 40, training with L2\..*Lower the learning rate 0\.1 or L2's strength 1e\+06, or set clip_"
    with pytest.raises(NonFiniteError, match=message):
        one.learn(second, epochs=20)
    assert torch.equal(kept, one.theta.value)
    assert one.tasks == ["task 0"]


def test_a_method_that_moves_parameters_away_is_told() -> None:
    class Moving(ll.Method):
        def after_step(self, learner: Learner) -> None:
            parameter = next(iter(learner.network.parameters()))
            parameter.data = parameter.data.clone()

    with pytest.raises(ThetaError, match=r"parameter '.*' no longer shares theta's memory: something replaced it during training"):
        learner(Moving()).learn(small())


def test_networks_that_can_not_be_one_vector() -> None:
    model = nn.Sequential(nn.Linear(5, 4), nn.Linear(4, 3).double())
    with pytest.raises(TaskError, match=r"Sequential can't take task 't': inputs of shape \('N', 5\) and torch.float32: .*dtype"):
        Learner(model).learn(small())


# Streams


def test_an_endless_stream_has_no_length() -> None:
    stream = ll.streams.permuted_mnist(tasks=None)
    with pytest.raises(TypeError, match=r"stream 'permuted-mnist' never ends and has no length; take a part of it, as in stream\[:10\]"):
        len(stream)


# What is given in place of something else


def test_things_of_the_wrong_kind() -> None:
    stream = ll.streams.from_tasks([small()])
    with pytest.raises(TaskError, match="learn was given a Stream; expected one Task, as in: for task in stream: learner.learn"):
        learner().learn(stream)  # type: ignore[arg-type]
    with pytest.raises(TaskError, match="learn was given a tuple; expected one Task"):
        learner().learn((X, Y))  # type: ignore[arg-type]
    with pytest.raises(TaskError, match=r"evaluate was given one Task; expected several or a stream, as in learner.evaluate\(\[task\]\)"):
        learner().evaluate(small())  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"model is <class '.*MLP'>; expected a torch module from inputs to features, as in MLP\(784"):
        Learner(MLP)  # type: ignore[arg-type]
