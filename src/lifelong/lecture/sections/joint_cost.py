"""Why joint training is the upper bound, and what it costs at task 1000."""

from collections.abc import Callable
from typing import NamedTuple

from lifelong.lecture.drawing import Series, lines, percent
from lifelong.lecture.projection import Projected, projection
from lifelong.lecture.reading import matrix_of, runs_of, seeds, so_far
from lifelong.lecture.section import Json, Language, Measured, Picture, Section, Shown, Table, Words
from lifelong.report import units

RECIPE = "lecture-joint-cost"
FULL = ("stream.data=mnist", "stream.examples=6000", "training.epochs=5")
FAR = 1000  # the task that the lecture asks about
NAMES = {
    "joint": Words("joint training", "全部一起訓練（joint）"),
    "replay": Words("replay", "replay"),
    "online-ewc": Words("online EWC", "online EWC"),
    "finetune": Words("fine-tuning", "finetune"),
}


def timed_joint(full: bool) -> Json:
    """Steps and seconds of every task of joint training."""
    return {"joint": _timed("joint", full)}


def timed_others(full: bool) -> Json:
    """The same of the other methods."""
    return {label: _timed(label, full) for label in NAMES if label != "joint"}


def _timed(label: str, full: bool) -> Json:
    from lifelong.lecture.learners import learner_of

    learner, stream = learner_of(RECIPE, FULL if full else (), label, seed=0)
    steps, seconds = [], []
    for task in stream:
        before = learner.cost.steps, learner.cost.train_seconds
        learner.learn(task, evaluate=False)
        steps.append(learner.cost.steps - before[0])
        seconds.append(learner.cost.train_seconds - before[1])
    return {"steps": steps, "seconds": seconds}


class Growth(NamedTuple):
    """What a method's n-th task costs: measured for the first ones, and by formula for any.

    Attributes:
        kept: bytes kept after each task.
        seconds: of training, each task.
        kept_at, seconds_at: the formulas.
        total_at: seconds of all tasks up to the n-th.
    """

    kept: list[float]
    seconds: list[float]
    kept_at: Callable[[int], float]
    seconds_at: Callable[[int], float]
    total_at: Callable[[int], float]


def growth(label: str, kept: list[float], steps: list[int], seconds: list[float]) -> Growth:
    """Joint training: n D bytes and n t1 seconds, t1 the first task's steps at the mean time of a step. Others: as the later tasks."""
    if label == "joint":
        first = steps[0] * sum(seconds) / sum(steps)
        return Growth(kept, seconds, lambda n: n * kept[0], lambda n: n * first, lambda n: first * n * (n + 1) / 2)
    later = sum(seconds[1:]) / len(seconds[1:])  # the first task has nothing to rehearse or to hold
    return Growth(kept, seconds, lambda n: kept[-1], lambda n: later, lambda n: n * later)


def grown(measured: Measured) -> dict[str, Growth]:
    """Of every method."""
    found, times = {}, _times(measured)
    for label in NAMES:
        sizes = [run["sizes"] for run in runs_of(measured[RECIPE], label)]
        kept = [sum(float(size["kept_bytes"]) for size in after) / len(sizes) for after in zip(*sizes, strict=True)]
        found[label] = growth(label, kept, times[label]["steps"], times[label]["seconds"])
    return found


def _times(measured: Measured) -> Json:
    return {**measured["joint-cost-joint"], **measured["joint-cost-others"]}


def show(measured: Measured, language: Language) -> Shown:
    """Accuracy, bytes and time of the first tasks, and the formulas' values for task 1000."""
    results, costs = measured[RECIPE], grown(measured)
    tasks, joint, steps = len(results["stream"]["tasks"]), costs["joint"], _times(measured)["joint"]["steps"]
    accuracy = {label: matrix_of(results, label).accuracy for label in NAMES}
    size, seconds, count = units.size, units.seconds, units.count
    everything = Words(
        f"Joint training keeps every example, and at each task trains one network from its start on all of them. After {tasks} tasks it "
        f"reads {percent(accuracy['joint'])} of all tasks' digits; training on and on without them ends at "
        f"{percent(accuracy['finetune'])}. Other methods are measured against it, because it forgets nothing: nothing is ever gone.",
        f"joint 保留所有任務的全部資料，每來一個新任務，就用全部資料把網路從頭訓練一次。學完 {tasks} 個任務，平均正確率是 "
        f"{percent(accuracy['joint'])}；什麼都不做、一路訓練下去（finetune）是 {percent(accuracy['finetune'])}。"
        "資料從來沒有丟掉，當然不會遺忘，所以其他方法都拿它當上限來比。",
    )
    price = Words(
        f"The price grows with every task. One task's data are D = {size(joint.kept[0])}, so that after task n there are n·D. The first "
        f"task takes {count(steps[0])} steps, task {tasks} takes {count(steps[-1])}: time(n) = n·t₁, with t₁ = "
        f"{seconds(joint.seconds_at(1))} from the measured time of a step. All tasks up to the N-th take t₁·N(N+1)/2. At N = {count(FAR)} "
        f"that is {size(joint.kept_at(FAR))} of data, {seconds(joint.seconds_at(FAR))} for that one task and "
        f"{seconds(joint.total_at(FAR))} for all of them; online EWC would have needed "
        f"{seconds(costs['online-ewc'].total_at(FAR))}, replay {seconds(costs['replay'].total_at(FAR))}.",
        f"代價是每多一個任務就更貴。一個任務的資料是 D = {size(joint.kept[0])}，學完第 n 個任務就要存 n·D。第一個任務要訓練 "
        f"{count(steps[0])} 步，第 {tasks} 個任務要 {count(steps[-1])} 步：time(n) = n·t₁，其中 t₁ = {seconds(joint.seconds_at(1))}"
        f"（由實測的每一步時間算出）。做完前 N 個任務總共是 t₁·N(N+1)/2。N = {count(FAR)} 時，要存 {size(joint.kept_at(FAR))} 的資料，"
        f"光是那一個任務就要 {seconds(joint.seconds_at(FAR))}，全部加起來是 {seconds(joint.total_at(FAR))}；"
        f"online EWC 總共只算 {seconds(costs['online-ewc'].total_at(FAR))}，replay 是 {seconds(costs['replay'].total_at(FAR))}。",
    )
    caveat = Words(
        f"These are a small network and small tasks; measured up to task {tasks}, everything beyond is the formula. The formulas say what "
        "the methods would cost at that task, not how well they would still do there.",
        f"這裡的網路和任務都很小，實際量到第 {tasks} 個任務，之後都是公式外推。公式只說到時候要花多少，沒有說到時候還有多準。",
    )
    return Shown(
        [words.said(language) for words in (everything, price, caveat)], _pictures(measured, language), [_table(measured, language)]
    )


