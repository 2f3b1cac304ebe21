"""Twenty kinds of questions, one after the other and together: the network can learn them all, and forgets each with the next."""

from lifelong.lecture.drawing import Bars, Series, columns, lines, percent
from lifelong.lecture.reading import matrix_of, mean, row
from lifelong.lecture.section import Json, Language, Measured, Picture, Section, Shown, Table, Words

RECIPE, STORY = "lecture-babi", "babi-story"
ASKED = 5  # the task that the lecture looks at
OTHERS = (10, 15)  # and further ones
ABLE = 0.75  # a task counts as learned from this accuracy on


def story(full: bool) -> Json:
    """A short story of the task that the lecture looks at, with its questions, as the simulator tells it."""
    from lifelong.data.babi import TASKS
    from lifelong.data.babi_simulator import simulate

    told = simulate(ASKED, 2, seed=0).splitlines()
    return {"kind": TASKS[ASKED], "lines": [line.replace("\t", "   ") for line in told[-7:]]}


def show(measured: Measured, language: Language) -> Shown:
    """The fifth task's accuracy over time, and all tasks in the end."""
    results, example = measured[RECIPE], measured[STORY]
    tasks = results["stream"]["tasks"]
    total = len(tasks)
    curves = {method: matrix_of(results, method).values for method in ("finetune", "replay")}
    fine = curves["finetune"][:, ASKED - 1]
    ends = {method: row(results, method, total) for method in ("finetune", "replay", "joint")}
    one, kept, together = (sum(ends[method]) / total for method in ("finetune", "replay", "joint"))
    able = sum(accuracy >= ABLE for accuracy in ends["joint"])
    memory = round(mean(results, "replay", "config", "methods", "replay", "capacity"))
    text = Words(
        f"bAbI has {total} kinds of questions about little stories; all answers share one softmax. One network learns them one after the "
        f"other. On task {ASKED} ({example['kind']}) it is at {percent(fine[ASKED - 1])} before that task, at {percent(fine[ASKED])} right "
        f"after it, at {percent(fine[ASKED + 1])} one task later and at {percent(fine[total])} in the end. In the end the mean over all "
        f"tasks is {percent(one)}. The same kind of network, trained on all tasks together, reaches {percent(together)}, and at least "
        f"{percent(ABLE)} on {able} of them: it is able to learn them, it just does not keep them. With "
        f"{memory:,} kept questions, replayed, the mean is {percent(kept)}.",
        f"bAbI 有 {total} 種問題，每題給一段小故事再問問題，所有答案共用一個 softmax。讓一個網路依序學這些任務："
        f"第 {ASKED} 個任務在學之前的正確率是 {percent(fine[ASKED - 1])}，剛學完是 {percent(fine[ASKED])}，"
        f"再學一個任務就變成 {percent(fine[ASKED + 1])}，最後是 {percent(fine[total])}。"
        f"全部學完之後，{total} 個任務的平均正確率是 {percent(one)}；同一種網路把所有任務放在一起學，可以到 {percent(together)}，"
        f"其中 {able} 個至少有 {percent(ABLE)}：是不為也，非不能也。留下 {memory:,} 題舊的問題一起複習（replay），平均是 {percent(kept)}。",
    )
    learned = Words("tasks learned", "學過的任務數").said(language)
    in_order = Words("one after the other", "依序學").said(language)
    with_replay = Words("with replay", "加上 replay").said(language)
    at_once = Words("all together", "全部一起學").said(language)
    level = ends["joint"][ASKED - 1]
    title = Words(f"Accuracy on task {ASKED}", f"第 {ASKED} 個任務的正確率").said(language)
    over_time = lines(
        title,
        [
            Series(in_order, _points(fine)),
            Series(with_replay, _points(curves["replay"][:, ASKED - 1])),
            Series(at_once, [(0.0, level), (float(total), level)], baseline=True),
        ],
        learned,
        floor=0.0,
    )
    look = Words(
        "Look for the single peak: the task is learned when its turn comes, and gone with the next.",
        "看那個孤零零的高峰：輪到這個任務時學會了，學下一個任務就忘了。",
    )
    others = lines(
        Words("The same for other tasks, one after the other", "其他任務依序學時也一樣").said(language),
        [
            Series(Words(f"task {task}", f"第 {task} 個任務").said(language), _points(curves["finetune"][:, task - 1]))
            for task in (ASKED, *OTHERS)
        ],
        learned,
        floor=0.0,
    )
    every = columns(
        Words("All tasks in the end", "全部學完之後，每個任務的正確率").said(language),
        [in_order, with_replay, at_once],
        [Bars(str(task + 1), [ends[method][task] for method in ("finetune", "replay", "joint")]) for task in range(total)],
        Words("task", "任務").said(language),
    )
    compare = Words(
        "Compare, for each task, the first bar with the last: what is left of it, and what the network is able to learn.",
        "比較每個任務的第一條和最後一條：還剩多少，以及網路本來學得會多少。",
    )
    pictures = [
        Picture(over_time, look.said(language)),
        Picture(
            others, Words("Look for each task's peak where it was learned.", "看每個任務的高峰：是不是都在剛學完的時候。").said(language)
        ),
        Picture(every, compare.said(language)),
    ]
    heading = Words(
        f"A story of task {ASKED}, its question, the answer and the facts it rests on",
        f"第 {ASKED} 個任務的一段故事、問題、答案與依據的句子",
    )
    return Shown([text.said(language)], pictures, [Table([heading.said(language)], [[line] for line in example["lines"]])])


def _points(column: object) -> list[tuple[float, float]]:
    return [(float(n), float(value)) for n, value in enumerate(column)]  # type: ignore[arg-type, var-annotated]


SECTION = Section(
    name="babi",
    title=Words("Twenty kinds of questions", "二十種問題"),
    claim=Words(
        "A network that is able to learn all bAbI tasks together forgets each as soon as it learns the next one.",
        "把 bAbI 的所有任務放在一起，網路學得會；依序學，學一個忘一個。",
    ),
    show=show,
    code=(
        "src/lifelong/streams/babi.py",
        "src/lifelong/data/babi_simulator",
        "src/lifelong/models/memory_network.py",
        "src/lifelong/methods/replay.py",
    ),
    recipes={RECIPE: ("stream.source=en", "training.epochs=40", "training.scheduler.step_size=13", "methods.joint.training.epochs=40")},
    measures={STORY: story},
)
