"""A recipe: one experiment as a TOML file, checked before any work starts. Nothing here imports torch."""

import json
import re
import tomllib
from collections.abc import Iterable, Mapping
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import ErrorDetails

from lifelong.errors import RecipeError, nearest

Table = dict[str, Any]
Count = Annotated[int, Field(ge=1)]
Label = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.+-]*$")]  # becomes a part of file names
Model = TypeVar("Model", bound=BaseModel)

MEASURE = (
    r"^((told|routed)\.)?(accuracy|backward_transfer|forward_transfer|forgetting|learning_accuracy|average_incremental_accuracy"
    r"|R\[[1-9]\d*, ?[1-9]\d*\])$"
)
SPREADS = 2.5  # a mean of a few seeds may be that many of the source's standard deviations off


class Part(BaseModel):
    """A table of a recipe; a key that it does not have is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


class Call(BaseModel):
    """A table that names something and gives its arguments, one to one: `{name = "SGD", lr = 0.1}`."""

    model_config = ConfigDict(extra="allow", frozen=True)

    name: str

    @property
    def arguments(self) -> Table:
        """Everything in the table but the name."""
        return dict(self.model_extra or {})


class Training(Part):
    """How each task is trained; the words are those of `Learner`.

    Attributes:
        optimizer: a class of torch.optim with its arguments.
        epochs: passes over each task's training data; ignored where `steps` is given.
        steps: optimizer steps a task, instead of epochs.
        scheduler: a class of torch.optim.lr_scheduler with its arguments, stepped after each epoch.
        clip_norm: largest norm of the gradient. None: not clipped.
        reset_optimizer: start each task with a new optimizer.
        compile: make machine code of the network, see `lifelong.training.Training`.
        threads: threads of each run. Fixed by the recipe, whatever --workers is, because sums of floats depend on it. "auto": measured
            when the experiment begins, and kept with its runs, so that all later ones have the same; see `lifelong.threads`.
    """

    optimizer: Call = Call(name="SGD", lr=0.1)  # type: ignore[call-arg]  # a Call takes any argument
    epochs: Count = 1
    steps: Count | None = None
    batch_size: Count = 32
    scheduler: Call | None = None
    clip_norm: Annotated[float, Field(gt=0)] | None = None
    precision: Literal["float32", "bfloat16", "bf16", "float16"] = "float32"
    reset_optimizer: bool = True
    compile: bool = False
    threads: Count | Literal["auto"] = 1

    def described(self) -> Table:
        """As results have it: without what has no effect."""
        idle = {"epochs" if self.steps else "steps", *([] if self.compile else ["compile"])}
        return self.model_dump(exclude=idle)


class MethodPart(BaseModel):
    """A method of the recipe: the table's name is its label, its other keys are the method's arguments.

    Attributes:
        method: the method's name. None: the label is the name.
        training: what differs from the recipe's training for this method.
        network: what differs from the recipe's network for this method.
        together: further methods that it is combined with (`with` in the file), each with its arguments.
    """

    model_config = ConfigDict(extra="allow", frozen=True, populate_by_name=True)

    method: str | None = None
    training: Table = {}
    network: Table = {}
    together: dict[str, Table] = Field(default={}, alias="with")

    @property
    def arguments(self) -> Table:
        """The method's own arguments."""
        return dict(self.model_extra or {})


class Published(Part):
    """A number from a paper, shown beside ours.

    Attributes:
        method: label of a method of the recipe.
        measure: a name in a run's summary, or R[i, j]: performance on task j after learning task i, both counted from 1. With "told."
            before it: where prediction is told the task; with "routed.": where it is not, and the method's gate chooses it.
        value: the number, as a fraction.
        source: where it was read, and how.
        spread: the source's standard deviation over seeds.
        tolerance: how far from it we expect to be. None: the recipe's tolerance or 2.5 spreads, whichever is more.
        bound: "least" or "most" where the source, or the aim, is no number but a bound. None: it is a number.
        note: what else is to be known, such as why ours differs and what was tried.
    """

    method: str
    measure: Annotated[str, Field(pattern=MEASURE)]
    value: float
    source: str
    spread: Annotated[float, Field(ge=0)] | None = None
    tolerance: Annotated[float, Field(ge=0)] | None = None
    bound: Literal["least", "most"] | None = None
    note: str | None = None

    def within(self, tolerance: float) -> "Published":
        """The number with a tolerance, this one unless it states its own or is a bound; never less than the source's own spread allows."""
        if self.bound is not None or self.tolerance is not None:
            return self
        return self.model_copy(update={"tolerance": max(tolerance, SPREADS * (self.spread or 0.0))})