def _pictures(measured: Measured, language: Language) -> list[Picture]:
    results, costs = measured[RECIPE], grown(measured)
    series = [Series(words.said(language), so_far(results, label), label == "finetune") for label, words in NAMES.items()]
    number = seeds(results)
    titles = [
        Words("Accuracy on the tasks learned so far", "到目前為止學過的任務的平均正確率").said(language),
        Words("Training time of the n-th task", "第 n 個任務的訓練時間").said(language),
        Words("Bytes kept after the n-th task", "學完第 n 個任務後要存的資料量").said(language),
    ]
    captions = [
        Words(
            f"Look for the gap to joint training: it is what the other methods have still to gain. Seeds: {number}.",
            f"看每個方法離 joint 還有多遠，那就是還可以進步的空間。（{number} 個 seed 的平均）",
        ),
        Words(
            "Both axes are logarithmic. Points are measured, dashed lines are the formula; only joint training climbs.",
            "兩軸都是對數尺度。點是實測，虛線是公式；只有 joint 一路往上。",
        ),
        Words(
            "Points are measured, dashed lines are the formula. Fine-tuning keeps nothing, and so has no line.",
            "點是實測，虛線是公式。finetune 什麼都不存，所以沒有線。",
        ),
    ]
    learned, nth = Words("tasks learned", "學過的任務數").said(language), Words("n-th task", "第 n 個任務").said(language)
    drawn = [
        lines(titles[0], series, learned),
        projection(
            titles[1],
            [_projected(words.said(language), costs[label].seconds, costs[label].seconds_at) for label, words in NAMES.items()],
            nth,
            units.seconds,
            last=FAR,
        ),
        projection(
            titles[2],
            [
                _projected(words.said(language), costs[label].kept, costs[label].kept_at)
                for label, words in NAMES.items()
                if costs[label].kept[-1]
            ],
            nth,
            units.size,
            last=FAR,
        ),
    ]
    stop = Words(". ", "。").said(language)
    return [Picture(image, f"{title}{stop}{caption.said(language)}") for image, title, caption in zip(drawn, titles, captions, strict=True)]


def _projected(name: str, values: list[float], formula: Callable[[int], float]) -> Projected:
    return Projected(name, list(enumerate(values, start=1)), formula)


def _table(measured: Measured, language: Language) -> Table:
    results, costs = measured[RECIPE], grown(measured)
    tasks, far = len(results["stream"]["tasks"]), units.count(FAR)
    formula = Words("by formula", "公式").said(language)
    columns = [
        Words("method", "方法"),
        Words(f"accuracy after {tasks} tasks", f"{tasks} 個任務後的正確率"),
        Words(f"kept after {tasks}", f"{tasks} 個任務後存"),
        Words(f"kept after {far} ({formula})", f"{far} 個任務後存（{formula}）"),
        Words(f"time of task {far} ({formula})", f"第 {far} 個任務的時間（{formula}）"),
        Words(f"time of all {far} ({formula})", f"{far} 個任務的總時間（{formula}）"),
    ]
    rows = [
        [
            words.said(language),
            percent(matrix_of(results, label).accuracy),
            units.size(costs[label].kept[-1]),
            units.size(costs[label].kept_at(FAR)),
            units.seconds(costs[label].seconds_at(FAR)),
            units.seconds(costs[label].total_at(FAR)),
        ]
        for label, words in NAMES.items()
    ]
    return Table([words.said(language) for words in columns], rows)


SECTION = Section(
    name="joint-cost",
    title=Words("Training on everything: the upper bound, and its price", "全部一起訓練：上限與它的代價"),
    claim=Words(
        "Training on all data of all tasks solves forgetting, but its data and its time grow with every task.",
        "把所有任務的資料全部一起訓練就不會遺忘，但資料和時間會隨任務數一直增加。",
    ),
    show=show,
    code=("src/lifelong/methods/joint.py", "src/lifelong/methods/replay.py", "src/lifelong/methods/online_ewc.py"),
    recipes={RECIPE: FULL},
    measures={"joint-cost-joint": timed_joint, "joint-cost-others": timed_others},
)
