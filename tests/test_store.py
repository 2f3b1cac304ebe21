import functools
import inspect
import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.optim import lr_scheduler

import lifelong as ll
from faults.small import ADAM, content, halted, mlp, own_network, tasks
from lifelong.errors import StoreError
from lifelong.method import Method
from lifelong.methods import EWC, L2, Finetune, Independent, Joint, OnlineEWC, Replay
from lifelong.optimizers import ELEMENTWISE
from lifelong.tasks import Batch, Scenario, Task

METHODS: dict[str, Callable[[], Sequence[Method]]] = {
    "nothing": list,
    "finetune": lambda: [Finetune()],
    "joint": lambda: [Joint()],
    "independent": lambda: [Independent()],
    "l2": lambda: [L2()],
    "ewc": lambda: [EWC(examples=5, labels="sampled")],
    "online-ewc": lambda: [OnlineEWC(decay=0.5, examples=5, step="additive")],
    "replay": lambda: [Replay(capacity=7, balanced=True)],
    "ring": lambda: [Replay(capacity=7, policy="ring", replayed=3)],
    "ewc and replay": lambda: [EWC(examples=None), Replay(capacity=7)],
}
SCENARIOS: tuple[Scenario, ...] = ("task", "domain", "class")


class Pull(Method):
    """A user's own method."""

    anchor: Tensor

    def __init__(self, *, size: float = 0.1, layers: tuple[int, ...] = (1, 2)) -> None:
        super().__init__()
        self.size, self.layers = size, layers

    def attach(self, learner: ll.Learner) -> None:
        self.declare("anchor", fill=0.5)

    def edit_gradient(self, learner: ll.Learner, batch: Batch) -> None:
        learner.theta.gradient.add_(learner.theta.value - self.anchor, alpha=self.size)

    def end_task(self, learner: ll.Learner, task: Task) -> None:
        self.anchor = learner.theta.value.clone()


def learned(model: nn.Module, methods: Sequence[Method] = (), scenario: Scenario = "class", count: int = 2, **settings: Any) -> ll.Learner:
    learner = ll.Learner(model, methods, scenario, **{"optimizer": ADAM, "batch_size": 8, "seed": 5, **settings})
    for task in tasks(scenario)[:count]:
        learner.learn(task)
    return learner


