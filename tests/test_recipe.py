import subprocess
import sys
from pathlib import Path

import pytest

from lifelong import recipe as recipes
from lifelong.errors import RecipeError

SMALL = """
seeds = 2
[stream]
name = "permuted-mnist"
tasks = 2
[network]
name = "mlp"
inputs = 784
[training]
epochs = 3
optimizer = { name = "SGD", lr = 0.1 }
[methods.finetune]
[methods.ewc]
strength = 5.0
"""


@pytest.fixture
def small(tmp_path: Path) -> Path:
    path = tmp_path / "small.toml"
    path.write_text(SMALL)
    return path


def refusal(path: Path | str, *changes: str) -> str:
    with pytest.raises(RecipeError) as caught:
        recipes.load(path, changes)
    return str(caught.value)


def test_a_recipe_is_read_with_the_files_name_and_the_defaults(small: Path) -> None:
    recipe = recipes.load(small)
    assert recipe.name == "small"
    assert recipe.stream.name == "permuted-mnist"
    assert recipe.stream.arguments == {"tasks": 2}
    assert recipe.methods["ewc"].arguments == {"strength": 5.0}
    assert recipe.training.batch_size == 32
    assert recipe.training.threads == 1
    assert recipe.seed_list() == [0, 1]


@pytest.mark.parametrize("name", recipes.names())
def test_every_recipe_of_the_library_is_valid_and_says_what_it_is(name: str) -> None:
    recipe = recipes.load(name)
    assert recipe.name == name
    assert recipe.description.endswith(".")
    baselines = {part.method or label for label, part in recipe.methods.items()} & {"finetune", "joint", "independent"}
    assert baselines >= {"finetune", "joint"} if recipe.published and not name.startswith("babi-") else baselines


def test_the_first_recipes_are_there() -> None:
    assert {"demo", "noisy-pair", "ewc-permuted", "split-mnist-task", "split-mnist-domain", "split-mnist-class"} <= set(recipes.names())


def test_settings_are_toml_values_and_plain_words(small: Path) -> None:
    recipe = recipes.load(
        small, ["methods.ewc.strength=10", "stream.data=mnist", "network.hidden=[50, 50]", "seeds=[0, 3]", "stream.first = 'plain'"]
    )
    assert recipe.methods["ewc"].arguments == {"strength": 10}
    assert recipe.stream.arguments == {"tasks": 2, "data": "mnist", "first": "plain"}
    assert recipe.network.arguments == {"inputs": 784, "hidden": [50, 50]}
    assert recipe.seed_list() == [0, 3]
    assert recipes.load(small, ["stream.data=../my data/digits"]).stream.arguments["data"] == "../my data/digits"


def test_steps_and_epochs_replace_each_other(small: Path) -> None:
    recipe = recipes.load(small, ["training.steps=7", "methods.ewc.training.epochs=2"])
    assert (recipe.training.steps, recipe.training_of("finetune").steps) == (7, 7)
    assert (recipe.training_of("ewc").steps, recipe.training_of("ewc").epochs) == (None, 2)


def test_another_optimizer_drops_the_arguments_of_the_first(small: Path) -> None:
    recipe = recipes.load(small, ['methods.ewc.training.optimizer={name="Adam"}', "methods.finetune.training.optimizer.lr=0.5"])
    assert recipe.training_of("ewc").optimizer.model_dump() == {"name": "Adam"}
    assert recipe.training_of("finetune").optimizer.model_dump() == {"name": "SGD", "lr": 0.5}


def test_a_method_has_a_network_of_its_own(small: Path) -> None:
    """What its table changes; another network drops the arguments of the recipe's."""
    recipe = recipes.load(small, ["network.hidden=[50]", "methods.ewc.network.hidden=[5]", "methods.finetune.network={name='convnet'}"])
    assert recipe.network_of("ewc").model_dump() == {"name": "mlp", "inputs": 784, "hidden": [5]}
    assert recipe.network_of("finetune").model_dump() == {"name": "convnet"}
    assert recipe.network.arguments == {"inputs": 784, "hidden": [50]}
    assert recipe.methods["ewc"].arguments == {"strength": 5.0}
    assert recipes.load(small).network_of("ewc").model_dump() == {"name": "mlp", "inputs": 784}


def test_outputs_are_those_seen_unless_the_recipe_says_all(small: Path) -> None:
    assert recipes.load(small).outputs == "seen"
    assert recipes.load(small, ["outputs=all"]).outputs == "all"


def test_tasks_are_watched_only_where_the_recipe_says_so(small: Path) -> None:
    assert recipes.load(small).watch_every is None
    assert recipes.load(small, ["watch_every=20"]).watch_every == 20


def test_methods_are_chosen_in_the_recipes_order() -> None:
    chosen = recipes.only(recipes.load("ewc-permuted"), ["joint", "ewc"])
    assert list(chosen.methods) == ["ewc", "joint"]
    assert {number.method for number in chosen.published} == {"ewc"}


def test_a_method_that_the_recipe_does_not_have(small: Path) -> None:
    with pytest.raises(RecipeError) as caught:
        recipes.only(recipes.load(small), ["ewcc"])
    assert str(caught.value) == (
        "recipe 'small' has no method 'ewcc'; did you mean 'ewc'? Known: ewc, finetune. Another one is added with --set 'methods.ewcc={}'"
    )


