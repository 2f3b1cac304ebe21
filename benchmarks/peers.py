"""The same work in this library and in Avalanche: seconds, memory and accuracy, in the same environment with the same torch.

    python benchmarks/peers.py [--env .peers] [--methods ewc,si] [--sizes 10] [--seeds 5] [--fresh]

Five tasks of permuted digits (for iCaRL the ten digits split among them), one pass over each, plain SGD, the same first weights, data and
settings; a loop written by hand is what fine-tuning costs at least. Every run is a process of its own on one thread, see `peers_work.py`;
the libraries take turns. The tasks are short: accuracies say whether the libraries do the same, not which method is good.

A finished run is not measured again, and one that failed is a result, too; --fresh starts over. The environment is made where there is
none: 6 GB, because Avalanche needs torchvision, and with it the torch of the package index.
"""

import argparse
import json
import math
import os
import statistics
import subprocess
import tempfile
import venv
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from peers_work import METHODS, Known, Pairs, Work
from stored import Stored

import lifelong as ll
from lifelong.models.heads import Heads

PROJECT = Path(__file__).parent.parent
# Avalanche's GEM needs quadprog, and asks for it by an extra of qpsolvers that is no more.
PINNED = {"torch": "2.14.1", "torchvision": "0.29.1", "avalanche-lib": "0.6.0", "quadprog": "0.1.14"}
VERSIONS = "import sys; from importlib.metadata import distributions as d; print(*(x.version for n in sys.argv[1:] for x in d(name=n)))"
TASKS = 5
# By the number of examples a step: the hidden layers, the examples of a task, and the learning rate.
SIZES: dict[str, tuple[list[int], int, float]] = {"10": ([100, 100], 1000, 0.05), "128": ([256, 256], 4000, 0.1)}

Entries = dict[str, dict[str, Any]]


def environment(folder: Path) -> Path:
    """The Python of the environment, which is made, or filled with what it lacks."""
    python = folder / "bin" / "python"
    if not python.exists():
        print(f"making {folder}", flush=True)
        venv.create(folder, with_pip=True)
    have = subprocess.run([python, "-c", VERSIONS, *PINNED, "lifelong"], check=True, stdout=subprocess.PIPE, text=True).stdout.split()
    if have != [*PINNED.values(), ll.__version__]:
        packages = [f"{name}=={version}" for name, version in PINNED.items()]
        subprocess.run([python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *packages, "-e", PROJECT], check=True)
    return python


def work_of(size: str, seed: int, scenario: Known) -> Work:
    """The data and the first weights: those that a learner with this seed draws."""
    hidden, examples, rate = SIZES[size]
    split = scenario == "class"
    stream = ll.streams.split_mnist(scenario="class") if split else ll.streams.permuted_mnist(TASKS, seed=seed, examples=examples)
    train: Pairs = []
    test: Pairs = []
    for task in stream:
        for pairs, part in ((train, task.train), (test, task.test)):
            assert part is not None
            y = torch.tensor(task.classes)[part.y]
            pairs.append((part.take(torch.arange(len(y))).flatten(1), y))
    heads = Heads(hidden[-1], "class" if split else "domain", seed)
    heads.admit("0", range(10))
    layers = [*ll.models.MLP(784, hidden, seed=seed).layers, heads.layers[0]]
    weights = [(layer.weight.detach(), layer.bias.detach()) for layer in layers]
    return Work(hidden, int(size), rate, seed, scenario, train, test, weights)


