"""One network for every task: nothing is forgotten, and what that can't do."""

from lifelong.lecture.drawing import Series, lines, matrix, percent
from lifelong.lecture.reading import matrix_of, runs_of, seeds
from lifelong.lecture.section import Json, Language, Measured, Picture, Section, Shown, Table, Words
from lifelong.matrix import Matrix
from lifelong.report import units

RECIPE = "lecture-one-network"
MEASURE = "one-network-asked"
FULL = ("stream.data=mnist", "seeds=10")
FAR = 1000  # tasks, for the formula
NAMES = {
    "independent": Words("a network for each task", "一個任務一個網路"),
    "finetune": Words("one network, trained on and on", "同一個網路一路學下去"),
    "joint": Words("one network, all data so far", "同一個網路，用到目前為止的全部資料"),
}


def measure(full: bool) -> Json:
    """Accuracy on every task with every task's network, and what predicting without being told the task says."""
    from lifelong.lecture.asking import asked
    from lifelong.lecture.learners import learner_of

    return asked(*learner_of(RECIPE, FULL if full else (), "independent", seed=0))


def show(measured: Measured, language: Language) -> Shown:
    """What is kept, and the three things that it can't do."""
    results, told = measured[RECIPE], measured[MEASURE]
    matrices = {label: matrix_of(results, label) for label in NAMES}
    text = [_keeps(results, matrices), _told(told), _size(results), _helps(matrices)]
    return Shown(
        [words.said(language) for words in text],
        [_asked_picture(told, language), _own_picture(results, matrices, language)],
        [_table(results, language)],
    )


def own(matrix: Matrix) -> list[float]:
    """Accuracy on each task just after learning it."""
    return [float(matrix.values[n, n - 1]) for n in range(1, matrix.learned + 1)]


def sizes(results: Json, label: str, what: str) -> list[float]:
    """Parameters or bytes after each task, of the first seed; they don't depend on it."""
    return [float(size[what]) for size in runs_of(results, label)[0]["sizes"]]


def _keeps(results: Json, matrices: dict[str, Matrix]) -> Words:
    stream = runs_of(results, "independent")[0]["config"]["stream"]
    tasks = len(results["stream"]["tasks"])
    first = [(own(matrices[label])[0], float(matrices[label].values[-1, 0])) for label in ("independent", "finetune")]
    (before, after), (started, fine) = ([percent(value) for value in pair] for pair in first)
    return Words(
        f"Why not simply train a new network for every task? {tasks} rotations close together, {stream['examples']} digits each: the first "
        f"task's network reads {before} of its digits after the first task, and {after} after the last. One network that is trained on and "
        f"on goes from {started} to {fine}. So nothing is forgotten. But it can't do three things.",
        f"為什麼不乾脆一個任務訓練一個網路？{tasks} 個相近的旋轉角度，每個任務 {stream['examples']} 筆資料：第一個任務的網路，"
        f"剛學完時正確率 {before}，全部學完之後還是 {after}；同一個網路一路學下去，則從 {started} 變成 {fine}。"
        "確實不會遺忘，但有三件事做不到。",
    )


def _told(told: Json) -> Words:
    tasks, table = told["tasks"], told["accuracy"]
    right = sum(table[i][i] for i in range(len(tasks))) / len(tasks)
    return Words(
        f"First, it must be told the task. Each network reads {percent(right)} of its own task's digits on average; but the network of "
        f"“{tasks[0]}” reads {percent(table[0][-1])} of “{tasks[-1]}”, and that of “{tasks[-1]}” {percent(table[-1][0])} of “{tasks[0]}”. "
        f"Asked without the task, the library does not guess; it answers: “{told['refused']}”",
        f"第一，必須告訴它現在是哪個任務。每個網路對自己的任務平均有 {percent(right)}；但「{tasks[0]}」的網路去讀「{tasks[-1]}」的數字，"
        f"正確率是 {percent(table[0][-1])}，反過來是 {percent(table[-1][0])}。不說是哪個任務就要它回答，這個套件不會亂猜，而是回覆："
        f"「{told['refused']}」",
    )


def _size(results: Json) -> Words:
    tasks = len(results["stream"]["tasks"])
    kept = sizes(results, "independent", "kept_bytes")
    each = kept[-1] / len(kept)
    one, all_, far = units.size(each), units.size(kept[-1]), units.size(FAR * each)
    return Words(
        f"Second, its memory grows with every task: {one} for one network, {all_} for {tasks}; by the same rule {far} for "
        f"{units.count(FAR)}, and this network is a tiny one.",
        f"第二，每多一個任務，要存的就更多：一個網路 {one}，{tasks} 個就是 {all_}；照這樣算，{units.count(FAR)} 個任務要 {far}，"
        "而這個網路還小得很。",
    )


