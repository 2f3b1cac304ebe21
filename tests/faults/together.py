"""Learns three tasks with every method that several processes may train with: `python together.py FILE`, alone or by torchrun."""

import functools
import sys
from pathlib import Path

import torch

from lifelong import methods
from lifelong.learner import Learner
from lifelong.method import Method
from lifelong.models import MLP
from lifelong.processes import joined
from lifelong.streams import permuted_mnist

KINDS: dict[str, list[Method]] = {
    "finetune": [],
    "ewc": [methods.EWC(strength=30.0, examples=101)],
    "si": [methods.SI()],
    "mas": [methods.MAS(examples=101)],
    "lwf": [methods.LwF()],
    "replay": [methods.Replay(capacity=50)],
    "gem": [methods.GEM(examples_per_task=31)],
    "agem": [methods.AGEM()],
    "net2net": [methods.Net2Net(), methods.Replay(capacity=20)],
}


def main(path: Path) -> None:
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    stream = permuted_mnist(tasks=3, examples=301)  # the last batch of a pass has one example, and one of two processes none
    with joined() as processes:
        learned = {}
        for name, kept in KINDS.items():
            optimizer = functools.partial(torch.optim.SGD, lr=0.05, momentum=0.9)
            learner = Learner(MLP(784, [20]), kept, "domain", optimizer=optimizer, batch_size=10, clip_norm=5.0)
            learner.processes = processes
            for task in stream:
                learner.learn(task)
            matrix = torch.from_numpy(learner.evaluate(stream).values.copy())
            learned[name] = {"theta": learner.theta.value, "matrix": matrix, "grown": torch.tensor(learner.parameters_count())}
        torch.save(learned, path.with_name(f"{path.name}-{processes.rank}"))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
