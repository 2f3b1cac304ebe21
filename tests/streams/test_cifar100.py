import os
from pathlib import Path
from typing import Any, get_args

import pytest
import torch

from cifar_files import CLASSES, TEST, TRAIN, official, pictures, tables
from lifelong.errors import DataError, ScenarioError, TaskError
from lifelong.streams import STREAMS, split_cifar100
from lifelong.streams.transforms import Normalise, Scale
from lifelong.tasks import Scenario, Stream, Task

ARRAYS = tables()


@pytest.fixture
def folder(tmp_path: Path) -> str:
    """Six classes, five images of each to train and two to test, in the official form."""
    return str(official(tmp_path / "six"))


def same(a: Task, b: Task) -> bool:
    return (a.name, a.classes) == (b.name, b.classes) and torch.equal(a.train.x, b.train.x) and torch.equal(a.train.y, b.train.y)


@pytest.mark.parametrize("scenario", get_args(Scenario))
@pytest.mark.parametrize("shuffle", [False, True])
def test_every_image_is_in_the_task_of_its_class(folder: str, scenario: Scenario, shuffle: bool) -> None:
    stream = split_cifar100(3, scenario=scenario, data=folder, seed=3, shuffle_classes=shuffle)
    assert (stream.name, stream.scenario, len(stream), stream.data) == ("split-cifar100", scenario, 3, "six (30)")
    named = split_cifar100(3, data=folder, seed=3, shuffle_classes=shuffle)
    order = [name for task in named for name in task.classes]
    assert sorted(map(str, order)) == list(CLASSES)
    assert (order == list(CLASSES)) != shuffle
    for position, task in enumerate(stream):
        chosen = [CLASSES.index(str(name)) for name in order[2 * position : 2 * position + 2]]
        assert task.classes == ((0, 1) if scenario == "domain" else tuple(CLASSES[label] for label in chosen))
        assert task.test is not None
        for part, table, each in ((task.train, ARRAYS["train"], TRAIN), (task.test, ARRAYS["test"], TEST)):
            labels = torch.tensor(table["fine_labels"])
            rows = torch.isin(labels, torch.tensor(chosen))
            assert len(part) == 2 * each
            assert torch.equal(part.x, torch.from_numpy(table["data"])[rows].view(-1, 3, 32, 32))
            assert torch.equal(torch.tensor(chosen)[part.y], labels[rows])


def test_the_network_gets_pixels_from_0_to_1_or_normalised_ones(folder: str) -> None:
    plain, normalised = (split_cifar100(3, data=folder, normalise=on)[0] for on in (False, True))
    x, z = (task.train.take(torch.arange(4)) for task in (plain, normalised))
    assert (x.dtype, x.shape) == (torch.float32, (4, 3, 32, 32))
    assert torch.equal(x, plain.train.x[:4].float() / 255)
    mean, deviation = torch.tensor([0.5071, 0.4865, 0.4409]), torch.tensor([0.2673, 0.2564, 0.2762])
    torch.testing.assert_close(z * deviation.view(3, 1, 1) + mean.view(3, 1, 1), x)
    assert isinstance(plain.train.transform, Scale)
    assert isinstance(normalised.train.transform, Normalise)


def test_tasks_hold_the_images_once(folder: str) -> None:
    stream = split_cifar100(3, data=folder)
    tasks = [*stream, *stream]
    storages = {
        part.untyped_storage().data_ptr() for task in tasks for side in (task.train, task.test) if side for part in (side.x, side.y)
    }
    assert len(storages) == 4


def test_names_of_tasks(folder: str) -> None:
    assert [task.name for task in split_cifar100(3, data=folder)] == ["apple to aquarium fish", "baby to bear", "beaver to bed"]
    one_each = split_cifar100(6, data=folder, scenario="class")
    assert [task.name for task in one_each] == ["apple", "aquarium fish", "baby", "bear", "beaver", "bed"]
    shuffled = split_cifar100(2, data=folder, shuffle_classes=True)
    assert [task.name for task in shuffled] == [f"{str(task.classes[0]).replace('_', ' ')} and 2 more" for task in shuffled]


