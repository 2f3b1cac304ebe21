"""Most of it compiles with torch's tracing alone, which needs no C++ compiler: the graphs are counted, and then run as they are."""

import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, fx, nn

from lifelong import compiling, parts
from lifelong.errors import CompileError
from lifelong.experiment import Experiment
from lifelong.learner import Learner
from lifelong.method import Method
from lifelong.methods import AGEM, DER, EWC, SI, Replay
from lifelong.models import MLP, ConvNet
from lifelong.recipe import load
from lifelong.tasks import Scenario, Task
from lifelong.testing.data import image_tasks
from lifelong.training import Training
from toys import everything, same, sgd

# torch's inductor uses what torch deprecated.
OWN = pytest.mark.filterwarnings("ignore:.torch.jit.script_method. is deprecated:DeprecationWarning")


class Counter:
    """A backend of torch.compile that counts graphs, and runs them as they are."""

    def __init__(self) -> None:
        self.graphs = 0

    def __call__(self, graph: fx.GraphModule, inputs: list[Tensor]) -> Callable[..., Any]:
        self.graphs += 1
        forward: Callable[..., Any] = graph.forward
        return forward


@pytest.fixture
def counter(monkeypatch: pytest.MonkeyPatch) -> Iterator[Counter]:
    torch._dynamo.reset()
    counter = Counter()
    monkeypatch.setattr(compiling, "BACKEND", counter)
    yield counter
    torch._dynamo.reset()


def make(*methods: Method, scenario: Scenario = "domain", model: nn.Module | None = None, **training: Any) -> Learner:
    return Learner(model or ConvNet(1, [4]), methods, scenario, optimizer=sgd(0.1), batch_size=8, epochs=2, **training)


METHODS: dict[str, tuple[Callable[[], list[Method]], list[int]]] = {
    "finetune": (list, [1, 1, 1]),
    "ewc": (lambda: [EWC()], [1, 1, 1]),
    "si": (lambda: [SI()], [1, 1, 1]),
    "agem": (lambda: [AGEM(capacity=20)], [1, 1, 1]),
    "replay": (lambda: [Replay(capacity=20)], [1, 2, 2]),  # from the second task on a batch has twice as many examples
    "der": (lambda: [DER(capacity=20)], [1, 2, 2]),
}


@pytest.mark.parametrize("scenario", ["domain", "class", "task"])
@pytest.mark.parametrize("name", METHODS)
def test_one_graph_for_each_shape_and_none_for_a_task(name: str, scenario: Scenario, counter: Counter) -> None:
    """36 examples in batches of 8: the last, smaller one makes no graph, and neither do new rows of a head, new heads or evaluations."""
    methods, expected = METHODS[name]
    learner = make(*methods(), scenario=scenario, compile=True)
    graphs = []
    for task in image_tasks(3, scenario):
        learner.learn(task)
        graphs.append(counter.graphs)
    assert graphs == expected


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("model", [ConvNet(1, [4]), MLP(64, [8])])
def test_the_same_is_learned(name: str, model: nn.Module, counter: Counter) -> None:
    """The graphs run as they are do what the network does; batch-norm statistics and random numbers are in what is compared."""
    learners = [make(*METHODS[name][0](), scenario="class", model=model, compile=each) for each in (True, False)]
    for learner in learners:
        for task in image_tasks(3, "class"):
            learner.learn(task)
    assert counter.graphs == METHODS[name][1][-1]
    left, right = ({name: value.nan_to_num(-1) for name, value in everything(learner).items()} for learner in learners)
    assert same(left, right)


def test_a_task_smaller_than_a_batch_is_compiled(counter: Counter) -> None:
    make(compile=True).learn(image_tasks(1, "domain", size=6)[0])
    assert counter.graphs == 1


def test_it_is_off_by_default_and_can_be_on_for_one_task(counter: Counter) -> None:
    learner = make()
    first, second, third = image_tasks(3, "domain")
    learner.learn(first)
    assert counter.graphs == 0
    learner.learn(second, compile=True)
    assert counter.graphs == 1
    learner.learn(third)
    assert counter.graphs == 1


