"""What a training step costs, as a ratio to loops written by hand in the same process.

    python benchmarks/step.py [--only gem,si] [--fresh]

Two kinds of rows. Fine-tuning and the penalties are compared with the eager loop that everybody writes, with the same optimizer; the other
methods with the bare passes that their algorithm needs, see `passes.py`, with plain SGD. One thread, loops interleaved, medians of the
process's own CPU time, which other processes disturb less than the clock; the learner's loops are the real ones (`training.fit`) on a task
after the first, so that penalties and memories are in use. What was measured is not measured again.
"""

import argparse
import functools
from collections.abc import Callable

import torch
from passes import CASES, SGD, SIZES, Case, Loop, Optimizer, Size, bare_loop, by_hand, learner_loop, medians, plain_loop, si_by_hand
from stored import Stored

import lifelong as ll

REPEATS = 15
OPTIMIZERS: dict[str, Optimizer] = {
    "momentum": functools.partial(torch.optim.SGD, lr=0.001, momentum=0.9),
    "sgd": SGD,
    "adam": functools.partial(torch.optim.Adam, lr=1e-4),
}
PENALTIES: dict[str, Callable[[], list[ll.Method]]] = {
    "finetune": list,
    "l2": lambda: [ll.methods.L2()],
    "ewc": lambda: [ll.methods.EWC(examples=100)],
    "online-ewc": lambda: [ll.methods.OnlineEWC(examples=100)],
    "si": lambda: [ll.methods.SI()],
    "mas": lambda: [ll.methods.MAS(examples=100)],
}


def ratios(loops: dict[str, Loop], size: Size) -> dict[str, float]:
    """The first loop's seconds a step, and of each other one the ratio to it."""
    found = medians(loops, size.steps, REPEATS)
    first = next(iter(loops))
    return {"bare_seconds": found[first], **{name: found[name] / found[first] for name in loops if name != first}}


def penalties(size: Size, optimizer: Optimizer) -> dict[str, float]:
    """Fine-tuning and the methods whose step is fine-tuning's and a pull."""
    loops = {"bare": plain_loop(size, optimizer), **{name: learner_loop(Case(make), size, optimizer) for name, make in PENALTIES.items()}}
    if optimizer is SGD:
        loops["si by hand"] = si_by_hand(size, optimizer)
    return ratios(loops, size)


def own_passes(name: str, case: Case, size: Size) -> dict[str, float]:
    """A method against its own passes."""
    size = Size(size.hidden, size.batch, max(size.steps // max(3 * case.memories, 1), 2))  # a pass on a memory takes so much longer
    hand = by_hand(name, case, size)
    return ratios(
        {"bare": bare_loop(case, size), name: learner_loop(case, size), **({} if hand is None else {f"{name}, by hand": hand})}, size
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="rows whose names begin with one of these, as in gem,momentum")
    parser.add_argument("--fresh", action="store_true")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    measures: dict[str, Callable[[], dict[str, float]]] = {}
    for title, size in SIZES.items():
        measures |= {f"{name}; {title}": functools.partial(penalties, size, optimizer) for name, optimizer in OPTIMIZERS.items()}
        measures |= {
            f"{name}; {title}": functools.partial(own_passes, name, case, size)
            for name, case in CASES.items()
            if size.hidden or case.memories < 4  # the convolutional network's passes take all the time there
        }
    stored = Stored("step", {"repeats": REPEATS, "version": ll.__version__}, fresh=arguments.fresh)
    for name, measure in measures.items():
        if name.startswith(tuple(arguments.only.split(","))):
            entry = stored.entry(name, measure)
            shares = "  ".join(f"{key} {value:.2f}" for key, value in entry.items() if key != "bare_seconds")
            print(f"{name}: bare {1e6 * entry['bare_seconds']:.0f} µs; {shares}", flush=True)


if __name__ == "__main__":
    main()