def _helps(matrices: dict[str, Matrix]) -> Words:
    alone, on = (own(matrices[label]) for label in ("independent", "finetune"))
    means = [percent(sum(values) / len(values)) for values in (alone, on)]
    every = percent(matrices["joint"].accuracy)
    return Words(
        f"Third, what one network learned does not help the next, however alike the tasks are. The last task, just learned: "
        f"{percent(alone[-1])} from scratch, {percent(on[-1])} where training went on from the earlier tasks (mean of all tasks: "
        f"{means[0]} and {means[1]}). One network trained on all tasks' data together reads {every} of all of them.",
        f"第三，任務再像，前一個網路學到的東西也幫不上下一個。最後一個任務剛學完時：從頭學是 {percent(alone[-1])}，"
        f"從前面的任務接著學是 {percent(on[-1])}（所有任務平均：{means[0]} 和 {means[1]}）。"
        f"一個網路用全部任務的資料一起訓練，所有任務平均有 {every}。",
    )


def _asked_picture(told: Json, language: Language) -> Picture:
    number = len(told["tasks"])
    rows = [Words(f"network {i}", f"網路 {i}").said(language) for i in range(1, number + 1)]
    columns = [Words(f"task {j}", f"任務 {j}").said(language) for j in range(1, number + 1)]
    title = Words("Accuracy of every network on every task", "每個網路在每個任務上的正確率").said(language)
    drawn = matrix(title, told["accuracy"], rows, columns, framed=[(i, i) for i in range(number)])
    caption = Words(
        "Accuracy in percent of every network on every task. Look how it fades away from the frames, where the right network is asked.",
        "每個網路在每個任務上的正確率（%）。框起來的是問對網路，看離開框框之後掉多少。",
    )
    return Picture(drawn, caption.said(language))


def _own_picture(results: Json, matrices: dict[str, Matrix], language: Language) -> Picture:
    series = [
        Series(words.said(language), [(float(n), value) for n, value in enumerate(own(matrices[label]), start=1)], label == "joint")
        for label, words in NAMES.items()
    ]
    title = Words("Accuracy on each task just after learning it", "每個任務剛學完時的正確率").said(language)
    caption = Words(
        f"Accuracy on each task just after learning it, from few examples; mean over seeds: {seeds(results)}. Look whether later "
        "tasks profit from earlier ones.",
        f"每個任務剛學完時的正確率（資料很少）；{seeds(results)} 個 seed 的平均。看後面的任務有沒有從前面的任務得到好處。",
    )
    return Picture(lines(title, series, Words("task", "第幾個任務").said(language)), caption.said(language))


def _table(results: Json, language: Language) -> Table:
    columns = [
        Words("tasks learned", "學過的任務數"),
        Words("parameters: a network each", "參數量：一個任務一個網路"),
        Words("parameters: one network", "參數量：同一個網路"),
        Words("bytes of kept networks", "保存的網路大小"),
    ]
    each, one = sizes(results, "independent", "parameters"), sizes(results, "finetune", "parameters")
    kept = sizes(results, "independent", "kept_bytes")
    rows = [
        [str(n), units.count(several), units.count(single), units.size(size)]
        for n, (several, single, size) in enumerate(zip(each, one, kept, strict=True), start=1)
    ]
    note = Words("* the kept networks, and the one being trained", "* 含保存的網路與正在訓練的那一個").said(language)
    head = [words.said(language) for words in columns]
    head[1] += " *"
    return Table(head, [*rows, [note, "", "", ""]])


SECTION = Section(
    name="one-network-per-task",
    title=Words("A network for every task, and what it can't do", "一個任務一個網路，有什麼做不到"),
    claim=Words(
        "With a network of its own for every task nothing is forgotten, but the task must be told, memory grows, and nothing is passed on.",
        "一個任務一個網路就不會遺忘，但要知道是哪個任務、要存的越來越多，而且學到的東西傳不下去。",
    ),
    show=show,
    code=("src/lifelong/methods/independent.py", "src/lifelong/lecture/asking.py"),
    recipes={RECIPE: FULL},
    measures={MEASURE: measure},
)
