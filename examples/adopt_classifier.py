"""A classifier that was trained without lifelong is taken over, and learns two new classes without losing the old ones."""

import functools

import torch
from torch import Tensor, nn

import lifelong as ll


def trained(x: Tensor, y: Tensor) -> nn.Sequential:
    """A plain torch classifier of the digits 0 to 7, trained by a plain loop."""
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
    first, second, third, fourth, new = ll.streams.split_mnist(scenario="class")  # pairs of digits
    old = [first, second, third, fourth]
    x = torch.cat([task.train.take(torch.arange(len(task.train))) for task in old])
    y = torch.cat([task.train.y + 2 * i for i, task in enumerate(old)])
    test_x = torch.cat([task.test.take(torch.arange(len(task.test))) for task in old])
    test_y = torch.cat([task.test.y + 2 * i for i, task in enumerate(old)])
    network = trained(x, y)
    few = torch.randperm(len(y))[:800]  # what is left of the old training data
    before = ll.Task("before", (x[few], y[few]), (test_x, test_y), classes=range(8))

    for name, methods in {"fine-tuning": [], "EWC and replay": [ll.methods.EWC(), ll.methods.Replay(capacity=800, replayed=96)]}.items():
        adopted = ll.adopt(network, classes=list(range(8)), example=x[:8])
        learner = ll.Learner(adopted, methods, scenario="class", optimizer=functools.partial(torch.optim.SGD, lr=0.05), epochs=3)
        kept = (torch.as_tensor(learner.predict(test_x)) == test_y).float().mean()
        print(f"{name}: adopted with {100 * kept:.1f} % of 0 to 7")
        learner.remember(before)  # methods take in what it knows
        learner.learn(new)
        row = learner.evaluate([before, new]).values[-1]
        print(
            f"{name}: after learning {' and '.join(map(str, new.classes))}: {100 * row[0]:.1f} % of 0 to 7, {100 * row[1]:.1f} % of 8 and 9"
        )


if __name__ == "__main__":
    main()
