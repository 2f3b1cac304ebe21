"""The conformance suite catches methods that are broken, each in its own way, and reports in words."""

import random
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from lifelong.errors import MethodError, ScenarioError
from lifelong.learner import Learner
from lifelong.method import Method
from lifelong.methods import L2, Finetune
from lifelong.tasks import Batch
from lifelong.testing import Conformance, ConformanceError, Outcome, check_method
from lifelong.testing.cases import SETTINGS, Case
from lifelong.testing.checks import CHECKS, in_words, settings_of
from lifelong.testing.comparing import die_at_checkpoint
from lifelong.testing.data import image_tasks, vector_tasks


class Decay(Method):
    """Decay: the whole of theta shrinks after each step of a later task.

    Loss: task. Keeps: nothing.

    Args:
        strength: by how much.
    """

    def __init__(self, *, strength: float = 0.01) -> None:
        super().__init__()
        self.strength = strength

    def after_step(self, learner: Learner) -> None:
        if learner.tasks and self.strength:
            learner.theta.value.mul_(1 - self.strength)


class Nothing(Method):
    pass


class FromTheFirstTask(Decay):
    def after_step(self, learner: Learner) -> None:
        learner.theta.value.mul_(0.999)


class Forgetful(Decay):
    """Its state is no buffer."""

    seen = 0

    def after_step(self, learner: Learner) -> None:
        self.seen += 1
        learner.theta.value.mul_(1 - self.strength * (self.seen > 7))


class Peeking(Decay):
    """Keeps an earlier task to look at."""

    def end_task(self, learner: Learner, task: object) -> None:
        self.__dict__.setdefault("examples", []).append(learner._examples)

    def mix(self, learner: Learner, batch: Batch) -> Batch:
        for _, examples in self.__dict__.get("examples", []):
            examples.take(torch.tensor([0]))
        return batch


class Drawing(Decay):
    """Draws from Python's random numbers."""

    def after_step(self, learner: Learner) -> None:
        if learner.tasks:
            learner.theta.value.mul_(1 - 0.01 * random.random())


class Writing(Decay):
    """Writes to the data that it looks at."""

    def end_task(self, learner: Learner, task: Any) -> None:
        task.train.x.add_(1.0)


class OnTheSide(Decay):
    """Runs the network on kept inputs, in training mode."""

    def loss(self, learner: Learner, batch: Batch, output: Tensor, loss: Tensor) -> Tensor:
        with torch.no_grad():
            learner.network(batch.x, batch.head)
        return loss


class Evaluating(Decay):
    """Leaves the network in evaluation mode."""

    def mix(self, learner: Learner, batch: Batch) -> Batch:
        learner.network.eval()
        return batch


class Replacing(Decay):
    """Stays itself only when it is alone."""

    def after_step(self, learner: Learner) -> None:
        if len(learner.methods) > 1:
            learner.theta.value.fill_(float("nan"))


class Refusing(Decay):
    def begin_task(self, learner: Learner, task: object) -> None:
        if learner.scenario == "class":
            raise ScenarioError("no class; use scenario='domain'")


class Inventing(Decay):
    """Never probable."""

    def predict(self, learner: Learner, x: Tensor, task: str | None) -> Tensor:
        return learner.logits(x, task) * float("nan")


class Broken(Decay):
    def edit_gradient(self, learner: Learner, batch: Batch) -> None:
        raise RuntimeError("matrices do not fit")


