"""A classifier of your own gets new classes: it knows the digits zero to seven, and learns eight and nine without losing the others."""

import functools

import numpy as np
import torch
from torch import Tensor, nn

import lifelong as ll
from lifelong.data.mnist import load

NAMES = np.array(["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"])
FEW = 20  # examples of each old digit, where some may be kept


def trained(x: Tensor, y: Tensor) -> nn.Module:
    """A plain torch classifier of eight digits, trained by a plain loop, as any of yours may have been."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.Flatten(), nn.Linear(784, 100), nn.ReLU(), nn.Linear(100, 8))
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    for _ in range(5):
        for chosen in torch.randperm(len(y)).split(32):
            optimizer.zero_grad()
            nn.functional.cross_entropy(network(x[chosen]), y[chosen]).backward()
            optimizer.step()
    return network


def main() -> None:
    digits = load("embedded")
    x, y, test_x, test_y = digits.train_x / 255, digits.train_y, digits.test_x / 255, digits.test_y
    network = trained(x[y < 8], y[y < 8])  # all that is left of it: the network, and perhaps a few of its examples
    new, few = y > 7, torch.cat([(y == digit).nonzero()[:FEW, 0] for digit in range(8)])
    known = ll.Task("known digits", (x[few], NAMES[y[few]]))
    task = ll.Task("new digits", (x[new], NAMES[y[new]]))
    mixed = ll.Task("new digits", (torch.cat([x[new], x[few]]), [*NAMES[y[new]], *NAMES[y[few]]]))
    rows = {
        "before": ([], None, None),
        "no old data: fine-tuning": ([], None, task),
        "no old data: EWC": ([ll.methods.EWC()], None, task),
        "no old data: LwF": ([ll.methods.LwF()], None, task),
        f"{FEW} a digit in the task: fine-tuning": ([], None, mixed),
        f"{FEW} a digit in the task: LwF": ([ll.methods.LwF()], None, mixed),
        f"{FEW} a digit remembered: replay": ([ll.methods.Replay(capacity=8 * FEW)], known, task),
        f"{FEW} a digit remembered: iCaRL": ([ll.methods.ICaRL(capacity=10 * FEW)], known, task),
    }
    print(f"{'% right of the test digits':36}{'zero to seven':>16}{'eight and nine':>16}")
    for title, (methods, remembered, learned) in rows.items():
        adopted = ll.adopt(network, classes=NAMES[:8], example=x[:8])
        learner = ll.Learner(adopted, methods, optimizer=functools.partial(torch.optim.SGD, lr=0.05), epochs=3)
        if remembered is not None:
            learner.remember(remembered)  # the methods take in what the network knows; nothing is trained
        if learned is not None:
            learner.learn(learned)
        right = learner.predict(test_x) == NAMES[test_y]
        print(f"{title:36}{100 * right[test_y < 8].mean():16.1f}{100 * right[test_y > 7].mean():16.1f}")


if __name__ == "__main__":
    main()
