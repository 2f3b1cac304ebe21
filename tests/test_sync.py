"""No step waits for the device: the host never asks for a value, and hands over what it drew without waiting for it to arrive.

GEM is not here, because it solves its programme on the host, and float16 is not, because torch's scaler of the loss asks whether it
overflowed.
"""

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from lifelong import learning
from lifelong.learner import Learner
from lifelong.method import Method
from lifelong.methods import AGEM, DER, EWC, L2, MAS, SI, GenerativeReplay, ICaRL, LwF, OnlineEWC, PackNet, Replay
from lifelong.models import MLP, ConvNet
from lifelong.tasks import Batch, Scenario
from lifelong.testing.data import image_tasks
from lifelong.training import assemble
from toys import sgd

# Without a GPU

ASKING = ("_local_scalar_dense", "is_nonzero", "item", "equal", "nonzero", "masked_select", "unique", "_unique2", "unique_dim", "bincount")
LEAVING = ("tolist", "numpy", "cpu", "__array__")  # these dispatch nothing where a tensor is on the CPU anyway


class Host:
    """Which tensors would stay on the host if the learner were on a GPU; all that is not known to be there would be on the GPU."""

    def __init__(self) -> None:
        self.storages: dict[int, Any] = {}  # by address, and held, so that no other tensor gets the address

    def add(self, values: Any) -> None:
        for tensor in tensors(values):
            storage = tensor.untyped_storage()
            self.storages[storage._cdata] = storage

    def gave(self, copy: Tensor) -> Tensor:
        """A copy that is on the device."""
        self.storages.pop(copy.untyped_storage()._cdata, None)
        return copy

    def __contains__(self, tensor: Tensor) -> bool:
        return tensor.untyped_storage()._cdata in self.storages


def tensors(*values: Any) -> list[Tensor]:
    return [value for value in tree_leaves(values) if isinstance(value, Tensor)]


class Calls(TorchFunctionMode):
    """Finds out where tensors are made, and writes down the calls that bring them from the device or, waiting, to it."""

    def __init__(self, host: Host, found: list[str]) -> None:
        super().__init__()
        self.host, self.found = host, found

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        name, given = getattr(function, "__name__", ""), tensors(args, kwargs)
        to_device = kwargs.get("device") is not None or (name == "to" and self._goes(args[1:], kwargs))
        if name in LEAVING and given[0] not in self.host:
            self.found.append(name)
        if to_device and not kwargs.get("non_blocking") and (name in ("tensor", "as_tensor") or (name == "to" and given[0] in self.host)):
            self.found.append(f"{name}, to the device")
        with asking_is_free() if name == "one_hot" else nullcontext():  # on a GPU it does not look at the labels
            result = function(*args, **kwargs)
        if to_device and name == "to" and given[0] in self.host:
            return self.host.gave(result.clone())
        if name == "cpu":
            result = result.clone()
        if name == "cpu" or not (given or to_device):
            self.host.add(result)
        return result

    def _goes(self, args: Any, kwargs: Any) -> bool:
        return any(isinstance(each, torch.device | str) or (isinstance(each, Tensor) and each not in self.host) for each in args)


@contextmanager
def asking_is_free() -> Iterator[None]:
    Operators.free += 1
    try:
        yield
    finally:
        Operators.free -= 1


