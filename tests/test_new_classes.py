"""A classifier trained elsewhere gets new classes, by name: what every method makes of what it knew before."""

import copy
import functools
import itertools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

import lifelong as ll
from lifelong.errors import MethodError, NonFiniteError, ScenarioError, TaskError
from lifelong.fisher import Labels
from lifelong.learner import Learner
from lifelong.method import Method
from lifelong.methods import AGEM, DER, EWC, GEM, L2, MAS, SI, Finetune, GenerativeReplay, ICaRL, Joint, LwF, OnlineEWC, Replay
from lifelong.models.heads import Network, seed_of
from lifelong.quadratic import QuadraticPenalty
from lifelong.tasks import Batch, Name, Task
from lifelong.testing.comparing import bits, die_at_checkpoint, differing
from toys import FEATURES, Moment, same, sgd, weights

KNOWN = ["eel", "ant", "cat"]  # in the order of the outputs, which is nobody's business
MEMORY = 24
METHODS: dict[str, Callable[[], list[Method]]] = {
    "fine-tuning": list,
    "lwf": lambda: [LwF(warm_up=1)],
    "ewc": lambda: [EWC()],
    "online-ewc": lambda: [OnlineEWC()],
    "si": lambda: [SI()],
    "mas": lambda: [MAS()],
    "l2": lambda: [L2()],
    "icarl": lambda: [ICaRL(capacity=MEMORY)],
    "replay": lambda: [Replay(capacity=MEMORY)],
    "der": lambda: [DER(capacity=MEMORY, beta=0.5)],
    "gem": lambda: [GEM(examples_per_task=MEMORY)],
    "agem": lambda: [AGEM(capacity=MEMORY)],
    "generative-replay": lambda: [GenerativeReplay(generator={"hidden": [8], "latent": 2, "likelihood": "gaussian"})],
    "joint": lambda: [Joint()],
    "both": lambda: [EWC(), Replay(capacity=MEMORY)],
}
NEED_EXAMPLES = ("icarl", "replay", "der", "gem", "agem", "generative-replay")


class Classifier(nn.Module):
    """A user's own, whose head has an unusual place, with batch norm and dropout."""

    def __init__(self, outputs: int = 3) -> None:
        super().__init__()
        self.out = nn.Linear(8, outputs)
        self.body = nn.Sequential(nn.Linear(FEATURES, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.2))
        self.last = nn.Linear(8, 8)

    def forward(self, x: Tensor) -> Tensor:
        return torch.as_tensor(self.out(torch.relu(self.last(self.body(x)))))


def examples_of(names: Sequence[Name], size: int = 12, seed: int = 0) -> tuple[Tensor, list[Name]]:
    """Some examples of each class; where a class lies depends on its name only."""
    parts = []
    for name in names:
        place, noise = (torch.Generator().manual_seed(seed_of(*words)) for words in ((name,), (name, seed)))
        parts.append(2 * torch.randn(FEATURES, generator=place) + 0.5 * torch.randn(size, FEATURES, generator=noise))
    return torch.cat(parts), [name for name in names for _ in range(size)]


def task(name: str, names: Sequence[Name], *, classes: Sequence[Name] | None = None, size: int = 12) -> Task:
    return Task(name, examples_of(names, size), examples_of(names, 5, seed=7), classes=classes)


@functools.cache
def trained() -> Classifier:
    """Trained outside of the library."""
    torch.manual_seed(0)
    network, (x, labels) = Classifier(), examples_of(KNOWN)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    for _ in range(30):
        optimizer.zero_grad()
        cross_entropy(network(x), torch.tensor([KNOWN.index(str(label)) for label in labels])).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    return network


def adopter(methods: Sequence[Method] = (), *, classes: Sequence[Name] = tuple(KNOWN), **settings: Any) -> Learner:
    adopted = ll.adopt(trained(), classes, head="out", example=torch.zeros(2, FEATURES))
    return Learner(adopted, methods, **{"batch_size": 8, "epochs": 2, "optimizer": sgd(0.05), "seed": 3, **settings})


def prepared(name: str, **settings: Any) -> Learner:
    """A learner with that method, which has a few old examples where it can't do without."""
    learner = adopter(METHODS[name](), **settings)
    if name in NEED_EXAMPLES:
        learner.remember(task("known", KNOWN))
    return learner


