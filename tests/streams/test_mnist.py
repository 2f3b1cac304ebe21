import math
import os
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from lifelong.data import idx
from lifelong.data.mnist import Mnist, load
from lifelong.errors import DataError, ScenarioError, TaskError
from lifelong.streams import STREAMS, noisy_mnist, permuted_mnist, rotated_mnist, split_mnist
from lifelong.streams.transforms import Permute, Scale
from lifelong.tasks import Stream, Task

DIGITS = load("embedded")
CLEAN = Scale()(DIGITS.train_x[:50])
FIRST = torch.arange(50)


def inputs(task: Task) -> Tensor:
    return task.train.take(FIRST)


def same(a: Task, b: Task) -> bool:
    return a.name == b.name and torch.equal(inputs(a), inputs(b)) and torch.equal(a.train.y, b.train.y)


@pytest.fixture(params=[name for name in STREAMS if name.endswith("mnist")])
def make(request: pytest.FixtureRequest) -> Callable[..., Stream]:
    return STREAMS[request.param]


def test_every_stream_gives_the_network_the_same_kind_of_input(make: Callable[..., Stream]) -> None:
    stream = make()
    assert stream.data == "embedded mnist (4000)"
    assert stream.name == next(name for name, function in STREAMS.items() if function is make)
    for task in stream:
        assert task.test is not None
        for part in (task.train, task.test):
            x = part.take(torch.arange(10))
            assert (x.dtype, tuple(x.shape)) == (torch.float32, (10, 1, 28, 28))
            assert 0 <= float(x.min()) <= float(x.max()) <= 1
            assert part.y.dtype == torch.int64
    assert len({task.name for task in stream}) == len(stream)


def test_the_same_seed_gives_the_same_data_and_another_seed_others(make: Callable[..., Stream]) -> None:
    kind = {"shuffle_digits": True} if make is split_mnist else {}
    first, again, other = (list(make(seed=seed, **kind)) for seed in (3, 3, 4))
    assert all(same(a, b) for a, b in zip(first, again, strict=True))
    assert not all(same(a, b) for a, b in zip(first, other, strict=True))


def test_parts_of_a_stream_are_its_tasks(make: Callable[..., Stream]) -> None:
    stream = make()
    whole = list(stream)
    assert all(same(a, b) for a, b in zip(stream[1:], whole[1:], strict=True))
    assert same(stream[-1], whole[-1])
    assert same(stream[::-1][0], whole[-1])


def test_making_streams_and_tasks_leaves_torchs_random_numbers_alone(make: Callable[..., Stream]) -> None:
    before = torch.get_rng_state()
    inputs(make()[0])
    assert torch.equal(torch.get_rng_state(), before)


def test_data_can_be_a_folder(make: Callable[..., Stream], tmp_path: Path) -> None:
    for part, x, y in (("train", DIGITS.train_x[:100], DIGITS.train_y[:100]), ("t10k", DIGITS.test_x[:50], DIGITS.test_y[:50])):
        idx.write(tmp_path / f"{part}-images-idx3-ubyte", x.squeeze(1).numpy())
        idx.write(tmp_path / f"{part}-labels-idx1-ubyte", y.numpy().astype("uint8"))
    stream = make(data=str(tmp_path))
    assert stream.data == f"{tmp_path.name} (100)"
    assert 0 < len(stream[0].train) <= 100
    with pytest.raises(DataError, match="is neither a known data set nor a folder"):
        make(data="mnistt")


def test_a_negative_seed(make: Callable[..., Stream]) -> None:
    with pytest.raises(TaskError, match="seed is -1; expected 0 or more"):
        make(seed=-1)[0]


# Permuted and rotated


@pytest.mark.parametrize("make", [permuted_mnist, rotated_mnist])
def test_a_thousand_tasks_hold_the_images_once(make: Callable[..., Stream]) -> None:
    tasks = list(make(tasks=1000))
    assert all(task.test is not None for task in tasks)
    storages = {part.data_ptr() for task in tasks for side in (task.train, task.test) if side for part in (side.x, side.y)}
    assert len(storages) == 4
    assert len({task.name for task in tasks}) == 1000


@pytest.mark.parametrize("make", [permuted_mnist, rotated_mnist])
def test_a_stream_without_end(make: Callable[..., Stream]) -> None:
    stream = make(tasks=None)
    assert stream.endless
    assert stream[5000].name.split(" (")[0].endswith(" 5001")
    assert [len(part) for part in (stream[:3], stream[10:20:5])] == [3, 2]


