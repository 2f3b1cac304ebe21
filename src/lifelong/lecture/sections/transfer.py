"""Transfer learning asks for the second task only, lifelong learning for both."""

from collections.abc import Sequence

from lifelong.lecture.drawing import Series, lines, percent
from lifelong.lecture.section import Json, Language, Measured, Picture, Section, Shown, Table, Words
from lifelong.report import units

MEASURE = "transfer-second-task"
NAMES = {
    "scratch": Words("task two alone, from scratch", "只學任務二（從頭學）"),
    "finetune": Words("task one, then fine-tuning", "先學任務一，再 fine-tune"),
    "ewc": Words("task one, then EWC", "先學任務一，再用 EWC"),
    "replay": Words("task one, then replay", "先學任務一，再用 replay"),
}
ASKED = {"new": Words("task two, the new one", "任務二（新任務）"), "old": Words("task one, the old one", "任務一（舊任務）")}


def measure(full: bool) -> Json:
    """Accuracy on both tasks while the second one is learned."""
    from lifelong.lecture.transferring import second_task

    return second_task(full)


def show(measured: Measured, language: Language) -> Shown:
    """The new task's accuracy, then the old one's."""
    found = measured[MEASURE]
    return Shown(
        [words.said(language) for words in (_transfer(found), _lifelong(found))],
        [_picture(found, asked, language) for asked in ASKED],
        [_table(found, language)],
    )


def ends(found: Json, label: str) -> dict[str, float]:
    """Accuracy on the new and the old task in the end."""
    return {asked: float(found[label][asked][-1]) for asked in ASKED}


def _transfer(found: Json) -> Words:
    alone, tuned = (percent(ends(found, label)["new"]) for label in ("scratch", "finetune"))
    examples, few, steps = units.count(found["examples"]), found["few"], found["steps"][-1]
    return Words(
        f"Task one is {examples} clean digits. Task two has {few} digits, hidden under strong noise. Transfer learning asks one question: "
        f"does task one help task two? A network that only sees task two reads {alone} of its digits after {steps} steps; one that learned "
        f"task one before, and is then fine-tuned, {tuned}.",
        f"任務一是 {examples} 個乾淨的數字，任務二只有 {few} 個數字，而且噪聲很強。transfer learning 只問一件事：任務一有沒有幫到任務二？"
        f"只學任務二的網路，{steps} 步之後正確率是 {alone}；先學過任務一再 fine-tune，是 {tuned}。",
    )


def _lifelong(found: Json) -> Words:
    before = percent(found["finetune"]["old"][0])
    tuned, ewc, replay = (tuple(percent(value) for value in ends(found, label).values()) for label in ("finetune", "ewc", "replay"))
    return Words(
        f"What became of task one, transfer learning does not ask. Lifelong learning does. Before task two, {before} of the clean digits "
        f"were read; after fine-tuning it is {tuned[1]}. With EWC task two ends at {ewc[0]} and task one at {ewc[1]}; with replay of "
        f"{found['kept']} clean digits at {replay[0]} and {replay[1]}. A lifelong learner is judged by both columns of the table.",
        f"至於任務一後來怎麼了，transfer learning 並不關心，life long learning 才關心。學任務二之前，乾淨的數字讀對 {before}；"
        f"fine-tune 之後是 {tuned[1]}。用 EWC，任務二到 {ewc[0]}，任務一還有 {ewc[1]}；用 replay（留 {found['kept']} 個乾淨的數字），"
        f"分別是 {replay[0]} 和 {replay[1]}。life long learning 要看的是表格裡的兩欄，不是只看一欄。",
    )


def _picture(found: Json, asked: str, language: Language) -> Picture:
    labels = [label for label in NAMES if label != "scratch" or asked == "new"]
    series = [
        Series(NAMES[label].said(language), list(zip(map(float, found["steps"]), found[label][asked], strict=True)), label == "scratch")
        for label in _ordered(labels)
    ]
    task = ASKED[asked].said(language)
    title = Words(f"Accuracy on {task}, while task two is learned", f"學任務二的過程中，{task}的正確率").said(language)
    captions = {
        "new": Words(
            "Task two while it is learned: all that transfer learning looks at. See how far the lines with task one are "
            "from the dashed one.",
            "學任務二的過程中，任務二的正確率：transfer learning 只看這張圖。看先學過任務一的線和虛線差多少。",
        ),
        "old": Words(
            "Task one in the same steps: lifelong learning looks at this, too. See which lines stay up.",
            "同樣的過程中，任務一的正確率：life long learning 還要看這張圖。看哪些線留在上面。",
        ),
    }
    return Picture(lines(title, series, Words("steps in task two", "任務二的訓練步數").said(language)), captions[asked].said(language))


def _ordered(labels: Sequence[str]) -> Sequence[str]:
    """What is in both pictures first, so that it has the same colours in both."""
    return sorted(labels, key=lambda label: label == "scratch")


def _table(found: Json, language: Language) -> Table:
    columns = [Words("", ""), ASKED["new"], ASKED["old"]]
    rows = [[NAMES["scratch"].said(language), percent(ends(found, "scratch")["new"]), Words("not learned", "沒學過").said(language)]]
    rows += [
        [words.said(language), *(percent(value) for value in ends(found, label).values())]
        for label, words in NAMES.items()
        if label != "scratch"
    ]
    note = Words(f"Means over {found['seeds']} seeds.", f"{found['seeds']} 個 seed 的平均。").said(language)
    return Table([words.said(language) for words in columns], [*rows, [note, "", ""]])


SECTION = Section(
    name="transfer",
    title=Words("Transfer learning against lifelong learning", "transfer learning 與 life long learning"),
    claim=Words(
        "Transfer learning asks how well the new task goes; lifelong learning also asks what is left of the old one.",
        "transfer learning 只問新任務學得好不好；life long learning 還要問舊任務剩下多少。",
    ),
    show=show,
    code=("src/lifelong/lecture/transferring.py", "src/lifelong/learner.py"),
    measures={MEASURE: measure},
)