class Recipe(Part):
    """One experiment.

    Attributes:
        seeds: a number of seeds, counted from 0, or the seeds themselves.
        outputs: "seen": a class gets its output with its task; "all": all classes of the stream have outputs from the start, which
            compete in training, as in protocols that know all classes beforehand (scenario "class" only).
        watch_every: steps between evaluations on a task while it is learned, which are the report's learning curves and change no other
            number. None: none.
        evaluate: which tasks are evaluated after each task, for the matrix: "all", "seen", "last" or "log"; see
            `lifelong.schedule.scheduled`. What is not measured is NaN, and the report says from how much a number was computed.
        evaluate_most: at most so many tasks at a time, evenly spread. None: no limit.
        tolerance: how far from a published number we expect to be where that number does not say.
    """

    name: Label
    description: str = ""
    seeds: Count | list[int] = 5
    stream: Call
    network: Call
    training: Training = Training()
    outputs: Literal["seen", "all"] = "seen"
    watch_every: Count | None = None
    evaluate: Literal["all", "seen", "last", "log"] = "all"
    evaluate_most: Count | None = None
    methods: Annotated[dict[Label, MethodPart], Field(min_length=1)]
    tolerance: Annotated[float, Field(ge=0)] = 0.03
    published: list[Published] = []

    def seed_list(self) -> list[int]:
        """The seeds to run."""
        return list(range(self.seeds)) if isinstance(self.seeds, int) else list(self.seeds)

    def training_of(self, label: str) -> Training:
        """The training of one method: the recipe's, with what the method's own table changes.

        Raises:
            RecipeError: an unknown key or a wrong value, with its path in the file.
        """
        table = self.training.model_dump()
        _merge(table, self.methods[label].training)
        return _checked(Training, table, f"methods.{label}.training.")

    def with_threads(self, threads: int) -> "Recipe":
        """The recipe with so many threads where it says "auto"."""
        table = self.model_dump(by_alias=True)
        for training in (table["training"], *(part["training"] for part in table["methods"].values())):
            if training.get("threads") == "auto":
                training["threads"] = threads
        return Recipe.model_validate(table)

    def network_of(self, label: str) -> Call:
        """The network of one method: the recipe's, with what the method's own table changes."""
        table = {"network": self.network.model_dump()}
        _merge(table, {"network": self.methods[label].network})
        return _checked(Call, table["network"], f"methods.{label}.network.")


def names() -> list[str]:
    """The recipes that come with the library."""
    folder = resources.files("lifelong") / "recipes"
    return sorted(entry.name.removesuffix(".toml") for entry in folder.iterdir() if entry.name.endswith(".toml"))


def load(recipe: str | Path, changes: Iterable[str] = ()) -> Recipe:
    """A recipe by its name or by the path of a TOML file; every published number that is no bound has a tolerance.

    Args:
        recipe: a name in `names()`, or a path that ends in .toml.
        changes: settings as `key=value`, applied in order: the key a dotted path, the value in TOML's notation, where a
            plain word needs no quotes.

    Raises:
        RecipeError: no such recipe, no valid TOML, an unknown key or a wrong value, each with its path in the file.

    >>> load("demo", ["methods.ewc.strength=10", "stream.data=mnist"]).methods["ewc"].arguments["strength"]
    10
    """
    table = _read(recipe)
    for change in changes:
        _merge(table, _change(change))
    table.setdefault("name", Path(recipe).stem)
    checked = _checked(Recipe, table, "")
    for label in checked.methods:
        checked.training_of(label)
        checked.network_of(label)
    for i, number in enumerate(checked.published):
        if number.method not in checked.methods:
            raise RecipeError(
                f"published.{i}.method: no method {number.method!r} in this recipe; {nearest(number.method, checked.methods)}"
            )
        if number.bound is not None and number.tolerance is not None:
            raise RecipeError(
                f"published.{i}: a bound has no tolerance; leave out tolerance = {number.tolerance} or bound = {number.bound!r}"
            )
    return checked.model_copy(update={"published": [number.within(checked.tolerance) for number in checked.published]})