def raw(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def assert_goes_on_alike(learner: ll.Learner, opened: ll.Learner, folder: Path) -> None:
    """Both are the same now, and after one more task, to the last bit."""
    scenario = learner.scenario
    before, task = tasks(scenario)[len(learner.tasks) - 1] if learner.tasks else None, tasks(scenario)[len(learner.tasks)]
    if before is not None and opened.in_progress is None:
        x = torch.randn(9, 4, generator=torch.Generator().manual_seed(1))
        told = before.name if scenario == "task" or (learner.methods and learner.methods[0].told_the_task) else None
        assert torch.equal(learner.predict_proba(x, told), opened.predict_proba(x, told))
        assert learner.predict(x, told).tolist() == opened.predict(x, told).tolist()
    for each, name in ((learner, "one"), (opened, "other")):
        each.learn(task)
        each.evaluate(tasks(scenario))
        each.save(folder / name)
    assert content(folder / "one") == content(folder / "other")


# What comes back.


@pytest.mark.parametrize("scenario", SCENARIOS)
@pytest.mark.parametrize("name", METHODS)
def test_a_learner_comes_back_whole_and_goes_on(tmp_path: Path, name: str, scenario: Scenario) -> None:
    if name == "independent" and scenario == "class":
        pytest.skip("independent networks can't tell classes apart")
    learner = learned(mlp(), METHODS[name](), scenario, reset_optimizer=False, clip_norm=1.0)
    learner.evaluate(tasks(scenario))
    learner.save(tmp_path / "saved")
    opened = ll.Learner.open(tmp_path / "saved")
    opened.save(tmp_path / "again")
    assert raw(tmp_path / "saved") == raw(tmp_path / "again")
    assert (opened.tasks, opened.classes, opened.cost, opened.matrix) == (learner.tasks, learner.classes, learner.cost, learner.matrix)
    assert (opened.training, opened.in_progress, opened.kept_bytes()) != (None, "", -1)
    assert opened.parameters_count() == learner.parameters_count()
    assert [method.arguments() for method in opened.methods] == [method.arguments() for method in learner.methods]
    assert_goes_on_alike(learner, opened, tmp_path)


def test_undefined_entries_of_the_matrix_come_back(tmp_path: Path) -> None:
    learner = learned(mlp())
    learner.evaluate(tasks("class"))
    learner.save(tmp_path)
    matrix = ll.Learner.open(tmp_path).matrix
    assert bool(torch.as_tensor(matrix.values.copy()).isnan().any())
    assert matrix == learner.matrix
    assert "NaN" not in (tmp_path / "manifest.json").read_text()


def test_names_of_classes_keep_their_kinds(tmp_path: Path) -> None:
    learned(mlp()).save(tmp_path)
    assert ll.Learner.open(tmp_path).classes == ["a0", "b0", 2, 3]


@pytest.mark.parametrize("name", METHODS)
def test_saving_twice_gives_the_same_bytes(tmp_path: Path, name: str) -> None:
    learner = learned(mlp(), METHODS[name](), "task")
    learner.save(tmp_path / "one")
    learner.save(tmp_path / "two")
    first = raw(tmp_path / "one")
    learner.save(tmp_path / "one")
    assert raw(tmp_path / "one") == first == raw(tmp_path / "two")


def test_no_file_says_where_it_was_made(tmp_path: Path) -> None:
    def own_optimizer(parameters: Any) -> torch.optim.Optimizer:
        return ADAM(parameters)

    halted(learned(own_network(), [Pull()], optimizer=own_optimizer), tasks("class")[2], tmp_path, 2)
    everything = b"".join(raw(tmp_path).values())
    for word in (str(tmp_path), os.getcwd(), os.path.expanduser("~"), " at 0x"):
        assert len(word) < 2 or word.encode() not in everything


def test_a_learner_that_learned_nothing_keeps_its_models_weights(tmp_path: Path) -> None:
    model = mlp()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(1.0)  # as after training elsewhere
    learner = ll.Learner(model, [EWC(examples=5)])
    learner.save(tmp_path / "saved")
    opened = ll.Learner.open(tmp_path / "saved")
    assert all(torch.equal(a, b) for a, b in zip(opened.model.parameters(), model.parameters(), strict=True))
    assert_goes_on_alike(learner, opened, tmp_path)


def test_frozen_parameters_stay_frozen(tmp_path: Path) -> None:
    model = mlp()
    model.get_submodule("layers.0").requires_grad_(False)
    learner = learned(model)
    learner.save(tmp_path / "saved")
    opened = ll.Learner.open(tmp_path / "saved")
    assert [name for name, p in opened.model.named_parameters() if not p.requires_grad] == ["layers.0.weight", "layers.0.bias"]
    assert_goes_on_alike(learner, opened, tmp_path)


def test_a_network_of_another_dtype_keeps_it(tmp_path: Path) -> None:
    task = Task("half", (torch.randn(8, 4).bfloat16(), [0, 1] * 4))
    learner = ll.Learner(mlp().bfloat16())
    learner.learn(task)
    learner.save(tmp_path)
    opened = ll.Learner.open(tmp_path)
    assert {p.dtype for p in opened.network.parameters()} == {torch.bfloat16}
    assert torch.equal(opened.predict_proba(torch.ones(1, 4).bfloat16()), learner.predict_proba(torch.ones(1, 4).bfloat16()))


def test_a_model_without_weights(tmp_path: Path) -> None:
    learner = learned(nn.Flatten(), [Joint()], "domain")
    learner.save(tmp_path / "saved")
    assert_goes_on_alike(learner, ll.Learner.open(tmp_path / "saved", model=nn.Flatten()), tmp_path)


def test_batch_norm_statistics_of_a_library_network(tmp_path: Path) -> None:
    images = tasks("class", 2, (1, 8, 8))
    learner = ll.Learner(ll.models.ConvNet(1, [3, 4], seed=1), optimizer=ADAM, batch_size=8)
    learner.learn(images[0])
    learner.save(tmp_path / "saved")
    opened = ll.Learner.open(tmp_path / "saved")
    buffers, own = dict(opened.network.named_buffers()), dict(learner.network.named_buffers())
    assert int(own["features.blocks.1.num_batches_tracked"]) == 3
    assert buffers.keys() == own.keys()
    assert all(torch.equal(buffers[name], own[name]) for name in own)
    for each in (learner, opened):
        each.learn(images[1])
    assert torch.equal(learner.predict_proba(torch.ones(2, 1, 8, 8)), opened.predict_proba(torch.ones(2, 1, 8, 8)))


@pytest.mark.parametrize("device", ["cpu", torch.device("cpu")])
def test_the_device_is_an_argument(tmp_path: Path, device: str | torch.device) -> None:
    learned(mlp(), METHODS["ewc and replay"]()).save(tmp_path)
    opened = ll.Learner.open(tmp_path, device=device)
    assert opened.device == torch.device("cpu")
    with pytest.raises(RuntimeError, match="device"):
        ll.Learner.open(tmp_path, device="nonsense")


# A user's own network.


def test_an_own_network_is_passed(tmp_path: Path) -> None:
    learner = learned(own_network(), METHODS["ewc and replay"]())
    learner.save(tmp_path / "saved")
    opened = ll.Learner.open(tmp_path / "saved", model=own_network(seed=1))  # its weights don't matter
    assert_goes_on_alike(learner, opened, tmp_path)


def test_an_own_network_is_missing(tmp_path: Path) -> None:
    learned(own_network()).save(tmp_path)
    with pytest.raises(
        StoreError,
        match=rf"the network in {tmp_path} is a Sequential, which is not one of the library's; pass one of the same shape: .*model=",
    ):
        ll.Learner.open(tmp_path)


def changed(place: int, layer: nn.Module) -> nn.Module:
    network = own_network()
    network[place] = layer
    return network


@pytest.mark.parametrize(
    ("model", "text"),
    [
        (
            changed(0, nn.Linear(4, 6, bias=False)),
            r"network-\w+\.safetensors has the tensor 'features\.0\.bias' and the model has not; pass the model that was saved",
        ),
        (
            changed(2, nn.PReLU()),
            r"the model has the tensor 'features\.2\.weight' and .*network-\w+\.safetensors has not; pass the model that was saved",
        ),
        (
            changed(4, nn.Linear(6, 7)),
            r"tensor 'features\.4\.weight' has shape \(5, 6\) in .*\.safetensors and \(7, 6\) in the model; pass a model of the shape",
        ),
        (
            changed(4, nn.Linear(6, 5, dtype=torch.float64)),
            r"'features\.4\.weight' has dtype torch.float32 in .* and torch.float64 in the model; pass a model of the dtype",
        ),
    ],
)
@pytest.mark.parametrize("count", [0, 1])
def test_another_network_is_refused(tmp_path: Path, model: nn.Module, text: str, count: int) -> None:
    learned(own_network(), count=count).save(tmp_path)
    with pytest.raises(StoreError, match=text):
        ll.Learner.open(tmp_path, model=model)


def test_what_is_no_network_is_refused(tmp_path: Path) -> None:
    learned(own_network()).save(tmp_path)
    with pytest.raises(StoreError, match=r"manifest\.json, written by lifelong .*, and what was passed to open make no learner: .*; check"):
        ll.Learner.open(tmp_path, model="resnet")  # type: ignore[arg-type]


def classifier() -> nn.Module:
    return nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 2))