# Each check catches a method that breaks it, and says so.
@pytest.mark.parametrize(
    ("kind", "check", "reason"),
    [
        (Nothing, "differs_from_finetuning", "after two tasks the weights and accuracies are those of fine-tuning"),
        (FromTheFirstTask, "off_is_finetuning", "with {'strength': 0} it and fine-tuning differ in the network"),
        (FromTheFirstTask, "one_task_is_finetuning", "after one task it and fine-tuning differ in the network"),
        (Forgetful, "goes_on_between_tasks", "the learner that never stopped and the one saved after each differ in the "),
        (Forgetful, "goes_on_inside_a_task", "the learner that never stopped and the one killed inside each differ in the "),
        (Peeking, "touches_no_other_tasks_data", "inputs of 'task 0' were read when its turn was over (in mix, test_testing.py, line"),
        (Drawing, "callers_objects_stay", "it drew from the process's random numbers, of Python"),
        (Writing, "callers_objects_stay", "the caller's data were written to"),
        (OnTheSide, "keeps_batch_norm_statistics", "the network's statistics before and after loss differ in 0."),
        (Evaluating, "keeps_batch_norm_statistics", "mix left the network in another mode, of training or of evaluation"),
        (Drawing, "same_seed_same_bits", "two learners with the same seed differ in the network, the trained parameters"),
        (Replacing, "composes", "NonFiniteError: "),
        (Refusing, "runs_in_every_scenario", "ScenarioError: no class; use scenario='domain' (in begin_task, test_testing.py, line"),
        (Inventing, "runs_in_every_scenario", "in the scenario 'task' probabilities do not sum to 1"),
        (Nothing, "describes_itself", "it has no docstring"),
        (Decay, "describes_itself", "the docstring does not name the paper with a link"),
        (FromTheFirstTask, "beats_finetuning", "from fine-tuning's with seed 0; margin 0.9"),
        (Decay, "is_rigid_at_a_huge_strength", "NonFiniteError: "),
        (Broken, "composes", "RuntimeError: matrices do not fit (in edit_gradient, test_testing.py, line"),
    ],
)
def test_the_suite_catches(kind: type[Method], check: str, reason: str) -> None:
    off = None if kind is Nothing else {"strength": 0}
    report = check_method(kind, off=off, margin=0.9, checks=[check], raises=False)
    assert not report.passed
    assert reason in report.failed[0].reason
    for line in ("1 of 1 checks failed.", f"FAILED: {check}. {in_words(check)[0]}", report.failed[0].reason, "What to do: "):
        assert line in str(report)


def documented(text: str, **attributes: Any) -> type[Method]:
    return type("Documented", (Decay,), {"__doc__": text, **attributes})


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        (documented("A.\n\nLoss: task. strength", keeps="all"), "keeps is 'all'; expected one of nothing, statistics, a network, examples"),
        (documented("A"), "the docstring's first line is no sentence: 'A'"),
        (documented("A.\n\nKeeps: nothing. strength"), "the docstring has no 'Loss:'"),
        (documented("A.\n\nLoss: task. strength"), "the docstring has no 'Keeps:'"),
        (documented("A.\n\nLoss: task. Keeps: nothing."), "the docstring does not explain argument 'strength'"),
    ],
)
def test_a_method_that_does_not_describe_itself(kind: type[Method], reason: str) -> None:
    report = check_method(kind, baseline=True, checks=["describes_itself"], raises=False)
    assert report.failed[0].reason == reason


def test_arguments_that_can_not_be_read_back() -> None:
    class Positional(Decay):
        __doc__ = Decay.__doc__

        def __init__(self, strength: float = 0.01) -> None:
            super().__init__(strength=strength)

    class Rounding(Decay):
        __doc__ = Decay.__doc__

        def __init__(self, *, strength: float = 0.01) -> None:
            super().__init__(strength=round(strength))

    class Doubling(Decay):
        __doc__ = Decay.__doc__

        def __init__(self, *, strength: float = 0.01) -> None:
            super().__init__(strength=2 * strength)

    for kind, reason in (
        (Positional, "argument 'strength' is not keyword-only with a default"),
        (Rounding, "made with {'strength': 0.25}, it says that its arguments are {'strength': 0}"),
        (Doubling, "made again from its arguments {'strength': 0.5}, it has {'strength': 1.0}"),
    ):
        report = check_method(kind, arguments={"strength": 0.25}, baseline=True, checks=["describes_itself"], raises=False)
        assert report.failed[0].reason == reason


@pytest.mark.parametrize(
    ("refuses", "reason"),
    [
        ({"class": "use scenario="}, ""),
        ({"class": "use another"}, "refusing 'class', it says \"no class; use scenario='domain'\", without 'use another'"),
        ({"class": "no class", "task": "no task"}, "it does not refuse the scenario 'task' before its first step"),
    ],
)
def test_a_method_that_refuses_scenarios(refuses: Any, reason: str) -> None:
    report = check_method(Refusing, refuses=refuses, checks=["runs_in_every_scenario", "same_seed_same_bits"], raises=False)
    assert {outcome.reason for outcome in report.failed} == ({reason} if reason else set())
    assert {name.rpartition("-")[2] for name in (outcome.setting for outcome in report.outcomes)}.isdisjoint(refuses)
    assert len(report.outcomes) == 2 * len(SETTINGS)