def rows(learner: Learner) -> dict[Name, tuple[list[float], float]]:
    layer = learner.network.heads.layers[0]
    assert isinstance(layer, nn.Linear)
    return {name: (layer.weight[i].tolist(), layer.bias[i].item()) for i, name in enumerate(learner.classes_of())}


def by_name(learner: Learner, x: Tensor) -> dict[Name, Tensor]:
    return dict(zip(learner.classes_of(), learner.predict_proba(x).T, strict=True))


# Names and their order


@pytest.mark.parametrize("name", METHODS)
def test_every_order_of_names_gives_the_same_predictions(name: str) -> None:
    """Two tasks, each with old and new classes mixed; what every class's row becomes does not depend on where it stands."""
    x, _ = examples_of([*KNOWN, "fox", "gnu", "hen", "ibis"], 6, seed=9)
    found = []
    firsts, seconds = (list(itertools.permutations(names)) for names in (["gnu", "cat", "fox"], ["hen", "fox", "ibis"]))
    for first, second in zip(firsts, [*seconds[1::2], *seconds[::2]], strict=True):
        learner = prepared(name)
        learner.learn(task("first", ["cat", "fox", "gnu"], classes=first))
        learner.learn(task("second", ["fox", "hen", "ibis"], classes=second))
        found.append(learner)
    orders = {tuple(learner.classes_of()) for learner in found}
    assert len(orders) == 4, "the outputs do stand in different orders"
    assert all(order[:3] == tuple(KNOWN) for order in orders)
    expected, scores = rows(found[0]), by_name(found[0], x)
    for learner in found[1:]:
        assert learner.predict(x).tolist() == found[0].predict(x).tolist()
        for one, (weight, bias) in rows(learner).items():
            assert torch.allclose(torch.tensor(weight), torch.tensor(expected[one][0]), atol=2e-5)
            assert bias == pytest.approx(expected[one][1], abs=2e-5)
        assert all(torch.allclose(score, scores[one], atol=1e-4) for one, score in by_name(learner, x).items())
        assert (learner.matrix, learner.told) == (found[0].matrix, found[0].told)


def test_the_names_of_known_classes_are_nothing_but_names() -> None:
    """Called otherwise, in text or numbers that are no positions, the same network learns the same, bit for bit."""
    other: dict[Name, Name] = {"eel": 40, "ant": 7, "cat": 19}
    x, labels = examples_of(KNOWN)
    one, two = adopter([Replay(capacity=9)]), adopter([Replay(capacity=9)], classes=[other[name] for name in KNOWN])
    for learner, names in ((one, labels), (two, [other[label] for label in labels])):
        learner.learn(Task("again", (x, names)))
        learner.learn(Task("once more", (x, names)))
    assert torch.equal(one.predict_proba(x), two.predict_proba(x))
    assert [other[name] for name in one.predict(x).tolist()] == two.predict(x).tolist()
    assert (one.classes, two.classes) == (KNOWN, [40, 7, 19])


KINDS: dict[str, Callable[[list[Any]], Any]] = {
    "list": list,
    "array": np.array,
    "tensor": torch.tensor,
    "array of objects": lambda labels: np.array(labels, dtype=object),
    "list of numpy's": lambda labels: list(np.array(labels)),
    "list of tensors": lambda labels: list(torch.tensor(labels)),
}


@pytest.mark.parametrize("numbers", [False, True])
def test_labels_of_every_kind_are_the_same_names(numbers: bool) -> None:
    known: list[Name] = [30, 10, 20] if numbers else ["30", "10", "20"]
    names: list[Name] = [20, 5, 30, 60] if numbers else ["20", "5", "30", "60"]
    x, labels = examples_of(names)
    found = []
    for kind, make in KINDS.items():
        if numbers or "tensor" not in kind:
            learner = adopter([LwF()], classes=make(known) if kind != "list of tensors" else known)
            learner.learn(Task("new", (x, make(labels)), (x, make(labels)), classes=None))
            found.append(bits(learner))
            assert (
                learner.classes
                == learner.classes_of()
                == [*known, *sorted(set(names) - set(known), key=str if numbers else None)][:3] + ([5, 60] if numbers else ["5", "60"])
            )
            assert set(learner.predict(x).tolist()) <= {*known, *names}
    assert all(differing(found[0], other) == [] for other in found[1:])


