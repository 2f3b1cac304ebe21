"""The lecture's section on networks that grow."""

from xml.etree import ElementTree

import torch
from torch import nn

from lecture.made_results import made, rows, said
from lifelong.learner import Learner
from lifelong.lecture.drawing import Series, lines
from lifelong.lecture.section import Json
from lifelong.lecture.sections.growing import SECTION
from lifelong.lecture.widening import widened
from lifelong.models import MLP
from lifelong.tasks import Task

ENDS = {"finetune": 0.31, "ewc": 0.42, "net2net": 0.53, "progressive": 0.64, "packnet": 0.75, "expert-gate": 0.86}
WIDER = {"accuracy": [0.912, 0.934], "parameters": [12345, 23456], "difference": 3.2e-7}


def measured(ends: dict[str, float]) -> dict[str, Json]:
    sizes = {
        label: [{"parameters": 1000 * (place + 1) * n + place, "kept_bytes": 0} for n in range(1, 6)] for place, label in enumerate(ends)
    }
    results = made("lecture-growing", {label: rows(5, 0.95, end) for label, end in ends.items()}, sizes=sizes)
    for run in results["runs"]:
        if run["method"] == "expert-gate":
            run["routed"] = {"summary": {"accuracy": 0.777}}
    return {"lecture-growing": results, "growing-wider": WIDER}


def test_the_page_tells_accuracy_and_parameters_of_every_way() -> None:
    shown = said(SECTION, measured(ENDS))
    for text in shown.values():
        for place, end in enumerate(ENDS.values()):
            assert f"{100 * (4 * end + 0.95) / 5:.0f} %" in text
            assert f"{5000 * (place + 1) + place:,}" in text
        for words in ("12,345", "23,456", "91 %", "93 %", "3e-07", "78 %", "95 %", "50 %", "80 %", "1.0 kB"):
            assert words in text, words
    assert "1 個任務後的參數量" in shown["zh"]
    assert said(SECTION, measured({**ENDS, "packnet": 0.11})) != shown


def test_a_wider_network_computes_the_same() -> None:
    x = torch.randn(60, 3, generator=torch.Generator().manual_seed(0))
    task = Task("sign", (x, x[:, 0] > 0), (x, x[:, 0] > 0), classes=(0, 1))
    found = widened(Learner(MLP(3, [6, 4]), scenario="task"), task, 0.5)
    # 3 x 6 + 6, 6 x 4 + 4, 4 x 2 + 2; then with 9 and 6 units
    assert found["parameters"] == [62, 36 + 60 + 14]
    assert found["accuracy"][0] == found["accuracy"][1]
    assert found["difference"] < 1e-5


def test_lines_of_counts_have_their_own_axis() -> None:
    drawn = lines(
        "Sizes", [Series("a", [(1, 100.0), (2, 900.0)])], "tasks", floor=0.0, ceiling=1000.0, number=lambda value: f"{value:.0f} w"
    )
    words = [element.text for element in ElementTree.fromstring(drawn).iter("{http://www.w3.org/2000/svg}text")]
    assert {"0 w", "1000 w"} <= set(words)
    assert "a: 1 → 100 w, 2 → 900 w" in drawn


def test_a_network_without_growable_layers_stays_as_it_is() -> None:
    x = torch.tensor([[-1.0], [1.0]])
    found = widened(Learner(nn.Linear(1, 2), scenario="task"), Task("sign", (x, [0, 1]), (x, [0, 1])), 0.5)
    assert found["parameters"][0] == found["parameters"][1]
    assert found["difference"] == 0.0
