"""Optimizers and schedulers: made from factories, on one flat parameter where that is the same; described and restored for saving."""

import functools
import inspect
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.optim import lr_scheduler
from torch.optim.optimizer import _global_optimizer_post_hooks, _global_optimizer_pre_hooks

from lifelong.errors import MethodError, StoreError, nearest
from lifelong.method import Declared, Scales
from lifelong.theta import Layout, Theta

if TYPE_CHECKING:
    from lifelong.growth import Change

Optimizer = torch.optim.Optimizer
Scheduler = lr_scheduler.LRScheduler
OptimizerFactory = Callable[[Iterable[nn.Parameter]], Optimizer]
SchedulerFactory = Callable[[Optimizer], Scheduler]

DEFAULT: OptimizerFactory = functools.partial(torch.optim.SGD, lr=0.1)

# Each entry of the parameter is updated from its own gradient and state only, so one flat parameter gives the same bits.
ELEMENTWISE = ("Adadelta", "Adagrad", "Adam", "Adamax", "AdamW", "ASGD", "NAdam", "RAdam", "RMSprop", "Rprop", "SGD")


def make_optimizer(factory: OptimizerFactory, theta: Theta) -> tuple[Optimizer, bool]:
    """The optimizer, and whether it works on theta as one parameter.

    It does when it is element-wise and keeps state; plain SGD keeps none and goes over the parameters, which saves collecting the
    gradient. Any other optimizer gets the individual parameters.
    """
    optimizer = factory(theta.parameters)
    elementwise = type(optimizer) in {getattr(torch.optim, name) for name in ELEMENTWISE} and len(optimizer.param_groups) == 1
    stateless = type(optimizer) is torch.optim.SGD and optimizer.param_groups[0]["momentum"] == 0
    if stateless or not elementwise:
        return optimizer, False
    flat = nn.Parameter(theta.value)
    flat.grad = theta.gradient
    return factory([flat]), True


def step_of(optimizer: Optimizer) -> Callable[[], Any]:
    """The optimizer's step, to be called without gradients being recorded.

    Where nobody has hung anything on it, it is torch's own function without what torch wraps around it, a label for its profiler and
    the search for hooks, which costs a small network as much as the step itself.
    """
    kind = type(optimizer)
    known = kind.__module__.startswith("torch.optim.") and "step" not in vars(optimizer)  # a scheduler counts the calls there
    own = optimizer._optimizer_step_pre_hooks or optimizer._optimizer_step_post_hooks
    shared = _global_optimizer_pre_hooks or _global_optimizer_post_hooks
    if not known or own or shared or optimizer.defaults.get("differentiable"):
        return optimizer.step
    return functools.partial(inspect.unwrap(kind.step), optimizer)


def export_optimizer(optimizer: Optimizer) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The optimizer's state as tensors by name, and the rest as JSON."""
    state = optimizer.state_dict()
    tensors = {f"{i}.{key}": v for i, entry in state["state"].items() for key, v in entry.items() if isinstance(v, Tensor)}
    values = {f"{i}.{key}": v for i, entry in state["state"].items() for key, v in entry.items() if not isinstance(v, Tensor)}
    return tensors, {"values": values, "groups": state["param_groups"]}


def restore_optimizer(optimizer: Optimizer, tensors: dict[str, Tensor], rest: dict[str, Any]) -> None:
    """Takes back what `export_optimizer` gave; the tensors are copied, because optimizers change theirs in place."""
    state: dict[int, dict[str, Any]] = {}
    for name, value in {**tensors, **rest["values"]}.items():
        index, _, key = name.partition(".")
        state.setdefault(int(index), {})[key] = value.clone() if isinstance(value, Tensor) else value
    groups = [{k: tuple(v) if isinstance(v, list) and k != "params" else v for k, v in group.items()} for group in rest["groups"]]
    optimizer.load_state_dict({"state": state, "param_groups": groups})


