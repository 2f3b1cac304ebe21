"""EWC's own experiment: three permutations learned one after the other, all of them watched while each is learned."""

import math
from collections.abc import Callable

from lifelong.lecture.drawing import Series, percent
from lifelong.lecture.section import Json, Language, Measured, Picture, Section, Shown, Table, Words
from lifelong.lecture.stacked import Panel, stacked

RECIPE = "lecture-three-permutations"
FULL = ("stream.data=mnist", "network.hidden=[400,400]")
LOOKS = 40  # evaluations while a task is learned, at least
NAMES = {
    "finetune": Words("SGD alone", "只用 SGD"),
    "l2": Words("L2", "L2"),
    "ewc": Words("EWC", "EWC"),
}
WEAK = "weak-l2"
LETTERS = "ABC"


def watched(label: str, full: bool) -> Json:
    """Accuracy on the tasks begun so far, the mean over the recipe's seeds, while a method of the recipe learns one after the other.

    Returns:
        epochs a task, seeds, and points: {"epoch", counted over all tasks, "accuracy": one a task, null before it is begun}.
    """
    import numpy as np

    from lifelong import recipe as recipes
    from lifelong.lecture.learners import learner_of
    from lifelong.matrix import numbers_to_json

    changes = FULL if full else ()
    recipe = recipes.load(RECIPE, changes)
    epochs, size = recipe.training_of(label).epochs, recipe.training_of(label).batch_size
    found, places = [], []
    for seed in recipe.seed_list():
        learner, stream = learner_of(RECIPE, changes, label, seed)
        tasks = list(stream)
        steps = epochs * math.ceil(len(tasks[0].train) / size)
        every = max(part for part in range(1, max(steps // LOOKS, 1) + 1) if steps % part == 0)  # the last look is at the last step
        for position, task in enumerate(tasks):
            learner.learn(task, evaluate=False, watch=tasks[: position + 1], watch_every=every)
        found.append(learner.evaluations()[0])
        places = [epochs * (each["during"] - 1 + each["step"] / steps) for each in learner.watched]
    accuracies = numbers_to_json(np.mean(found, axis=0))
    points = [{"epoch": place, "accuracy": row} for place, row in zip(places, accuracies, strict=True)]
    return {"epochs": epochs, "seeds": len(found), "points": points}


def curve(measure: Json, task: int) -> list[tuple[float, float]]:
    """(epoch, accuracy on the task at this position), from its beginning on."""
    points = [(point["epoch"], point["accuracy"][task]) for point in measure["points"]]
    return [(epoch, value) for epoch, value in points if value is not None]


def ends(measure: Json) -> list[float]:
    """The accuracies on all tasks at the end."""
    return [float(value) for value in measure["points"][-1]["accuracy"]]


def show(measured: Measured, language: Language) -> Shown:
    """A panel a task: its accuracy during all tasks."""
    measures = {label: measured[_name(label)] for label in (*NAMES, WEAK)}
    epochs, number = measures["ewc"]["epochs"], measures["ewc"]["seeds"]
    last = {label: ends(measure) for label, measure in measures.items()}
    shown = {label: [percent(value) for value in values] for label, values in last.items()}
    mean = {label: percent(sum(values) / len(values)) for label, values in last.items()}
    once = percent(curve(measures["finetune"], 0)[_at_end_of_first(measures["finetune"])][1])
    text = Words(
        f"The pixels of the digits are put in another order in every task: A, then B, then C, {epochs} epochs each. With SGD alone, A is "
        f"learned to {once} and, two tasks later, is at {shown['finetune'][0]}. L2 holds every weight alike: A ends at {shown['l2'][0]}, B "
        f"at {shown['l2'][1]} and C at {shown['l2'][2]}. EWC holds A at {shown['ewc'][0]}, and B and C end at {shown['ewc'][1]} and "
        f"{shown['ewc'][2]}. A weaker L2 ends at {shown[WEAK][0]}, {shown[WEAK][1]} and {shown[WEAK][2]}. The means over the "
        f"three tasks: SGD {mean['finetune']}, L2 {mean['l2']}, the weaker one {mean[WEAK]}, EWC {mean['ewc']}.",
        f"每個任務都把數字的像素用另一種順序打亂：先學 A，再學 B，再學 C，各 {epochs} 個 epoch。只用 SGD 時，A 學到 {once}，"
        f"再學完兩個任務只剩 {shown['finetune'][0]}。L2 把每個參數都一樣用力地拉住：A 最後是 {shown['l2'][0]}，B 是 {shown['l2'][1]}，"
        f"C 是 {shown['l2'][2]}。EWC 讓 A 留在 {shown['ewc'][0]}，B 和 C 最後是 {shown['ewc'][1]} 和 {shown['ewc'][2]}。"
        f"L2 弱一點的話，最後是 {shown[WEAK][0]}、{shown[WEAK][1]}、{shown[WEAK][2]}。三個任務的平均：SGD {mean['finetune']}，"
        f"L2 {mean['l2']}，弱一點的 L2 {mean[WEAK]}，EWC {mean['ewc']}。",
    )
    task = Words("task", "任務").said(language)
    panels = [
        Panel(
            f"{task} {letter}",
            [Series(words.said(language), curve(measures[label], i), label == "finetune") for label, words in NAMES.items()],
        )
        for i, letter in enumerate(LETTERS)
    ]
    marks = [(float(i * epochs), Words(f"{letter} is trained", f"訓練 {letter}").said(language)) for i, letter in enumerate(LETTERS)]
    title = Words("Accuracy on each task during all three", "三個任務訓練期間，每個任務的正確率").said(language)
    drawn = stacked(title, panels, Words("epochs", "epoch").said(language), marks)
    caption = Words(
        f"{title}. Look at the top panel from the first dotted line on: task A while B and C are learned. Then at the two below: what each "
        f"method can still learn. Test accuracy in percent, {number} seeds.",
        f"{title}。先看最上面那格的第二、第三段：學 B、學 C 的時候 A 怎麼樣；再看下面兩格：新任務還學得起來嗎？"
        f"（測試正確率 %，{number} 個 seed 的平均）",
    )
    columns = [
        Words("in the end", "最後").said(language),
        *(f"{task} {letter}" for letter in LETTERS),
        Words("mean", "平均").said(language),
    ]
    names = {**NAMES, WEAK: Words("L2, weaker", "L2（弱一點）")}
    order = ("finetune", WEAK, "l2", "ewc")
    rows = [[names[label].said(language), *shown[label], mean[label]] for label in order]
    return Shown([text.said(language)], [Picture(drawn, caption.said(language))], [Table(columns, rows)])


def _at_end_of_first(measure: Json) -> int:
    return max(i for i, point in enumerate(measure["points"]) if point["epoch"] <= measure["epochs"])


def _name(label: str) -> str:
    return f"three-permutations-{label}"


def _measure(label: str) -> Callable[[bool], Json]:
    return lambda full: watched(label, full)


SECTION = Section(
    name="three-permutations",
    title=Words("EWC on three permutations, step by step", "EWC 的實驗：三種打亂順序，一步一步看"),
    claim=Words(
        "Plain training loses the earlier tasks, holding all weights alike gets in the way of the later ones, and EWC keeps the first "
        "while it learns the rest.",
        "只用 SGD 會忘掉舊任務，把所有參數一樣拉住會妨礙新任務，EWC 則能一邊記住、一邊學新的。",
    ),
    show=show,
    code=("src/lifelong/methods/ewc.py", "src/lifelong/methods/l2.py", "src/lifelong/quadratic.py"),
    measures={_name(label): _measure(label) for label in (*NAMES, WEAK)},
)
