import pytest
import torch
from torch import nn

from lifelong import parts, recipe
from lifelong.errors import RecipeError
from lifelong.methods import EWC, Replay


def demo(*changes: str) -> recipe.Recipe:
    return recipe.load("demo", changes)


def test_a_recipes_parts_become_objects() -> None:
    chosen = demo("methods.both.method=ewc", "methods.both.strength=3", "methods.both.with.replay.capacity=5")
    stream = parts.stream_of(chosen, seed=0, tasks=3)
    assert (len(stream), stream.scenario) == (3, "domain")
    made = parts.methods_of(chosen, "both")
    assert list(made) == ["ewc", "replay"]
    ewc, replay = made.values()
    assert isinstance(ewc, EWC)
    assert ewc.strength == 3
    assert isinstance(replay, Replay)
    assert replay.capacity == 5


def test_a_network_is_drawn_from_the_runs_seed() -> None:
    first, again, other = (nn.utils.parameters_to_vector(parts.network_of(demo(), seed, "ewc").parameters()) for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_a_methods_own_network() -> None:
    chosen = demo("methods.ewc.network.hidden=[7]")
    assert sum(p.numel() for p in parts.network_of(chosen, 0, "ewc").parameters()) == 784 * 7 + 7
    assert sum(p.numel() for p in parts.network_of(chosen, 0, "finetune").parameters()) > 784 * 7 + 7


def test_a_stream_is_the_same_for_every_seed_unless_the_recipe_says_run() -> None:
    def first_image(seed: int, *changes: str) -> torch.Tensor:
        return parts.stream_of(demo(*changes), seed)[0].train.take(torch.tensor([0]))  # type: ignore[union-attr]

    assert torch.equal(first_image(0), first_image(1))
    assert not torch.equal(first_image(0, "stream.seed=run"), first_image(1, "stream.seed=run"))


def test_optimizer_and_scheduler() -> None:
    training = demo('training.scheduler={name="StepLR", step_size=2}', "training.optimizer.momentum=0.5").training
    optimizer = parts.optimizer_of(training)([nn.Parameter(torch.zeros(1))])
    assert isinstance(optimizer, torch.optim.SGD)
    assert optimizer.defaults["momentum"] == 0.5
    make = parts.scheduler_of(training)
    assert make is not None
    assert isinstance(make(optimizer), torch.optim.lr_scheduler.StepLR)
    assert parts.scheduler_of(demo().training) is None


def build(chosen: recipe.Recipe) -> None:
    parts.stream_of(chosen, 0)
    for label in chosen.methods:
        parts.network_of(chosen, 0, label)
        parts.optimizer_of(chosen.training_of(label))
        parts.scheduler_of(chosen.training_of(label))
        parts.methods_of(chosen, label)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("stream.name=permuted-mnits", "stream.name: unknown name 'permuted-mnits'; did you mean 'permuted-mnist'?"),
        ("stream.task=3", "stream.task: unknown argument; did you mean 'tasks'?"),
        ("stream.tasks=0", "stream: tasks is 0; expected 1 or more"),
        ("stream.data=mnits", "stream: 'mnits' is neither a known data set nor a folder; did you mean 'mnist'?"),
        ("network.name=mpl", "network.name: unknown name 'mpl'; did you mean 'mlp'?"),
        ("methods.ewc.network.name=mpl", "methods.ewc.network.name: unknown name 'mpl'; did you mean 'mlp'?"),
        ("methods.ewc.network.hiden=[3]", "methods.ewc.network.hiden: unknown argument; did you mean 'hidden'?"),
        ("network.hiden=[3]", "network.hiden: unknown argument; did you mean 'hidden'?"),
        ("network={name='convnet', width=3}", "network.width: unknown argument; Known: channels, maps"),
        ("network.hidden=wide", "network: "),
        ("methods.ewcc.strength=1", "methods.ewcc: unknown name 'ewcc'; did you mean 'ewc'?"),
        ("methods.mine.method=ewcc", "methods.mine.method: unknown name 'ewcc'; did you mean 'ewc'?"),
        ("methods.ewc.strengh=1", "methods.ewc.strengh: unknown argument; did you mean 'strength'?"),
        ("methods.ewc.strength=-1", "methods.ewc: EWC: strength is -1; expected a finite number >= 0"),
        ("methods.finetune.strength=1", "methods.finetune.strength: unknown argument; it takes none"),
        ("methods.ewc.with.replai.capacity=1", "methods.ewc.with.replai: unknown name 'replai'; did you mean 'replay'?"),
        ("methods.ewc.with.ewc.strength=1", "methods.ewc.with.ewc: a method can't be combined with itself"),
        ("training.optimizer.name=SDG", "training.optimizer.name: unknown name 'SDG'; did you mean 'SGD'?"),
        ("training.optimizer.rate=1", "training.optimizer.rate: unknown argument; "),
        ("training.optimizer.lr=-1", "training.optimizer: Invalid learning rate: -1"),
        ('training.scheduler={name="StepLR"}', "training.scheduler.step_size: is missing"),
    ],
)
def test_wrong_names_and_arguments_are_told_with_their_path(change: str, message: str) -> None:
    with pytest.raises(RecipeError) as caught:
        build(demo(change))
    assert str(caught.value).startswith(message)


def test_more_tasks_than_the_stream_has() -> None:
    with pytest.raises(RecipeError, match="--tasks 9: the stream has only 5 tasks; a longer one, where it can be: --set stream.tasks=9"):
        parts.stream_of(demo(), 0, tasks=9)


def test_a_stream_that_never_ends_needs_a_number_of_tasks(monkeypatch: pytest.MonkeyPatch) -> None:
    from lifelong.streams import permuted_mnist

    monkeypatch.setitem(parts.STREAMS, "endless", lambda: permuted_mnist(tasks=None))
    endless = demo().model_copy(update={"stream": recipe.Call(name="endless")})
    with pytest.raises(
        RecipeError, match="stream 'permuted-mnist' never ends, and an experiment has to .*; say how many tasks to learn, as in --tasks 10"
    ):
        parts.stream_of(endless, 0)
    assert len(parts.stream_of(endless, 0, tasks=3)) == 3
