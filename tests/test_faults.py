import ast
import functools
import hashlib
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import lifelong as ll
from faults.small import halted, tasks
from lifelong import files
from lifelong.errors import StoreError
from lifelong.manifest import Manifest
from lifelong.methods import EWC, Replay

TESTS = Path(__file__).parent
PACKAGE = Path(ll.__file__).parent
Folder = dict[str, bytes]
COSINE = functools.partial(torch.optim.lr_scheduler.CosineAnnealingLR, T_max=4)


def saved(folder: Path, seed: int) -> Folder:
    """A learner in the middle of its third task, with everything that a learner can have."""
    methods = [EWC(examples=4), Replay(capacity=5)]
    settings: dict[str, Any] = {"optimizer": torch.optim.Adam, "scheduler": COSINE, "reset_optimizer": False, "batch_size": 8}
    learner = ll.Learner(ll.models.MLP(4, [6, 5], seed=seed), methods, "domain", seed=seed, **settings)
    for task in tasks("domain")[:2]:
        learner.learn(task)
    learner.dormant["0.importance"] = {"away": torch.full((3,), float(seed))}
    halted(learner, tasks("domain")[2], folder, 2)
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@functools.cache
def learners() -> tuple[Folder, Folder]:
    """A saved learner, and another one."""
    with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as other:
        return saved(Path(one), 0), saved(Path(other), 1)


def put(folder: Path, content: Folder) -> None:
    for name, data in content.items():
        (folder / name).write_bytes(data)


SETS = ("manifest", "network", "initial", "method-0-ewc", "method-1-replay", "dormant", "optimizer", "random")


def file_of(content: Folder, part: str) -> str:
    return next(name for name in content if name.startswith((f"{part}-", f"{part}.json")))


def assert_refused(folder: Path, *texts: str) -> None:
    """Opening gives a StoreError that says all this and what to do."""
    with pytest.raises(StoreError) as error:
        ll.Learner.open(folder)
    message = str(error.value)
    assert all(text in message for text in texts), message
    assert any(text in message for text in ("take another copy", "give the folder", "upgrade lifelong")), message


# What happens to files.


def test_the_example_has_every_file(tmp_path: Path) -> None:
    put(tmp_path, learners()[0])
    assert {name.rpartition("-")[0] or "manifest" for name in learners()[0]} == set(SETS)
    assert ll.Learner.open(tmp_path).in_progress == "task 2"


@pytest.mark.parametrize("part", SETS)
def test_a_deleted_file(tmp_path: Path, part: str) -> None:
    name = file_of(learners()[0], part)
    put(tmp_path, {key: data for key, data in learners()[0].items() if key != name})
    assert_refused(tmp_path, str(tmp_path / name), "is missing")


