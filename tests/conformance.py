"""What every method must do, one function a check. `check_method` runs all of them on one method.

A check takes a case (a method and its settings), a setting (network, optimizer, scenario) and an empty folder, and raises
AssertionError where the method does not conform.
"""

import copy
import functools
import inspect
import json
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, get_args

import numpy as np
import torch
from torch import nn

from conformance_data import Sealed, image_tasks, vector_tasks
from conformance_tools import SETTINGS, Case, Setting, bits, die_at_checkpoint, differing, learned, opened, weights
from lifelong.errors import ScenarioError
from lifelong.learner import Learner
from lifelong.method import Keeps, Method
from lifelong.methods import L2, Finetune, Replay
from lifelong.models import MLP
from lifelong.models.drawing import draw_like_torch
from lifelong.tasks import Scenario, Task


def differs_from_finetuning(case: Case, setting: Setting, path: Path) -> None:
    tasks = setting.tasks(2)
    same = not differing(weights(learned(setting.learner(case.make()), tasks)), weights(learned(setting.learner(), tasks)))
    assert same == (case.kind is Finetune), "the method does nothing in a second task"


def off_is_finetuning(case: Case, setting: Setting, path: Path) -> None:
    if case.off is not None:
        tasks = setting.tasks(3)
        off = learned(setting.learner(case.make(**case.off)), tasks)
        assert differing(weights(off), weights(learned(setting.learner(), tasks))) == [], f"with {case.off}"


def one_task_is_finetuning(case: Case, setting: Setting, path: Path) -> None:
    tasks = setting.tasks(1)
    assert differing(weights(learned(setting.learner(case.make()), tasks)), weights(learned(setting.learner(), tasks))) == []


def goes_on_between_tasks(case: Case, setting: Setting, path: Path) -> None:
    tasks = setting.tasks(3)
    never_stopped = learned(setting.learner(case.make(), reset_optimizer=False), tasks)
    stopped = setting.learner(case.make(), reset_optimizer=False)
    for task in tasks:
        stopped.learn(task)
        stopped.save(path)
        again = opened(path, setting, case.make())
        assert differing(bits(stopped), bits(again)) == [], f"opened after {task.name!r}"
        stopped = again
    assert differing(bits(never_stopped), bits(stopped)) == []


def goes_on_inside_a_task(case: Case, setting: Setting, path: Path) -> None:
    first, second = setting.tasks(2)
    training: dict[str, Any] = {"epochs": 2, "scheduler": functools.partial(torch.optim.lr_scheduler.ExponentialLR, gamma=0.5)}
    never_stopped = learned(setting.learner(case.make(), **training), [first, second])
    stopped = setting.learner(case.make(), **training)
    for task, checkpoint in ((first, 3), (second, 4)):
        die_at_checkpoint(stopped, task, path, checkpoint)
        stopped = opened(path, setting, case.make())
        assert stopped.in_progress == task.name
        die_at_checkpoint(stopped, task, path, 2)  # a second time in the same task
        stopped = opened(path, setting, case.make())
        stopped.learn(task)
    assert differing(bits(never_stopped), bits(stopped)) == []


def touches_no_other_tasks_data(case: Case, setting: Setting, path: Path) -> None:
    seals: list[Sealed] = []
    learner = setting.learner(case.make())
    for task in setting.tasks(3):
        assert task.test is not None
        own = [Sealed(examples.x, [task.classes[i] for i in examples.y.tolist()]) for examples in (task.train, task.test)]
        sealed = Task(task.name, own[0], own[1], classes=task.classes)
        own[0].open, own[1].open = "its turn", "its turn"
        learner.learn(sealed)
        own[0].open = "it is kept" if case.rereads else ""
        own[1].open = ""
        seals += own
    assert case.rereads <= (case.kind.keeps == "examples"), "a method that reads earlier data says that it keeps examples"
    learner.save(path)
    assert all(seal.read for seal in seals)


