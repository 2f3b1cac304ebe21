import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn.functional import normalize

from lifelong.herding import herd


def unit(count: int, size: int, seed: int = 0) -> Tensor:
    """Vectors of length 1, not negative, as features after a ReLU are."""
    return normalize(torch.randn(count, size, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).relu() + 1e-3)


def distances(features: Tensor, chosen: list[int]) -> dict[int, float]:
    """The paper's Algorithm 4 word by word: every candidate for the next place is tried, and every average is normalised again."""
    mean, k = normalize(features.mean(0), dim=0), len(chosen) + 1
    found = {}
    for i, candidate in enumerate(features):
        if i not in chosen:
            average = (candidate + sum((features[j] for j in chosen), torch.zeros_like(candidate))) / k
            found[i] = float((mean - normalize(average, dim=0)).norm())
    return found


@given(st.integers(1, 20), st.integers(2, 8), st.integers(1, 20), st.integers(0, 99))
@settings(deadline=None, max_examples=50)
def test_it_equals_exhaustive_greedy_search(size: int, width: int, count: int, seed: int) -> None:
    features = unit(size, width, seed)
    order = herd(features, count).tolist()
    assert len(set(order)) == len(order) == min(count, size)
    for k, chosen in enumerate(order):
        tried = distances(features, order[:k])
        assert tried[chosen] <= min(tried.values()) + 1e-7  # two can be equally good but for rounding


def test_the_first_ones_are_what_a_smaller_count_gives() -> None:
    features = unit(40, 6)
    assert all(torch.equal(herd(features, count), herd(features, 40)[:count]) for count in range(41))


def test_the_first_pair_is_nearly_the_best_pair() -> None:
    features = unit(30, 4, seed=1)
    mean = normalize(features.mean(0), dim=0)

    def distance(pair: tuple[int, ...]) -> float:
        return float((mean - normalize(features[list(pair)].mean(0), dim=0)).norm())

    pairs = sorted(itertools.combinations(range(30), 2), key=distance)
    assert pairs.index(tuple(sorted(herd(features, 2).tolist()))) < len(pairs) // 20
    assert distance(tuple(herd(features, 8).tolist())) < distance(tuple(range(8))) / 4


def test_of_alike_ones_the_first_is_chosen() -> None:
    assert herd(torch.tensor([[0.0, 1.0], [1.0, 0.0], [1.0, 0.0], [0.0, 1.0]]), 4).tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize("features", [torch.zeros(3, 2), torch.tensor([[1.0, 0.0], [-1.0, 0.0], [0.0, 0.0]])])
def test_features_without_a_direction_are_chosen_in_some_order(features: Tensor) -> None:
    assert sorted(herd(features, 3).tolist()) == [0, 1, 2]


def test_the_features_stay_as_they_are_and_none_give_none() -> None:
    features = unit(5, 3).float().requires_grad_()
    before = features.detach().clone()
    assert herd(features, 2).dtype == torch.int64
    assert torch.equal(features, before)
    assert herd(torch.empty(0, 3), 4).tolist() == []
