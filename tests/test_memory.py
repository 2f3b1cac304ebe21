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


# What is offered in every step


def logits_of(x: Tensor, columns: int) -> Tensor:
    """What a network might say of numbered inputs (N, 1): other values for each, told apart."""
    return x + torch.arange(columns) / 100


def offered(capacity: int, sizes: Sequence[Sequence[int]], seed: int = 0, columns: Sequence[int] = ()) -> Memory:
    """A reservoir that was offered batches of so many numbered examples, task after task; task t has `columns[t]` outputs and head t."""
    memory, generator, start = Memory(capacity, "reservoir"), seeded(seed), 0
    for t, batches in enumerate(sizes):
        for size in batches:
            batch = Batch(numbered(start, size).x, torch.arange(start, start + size), t)
            memory.offer(batch, generator, logits_of(batch.x, columns[t] if columns else 3))
            start += size
        memory.end_task()
    return memory


@given(
    st.integers(1, 12),
    st.lists(st.lists(st.integers(1, 9), min_size=1, max_size=5), min_size=1, max_size=4),
    st.integers(0, 9),
    st.lists(st.integers(1, 6), min_size=4, max_size=4),
)
@settings(deadline=None, max_examples=100)
def test_what_was_offered_in_batches_of_any_size(capacity: int, sizes: list[list[int]], seed: int, columns: list[int]) -> None:
    """Full as soon as it can be, nothing twice, and everything in a slot belongs to one example, logits and all."""
    memory = offered(capacity, sizes, seed, columns)
    total = sum(map(sum, sizes))
    assert memory.counts[:3].tolist() == [min(capacity, total), total, len(sizes)]
    assert len(set(held(memory))) == len(memory)
    assert len(memory.x) == len(memory.logits) == capacity
    assert_consistent(memory, [sum(batches) for batches in sizes])
    assert torch.equal(memory.head, memory.task)
    known = torch.tensor(columns)[memory.task[: len(memory)]]
    beyond = torch.arange(memory.logits.shape[1]) >= known[:, None]
    kept, expected = memory.logits[: len(memory)], logits_of(memory.x[: len(memory)], memory.logits.shape[1])
    assert torch.equal(kept.isnan(), beyond)
    assert torch.equal(kept[~beyond], expected[~beyond])
    assert memory.contents.incomplete == set(beyond.any(1).nonzero().squeeze(1).tolist())
    assert memory.contents.earlier == list(range(len(memory))), "all tasks have ended"