def test_an_unknown_recipe_names_the_nearest() -> None:
    assert refusal("demmo").startswith(f"unknown recipe 'demmo'; did you mean 'demo'? Known: {', '.join(recipes.names()[:2])}")


def test_a_missing_file(tmp_path: Path) -> None:
    assert "there is no file" in refusal(tmp_path / "absent.toml")


def test_a_file_that_is_no_toml(tmp_path: Path) -> None:
    (tmp_path / "broken.toml").write_text("seeds = \n")
    assert "is no valid TOML: Invalid value (at line 1, column 9)" in refusal(tmp_path / "broken.toml")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("training.epoch=3", "training.epoch: unknown key; did you mean 'epochs'?"),
        ("trainin.epochs=3", "trainin: unknown key; did you mean 'training'?"),
        ("methods.ewc.training.stepz=3", "methods.ewc.training.stepz: unknown key; did you mean 'steps'?"),
        ("training.epochs=0", "training.epochs: input should be greater than or equal to 1, got 0"),
        ("training.clip_norm=-1", "training.clip_norm: input should be greater than 0, got -1"),
        ("training.precision=float64", "training.precision: input should be 'float32', 'bfloat16', 'bf16' or 'float16', got 'float64'"),
        ("seeds=0", "seeds: input should be greater than or equal to 1, got 0, or input should be a valid list, got 0"),
        ("stream=3", "stream: input should be a valid dictionary or instance of Call, got 3"),
        ("name=a/b", "name: string should match pattern"),
        ("published=[{method='ewc', measure='accuracy', value=1, sorce='x'}]", "published.0.sorce: unknown key; did you mean 'source'?"),
        ("published=[{method='ewc', measure='R[0,1]', value=1, source='x'}]", "published.0.measure: string should match pattern"),
        (
            "published=[{method='ewc', measure='told.acc', value=1, source='x'}]",
            "published.0.measure: string should match pattern",
        ),
        (
            "published=[{method='ewc', measure='accuracy', value=1, source='x', bound='above'}]",
            "published.0.bound: input should be 'least'",
        ),
        (
            "published=[{method='ewc', measure='accuracy', value=1, source='x', bound='most', tolerance=0.1}]",
            "published.0: a bound has no tolerance; leave out tolerance = 0.1 or bound = 'most'",
        ),
        ("outputs=known", "outputs: input should be 'seen' or 'all', got 'known'"),
        ("watch_every=0", "watch_every: input should be greater than or equal to 1, got 0"),
        ("watch_every=1.5", "watch_every: input should be a valid integer, got a number with a fractional part, got 1.5"),
        ("watch_every=often", "watch_every: input should be a valid integer, unable to parse string as an integer, got 'often'"),
        ("watch_evry=20", "watch_evry: unknown key; did you mean 'watch_every'?"),
        ("training.watch_every=20", "training.watch_every: unknown key; 'watch_every' belongs to the recipe as a whole: write it above"),
        ("methods.ewc.network=3", "methods.ewc.network: input should be a valid dictionary, got 3"),
        ("methods.ewc.network.name=3", "methods.ewc.network.name: input should be a valid string, got 3"),
        ("tolerance=-1", "tolerance: input should be greater than or equal to 0, got -1"),
        (
            "published=[{method='ewcc', measure='accuracy', value=1, source='x'}]",
            "published.0.method: no method 'ewcc' in this recipe; did you",
        ),
    ],
)
def test_what_is_wrong_is_told_with_its_path(small: Path, change: str, message: str) -> None:
    assert message in refusal(small, change)


def test_every_published_number_has_a_tolerance_unless_it_is_a_bound(small: Path) -> None:
    numbers = [
        "{value=0.9}",
        "{value=0.9, spread=0.004}",
        "{value=0.9, spread=0.04}",
        "{value=0.9, spread=0.04, tolerance=0.01}",
        "{value=0.9, bound='least'}",
    ]
    told = [number.replace("}", ", method='ewc', measure='told.R[2,1]', source='x'}") for number in numbers]
    change = f"published=[{', '.join(told)}]"
    assert [number.tolerance for number in recipes.load(small, [change]).published] == [0.03, 0.03, 0.1, 0.01, None]
    assert [number.tolerance for number in recipes.load(small, [change, "tolerance=0.05"]).published] == [0.05, 0.05, 0.1, 0.01, None]


def test_everything_wrong_is_told_at_once(small: Path) -> None:
    assert len(refusal(small, "training.epochs=0", "training.batch_size=0", "a=1").splitlines()) == 3


def test_a_missing_table(tmp_path: Path) -> None:
    (tmp_path / "empty.toml").write_text("seeds = 1\n")
    assert refusal(tmp_path / "empty.toml").splitlines() == ["stream: is missing", "network: is missing", "methods: is missing"]


@pytest.mark.parametrize("change", ["seeds", "=3"])
def test_a_setting_without_key_or_value(small: Path, change: str) -> None:
    assert refusal(small, change) == f"--set {change!r}: expected key=value, as in methods.ewc.strength=10"


def test_a_setting_that_is_no_toml_value(small: Path) -> None:
    assert refusal(small, "methods.ewc.strength=[1").startswith("--set 'methods.ewc.strength=[1': '[1' is no TOML value")


def test_reading_a_recipe_does_not_import_torch() -> None:
    code = "import sys; from lifelong import recipe; recipe.load('demo'); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