@pytest.mark.parametrize("count", [0, 2])
@pytest.mark.parametrize("methods", [[], [Joint()]])
def test_an_adopted_network(tmp_path: Path, methods: Sequence[Method], count: int) -> None:
    learner = learned(ll.adopt(classifier(), ["cat", 7]), methods, count=count)
    learner.save(tmp_path / "saved")
    opened = ll.Learner.open(tmp_path / "saved", model=ll.adopt(classifier(), ["cat", 7]))
    assert opened.classes == ["cat", 7, "a0", "b0", 2, 3][: 2 + 2 * count]
    opened.save(tmp_path / "again")
    assert raw(tmp_path / "saved") == raw(tmp_path / "again")
    assert_goes_on_alike(learner, opened, tmp_path)  # Joint starts again from the first weights: the saved ones, not those passed


def test_an_adopted_network_is_missing(tmp_path: Path) -> None:
    learned(ll.adopt(classifier(), ["cat", 7])).save(tmp_path)
    with pytest.raises(StoreError, match=r"was adopted; pass one of the same shape with the same classes: .*=adopt\(network, classes\)"):
        ll.Learner.open(tmp_path)


@pytest.mark.parametrize("classes", [[7, "cat"], ["cat", "dog"]])
def test_an_adopted_network_with_other_classes_is_refused(tmp_path: Path, classes: list[str | int]) -> None:
    learned(ll.adopt(classifier(), ["cat", 7]), count=1).save(tmp_path)
    with pytest.raises(
        StoreError,
        match=r"has the outputs \[\['cat', 7, 'a0', 'b0'\]\], and the model that was given makes them .*same classes in",
    ):
        ll.Learner.open(tmp_path, model=ll.adopt(classifier(), classes))


