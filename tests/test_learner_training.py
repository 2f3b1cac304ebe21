"""Training a task: settings, optimizers, and that an error leaves the learner as it was."""

import functools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import lifelong as ll
from lifelong.errors import NonFiniteError, TaskError
from lifelong.learner import Learner
from lifelong.method import Method
from lifelong.methods import EWC, Joint, Replay
from lifelong.optimizers import OptimizerFactory
from lifelong.tasks import Batch, Stream, Task
from lifelong.testing.cases import ADAM, MOMENTUM, SGD, Setting
from lifelong.testing.comparing import bits, die_at_checkpoint, differing, learned, opened
from lifelong.testing.data import image_tasks


class Breaking(Method):
    """Raises at one moment of the second task, when it is `armed`; until then it does everything a method may do."""

    state_buffer: Tensor
    trace: Tensor
    armed = False

    def __init__(self, *, moment: str = "", at: int = 0) -> None:
        super().__init__()
        self.moment, self.at = moment, at
        self.register_buffer("state_buffer", torch.zeros(1))

    def attach(self, learner: Learner) -> None:
        self.declare("trace")

    def _maybe(self, moment: str, learner: Learner) -> None:
        self.state_buffer += torch.rand(1, generator=learner.generator(self)) + torch.rand(1)
        if Breaking.armed and learner.tasks and moment == self.moment:
            steps = learner.cost.steps if learner._run is None else learner._run.position.step
            if steps >= self.at:
                raise LookupError(f"broken in {moment}")

    def begin_task(self, learner: Learner, task: Task) -> None:
        self._maybe("begin_task", learner)

    def mix(self, learner: Learner, batch: Batch) -> Batch:
        self._maybe("mix", learner)
        return batch

    def loss(self, learner: Learner, batch: Batch, output: Tensor, loss: Tensor) -> Tensor:
        self._maybe("loss", learner)
        return loss

    def edit_gradient(self, learner: Learner, batch: Batch) -> None:
        self._maybe("edit_gradient", learner)
        learner.theta.gradient.mul_(0.99)

    def after_step(self, learner: Learner) -> None:
        self._maybe("after_step", learner)
        self.trace = self.trace + learner.theta.value

    def end_task(self, learner: Learner, task: Task) -> None:
        self._maybe("end_task", learner)


