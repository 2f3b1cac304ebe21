"""Random numbers that depend on nothing but a seed and what they are for."""

import numpy as np
import torch

from lifelong.errors import TaskError

# What is drawn for a task; two purposes with the same seed and position never share random numbers.
EXAMPLES, PERMUTATION, ANGLE, NOISE, CLASSES = range(5)


def generator(seed: int, purpose: int, position: int = 0) -> torch.Generator:
    """A generator for one purpose in the task at `position`: the same, whichever tasks were made before."""
    if seed < 0:
        raise TaskError(f"seed is {seed}; expected 0 or more")
    state = np.random.SeedSequence((seed, purpose, position)).generate_state(1, np.uint64)
    return torch.Generator().manual_seed(int(state[0]))