@pytest.mark.parametrize("length", ["0", "1", "half", "all but one"])
@pytest.mark.parametrize("part", SETS)
def test_a_truncated_file(tmp_path: Path, part: str, length: str) -> None:
    name = file_of(learners()[0], part)
    data = learners()[0][name]
    cut = {"0": 0, "1": 1, "half": len(data) // 2, "all but one": len(data) - 1}[length]
    put(tmp_path, {**learners()[0], name: data[:cut]})
    text = "damaged" if part == "manifest" else f"truncated or was replaced: {cut} bytes, expected {len(data)}"
    assert_refused(tmp_path, str(tmp_path / name), text)


@pytest.mark.parametrize("place", [0.0, 0.01, 0.3, 0.5, 0.7, 0.99, 1.0])
@pytest.mark.parametrize("part", SETS)
def test_a_flipped_bit(tmp_path: Path, part: str, place: float) -> None:
    name = file_of(learners()[0], part)
    data = bytearray(learners()[0][name])
    data[int(place * (len(data) - 1))] ^= 4
    put(tmp_path, {**learners()[0], name: bytes(data)})
    assert_refused(tmp_path, str(tmp_path / name), "damaged")


@given(st.data())
@settings(deadline=None, max_examples=100)
def test_any_flipped_bit_of_any_file(data: st.DataObject) -> None:
    part = data.draw(st.sampled_from(SETS), label="part")
    name = file_of(learners()[0], part)
    content = bytearray(learners()[0][name])
    content[data.draw(st.integers(0, len(content) - 1), label="byte")] ^= 1 << data.draw(st.integers(0, 7), label="bit")
    with tempfile.TemporaryDirectory() as folder:
        put(Path(folder), {**learners()[0], name: bytes(content)})
        assert_refused(Path(folder), str(Path(folder) / name))


@pytest.mark.parametrize("part", SETS)
def test_a_file_of_another_learner(tmp_path: Path, part: str) -> None:
    one, other = learners()
    name, foreign = file_of(one, part), file_of(other, part)
    assert one[name] != other[foreign]
    put(tmp_path, {**one, name: other[foreign]})
    assert_refused(tmp_path, "is missing" if part == "manifest" else str(tmp_path / name))


@pytest.mark.parametrize("key", Manifest.model_fields)
def test_an_edited_manifest(tmp_path: Path, key: str) -> None:
    """Valid JSON, laid out as ours, with one value changed."""
    manifest = json.loads(learners()[0]["manifest.json"])
    value = manifest[key]
    if isinstance(value, list):
        manifest[key] = [*value, 1]
    else:
        manifest[key] = {**value, "x": 1} if isinstance(value, dict) else -1
    put(tmp_path, {**learners()[0], "manifest.json": files._dumped(manifest)})
    assert_refused(tmp_path, f"{tmp_path / 'manifest.json'} is damaged or was edited: its checksum does not match")


def test_a_newer_format(tmp_path: Path) -> None:
    put(tmp_path, learners()[0])
    crafted(tmp_path, lambda manifest: manifest.update(format=99))
    assert_refused(tmp_path, f"{tmp_path / 'manifest.json'} has format 99, and this version of lifelong reads up to 1; upgrade lifelong")


def test_a_bit_of_the_old_folder_is_enough_to_be_refused_but_saving_again_repairs(tmp_path: Path) -> None:
    put(tmp_path, learners()[0])
    learner = ll.Learner.open(tmp_path)
    for name, data in learners()[0].items():
        (tmp_path / name).write_bytes(data[:-1])
    learner.save(tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == learners()[0]


# What was made to do harm, with checksums that are right.


def crafted(folder: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    manifest = json.loads((folder / "manifest.json").read_bytes())
    change(manifest)
    manifest["sha256"] = files._checksum(manifest)
    (folder / "manifest.json").write_bytes(files._dumped(manifest))


HARMFUL = ("os.system", "../../x", "__class__", "__init__", "__builtins__", "exec", "builtins.exec", "subprocess", "", "/bin/sh")
OF_TORCH = ("Optimizer", "LRScheduler", "adam", "lr_scheduler", "partial", "warnings", "swa_utils", "Tensor")  # and no optimizers


@pytest.mark.parametrize("name", HARMFUL)
def test_a_harmful_name_of_a_model_or_a_method(tmp_path: Path, name: str) -> None:
    put(tmp_path, learners()[0])
    marker = tmp_path / "marker"
    arguments = {"command": f"touch {marker}"}
    crafted(tmp_path, lambda manifest: manifest.update(model={"name": name, "kind": name, "arguments": arguments}))
    with pytest.raises(
        StoreError,
        match=r"the network in .* is '.*', which this version of lifelong does not have; .*Known: convnet, gru, memory-network, mlp",
    ):
        ll.Learner.open(tmp_path)
    put(tmp_path, learners()[0])
    crafted(tmp_path, lambda manifest: manifest.update(methods=[{"name": name, "kind": name, "arguments": arguments}]))
    with pytest.raises(StoreError, match=r"the saved method .* is not one of the library's; pass all methods"):
        ll.Learner.open(tmp_path)
    assert not marker.exists()


@pytest.mark.parametrize("name", [*HARMFUL, *OF_TORCH])
@pytest.mark.parametrize("where", ["training", "unfinished"])
@pytest.mark.parametrize("which", ["optimizer", "scheduler"])
def test_a_harmful_name_of_an_optimizer_or_a_scheduler(tmp_path: Path, name: str, where: str, which: str) -> None:
    put(tmp_path, learners()[0])
    marker = tmp_path / "marker"

    def change(manifest: dict[str, Any]) -> None:
        record = manifest["training"] if where == "training" else manifest["unfinished"]["training"]
        record[which] = {"name": name, "arguments": {"command": f"touch {marker}"}}

    crafted(tmp_path, change)
    with pytest.raises(StoreError, match=rf"trained with {which} '.*', which this version of torch does not have; .*Known: "):
        ll.Learner.open(tmp_path)
    assert not marker.exists()


@pytest.mark.parametrize("name", ["../../../etc/passwd", "/etc/passwd", "..", "manifest.json", "a/network-0123456789abcdef.safetensors"])
@pytest.mark.parametrize("part", SETS[1:])
def test_a_file_outside_the_folder(tmp_path: Path, part: str, name: str) -> None:
    put(tmp_path, learners()[0])
    crafted(tmp_path, lambda manifest: manifest["files"][part].update(file=name))
    assert_refused(
        tmp_path, f"{tmp_path / 'manifest.json'} names {name!r} as the file of '{part}', which is not a name that lifelong gives"
    )


@pytest.mark.parametrize("part", SETS[1:])
def test_a_safetensors_file_with_an_oversized_header(tmp_path: Path, part: str) -> None:
    put(tmp_path, learners()[0])
    content = (2**40).to_bytes(8, "little") + b"{}"
    digest = hashlib.sha256(content).hexdigest()
    file = f"{part}-{digest[:16]}.safetensors"
    (tmp_path / file).write_bytes(content)
    crafted(tmp_path, lambda manifest: manifest["files"].update({part: {"file": file, "bytes": len(content), "sha256": digest}}))
    assert_refused(tmp_path, f"{tmp_path / file} is not a safetensors file")


def test_an_unknown_key_of_the_manifest(tmp_path: Path) -> None:
    put(tmp_path, learners()[0])
    crafted(tmp_path, lambda manifest: manifest.update(hook="touch marker"))
    assert_refused(
        tmp_path, f"{tmp_path / 'manifest.json'} is not as this version of lifelong writes it: hook: Extra inputs are not permitted"
    )


def paths(value: Any, before: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where the values of some JSON are."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, each in items:
        yield (*before, key)
        yield from paths(each, (*before, key))


JUNK = (None, -1, 7, 2**70, 0.5, float("nan"), "x", "", "../x", True, [], {}, [[-1]], {"x": None}, [None, "x"])


@given(st.data())
@settings(deadline=None, max_examples=200)
def test_whatever_the_manifest_says_it_opens_or_is_refused(data: st.DataObject) -> None:
    """Any value in the place of any other, or none: a learner or a StoreError, never another exception."""
    path = data.draw(st.sampled_from([*paths(json.loads(learners()[0]["manifest.json"]))]), label="path")
    junk = data.draw(st.sampled_from([*JUNK, ...]), label="value")

    def change(manifest: dict[str, Any]) -> None:
        place = functools.reduce(lambda value, key: value[key], path[:-1], manifest)
        if junk is ...:
            del place[path[-1]]
        else:
            place[path[-1]] = junk

    with tempfile.TemporaryDirectory() as folder:
        put(Path(folder), learners()[0])
        crafted(Path(folder), change)
        try:
            ll.Learner.open(folder)
        except StoreError as error:
            assert str(error)  # both outcomes are right


@given(st.sampled_from(SETS[1:]), st.data())
@settings(deadline=None, max_examples=100)
def test_whatever_tensors_a_file_holds_it_opens_or_is_refused(part: str, data: st.DataObject) -> None:
    """A tensor left out, renamed, or of another shape or dtype."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        put(folder, learners()[0])
        manifest = files.read_manifest(folder, 1)
        sets = {each: files.read_set(folder, manifest, each) for each in manifest["files"]}
        key = data.draw(st.sampled_from(sorted(sets[part])), label="tensor")
        tensor = sets[part].pop(key)
        new = data.draw(st.sampled_from([key, f"{key}x", "x", "__class__", "memory.forward", "a.b.c", ""]), label="name")
        others = [None, tensor.half(), *(tensor.new_ones(shape) for shape in ((), (0,), (99,), (2, 2)))]
        other = data.draw(st.sampled_from(others), label="value")
        if other is not None:
            sets[part][new] = other
        files.write(folder, {k: v for k, v in manifest.items() if k not in ("files", "sha256")}, sets)
        try:
            ll.Learner.open(folder)
        except StoreError as error:
            assert str(error)  # both outcomes are right


# Nothing in the package runs code that it reads.

UNPICKLING = {"pickle", "_pickle", "cPickle", "joblib", "marshal", "shelve", "dill", "cloudpickle", "runpy"}
LOADING = ("torch.load", "torch.jit.load", "os.system", "os.popen")
RUNNING = {"eval", "exec", "__import__", "execfile"}


def offences(source: str) -> list[str]:
    """What in a module's source could run code from data."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import | ast.ImportFrom):
            modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else [node.module or ""]
            found += [module for module in modules if module.partition(".")[0] in UNPICKLING]
        if isinstance(node, ast.Name) and node.id in RUNNING | UNPICKLING:
            found.append(node.id)
        if isinstance(node, ast.Attribute) and (node.attr in UNPICKLING or ast.unparse(node) in LOADING):
            found.append(ast.unparse(node))
        if isinstance(node, ast.Call):
            name = ast.unparse(node.func)
            if name in ("compile", "builtins.compile"):  # the name alone is that of a setting, too
                found.append(ast.unparse(node))
            if name.endswith("import_module") and not (node.args and isinstance(node.args[0], ast.Constant)):
                found.append(ast.unparse(node))
            found += [ast.unparse(node) for k in node.keywords if k.arg == "allow_pickle" and ast.unparse(k.value) != "False"]
            found += [ast.unparse(node) for k in node.keywords if k.arg == "shell" and ast.unparse(k.value) != "False"]
    return found


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_the_package_runs_no_code_from_files(path: Path) -> None:
    found = offences(path.read_text())
    if path == PACKAGE / "__init__.py":  # a literal table of its own modules, asked for by attribute
        assert found == ["import_module(f'lifelong.{name}')", "import_module(_HOMES[name])"]
    else:
        assert found == []


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "from pickle import loads",
        "import torch\ntorch.load(path)",
        "import numpy as np\nnp.load(path, allow_pickle=True)",
        "eval(text)",
        "compile(text, name, 'single')",
        "builtins.compile(text, name, 'single')",
        "import builtins as b\nrun = exec",
        "from importlib import import_module\nimport_module(name)",
        "import importlib\nimportlib.import_module(manifest['model'])",
        "import joblib.parallel",
        "torch.serialization.pickle.loads(data)",
        "subprocess.run(text, shell=True)",
    ],
)
def test_the_test_before_would_find_it(source: str) -> None:
    assert offences(source)


# Killed and started again.


@pytest.mark.slow
def test_a_run_that_is_killed_again_and_again_ends_as_one_left_alone(tmp_path: Path) -> None:
    command = [sys.executable, "-W", "error", "-m", "faults.kill_stream", str(tmp_path), "12", "0"]
    done = subprocess.run(command, cwd=TESTS, check=False, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    kills = [json.loads(line) for line in done.stdout.splitlines()]
    moments = [kill["moment"] for kill in kills]
    assert {moment.partition(" ")[0] for moment in moments} == {"step", "importance", "write", "manifest", "rename", "remove", "random"}
    assert moments.count("random") == 12
    held = {str(kill["held"]) for kill in kills}
    assert len(held) >= 8, "the kills should fall all over the run"


@pytest.mark.slow
def test_the_script_to_copy_runs_by_itself(tmp_path: Path) -> None:
    command = [sys.executable, str(TESTS / "faults" / "stream.py"), str(tmp_path)]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    learner = ll.Learner.open(tmp_path)
    assert len(learner.tasks) == 3
    assert isinstance(learner.model, nn.Module)
    assert learner.matrix.accuracy > 0.5
