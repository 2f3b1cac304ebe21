"""The terminal's tables."""

import io

import pytest
from rich.console import Console

from lifelong.report import print_check, print_summary
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


def test_a_table_that_is_too_wide_goes_on_in_another():
    results = synthetic.several(methods=("finetune", "a-method-with-a-rather-long-name"))
    for run in results["runs"]:
        run["told"] = synthetic.told(0.9)
    text = printed(results, width=80, terminal=True)
    assert "…" not in text
    assert max(map(len, text.splitlines())) <= 80
    heads = [" ".join(line.split()[1:]) for line in text.splitlines() if line.split()[:1] == ["method"]]
    assert " ".join(heads) == "accuracy told the task backward forward forgetting time peak memory kept parameters"


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


PUBLISHED = [
    {"method": "ewc", "measure": "accuracy", "value": 0.962, "source": "Kirkpatrick et al. 2017", "tolerance": 0.03},
    {"method": "ewc", "measure": "R[5,5]", "value": 0.9, "source": "an aim", "bound": "least"},
    {"method": "gem", "measure": "accuracy", "value": 0.9, "source": "an aim", "tolerance": 0.03, "spread": 0.004},
]


def test_published_numbers():
    lines = printed(synthetic.several() | {"published": PUBLISHED}).splitlines()[-6:]
    assert lines[0].split() == ["method", "measure", "ours", "seeds", "published", "difference", "tolerance", "verdict"]
    *ours, seeds, theirs, difference, tolerance, verdict = lines[1].split()
    assert (ours[0], seeds, theirs, tolerance, verdict) == ("ewc", "2", "96.2", "3.0", "outside")
    assert difference.startswith("−")
    assert lines[2].split()[-5:-3] == ["≥", "90.0"] and lines[2].split()[-2:] == ["–", "within"]
    assert lines[3].split() == ["gem", "accuracy", "–", "0", "90.0", "±", "0.4", "–", "3.0", "not", "run"]
    assert lines[4:] == ["Published: Kirkpatrick et al. 2017", "Published: an aim"]


@pytest.mark.parametrize("width", [80, 200])
def test_published_numbers_are_not_cut_on_a_terminal(width: int):
    published = [{"method": "ewc", "measure": "told.average_incremental_accuracy", "value": 0.5, "source": "a paper", "tolerance": 0.1}]
    text = printed(synthetic.several() | {"published": published}, width=width, terminal=True)
    assert "…" not in text
    assert max(map(len, text.splitlines())) <= width
    assert "average incremental accuracy, told the task" in text and "not run" in text


def checked(results: dict) -> tuple[bool, str]:
    file = io.StringIO()
    passed = print_check(results, Console(file=file, color_system=None))
    return passed, file.getvalue()


def test_a_check_tells_its_verdicts_and_fails_unless_all_are_within():
    results = synthetic.several()
    assert checked(results | {"published": PUBLISHED}) == (False, "Check failed: 1 within, 1 outside, 1 not run\n")
    assert checked(results | {"published": PUBLISHED[1:2]}) == (True, "Check passed: 1 within\n")


def test_a_check_fails_while_runs_have_not_finished():
    results = synthetic.several() | {"published": PUBLISHED[1:2]}
    results["runs"].append(synthetic.failed("l2", 7, "of no published number"))
    assert checked(results)[0]
    results["runs"].append(synthetic.failed("ewc", 7, "boom"))
    assert checked(results) == (False, "Check failed: 1 within; ewc: 1 run not finished\n")
    results["runs"].append({"method": "ewc", "seed": 8, "status": "running", "config": {}})
    assert checked(results) == (False, "Check failed: 1 within; ewc: 2 runs not finished\n")


def test_accuracy_where_the_task_is_told_has_a_column_when_a_run_has_it():
    results = synthetic.several(seeds=1)
    assert "told the task" not in printed(results)
    next(run for run in results["runs"] if run["method"] == "ewc")["told"] = synthetic.told(0.987)
    text = printed(results)
    assert text.splitlines()[0].split()[:6] == ["method", "accuracy", "told", "the", "task", "backward"]
    assert next(line for line in text.splitlines() if line.startswith("ewc")).split()[2] == "98.7"


def test_ascii_output_where_the_terminal_knows_nothing_else():
    text = printed(synthetic.several(), encoding="ascii")
    assert "finetune *" in text
    assert "-" in text


def test_numbers_from_a_part_of_the_matrix_say_so() -> None:
    results = synthetic.complete()
    results["runs"] = [
        {**run, "summary": {**run["summary"], "accuracy": None}, "sampled": {"accuracy": {"value": 0.5, "measured": 2, "of": 5}}}
        for run in results["runs"]
    ]
    said = printed(results)
    assert "50.0" in said
    note = "Not all of the matrix was measured; each number is the mean over the terms that were: accuracy 2 of 5."
    assert note in " ".join(said.split())