@pytest.mark.parametrize("make", [permuted_mnist, rotated_mnist])
@settings(deadline=None, max_examples=15)
@given(seed=st.integers(0, 2**70), position=st.integers(0, 10**9))
def test_a_task_depends_on_seed_and_position_only(make: Callable[..., Stream], seed: int, position: int) -> None:
    stream = make(tasks=None, seed=seed)
    late = stream[position]
    assert same(late, make(tasks=None, seed=seed)[position:][0])
    # two angles can be so close that each pixel's nearest is the same; four can't
    assert not all(torch.equal(inputs(stream[position + further]), inputs(late)) for further in (1, 2, 3))


@pytest.mark.parametrize("make", [permuted_mnist, rotated_mnist])
def test_examples_are_drawn_for_each_task(make: Callable[..., Stream]) -> None:
    stream = make(tasks=2, examples=1000, seed=1)
    first, second = stream
    assert (len(first.train), len(second.train)) == (1000, 1000)
    assert first.test is not None
    assert len(first.test) == 1000
    assert not torch.equal(first.train.x, second.train.x)
    assert torch.equal(first.train.x, stream[0].train.x)
    assert len({row.numpy().tobytes() for row in first.train.x}) == 1000
    assert first.train.y.bincount().min() > 60
    everything = {(x.numpy().tobytes(), int(y)) for x, y in zip(DIGITS.train_x, DIGITS.train_y, strict=True)}
    assert {(x.numpy().tobytes(), int(y)) for x, y in zip(first.train.x, first.train.y, strict=True)} <= everything
    assert len(make(tasks=1, examples=4000)[0].train) == 4000


@pytest.mark.parametrize("make", [permuted_mnist, rotated_mnist])
@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"tasks": 0}, "tasks is 0; expected 1 or more, or None for a stream that never ends"),
        ({"tasks": -3}, "tasks is -3; expected 1 or more"),
        ({"examples": 0}, r"examples is 0; embedded mnist \(4000\) has 1 to 4000 training examples to draw"),
        ({"examples": 4001}, "examples is 4001; "),
    ],
)
def test_numbers_out_of_range(make: Callable[..., Stream], wrong: dict[str, int], message: str) -> None:
    with pytest.raises(TaskError, match=message):
        make(**wrong)


def test_permuted_mnist_permutes_every_task() -> None:
    stream = permuted_mnist(tasks=3)
    assert (stream.scenario, len(stream), len(permuted_mnist())) == ("domain", 3, 10)
    seen = [inputs(task) for task in stream]
    assert not any(torch.equal(x, CLEAN) for x in seen)
    assert not any(torch.equal(seen[a], seen[b]) for a, b in ((0, 1), (0, 2), (1, 2)))
    for task, x in zip(stream, seen, strict=True):
        assert task.classes == tuple(range(10))
        assert torch.equal(task.train.y, DIGITS.train_y)
        assert torch.equal(x.flatten(1).sort(dim=1).values, CLEAN.flatten(1).sort(dim=1).values)
        assert isinstance(task.train.transform, Permute)
        assert task.test is not None
        assert task.test.transform is task.train.transform
        assert torch.equal(task.train.transform.order.sort().values, torch.arange(784))


def test_permuted_mnist_can_leave_the_first_task_plain() -> None:
    plain, whole = permuted_mnist(tasks=3, first="plain"), permuted_mnist(tasks=3)
    assert [task.name for task in plain] == ["plain", "permutation 2", "permutation 3"]
    assert torch.equal(inputs(plain[0]), CLEAN)
    assert same(plain[2], whole[2])
    with pytest.raises(TaskError, match="unknown first 'plane'; did you mean 'plain'\\? Known: permuted, plain"):
        permuted_mnist(first="plane")  # type: ignore[arg-type]


def angles(stream: Stream) -> list[float]:
    """The angles, read back from where the rotations take the pixel right of the centre from."""
    found = []
    for task in stream:
        transform = task.train.transform
        assert transform is not None
        ruler = torch.zeros(28 * 28, 1, 28, 28)
        ruler.flatten(1).fill_diagonal_(255)
        # Row i of `moved` holds where pixel i went; a weighted mean over the bright half-plane's edge gives its direction.
        moved = transform(ruler).flatten(1)
        place = torch.arange(28 * 28)
        right = ((place % 28) - 13.5).float()
        down = (torch.div(place, 28, rounding_mode="floor") - 13.5).float()
        inner = (right**2 + down**2) < 13**2
        went_right, went_down = moved @ right, moved @ down
        # Mean of (where it went) * conj(where it was) as complex numbers has the rotation as its argument.
        was, went = torch.complex(right, -down)[inner], torch.complex(went_right, -went_down)[inner]
        found.append(math.degrees(float(torch.angle((went * was.conj()).sum()))) % 360)
    return found


