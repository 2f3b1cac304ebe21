"""Random numbers that depend on nothing but a seed and what they are for."""

import numpy as np
import torch

from lifelong.errors import TaskError

# What is drawn for a task; two purposes with the same seed and position never share random numbers.
EXAMPLES, PERMUTATION, ANGLE, NOISE, CLASSES, TRAIN_STORIES, TEST_STORIES = range(7)


def generator(seed: int, purpose: int, position: int = 0) -> torch.Generator:
    """A generator for one purpose in the task at `position`: the same, whichever tasks were made before."""
    return torch.Generator().manual_seed(number(seed, purpose, position))


def number(seed: int, purpose: int, position: int = 0) -> int:
    """A seed of 64 bits for one purpose in the task at `position`, for what draws with a generator of its own."""
    if seed < 0:
        raise TaskError(f"seed is {seed}; expected 0 or more")
    return int(np.random.SeedSequence((seed, purpose, position)).generate_state(1, np.uint64)[0])