def runs(python: Path, work: Work, method: str, libraries: Sequence[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    """What each library's process measured, or the end of its complaint.

    They are started together, because importing takes longer than training; then one trains while the others are done or wait.
    """
    settings = {"PYTHONPATH": str(PROJECT / "src"), "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    quiet = {"avalanche": {"PYTHONWARNINGS": "ignore"}}  # its imports warn of what other packages deprecate
    script = Path(__file__).with_name("peers_work.py")
    with tempfile.TemporaryDirectory() as folder, ExitStack() as open_until_the_end:
        file = Path(folder) / "work.pt"
        torch.save(vars(work), file)
        started = []
        for library in libraries:
            complaints = open_until_the_end.enter_context((Path(folder) / library).open("w+", encoding="utf-8"))
            process = subprocess.Popen(
                [python, script, library, method, file],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=complaints,
                env=os.environ | settings | quiet.get(library, {}),
                text=True,
            )
            open_until_the_end.enter_context(process)
            started.append((library, process, complaints))
        for _, process, _ in started:
            assert process.stdout is not None
            next((line for line in process.stdout if line == "ready\n"), None)  # None: it has ended
        for library, process, complaints in started:
            printed, _ = process.communicate("go\n")
            if process.returncode:
                complaints.seek(0)
                said = "\n".join(complaints.read().strip().splitlines()[-3:])
                yield library, {"failed": said or f"it ended with {process.returncode} and said nothing"}
            else:
                yield library, json.loads(printed.splitlines()[-1])


def libraries_of(method: str) -> list[str]:
    return ["lifelong", "avalanche", *(["bare"] if method == "naive" else []), *(["lifelong, default"] if METHODS[method].dearer else [])]


def key(method: str, size: str, library: str, seed: int) -> str:
    return f"{method}, batch {size}, {library}, seed {seed}"


def measure(stored: Stored, python: Path, methods: Sequence[str], sizes: Sequence[str], seeds: int) -> None:
    """Everything that was not measured before."""
    for seed in range(seeds):
        for size in sizes:
            for method in methods:
                missing = [library for library in libraries_of(method) if key(method, size, library, seed) not in stored.entries]
                work = work_of(size, seed, METHODS[method].scenario)
                for library, entry in runs(python, work, method, missing) if missing else []:
                    stored.keep(key(method, size, library, seed), entry)
                    brief = entry["failed"] if "failed" in entry else f"{entry['cpu_seconds']:.2f} s, accuracy {entry['accuracy']:.3f}"
                    print(f"{key(method, size, library, seed)}: {brief}", flush=True)


def rows(entries: Entries, methods: Sequence[str], sizes: Sequence[str], seeds: int) -> Iterator[str]:
    """The table, and below it what must be said of it.

    Medians over seeds, of the process's own seconds; "wall" is the ratio by the clock, "x bare" of a step, "+ MB" what training added.
    """
    yield (
        f"{'method':<8}{'batch':>6}{'library':>18}{'cpu s':>8}{'x bare':>8}{'peer/own':>10}{'wall':>7}{'peak MB':>9}{'+ MB':>6}"
        f"{'steps':>7}  accuracy"
    )
    notes = []
    for size in sizes:
        ratios = []
        for method in methods:
            every = {library: [entries[key(method, size, library, seed)] for seed in range(seeds)] for library in libraries_of(method)}
            failed = {library: next((each["failed"] for each in found if "failed" in each), "") for library, found in every.items()}
            for library, found in every.items():
                if failed[library]:
                    yield f"{method:<8}{size:>6}{library:>18}  failed: {failed[library].splitlines()[-1]}"
                    continue
                compared = ""
                if library == "avalanche" and not failed["lifelong"]:
                    cpu, wall = (middle(found, field) / middle(every["lifelong"], field) for field in ("cpu_seconds", "seconds"))
                    ratios.append(cpu)
                    compared = f"{cpu:10.2f}{wall:7.2f}"
                    if [each["steps"] for each in found] != [each["steps"] for each in every["lifelong"]]:
                        notes.append(f"{method}, batch {size}: not the same number of steps, {found[0]['steps']} in Avalanche")
                if any(each.get("importance_zero") for each in found):
                    notes.append(f"{method}, batch {size}: every importance is 0 in {library}, so this is fine-tuning")
                yield f"{method:<8}{size:>6}{library:>18}{numbers(found, bare_step(entries, size, seeds), compared)}"
        if ratios:
            notes.append(f"batch {size}: geometric mean of peer/own over {len(ratios)} methods {statistics.geometric_mean(ratios):.2f}")
    yield from notes


def numbers(found: Sequence[dict[str, Any]], bare: float, compared: str) -> str:
    """A library's part of a row."""
    cpu, peak, start = (middle(found, field) for field in ("cpu_seconds", "peak_bytes", "start_bytes"))
    accuracies = [each["accuracy"] for each in found]
    spread = statistics.stdev(accuracies) if len(found) > 1 else math.nan
    return (
        f"{cpu:8.2f}{cpu / found[0]['steps'] / bare:8.2f}{compared:17}{peak / 1e6:9.0f}{(peak - start) / 1e6:6.0f}{found[0]['steps']:7}"
        f"  {statistics.mean(accuracies):.3f} +- {spread:.3f}"
    )


def middle(found: Sequence[dict[str, Any]], field: str) -> float:
    return float(statistics.median(each[field] for each in found))


def bare_step(entries: Entries, size: str, seeds: int) -> float:
    """Seconds of the loop by hand for a step; NaN where it was not measured."""
    found = [entries.get(key("naive", size, "bare", seed), {}) for seed in range(seeds)]
    return middle(found, "cpu_seconds") / found[0]["steps"] if all("cpu_seconds" in each for each in found) else math.nan


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--env", type=Path, default=PROJECT / ".peers", help="the environment's folder")
    parser.add_argument("--methods", default=",".join(METHODS))
    parser.add_argument("--sizes", default=",".join(SIZES), help="examples a step")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--fresh", action="store_true")
    arguments = parser.parse_args()
    settings = {"versions": PINNED, "tasks": TASKS, "sizes": SIZES, "methods": {name: asdict(method) for name, method in METHODS.items()}}
    stored = Stored("peers", settings, fresh=arguments.fresh)
    chosen = arguments.methods.split(","), arguments.sizes.split(","), arguments.seeds
    measure(stored, environment(arguments.env.absolute()), *chosen)
    print("\n".join(rows(stored.entries, *chosen)))


if __name__ == "__main__":
    main()