def test_no_position_is_seen_by_a_user() -> None:
    """Numbers that are no positions come back from everything that names a class; those of the outputs come from nothing."""
    learner = adopter([Replay(capacity=9)], classes=[300, 100, 200])
    x, labels = examples_of([200, 400, 300])
    learner.remember(Task("known", examples_of([300, 100, 200])))
    learner.learn(Task("new", (x, labels), (x, labels)))
    assert learner.classes == learner.classes_of() == learner.classes_of("new") == [300, 100, 200, 400]
    assert {int(name) for name in learner.predict(x)} <= {100, 200, 300, 400}
    assert learner.matrix.tasks == learner.told.tasks == ("known", "new")
    assert learner.evaluate([Task("other", (x, labels), (x, labels))]).values[2, 2] == np.mean(learner.predict(x) == np.array(labels))
    with pytest.raises(TaskError, match=r"label 1 is not one of the classes \[300, 100\]"):
        Task("wrong", (x[:2], [300, 1]), classes=[300, 100])
    with pytest.raises(TaskError, match=r"the classes \[500\], which are not among \[300, 100, 200, 400\]"):
        learner.remember(Task("more", (x[:2], [300, 500])))


def test_a_number_and_the_text_of_it_are_not_made_two_classes() -> None:
    x, _ = examples_of(["a"])
    expected = (
        "task 'new' has the class '2' as a {}, and it was adopted as a {}: these would be two classes. "
        "Name it alike, in the task's labels or in ll.adopt(network, classes)"
    )
    names: list[Sequence[Name]] = [["0", "1", "2"], [0, 1, 2]]
    for known, given, kinds in ((names[0], [2, 3], ("number", "text")), (names[1], ["2", "3"], ("text", "number"))):
        learner = adopter(classes=known)
        with pytest.raises(TaskError) as caught:
            learner.learn(Task("new", (x[:4], [*given, *given])))
        assert str(caught.value) == expected.format(*kinds)
        assert learner.classes == known


@pytest.mark.parametrize("name", METHODS)
def test_old_and_new_classes_in_one_task(name: str) -> None:
    """In a task of its own order: the old ones go on with their rows, the new ones come after them, and all are known afterwards."""
    learner = prepared(name)
    learner.learn(task("mixed", ["fox", "ant", "gnu", "eel", "cat"], classes=["fox", "ant", "gnu", "eel", "cat"]), epochs=60)
    assert learner.classes == [*KNOWN, "fox", "gnu"]
    x, labels = examples_of([*KNOWN, "fox", "gnu"], 10, seed=9)
    assert np.mean(learner.predict(x) == np.array(labels)) > 0.65, "three of the five were known"


# LwF: the teacher is there from the first task on


class SeesLoss(Method):
    """Keeps the first loss, as the methods before it left it, with its batch and a copy of the network."""

    def loss(self, learner: Learner, batch: Batch, output: Tensor, loss: Tensor) -> Tensor:
        if not hasattr(self, "seen"):
            self.seen = loss.item(), batch, copy.deepcopy(learner.network)
        return loss


def first_step(competing: Any, scenario: Any = "class", *, start: float = 0.5) -> tuple[float, Batch, Network, nn.Module]:
    """The first loss on new classes; the network is shaken after its teacher was copied, so that they differ."""

    class Shake(Method):
        def begin_task(self, learner: Learner, task: Task) -> None:
            with torch.no_grad():
                learner.theta.value.mul_(start)

    network = nn.Sequential(nn.Linear(FEATURES, 5), nn.Tanh(), nn.Linear(5, 3)).double()
    adopted = ll.adopt(network, KNOWN)
    learner = Learner(adopted, [LwF(strength=0.7, temperature=2.0, competing=competing), Shake(), SeesLoss()], scenario, steps=1)
    names = ["fox", "cat"] if scenario == "class" else KNOWN
    x, labels = examples_of(names)
    learner.learn(Task("new", (x, labels), classes=names, transform=torch.Tensor.double), evaluate=False)
    spy = learner.methods[2]
    assert isinstance(spy, SeesLoss)
    return *spy.seen, network


@pytest.mark.parametrize("competing", ["all", "old", None])
def test_what_the_adopted_network_said_is_asked_of_the_first_task(competing: str | None) -> None:
    """-sum y' log yhat', T = 2, y' from the network as it was adopted; by default over all outputs, the new one's y' being 0."""
    loss, batch, network, original = first_step(competing)
    with torch.no_grad():
        logits, before = network(batch.x), original(batch.x)
    roots = before.softmax(1) ** 0.5
    target = roots / roots.sum(1, keepdim=True)
    among = logits[:, :3] if competing == "old" else logits
    answers = (among.softmax(1) ** 0.5) / (among.softmax(1) ** 0.5).sum(1, keepdim=True)
    expected = cross_entropy(logits, batch.y) - 0.7 * (target * answers[:, :3].log()).sum(1).mean()
    assert logits.shape[1] == 4
    assert loss == pytest.approx(float(expected), rel=1e-12)


