"""The lecture's section on LwF and iCaRL."""

from lecture.made_results import made, rows, said
from lifelong.lecture.section import Json
from lifelong.lecture.sections.new_classes import RECIPE, SECTION, capacity

ENDS = {"finetune": 0.21, "lwf": 0.32, "icarl": 0.73, "replay": 0.64, "icarl-more": 0.85, "replay-more": 0.86, "joint": 0.97}
TOLD = {label: {"summary": {"accuracy": end / 2 + 0.5}} for label, end in ENDS.items()}


def measured(ends: dict[str, float]) -> dict[str, Json]:
    return {RECIPE: made(RECIPE, {label: rows(5, 0.99, end) for label, end in ends.items()}, told=TOLD)}


def test_the_page_tells_accuracies_with_and_without_the_pair() -> None:
    shown = said(SECTION, measured(ENDS))
    for text in shown.values():
        for label, end in ENDS.items():
            assert f"{100 * (4 * end + 0.99) / 5:.0f} %" in text
            assert f"{100 * TOLD[label]['summary']['accuracy']:.0f} %" in text
    assert "iCaRL, 50 examples" in shown["en"]
    assert "iCaRL，留 200 個" in shown["zh"]
    assert "學完 8, 9" in shown["zh"]
    assert said(SECTION, measured({**ENDS, "icarl": 0.11})) != shown


def test_the_memorys_size_is_read_from_the_results() -> None:
    results = measured(ENDS)[RECIPE]
    assert [capacity(results, label) for label in ("icarl", "replay", "icarl-more", "replay-more")] == [50, 50, 200, 200]