@dataclass(frozen=True)
class OptimizerState:
    """An optimizer's state between two moments: what `export_optimizer` gives, and the layout that it belongs to."""

    tensors: dict[str, Tensor]
    rest: dict[str, Any]
    layout: Layout
    flat: bool

    def carried_to(self, layout: Layout, flat: bool) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Tensors and values for an optimizer of another layout.

        State in the shape of the parameters (momentum, Adam's averages) follows theta, and entries new in theta start at 0; the
        rest, such as Adam's count of steps, is taken over. Only parameters of the same shape keep the state of an optimizer that is
        not element-wise.
        """
        if flat != self.flat:
            raise MethodError("reset_optimizer=False carries the state of one kind of optimizer; it can't go from one kind to another")
        if flat:
            size = self.layout.size
            tensors = {k: layout.remap(v, self.layout) if v.shape == (size,) else v for k, v in self.tensors.items()}
            return tensors, self.rest["values"]
        old = list(self.layout.shapes)
        place = {
            str(old.index(name)): str(i) for i, name in enumerate(layout.shapes) if self.layout.shapes.get(name) == layout.shapes[name]
        }
        moved = [
            {f"{place[k.partition('.')[0]]}.{k.partition('.')[2]}": v for k, v in part.items() if k.partition(".")[0] in place}
            for part in (self.tensors, self.rest["values"])
        ]
        return moved[0], moved[1]


# How the state of torch's optimizers follows units that are copied; what is not here is copied as it is.
SCALES: dict[str, Scales] = {
    "momentum_buffer": "gradient",
    "exp_avg": "gradient",
    "exp_avg_sq": "squared gradient",
    "max_exp_avg_sq": "squared gradient",
    "square_avg": "squared gradient",
    "sum": "squared gradient",
    "grad_avg": "gradient",
    "exp_inf": "gradient",
    "prev": "gradient",
    "ax": "theta",
}


def grown(state: OptimizerState, change: "Change") -> OptimizerState:
    """The state of an optimizer when the network has grown."""
    like = change.carry({name: torch.empty(shape) for name, shape in state.layout.shapes.items()}, "copy")
    layout = Layout({name: tuple(tensor.shape) for name, tensor in like.items()})
    tensors: dict[str, Tensor] = {}
    for key, tensor in state.tensors.items():
        place, _, name = key.partition(".")
        scales = SCALES.get(name, "copy")
        parameter = list(state.layout.shapes)[int(place)]
        if state.flat and tensor.shape == (state.layout.size,):
            tensors[key] = change.vector(tensor, state.layout, layout, Declared(0.0, scales))
        elif not state.flat and tuple(tensor.shape) == state.layout.shapes[parameter]:
            tensors[key] = next(iter(change.carry({parameter: tensor}, scales).values()))
        else:
            tensors[key] = tensor  # a count of steps
    return OptimizerState(tensors, state.rest, layout, state.flat)


def describe_factory(factory: Any, home: Any) -> dict[str, Any]:
    """{"name", "arguments"} of a class of torch's `home` module, or of a functools.partial of one; {"custom": name} of anything else."""
    function, arguments = (factory.func, factory.keywords) if isinstance(factory, functools.partial) and not factory.args else (factory, {})
    name = getattr(function, "__name__", "")
    if getattr(home, name, None) is function and _is_plain(arguments):
        return {"name": name, "arguments": arguments}
    return {"custom": getattr(function, "__qualname__", type(function).__qualname__)}


def _is_plain(value: Any) -> bool:
    """Whether JSON knows it."""
    if isinstance(value, dict):
        return all(isinstance(key, str) and _is_plain(each) for key, each in value.items())
    if isinstance(value, list | tuple):
        return all(map(_is_plain, value))
    return isinstance(value, int | float | str | None)


def resolve_factory(described: dict[str, Any], home: Any, argument: str) -> Any:
    """The factory that `describe_factory` described; only optimizers or schedulers of `home` are ever looked up."""
    if "custom" in described:
        raise StoreError(
            f"this learner was trained with {argument} {described['custom']}, which is not torch's own and can't be rebuilt from a file; "
            f"pass it: Learner.open(path, {argument}=...)"
        )
    name, base = str(described["name"]), Optimizer if argument == "optimizer" else Scheduler
    known: dict[str, Any] = {
        key: kind for key, kind in vars(home).items() if isinstance(kind, type) and issubclass(kind, base) and kind is not base
    }
    if name not in known:
        raise StoreError(
            f"this learner was trained with {argument} {name!r}, which this version of torch does not have; {nearest(name, known)}"
        )
    arguments = {key: tuple(value) if isinstance(value, list) else value for key, value in described["arguments"].items()}
    return functools.partial(known[name], **arguments)