def test_a_method_that_refuses_only_when_it_was_trained() -> None:
    class Late(Decay):
        def end_task(self, learner: Learner, task: object) -> None:
            if learner.scenario == "task":
                raise ScenarioError("no task")

    report = check_method(Late, refuses={"task": "no task"}, checks=["runs_in_every_scenario"], raises=False)
    assert report.failed[0].reason == "it does not refuse the scenario 'task' before its first step"


def test_it_says_where_a_method_that_rereads_does_not_say_so() -> None:
    report = check_method(Decay, rereads=True, checks=["touches_no_other_tasks_data"], raises=False)
    assert report.failed[0].reason == "it rereads earlier tasks' data, and says that it keeps 'nothing'"


def test_it_names_the_state_that_was_lost() -> None:
    class Counting(Decay):
        def state(self) -> dict[str, Tensor]:
            return {"seen": torch.tensor(self.__dict__.get("seen", 0))}

        def restore(self, state: dict[str, Tensor]) -> None:
            pass

        def after_step(self, learner: Learner) -> None:
            self.__dict__["seen"] = self.__dict__.get("seen", 0) + 1

    report = check_method(Counting, checks=["goes_on_between_tasks"], raises=False)
    assert report.failed[0].reason == "the learner saved after 'task 0' and the one opened differ in method 0's 'seen'"
    assert f"\n    in every setting: {report.failed[0].reason}\n" in str(report)
    assert "What to do: State that is no buffer does not survive saving: keep it with register_buffer or declare()" in str(report)


def test_a_strength_that_does_not_hold_and_one_that_is_not_meant_to() -> None:
    class Loose(Decay):
        def after_step(self, learner: Learner) -> None:
            pass

    report = check_method(Loose, checks=["is_rigid_at_a_huge_strength"], raises=False)
    assert "accuracy on the first task goes from " in report.failed[0].reason
    report = check_method(Loose, rigid=False, checks=["is_rigid_at_a_huge_strength"])
    assert report.outcomes[0].reason == "rigid=False was given: its strength is not meant to hold an earlier task still"


def test_a_method_with_a_loss_of_its_own_from_the_first_task_on() -> None:
    report = check_method(FromTheFirstTask, plain_first=False, checks=["one_task_is_finetuning"])
    assert report.outcomes[0].reason == "plain_first=False was given: it has a loss of its own from the first task on"


class Mild(Method):
    """Mild: the whole of theta shrinks a little after each step of a later task.

    Loss: task. Keeps: nothing.

    Args:
        share: by how much.
    """

    def __init__(self, *, share: float = 0.01) -> None:
        super().__init__()
        self.share = share

    def after_step(self, learner: Learner) -> None:
        if learner.tasks and self.share:
            learner.theta.value.mul_(1 - self.share)


def test_a_users_method_passes_at_once_and_nothing_is_left_behind() -> None:
    state, shared = torch.get_rng_state(), dict(vars(Mild))
    report = check_method(Mild, arguments={"share": 0.02}, off={"share": 0}, baseline=True)
    assert report.passed
    assert str(report).startswith("Mild: conforms.\nok: differs_from_finetuning. In a second task it does something")
    assert len(str(report).splitlines()) == 1 + len(CHECKS)
    assert "\nnot applicable: is_rigid_at_a_huge_strength. it has no argument `strength`" in str(report)
    assert torch.equal(state, torch.get_rng_state())
    assert dict(vars(Mild)) == shared


