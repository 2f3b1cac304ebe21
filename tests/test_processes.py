"""Several processes that train one learner: what each takes of a batch, and that they give what one process gives."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from lifelong.errors import ProcessError
from lifelong.learner import Learner
from lifelong.method import Method
from lifelong.methods import DER, EWC
from lifelong.processes import GONE, Processes, joined
from lifelong.results import read_json
from lifelong.tasks import Batch
from toys import FEATURES, blobs

HERE = Path(__file__).parent
TORCHRUN = (sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")
TINY = """
description = "Three small tasks."
seeds = 1
[stream]
name = "permuted-mnist"
tasks = 3
[network]
name = "mlp"
inputs = 784
hidden = [16]
[training]
epochs = 4
batch_size = 20
[methods.ewc]
examples = 50
"""


def started(*command: str) -> subprocess.Popen[str]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


@pytest.mark.parametrize("count", [1, 2, 3, 5])
@pytest.mark.parametrize("size", [1, 2, 7, 10])
@pytest.mark.parametrize("weighted", [False, True])
def test_the_shares_of_a_batch_are_the_batch(count: int, size: int, weighted: bool) -> None:
    generator = torch.Generator().manual_seed(size)
    weight = torch.rand(size, generator=generator) if weighted else None
    whole = Batch(torch.rand(size, 3, generator=generator), torch.arange(size), torch.arange(size), weight)
    losses = torch.rand(size, generator=generator)

    def loss(batch: Batch) -> float:
        own = losses[batch.y]
        return float(own.mean() if batch.weight is None else (own * batch.weight).sum())

    parts = [Processes(rank, count).share(whole) for rank in range(count)]
    assert sum(share for _, share in parts) == pytest.approx(1.0)
    assert sum(share * loss(part) for part, share in parts) == pytest.approx(loss(whole), rel=1e-5)
    assert sorted(int(y) for part, share in parts if share for y in part.y) == list(range(size))
    for part, _ in parts:
        assert len(part) >= 1
        assert isinstance(part.head, torch.Tensor)
        assert torch.equal(part.head, part.y)
        assert torch.equal(part.x, whole.x[part.y])


def test_alone_nothing_is_divided_or_copied() -> None:
    whole = Batch(torch.rand(4, 2), torch.arange(4))
    assert Processes().share(whole) == (whole, 1.0)
    values = torch.rand(3)
    assert Processes().sum(values) is values
    assert Processes().part(values) is values
    with joined() as processes:
        assert processes == Processes()
        assert processes.alone
        assert processes.writes


def test_processes_that_torchrun_did_not_start_are_told_how(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    monkeypatch.delenv("RANK", raising=False)
    with pytest.raises(ProcessError) as refused, joined():
        pass
    assert str(refused.value).startswith("the 2 processes of this run can't find each other: ")
    assert "RANK" in str(refused.value)
    assert str(refused.value).endswith("Start them by torchrun, as in torchrun --nproc-per-node 2 -m lifelong run demo")


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(FEATURES)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.as_tensor(self.norm(x))


@pytest.mark.parametrize(
    ("model", "method", "message"),
    [
        (
            nn.Linear(FEATURES, 4),
            DER(capacity=10),
            "DER can't be trained by 2 processes: what its loss compares belongs to whole batches. Run it without torchrun",
        ),
        (
            Net(),
            EWC(),
            "'norm' is batch norm, whose statistics would be of each process's share of a batch; take another norm (GroupNorm, LayerNorm), "
            "or run it without torchrun",
        ),
    ],
)
def test_what_would_be_trained_otherwise_is_refused(model: nn.Module, method: Method, message: str) -> None:
    learner = Learner(model, [method])
    learner.processes = Processes(0, 2)
    with pytest.raises(ProcessError) as refused:
        learner.learn(blobs())
    assert str(refused.value) == message
    assert learner.tasks == []


@pytest.mark.slow
def test_two_processes_give_what_one_gives(tmp_path: Path) -> None:
    for name, start in (("one", (sys.executable,)), ("two", TORCHRUN)):
        running = started(*start, str(HERE / "faults" / "together.py"), str(tmp_path / name))
        said, _ = running.communicate()
        assert running.returncode == 0, said
    one, first, second = (torch.load(tmp_path / name, weights_only=True) for name in ("one-0", "two-0", "two-1"))
    for name, alone in one.items():
        difference = (alone["theta"] - first[name]["theta"]).abs().max() / alone["theta"].abs().max()
        assert difference < 1e-3, name
        assert torch.equal(first[name]["theta"], second[name]["theta"]), name
        assert torch.allclose(alone["matrix"], first[name]["matrix"], atol=0.003, equal_nan=True), name
        assert torch.equal(alone["grown"], first[name]["grown"]), name
    assert int(one["net2net"]["grown"]) > int(one["finetune"]["grown"])


def matrix_of(out: Path) -> np.ndarray[Any, Any]:
    return np.array(read_json(out / "results.json")["runs"][0]["matrix"], dtype=float)


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="finds the processes in /proc, which only Linux has")
def test_a_killed_process_stops_all_with_a_message_and_the_run_goes_on(tmp_path: Path) -> None:
    recipe, together, alone = tmp_path / "tiny.toml", tmp_path / "together", tmp_path / "alone"
    recipe.write_text(TINY)
    command = ("-m", "lifelong", "run", str(recipe), "--out")
    running = started(*TORCHRUN, *command, str(together))
    while not (together / "runs" / "ewc-0" / "manifest.json").exists():
        assert running.poll() is None
    children = Path(f"/proc/{running.pid}/task/{running.pid}/children").read_text().split()
    (second,) = (child for child in children if b"RANK=1" in Path(f"/proc/{child}/environ").read_bytes().split(b"\0"))
    os.kill(int(second), signal.SIGKILL)
    said, _ = running.communicate()
    assert running.returncode != 0
    assert f"lifelong: {GONE}" in said
    assert read_json(together / "runs" / "ewc-0.json")["status"] == "running"

    again = started(*TORCHRUN, *command, str(together))
    said, _ = again.communicate()
    assert again.returncode == 0, said
    assert said.count("Results: ") == 1
    single = started(sys.executable, *command, str(alone))
    single.communicate()
    assert single.returncode == 0
    assert np.allclose(matrix_of(together), matrix_of(alone), atol=0.004)