def test_in_the_scenario_domain_the_adopted_network_is_the_first_tasks_teacher_too() -> None:
    loss, batch, network, original = first_step(None, "domain")
    with torch.no_grad():
        logits, target = network(batch.x), (original(batch.x) / 2).softmax(1)
    expected = cross_entropy(logits, batch.y) + 0.7 * cross_entropy(logits / 2, target)
    assert loss == pytest.approx(float(expected), rel=1e-12)


def test_competing_of_a_network_that_was_not_adopted() -> None:
    """None is "old", bit for bit; in the scenarios "domain" and "task" there is nothing to choose."""

    def learned(competing: Any, scenario: Any) -> dict[str, Tensor]:
        learner = Learner(ll.models.MLP(FEATURES, [8]), [LwF(competing=competing)], scenario)
        second = ["ant", "cat"] if scenario == "domain" else ["fox", "gnu"]
        for each in (task("first", ["ant", "cat"]), task("second", second)):
            learner.learn(each)
        return bits(learner)

    assert differing(learned(None, "class"), learned("old", "class")) == []
    assert "network/heads.layers.0.weight" in differing(learned("all", "class"), learned("old", "class"))
    for scenario in ("domain", "task"):
        one, two = learned("all", scenario), learned("old", scenario)
        assert all(torch.allclose(one[name], two[name], atol=1e-5) for name in one if name.startswith("network"))
    with pytest.raises(MethodError) as caught:
        LwF(competing="new")  # type: ignore[arg-type]
    assert str(caught.value) == "LwF: competing is 'new'; expected 'old', 'all' or None"


# Penalties on weights: what they hold of an adopted network