def only(recipe: Recipe, labels: Iterable[str]) -> Recipe:
    """The recipe with some of its methods, in the recipe's order.

    Raises:
        RecipeError: the recipe has no such method.
    """
    labels = list(labels)
    for label in labels:
        if label not in recipe.methods:
            raise RecipeError(
                f"recipe {recipe.name!r} has no method {label!r}; {nearest(label, recipe.methods)}. Another one is added with "
                f"--set 'methods.{label}={{}}'"
            )
    kept = {label: part for label, part in recipe.methods.items() if label in labels}
    return recipe.model_copy(update={"methods": kept, "published": [number for number in recipe.published if number.method in kept]})


def _read(recipe: str | Path) -> Table:
    if str(recipe).endswith(".toml"):
        path = Path(recipe)
        if not path.is_file():
            raise RecipeError(f"there is no file {str(recipe)!r}; give the path of a TOML file or one of the names {', '.join(names())}")
        text = path.read_text(encoding="utf-8")
    elif str(recipe) in names():
        text = (resources.files("lifelong") / "recipes" / f"{recipe}.toml").read_text(encoding="utf-8")
    else:
        raise RecipeError(f"unknown recipe {str(recipe)!r}; {nearest(str(recipe), names())}; or give the path of a TOML file")
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise RecipeError(f"recipe {str(recipe)!r} is no valid TOML: {error}") from error


def _change(change: str) -> Table:
    """`key=value` as the nested table that it stands for."""
    key, equals, value = change.partition("=")
    if not equals or not key.strip():
        raise RecipeError(f"--set {change!r}: expected key=value, as in methods.ewc.strength=10")
    if re.fullmatch(r"[A-Za-z./~][^\"'\[\]{},=]*", value) and value not in ("true", "false", "inf", "nan"):
        value = json.dumps(value)
    try:
        return tomllib.loads(f"{key} = {value}")
    except tomllib.TOMLDecodeError as error:
        raise RecipeError(f"--set {change!r}: {value!r} is no TOML value ({error}); text with signs in it needs quotes") from error


def _merge(table: Table, changes: Mapping[str, Any]) -> None:
    """Changes put into the table, level by level. Epochs and steps replace each other, and another name drops the old one's arguments."""
    for key, value in changes.items():
        old = table.get(key)
        if isinstance(value, Mapping) and isinstance(old, dict) and value.get("name", old.get("name")) == old.get("name"):
            _merge(old, value)
        else:
            table[key] = value
        if key in ("epochs", "steps"):
            table.pop("steps" if key == "epochs" else "epochs", None)


def _checked(model: type[Model], table: Table, path: str) -> Model:
    """The table as a model, or one error with all that is wrong in it."""
    try:
        return model.model_validate(table)
    except ValidationError as error:
        problems: dict[str, list[str]] = {}
        for problem in error.errors():
            where, text = _problem(model, table, problem)
            problems.setdefault(path + where, []).append(text)
        raise RecipeError("\n".join(f"{where}: {', or '.join(texts)}" for where, texts in problems.items())) from error


def _problem(model: type[BaseModel], table: Any, problem: ErrorDetails) -> tuple[str, str]:
    """Where it is in the file, and what is wrong there."""
    steps: list[str] = []
    for step in problem["loc"]:
        # What pydantic adds to name a member of a union is no key of the file.
        if isinstance(table, dict) and step not in table and problem["type"] != "missing":
            break
        if not isinstance(table, dict | list):
            break
        steps.append(str(step))
        table = table[int(step)] if isinstance(table, list) else table.get(step)
    where = ".".join(steps)
    if problem["type"] == "extra_forbidden":
        owners: dict[str, type[BaseModel]] = {"training": Training, "published": Published}
        owner = owners.get(steps[0], model) if len(steps) > 1 else model
        if owner is not Recipe and steps[-1] in Recipe.model_fields:
            return where, f"unknown key; {steps[-1]!r} belongs to the recipe as a whole: write it above the first [table]"
        return where, f"unknown key; {nearest(steps[-1], owner.model_fields)}"
    if problem["type"] == "missing":
        return where, "is missing"
    return where, f"{problem['msg'][0].lower()}{problem['msg'][1:]}, got {problem['input']!r}"