def callers_objects_stay(case: Case, setting: Setting, path: Path) -> None:
    model, method, tasks = setting.model(), case.make(), setting.tasks(2)
    examples = [part for task in tasks for part in (task.train, task.test) if part is not None]
    kept_model, kept_method = copy.deepcopy(dict(model.state_dict())), copy.deepcopy(method.state())
    kept_data = [(part.x.clone(), part.y.clone(), part.head) for part in examples]
    versions = [tensor._version for part in examples for tensor in (part.x, part.y)]
    states = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state()  # type: ignore[index]
    learner = Learner(model, [method], setting.scenario, optimizer=setting.optimizer, batch_size=8)
    learned(learner, tasks)
    learner.evaluate(tasks)
    learner.predict_proba(tasks[0].train.x, tasks[0].name)
    learner.save(path)
    opened(path, setting, case.make())
    assert differing(kept_model, dict(model.state_dict())) == [], "the model"
    assert differing(kept_method, method.state()) == [], "the method"
    assert model.training, "the model's mode"
    assert method.arguments() == case.make().arguments()
    assert versions == [tensor._version for part in examples for tensor in (part.x, part.y)], "the data"
    assert all(torch.equal(x, p.x) and torch.equal(y, p.y) and head == p.head for (x, y, head), p in zip(kept_data, examples, strict=True))
    assert random.getstate() == states[0], "python's random state"
    assert np.random.get_state()[1].tolist() == states[1], "numpy's random state"  # type: ignore[index]
    assert torch.equal(torch.get_rng_state(), states[2]), "torch's random state"


def same_seed_same_bits(case: Case, setting: Setting, path: Path) -> None:
    tasks = setting.tasks(2)
    one, two, other = (bits(learned(setting.learner(case.make(), seed=seed), tasks)) for seed in (3, 3, 4))
    assert differing(one, two) == []
    assert {"order", "dropout cpu"} <= set(differing(one, other))
    assert any(name.startswith("network/features") for name in differing(one, other)), "another order of examples"


def composes(case: Case, setting: Setting, path: Path) -> None:
    def partner() -> Method:
        return L2(strength=0.5) if case.kind is Replay else Replay(capacity=16)

    *tasks, last = setting.tasks(3)
    for makers in ((case.make, partner), (partner, case.make)):
        learner = learned(setting.learner(*(make() for make in makers)), tasks)
        learner.save(path)
        again = opened(path, setting, *(make() for make in makers))
        assert differing(bits(learned(learner, [last])), bits(learned(again, [last]))) == [], f"together with {partner()}"
        assert learner.kept_bytes() > 0
        assert bool(learner.theta.value.isfinite().all())


def runs_in_every_scenario(case: Case, setting: Setting, path: Path) -> None:
    for scenario in get_args(Scenario):
        learner, tasks = Learner(setting.model(), [case.make()], scenario, optimizer=setting.optimizer), image_tasks(2, scenario)
        if case.refuses is not None and scenario == case.refuses[0]:
            try:
                learner.learn(tasks[0])
            except ScenarioError as error:
                assert case.refuses[1] in str(error)
                assert learner.tasks == []
                continue
            raise AssertionError(f"it learns in the scenario {scenario!r}")
        matrix = learned(learner, tasks).evaluate(tasks)
        assert 0 <= matrix.accuracy <= 1
        for task in tasks:
            x = task.train.x
            assert set(learner.predict(x, task.name).tolist()) <= set(learner.classes_of(task.name))
            assert torch.allclose(learner.predict_proba(x, task.name).sum(1), torch.ones(len(x)))


