from collections.abc import Sequence

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.utils.data import TensorDataset

from lifelong.errors import MethodError
from lifelong.learner import Learner
from lifelong.memory import Memory, Policy
from lifelong.methods import Replay
from lifelong.models import MLP
from lifelong.tasks import Batch, DatasetExamples, Examples
from toys import FEATURES, blobs


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def numbered(start: int, size: int, *, head: int | Tensor = 0, dtype: torch.dtype = torch.float32) -> Examples:
    """Examples that are told apart by their input, and whose label is the same number."""
    y = torch.arange(start, start + size)
    examples = Examples(y[:, None].to(dtype), y)
    examples.head = head
    return examples


def filled(capacity: int, policy: Policy, sizes: Sequence[int], seed: int = 0) -> tuple[Memory, torch.Generator]:
    memory, generator, start = Memory(capacity, policy), seeded(seed), 0
    for size in sizes:
        memory.add(numbered(start, size), generator)
        start += size
    return memory, generator


def held(memory: Memory) -> list[int]:
    return [int(n) for n in memory.y[: len(memory)]]


# What is kept


@given(st.integers(0, 12), st.lists(st.integers(1, 20), min_size=1, max_size=5), st.integers(0, 9))
@settings(deadline=None, max_examples=100)
def test_a_reservoir_is_full_and_never_over(capacity: int, sizes: list[int], seed: int) -> None:
    memory, generator = filled(capacity, "reservoir", sizes, seed)
    kept = held(memory)
    assert len(memory) == len(kept) == min(capacity, sum(sizes))
    assert len(set(kept)) == len(kept)
    assert set(kept) <= set(range(sum(sizes)))
    assert memory.y.shape == memory.head.shape == memory.task.shape == (capacity,)
    assert_consistent(memory, sizes)
    if kept:
        assert set(memory.draw(50, generator).y.tolist()) <= set(kept)


@given(st.integers(5, 30), st.lists(st.integers(1, 20), min_size=1, max_size=5), st.integers(0, 9))
@settings(deadline=None, max_examples=100)
def test_a_ring_gives_every_task_its_share(capacity: int, sizes: list[int], seed: int) -> None:
    memory, generator = filled(capacity, "ring", sizes, seed)
    share = capacity // len(sizes)
    assert len(memory) <= capacity
    assert memory.task[: len(memory)].bincount().tolist() == [min(size, share) for size in sizes]
    assert len(set(held(memory))) == len(memory)
    assert_consistent(memory, sizes)
    assert set(memory.draw(50, generator).y.tolist()) <= set(held(memory))


def assert_consistent(memory: Memory, sizes: Sequence[int]) -> None:
    """Inputs, labels and tasks belong together."""
    ends = torch.tensor(sizes).cumsum(0)
    for slot in range(len(memory)):
        assert memory.x[slot, 0] == memory.y[slot]
        assert memory.task[slot] == int((ends <= memory.y[slot]).sum())


def test_every_example_is_kept_with_the_same_probability() -> None:
    """1,000 memories of 5 among 4 + 11 + 15 examples. The statistic has mean 29 and standard deviation about 7; above 80 one in 10^6."""
    memories, capacity, size = 1000, 5, 30
    counts = torch.zeros(size)
    for seed in range(memories):
        memory, _ = filled(capacity, "reservoir", [4, 11, 15], seed)
        counts[held(memory)] += 1
    p = capacity / size
    expected = memories * p
    # inclusions of different examples are almost independent, so that this is close to a chi-square of size - 1
    statistic = float(((counts - expected) ** 2 / (expected * (1 - p))).sum()) * (size - 1) / size
    assert 5 < statistic < 80


def test_a_slot_does_not_tell_the_example() -> None:
    """The first slot's example is uniform among all 20, too."""
    counts = torch.zeros(20)
    for seed in range(1000):
        memory, _ = filled(4, "reservoir", [20], seed)
        counts[int(memory.y[0])] += 1
    assert 3 < float(((counts - 50) ** 2 / 50).sum()) < 65  # chi-square of 19


def test_a_ring_keeps_the_most_recent() -> None:
    memory, generator = Memory(12, "ring"), seeded()
    orders = []
    for start in (0, 20, 40):
        orders.append(start + torch.randperm(20, generator=generator.clone_state()))
        memory.add(numbered(start, 20), generator)
    assert held(memory) == [int(n) for order in orders for n in order[-4:]]


def test_a_large_ring_keeps_the_order_in_which_examples_came() -> None:
    memory, generator = Memory(100, "ring"), seeded()
    order = torch.randperm(20, generator=generator.clone_state())
    memory.add(numbered(0, 20), generator)
    assert held(memory) == order.tolist()


@pytest.mark.parametrize("policy", ["reservoir", "ring"])
def test_the_seed_decides(policy: Policy) -> None:
    first, again, other = (filled(6, policy, [20, 30], seed)[0] for seed in (0, 0, 1))
    assert held(first) == held(again)
    assert held(first) != held(other)


def test_a_memory_of_0_keeps_nothing_and_draws_no_random_number() -> None:
    generator = seeded()
    before = generator.get_state()
    memory = Memory(0, "reservoir")
    memory.add(numbered(0, 5), generator)
    assert len(memory) == 0
    assert torch.equal(generator.get_state(), before)


