"""Checks of what a method may touch and must say. Docstrings and arguments are as in `exactness`."""

import copy
import inspect
import json
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn, get_args

import numpy as np
import torch
from torch import Tensor

from lifelong.errors import ScenarioError
from lifelong.learner import Learner
from lifelong.method import Keeps, Method
from lifelong.tasks import Scenario, Task
from lifelong.testing.cases import Case, Setting
from lifelong.testing.comparing import learned, opened, require_same
from lifelong.testing.data import Sealed
from lifelong.testing.requiring import ConformanceError, require

MOMENTS = ("begin_task", "choose_examples", "mix", "loss", "edit_gradient", "after_step", "end_task", "predict")


def touches_no_other_tasks_data(case: Case, setting: Setting, path: Path) -> None:
    """It reads a task's data only while that task is learned.

    Copy what is to be remembered into buffers. A method that keeps the data themselves says so: keeps = "examples" in its class, and
    rereads=True here.
    """
    seals: list[Sealed] = []
    learner = setting.learner(case.make())
    for task in setting.tasks(3):
        parts = [part for part in (task.train, task.test) if part is not None]
        own = [Sealed(task.name, part.x, [task.classes[i] for i in part.y.tolist()]) for part in parts]
        sealed = Task(task.name, own[0], own[1], classes=task.classes)
        own[0].open, own[1].open = "its turn", "its turn"
        learner.learn(sealed)
        own[0].open = "it is kept" if case.rereads else ""
        own[1].open = ""
        seals += own
    require(case.rereads <= (case.kind.keeps == "examples"), f"it rereads earlier tasks' data, and says that it keeps {case.kind.keeps!r}")
    learner.save(path)
    require(all(seal.read for seal in seals), "a task's own data were not read when it was learned")


@contextmanager
def random_states_stay() -> Iterator[None]:
    """Raises ConformanceError where the process's random states are others afterwards."""

    def states() -> dict[str, Any]:
        numpys: Any = np.random.get_state()
        return {"Python": random.getstate(), "numpy": (numpys[1].tolist(), numpys[2]), "torch": torch.get_rng_state().tolist()}

    before = states()
    yield
    changed = [name for name, state in states().items() if state != before[name]]
    require(not changed, f"it drew from the process's random numbers, of {' and '.join(changed)}")


def callers_objects_stay(case: Case, setting: Setting, path: Path) -> None:
    """The model, the method, the data and the random states of the caller stay as they are.

    Change no batch in place, keep state in self and not in the class or in arguments that were given, and draw random numbers from
    learner.generator(self), never from the global sources of torch, numpy or Python.
    """
    model, method, tasks = setting.model(), case.make(), setting.tasks(2)
    examples = [part for task in tasks for part in (task.train, task.test) if part is not None]
    kept_model, kept_method = copy.deepcopy(dict(model.state_dict())), copy.deepcopy(method.state())
    kept_data = [(part.x.clone(), part.y.clone(), part.head) for part in examples]
    versions = [tensor._version for part in examples for tensor in (part.x, part.y)]
    with random_states_stay():
        learner = Learner(model, [method], setting.scenario, optimizer=setting.optimizer, batch_size=8)
        learned(learner, tasks)
        learner.evaluate(tasks)
        learner.predict_proba(tasks[0].train.x, tasks[0].name)
        learner.save(path)
        opened(path, setting, case.make())
    require_same(kept_model, dict(model.state_dict()), "the caller's model before and after")
    require_same(kept_method, method.state(), "the caller's method before and after")
    require(model.training, "the caller's model was left in evaluation mode")
    require(method.arguments() == case.make().arguments(), "the arguments of the caller's method changed")
    same = all(torch.equal(x, p.x) and torch.equal(y, p.y) and head == p.head for (x, y, head), p in zip(kept_data, examples, strict=True))
    written = versions != [tensor._version for part in examples for tensor in (part.x, part.y)]
    require(same and not written, "the caller's data were written to")