class Smooth(nn.Module):
    """Without dropout and batch norm, for closed forms."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.out = nn.Linear(FEATURES, 4), nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        return torch.as_tensor(self.out(torch.tanh(self.body(x))))


def smooth() -> Smooth:
    torch.manual_seed(1)
    return Smooth()


def fisher(network: nn.Module, x: Tensor) -> dict[str, Tensor]:
    """Mean over examples of sum_y p(y|x) (d log p(y|x) / d theta)^2, example by example and class by class."""
    total = {name: torch.zeros_like(parameter) for name, parameter in network.named_parameters()}
    for one in x:
        log_p = network(one[None]).log_softmax(1)[0]
        for score in log_p:
            gradients = torch.autograd.grad(score, list(network.parameters()), retain_graph=True)
            for name, gradient in zip(total, gradients, strict=True):
                total[name] += score.exp().detach() * gradient.square() / len(x)
    return total


def squared_norm(network: nn.Module, x: Tensor) -> dict[str, Tensor]:
    """Mean over examples of |d ||F(x)||^2 / d theta|, example by example."""
    total = {name: torch.zeros_like(parameter) for name, parameter in network.named_parameters()}
    for one in x:
        gradients = torch.autograd.grad(network(one[None]).square().sum(), list(network.parameters()))
        for name, gradient in zip(total, gradients, strict=True):
            total[name] += gradient.abs() / len(x)
    return total


def importance(learner: Learner, i: int = 0) -> dict[str, Tensor]:
    method = learner.methods[i]
    assert isinstance(method, QuadraticPenalty)
    return learner.theta.layout.split(method.importance)


def assert_held(found: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    """As expected for what was adopted, and nothing for new outputs."""
    names = {"body": "features.network.body", "out": "heads.layers.0"}
    assert len(found) == len(expected) == 4
    for name, value in expected.items():
        layer, _, kind = name.partition(".")
        own = found[f"{names[layer]}.{kind}"]
        assert torch.allclose(own[: len(value)], value, rtol=1e-4, atol=1e-7)
        assert not own[len(value) :].any()


class BeginTask(Moment):
    def begin_task(self, learner: Learner, task: Task) -> None:
        self.action(learner)


def noting(method: Method) -> tuple[Learner, list[dict[str, Tensor]]]:
    """A learner, and what its method holds at the beginning of each task."""
    notes: list[dict[str, Tensor]] = []
    return Learner(ll.adopt(smooth(), KNOWN), [method, BeginTask(lambda learner: notes.append(importance(learner)))]), notes


@pytest.mark.parametrize(("method", "expected"), [(EWC(), fisher), (OnlineEWC(), fisher), (MAS(), squared_norm)])
def test_the_first_task_holds_what_the_adopted_network_says_of_its_inputs(method: Method, expected: Any) -> None:
    """No old data: the new inputs are what it can be asked about, before the head grows."""
    learner, notes = noting(method)
    new = task("new", ["fox", "ant"])
    learner.learn(new)
    learner.learn(task("more", ["gnu"]))
    assert_held(notes[0], expected(smooth(), new.train.x))
    assert (notes[1]["heads.layers.0.weight"][3:4] > 0).any(), "later ones hold what was learned since"


@pytest.mark.parametrize("labels", ["exact", "sampled", "true"])
def test_each_of_ewcs_estimators_can_ask(labels: Labels) -> None:
    learner, notes = noting(EWC(labels=labels))
    learner.learn(task("new", ["fox", "gnu"]))
    assert notes[0]["heads.layers.0.weight"][:3].any()
    assert not notes[0]["heads.layers.0.weight"][3:].any()


@pytest.mark.parametrize(("method", "expected"), [(EWC(), fisher), (OnlineEWC(), fisher), (MAS(), squared_norm)])
def test_remembered_examples_are_held_in_place_of_the_new_inputs(method: Method, expected: Any) -> None:
    known = task("known", KNOWN)
    learner, notes = noting(method)
    learner.remember(known)
    learner.learn(task("new", ["fox", "ant"]))
    assert_held(notes[1], expected(smooth(), known.train.x))


def test_mas_consolidates_before_anything_was_learned() -> None:
    x, _ = examples_of(KNOWN)
    learner, notes = noting(MAS(strength=100.0))
    learner.consolidate(x)
    expected = squared_norm(smooth(), x)
    assert_held(importance(learner), expected)
    held, asked, free = copy.deepcopy(learner), *(Learner(ll.adopt(smooth(), KNOWN), each) for each in ([MAS(strength=100.0)], []))
    for each in (held, asked, free):
        each.learn(task("new", ["fox"]))
    learner.learn(task("new", ["fox"]))
    assert_held(notes[0], expected)
    assert not same(weights(held.model), weights(asked.model)), "nothing was asked of the new inputs"
    moved = [(each.model.get_parameter("network.body.weight") - smooth().body.weight).square() for each in (held, free)]
    assert (expected["body.weight"] * moved[0]).sum() < 0.1 * (expected["body.weight"] * moved[1]).sum()


def test_consolidated_and_saved_before_the_first_task(tmp_path: Path) -> None:
    x, _ = examples_of(KNOWN)
    learner = adopter([MAS()])
    learner.consolidate(x)
    learner.save(tmp_path)
    opened = Learner.open(tmp_path, model=ll.adopt(Classifier(), KNOWN, head="out"))
    for each in (learner, opened):
        each.learn(task("new", ["fox", "cat"]))
    assert differing(bits(learner), bits(opened)) == []


def test_l2_holds_what_was_adopted_and_si_knows_nothing_of_it() -> None:
    """SI's importance is the way that a weight came, and an adopted network's is not known."""
    for method, value in ((L2(), 1.0), (SI(), 0.0)):
        learner, notes = noting(method)
        learner.learn(task("new", ["fox"]))
        assert_held(notes[0], {name: torch.full_like(each, value) for name, each in smooth().named_parameters()})


@pytest.mark.parametrize("step", ["implicit", "additive"])
@pytest.mark.parametrize("kind", [EWC, OnlineEWC, SI, MAS, L2])
def test_a_penalty_of_strength_0_is_fine_tuning_bit_for_bit(kind: Any, step: Any) -> None:
    def learned(*methods: Method) -> dict[str, Tensor]:
        learner = adopter(methods)
        learner.learn(task("new", ["fox", "cat"]))
        return weights(learner.network)

    assert same(learned(kind(strength=0, step=step)), learned())
    if kind is not SI:
        assert not same(learned(kind(strength=10.0, step=step)), learned())


def test_at_most_so_many_inputs_are_asked_about(monkeypatch: pytest.MonkeyPatch) -> None:
    from lifelong import adoption

    asked: list[Tensor] = []
    monkeypatch.setattr(adoption, "ASKED", 7)
    logits = Learner.logits
    monkeypatch.setattr(Learner, "logits", lambda self, x, task: asked.append(x) or logits(self, x, task))
    learner = adopter([L2()])
    new = task("new", ["fox", "gnu"])
    learner.learn(new)
    (x,) = asked
    assert len(x) == 7
    assert all(any(torch.equal(one, other) for other in new.train.x) for one in x)


# A few examples of what it knew


@pytest.mark.parametrize("name", METHODS)
def test_remembering_trains_nothing(name: str) -> None:
    """Bit for bit the weights and the batch norm's statistics stay; also later, and twice, and where a method starts tasks afresh."""
    learner = adopter(METHODS[name](), optimizer=sgd(0.05, momentum=0.9), reset_optimizer=False)
    before = weights(learner.network)
    learner.remember(task("known", KNOWN))
    assert same(weights(learner.network), before)
    assert learner.tasks == ["known"]
    learner.learn(task("new", ["fox", "cat"]))
    before, carried = weights(learner.network), learner._carried
    learner.remember(task("known as well", ["cat", "ant", "fox"]))
    assert same(weights(learner.network), before)
    assert not same(before, weights(adopter().network))
    assert learner._carried is carried
    assert learner.tasks == ["known", "new", "known as well"]
    learner.learn(task("more", ["gnu"]))


