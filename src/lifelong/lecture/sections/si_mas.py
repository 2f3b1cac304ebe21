"""Synaptic intelligence and memory aware synapses; the importances of the latter from inputs without labels."""

from typing import TYPE_CHECKING, Any

from lifelong.lecture.counted import counted
from lifelong.lecture.drawing import Series, lines, percent
from lifelong.lecture.reading import matrix_of, mean, row, seeds, so_far
from lifelong.lecture.section import Json, Language, Measured, Picture, Section, Shown, Table, Words
from lifelong.report import units

if TYPE_CHECKING:
    from torch import Tensor

    from lifelong.tasks import Task

RECIPE = "lecture-si-mas"
FULL = ("stream.data=mnist",)
UNLABELLED = "si-mas-unlabelled"
DECADES, CELLS = 5, 30  # of importance in the picture, down from the largest, and cells for them
NAMES = {
    "finetune": Words("nothing (finetune)", "什麼都不做（finetune）"),
    "ewc": Words("EWC", "EWC"),
    "si": Words("SI", "SI"),
    "mas": Words("MAS", "MAS"),
}
SOURCES = {
    "none": Words("none (finetune)", "沒有（finetune）"),
    "own": Words("the task's own training data", "任務自己的訓練資料"),
    "unlabelled": Words("other digits, no labels", "另一批數字，沒有標註"),
    "noise": Words("random pixels", "隨機像素"),
}


def unlabelled(full: bool) -> Json:
    """MAS whose importances come from the task's data, from other digits without labels, or from random pixels.

    Returns:
        accuracy: the mean over all tasks in the end and over seeds, by source; "none" is fine-tuning.
        alike: for "unlabelled" and "noise" how their importances go with the task's own after the first task, when the networks are still
            the same: Pearson's correlation, that of the ranks, and `counts`, how many weights have which two, for the picture.
        reach: the exponents of ten of the picture's axes. weights: how many there are.
        labelled, met: digits that a task learns from, and further ones of it that are met without labels.
    """
    import numpy as np
    import torch

    from lifelong import recipe as recipes
    from lifelong.lecture.learners import learner_of
    from lifelong.methods import MAS

    changes = FULL if full else ()
    accuracy: dict[str, list[float]] = {source: [] for source in SOURCES}
    found: dict[str, Any] = {}
    for seed in recipes.load(RECIPE, changes).seed_list():
        for source in SOURCES:
            label = "finetune" if source == "none" else "mas"
            settings = [*changes, "methods.mas.examples=0"] if source in ("unlabelled", "noise") else changes
            learner, stream = learner_of(RECIPE, settings, label, seed)
            tasks: list[Task] = []
            for task in stream:
                known, met = parted(task)
                learner.learn(known, evaluate=False)
                if source == "unlabelled":
                    learner.consolidate(met)
                elif source == "noise":
                    learner.consolidate(torch.rand(met.shape, generator=torch.Generator().manual_seed(seed)))
                for method in learner.methods:
                    if isinstance(method, MAS) and source not in found:
                        found[source] = method.importance.double().numpy()
                tasks.append(known)
                counts = len(known.train), len(met)
            accuracy[source].append(learner.evaluate(tasks).accuracy)
    own = found.pop("own")
    top = int(np.ceil(np.log10(max(own.max(), *(each.max() for each in found.values())))))
    return {
        "accuracy": {source: float(np.mean(values)) for source, values in accuracy.items()},
        "seeds": len(accuracy["own"]),
        "alike": {source: alike(own, each, (top - DECADES, top)) for source, each in found.items()},
        "reach": [top - DECADES, top],
        "weights": len(own),
        "labelled": counts[0],
        "met": counts[1],
    }


def parted(task: "Task") -> tuple["Task", "Tensor"]:
    """The task with the first three quarters of its training data, and the inputs of the last quarter."""
    import torch

    from lifelong.tasks import Task

    assert task.test is not None
    count = 3 * len(task.train) // 4
    pairs = [(part.x[:stop], [task.classes[label] for label in part.y[:stop]]) for part, stop in ((task.train, count), (task.test, None))]
    known = Task(task.name, *pairs, classes=task.classes, transform=task.train.transform)
    return known, task.train.take(torch.arange(count, len(task.train)))