def runs_in_every_scenario(case: Case, setting: Setting, path: Path) -> None:
    """In each of the scenarios it learns, is evaluated and predicts, or refuses before its first step.

    Take outputs by batch.head and learner.classes_of(task): there can be one head or several, and its rows can grow in number. A scenario
    that the method can't work in is refused in begin_task by a ScenarioError that says what to use, and named in `refuses`.
    """
    for scenario in get_args(Scenario):
        here = replace(setting, scenario=scenario)
        learner, tasks = here.learner(case.make()), here.tasks(2)
        if scenario in case.refuses:
            require_refusal(learner, tasks[0], case.refuses[scenario])
            continue
        where = f"in the scenario {scenario!r}"
        require(0 <= learned(learner, tasks).evaluate(tasks).accuracy <= 1, f"{where} its accuracy is not between 0 and 1")
        for task in tasks:
            x = task.train.x
            strange = set(learner.predict(x, task.name).tolist()) - set(learner.classes_of(task.name))
            require(not strange, f"{where} it predicts {sorted(strange)}, which are no classes of {task.name!r}")
            sums = learner.predict_proba(x, task.name).sum(1)
            require(torch.allclose(sums, torch.ones(len(x))), f"{where} probabilities do not sum to 1")


def require_refusal(learner: Learner, task: Task, message: str) -> None:
    """Raises ConformanceError unless learning is refused with the message, before there is an optimizer to take a step with."""

    def not_refused(parameters: object) -> NoReturn:
        raise ConformanceError(f"it does not refuse the scenario {learner.scenario!r} before its first step")

    try:
        learner.learn(task, optimizer=not_refused)
    except ScenarioError as error:
        require(message in str(error), f"refusing {learner.scenario!r}, it says {str(error)!r}, without {message!r}")


def describes_itself(case: Case, setting: Setting, path: Path) -> None:
    """Its docstring says what it is, and its arguments can be written down and read back.

    The docstring: a first line that is a sentence, "Paper:" with a link (not with baseline=True), "Loss:", "Keeps:", and every argument.
    Arguments: keyword-only, with defaults, in kinds that JSON knows, and kept as attributes of the same name.
    """
    text = inspect.getdoc(case.kind) or ""
    first = text.partition("\n")[0]
    require(case.kind.keeps in get_args(Keeps), f"keeps is {case.kind.keeps!r}; expected one of {', '.join(get_args(Keeps))}")
    require(first != (inspect.getdoc(Method) or "").partition("\n")[0], "it has no docstring")
    require(first.endswith("."), f"the docstring's first line is no sentence: {first!r}")
    require(case.baseline or ("Paper" in text and "http" in text), "the docstring does not name the paper with a link")
    for word in ("Loss:", "Keeps:"):
        require(word in text, f"the docstring has no {word!r}")
    for name, p in case.parameters().items():
        require(p.kind is p.KEYWORD_ONLY and p.default is not p.empty, f"argument {name!r} is not keyword-only with a default")
        require(name in text, f"the docstring does not explain argument {name!r}")
    for method in (case.make(), case.kind()):
        arguments = method.arguments()
        again = case.kind(**json.loads(json.dumps(arguments))).arguments()
        require(again == arguments, f"made again from its arguments {arguments}, it has {again}")
    kept = case.make().arguments()
    require(case.arguments.items() <= kept.items(), f"made with {dict(case.arguments)}, it says that its arguments are {kept}")


def keeps_batch_norm_statistics(case: Case, setting: Setting, path: Path) -> None:
    """Where it runs the network on the side, batch-norm statistics and the network's mode stay as they are.

    learner.gradient(batch) and learner.logits(x, task) leave them alone; around a forward pass of your own, use evaluation_mode or
    buffers_kept of lifelong.modes.
    """
    learner = setting.learner(case.make())
    for method in learner.methods:
        for moment in filter(method.overrides, MOMENTS):
            setattr(method, moment, _watched(moment, getattr(method, moment)))
    tasks = setting.tasks(3)
    learned(learner, tasks).evaluate(tasks)


def _watched(moment: str, call: Callable[..., Any]) -> Callable[..., Any]:
    def watched(learner: Learner, *arguments: Any) -> Any:
        buffers, modes = _statistics_and_modes(learner)
        result = call(learner, *arguments)
        buffers_after, modes_after = _statistics_and_modes(learner)
        require_same(buffers, buffers_after, f"the network's statistics before and after {moment}")
        require(modes == modes_after, f"{moment} left the network in another mode, of training or of evaluation")
        return result

    return watched


def _statistics_and_modes(learner: Learner) -> tuple[dict[str, Tensor], list[bool]]:
    features = learner.network.features
    return {name: buffer.clone() for name, buffer in features.named_buffers()}, [module.training for module in features.modules()]
