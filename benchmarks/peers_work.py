"""One run of `peers.py`, in a process of its own: a method in one library, on the work in a file.

    python benchmarks/peers_work.py LIBRARY METHOD FILE

It prints "ready", waits for a line on its input, trains on one thread, and prints what it measured as JSON. The seconds are those of
training all tasks: what happens at a task's boundary counts; importing, making data sets, networks and learners, and evaluating do not.
"""

import functools
import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

Pairs = list[tuple[Tensor, Tensor]]
Known = Literal["domain", "class"]


@dataclass(frozen=True)
class Work:
    """The same for every library.

    Attributes:
        hidden: widths of the hidden layers.
        batch, rate: examples a step, and SGD's learning rate; every task's examples are gone through once, shuffled.
        seed: of the first weights, the permutations and everything random.
        scenario: "domain": every task has all classes; "class": two in each.
        train, test: inputs (N, 784) float32 in [0, 1] and labels (N,) of each task.
        weights: of each layer's first weight and bias.
    """

    hidden: list[int]
    batch: int
    rate: float
    seed: int
    scenario: Known
    train: Pairs
    test: Pairs
    weights: Pairs


@dataclass(frozen=True)
class Method:
    """A method's settings in both libraries' common words, and what is not the same algorithm in both.

    Attributes:
        dearer: lifelong's defaults cost more than what is compared, and are timed besides.
    """

    settings: dict[str, Any] = field(default_factory=dict)
    differences: str = ""
    dearer: bool = False
    scenario: Known = "domain"


ADDED = "Both add the penalty's gradient to the loss's; lifelong's default is the implicit step. "
METHODS = {
    "naive": Method(),
    "ewc": Method(
        {"strength": 10.0},
        ADDED + "Importance: Avalanche squares the gradient of a batch's mean loss, lifelong that of each example, which is larger; true "
        "labels and all of a task's examples in both. Avalanche keeps a penalty for every task, lifelong one that is their sum.",
        dearer=True,
    ),
    "si": Method(
        {"strength": 0.1, "damping": 0.1},
        ADDED + "Avalanche cuts a weight's importance at 0.001, lifelong at 0 from below. On a CPU Avalanche's is always 0: its copies of "
        "the weights before and after a step share the weights' memory, so that no step has a length, and it is fine-tuning.",
    ),
    "mas": Method(
        {"strength": 0.03},
        ADDED + "Importance: Avalanche takes the absolute gradient of a batch's mean squared outputs, lifelong that of each example, which "
        "is larger; all of a task's examples in both. Over tasks Avalanche averages with weights 1/2, lifelong adds up.",
    ),
    "lwf": Method({"strength": 1.0, "temperature": 2.0}, "None: the losses have the same gradient."),
    "replay": Method(
        {"capacity": 500},
        "Avalanche keeps equal shares of the tasks and goes through the memory in turns, lifelong keeps every example with the same "
        "probability and draws with replacement; as many of the memory as of the task in a step in both.",
    ),
    "agem": Method(
        {"share": 100, "replayed": 240},
        "Avalanche keeps the same number of each task, lifelong shares as much as that is in the last task among those that there are; "
        "Avalanche's reference batch has the tasks in equal parts and in turns, lifelong draws it with replacement.",
    ),
    "gem": Method(
        {"share": 256, "margin": 0.5},
        "The ridge of the quadratic programme is 0.001 in Avalanche and relative to the Gram matrix in lifelong.",
    ),
    "icarl": Method(
        {"capacity": 240},
        "Avalanche finds the exemplars' means at a task's end, lifelong when it first predicts, which is not timed. Avalanche's herding "
        "scores unnormalised sums, and may choose an example more than once on its way.",
        scenario="class",
    ),
}


@dataclass(frozen=True)
class Side:
    """A method in one library, ready to train.

    Attributes:
        train: all tasks in turn; gives the number of the optimizer's steps.
        predict: labels (N,) of inputs.
        facts: what else is worth writing down afterwards.
    """

    train: Callable[[], int]
    predict: Callable[[Tensor], Tensor]
    facts: Callable[[], dict[str, Any]] = dict