def test_it_is_saved(tmp_path: Path) -> None:
    make(compile=True).save(tmp_path / "on")
    make().save(tmp_path / "off")
    assert [Learner.open(tmp_path / name).training.compile for name in ("on", "off")] == [True, False]


def test_a_recipe_has_it(tmp_path: Path) -> None:
    recipe = load("demo", ["training.compile=true", "methods.ewc.training.compile=false"])
    stream = parts.stream_of(recipe, 0, 2)
    assert [parts.learner_of(recipe, label, 0, stream).training.compile for label in ("finetune", "ewc")] == [True, False]
    configs = {run.label: run.config for run in Experiment(recipe, tmp_path, tasks=2).runs}
    assert configs["finetune"]["training"]["compile"] is True
    assert "compile" not in configs["ewc"]["training"]  # so that folders of earlier versions can be gone on with


# What is refused


class Asking(nn.Module):
    """A network whose way depends on its values."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(64, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.layer(x.flatten(1))
        return 2 * x if x.sum().item() > 0 else x


def refusal(learner: Learner, task: Task) -> str:
    with pytest.raises(CompileError) as caught:
        learner.learn(task)
    assert learner.tasks == []
    return str(caught.value)


def test_a_network_that_asks_for_values(counter: Counter) -> None:
    said = refusal(make(model=Asking(), compile=True), image_tasks(1, "domain")[0])
    assert said.startswith("torch.compile can't compile the network (Asking): ")
    assert said.endswith(". Change the network so that its forward pass asks for no values of tensors, or leave compile=True out")


def test_too_many_shapes(counter: Counter) -> None:
    task = image_tasks(1, "domain")[0]
    with torch._dynamo.config.patch(recompile_limit=2):
        for width in (2, 3):
            make(model=ConvNet(1, [width]), compile=True).learn(task)
        said = refusal(make(model=ConvNet(1, [4]), compile=True), task)
    assert said == (
        "torch.compile can't compile the network (ConvNet): it was compiled for too many shapes of the network or of its batches in this "
        "process. Raise torch._dynamo.config.recompile_limit, or leave compile=True out"
    )


@OWN
def test_no_compiler(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))  # what was compiled before needs none
    torch._dynamo.reset()
    with torch._inductor.config.patch({"cpp.cxx": (None, "no-compiler")}):
        said = refusal(make(model=MLP(64, [5]), compile=True), image_tasks(1, "domain")[0])
    assert said.startswith("torch.compile can't compile the network (MLP): ")
    assert said.endswith(". Install a C++ compiler, as g++, or name one in the variable CXX, or leave compile=True out")


def test_a_mistake_of_the_network_is_told_as_it_is(counter: Counter) -> None:
    """Only what torch.compile says is said in other words."""

    class Wrong(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(64, 4)

        def forward(self, x: Tensor) -> Tensor:
            if self.training and len(x) < 8:  # a last batch, which is not compiled
                raise ZeroDivisionError("the network's own")
            return self.layer(x.flatten(1))  # type: ignore[no-any-return]

    with pytest.raises(ZeroDivisionError, match="the network's own"):
        make(model=Wrong(), compile=True).learn(image_tasks(1, "domain")[0])


@pytest.mark.parametrize("value", [1, "yes", None])
def test_a_wrong_setting(value: Any) -> None:
    with pytest.raises(ValueError, match=re.escape(f"compile is {value!r}; expected True or False")):
        Training(compile=value)


@OWN
@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="needs g++, which torch.compile calls")
def test_machine_code_learns_the_same_up_to_rounding(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    torch._dynamo.reset()
    learners = [make(compile=each) for each in (True, False)]
    for learner in learners:
        learner.learn(image_tasks(1, "domain")[0])
    torch.testing.assert_close(learners[0].theta.value, learners[1].theta.value, rtol=1e-3, atol=1e-5)
    assert not torch.equal(learners[0].theta.value, torch.zeros_like(learners[0].theta.value))