def alike(one: Any, other: Any, reach: tuple[int, int]) -> Json:
    """How two importances go together, over the weights that have any: Pearson's correlation, of values and of ranks, and counts."""
    import numpy as np

    used = (one > 0) | (other > 0)
    one, other = one[used], other[used]
    both = (one > 0) & (other > 0)
    edges = np.linspace(*reach, CELLS + 1)
    counts, _, _ = np.histogram2d(np.log10(one[both]), np.log10(other[both]), bins=(edges, edges))
    return {
        "correlation": float(np.corrcoef(one, other)[0, 1]),
        "ranks": float(np.corrcoef(ranks(one), ranks(other))[0, 1]),
        "counts": counts.astype(int).tolist(),
    }


def ranks(values: Any) -> Any:
    """The place of each value among all, from 1 up; equal ones share the mean of their places."""
    import numpy as np

    _, which, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return (last - (counts - 1) / 2)[which]


def show(measured: Measured, language: Language) -> Shown:
    """The methods beside EWC, and MAS with and without the task's data."""
    results, without = measured[RECIPE], measured[UNLABELLED]
    tasks = len(results["stream"]["tasks"])
    accuracy = {label: percent(matrix_of(results, label).accuracy) for label in NAMES}
    relatives = Words(
        f"All three hold weights by Σ bᵢ (θᵢ − θᵢᵇ)² and differ in b. EWC takes the Fisher information; synaptic intelligence (SI) adds "
        f"up, while training, how much each weight did to lower the loss; memory aware synapses (MAS) take how strongly the outputs "
        f"change with the weight. After {tasks} permutations: EWC {accuracy['ewc']}, SI {accuracy['si']}, MAS {accuracy['mas']}, "
        f"without any b {accuracy['finetune']}.",
        f"三種方法都用 Σ bᵢ (θᵢ − θᵢᵇ)² 拉住參數，差別只在 b 怎麼算。EWC 用 Fisher information；SI（synaptic intelligence）在訓練途中"
        f"累計每個參數對降低 loss 的貢獻；MAS（memory aware synapses）看輸出對這個參數有多敏感。學完 {tasks} 個打亂順序的任務之後："
        f"EWC {accuracy['ewc']}、SI {accuracy['si']}、MAS {accuracy['mas']}，完全沒有 b 是 {accuracy['finetune']}。",
    )
    same, noise = without["alike"]["unlabelled"], without["alike"]["noise"]
    reached = {source: percent(value) for source, value in without["accuracy"].items()}
    count = units.count
    labels = Words(
        f"The outputs' sensitivity needs no labels. So a learner that trains on {count(without['labelled'])} digits of each task computes "
        f"MAS's b from them, and another one from {count(without['met'])} other digits that it only looks at. Of the "
        f"{count(without['weights'])} weights' two importances the correlation is {same['correlation']:.3f} (of their ranks "
        f"{same['ranks']:.3f}); with random pixels in place of digits it is {noise['correlation']:.3f} ({noise['ranks']:.3f}). In the end "
        f"the learners read {reached['own']} with the task's data, {reached['unlabelled']} without labels, {reached['noise']} with random "
        f"pixels, and {reached['none']} without any b.",
        f"輸出有多敏感，不需要標註（label）就能算。一個模型用每個任務的 {count(without['labelled'])} 個數字訓練、也用它們算 MAS 的 b；"
        f"另一個模型改用另外 {count(without['met'])} 個數字來算，只看圖、不給標註。{count(without['weights'])} 個參數的兩組重要性，"
        f"相關係數是 {same['correlation']:.3f}（排名的相關係數 {same['ranks']:.3f}）；如果給的不是數字而是隨機像素，則是 "
        f"{noise['correlation']:.3f}（{noise['ranks']:.3f}）。最後的平均正確率：用任務自己的資料 {reached['own']}，"
        f"用沒有標註的資料 {reached['unlabelled']}，用隨機像素 {reached['noise']}，沒有 b {reached['none']}。",
    )
    texts = [relatives.said(language), labels.said(language)]
    return Shown(texts, _pictures(measured, language), [_methods(results, language), _sources(without, language)])