def network(work: Work) -> nn.Sequential:
    """The plain network with the work's first weights: what `ll.models.MLP` with a head computes."""
    layers: list[nn.Module] = []
    for (a, b), (weight, bias) in zip(pairwise([784, *work.hidden, 10]), work.weights, strict=True):
        layer = nn.Linear(a, b)
        layer.load_state_dict({"weight": weight, "bias": bias})
        layers += [layer, nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def bare(work: Work, name: str) -> Side:
    """The loop that everybody writes; `naive` only."""
    model = network(work)
    optimizer = torch.optim.SGD(model.parameters(), lr=work.rate)

    def train() -> int:
        steps = 0
        for x, y in work.train:
            order = torch.randperm(len(x))
            for chosen in torch.split(order, work.batch):
                optimizer.zero_grad()
                torch.autograd.backward(cross_entropy(model(x[chosen]), y[chosen]))
                optimizer.step()
                steps += 1
        return steps

    return Side(train, lambda x: model(x).argmax(1))


def own(work: Work, name: str, default: bool = False) -> Side:
    """A learner of this library, with the choices that are as much like Avalanche's as there are, or with its defaults."""
    import lifelong as ll
    from lifelong.memory import Memory

    settings, m = METHODS[name].settings, ll.methods
    alike: dict[str, Any] = {} if default else {"step": "additive", "examples": None}
    makers: dict[str, Callable[[], list[ll.Method]]] = {
        "naive": list,
        "ewc": lambda: [m.EWC(**settings, **alike, labels="exact" if default else "true")],
        "si": lambda: [m.SI(**settings, step="additive")],
        "mas": lambda: [m.MAS(**settings, **alike)],
        "lwf": lambda: [m.LwF(**settings)],
        "replay": lambda: [m.Replay(**settings)],
        "agem": lambda: [m.AGEM(capacity=settings["share"] * (len(work.train) - 1), replayed=settings["replayed"])],
        "gem": lambda: [m.GEM(examples_per_task=settings["share"], margin=settings["margin"])],
        "icarl": lambda: [m.ICaRL(**settings)],
    }
    model = ll.models.MLP(784, work.hidden, seed=work.seed)
    learner = ll.Learner(
        model,
        makers[name](),
        work.scenario,
        classes=range(10) if work.scenario == "class" else (),
        optimizer=functools.partial(torch.optim.SGD, lr=work.rate),
        batch_size=work.batch,
        seed=work.seed,
    )
    classes = range(10) if work.scenario == "domain" else None
    tasks = [ll.Task(f"{position}", train=pair, classes=classes) for position, pair in enumerate(work.train)]

    def train() -> int:
        for task in tasks:
            learner.learn(task, evaluate=False)
        return learner.cost.steps

    def facts() -> dict[str, Any]:
        for each in learner.methods:
            if isinstance(each, m.GEM):
                return {"kept": sum(len(memory) for memory in each.memories if isinstance(memory, Memory))}
            if isinstance(each, m.Replay | m.AGEM):
                return {"kept": len(each.memory)}
            if isinstance(each, m.ICaRL):
                return {"kept": int((each.y >= 0).sum())}
            if isinstance(each, m.EWC | m.SI | m.MAS):
                return {"largest_importance": float(each.importance.max())}
        return {}

    return Side(train, lambda x: torch.from_numpy(learner.predict(x)), facts)


def avalanche(work: Work, name: str) -> Side:
    from peers_avalanche import side

    return side(work, name)


LIBRARIES: dict[str, Callable[[Work, str], Side]] = {
    "lifelong": own,
    "avalanche": avalanche,
    "bare": bare,
    "lifelong, default": functools.partial(own, default=True),
}


def memory(field: str) -> int:
    """Bytes of this process in memory: now ("VmRSS"), or at most ("VmHWM").

    Not `getrusage`: its maximum goes on from that of the process which started this one.
    """
    fields = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return 1024 * next(int(line.split()[1]) for line in fields if line.startswith(field))


def measured(side: Side, work: Work) -> dict[str, Any]:
    """What training took, and how much of the tasks is known afterwards."""
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # the maximum counts from here
    start = memory("VmRSS")
    wall, processor = time.perf_counter(), time.process_time()
    steps = side.train()
    processor, wall = time.process_time() - processor, time.perf_counter() - wall
    peak = memory("VmHWM")
    with torch.no_grad():
        accuracies = [float((side.predict(x) == y).float().mean()) for x, y in work.test]
    numbers = {"seconds": wall, "cpu_seconds": processor, "start_bytes": start, "peak_bytes": peak, "steps": steps}
    return {**numbers, "accuracy": sum(accuracies) / len(accuracies), **side.facts()}


def warm_up() -> None:
    """Has torch import what it imports when it first takes a step."""
    layer = nn.Linear(1, 1)
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.0)
    torch.autograd.backward(layer(torch.zeros(1)))
    optimizer.step()


def main(library: str, name: str, file: str) -> None:
    torch.set_num_threads(1)
    work = Work(**torch.load(file))
    warm_up()
    torch.manual_seed(work.seed)
    side = LIBRARIES[library](work, name)
    print("ready", flush=True)
    if not sys.stdin.readline():
        sys.exit("nobody said when to begin")
    print(json.dumps(measured(side, work)))


if __name__ == "__main__":
    main(*sys.argv[1:])