@pytest.mark.parametrize("moment", ["begin_task", "mix", "loss", "edit_gradient", "after_step", "end_task"])
@pytest.mark.parametrize(
    "setting",
    [Setting("mlp", SGD, "task"), Setting("convnet", MOMENTUM, "class"), Setting("mlp", ADAM, "domain")],
    ids=["mlp-sgd-task", "convnet-momentum-class", "mlp-adam-domain"],
)
def test_an_error_leaves_the_learner_as_it_was(moment: str, setting: Setting, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def make() -> Learner:
        return setting.learner(Replay(capacity=20), Breaking(moment=moment, at=3), EWC(examples=4), reset_optimizer=False)

    first, second, third = setting.tasks(3)
    never, tried = learned(make(), [first]), learned(make(), [first])
    before = bits(tried)
    monkeypatch.setattr(Breaking, "armed", True)
    for _ in range(2):
        with pytest.raises(LookupError, match=f"broken in {moment}"):
            tried.learn(second, epochs=2)
        assert differing(before, bits(tried)) == []
        assert tried.theta.moved() is None
    monkeypatch.setattr(Breaking, "armed", False)
    for one in (never, tried):
        learned(one, [second, third])
    assert differing(bits(never), bits(tried)) == []
    tried.save(tmp_path)


def test_an_error_in_the_first_task_leaves_the_learner_as_new() -> None:
    class Late(Method):
        def end_task(self, learner: Learner, task: Task) -> None:
            raise LookupError("too late")

    setting = Setting("convnet", MOMENTUM, "domain")
    one = setting.learner(Late(), Replay(capacity=8))
    with pytest.raises(LookupError, match="too late"):
        one.learn(setting.tasks(1)[0])
    assert (one.tasks, one.classes, one.journal, one.matrix.tasks) == ([], [], [], ())
    one.methods = []
    assert differing(bits(learned(one, setting.tasks(2))), bits(learned(setting.learner(), setting.tasks(2)))) == []


def test_an_error_in_a_resumed_task_leaves_the_checkpoint_s_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    setting = Setting("mlp", MOMENTUM, "task")
    first, second = setting.tasks(2)
    never = learned(setting.learner(EWC(examples=4)), [first, second])
    one = learned(setting.learner(EWC(examples=4)), [first])
    die_at_checkpoint(one, second, tmp_path, 2)
    one = opened(tmp_path, setting, EWC(examples=4))
    before = bits(one)

    def broken(*arguments: Any) -> None:
        raise LookupError("broken")

    with monkeypatch.context() as patch:
        patch.setattr(EWC, "end_task", broken)
        for _ in range(2):
            with pytest.raises(LookupError, match="broken"):
                one.learn(second)
            assert one.in_progress == second.name
            assert differing(before, bits(one)) == []
    one.learn(second)
    assert differing(bits(never), bits(one)) == []


def test_a_loss_that_is_not_finite_is_told_and_undone(tmp_path: Path) -> None:
    setting = Setting("mlp", SGD, "domain")
    first, second = setting.tasks(2)
    one = setting.learner(EWC(strength=7.0, examples=4, step="additive"))
    one.learn(first, checkpoint=tmp_path)
    before = bits(one)
    message = (
        r"task 'task 1': the (loss became (nan|inf)|weights became infinite) at step \d+ of 10, training with EWC\. "
        r"Nothing of this task was kept, .* is intact\. Lower the learning rate 1e\+30 or EWC's strength 7, or set clip_norm"
    )
    for every in (1e9, 0.0):  # never, and after each step
        with pytest.raises(NonFiniteError, match=message):
            one.learn(second, epochs=2, optimizer=functools.partial(torch.optim.SGD, lr=1e30), checkpoint=tmp_path, checkpoint_every=every)
        assert differing(before, bits(one)) == []
        again = opened(tmp_path, setting, EWC(strength=7.0, examples=4, step="additive"))
        assert again.in_progress is None
        assert differing(before, bits(again)) == []
    again.learn(second)
    assert again.tasks == ["task 0", "task 1"]


def test_a_task_is_learned_once() -> None:
    setting = Setting("mlp", SGD, "domain")
    one = learned(setting.learner(), setting.tasks(1))
    before = bits(one)
    with pytest.raises(TaskError, match="task 'task 0' was learned already; give what is to be learned next a name of its own"):
        one.learn(setting.tasks(1)[0])
    assert differing(before, bits(one)) == []


# Settings


def test_settings_for_one_task() -> None:
    setting = Setting("mlp", SGD, "domain")
    tasks = setting.tasks(2)
    one = setting.learner(epochs=2)
    one.learn(tasks[0], epochs=3, batch_size=4)
    assert one.cost.steps == 3 * 9
    one.learn(tasks[1])
    assert one.cost.steps == 3 * 9 + 2 * 5
    same = setting.learner(epochs=3)
    same.training = same.training.changed({"batch_size": 4})
    same.learn(tasks[0])
    same.learn(tasks[1], epochs=2, batch_size=8)
    assert differing(bits(one), bits(same)) == []
    steps = setting.learner(epochs=7)
    steps.learn(tasks[0], steps=11)
    assert steps.cost.steps == 11
    with pytest.raises(TypeError, match="learn got an unknown setting 'epoch'; did you mean 'epochs'"):
        one.learn(tasks[0], epoch=2)


def test_a_task_goes_on_with_the_settings_that_it_was_begun_with(tmp_path: Path) -> None:
    setting = Setting("mlp", SGD, "domain")
    task, other = setting.tasks(2)
    settings: dict[str, Any] = {"epochs": 2, "optimizer": functools.partial(torch.optim.SGD, lr=0.03, momentum=0.8)}
    never = setting.learner()
    never.learn(task, **settings)

    def stopped() -> Learner:
        die_at_checkpoint(setting.learner(), task, tmp_path, 3, **settings)
        return opened(tmp_path, setting)

    for again in ({}, settings, {**settings, "optimizer": functools.partial(torch.optim.SGD, lr=0.03, momentum=0.8)}):
        one = stopped()
        one.learn(task, **again)
        assert differing(bits(never), bits(one)) == []
    one = stopped()
    with pytest.raises(
        TaskError, match="task 'task 0' was begun with epochs=2, which can't be changed inside a task; call learn without it"
    ):
        one.learn(task, epochs=3)
    with pytest.raises(
        TaskError, match=r"in the middle of task 'task 0' with 36 examples, and was given 'task 1' with 36; give it the same"
    ):
        one.learn(other)


def test_a_task_that_diverges_when_it_is_gone_on_with_can_be_learned_with_a_lower_rate(tmp_path: Path) -> None:
    setting = Setting("mlp", SGD, "domain")
    task = setting.tasks(1)[0]
    die_at_checkpoint(setting.learner(), task, tmp_path, 3, epochs=20)
    one = opened(tmp_path, setting)
    with pytest.raises(NonFiniteError, match="Lower the learning rate 1e\\+30"):
        one.learn(task, optimizer=functools.partial(torch.optim.SGD, lr=1e30))
    one.learn(task, optimizer=functools.partial(torch.optim.SGD, lr=1e-3))
    assert one.tasks == [task.name]
    assert one.cost.steps == one_pass(setting, task).cost.steps


def one_pass(setting: Setting, task: Task) -> Learner:
    learner = setting.learner()
    learner.learn(task, epochs=20)
    return learner


def test_the_optimizers_state_can_be_carried_on() -> None:
    setting = Setting("mlp", ADAM, "domain")
    tasks = setting.tasks(2)
    fresh, carried = (setting.learner(reset_optimizer=reset) for reset in (True, False))
    for one in (fresh, carried):
        one.learn(tasks[0])
    assert differing(dict(fresh.network.state_dict()), dict(carried.network.state_dict())) == []
    for one in (fresh, carried):
        one.learn(tasks[1])
    assert differing(dict(fresh.network.state_dict()), dict(carried.network.state_dict())) != []
    assert carried._carried is not None
    assert {float(v) for k, v in carried._carried.tensors.items() if k.endswith("step")} == {10.0}


def own_optimizer(parameters: Any) -> torch.optim.Optimizer:
    """Not element-wise by name, and in two groups: it gets the parameters themselves."""
    parameters = list(parameters)
    return torch.optim.SGD([{"params": parameters[:1], "lr": 0.05}, {"params": parameters[1:]}], lr=0.02, momentum=0.9)


class Signed(torch.optim.Optimizer):
    """A user's own optimizer."""

    def __init__(self, parameters: Any, lr: float = 0.01) -> None:
        super().__init__(parameters, {"lr": lr})

    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    parameter.add_(parameter.grad.sign(), alpha=-group["lr"])


def own_schedule(optimizer: torch.optim.Optimizer) -> torch.optim.lr_scheduler.LRScheduler:
    return torch.optim.lr_scheduler.LambdaLR(optimizer, lambda epoch: 0.5**epoch)


@pytest.mark.parametrize("optimizer", [own_optimizer, Signed, functools.partial(Signed, lr=0.003)])
def test_a_users_own_optimizer_and_schedule_do_what_a_plain_loop_does(optimizer: OptimizerFactory) -> None:
    task = image_tasks(1, "domain")[0]
    one = Learner(ll.models.MLP(64, [16]), scenario="domain", batch_size=8, optimizer=optimizer, scheduler=own_schedule, epochs=3)
    plain = Learner(ll.models.MLP(64, [16]), scenario="domain", batch_size=8)
    plain.evaluate([task])
    one.learn(task)
    network = nn.Sequential(ll.models.MLP(64, [16]), plain_head(one))
    by_hand = optimizer(network.parameters())
    schedule = own_schedule(by_hand)
    order = torch.Generator().set_state(plain.order.get_state())
    for _ in range(3):
        for chosen in torch.randperm(36, generator=order).split(8):  # type: ignore[no-untyped-call]
            by_hand.zero_grad()
            nn.functional.cross_entropy(network(task.train.x[chosen]), task.train.y[chosen]).backward()  # type: ignore[no-untyped-call]
            with torch.no_grad():
                by_hand.step()
        schedule.step()
    expected = torch.cat([parameter.detach().flatten() for parameter in network.parameters()])
    assert torch.equal(one.theta.value, expected)


def plain_head(learner: Learner) -> nn.Linear:
    """The head as it was before training."""
    head = nn.Linear(16, 3)
    head.load_state_dict(learner.heads.untrained(0).state_dict())
    return head


@pytest.mark.parametrize("precision", ["bfloat16", "float32"])
def test_clipping_and_precision_train(precision: Any) -> None:
    setting = Setting("mlp", SGD, "domain")
    tasks = setting.tasks(2)
    one = learned(setting.learner(EWC(examples=4), precision=precision, clip_norm=0.1), tasks)
    assert bool(one.theta.value.isfinite().all())
    assert one.theta.value.dtype == torch.float32
    assert differing(bits(one), bits(learned(setting.learner(EWC(examples=4)), tasks))) != []


def test_joint_can_go_on_from_the_network_as_it_is() -> None:
    setting = Setting("mlp", SGD, "class")
    tasks = setting.tasks(3)
    anew, on = (learned(setting.learner(Joint(restart=restart)), tasks) for restart in (True, False))
    assert anew.cost.steps == on.cost.steps == 5 + 9 + 14
    assert differing(dict(anew.network.state_dict()), dict(on.network.state_dict())) != []
    assert np.isfinite(on.evaluate(tasks).values[3]).all()


def test_evaluations_inside_a_task_go_on_too(tmp_path: Path) -> None:
    setting = Setting("mlp", MOMENTUM, "domain")
    first, second = setting.tasks(2)
    watching: dict[str, Any] = {"watch": [first, second], "watch_every": 2}
    never, quiet = setting.learner(), setting.learner()
    for task in (first, second):
        never.learn(task, **watching)
        quiet.learn(task)
    assert differing(dict(never.network.state_dict()), dict(quiet.network.state_dict())) == []
    accuracies, during = never.evaluations()
    assert during.tolist() == [1, 1, 2, 2]
    assert accuracies.shape == (4, 2) and bool(((accuracies >= 0) & (accuracies <= 1)).all())

    one = setting.learner()
    one.learn(first, **watching)
    die_at_checkpoint(one, second, tmp_path, 3, **watching)
    one = opened(tmp_path, setting)
    one.learn(second, **watching)
    assert differing(bits(never), bits(one)) == []
    for wrong in (0, -1):
        with pytest.raises(ValueError, match=f"watch_every is {wrong}; expected an integer >= 1"):
            one.learn(Task("third", (first.train.x, first.train.y), classes=first.classes), watch=[first], watch_every=wrong)
    untested = Task("third", (first.train.x, first.train.y), classes=first.classes)
    with pytest.raises(TaskError, match="task 'third' has no test set to evaluate on"):
        one.learn(untested, watch=[untested])
    with pytest.raises(TaskError, match="evaluate was given one Task; expected several or a stream"):
        one.learn(untested, watch=first)  # type: ignore[arg-type]
    endless = Stream("again", "domain", lambda position: setting.tasks(4)[position], None)
    one.learn(untested, watch=endless, watch_every=4)  # type: ignore[arg-type]
    assert one.evaluations()[0].shape[1] == 4  # the two learned, the next one of the stream, and this one, which is not measured