def describes_itself(case: Case, setting: Setting, path: Path) -> None:
    text = inspect.getdoc(case.kind) or ""
    first = text.partition("\n")[0]
    assert case.kind.keeps in get_args(Keeps)
    assert first.endswith(".") and first != inspect.getdoc(Method), "the first line says what it is"
    assert case.baseline or ("Paper" in text and "http" in text), "the docstring names the paper"
    assert "Loss:" in text and "Keeps:" in text, "the docstring says what the loss is and what is kept"
    parameters = [p for name, p in inspect.signature(case.kind.__init__).parameters.items() if name not in ("self", "args", "kwargs")]
    assert all(p.kind is p.KEYWORD_ONLY and p.default is not p.empty for p in parameters), "arguments are keyword-only with defaults"
    for method in (case.make(), case.kind()):
        again = case.kind(**json.loads(json.dumps(method.arguments())))
        assert again.arguments() == method.arguments()
    assert case.arguments.items() <= case.make().arguments().items()
    assert all(f"{p.name}" in text for p in parameters), "the docstring explains every argument"


def toy_accuracy(seed: int, *methods: Method) -> float:
    """Accuracy after five tasks that fine-tuning learns and forgets."""
    tasks = vector_tasks(5, seed)
    learner = Learner(MLP(12, [64, 64], seed=seed), methods, "domain", epochs=6, batch_size=16, seed=seed)
    return learned(learner, tasks).evaluate(tasks).accuracy


finetuning_on_toy = functools.cache(toy_accuracy)


def beats_finetuning(case: Case, setting: Setting, path: Path) -> None:
    for seed in range(3 if case.margin is not None else 0):
        gained = toy_accuracy(seed, case.make()) - finetuning_on_toy(seed)
        assert case.margin is not None and gained >= case.margin, f"accuracy is only {gained:+.3f} from fine-tuning's with seed {seed}"


def is_rigid_at_a_huge_strength(case: Case, setting: Setting, path: Path) -> None:
    if "strength" not in case.make().arguments():
        return
    first, second = vector_tasks(2, 0)
    # Tanh: a ReLU unit that is dead on all of the first task leaves weights of importance 0, which no strength holds.
    model = nn.Sequential(nn.Linear(12, 32), nn.Tanh(), nn.Linear(32, 32), nn.Tanh())
    draw_like_torch(model, 0)
    learner = Learner(model, [case.make(strength=1e12)], "domain", optimizer=setting.optimizer, epochs=4, batch_size=16)
    matrix = learned(learner, [first, second]).evaluate([first, second])
    assert bool(learner.theta.value.isfinite().all())
    assert matrix.values[1, 0] > 0.9, "the first task is learned as ever"
    assert abs(matrix.values[2, 0] - matrix.values[1, 0]) <= 0.01, "the first task stays"
    assert matrix.values[2, 1] < 0.5, "the second task can't be learned"


CHECKS: dict[str, Callable[[Case, Setting, Path], None]] = {
    check.__name__: check
    for check in (
        differs_from_finetuning,
        off_is_finetuning,
        one_task_is_finetuning,
        goes_on_between_tasks,
        goes_on_inside_a_task,
        touches_no_other_tasks_data,
        callers_objects_stay,
        same_seed_same_bits,
        composes,
        runs_in_every_scenario,
        describes_itself,
        beats_finetuning,
        is_rigid_at_a_huge_strength,
    )
}
ONCE = ("describes_itself", "beats_finetuning")  # the same whatever the setting
ONCE_AN_OPTIMIZER = ("is_rigid_at_a_huge_strength",)


def settings_of(case: Case, check: str) -> Iterator[tuple[str, Setting]]:
    """The settings that a check of a method runs in."""
    count = 1 if check in ONCE else 3 if check in ONCE_AN_OPTIMIZER else len(SETTINGS)
    for name, setting in list(SETTINGS.items())[:count]:
        refused = case.refuses is not None and setting.scenario == case.refuses[0]
        yield name, Setting(setting.network, setting.optimizer, "domain") if refused else setting


def check_method(case: Case, path: Path) -> None:
    """Runs every check of a method; `path` is an empty folder."""
    for check, function in CHECKS.items():
        for name, setting in settings_of(case, check):
            function(case, setting, path / check / name)