class Operators(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Writes down the operators that the host waits for, and those that mix what would be in different places."""

    free = 0

    def __init__(self, host: Host, found: list[str]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.host, self.found = host, found

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name, given = function.name().removeprefix("aten::").split(".")[0], tensors(args, kwargs)
        elsewhere = [tensor for tensor in given if tensor not in self.host]
        if elsewhere and not self.free and (name in ASKING or (name.startswith("index") and _has_mask(args[1:]))):
            self.found.append(name)
        if elsewhere and any(tensor.ndim and tensor in self.host for tensor in given):
            self.found.append(f"{name}, of both")
        result = function(*args, **(kwargs or {}))
        if given and not elsewhere:
            self.host.add(result)
        return result


def _has_mask(indices: Any) -> bool:
    return any(tensor.dtype in (torch.bool, torch.uint8) for tensor in tensors(indices))


@contextmanager
def watched(host: Host, found: list[str]) -> Iterator[None]:
    """Writes to `found` what the host waits for inside."""
    with Calls(host, found), Operators(host, found):
        yield


@pytest.mark.parametrize(
    ("work", "expected"),
    [
        (lambda x: float(x.sum()), ["_local_scalar_dense"]),
        (lambda x: x.sum().item(), ["_local_scalar_dense"]),
        (lambda x: bool((x > 0).any()), ["_local_scalar_dense"]),
        (lambda x: x.tolist(), ["tolist"]),
        (lambda x: x.isfinite().numpy(), ["numpy"]),
        (lambda x: x.cpu(), ["cpu"]),
        (lambda x: x[x > 0], ["index"]),
        (lambda x: x.nonzero(), ["nonzero"]),
        (lambda x: torch.where(x > 0), ["nonzero"]),
        (lambda x: x.masked_select(x > 0), ["masked_select"]),
        (lambda x: x.unique(), ["_unique2"]),
        (lambda x: torch.equal(x, x), ["equal"]),
        (lambda x: torch.tensor([1, 2], device=x.device), ["tensor, to the device"]),
        (lambda x: torch.randperm(3).to(x.device), ["to, to the device"]),
        (lambda x: torch.randperm(3).to(x), ["to, to the device"]),
        (lambda x: x[torch.randperm(3)], ["index, of both"]),
        (lambda x: x + torch.ones(3), ["add, of both"]),
        # What the host does with its own, and what it only hands over
        (lambda x: torch.randint(5, (3,)).tolist(), []),
        (lambda x: (torch.arange(3) == 1).nonzero().squeeze(1).tolist(), []),
        (lambda x: x.index_select(0, torch.randperm(3).to(x.device, non_blocking=True)), []),
        (lambda x: x.to(torch.float64), []),
        (lambda x: torch.ones(3, device=x.device) + x, []),
        (lambda x: nn.functional.one_hot(x.long().clamp(0), 5), []),
        (lambda x: torch.where(x > 0, x, 0.0).clamp_max(1).sum(), []),
    ],
)
def test_what_waits_is_found(work: Callable[[Tensor], object], expected: list[str]) -> None:
    x = torch.tensor([-1.0, 0.5, 2.0])
    found: list[str] = []
    with watched(Host(), found):
        work(x)
    assert found == expected


MOMENTUM, ADAM = sgd(0.01, momentum=0.9), functools.partial(torch.optim.Adam, lr=0.001)
Case = tuple[Callable[[], list[Method]], Scenario, dict[str, Any]]
CASES: dict[str, Case] = {
    "finetune": (list, "domain", {}),
    "finetune, task": (list, "task", {}),
    "momentum": (list, "domain", {"optimizer": MOMENTUM}),
    "adam": (list, "domain", {"optimizer": ADAM}),
    "clipped": (list, "domain", {"clip_norm": 0.1}),
    "bfloat16": (list, "domain", {"precision": "bfloat16"}),
    "l2": (lambda: [L2()], "domain", {}),
    "ewc": (lambda: [EWC(examples=10)], "class", {}),
    "ewc, additive": (lambda: [EWC(examples=10, strength=1.0, step="additive")], "domain", {}),
    "online-ewc": (lambda: [OnlineEWC(examples=10)], "domain", {}),
    "si": (lambda: [SI()], "domain", {}),
    "si, adam": (lambda: [SI()], "task", {"optimizer": ADAM}),
    "mas": (lambda: [MAS(examples=10)], "domain", {}),
    "lwf": (lambda: [LwF()], "class", {}),
    "lwf, task": (lambda: [LwF()], "task", {}),
    "icarl": (lambda: [ICaRL(capacity=20)], "class", {}),
    "packnet": (lambda: [PackNet()], "task", {}),
    "replay": (lambda: [Replay(capacity=20)], "domain", {}),
    "replay, balanced": (lambda: [Replay(capacity=20, balanced=True)], "class", {}),
    "replay, task": (lambda: [Replay(capacity=20)], "task", {}),
    "agem": (lambda: [AGEM(capacity=20)], "domain", {}),
    "agem, task": (lambda: [AGEM(capacity=20)], "task", {}),
    "der": (lambda: [DER(capacity=20)], "domain", {}),
    "der, from current": (lambda: [DER(capacity=20, beta=0.5, from_current=True)], "class", {}),
    "generative-replay": (lambda: [GenerativeReplay(generator_steps=2)], "class", {}),
}

# What is still waited for: DER looks whether the logits that it keeps are finite.
WAITS = {"der": {"tolist"}, "der, from current": {"tolist"}}


def a_third_task(
    name: str, model: nn.Module, device: str = "cpu"
) -> tuple[Learner, Callable[[Batch], Tensor], Iterator[Batch], Callable[[], None]]:
    """A learner that is about to learn a third task: it, its step, the batches, and what is to be called after each step."""
    methods, scenario, settings = CASES[name]
    learner = Learner(model, methods(), scenario, batch_size=8, device=device, **{"optimizer": sgd(0.01), **settings})
    first, second, third = image_tasks(3, scenario, unit=True)
    learner.learn(first)
    learner.learn(second)
    run = learner._run = learning.begin(learner, third, learner.training, evaluate=False)
    learner.network.train()
    for method in learner.methods:
        method.begin_round(learner)
    return learner, assemble(learner, run), run.batches(learner.order, learner.device), run.advance


def on_the_host(learner: Learner, batch: Batch) -> list[Tensor]:
    """What stays there: heads, and the optimizer's counts of steps."""
    assert learner._run is not None
    counts = [each for state in learner._run.optimizer.state.values() for each in tensors(state) if not each.ndim]
    memories = [method.memory for method in learner.methods if isinstance(method, AGEM | DER | Replay)]
    return tensors(batch.head, counts, [memory._contents.heads for memory in memories if memory._contents])


@pytest.mark.parametrize("network", ["mlp", "convnet"])
@pytest.mark.parametrize("name", CASES)
def test_a_step_waits_for_nothing(name: str, network: str) -> None:
    """But a task's first step, which may look up what a memory holds."""
    learner, step, batches, advance = a_third_task(name, MLP(64, [8]) if network == "mlp" else ConvNet(1, [4]))
    host = Host()
    waited: list[set[str]] = []
    for batch in batches:
        found: list[str] = []
        host.add(on_the_host(learner, batch))
        with watched(host, found):
            step(batch)
        advance()
        waited.append(set(found))
    assert len(waited) >= 5
    assert set().union(*waited[1:]) == WAITS.get(name, set())


def test_batches_are_handed_over_without_waiting() -> None:
    """To the device "meta", which every machine has."""
    learner, *_ = a_third_task("finetune", MLP(64, [8]))
    assert learner._run is not None
    host, found = Host(), list[str]()
    host.add([learner._run.examples.x, learner._run.examples.y])
    with watched(host, found):
        batch = next(learner._run.batches(learner.order, torch.device("meta")))
    assert batch.x.device.type == batch.y.device.type == "meta"
    assert set(found) == WAITS.get("batches", set())


# With one


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device: torch knows of it when the host waits")
@pytest.mark.parametrize("name", [name for name in CASES if name not in WAITS])
def test_a_step_on_a_gpu_waits_for_nothing(name: str) -> None:
    """But a task's first step, as above: torch raises where the host waits."""
    _, step, batches, advance = a_third_task(name, ConvNet(1, [4]), "cuda")
    step(next(batches))
    advance()
    before, taken = torch.cuda.get_sync_debug_mode(), 0
    for batch in batches:
        torch.cuda.set_sync_debug_mode("error")
        try:
            step(batch)
        finally:
            torch.cuda.set_sync_debug_mode(before)
        advance()
        taken += 1
    assert taken >= 4