def test_rotated_mnist_turns_further_with_every_task() -> None:
    stream = rotated_mnist(tasks=6, seed=2)
    assert (stream.scenario, len(rotated_mnist()), stream[0].classes) == ("domain", 20, tuple(range(10)))
    for position, (angle, task) in enumerate(zip(angles(stream), stream, strict=True)):
        assert 30 * position - 1 <= angle <= 30 * (position + 1) + 1
        stated = float(task.name.split("(")[1].removesuffix("°)"))
        assert abs(angle - stated) < 1.5


def test_rotated_mnist_can_spread_angles_anyhow() -> None:
    stated = [float(task.name.split("(")[1].removesuffix("°)")) for task in rotated_mnist(tasks=200, spread="uniform")]
    assert stated != sorted(stated)
    assert 0 <= min(stated) < 10
    assert 170 < max(stated) <= 180
    assert 75 < sum(stated) / 200 < 105
    endless = rotated_mnist(tasks=None)
    assert [task.name for task in endless[:5]] == [task.name for task in rotated_mnist(tasks=7, spread="uniform")[:5]]


def test_rotated_mnist_with_other_angles_and_interpolation() -> None:
    assert max(angles(rotated_mnist(tasks=3, degrees=30))) <= 31
    nearest, bilinear = (rotated_mnist(tasks=1, interpolation=kind)[0] for kind in ("nearest", "bilinear"))
    assert nearest.name == bilinear.name
    assert 0 < float((inputs(nearest) - inputs(bilinear)).abs().mean()) < 0.1


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (
            {"tasks": None, "spread": "ordered"},
            "spread='ordered' divides the angles among the tasks, which needs their number; give tasks, or spread='uniform'",
        ),
        ({"spread": "orderd"}, "unknown spread 'orderd'; did you mean 'ordered'\\? Known: ordered, uniform"),
        ({"interpolation": "cubic"}, "unknown interpolation 'cubic'; Known: bilinear, nearest"),
        ({"degrees": 0}, "degrees is 0; expected more than 0 and at most 360"),
        ({"degrees": 361.0}, "degrees is 361.0; expected more"),
        ({"degrees": math.nan}, "degrees is nan; expected more"),
    ],
)
def test_wrong_arguments_of_rotated_mnist(wrong: dict[str, object], message: str) -> None:
    with pytest.raises(TaskError, match=message):
        rotated_mnist(**wrong)  # type: ignore[arg-type]


# Noisy


def test_noisy_mnist_is_a_pair_of_the_same_digits() -> None:
    noisy, clean = noisy_mnist()
    assert [task.name for task in noisy_mnist(order="clean-first")] == ["clean", "noisy"]
    assert torch.equal(inputs(clean), CLEAN)
    assert torch.equal(noisy.train.y, clean.train.y)
    assert noisy.classes == clean.classes == tuple(range(10))
    assert same(noisy_mnist(order="clean-first")[1], noisy)


def test_the_noise_has_the_level_asked_for_and_is_fixed() -> None:
    stream = noisy_mnist(noise=0.2)
    difference = (inputs(stream[0]) - CLEAN).flatten()
    grey = ((CLEAN > 0.45) & (CLEAN < 0.55)).flatten()  # far from both ends, where nothing is clipped
    assert grey.sum() > 200
    assert abs(float(difference[grey].std()) - 0.2) < 0.02
    assert abs(float(difference[grey].mean())) < 0.03
    assert same(stream[0], stream[0])
    assert not torch.equal(difference[: 784 * 25], difference[784 * 25 :])


def test_training_and_test_digits_have_their_own_noise() -> None:
    noisy = noisy_mnist()[0]
    assert noisy.test is not None
    background = (DIGITS.train_x[:1000] == 0) & (DIGITS.test_x == 0)
    assert float((noisy.train.x[:1000] == noisy.test.x)[background & (noisy.test.x > 0)].float().mean()) < 0.05


def test_no_noise_is_the_clean_digits() -> None:
    noisy, clean = noisy_mnist(noise=0)
    assert torch.equal(noisy.train.x, clean.train.x)


def test_wrong_arguments_of_noisy_mnist() -> None:
    for noise in (-0.1, math.nan, math.inf):
        with pytest.raises(TaskError, match=f"noise is {noise}; expected a standard deviation, 0 or more, in units of"):
            noisy_mnist(noise=noise)
    with pytest.raises(TaskError, match="unknown order 'noisy'; did you mean 'noisy-first'\\? Known: clean-first, noisy-first"):
        noisy_mnist(order="noisy")  # type: ignore[arg-type]