# A user's own method.


def test_an_own_method_is_passed(tmp_path: Path) -> None:
    learner = learned(mlp(), [Pull(size=0.2), Replay(capacity=3)], "task")
    learner.save(tmp_path / "saved")
    opened = ll.Learner.open(tmp_path / "saved", methods=[Pull(size=0.2), Replay(capacity=3)])
    assert_goes_on_alike(learner, opened, tmp_path)


def test_an_own_method_is_missing(tmp_path: Path) -> None:
    learned(mlp(), [Pull()]).save(tmp_path)
    with pytest.raises(StoreError, match=r"the saved method Pull is not one of the library's; pass all methods: Learner\.open\(path, "):
        ll.Learner.open(tmp_path)


@pytest.mark.parametrize("methods", [[Pull(size=0.3)], [], [Pull(), L2()], [L2()]])
def test_other_methods_are_refused(tmp_path: Path, methods: list[Method]) -> None:
    learned(mlp(), [Pull()]).save(tmp_path)
    with pytest.raises(
        StoreError,
        match=r"this learner was saved with the methods \[Pull\(size=0\.1, layers=\[1, 2\]\)\], and methods=\[.*\] was given; give the",
    ):
        ll.Learner.open(tmp_path, methods=methods)


def test_a_methods_state_of_another_size_is_refused(tmp_path: Path) -> None:
    learner = learned(mlp(), [L2()])
    learner.methods[0].importance = torch.ones(3)
    learner.save(tmp_path)
    with pytest.raises(StoreError, match=rf"L2's 'importance' in {tmp_path} has 3 entries, and theta has \d+; take another copy"):
        ll.Learner.open(tmp_path)


# Optimizers and schedulers.


def own_factory(parameters: Any) -> torch.optim.Optimizer:
    return ADAM(parameters)


def own_scheduler(optimizer: torch.optim.Optimizer) -> lr_scheduler.LRScheduler:
    return lr_scheduler.LambdaLR(optimizer, lambda epoch: 0.5**epoch)


