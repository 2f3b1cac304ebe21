"""EWC with nothing protected, with the important weights protected, and with everything protected."""

from lifelong.lecture.drawing import Series, lines, percent
from lifelong.lecture.reading import matrix_of, row, so_far
from lifelong.lecture.section import Language, Measured, Picture, Section, Shown, Table, Words

RECIPE = "lecture-ewc-strength"
NAMES = {
    "finetune": Words("b = 0", "b = 0"),
    "weak": Words("b small", "b 很小"),
    "good": Words("b good", "b 適中"),
    "infinite": Words("b = ∞", "b = ∞"),
}


def show(measured: Measured, language: Language) -> Shown:
    """Accuracy on the first and the last task for every b."""
    results = measured[RECIPE]
    last = len(results["stream"]["tasks"])
    ends = {label: row(results, label, last) for label in NAMES}
    forgets, still, good = (tuple(map(percent, (ends[label][0], ends[label][-1]))) for label in ("finetune", "infinite", "good"))
    text = Words(
        f"EWC adds λ Σ bᵢ (θᵢ − θᵢᵇ)² to the loss of the next task. With b = 0 nothing is guarded: the first task ends at {forgets[0]} "
        f"(catastrophic forgetting). With b = ∞ no weight moves: the first task stays at {still[0]}, and the last one only reaches "
        f"{still[1]} (intransigence). With b from the Fisher information and a good strength, the first task ends at {good[0]} and the "
        f"last one at {good[1]}.",
        f"EWC 在下一個任務的損失上加上 λ Σ bᵢ (θᵢ − θᵢᵇ)²。b = 0 時什麼都不保護，第一個任務最後是 {forgets[0]}（災難性遺忘）。"
        f"b = ∞ 時參數完全不動，第一個任務留在 {still[0]}，最後一個任務卻只有 {still[1]}（intransigence）。"
        f"b 用 Fisher information 估計、強度適中時，第一個任務最後有 {good[0]}，最後一個任務有 {good[1]}。",
    )
    series = [Series(words.said(language), so_far(results, label), label == "finetune") for label, words in NAMES.items()]
    title = Words("Accuracy on the tasks learned so far", "到目前為止學過的任務的平均正確率").said(language)
    drawn = lines(title, series, Words("tasks learned", "學過的任務數").said(language))
    caption = Words("Look for the line that stays highest: neither b = 0 nor b = ∞.", "看哪一條線最高：既不是 b = 0，也不是 b = ∞。")
    columns = [
        "b",
        Words("first task, in the end", "第一個任務（最後）").said(language),
        Words("last task, in the end", "最後一個任務").said(language),
        Words("mean of all", "全部平均").said(language),
    ]
    rows = [
        [words.said(language), percent(ends[label][0]), percent(ends[label][-1]), percent(matrix_of(results, label).accuracy)]
        for label, words in NAMES.items()
    ]
    return Shown([text.said(language)], [Picture(drawn, caption.said(language))], [Table(columns, rows)])


SECTION = Section(
    name="ewc-strength",
    title=Words("Elastic weight consolidation: how strongly to guard", "EWC：要保護得多強"),
    claim=Words(
        "Guarding no weight forgets, guarding every weight learns nothing more; guarding each as much as it matters does both.",
        "完全不保護就會遺忘，全部保護就學不了新東西；依重要性保護，兩者兼得。",
    ),
    show=show,
    code=("src/lifelong/methods/ewc.py", "src/lifelong/fisher.py", "src/lifelong/quadratic.py"),
    recipes={RECIPE: ("stream.data=mnist", "training.epochs=10")},
)