@pytest.mark.parametrize("block", [4, 4096])
def test_inclusion_is_uniform_whatever_the_batches(block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """1,000 memories of 5 among 30 examples in steps of 1, 7, 2, ..: the statistic of the test above, above 80 one in 10^6."""
    monkeypatch.setattr("lifelong.memory.BLOCK", block)
    memories, p = 1000, 5 / 30
    counts = torch.zeros(30)
    for seed in range(memories):
        counts[held(offered(5, [[1, 7, 2], [3, 11], [6]], seed))] += 1
    statistic = float(((counts - memories * p) ** 2 / (memories * p * (1 - p))).sum()) * 29 / 30
    assert 5 < statistic < 80


@pytest.mark.parametrize("block", [1, 7, 4096])
def test_steps_of_one_example_keep_what_one_step_of_all_keeps(block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Algorithm R looks at one example after the other, so that of two that took the same slot the later stays."""
    monkeypatch.setattr("lifelong.memory.BLOCK", block)
    for seed in range(10):
        one, some, all_at_once = (offered(4, sizes, seed) for sizes in ([[1] * 40], [[13, 1, 26]], [[40]]))
        assert held(one) == held(some) == held(all_at_once)
        assert torch.equal(one.logits, all_at_once.logits)


def test_slots_are_drawn_anew_for_every_example_and_block(monkeypatch: pytest.MonkeyPatch) -> None:
    """Example n replaces another with probability capacity / (n + 1), and any slot alike, on both sides of a block's end."""
    monkeypatch.setattr("lifelong.memory.BLOCK", 8)
    replaced, slots, seeds = torch.zeros(24), torch.zeros(4), 200
    for seed in range(seeds):
        memory = offered(4, [[4]], seed)
        for n in range(4, 24):
            before = held(memory)
            memory.offer(Batch(numbered(n, 1).x, torch.tensor([n])), seeded(), torch.zeros(1, 3))
            changed = [slot for slot, (a, b) in enumerate(zip(before, held(memory), strict=True)) if a != b]
            assert len(changed) <= 1
            replaced[n] += len(changed)
            slots[changed] += 1
    p = 4 / torch.arange(5, 25)
    deviations = (replaced[4:] - seeds * p) / (seeds * p * (1 - p)).sqrt()
    assert float(deviations.square().sum()) < 60  # chi-square of 20: one in 10^5
    assert float(((slots - slots.mean()) ** 2 / slots.mean()).sum()) < 25  # chi-square of 3: one in 10^5


def test_earlier_examples_are_those_of_tasks_that_ended() -> None:
    memory, generator = Memory(100, "reservoir"), seeded()
    assert memory.contents.earlier == []
    for start in (0, 10):
        batch = Batch(numbered(start, 10).x, torch.arange(start, start + 10))
        memory.offer(batch, generator, logits_of(batch.x, 2))
        assert memory.y[memory.contents.earlier].tolist() == list(range(start))
        memory.end_task()
        assert memory.y[memory.contents.earlier].tolist() == list(range(start + 10))


def looked_up(memory: Memory) -> tuple[object, ...]:
    """What `Contents` says, from the tensors, one slot after the other."""
    memory.note()
    filled, offered, tasks = memory.counts.tolist()
    heads, task = memory.head[:filled].tolist(), memory.task[:filled].tolist()
    rows = memory.logits[:filled].tolist()
    incomplete = {slot for slot, row in enumerate(rows) if not all(abs(z) < float("inf") for z in row)}
    one = heads[0] if len(set(heads)) == 1 else heads
    return filled, offered, tasks, one, [slot for slot in range(filled) if task[slot] < tasks], incomplete


@given(
    st.integers(1, 12),
    st.lists(
        st.one_of(
            st.none(),  # a task's end
            st.tuples(st.integers(1, 9), st.integers(1, 4), st.booleans(), st.one_of(st.integers(0, 2), st.none())),
        ),
        min_size=1,
        max_size=30,
    ),
)
@settings(deadline=None, max_examples=100)
def test_what_the_host_knows_is_what_is_there(capacity: int, offers: list[tuple[int, int, bool, int | None] | None]) -> None:
    """Whatever batches: of any size and width of logits, finite or not, of one head or of several."""
    memory, generator, start = Memory(capacity, "reservoir"), seeded(), 0
    for each in offers:
        if each is None:
            memory.end_task()
        else:
            size, columns, finite, head = each
            y = torch.arange(start, start + size)
            said = logits_of(y[:, None].float(), columns)
            said[::2] += 0 if finite else float("inf")
            memory.offer(Batch(y[:, None], y, y % 3 if head is None else head), generator, said)
            start += size
        known = memory.contents
        heads = known.heads if isinstance(known.heads, int) else known.heads.tolist()
        assert (known.filled, known.offered, known.tasks, heads, known.earlier, known.incomplete) == looked_up(memory)
        opened = Memory(capacity, "reservoir")
        for name, tensor in memory.named_buffers():
            opened.register_buffer(name, tensor.clone())
        assert (opened.contents.earlier, opened.contents.incomplete) == (known.earlier, known.incomplete)
        assert type(opened.contents.heads) is type(known.heads)


def test_examples_are_taken_by_slot() -> None:
    memory = offered(20, [[4], [6]])
    taken = memory.take(torch.tensor([7, 0, 7]))
    assert (taken.x[:, 0].tolist(), taken.y.tolist()) == ([7, 0, 7], [7, 0, 7])
    assert isinstance(taken.head, Tensor)
    assert taken.head.tolist() == [1, 0, 1]
    assert taken.weight is None
    taken.x.zero_()
    assert memory.x[7, 0] == 7, "a copy"
    assert offered(20, [[4]]).take(torch.tensor([3])).head == 0, "one head for all"


def test_heads_and_logits_of_a_batch_of_several_heads() -> None:
    batch = Batch(numbered(0, 6).x, torch.arange(6), torch.tensor([0, 1, 0, 1, 0, 1]))
    memory = Memory(10, "reservoir")
    said = logits_of(batch.x, 3)
    said[::2, 2] = -torch.inf  # head 0 has only two outputs
    memory.offer(batch, seeded(), said)
    assert memory.head[:6].tolist() == [0, 1, 0, 1, 0, 1]
    assert torch.equal(memory.logits[:6], said)


def test_offering_does_not_change_what_is_offered() -> None:
    batch = Batch(numbered(0, 6).x, torch.arange(6))
    said = logits_of(batch.x, 3)
    memory = Memory(4, "reservoir")
    memory.offer(batch, seeded(), said)
    memory.x.zero_()
    memory.logits.zero_()
    assert batch.x[:, 0].tolist() == [0, 1, 2, 3, 4, 5]
    assert torch.equal(said, logits_of(batch.x, 3))


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