@pytest.mark.parametrize("steps", [0, 4])
def test_an_optimizer_and_a_scheduler_of_ones_own_are_passed(tmp_path: Path, steps: int) -> None:
    def fresh() -> ll.Learner:
        return learned(own_network(), optimizer=own_factory, scheduler=own_scheduler, reset_optimizer=False, epochs=3)

    learner, folder = fresh(), tmp_path / "saved"
    learner.save(folder)
    if steps:
        halted(fresh(), tasks("class")[2], folder, steps)
    with pytest.raises(
        StoreError,
        match=r"trained with optimizer own_factory, which is not torch's own and can't be rebuilt from a file; pass it: .*optimizer=",
    ):
        ll.Learner.open(folder, model=own_network())
    with pytest.raises(StoreError, match=r"trained with scheduler own_scheduler, which is not torch's own.*pass it: .*scheduler="):
        ll.Learner.open(folder, model=own_network(), optimizer=own_factory)
    opened = ll.Learner.open(folder, model=own_network(), optimizer=own_factory, scheduler=own_scheduler)
    assert_goes_on_alike(learner, opened, tmp_path)


@pytest.mark.parametrize(
    "factory", [lambda p: torch.optim.SGD(p, lr=0.1), functools.partial(torch.optim.SGD, lr=torch.tensor(0.1)), own_factory]
)
def test_a_lambda_or_a_tensor_makes_a_factory_ones_own(tmp_path: Path, factory: Any) -> None:
    learned(mlp(), optimizer=factory).save(tmp_path)
    with pytest.raises(StoreError, match=r"trained with optimizer .*, which is not torch's own"):
        ll.Learner.open(tmp_path)
    assert ll.Learner.open(tmp_path, optimizer=factory).training.optimizer is factory


def test_a_list_of_functions_makes_a_scheduler_ones_own(tmp_path: Path) -> None:
    learned(mlp(), scheduler=functools.partial(lr_scheduler.LambdaLR, lr_lambda=[lambda epoch: 0.5])).save(tmp_path)
    with pytest.raises(StoreError, match=r"trained with scheduler LambdaLR, which is not torch's own"):
        ll.Learner.open(tmp_path)


def test_an_optimizer_that_is_not_needed_is_for_the_tasks_to_come(tmp_path: Path) -> None:
    learner = learned(mlp())
    halted(learned(mlp()), tasks("class")[2], tmp_path / "saved", 2)
    opened = ll.Learner.open(tmp_path / "saved", optimizer=own_factory)
    assert opened.training.optimizer is own_factory
    for each in (learner, opened):
        each.learn(tasks("class")[2])
    assert torch.equal(learner.theta.value, opened.theta.value)


SCHEDULERS: dict[str, Callable[..., Any]] = {
    "CosineAnnealingLR": functools.partial(lr_scheduler.CosineAnnealingLR, T_max=4),
    "CosineAnnealingWarmRestarts": functools.partial(lr_scheduler.CosineAnnealingWarmRestarts, T_0=2),
    "CyclicLR": functools.partial(lr_scheduler.CyclicLR, base_lr=0.001, max_lr=0.1, step_size_up=2, cycle_momentum=False),
    "ExponentialLR": functools.partial(lr_scheduler.ExponentialLR, gamma=0.5),
    "LinearLR": functools.partial(lr_scheduler.LinearLR, total_iters=3),
    "MultiStepLR": functools.partial(lr_scheduler.MultiStepLR, milestones=[1, 3], gamma=0.1),
    "OneCycleLR": functools.partial(lr_scheduler.OneCycleLR, max_lr=0.1, total_steps=5),
    "PolynomialLR": functools.partial(lr_scheduler.PolynomialLR, total_iters=4),
    "StepLR": functools.partial(lr_scheduler.StepLR, step_size=1),
}


