import copy
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from lifelong.errors import MethodError, StoreError
from lifelong.generators import VAE, Generator
from lifelong.learner import Learner
from lifelong.method import Method
from lifelong.methods import GenerativeReplay
from lifelong.models import MLP
from lifelong.streams import split_mnist
from lifelong.tasks import Batch, Scenario, Task
from toys import FEATURES, blobs, everything, same, sgd

GAUSSIAN = {"likelihood": "gaussian", "hidden": [16], "latent": 4}


def replay(**arguments: Any) -> GenerativeReplay:
    return GenerativeReplay(**{"generator": GAUSSIAN, "generator_steps": 20, **arguments})


def tasks(scenario: Scenario, count: int = 3) -> list[Task]:
    return [
        blobs(f"task {t}", seed=t, classes=[f"{t}{letter}" if scenario == "class" else letter for letter in "abc"][: 3 if t else 2])
        for t in range(count)
    ]


class Watch(Method):
    """Keeps each step's batch and the loss that came out."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[int, Batch, Tensor, Tensor]] = []

    def loss(self, learner: Learner, batch: Batch, output: Tensor, loss: Tensor) -> Tensor:
        self.seen.append((len(learner.tasks), batch, output.detach(), loss.detach()))
        return loss


def watched(scenario: Scenario, **arguments: Any) -> tuple[Learner, list[tuple[int, Batch, Tensor, Tensor]]]:
    learner = Learner(MLP(FEATURES, [8]), [replay(**arguments), Watch()], scenario, batch_size=10)
    same_classes = tasks(scenario) if scenario != "domain" else [blobs(f"task {t}", seed=t) for t in range(3)]
    for task in same_classes:
        learner.learn(task)
    watch = learner.methods[1]
    assert isinstance(watch, Watch)
    return learner, watch.seen


def method_of(learner: Learner) -> GenerativeReplay:
    method = learner.methods[0]
    assert isinstance(method, GenerativeReplay)
    return method


@pytest.mark.parametrize("scenario", ["task", "domain", "class"])
def test_the_loss_weighs_the_new_task_by_one_over_the_number_of_tasks(scenario: Scenario) -> None:
    _, seen = watched(scenario, replayed=4)
    for learned, batch, output, loss in seen:
        if learned == 0:
            assert batch.weight is None
            assert len(batch) == 10
            continue
        share = 1 / (learned + 1)
        new, old = cross_entropy(output[:10], batch.y[:10]), cross_entropy(output[10:], batch.y[10:])
        assert len(batch) == 14
        assert torch.allclose(loss, share * new + (1 - share) * old, rtol=1e-5)


def test_replayed_inputs_are_labelled_by_the_teacher() -> None:
    frozen: dict[int, Learner] = {}
    learner, labels = Learner(MLP(FEATURES, [8]), [replay(), Watch()], "class", batch_size=10), []
    for t, task in enumerate(tasks("class")):
        frozen[t] = copy.deepcopy(learner)
        learner.learn(task)
    watch = learner.methods[1]
    assert isinstance(watch, Watch)
    for learned, batch, _, _ in watch.seen:
        if learned:
            replayed = slice(len(batch) // 2, None)
            expected = frozen[learned].logits(batch.x[replayed], None).argmax(1)
            assert torch.equal(batch.y[replayed], expected)
            labels.append(expected)
    assert len(set(torch.cat(labels).tolist())) > 1


def test_in_the_scenario_task_earlier_heads_are_asked_at_random() -> None:
    _, seen = watched("task")
    heads = [batch.head[10:] for learned, batch, _, _ in seen if learned == 2 and isinstance(batch.head, Tensor)]
    assert set(torch.cat(heads).tolist()) == {0, 1}
    assert all(bool((batch.y[10:][batch.head[10:] == 0] < 2).all()) for n, batch, _, _ in seen if n == 2 and isinstance(batch.head, Tensor))


def test_the_generator_goes_on_from_its_own_draws() -> None:
    """After the second task it still draws the first one's inputs."""
    corners = torch.tensor([[0.9] * 3 + [0.1] * 3, [0.1] * 3 + [0.9] * 3])
    learner = Learner(MLP(6, [8]), [GenerativeReplay(generator={"hidden": [32], "latent": 2}, generator_steps=400, generator_rate=0.01)])
    for t, corner in enumerate(corners):
        x = (corner + 0.03 * torch.randn(60, 6, generator=torch.Generator().manual_seed(t))).clamp(0, 1)
        learner.learn(Task(f"{t}", train=(x, [t] * 60)))
    drawing = method_of(learner).drawing
    assert drawing is not None
    with torch.no_grad():
        x, _ = drawing.sample(200, torch.Generator().manual_seed(0))
    near = torch.cdist(x, corners).argmin(1).bincount(minlength=2)
    assert near.min() > 40, f"draws near the two tasks' inputs: {near.tolist()}"


@pytest.mark.parametrize("conditional", [False, True])
def test_it_is_saved_with_its_generator_and_goes_on(tmp_path: Path, conditional: bool) -> None:
    first, second, third = tasks("class")
    learner = Learner(MLP(FEATURES, [8]), [replay(generator={**GAUSSIAN, "conditional": conditional})], batch_size=10)
    learner.learn(first)
    learner.learn(second)
    learner.save(tmp_path)
    again = Learner.open(tmp_path)
    assert again.parameters_count() == learner.parameters_count() > sum(p.numel() for p in learner.network.parameters())
    assert learner.kept_bytes() > 0
    for each in (learner, again):
        each.learn(third)
    assert same(everything(learner), everything(again))