def test_a_failing_method_raises_its_report_and_never_stops_at_the_first() -> None:
    checks = ["one_task_is_finetuning", "describes_itself", "same_seed_same_bits", "off_is_finetuning"]
    with pytest.raises(ConformanceError) as raised:
        check_method(FromTheFirstTask, baseline=True, checks=checks)
    text = str(raised.value)
    assert isinstance(raised.value, AssertionError)
    assert text.startswith("FromTheFirstTask: 1 of 4 checks failed.\nFAILED: one_task_is_finetuning. In its first task it is fine-tuning")
    assert "after one task it and fine-tuning differ in the " in text
    assert "    What to do: There is nothing to forget yet, so do nothing yet" in text
    assert "\nok: describes_itself." in text
    assert "\nok: same_seed_same_bits." in text
    assert "\nnot applicable: off_is_finetuning. no `off` was given: arguments that make it fine-tuning" in text


def test_a_report_names_the_settings_that_failed() -> None:
    outcomes = (Outcome("composes", "mlp-sgd-task", "failed", "why"), Outcome("composes", "mlp-adam-class", "ok"))
    text = str(Conformance("Mine", outcomes))
    assert text.startswith("Mine: 1 of 1 checks failed.\nFAILED: composes. Before and after another method")
    assert "\n    mlp-sgd-task: why\n    What to do: Add to the loss" in text


def test_every_check_says_what_must_hold_and_what_to_do() -> None:
    for check in CHECKS:
        must, hint = in_words(check)
        assert must.endswith(".")
        assert "\n" not in must
        assert hint.endswith(".")


def test_every_method_meets_batch_norm_and_every_optimizer_in_two_scenarios() -> None:
    names = [name.split("-") for name, _ in settings_of(Case(L2), "composes")]
    for network in ("mlp", "convnet"):
        assert {optimizer for each, optimizer, _ in names if each == network} == {"sgd", "momentum", "adam"}
    assert len({scenario for _, optimizer, scenario in names if optimizer in {"momentum", "adam"}}) >= 2
    assert {scenario for _, _, scenario in names} == {"task", "domain", "class"}


def test_inputs_in_the_unit_interval() -> None:
    for _, setting in settings_of(Case(L2, unit_inputs=True), "composes"):
        for task in setting.tasks(2):
            assert 0 <= float(task.train.x.min()) < float(task.train.x.max()) <= 1
    assert float(vector_tasks(1, 0, unit=True)[0].train.x.min()) >= 0


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: check_method(L2()), MethodError, "a L2 was given; expected its class, which is made many times, as in check_method(L2, "),
        (lambda: check_method(int), MethodError, "<class 'int'> was given; expected a subclass of lifelong.Method"),
        (lambda: check_method(L2, arguments={"strenght": 1}), MethodError, "L2 has no argument 'strenght'; did you mean 'strength'?"),
        (lambda: check_method(L2, off={"on": 0}), MethodError, "L2 has no argument 'on'; "),
        (lambda: check_method(L2, off={"strength": -1}), MethodError, "L2: strength is -1; expected a finite number >= 0"),
        (
            lambda: check_method(L2, refuses={"clas": "x"}),
            ScenarioError,
            "each with a part of the message that says so, as in refuses={'cl",
        ),
        (lambda: check_method(L2, refuses={"clas": "x"}), ScenarioError, "did you mean 'class'?"),
        (lambda: check_method(L2, refuses="class"), ScenarioError, "refuses is 'class'; expected scenarios"),
        (
            lambda: check_method(L2, refuses={"class": "x", "task": "x", "domain": "x"}),
            ScenarioError,
            "L2 refuses all of task, domain, class; one must be left to test it in",
        ),
        (lambda: check_method(L2, checks=["compose"]), MethodError, "there is no check 'compose'; did you mean 'composes'?"),
    ],
)
def test_errors_of_the_call_itself(call: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error) as raised:
        call()
    assert message in str(raised.value)


def test_a_checkpoint_that_is_never_reached(tmp_path: Path) -> None:
    with pytest.raises(ConformanceError, match="task 'task 0' was learned before checkpoint 99"):
        die_at_checkpoint(SETTINGS["mlp-sgd-task"].learner(), image_tasks(1, "task")[0], tmp_path, 99)


def test_fine_tuning_is_not_asked_to_differ_from_itself() -> None:
    report = check_method(Finetune, off={}, baseline=True, checks=["differs_from_finetuning", "off_is_finetuning"])
    assert [outcome.status for outcome in report.outcomes] == ["not applicable", *["ok"] * 6]
