"""Herding: the few examples whose mean is closest to the mean of all."""

import torch
from torch import Tensor


def herd(features: Tensor, count: int) -> Tensor:
    """Positions (min(count, N),) of the chosen features, int64 on the CPU, in the order in which they were chosen.

    The k-th is argmin over x not yet chosen of || mu - normalised(phi(x) + phi(p_1) + ... + phi(p_k-1)) ||, with mu the normalised mean
    of all: the mean that any first k of them give is as close as one more example can bring it. Ties go to the first.

    Args:
        features: phi, shape (N, F), each of Euclidean norm 1.
        count: how many to choose, without repetition.

    >>> herd(torch.tensor([[1.0, 0.0], [0.8, 0.6], [0.0, 1.0]]), 2).tolist()
    [1, 2]
    """
    phi = features.detach().cpu().double()
    mean, chosen = phi.mean(0), torch.zeros(len(phi), dtype=torch.bool)
    along, squares, total = phi @ mean, phi.square().sum(1), torch.zeros_like(mean)
    order: list[int] = []
    for _ in range(min(count, len(phi))):
        # between unit vectors the closest is the one of largest cosine, and the length of mu does not matter for it
        length = (squares + 2 * (phi @ total) + total.square().sum()).clamp_min(torch.finfo(phi.dtype).tiny).sqrt()
        cosine = ((along + total @ mean) / length).masked_fill(chosen, -torch.inf)
        best = int(cosine.argmax())
        order.append(best)
        chosen[best] = True
        total = total + phi[best]
    return torch.tensor(order, dtype=torch.int64)
