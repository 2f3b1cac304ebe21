"""Checks bit for bit. Of a check's docstring the first line says what must hold, and the rest what to do where it does not.

A check takes a case, a setting and an empty folder, and raises ConformanceError where the method does not conform.
"""

import functools
from pathlib import Path
from typing import Any

import torch

from lifelong.growth import growable, widen
from lifelong.method import Method
from lifelong.methods import L2, Replay
from lifelong.testing.cases import Case, Setting
from lifelong.testing.comparing import bits, die_at_checkpoint, differing, learned, opened, require_same, weights
from lifelong.testing.requiring import require


def differs_from_finetuning(case: Case, setting: Setting, path: Path) -> None:
    """In a second task it does something: the weights are not fine-tuning's.

    Override a moment that changes training, or give `arguments` at which it shows within ten steps.
    """
    tasks = setting.tasks(2)
    changed = differing(weights(learned(setting.learner(case.make()), tasks)), weights(learned(setting.learner(), tasks)))
    require(bool(changed), "after two tasks the weights and accuracies are those of fine-tuning")


def off_is_finetuning(case: Case, setting: Setting, path: Path) -> None:
    """Switched off, it is fine-tuning, bit for bit.

    Switched off, return the batch and the loss as they came and leave the gradient and theta alone. Adding zero times something is not
    enough: it draws, rounds, or makes NaN of an infinity.
    """
    require(case.off is not None, "it has no arguments that switch it off")
    tasks = setting.tasks(3)
    off = learned(setting.learner(case.make(**(case.off or {}))), tasks)
    require_same(weights(off), weights(learned(setting.learner(), tasks)), f"with {case.off} it and fine-tuning")


def one_task_is_finetuning(case: Case, setting: Setting, path: Path) -> None:
    """In its first task it is fine-tuning, bit for bit.

    There is nothing to forget yet, so do nothing yet: `learner.tasks` is empty until the first task's end. With a loss of its own already
    in the first task, a method has plain_first=False.
    """
    tasks = setting.tasks(1)
    one = weights(learned(setting.learner(case.make()), tasks))
    require_same(one, weights(learned(setting.learner(), tasks)), "after one task it and fine-tuning")


def goes_on_between_tasks(case: Case, setting: Setting, path: Path) -> None:
    """Saved and opened between tasks, it goes on as if it had never stopped, bit for bit.

    State that is no buffer does not survive saving: keep it with register_buffer or declare(), or add it in state() and take it back in
    restore(). Draw random numbers from learner.generator(self), which is saved too.
    """
    tasks = setting.tasks(3)
    never_stopped = learned(setting.learner(case.make(), reset_optimizer=False), tasks)
    stopped = setting.learner(case.make(), reset_optimizer=False)
    for task in tasks:
        stopped.learn(task)
        stopped.save(path)
        again = opened(path, setting, case.make())
        require_same(bits(stopped), bits(again), f"the learner saved after {task.name!r} and the one opened")
        stopped = again
    require_same(bits(never_stopped), bits(stopped), "after three tasks the learner that never stopped and the one saved after each")


def goes_on_inside_a_task(case: Case, setting: Setting, path: Path) -> None:
    """Killed inside a task, even twice, and opened, it goes on as if it had never stopped, bit for bit.

    What begin_task and the steps leave behind is state as well, and begin_task is not called again: keep it in buffers, with
    register_buffer or declare(). choose_examples is called again, and must give the same examples again.
    """
    first, second = setting.tasks(2)
    training: dict[str, Any] = {"epochs": 2, "scheduler": functools.partial(torch.optim.lr_scheduler.ExponentialLR, gamma=0.5)}
    never_stopped = learned(setting.learner(case.make(), **training), [first, second])
    stopped = setting.learner(case.make(), **training)
    for task, checkpoint in ((first, 3), (second, 4)):
        die_at_checkpoint(stopped, task, path, checkpoint)
        stopped = opened(path, setting, case.make())
        require(stopped.in_progress == task.name, f"opened from a checkpoint inside {task.name!r}, it is in no task")
        die_at_checkpoint(stopped, task, path, 2)  # a second time in the same task
        stopped = opened(path, setting, case.make())
        stopped.learn(task)
    require_same(bits(never_stopped), bits(stopped), "after two tasks the learner that never stopped and the one killed inside each")


def follows_growth(case: Case, setting: Setting, path: Path) -> None:
    """When the network is widened between tasks, what it computes stays, what the method keeps follows, and it goes on, bit for bit.

    State with one value a parameter is to be declared with declare(), which says how it follows copied units. What else depends on the
    network's shape, as copies of the network do, follows in grown(learner, change): change.carry(tensors). A method whose network can't
    be widened has grows=False.
    """
    first, second, third = setting.tasks(3)
    learner = learned(setting.learner(case.make(), reset_optimizer=False), [first, second])
    before = {task.name: learner.logits(task.train.x, task.name) for task in (first, second)}
    layer, size = next(iter(growable(learner.network).items()))
    learner.grow(widen(layer, size + 3))
    for name in learner.methods[0].declared:
        entries = getattr(learner.methods[0], name).numel()
        require(entries in (0, learner.theta.layout.size), f"{name!r} has {entries} entries for {learner.theta.layout.size} parameters")
    for task in (first, second):
        after = learner.logits(task.train.x, task.name)
        require(torch.allclose(before[task.name], after, atol=1e-5), f"growing changed what the network computes for {task.name!r}")
        learner.predict(task.train.x, task.name)
    learner.save(path)
    again = opened(path, setting, case.make())
    require_same(bits(learner), bits(again), "the learner saved after it grew and the one opened")
    require_same(bits(learned(learner, [third])), bits(learned(again, [third])), "a task later the learner that grew and the one opened")
    require(bool(learner.theta.value.isfinite().all()), "the weights are not finite")


def same_seed_same_bits(case: Case, setting: Setting, path: Path) -> None:
    """The same seed gives the same learner, bit for bit, and another seed another one.

    Draw random numbers from learner.generator(self), and let nothing depend on the time, on addresses or on the order of a set.
    """
    tasks = setting.tasks(2)
    one, two, other = (bits(learned(setting.learner(case.make(), seed=seed), tasks)) for seed in (3, 3, 4))
    require_same(one, two, "two learners with the same seed")
    changed = differing(one, other)
    require({"order", "dropout cpu"} <= set(changed), "with another seed the order of examples or the dropout is the same")
    require(any(name.startswith("network/features") for name in changed), "with another seed the weights are the same")


def composes(case: Case, setting: Setting, path: Path) -> None:
    """Before and after another method in the list it works, and together they are saved and go on, bit for bit.

    Add to the loss, the gradient and the batch that come in, which other methods have changed already, and leave theirs alone. A batch
    can hold examples of earlier tasks and of several heads: batch.head is then a tensor. State that is not saved shows here as
    well: mend goes_on_between_tasks first.
    """

    def partner() -> Method:
        return L2(strength=0.5) if case.kind is Replay else Replay(capacity=16)

    *tasks, last = setting.tasks(3)
    for makers in ((case.make, partner), (partner, case.make)):
        methods = [make() for make in makers]
        where = " and ".join(type(method).__name__ for method in methods)
        learner = learned(setting.learner(*methods), tasks)
        learner.save(path)
        again = opened(path, setting, *(make() for make in makers))
        went_on = bits(learned(learner, [last]))
        require_same(went_on, bits(learned(again, [last])), f"with {where} the learner that went on and the one opened")
        require(learner.kept_bytes() > 0, f"with {where} nothing is kept")
        require(bool(learner.theta.value.isfinite().all()), f"with {where} the weights are not finite")
