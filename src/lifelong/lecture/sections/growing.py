"""Networks that grow with the tasks: accuracy, and the number of parameters that it takes."""

from lifelong.lecture.drawing import Series, lines, percent
from lifelong.lecture.reading import matrix_of, mean, row, runs_of, seeds, so_far
from lifelong.lecture.section import Json, Language, Measured, Picture, Section, Shown, Table, Words
from lifelong.report import units

RECIPE = "lecture-growing"
MEASURE = "growing-wider"
FULL = ("stream.data=mnist", "stream.tasks=10", "stream.examples=5000")
NAMES = {
    "finetune": Words("fine-tuning", "finetune"),
    "ewc": Words("EWC", "EWC"),
    "net2net": Words("Net2Net with EWC", "Net2Net + EWC"),
    "progressive": Words("progressive networks", "progressive networks"),
    "packnet": Words("PackNet", "PackNet"),
    "expert-gate": Words("Expert Gate", "Expert Gate"),
}


def measure(full: bool) -> Json:
    """The small network after its first task, before and after Net2Net made it wider."""
    from lifelong.lecture.learners import learner_of
    from lifelong.lecture.widening import widened

    learner, stream = learner_of(RECIPE, FULL if full else (), "finetune", seed=0)
    return widened(learner, next(iter(stream)), share=0.5)


def show(measured: Measured, language: Language) -> Shown:
    """What each way of growing comes to."""
    results, wider = measured[RECIPE], measured[MEASURE]
    text = [_too_small(results), _net2net(results, wider), _progressive(results), _gate(results), _packnet(results)]
    return Shown(
        [words.said(language) for words in text],
        [_parameters_picture(results, language), _accuracy_picture(results, language)],
        [_table(results, language)],
    )


def parameters(results: Json, label: str) -> list[float]:
    """After each task, the mean over seeds: Net2Net grows with one seed sooner than with another."""
    runs = runs_of(results, label)
    return [sum(float(run["sizes"][n]["parameters"]) for run in runs) / len(runs) for n in range(len(results["stream"]["tasks"]))]


def _ends(results: Json, label: str) -> tuple[str, str]:
    """Parameters after the first and after the last task."""
    counts = parameters(results, label)
    return units.count(counts[0]), units.count(counts[-1])


def _setting(results: Json, label: str, argument: str) -> float:
    return float(runs_of(results, label)[0]["config"]["methods"][label][argument])


def _accuracy(results: Json, label: str) -> str:
    return percent(matrix_of(results, label).accuracy)


def _own(results: Json, label: str, task: int) -> str:
    """Accuracy on a task just after learning it."""
    return percent(row(results, label, task)[task - 1])


def _too_small(results: Json) -> Words:
    tasks = len(results["stream"]["tasks"])
    small, _ = _ends(results, "finetune")
    fine, held = _accuracy(results, "finetune"), _accuracy(results, "ewc")
    first, last = _own(results, "ewc", 1), _own(results, "ewc", tasks)
    return Words(
        f"A small network, {small} parameters with its first head, learns {tasks} permutations of the digits; in each task it is told "
        f"which one. Fine-tuning ends at {fine} on all of them, EWC at {held}. EWC guards what was learned, and leaves less and less room: "
        f"the first task reached {first} when it was learned, the last one {last}. Should the network not grow?",
        f"一個很小的網路（含第一個 head 共 {small} 個參數）依序學 {tasks} 個 permutation，而且會告訴它現在是哪個任務。"
        f"finetune 最後平均 {fine}，EWC 是 {held}。EWC 保護學過的東西，留給新任務的空間就越來越小：第一個任務剛學完時是 {first}，"
        f"最後一個任務剛學完時是 {last}。那麼，要不要讓網路長大？",
    )


def _net2net(results: Json, wider: Json) -> Words:
    before, after = (units.count(value) for value in wider["parameters"])
    was, now = (percent(value) for value in wider["accuracy"])
    small, large = _ends(results, "net2net")
    until = percent(_setting(results, "net2net", "until_accuracy"))
    end = _accuracy(results, "net2net")
    return Words(
        f"Net2Net copies units and divides their outgoing weights, so that the wider network computes the same. Here the network with one "
        f"task learned goes from {before} to {after} parameters: its accuracy is {was} before and {now} after, and the largest change of a "
        f"probability is {wider['difference']:.0e}. In the run it grows only where a task's training examples are not read to {until}: "
        f"from {small} to {large} parameters. With EWC against forgetting, it ends at {end}.",
        f"Net2Net 複製神經元，並把複製出來的輸出權重分攤掉，所以變寬之後算出來的東西不變。這裡把學完一個任務的網路從 {before} 個參數"
        f"變成 {after} 個：之前正確率 {was}，之後 {now}，機率的變化最大是 {wider['difference']:.0e}。"
        f"實際跑的時候，訓練資料的正確率不到 {until} 才長大，從 {small} 個參數變成 {large} 個；同時用 EWC 防止遺忘，最後平均 {end}。",
    )


