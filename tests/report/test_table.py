"""The terminal's tables."""

import io

import pytest
from rich.console import Console

from lifelong.report import print_summary
from report import synthetic


def printed(results: dict, width: int | None = None, terminal: bool = False, encoding: str = "utf-8") -> str:
    file = io.TextIOWrapper(io.BytesIO(), encoding=encoding, newline="\n")
    print_summary(results, Console(file=file, width=width, force_terminal=terminal, color_system=None))
    file.seek(0)
    return file.read()


def test_plain_table_without_a_terminal():
    names = ["a", "b"]
    runs = [synthetic.run("finetune", seed, names, matrix=[[0.9, 0.2], [0.5 + seed / 10, 0.7]], initial=[0.1, 0.1]) for seed in (0, 1)]
    for run, accuracy in zip(runs, (0.60, 0.65), strict=True):
        run["summary"] = {"accuracy": accuracy, "backward_transfer": -0.4, "forward_transfer": None, "forgetting": 0.4}
    assert printed(synthetic.results(runs, names)) == (
        "method        accuracy     backward  forward  forgetting    time  peak memory  kept  parameters\n"
        "finetune †  62.5 ± 3.5  −40.0 ± 0.0        –  40.0 ± 0.0  13.0 s     412.0 MB   0 B      89,610\n"
        "Scores in %, mean ± standard deviation over seeds. † baseline. Data: embedded mnist (4000).\n"
    )


def test_nothing_is_cut_in_a_pipe_however_long():
    name = "a-method-with-a-name-of-more-than-eighty-characters-" + "x" * 60
    text = printed(synthetic.results([synthetic.run(name, 0, ["a"])], ["a"]))
    assert name in text
    assert "…" not in text


@pytest.mark.parametrize("width", [80, 200])
def test_nothing_is_cut_on_a_terminal_of_80_columns(width: int):
    text = printed(synthetic.several(), width=width, terminal=True)
    assert "…" not in text
    assert "finetune †" in text and "joint †" in text and "ewc" in text
    assert all(word in text for word in ("accuracy", "backward", "forward", "forgetting", "time", "peak memory", "kept", "parameters"))
    assert max(map(len, text.splitlines())) <= width


def test_failed_and_unfinished_runs_are_named_with_the_reason():
    results = synthetic.several(seeds=1)
    results["runs"] += [
        synthetic.failed("ewc", 7, "[bold]the loss is not finite"),
        {"method": "l2", "seed": 8, "status": "running", "config": {}},
    ]
    text = printed(results)
    assert "failed: ewc, seed 7: [bold]the loss is not finite\n" in text
    assert "not finished: l2, seed 8\n" in text


def test_only_failures():
    text = printed(synthetic.results([synthetic.failed("ewc", 0, "boom")], ["a"]))
    assert "failed: ewc, seed 0: boom" in text
    assert text.splitlines()[1].split() == ["ewc", *"––––––––"]


def test_no_runs_at_all():
    assert printed(synthetic.results([], ["a"])) == ""


def test_published_numbers():
    published = [{"method": "ewc", "measure": "accuracy", "value": 0.962, "source": "Kirkpatrick et al. 2017", "tolerance": 0.03}]
    text = printed(synthetic.several() | {"published": published})
    _, theirs, difference, within = text.splitlines()[-2].split()[-4:]
    assert (theirs, within) == ("96.2", "3.0")
    assert difference.startswith("−")
    assert text.splitlines()[-1] == "Published: Kirkpatrick et al. 2017"


def test_ascii_output_where_the_terminal_knows_nothing_else():
    text = printed(synthetic.several(), encoding="ascii")
    assert "finetune *" in text
    assert "-" in text
