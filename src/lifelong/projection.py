"""The nearest gradient that no earlier task objects to: GEM's quadratic programme, and A-GEM's single constraint."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Floats = NDArray[np.float64]

RIDGE = 1e-3
JITTER = 1e-13  # on a diagonal of ones: more than a Gram matrix's rounding, so that dependent gradients make no system singular
NOISE = 1e-14  # how far from 0, in units of the numbers that it is a difference of, a slope counts as 0


def project(gradient: Tensor, memories: Tensor, margin: float = 0.0, ridge: float = RIDGE, out: Tensor | None = None) -> Tensor:
    """g~ = G'v + g (GEM, below Eq. 11) where g conflicts with a memory, <g, g_k> < 0 for some k; g itself elsewhere.

    The rows of G are +g_k: with the minus of the paper's text a conflict would stay. The programme is solved in float64, the products
    of gradients are computed in their own dtype. Where one of these is not finite, g comes back for the training loop to refuse.

    Args:
        gradient: g, (P,).
        memories: G, (K, P): the gradients of the earlier tasks' losses.
        margin: the least v_k, >= 0. 0: the nearest gradient with <g~, g_k> >= 0, Eq. 7. More: wherever one memory objects, at least
            so much of every memory's gradient is added, which favours backward transfer.
        ridge: added to the diagonal of GG', relative to its mean, so that it means the same at every scale of the gradients. It bounds
            v where memories contradict each other; <g~, g_k> >= -ridge * mean * v_k is what then holds. 0: none.
        out: a vector (P,) to write g~ to where there is a conflict, which may be g's own. None: a new one.
    """
    products = _float64(memories @ gradient)
    if not (products < 0).any():
        return gradient
    gram = _float64(memories @ memories.T)
    if not (np.isfinite(products).all() and np.isfinite(gram).all()):
        return gradient
    gram += ridge * gram.diagonal().mean() * np.eye(len(gram))
    weights = torch.from_numpy(solve_dual(gram, products, margin)).to(memories)
    return torch.addmv(gradient, memories.T, weights, out=out)


def project_one(gradient: Tensor, reference: Tensor, out: Tensor | None = None) -> Tensor:
    """g - (g'r / r'r) r where g'r < 0, and g bit for bit elsewhere (A-GEM, Eq. 11); it never waits for the device.

    Args:
        gradient: g, (P,).
        reference: r, (P,): the gradient of the loss on a batch from the memory. Where it is 0, g stays.
        out: a vector (P,) to write it to, which may be g's own. None: a new one.
    """
    product, square = torch.dot(gradient, reference), torch.dot(reference, reference)
    share = product.clamp_max(0) / square.clamp_min(torch.finfo(square.dtype).tiny)
    return torch.addcmul(gradient, share, reference, value=-1, out=out)


def solve_dual(gram: Floats, products: Floats, margin: float = 0.0) -> Floats:
    """The v, (K,), that minimises v'Av/2 + b'v subject to v >= margin (GEM, Eq. 11), by an active set.

    As Lawson and Hanson's solver of non-negative least squares, but for blocks: all constraints with a falling slope are freed, the free
    ones go to their minimum, and those that meet their bound on the way are bound again. A set of free constraints has one minimum and
    every one is lower than the last, so no set comes back, and there are finitely many; one that does, by rounding, is the end.

    Args:
        gram: A = GG', (K, K), symmetric and positive semidefinite.
        products: b = Gg, (K,).
    """
    # In u = (v - margin) * |g_k| the bound is 0 and the diagonal 1, whatever the scales of the gradients.
    lengths = np.sqrt(np.where(gram.diagonal() > 0, gram.diagonal(), 1.0))
    scaled = gram / np.outer(lengths, lengths) + JITTER * np.eye(len(gram))
    start = (products + margin * gram.sum(axis=1)) / lengths
    u, free = np.zeros(len(start)), start < 0
    seen: set[bytes] = set()
    while free.any():
        u, free = _minimum(scaled, start, u, free)
        falling = ~free & (start + scaled @ u < -NOISE * len(u) * (np.abs(start).max() + u.sum()))
        if free.tobytes() in seen or not falling.any():
            break
        seen.add(free.tobytes())
        free = free | falling
    return margin + u / lengths


def _minimum(matrix: Floats, start: Floats, u: Floats, free: NDArray[np.bool_]) -> tuple[Floats, NDArray[np.bool_]]:
    """From u >= 0 towards the minimum over the free entries; those that meet 0 on the way are bound there. Also which stayed free."""
    while True:
        target = np.zeros(len(u))
        places = np.flatnonzero(free)
        if len(places) == 1:  # the most frequent case, and LAPACK's calls are most of what it would cost
            target[places] = -start[places] / matrix[places, places]
        else:
            target[places] = np.linalg.solve(matrix[places[:, None], places], -start[places])
        falling = np.flatnonzero(target < 0)
        if not len(falling):
            return target, target > 0
        shares = u[falling] / (u[falling] - target[falling])
        u = u + shares.min() * (target - u)
        u[falling[shares == shares.min()]] = 0.0  # several at once where they start at 0
        free = free & ((u > 0) | (target > 0))


def _float64(x: Tensor) -> Floats:
    values: Floats = x.detach().cpu().double().numpy()
    return values