def test_the_same_seed_gives_the_same_tasks_and_another_seed_others(folder: str) -> None:
    for settings in ({"shuffle_classes": True}, {"examples": 4}):
        first, again, other = (list(split_cifar100(3, data=folder, seed=seed, **settings)) for seed in (3, 3, 4))  # type: ignore[arg-type]
        assert all(same(a, b) for a, b in zip(first, again, strict=True))
        assert not all(same(a, b) for a, b in zip(first, other, strict=True))
    plain = (split_cifar100(3, data=folder, seed=seed) for seed in (3, 4))
    assert all(same(a, b) for a, b in zip(*plain, strict=True))


def test_a_task_does_not_depend_on_which_were_made_before(folder: str) -> None:
    settings: dict[str, Any] = {"data": folder, "examples": 4, "shuffle_classes": True}
    whole = list(split_cifar100(3, **settings))
    assert same(split_cifar100(3, **settings)[2], whole[2])
    before = torch.get_rng_state()
    list(split_cifar100(3, **settings))
    assert torch.equal(torch.get_rng_state(), before)


def test_examples_are_drawn_from_the_tasks_own(folder: str) -> None:
    whole, drawn = split_cifar100(3, data=folder), split_cifar100(3, data=folder, examples=4)
    for all_of_it, some in zip(whole, drawn, strict=True):
        assert some.test is not None
        assert (len(some.train), len(some.test)) == (4, 4)
        known = {(x.numpy().tobytes(), int(y)) for x, y in zip(all_of_it.train.x, all_of_it.train.y, strict=True)}
        found = {(x.numpy().tobytes(), int(y)) for x, y in zip(some.train.x, some.train.y, strict=True)}
        assert len(found) == 4
        assert found <= known


def test_a_folder_of_images_can_be_split(tmp_path: Path) -> None:
    stream = split_cifar100(2, data=str(pictures(tmp_path / "pets", ["ant", "bee", "cat", "dog"])))
    assert [(task.name, task.classes) for task in stream] == [("ant to bee", ("ant", "bee")), ("cat to dog", ("cat", "dog"))]
    assert stream[1].train.take(torch.arange(6)).shape == (6, 3, 6, 8)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"tasks": 4}, "tasks is 4; the scenario 'task' of 6 classes takes one of 1, 2, 3$"),
        ({"tasks": 6}, "tasks is 6; the scenario 'task' of 6 classes takes one of 1, 2, 3$"),
        ({"tasks": 0, "scenario": "class"}, "tasks is 0; the scenario 'class' of 6 classes takes one of 1, 2, 3, 6$"),
        ({"examples": 0}, r"examples is 0; the smallest task of six \(30\) has 1 to 10 training examples to draw"),
        ({"examples": 11}, r"examples is 11; the smallest task of six \(30\) has 1 to 10 training examples to draw"),
        ({"seed": -1}, "seed is -1; expected 0 or more"),
    ],
)
def test_numbers_out_of_range(folder: str, wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(TaskError, match=message):
        split_cifar100(**{"tasks": 3, "data": folder, **wrong})


def test_other_wrong_arguments() -> None:
    with pytest.raises(ScenarioError, match="unknown scenario 'tasks'; did you mean 'task'\\? Known: class, domain, task"):
        split_cifar100(scenario="tasks")  # type: ignore[arg-type]
    with pytest.raises(DataError, match="'cifar' is neither a known data set nor a folder; did you mean 'cifar100'"):
        split_cifar100(data="cifar")


def test_recipes_can_name_it() -> None:
    assert STREAMS["split-cifar100"] is split_cifar100


@pytest.mark.slow
@pytest.mark.skipif(
    not (Path(os.environ.get("LIFELONG_DATA", "nowhere")) / "cifar100" / "cifar-100-python").is_dir(),
    reason="CIFAR-100 not found: set LIFELONG_DATA to the parent folder of cifar100/cifar-100-python",
)
def test_the_protocol_of_gem() -> None:
    stream: Stream = split_cifar100()
    assert (len(stream), stream.scenario, stream.data) == (20, "task", "cifar100 (50000)")
    assert stream[0].classes == ("apple", "aquarium_fish", "baby", "bear", "beaver")
    assert {(len(task.classes), len(task.train), len(task.test or ())) for task in stream} == {(5, 2500, 500)}
