"""What a task costs after 10, 100 and 1,000 tasks: seconds, resident memory, and bytes kept.

    python benchmarks/thousand.py [--tasks 1000] [--methods ewc,si] [--fresh]

Permuted digits, 500 examples a task, each method in a process of its own on one thread; the seconds are of `learn`, the importance estimate
included and evaluation not, the median over the tasks around the one named. A finished method is not measured again.
"""

import argparse
import functools
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from stored import Stored

import lifelong as ll
from lifelong.schedule import sampled_summary, scheduled

EXAMPLES, BATCH, HIDDEN = 500, 10, [100, 100]
AROUND = 10  # tasks to either side of one whose seconds are measured with it
MOST = 20  # tasks that are evaluated at a time
METHODS: dict[str, Callable[[], list[ll.Method]]] = {
    "finetune": list,
    "ewc": lambda: [ll.methods.EWC(strength=10.0)],
    "online-ewc": lambda: [ll.methods.OnlineEWC(strength=10.0)],
    "si": lambda: [ll.methods.SI()],
    "mas": lambda: [ll.methods.MAS()],
    "lwf": lambda: [ll.methods.LwF()],
    "replay": lambda: [ll.methods.Replay(capacity=1000)],
    "agem": lambda: [ll.methods.AGEM(capacity=1000)],
    "der": lambda: [ll.methods.DER(capacity=1000)],
}


def resident() -> int:
    """Bytes of this process that are in memory now."""
    fields = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return 1024 * next(int(line.split()[1]) for line in fields if line.startswith("VmRSS:"))


def live(name: str, tasks: int, looks: Sequence[int]) -> dict[str, dict[str, float]]:
    """A whole life with one method; what is seen after each number of tasks in `looks`."""
    torch.set_num_threads(1)
    stream = ll.streams.permuted_mnist(tasks=tasks, examples=EXAMPLES)
    optimizer = functools.partial(torch.optim.SGD, lr=0.05)
    learner = ll.Learner(ll.models.MLP(784, HIDDEN), METHODS[name](), "domain", optimizer=optimizer, batch_size=BATCH)
    seconds: list[float] = []
    seen: dict[int, dict[str, float]] = {}
    for number, task in enumerate(stream, start=1):
        started = time.perf_counter()
        learner.learn(task, evaluate=False)
        seconds.append(time.perf_counter() - started)
        if number in looks:
            measured = learner.evaluate(stream[i] for i in scheduled("seen", MOST, number, tasks))  # type: ignore[misc]
            accuracy = sampled_summary(measured.values)["accuracy"]
            seen[number] = {
                "resident": resident(),
                "kept": learner.kept_bytes(),
                "accuracy": accuracy.value,
                "of": accuracy.measured,
            }
    for number, entry in seen.items():
        window = seconds[max(number - AROUND, 1) : number + AROUND]  # the first task warms up
        entry["seconds"] = statistics.median(window)
    return {str(number): entry for number, entry in seen.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", type=int, default=1000)
    parser.add_argument("--methods", default=",".join(METHODS))
    parser.add_argument("--fresh", action="store_true")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    looks = [number for number in (10, 100, 1000) if number <= arguments.tasks]
    if arguments.one:
        print(json.dumps(live(arguments.one, arguments.tasks, looks)))
        return
    settings = {"tasks": arguments.tasks, "examples": EXAMPLES, "batch": BATCH, "hidden": HIDDEN}
    stored = Stored("thousand", settings, fresh=arguments.fresh)

    def alone(name: str) -> dict[str, dict[str, float]]:
        command = [sys.executable, __file__, "--one", name, "--tasks", str(arguments.tasks)]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
        seen: dict[str, dict[str, float]] = json.loads(done.stdout)
        return seen

    for name in arguments.methods.split(","):
        entry = stored.entry(name, functools.partial(alone, name))
        said = (f"{n}: {1000 * e['seconds']:.0f} ms, {e['resident'] / 1e6:.0f} MB" for n, e in entry.items())
        print(f"{name:<11} {'; '.join(said)}", flush=True)


if __name__ == "__main__":
    main()