def _progressive(results: Json) -> Words:
    small, large = _ends(results, "progressive")
    width = percent(_setting(results, "progressive", "width"))
    end, transfer = _accuracy(results, "progressive"), units.signed_percent(matrix_of(results, "progressive").backward_transfer)
    return Words(
        f"Progressive networks freeze what there is, and add a column for every task, here {width} as wide as the first, which also reads "
        f"the earlier ones. Backward transfer is {transfer}: nothing is touched. They go from {small} to {large} parameters, "
        f"and end at {end}.",
        f"progressive networks 把已有的部分凍住，每個任務加一個 column（這裡是第一個的 {width} 寬），新的 column 也讀前面的。"
        f"舊的參數完全不動，backward transfer 是 {transfer}。參數從 {small} 個變成 {large} 個，最後平均 {end}。",
    )


def _gate(results: Json) -> Words:
    small, large = _ends(results, "expert-gate")
    told = _accuracy(results, "expert-gate")
    chosen = percent(mean(results, "expert-gate", "routed", "summary", "accuracy"))
    return Words(
        f"Expert Gate keeps a network for every task, started from the most related one, and an autoencoder for each task's inputs, which "
        f"chooses the network where nobody says which task it is. Told the task it ends at {told}, not told at {chosen}. With all of that "
        f"it goes from {small} to {large} parameters.",
        f"Expert Gate 每個任務留一個網路（從最相關的那個開始訓練），再加一個看輸入的 autoencoder；沒人說是哪個任務時，"
        f"就由 autoencoder 來選網路。告訴它任務時最後平均 {told}，不告訴它是 {chosen}。全部加起來，參數從 {small} 個變成 {large} 個。",
    )


def _packnet(results: Json) -> Words:
    small, large = _ends(results, "packnet")
    prune = percent(_setting(results, "packnet", "prune"))
    end = _accuracy(results, "packnet")
    return Words(
        f"PackNet goes the other way round: it begins with a larger network, gives up {prune} of a task's free weights by pruning when the "
        f"task is learned, and trains the next task with those. From {small} to {large} parameters, which only the heads add, it ends at "
        f"{end}. Room must be there from the start, and it runs out.",
        f"PackNet 反過來：一開始就用比較大的網路，學完一個任務就剪掉該任務可用權重的 {prune}，留給下一個任務。參數從 {small} 個到 "
        f"{large} 個（只多了 head），最後平均 {end}。空間要一開始就準備好，而且總有用完的一天。",
    )


def _parameters_picture(results: Json, language: Language) -> Picture:
    counts = {label: parameters(results, label) for label in NAMES}
    series = [
        Series(words.said(language), [(float(n), count) for n, count in enumerate(counts[label], start=1)], label == "finetune")
        for label, words in NAMES.items()
    ]
    most = max(count for values in counts.values() for count in values)
    title = Words("Parameters", "參數量").said(language)
    learned = Words("tasks learned", "學過的任務數").said(language)
    caption = Words(
        "Parameters of all networks that are kept, gates included. Look which lines climb, and how steeply.",
        "所有保留的網路（含 gate）的參數量。看哪些線往上長、長得多快。",
    )
    return Picture(lines(title, series, learned, floor=0.0, ceiling=1.05 * most, number=units.count), caption.said(language))


def _accuracy_picture(results: Json, language: Language) -> Picture:
    series = [Series(words.said(language), so_far(results, label), label == "finetune") for label, words in NAMES.items()]
    title = Words("Accuracy on the tasks learned so far", "到目前為止學過的任務的平均正確率").said(language)
    caption = Words(
        f"Accuracy on the tasks learned so far, told which task it is; mean over seeds: {seeds(results)}. Compare each line with what it "
        "costs in the other picture.",
        f"到目前為止學過的任務的平均正確率（告訴它是哪個任務），{seeds(results)} 個 seed 的平均。和另一張圖的代價對照著看。",
    )
    return Picture(lines(title, series, Words("tasks learned", "學過的任務數").said(language)), caption.said(language))


def _table(results: Json, language: Language) -> Table:
    tasks = len(results["stream"]["tasks"])
    columns = [
        Words("method", "方法"),
        Words("accuracy, told the task", "正確率（告訴任務）"),
        Words("not told", "不告訴任務"),
        Words("backward transfer, points", "backward transfer（百分點）"),
        Words("parameters after 1 task", "1 個任務後的參數量"),
        Words(f"after {tasks}", f"{tasks} 個任務後"),
        Words("bytes kept beside the network", "網路之外保存的量"),
    ]
    rows = [
        [
            words.said(language),
            _accuracy(results, label),
            percent(mean(results, label, "routed", "summary", "accuracy")) if "routed" in runs_of(results, label)[0] else units.UNDEFINED,
            units.signed_percent(matrix_of(results, label).backward_transfer),
            *_ends(results, label),
            units.size(mean(results, label, "cost", "kept_bytes")),
        ]
        for label, words in NAMES.items()
    ]
    return Table([words.said(language) for words in columns], rows)


SECTION = Section(
    name="growing",
    title=Words("Growing the network", "讓網路長大"),
    claim=Words(
        "A network that gets new parameters for new tasks need not overwrite the old ones; the price is its size.",
        "有新任務就給網路新的參數，舊的就不必被蓋掉；代價是網路越來越大。",
    ),
    show=show,
    code=(
        "src/lifelong/growth.py",
        "src/lifelong/methods/net2net.py",
        "src/lifelong/methods/progressive.py",
        "src/lifelong/methods/expert_gate.py",
        "src/lifelong/methods/packnet.py",
    ),
    recipes={RECIPE: FULL},
    measures={MEASURE: measure},
)
