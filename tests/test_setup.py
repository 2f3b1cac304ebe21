"""What a newcomer meets first: the package's files, its start-up time, the README's and the guide's examples."""

import importlib.util
import re
import subprocess
import sys
import tomllib
from importlib import metadata, resources
from pathlib import Path

import pytest

import lifelong
from lifelong import Learner
from lifelong.methods import METHODS
from lifelong.models import MLP
from lifelong.streams import permuted_mnist

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def python(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()


def examples(document: str) -> list[str]:
    return re.findall(r"```python\n(.*?)```", (ROOT / document).read_text(), re.DOTALL)


def test_help_answers_without_torch() -> None:
    code = """
import sys
sys.argv = ["lifelong", "--help"]
from lifelong.cli import main
try:
    main()
except SystemExit:
    print("torch" in sys.modules)
"""
    said = python(code)
    assert "Usage: lifelong COMMAND" in said
    assert said.endswith("False")


def test_importing_the_package_costs_little_beside_torch() -> None:
    code = "import time, torch\nstart = time.perf_counter()\nimport lifelong\nlifelong.Learner\nprint(time.perf_counter() - start)"
    assert min(float(python(code)) for _ in range(2)) < 0.3


def test_the_version_is_said_once() -> None:
    assert metadata.version("lifelong") == lifelong.__version__ == PROJECT["version"]
    assert f"\n## [{lifelong.__version__}]\n" in (ROOT / "CHANGELOG.md").read_text()
    assert f"\nversion: {lifelong.__version__}\n" in (ROOT / "CITATION.cff").read_text()


def test_every_dependency_is_pinned_to_what_was_tested() -> None:
    pins = dict(line.split("==") for line in (ROOT / "constraints.txt").read_text().split())
    pins = {name.lower().replace("_", "-"): version for name, version in pins.items()}
    wanted = [*PROJECT["dependencies"], *PROJECT["optional-dependencies"]["dev"]]
    assert {re.split("[><=]", name)[0] for name in wanted} <= pins.keys()
    assert pins["torch"] == "2.13.0"
    assert "torchvision" not in pins


def test_the_core_imports_nothing_that_is_not_a_dependency() -> None:
    known = {re.split("[><=]", name)[0] for name in PROJECT["dependencies"]} | {
        "lifelong",
        "markupsafe",
        "pydantic_core",
        "PIL",
    }  # jinja2's, pydantic's, the extra `images`
    files = (ROOT / "src").rglob("*.py")
    imported = {name for file in files for name in re.findall(r"^\s*(?:from|import) (\w+)", file.read_text(), re.MULTILINE)}
    assert imported - known - sys.stdlib_module_names == set()


@pytest.mark.parametrize("file", ["py.typed", "recipes/demo.toml", "report/page.html.jinja", "data/embedded_mnist/LICENSE.txt"])
def test_the_package_has_its_data(file: str) -> None:
    assert (resources.files("lifelong") / file).is_file()


def test_the_readme_names_every_method_and_exactly_two_commands_first() -> None:
    readme = (ROOT / "README.md").read_text()
    assert [name for name in METHODS if f"| `{name}` |" not in readme] == []
    first = readme.split("```")[1]
    assert [line.split("  ")[0] for line in first.strip().splitlines()] == ["make demo", "make test"]
    for picture in re.findall(r"!\[[^]]*\]\(([^)]*)\)", readme):
        assert (ROOT / picture).is_file()


@pytest.mark.slow
def test_the_readmes_example_runs(tmp_path: Path) -> None:
    (example,) = examples("README.md")
    (tmp_path / "example.py").write_text(example.replace("tasks=10", "tasks=2"))
    done = subprocess.run([sys.executable, "example.py"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "backward transfer" in done.stdout
    assert Learner.open(tmp_path / "digits.life").tasks == ["permutation 1", "permutation 2"]


def test_the_guides_method_remembers(tmp_path: Path) -> None:
    (example,) = examples("CONTRIBUTING.md")
    (tmp_path / "anchor.py").write_text(example)
    spec = importlib.util.spec_from_file_location("anchor", tmp_path / "anchor.py")
    assert spec is not None
    assert spec.loader is not None
    anchor = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(anchor)
    tasks = list(permuted_mnist(tasks=2, examples=1000))

    def first_task_after_the_second(strength: float) -> float:
        learner = Learner(MLP(784, [50], seed=0), [anchor.Anchor(strength=strength)], "domain", epochs=2)
        for task in tasks:
            learner.learn(task)
        return float(learner.evaluate(tasks).values[2, 0])

    assert first_task_after_the_second(0.05) > first_task_after_the_second(0.0) + 0.01