@pytest.mark.filterwarnings("ignore:Detected call of `lr_scheduler.step")
@pytest.mark.parametrize("steps", [1, 3, 5, 8, 11])
@pytest.mark.parametrize("name", SCHEDULERS)
def test_a_scheduler_goes_on_in_the_middle_of_a_task(tmp_path: Path, name: str, steps: int) -> None:
    """4 epochs of 3 steps: within epochs, at their ends, before and after a milestone."""

    def fresh() -> ll.Learner:
        return ll.Learner(mlp(), optimizer=ADAM, batch_size=8, epochs=4, scheduler=SCHEDULERS[name])

    whole, task = fresh(), tasks("class")[0]
    whole.learn(task)
    halted(fresh(), task, tmp_path, steps)
    opened = ll.Learner.open(tmp_path)
    assert opened.in_progress == task.name
    opened.learn(task)
    assert torch.equal(opened.theta.value, whole.theta.value)
    assert (opened.in_progress, opened.cost.steps) == (None, whole.cost.steps)


OTHERS = ("Adafactor", "SparseAdam", "LBFGS", "Muon")  # not element-wise; two of them want other gradients or a closure, one matrices only


def test_every_optimizer_of_torch_is_known_here() -> None:
    found = {name for name, kind in vars(torch.optim).items() if inspect.isclass(kind) and issubclass(kind, torch.optim.Optimizer)}
    assert found - {"Optimizer"} == {*ELEMENTWISE, *OTHERS}


@pytest.mark.parametrize("name", [*ELEMENTWISE, "Adafactor", "momentum"])
def test_an_optimizer_goes_on_in_the_middle_of_a_task(tmp_path: Path, name: str) -> None:
    kind, rest = (torch.optim.SGD, {"momentum": 0.9}) if name == "momentum" else (getattr(torch.optim, name), {})

    def fresh() -> ll.Learner:
        return learned(own_network(), count=1, optimizer=functools.partial(kind, lr=0.01, **rest), epochs=2, reset_optimizer=False)

    halted(fresh(), tasks("class")[1], tmp_path / "saved", 3)
    opened, whole = ll.Learner.open(tmp_path / "saved", model=own_network(seed=1)), fresh()
    for each, where in ((whole, "one"), (opened, "other")):
        for task in tasks("class")[1:]:
            each.learn(task)
        each.save(tmp_path / where)
    assert content(tmp_path / "one") == content(tmp_path / "other")


@pytest.mark.parametrize("scenario", SCENARIOS)
@pytest.mark.parametrize("name", METHODS)
def test_every_method_goes_on_in_the_middle_of_a_task(tmp_path: Path, name: str, scenario: Scenario) -> None:
    if name == "independent" and scenario == "class":
        pytest.skip("independent networks can't tell classes apart")

    def fresh() -> ll.Learner:
        return learned(own_network(), METHODS[name](), scenario, reset_optimizer=False, epochs=2)

    halted(fresh(), tasks(scenario)[2], tmp_path / "saved", 5)
    opened, whole = ll.Learner.open(tmp_path / "saved", model=own_network(seed=1)), fresh()
    for each, where in ((whole, "one"), (opened, "other")):
        each.learn(tasks(scenario)[2])
        each.evaluate(tasks(scenario))
        each.save(tmp_path / where)
    assert content(tmp_path / "one") == content(tmp_path / "other")


def test_the_manifest_is_for_people_to_read(tmp_path: Path) -> None:
    learned(mlp(), [EWC(examples=5)]).save(tmp_path)
    manifest = json.loads((tmp_path / "manifest.json").read_bytes())
    assert manifest["model"] == {"name": "mlp", "kind": "MLP", "arguments": {"inputs": 4, "hidden": [6, 5], "initial": "torch", "seed": 3}}
    assert manifest["training"]["optimizer"] == {"name": "Adam", "arguments": {"lr": 0.01, "betas": [0.8, 0.99]}}
    assert manifest["tasks"] == ["task 0", "task 1"]
    assert {"method-0-ewc", "network", "random"} <= manifest["files"].keys()