def test_what_is_remembered_is_in_the_memory() -> None:
    known = task("known", KNOWN, size=4)
    labelled = {tuple(x.tolist()): known.classes[y] for x, y in zip(known.train.x, known.train.y.tolist(), strict=True)}
    assert len(labelled) == 12
    for method in (Replay(capacity=20), AGEM(capacity=20), DER(capacity=30), GEM(examples_per_task=20), ICaRL(capacity=20)):
        learner = adopter([method], epochs=1)
        learner.remember(known)
        own: Any = learner.methods[0]
        memory = own if isinstance(own, ICaRL) else own.memories[0] if isinstance(own, GEM) else own.memory
        count = int((own.y >= 0).sum()) if isinstance(own, ICaRL) else len(memory)
        names = [learner.classes_of()[row] for row in memory.y[:count].tolist()]
        kept = {tuple(x.tolist()): name for x, name in zip(memory.x[:count], names, strict=True)}
        assert kept == labelled, type(method).__name__


def test_what_is_remembered_is_what_the_adopted_network_says() -> None:
    """Its logits in the memory, and no way that a weight came, although the methods see steps."""
    learner = Learner(ll.adopt(smooth(), KNOWN), [DER(capacity=40), SI()], epochs=3)
    learner.remember(task("known", KNOWN))
    der = learner.methods[0]
    assert isinstance(der, DER)
    assert len(der.memory) == 40
    assert torch.allclose(der.memory.logits, smooth()(der.memory.x), atol=1e-6)
    assert_held(importance(learner, 1), {name: torch.zeros_like(each) for name, each in smooth().named_parameters()})


def test_what_is_remembered_counts_in_the_matrix() -> None:
    known = task("known", KNOWN)
    learner = adopter()
    learner.remember(known)
    x, labels = examples_of(KNOWN, 5, seed=7)
    right = float(np.mean(learner.predict(x) == np.array(labels)))
    assert learner.matrix.values.tolist() == [[right], [right]]
    learner.learn(task("new", ["fox"]), optimizer=sgd(0.5), epochs=20)
    matrix = learner.evaluate([known])
    assert matrix.backward_transfer == matrix.values[2, 0] - right < 0
    learner.remember(task("unmeasured", KNOWN), evaluate=False)
    assert "unmeasured" not in learner.matrix.tasks or np.isnan(learner.matrix.values[:, learner.matrix.tasks.index("unmeasured")]).all()


def test_what_can_not_be_remembered() -> None:
    known = task("known", KNOWN)
    for learner, given, expected in (
        (adopter(), [known], "remember was given a list; expected one Task, with some examples of classes that are known"),
        (
            Learner(nn.Linear(FEATURES, 4)),
            known,
            "remember is for what a classifier knew when it was adopted, and this network was not; learn(task) learns a task",
        ),
        (
            adopter(),
            task("both", ["gnu", "cat", "fox"]),
            "task 'both' has the classes ['fox', 'gnu'], which are not among ['eel', 'ant', 'cat']: remember trains nothing; "
            "leave their examples out, or learn(task)",
        ),
    ):
        with pytest.raises(TaskError) as caught:
            learner.remember(given)  # type: ignore[arg-type]
        assert str(caught.value) == expected
    learner = adopter([Replay(capacity=9)])
    learner.remember(known)
    before = bits(learner)
    with pytest.raises(TaskError, match="task 'known' was learned already"):
        learner.remember(known)
    with pytest.raises(TaskError, match="can't take task 'wide'"):
        learner.remember(Task("wide", (torch.zeros(2, FEATURES + 1), ["cat", "ant"])))
    assert differing(before, bits(learner)) == []


