from collections.abc import Iterator

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import nnls
from torch import Tensor

from lifelong.projection import Floats, project, project_one, solve_dual

KINDS = ("gaussian", "collinear", "opposite", "repeated", "mixed")
SCALES = (1.0, 1e3, 1e-4)


def problem(kind: str, tasks: int, generator: torch.Generator, size: int = 60) -> tuple[Tensor, Tensor]:
    """g (P,) and G (K, P) in float64; `repeated` and `opposite` have Gram matrices that are singular, or nearly so."""
    g = torch.randn(size, dtype=torch.float64, generator=generator)
    G = torch.randn(tasks, size, dtype=torch.float64, generator=generator)
    small = 10.0 ** -float(torch.randint(1, 8, (), generator=generator))
    if kind == "collinear":
        G = G[:1] + small * G
    elif kind == "opposite":
        signs = torch.where(torch.arange(tasks) % 2 == 0, 1.0, -1.0).double()
        G = signs[:, None] * (G[:1] + small * G)
    elif kind == "repeated":
        G = G[torch.randint((tasks + 1) // 2, (tasks,), generator=generator)]
    elif kind == "mixed":  # gradients of very different lengths
        G = G * 10.0 ** torch.randint(-4, 4, (tasks, 1), generator=generator).double()
    return g - 0.5 * G.sum(0), G


def problems(count: int) -> Iterator[tuple[str, Tensor, Tensor, float]]:
    for i in range(count):
        generator = torch.Generator().manual_seed(i)
        kind, scale, tasks = KINDS[i % 5], SCALES[i % 3], int(torch.randint(1, 31, (), generator=generator))
        g, G = problem(kind, tasks, generator)
        yield f"problem {i}: {kind}, {tasks} tasks, scale {scale}", g * scale, G * scale, (0.0, 0.5)[i % 2]


def dual_of(g: Tensor, G: Tensor, ridge: float) -> tuple[Floats, Floats]:
    gram = (G @ G.T).numpy()
    return gram + ridge * gram.diagonal().mean() * np.eye(len(gram)), (G @ g).numpy()


@pytest.mark.parametrize(("ridge", "precision"), [(1e-3, 1e-10), (1e-6, 1e-9), (0.0, 1e-6)])
def test_a_thousand_problems_satisfy_the_kkt_conditions(ridge: float, precision: float) -> None:
    for name, g, G, margin in problems(1000):
        gram, products = dual_of(g, G, ridge)
        v = solve_dual(gram, products, margin)
        slopes = gram @ v + products
        unit = np.sqrt(gram.diagonal()) * (g.norm() + v @ np.sqrt(gram.diagonal())).numpy()  # of <g~, g_k>
        assert (v >= margin).all(), name
        assert (slopes >= -precision * unit).all(), f"{name}: {(slopes / unit).min()}"
        assert (np.abs(slopes * (v > margin)) <= precision * unit).all(), f"{name}: a weight above the margin, and a slope"


def test_it_agrees_with_non_negative_least_squares() -> None:
    """min |R'u + c| over u >= 0 is the dual, for RR' = A and Rc = b + margin A1."""
    for name, g, G, margin in problems(1000):
        gram, products = dual_of(g, G, 1e-3)
        root = np.linalg.cholesky(gram / gram.diagonal().mean())
        target = np.linalg.solve(root, (products + margin * gram.sum(1)) / gram.diagonal().mean())
        expected = margin + nnls(root.T, -target)[0]
        np.testing.assert_allclose(solve_dual(gram, products, margin), expected, rtol=1e-8, atol=1e-8, err_msg=name)


def test_the_projected_gradient_conflicts_with_no_memory() -> None:
    for name, g, G, _ in problems(300):
        projected = project(g, G, ridge=0.0)
        assert ((G @ projected) >= -1e-6 * G.norm(dim=1) * g.norm()).all(), name
        assert projected.norm() <= g.norm() * (1 + 1e-12), f"{name}: what is nearest in a cone is never longer"


@pytest.mark.parametrize(("margin", "expected"), [(0.0, (0.50025, 0.49975)), (0.5, (0.5, 0.5)), (1.0, (0.0, 1.0))])
def test_the_official_codes_numbers(margin: float, expected: tuple[float, float]) -> None:
    g, G = torch.tensor([1.0, 0.0]), torch.tensor([[-1.0, 1.0]])
    # Its ridge is 0.001 on a diagonal of 2. With -G, as the paper's text has it, nothing would be projected.
    torch.testing.assert_close(project(g, G, margin, ridge=5e-4), torch.tensor(expected), atol=1e-5, rtol=0)


def test_two_constraints_at_once() -> None:
    g, G = torch.tensor([1.0, 0.5, -0.5]), torch.tensor([[-1.0, 1.0, 0.0], [0.0, -1.0, 1.0]])
    v = solve_dual((G @ G.T).double().numpy(), (G @ g).double().numpy())
    np.testing.assert_allclose(v, (2 / 3, 5 / 6), atol=1e-10)
    projected = project(g, G, ridge=0.0)
    torch.testing.assert_close(projected, torch.full((3,), 1 / 3), atol=1e-6, rtol=0)
    torch.testing.assert_close(G @ projected, torch.zeros(2), atol=1e-6, rtol=0)


def test_one_mean_constraint() -> None:
    g, r = torch.tensor([1.0, 0.5, -0.5]), torch.tensor([-0.5, 0.0, 0.5])
    torch.testing.assert_close(project_one(g, r), torch.tensor([0.25, 0.5, 0.25]), atol=1e-7, rtol=0)


@given(st.integers(0, 10**6), st.sampled_from(SCALES))
@settings(deadline=None, max_examples=200)
def test_one_constraint_is_agem(seed: int, scale: float) -> None:
    generator = torch.Generator().manual_seed(seed)
    g, r = scale * torch.randn(2, 40, generator=generator, dtype=torch.float64)
    torch.testing.assert_close(project_one(g, r), project(g, r[None], ridge=0.0), rtol=1e-9, atol=1e-12 * scale)
    g, r = g.float(), r.float()
    torch.testing.assert_close(project_one(g, r), project(g, r[None], ridge=0.0), rtol=1e-4, atol=1e-6 * scale)


def test_a_gradient_without_conflict_stays_bit_for_bit() -> None:
    g, r = torch.randn(2, 50, generator=torch.Generator().manual_seed(0))
    r = r if torch.dot(g, r) >= 0 else -r
    assert torch.equal(project_one(g, r), g)
    assert torch.equal(project(g, r[None], margin=0.5), g)
    assert torch.equal(project_one(g, torch.zeros(50)), g)
    assert torch.equal(project(g, torch.zeros(3, 50), margin=0.5), g)
    assert project(g, r[None], out=g) is g


def test_the_result_can_be_written_to_the_gradient_itself() -> None:
    g, r = torch.randn(2, 50, generator=torch.Generator().manual_seed(0))
    r = r if torch.dot(g, r) < 0 else -r
    expected = project_one(g, r)
    assert project_one(g, r, out=g) is g
    assert torch.equal(g, expected)
    g, G = torch.randn(50), torch.randn(3, 50)
    G[0] = -g
    expected = project(g, G, margin=0.5)
    assert not torch.equal(g, expected)
    assert project(g, G, margin=0.5, out=g) is g
    assert torch.equal(g, expected)


def test_the_margin_adds_every_memory_where_one_objects() -> None:
    g, G = torch.tensor([1.0, 0.0, 0.0]), torch.tensor([[-1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
    torch.testing.assert_close(project(g, G, margin=0.5, ridge=0.0), torch.tensor([0.0, 0.5, 0.0]))
    torch.testing.assert_close(project(g, -G, margin=0.5, ridge=0.0), g)


@pytest.mark.parametrize("scale", [1e3, 1e-4, 1e-12])
def test_the_ridge_means_the_same_at_every_scale(scale: float) -> None:
    g, G = problem("opposite", 7, torch.Generator().manual_seed(0))
    torch.testing.assert_close(project(g * scale, G * scale, 0.5), project(g, G, 0.5) * scale, rtol=1e-9, atol=1e-9 * scale)


def test_float32_gradients_with_many_parameters() -> None:
    """The products' rounding is far below the ridge: the projection is the one of float64."""
    generator = torch.Generator().manual_seed(0)
    for small in (1.0, 1e-2, 1e-4):
        common = torch.randn(20_000, generator=generator)
        G = common + small * torch.randn(19, 20_000, generator=generator)
        g = small * torch.randn(20_000, generator=generator) - common
        exact = project(g.double(), G.double(), 0.5)
        assert (project(g, G, 0.5) - exact).norm() <= 1e-3 * exact.norm()


@pytest.mark.parametrize("bad", [torch.inf, -torch.inf, torch.nan])
def test_a_gradient_that_is_not_finite_is_left_to_the_loop(bad: float) -> None:
    g, G = torch.tensor([1.0, bad]), torch.tensor([[-1.0, 1.0], [1.0, 1.0]])
    assert torch.equal(project(g, G).nan_to_num(), g.nan_to_num())
    G[0, 0] = bad
    assert torch.equal(project(torch.tensor([1.0, 2.0]), G), torch.tensor([1.0, 2.0]))


def test_nothing_passed_in_is_modified() -> None:
    g, G = problem("gaussian", 5, torch.Generator().manual_seed(1))
    gram, products = dual_of(g, G, 0.0)
    kept = g.clone(), G.clone(), gram.copy(), products.copy()
    project(g, G, 0.5)
    project_one(g, G[0])
    solve_dual(gram, products, 0.5)
    assert torch.equal(g, kept[0]) and torch.equal(G, kept[1])
    assert np.array_equal(gram, kept[2]) and np.array_equal(products, kept[3])
