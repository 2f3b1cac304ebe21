import subprocess
import sys
from pathlib import Path

import pytest

from lifelong import cli
from lifelong.results import read_json


def lifelong(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *arguments: str) -> tuple[int, str, str]:
    """Exit code, standard output and standard error of the command."""
    monkeypatch.setattr(sys, "argv", ["lifelong", *arguments])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    said = capsys.readouterr()
    code = ended.value.code
    return code if isinstance(code, int) else 0, said.out, said.err


@pytest.mark.parametrize(
    ("what", "start"),
    [
        ("recipes", "demo                 Five permutations of the same digits: what five methods remember of the first ones."),
        ("methods", "finetune             Fine-tuning: train on each task as it comes and do nothing else."),
        ("streams", "permuted-mnist       Digits whose pixels are put in another order in every task"),
        ("data", "embedded             5,000 MNIST digits that come with lifelong"),
    ],
)
def test_lists_have_one_line_each(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, what: str, start: str) -> None:
    code, out, err = lifelong(capsys, monkeypatch, "list", what)
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert any(" ".join(line.split()).startswith(" ".join(start.split())) for line in lines)
    assert len(lines) >= 4
    width = max(20, *(len(line.split()[0]) for line in lines))
    assert all(line[:width].strip() and line[width] == " " and line[width + 1 :].strip() for line in lines)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "demmo"], "lifelong: unknown recipe 'demmo'; did you mean 'demo'?"),
        (["run", "demo", "--methods", "ewcc"], "lifelong: recipe 'demo' has no method 'ewcc'; did you mean 'ewc'?"),
        (["run", "demo", "--set", "methods.ewc.strengh=1"], "lifelong: methods.ewc.strengh: unknown argument; did you mean 'strength'?"),
        (["run", "demo", "--seeds", "many"], "lifelong: --seeds 'many': expected a number of seeds, as in 5, or the seeds, as in 0,3"),
        (["run", "demo", "--tasks", "0"], "lifelong: --tasks 0: expected 1 or more"),
        (["run", "demo", "--workers", "0"], "lifelong: --workers 0: expected 1 or more"),
        (["run", "demo", "--tasks", "9"], "lifelong: --tasks 9: the stream has only 5 tasks"),
        (
            ["run", "demo", "--check"],
            "lifelong: --check: recipe 'demo' has no published numbers; run it without --check, or add them to it as [[published]]\n",
        ),
        (
            ["run", "ewc-permuted", "--check", "--methods", "joint"],
            "lifelong: --check: recipe 'ewc-permuted' has no published numbers of joint; leave out --methods, or name others\n",
        ),
        (
            ["run", "ewc-permuted", "--check", "--tasks", "2"],
            "lifelong: --check: published numbers are for the whole stream; leave out --tasks 2\n",
        ),
        (["run", "demo", "--worker", "2"], "lifelong: Unknown option: --worker. Did you mean --workers?"),
        (["run"], "lifelong: "),
        (["lecture", "two-task"], "lifelong: the lecture has no section 'two-task'; did you mean 'two-tasks'? Known: "),
        (["lecture", "--workers", "0"], "lifelong: --workers 0: expected 1 or more"),
        (["list", "recipe"], 'lifelong: Invalid value "recipe"'),
        (["report", "nowhere"], "lifelong: there is no results.json in nowhere; give the folder that `lifelong run` wrote to"),
        (["data", "get", "mnits"], "lifelong: 'mnits' is neither a known data set nor a folder; did you mean 'mnist'?"),
    ],
)
def test_a_mistake_is_one_message_and_exit_code_2(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    arguments: list[str],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    code, out, err = lifelong(capsys, monkeypatch, *arguments)
    assert (code, out) == (2, "")
    assert err.startswith(message)
    assert "Traceback" not in err
    assert not list(tmp_path.iterdir())


def test_results_of_a_newer_version_are_one_message(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "results.json").write_text('{"schema": 99}')
    code, _, err = lifelong(capsys, monkeypatch, "report", str(tmp_path))
    assert code == 2
    assert err == "lifelong: these results have schema 99; this version of lifelong reads schema 1\n"


def test_an_error_of_ours_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ValueError("a mistake of the library")

    monkeypatch.setattr(cli, "app", broken)
    with pytest.raises(ValueError, match="a mistake of the library"):
        cli.main()


def test_seeds_are_a_number_or_a_list() -> None:
    assert [cli._seeds(text) for text in ("5", "0,3", "7,")] == ["5", "[0, 3]", "[7]"]


def test_data_get_prints_where_the_data_are(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    code, out, _ = lifelong(capsys, monkeypatch, "data", "get", "embedded")
    assert code == 0
    assert Path(out.strip()).is_dir()


@pytest.mark.slow
def test_the_main_job_prints_a_table_writes_the_page_and_can_be_reported_again(tmp_path: Path) -> None:
    def command(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([sys.executable, "-m", "lifelong", *arguments], cwd=tmp_path, capture_output=True, text=True, check=False)

    options = ["--tasks", "2", "--seeds", "3,", "--set", "training.steps=20", "--set", "stream.examples=200"]
    done = command("run", "demo", *options, "--methods", "ewc,finetune", "--set", "methods.ewc.examples=20", "--workers", "2")
    assert done.returncode == 0, done.stderr
    assert "[2/2] " in done.stderr
    table = [line.split()[0] for line in done.stdout.splitlines() if line.strip()]
    assert table[:3] == ["method", "finetune", "ewc"]
    assert done.stdout.endswith("Results: runs/demo/results.json\nPage:    runs/demo/report.html\n")
    results = read_json(tmp_path / "runs" / "demo" / "results.json")
    assert [(run["method"], run["seed"], len(run["matrix"])) for run in results["runs"]] == [("finetune", 3, 2), ("ewc", 3, 2)]

    page = tmp_path / "runs" / "demo" / "report.html"
    first = page.read_text()
    page.unlink()
    again = command("report", "runs/demo")
    assert again.returncode == 0, again.stderr
    assert again.stdout.endswith("Page: runs/demo/report.html\n")
    assert page.read_text() == first

    whole = ["run", "demo", "--set", "stream.tasks=2", *options[2:], "--methods", "finetune", "--out", "checked"]
    bound = "published=[{method='finetune', measure='R[1,1]', value=%s, bound='least', source='an aim'}]"
    passed = command(*whole, "--check", "--set", bound % "0.0")
    assert passed.returncode == 0, passed.stderr
    assert passed.stdout.splitlines()[-1] == "Check passed: 1 within"
    outside = command(*whole, "--check", "--set", bound % "1.0")
    assert outside.returncode == 1
    assert outside.stderr.splitlines()[0] == "1 of 1 runs are finished already"
    assert outside.stdout.splitlines()[-1] == "Check failed: 1 outside"
    assert "≥ 100.0" in outside.stdout
    assert command(*whole, "--set", bound % "1.0").returncode == 0
    assert "published" not in command(*whole, "--tasks", "2", "--set", bound % "1.0").stdout

    failing = command("run", "demo", *options, "--set", "training.optimizer.lr=1e30", "--out", "failing", "--methods", "finetune")
    assert failing.returncode == 1
    assert "failed: finetune, seed 3: task 'permutation 1': the loss became" in failing.stderr