def test_nothing_is_remembered_in_the_middle_of_a_task(tmp_path: Path) -> None:
    learner, new = adopter(), task("new", ["fox", "cat"])
    die_at_checkpoint(learner, new, tmp_path, 2)
    opened = Learner.open(tmp_path, model=ll.adopt(Classifier(), KNOWN, head="out"))
    with pytest.raises(TaskError, match="task 'new' is in progress; learn it to its end first"):
        opened.remember(task("known", KNOWN))
    with pytest.raises(TaskError, match="task 'new' is in progress"):
        opened.consolidate(torch.zeros(2, FEATURES))


def test_an_error_while_remembering_leaves_the_learner_as_it_was() -> None:
    class Fails(Method):
        def end_task(self, learner: Learner, task: Task) -> None:
            raise RuntimeError("in vain")

    learner = adopter([Fails(), Replay(capacity=9), EWC()])
    before = bits(learner)
    with pytest.raises(RuntimeError, match="in vain"):
        learner.remember(task("known", KNOWN))
    assert differing(before, bits(learner)) == []
    assert learner.tasks == []


def test_a_first_task_that_fails_leaves_nothing_asked() -> None:
    learner = adopter([EWC()])
    before, x = bits(learner), examples_of(KNOWN)[0]
    with pytest.raises(NonFiniteError):
        learner.learn(task("new", ["fox"]), optimizer=sgd(float("inf")))
    assert differing(before, bits(learner)) == []
    again, fresh = task("new", ["fox", "cat"]), adopter([EWC()])
    for each in (learner, fresh):
        each.learn(again)
    assert torch.equal(learner.predict_proba(x), fresh.predict_proba(x))


# Nothing to live on


@pytest.mark.parametrize("name", ["replay", "der", "gem", "agem"])
def test_a_memory_with_nothing_of_what_was_adopted_is_told(name: str) -> None:
    learner = adopter(METHODS[name]())
    before = bits(learner)
    with pytest.raises(ScenarioError) as caught:
        learner.learn(task("new", ["fox", "gnu"]))
    assert str(caught.value) == (
        f"{type(learner.methods[0]).__name__} would forget the classes ['eel', 'ant', 'cat'], which were adopted: no examples of them are "
        "kept. Give a few first, learner.remember(Task(name, train=(x, y))), or have some in this task; or add LwF, which needs none. "
        "No methods at all is fine-tuning"
    )
    assert differing(before, bits(learner)) == []
    learner.learn(task("mixed", ["fox", "cat"]))


@pytest.mark.parametrize(
    "methods", [[LwF(), Replay(capacity=9)], [Replay(capacity=9), EWC()], [Finetune()], [Joint()], [Replay(capacity=0)], []]
)
def test_not_where_something_else_holds_it_or_nothing_was_asked_for(methods: list[Method]) -> None:
    learner = adopter(methods)
    learner.learn(task("new", ["fox", "gnu"]))
    assert learner.classes == [*KNOWN, "fox", "gnu"]


def test_no_generator_of_what_was_adopted() -> None:
    learner = adopter(METHODS["generative-replay"]())
    with pytest.raises(ScenarioError) as caught:
        learner.learn(task("new", ["fox", "cat"]))
    assert str(caught.value) == (
        "GenerativeReplay has no generator of the classes ['eel', 'ant'], which were adopted; let it learn to draw them from some of "
        "their inputs, learner.remember(Task(name, train=(x, y))), or let the first task have all of them"
    )
    learner.learn(task("new", ["fox", *KNOWN]))


def test_no_exemplars_of_what_was_adopted() -> None:
    with pytest.raises(ScenarioError, match=r"no exemplars of the classes \['eel', 'ant'\].*or give it a few before, learner\.remember\("):
        adopter(METHODS["icarl"]()).learn(task("new", ["fox", "cat"]))


# Saved, killed and opened