def test_only_examples_that_are_kept_are_read() -> None:
    read: list[int] = []

    class Counted(TensorDataset):
        def __getitem__(self, index: int) -> tuple[Tensor, ...]:
            read.append(index)
            return super().__getitem__(index)  # type: ignore[no-any-return, no-untyped-call]

    x = torch.arange(1000.0)[:, None]
    memory = Memory(5, "reservoir")
    memory.add(DatasetExamples(Counted(x, x), torch.arange(1000)), seeded())
    assert len(read) == 5
    assert memory.x[:, 0].tolist() == memory.y.tolist()


def test_a_small_task_of_which_nothing_is_kept() -> None:
    memory, generator = filled(1, "reservoir", [1000])
    before = held(memory)
    dataset = TensorDataset(torch.zeros(1, 1), torch.zeros(1))
    memory.add(DatasetExamples(dataset, torch.zeros(1, dtype=torch.int64)), generator)
    assert held(memory) == before
    assert memory.counts.tolist() == [1, 1001, 2]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16, torch.int64, torch.int32, torch.uint8, torch.bool])
@pytest.mark.parametrize("policy", ["reservoir", "ring"])
def test_inputs_keep_their_dtype(dtype: torch.dtype, policy: Policy) -> None:
    memory, generator = Memory(4, policy), seeded()
    for start in (0, 10):
        memory.add(numbered(start, 10, dtype=dtype), generator)
    assert memory.x.dtype == memory.draw(3, generator).x.dtype == dtype
    assert torch.equal(memory.x[:, 0], memory.y.to(dtype))


def test_heads_are_kept_with_the_examples() -> None:
    memory, generator = Memory(40, "reservoir"), seeded()
    memory.add(numbered(0, 10, head=2), generator)
    memory.add(numbered(10, 10, head=torch.arange(10, 20)), generator)
    drawn = memory.draw(100, generator)
    assert isinstance(drawn.head, Tensor)
    assert torch.equal(drawn.head, torch.where(drawn.y < 10, 2, drawn.y))


def test_transforms_are_applied_before_keeping() -> None:
    y = torch.arange(5)
    memory = Memory(5, "ring")
    memory.add(Examples(y[:, None].to(torch.uint8), y, lambda x: x.float() / 4), seeded())
    assert memory.x.dtype is torch.float32
    assert torch.equal(memory.x[:, 0] * 4, memory.y.float())


# What is drawn


def test_draws_are_uniform_over_what_is_there() -> None:
    memory, generator = filled(10, "reservoir", [4])
    counts = memory.draw(4000, generator).y.bincount(minlength=4).float()
    assert float(((counts - 1000) ** 2 / 1000).sum()) < 40  # chi-square of 3: one in 10^8
    assert len(counts) == 4


def test_draws_follow_weights() -> None:
    memory, generator = filled(4, "ring", [4])
    weights = torch.tensor([0.0, 1.0, 0.0, 3.0])
    drawn = memory.draw(4000, generator, weights).y
    assert set(drawn.tolist()) == {held(memory)[1], held(memory)[3]}
    assert 2800 < int((drawn == held(memory)[3]).sum()) < 3200


@pytest.mark.parametrize("balanced", [True, False])
def test_balanced_draws_are_equal_for_every_task(balanced: bool) -> None:
    """Tasks of 900, 90 and 10 examples in a memory that holds all of them."""
    method = Replay(capacity=1000, replayed=6000, balanced=balanced)
    learner = Learner(MLP(FEATURES, [4]), [method], scenario="task", steps=1)
    for t, size in enumerate((900, 90, 10)):
        learner.learn(blobs(str(t), size=size, classes=[0, 1]), evaluate=False)
    own = learner.methods[0]
    mixed = own.mix(learner, Batch(torch.zeros(0, FEATURES), torch.zeros(0, dtype=torch.int64)))
    assert isinstance(mixed.head, Tensor)
    shares = mixed.head.bincount(minlength=3) / 6000
    assert torch.allclose(shares, torch.tensor([1 / 3] * 3 if balanced else [0.9, 0.09, 0.01]), atol=0.04)


# Errors


def test_wrong_arguments() -> None:
    with pytest.raises(MethodError) as caught:
        Memory(-1, "reservoir")
    assert str(caught.value) == "a memory's size is -1; expected an integer >= 0, where 0 keeps nothing"
    with pytest.raises(MethodError) as caught:
        Memory(1, "herding")  # type: ignore[arg-type]
    assert str(caught.value) == "a memory's policy is 'herding'; expected 'reservoir' or 'ring'"


def test_inputs_of_another_shape_or_dtype() -> None:
    memory, generator = filled(4, "reservoir", [4])
    wide = Examples(torch.zeros(50, 2), torch.zeros(50, dtype=torch.int64))
    with pytest.raises(MethodError) as caught:
        memory.add(wide, generator)
    assert str(caught.value) == (
        "the memory holds inputs of shape (1,) and torch.float32 and can't take shape (2,) and torch.float32; keep inputs alike"
    )
    with pytest.raises(MethodError, match=r"can't take shape \(1,\) and torch.uint8; keep inputs alike"):
        memory.add(numbered(0, 50, dtype=torch.uint8), generator)


def test_a_ring_that_is_too_small() -> None:
    memory, generator = filled(2, "ring", [3, 3])
    with pytest.raises(MethodError) as caught:
        memory.add(numbered(6, 3), generator)
    assert str(caught.value) == "a ring memory of 2 can't give 3 tasks an example each; make it larger or use 'reservoir'"