class Own(Generator):
    """Draws around what it has seen."""

    def __init__(self) -> None:
        super().__init__()
        self.mean = nn.Parameter(torch.zeros(FEATURES))

    def loss(self, x: Tensor, y: Tensor, generator: torch.Generator) -> Tensor:
        return (x - self.mean).square().sum(1)

    def sample(self, count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        return self.mean + torch.randn(count, FEATURES, generator=generator), torch.zeros(count, dtype=torch.int64)


def test_a_generator_of_ones_own(tmp_path: Path) -> None:
    own = Own()
    learner = Learner(MLP(FEATURES, [8]), [GenerativeReplay(generator=own)], batch_size=10)
    first, second, third = tasks("class")
    learner.learn(first)
    learner.learn(second)
    assert own.mean.detach().abs().sum() == 0, "the caller's own stays as it was"
    learner.save(tmp_path)
    again = Learner.open(tmp_path, methods=[GenerativeReplay(generator=Own())])
    for each in (learner, again):
        each.learn(third)
    assert same(everything(learner), everything(again))
    with pytest.raises(StoreError, match="the generator Own is not the library's and can't be rebuilt"):
        Learner.open(tmp_path)


def test_a_vae_given_as_an_object_is_the_library_s(tmp_path: Path) -> None:
    given = VAE([FEATURES], hidden=[8], latent=3, likelihood="gaussian")
    learner = Learner(MLP(FEATURES, [8]), [GenerativeReplay(generator=given)], batch_size=10)
    learner.learn(tasks("class")[0])
    learner.save(tmp_path)
    assert same(everything(learner), everything(Learner.open(tmp_path)))


def test_pictures_are_of_images_only() -> None:
    stream = split_mnist(scenario="class")
    learner = Learner(MLP(784, [8]), [GenerativeReplay(generator_steps=1)], "class", steps=1)
    assert learner.methods[0].pictures(learner) == {}
    learner.learn(stream[0])  # type: ignore[arg-type]
    ((title, images),) = learner.methods[0].pictures(learner).items()
    assert title == "What the generator draws after task 1"
    assert images.shape == (100, 1, 28, 28)
    vectors = Learner(MLP(FEATURES, [8]), [replay()], "class")
    vectors.learn(tasks("class")[0])
    assert vectors.methods[0].pictures(vectors) == {}


def test_the_default_generator_refuses_inputs_that_it_can_t_draw() -> None:
    learner = Learner(MLP(FEATURES, [8]), [GenerativeReplay()], "class", optimizer=sgd())
    message = r"GenerativeReplay: inputs go from -\S+ to \S+, and its generator draws values in \[0, 1\]; scale them, or give generator="
    with pytest.raises(MethodError, match=message):
        learner.learn(tasks("class")[0])
    assert learner.tasks == []


class Words(nn.Module):
    """Features of inputs that are numbers of words: how often each of seven occurs."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.nn.functional.one_hot(x.long(), 7).flatten(1, -2).sum(1).float()


@pytest.mark.parametrize("generator", [None, GAUSSIAN])
@pytest.mark.parametrize("dtype", [torch.int16, torch.int64])
def test_the_librarys_generator_refuses_words(generator: dict[str, Any] | None, dtype: torch.dtype) -> None:
    task = Task("stories", (torch.ones(4, 3, 2, dtype=dtype), ["yes", "no"] * 2))
    learner = Learner(Words(), [GenerativeReplay(generator=generator)], "domain", optimizer=sgd(), steps=3)
    message = (
        f"GenerativeReplay: its generator draws real numbers, and task 'stories' has inputs of {dtype}, such as words have; "
        "keep examples instead, with Replay(...), or give a Generator of your own that draws such inputs"
    )
    with pytest.raises(MethodError, match=re.escape(message)):
        learner.learn(task)
    assert learner.tasks == []
    switched_off = Learner(Words(), [GenerativeReplay(generator=generator, replayed=0)], "domain", optimizer=sgd(), steps=3)
    switched_off.learn(task)
    assert switched_off.tasks == ["stories"]


class Repeats(Generator):
    """Draws the same words always."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(()))

    def loss(self, x: Tensor, y: Tensor, generator: torch.Generator) -> Tensor:
        return (self.weight - 1).square().expand(len(x))

    def sample(self, count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        return torch.ones(count, 3, 2, dtype=torch.int16), torch.zeros(count, dtype=torch.int64)


def test_a_generator_of_ones_own_may_draw_words() -> None:
    tasks = [Task(name, (torch.ones(4, 3, 2, dtype=torch.int16), ["yes", "no"] * 2)) for name in ("first", "second")]
    learner = Learner(Words(), [GenerativeReplay(generator=Repeats())], "domain", optimizer=sgd(), steps=3)
    for task in tasks:
        learner.learn(task)
    assert learner.tasks == ["first", "second"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"replayed": -1}, "GenerativeReplay: replayed is -1; expected an integer >= 0, or None"),
        ({"generator_steps": 0}, "GenerativeReplay: generator_steps is 0; expected an integer >= 1, or None"),
        ({"generator": {"latnet": 5}}, "generator 'vae': VAE.__init__() got an unexpected keyword argument 'latnet'"),
        ({"generator_rate": 0.0}, "GenerativeReplay: generator_rate is 0.0; expected a number > 0"),
    ],
)
def test_wrong_arguments(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(MethodError, match=re.escape(message)):
        GenerativeReplay(**arguments)