# Split


def test_split_mnist_pairs_the_digits_in_order() -> None:
    for scenario in ("task", "class"):
        stream = split_mnist(scenario=scenario)
        assert stream.scenario == scenario
        assert [task.classes for task in stream] == [(0, 1), (2, 3), (4, 5), (6, 7), (8, 9)]
        assert [task.name for task in stream][:2] == ["digits 0 and 1", "digits 2 and 3"]
        for task in stream:
            assert task.test is not None
            for side, x, y in ((task.train, DIGITS.train_x, DIGITS.train_y), (task.test, DIGITS.test_x, DIGITS.test_y)):
                digits = torch.tensor(task.classes)[side.y]
                rows = torch.isin(y, torch.tensor(task.classes))
                assert torch.equal(side.x, x[rows])
                assert torch.equal(digits, y[rows])


@pytest.mark.parametrize("shuffle", [False, True])
def test_split_mnist_in_the_domain_scenario_has_the_same_two_classes_in_every_task(shuffle: bool) -> None:
    domain = split_mnist(scenario="domain", shuffle_digits=shuffle, seed=5)
    task = split_mnist(scenario="task", shuffle_digits=shuffle, seed=5)
    assert {each.classes for each in domain} == {("first", "second")}
    for a, b in zip(domain, task, strict=True):
        assert a.name == b.name
        assert torch.equal(a.train.x, b.train.x)
        assert torch.equal(a.train.y, b.train.y)


@settings(deadline=None, max_examples=15)
@given(seed=st.integers(0, 10**6))
def test_shuffled_pairs_hold_each_digit_once(seed: int) -> None:
    classes = [name for task in split_mnist(scenario="class", shuffle_digits=True, seed=seed) for name in task.classes]
    assert sorted(classes) == list(range(10))


def test_split_mnist_ignores_the_seed_where_nothing_is_drawn() -> None:
    assert all(same(a, b) for a, b in zip(split_mnist(seed=1), split_mnist(seed=2), strict=True))


@pytest.mark.parametrize(
    ("size", "names"), [(5, ["digits 0, 1, 2, 3 and 4", "digits 5, 6, 7, 8 and 9"]), (1, [f"digit {i}" for i in range(10)])]
)
def test_split_mnist_in_other_sizes(size: int, names: list[str]) -> None:
    assert [task.name for task in split_mnist(scenario="class", classes_per_task=size)] == names
    if size == 5:
        assert split_mnist(scenario="domain", classes_per_task=5)[1].classes == ("first", "second", "third", "fourth", "fifth")


def test_wrong_arguments_of_split_mnist() -> None:
    with pytest.raises(ScenarioError, match="unknown scenario 'tasks'; did you mean 'task'\\? Known: class, domain, task"):
        split_mnist(scenario="tasks")  # type: ignore[arg-type]
    with pytest.raises(TaskError, match=r"classes_per_task is 3; the scenario 'class' of the ten digits takes one of 1, 2, 5"):
        split_mnist(scenario="class", classes_per_task=3)
    with pytest.raises(TaskError, match=r"classes_per_task is 1; the scenario 'task' of the ten digits takes one of 2, 5"):
        split_mnist(classes_per_task=1)


@pytest.mark.skipif(
    not (Path(os.environ.get("LIFELONG_DATA", "nowhere")) / "mnist").is_dir(),
    reason="full MNIST not found: set LIFELONG_DATA to its parent folder",
)
def test_streams_of_full_mnist() -> None:
    digits: Mnist = load("mnist")
    assert permuted_mnist(data="mnist").data == "mnist (60000)"
    assert len(permuted_mnist(data="mnist")[0].train) == 60000
    assert sum(len(task.train) for task in split_mnist(data="mnist")) == len(digits.train_y)


@pytest.mark.parametrize("make", [permuted_mnist, rotated_mnist])
def test_the_task_can_be_known(make: Callable[..., Stream]) -> None:
    known, unknown = make(tasks=2, scenario="task"), make(tasks=2)
    assert (known.scenario, unknown.scenario) == ("task", "domain")
    assert torch.equal(known[1].train.x, unknown[1].train.x)
    with pytest.raises(ScenarioError, match=r"scenario is 'class'; every task has the classes 0 to 9, so expected 'domain' \(one head\)"):
        make(tasks=2, scenario="class")
