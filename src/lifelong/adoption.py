"""What methods take in beside tasks: unlabelled inputs, and what an adopted classifier knew before."""

import copy
import functools
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch
from numpy.typing import NDArray
from torch import Tensor

from lifelong import reading
from lifelong.errors import MethodError, ScenarioError, TaskError
from lifelong.learning import Pauses, begin, end, train
from lifelong.models.heads import seed_of
from lifelong.progress import Stop
from lifelong.quadratic import QuadraticPenalty
from lifelong.shape import bind, described, features_of, probe, wanted
from lifelong.tasks import CHUNK, Examples, Task

if TYPE_CHECKING:
    from lifelong.learner import Learner

STILL = functools.partial(torch.optim.SGD, lr=0.0)
ASKED = 2000  # inputs of a task that an adopted classifier is asked about, at most


def remember(learner: "Learner", task: Task, evaluate: bool) -> None:
    """A task is learned at a learning rate of 0, which is nothing but the methods' moments; batch-norm statistics are put back."""
    network, carried = learner.network, learner._carried
    weights = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    training = replace(learner.training, optimizer=STILL, scheduler=None, reset_optimizer=True)
    run = begin(learner, task, training, evaluate)
    train(learner, task, run, Pauses(Stop(), None, 0.0, (), 1), progress=False)
    network.load_state_dict(weights)
    end(learner, task, run, evaluate)
    learner._carried = carried  # the optimizer's state, for those that go on with it


def check_known(learner: "Learner", task: Task) -> None:
    """Raises TaskError where there is nothing for `remember` to take in."""
    if not isinstance(task, Task):
        raise TaskError(f"remember was given a {type(task).__name__}; expected one Task, with some examples of classes that are known")
    if not learner.adopted:
        raise TaskError("remember is for what a classifier knew when it was adopted, and this network was not; learn(task) learns a task")
    unknown = [name for name in task.classes if not learner.heads.knows(task.name, [name])]
    if unknown:
        raise TaskError(
            f"task {task.name!r} has the classes {unknown}, which are not among {learner.classes}: remember trains nothing; "
            "leave their examples out, or learn(task)"
        )
    if learner._unfinished is not None:
        raise TaskError(f"task {learner._unfinished.task!r} is in progress; learn it to its end first")


def consolidate(learner: "Learner", x: Tensor | NDArray[Any], task: str | None) -> None:
    """The methods that can take in what the network does with unlabelled inputs, for `Learner.consolidate`."""
    inputs = reading.inputs("consolidate", x)
    if not (learner.tasks or learner.adopted) or learner._unfinished is not None:
        raise TaskError(
            "consolidate protects what was learned: call it between tasks, after learn(task)"
            + (f"; task {learner._unfinished.task!r} is in progress" if learner._unfinished is not None else "")
        )
    able = [method for method in learner.methods if method.overrides("consolidate")]
    if not able:
        have = ", ".join(type(method).__name__ for method in learner.methods) or "none"
        raise MethodError(f"consolidate needs a method that learns from inputs without labels, as MAS; this learner's methods: {have}")
    if not len(inputs):
        raise TaskError("consolidate was given no inputs; expected at least one, shape (N, ...)")
    reading.check_finite("consolidate", inputs)
    features_of(learner, inputs[:2], described(inputs))
    if not learner.theta.layout.size:  # adopted, and nothing was learned since
        bind(learner, {name: each for name, each in learner.network.named_parameters() if each.requires_grad})
    with learner._random:
        for method in able:
            method.consolidate(learner, inputs.to(learner.device), task)


def ask(learner: "Learner", task: Task) -> None:
    """Before its first task, penalties on weights take in what an adopted classifier answers to that task's inputs.

    It brings no data of what it knows, so the new inputs are what it can be asked about, as LwF asks its teacher. Where `remember` or
    `consolidate` came first, their inputs are better, and nothing is asked.

    Raises:
        ScenarioError: all methods live on kept examples, none is kept of the adopted classes, and the task has none of them.
    """
    if not learner.adopted or learner.theta.layout.size:
        return
    probe(learner, task)
    _check_examples(learner, task)
    penalties = [method for method in learner.methods if isinstance(method, QuadraticPenalty)]
    if not penalties:
        return
    with learner._timed("train_seconds"):
        bind(learner, wanted(learner, task))
        generator = torch.Generator().manual_seed(seed_of(learner.seed, "adopted"))
        x = task.train.take(torch.randperm(len(task.train), generator=generator)[:ASKED])
        answers = torch.cat([learner.logits(part, None).argmax(1).cpu() for part in torch.split(x, CHUNK)])
        asked = copy.copy(task)
        asked.train, asked.test, asked.classes = Examples(x, answers), None, tuple(learner.heads.classes[0])
        for method in penalties:
            method.begin_task(learner, asked)
            method.end_task(learner, asked)
        learner._examples = None  # they were those of `asked`, which has the task's name


def _check_examples(learner: "Learner", task: Task) -> None:
    known, names = learner.heads.classes[0], [type(method).__name__ for method in learner.methods]
    on_examples = [method.keeps == "examples" and method.rehearses() and not method.restarts for method in learner.methods]
    if names and all(on_examples) and not set(known) & set(task.classes):
        raise ScenarioError(
            f"{' and '.join(names)} would forget the classes {known}, which were adopted: no examples of them are kept. Give a few first, "
            "learner.remember(Task(name, train=(x, y))), or have some in this task; or add LwF, which needs none. "
            "No methods at all is fine-tuning"
        )