def _pictures(measured: Measured, language: Language) -> list[Picture]:
    results, without = measured[RECIPE], measured[UNLABELLED]
    series = [Series(words.said(language), so_far(results, label), label == "finetune") for label, words in NAMES.items()]
    title = Words("Accuracy on the tasks learned so far", "到目前為止學過的任務的平均正確率").said(language)
    hint = Words(
        f". Look how far the three with importances stay above the dashed line. Seeds: {seeds(results)}.",
        f"。看三條有 b 的線和虛線的距離。（{seeds(results)} 個 seed 的平均）",
    )
    pictures = [Picture(lines(title, series, Words("tasks learned", "學過的任務數").said(language)), title + hint.said(language))]
    up = Words("b from the task's own data", "b：任務自己的資料").said(language)
    low, high = without["reach"]
    hints = {
        "unlabelled": Words(
            ". Each cell: how many weights have these two importances. Near the dashed line both are the same.",
            "。每一格是有多少個參數落在這裡；越靠近虛線，兩組重要性越一樣。",
        ),
        "noise": Words(
            ". The same with random pixels: look how much wider the cloud is." if _wider(without) else ". The same with random pixels.",
            "。改用隨機像素：看這片雲散開多少。" if _wider(without) else "。改用隨機像素。",
        ),
    }
    for source, hint in hints.items():
        name = SOURCES[source].said(language)
        heading = Words(f"Importance of every weight: {name}", f"每個參數的重要性：{name}").said(language)
        numbers = without["alike"][source]
        about = Words(
            f"The correlation with those from the task's own data is {numbers['correlation']:.3f}, of the ranks {numbers['ranks']:.3f}.",
            f"與任務自己的資料算出來的重要性，相關係數是 {numbers['correlation']:.3f}，排名的相關係數是 {numbers['ranks']:.3f}。",
        ).said(language)
        across = Words(f"b from {name}", f"b：{name}").said(language)
        pictures.append(Picture(counted(heading, about, numbers["counts"], (low, high), axes=(across, up)), heading + hint.said(language)))
    return pictures


def _wider(without: Json) -> bool:
    return bool(without["alike"]["noise"]["ranks"] < without["alike"]["unlabelled"]["ranks"])


def _methods(results: Json, language: Language) -> Table:
    tasks = len(results["stream"]["tasks"])
    columns = [
        Words("method", "方法"),
        Words("mean of all tasks", "全部任務平均"),
        Words("first task, in the end", "第一個任務（最後）"),
        Words("last task, in the end", "最後一個任務（最後）"),
        Words("kept", "要存的量"),
    ]
    rows = []
    for label, words in NAMES.items():
        last = row(results, label, tasks)
        accuracy = matrix_of(results, label).accuracy
        rows.append(
            [words.said(language), *map(percent, (accuracy, last[0], last[-1])), units.size(mean(results, label, "cost", "kept_bytes"))]
        )
    return Table([words.said(language) for words in columns], rows)


def _sources(without: Json, language: Language) -> Table:
    columns = [
        Words("MAS's b from", "MAS 的 b 來自"),
        Words("mean of all tasks", "全部任務平均"),
        Words("correlation with the task's own", "與自己資料的相關係數"),
        Words("of ranks", "排名的相關係數"),
    ]
    rows = []
    for source, words in SOURCES.items():
        numbers = without["alike"].get(source)
        alike_ = [units.UNDEFINED] * 2 if numbers is None else [f"{numbers[key]:.3f}" for key in ("correlation", "ranks")]
        rows.append([words.said(language), percent(without["accuracy"][source]), *alike_])
    return Table([words.said(language) for words in columns], rows)


SECTION = Section(
    name="si-mas",
    title=Words("SI and MAS: other ways to tell what is important", "SI 與 MAS：重要性的其他算法"),
    claim=Words(
        "How much a weight matters can be read off its way through training or off the network's outputs, and the latter without "
        "any label.",
        "參數有多重要，可以從訓練的軌跡看出來，也可以從網路的輸出看出來，而後者完全不需要標註。",
    ),
    show=show,
    code=("src/lifelong/methods/si.py", "src/lifelong/methods/mas.py", "src/lifelong/adoption.py"),
    recipes={RECIPE: FULL},
    measures={UNLABELLED: unlabelled},
)