@pytest.mark.parametrize("name", METHODS)
def test_stopped_again_and_again_it_is_as_if_it_had_never_stopped(name: str, tmp_path: Path) -> None:
    """Saved before anything, with remembered examples, killed twice inside the first task, and after it: the same bits."""
    known, mixed, more = task("known", KNOWN), task("mixed", ["fox", "cat", "gnu"], classes=["gnu", "cat", "fox"]), task("more", ["hen"])

    def opened(path: Path) -> Learner:
        return Learner.open(path, model=ll.adopt(Classifier(), KNOWN, head="out"))

    for remembers in (True,) if name in NEED_EXAMPLES else (True, False):
        settings: dict[str, Any] = {"optimizer": sgd(0.05, momentum=0.9), "reset_optimizer": False}
        whole, stopped = adopter(METHODS[name](), **settings), adopter(METHODS[name](), **settings)
        folder = tmp_path / str(remembers)
        stopped.save(folder)
        stopped = opened(folder)
        for learner in (whole, stopped):
            if remembers:
                learner.remember(known)
        stopped.save(folder)
        stopped = opened(folder)
        for checkpoint in (3, 2):
            die_at_checkpoint(stopped, mixed, folder, checkpoint)
            stopped = opened(folder)
        for learner in (whole, stopped):
            learner.learn(mixed)
        stopped.save(folder)
        stopped = opened(folder)
        for learner in (whole, stopped):
            learner.learn(more)
            learner.evaluate([known, mixed])
        assert differing(bits(whole), bits(stopped)) == []
        assert whole.classes == stopped.classes == [*KNOWN, "gnu", "fox", "hen"]


# Real digits


@functools.cache
def digits() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    from lifelong.data.mnist import load

    data = load("embedded")
    return data.train_x / 255, data.train_y, data.test_x / 255, data.test_y


@functools.cache
def classifier() -> nn.Module:
    """Of the digits 0 to 7."""
    x, y, _, _ = digits()
    torch.manual_seed(0)
    network = nn.Sequential(nn.Flatten(), nn.Linear(784, 50), nn.ReLU(), nn.Linear(50, 8))
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    for _ in range(3):
        for chosen in (y < 8).nonzero()[:, 0].split(16):
            optimizer.zero_grad()
            cross_entropy(network(x[chosen]), y[chosen]).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
    return network


def after(*methods: Method, remembers: bool = False, mixed: bool = False) -> tuple[float, float]:
    """The accuracy on 0 to 7, and on 8 and 9, after learning those."""
    x, y, test_x, test_y = digits()
    few = torch.cat([(y == digit).nonzero()[:20, 0] for digit in range(8)])
    new = (y > 7).nonzero()[:, 0]
    chosen = torch.cat([new, few]) if mixed else new
    learner = Learner(ll.adopt(classifier(), range(8)), methods, optimizer=sgd(0.05), epochs=3)
    if remembers:
        learner.remember(Task("known", (x[few], y[few])))
    learner.learn(Task("new", (x[chosen], y[chosen])))
    right = torch.from_numpy(learner.predict(test_x)) == test_y
    return float(right[test_y < 8].double().mean()), float(right[test_y > 7].double().mean())


def test_methods_that_can_tell_old_from_new_keep_the_old() -> None:
    lost, learned = after()
    assert lost < 0.3
    assert learned > 0.9
    for method in (LwF(), Replay(capacity=160), ICaRL(capacity=200), DER(capacity=160, beta=0.5), GEM(examples_per_task=160)):
        old, new = after(method, remembers=not isinstance(method, LwF))
        assert old > lost + 0.35, type(method).__name__
        assert new > 0.5, type(method).__name__
    old, new = after(AGEM(capacity=160), remembers=True)
    assert old > lost + 0.1
    assert new > 0.8


def test_penalties_forget_no_more_than_fine_tuning_and_learn_as_well() -> None:
    lost, learned = after()
    for method in (EWC(examples=300), OnlineEWC(examples=300), MAS(strength=0.1, examples=300), L2(strength=0.3), SI()):
        for remembers in (False, True):
            old, new = after(method, remembers=remembers)
            assert old > lost - 0.03, type(method).__name__
            assert new > learned - 0.1, type(method).__name__


def test_old_answers_help_where_the_task_has_a_few_old_examples() -> None:
    (lost, _), (old, new) = after(mixed=True), after(LwF(), mixed=True)
    assert old > lost + 0.08
    assert new > 0.7
