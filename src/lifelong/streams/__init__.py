"""Where tasks come from, one file a source."""

from collections.abc import Callable

from lifelong.streams.babi import babi
from lifelong.streams.cifar100 import split_cifar100
from lifelong.streams.mnist import noisy_mnist, permuted_mnist, rotated_mnist, split_mnist
from lifelong.streams.own import from_tasks
from lifelong.tasks import Stream

# The streams that a recipe can name; the rest of its [stream] table are the function's arguments.
STREAMS: dict[str, Callable[..., Stream]] = {
    "permuted-mnist": permuted_mnist,
    "rotated-mnist": rotated_mnist,
    "noisy-mnist": noisy_mnist,
    "split-mnist": split_mnist,
    "split-cifar100": split_cifar100,
    "babi": babi,
}

__all__ = ["STREAMS", "babi", "from_tasks", "noisy_mnist", "permuted_mnist", "rotated_mnist", "split_cifar100", "split_mnist"]
