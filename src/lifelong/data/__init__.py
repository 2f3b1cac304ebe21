"""The data sets that streams are made of: where they are found, and how they are downloaded. Nothing here imports torch."""

from lifelong.data.sources import find, get

# What `lifelong list data` prints; a name here can be given wherever `data` is asked for, and to `lifelong data get`.
DATA: dict[str, str] = {
    "embedded": "5,000 MNIST digits that come with lifelong: 4,000 to train, 1,000 to test; needs no download",
    "mnist": "handwritten digits, 60,000 to train, 10,000 to test, 28x28 grey (11 MB)",
    "fashion-mnist": "photographs of clothes in 10 classes, in MNIST's format and size (30 MB)",
    "kmnist": "handwritten Japanese characters in 10 classes, in MNIST's format and size (21 MB)",
    "cifar100": "photographs in 100 classes, 50,000 to train, 10,000 to test, 32x32 colours (169 MB)",
    "babi": "questions about short stories, 20 tasks of 1,000 or 10,000 questions to train, 1,000 to test, in English (16 MB)",
}

__all__ = ["DATA", "find", "get"]
