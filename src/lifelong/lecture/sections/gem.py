"""Gradient episodic memory: what it does to one real gradient, and how it compares with the same memory used otherwise."""

import math

from lifelong.lecture.drawing import Series, lines, percent
from lifelong.lecture.plane import Arrow, half_plane
from lifelong.lecture.reading import matrix_of, mean, runs_of, seeds
from lifelong.lecture.section import Json, Language, Measured, Picture, Section, Shown, Table, Words
from lifelong.report import units

RECIPE = "lecture-gem"
MEASURE = "gem-step"
NAMES = {
    "finetune": Words("fine-tuning", "finetune"),
    "gem-no-margin": Words("GEM, projection only", "GEM（只投影）"),
    "gem": Words("GEM with its margin", "GEM（有 margin）"),
    "agem": Words("A-GEM", "A-GEM"),
    "replay": Words("replay", "replay"),
}


def measure(full: bool) -> Json:
    """One step of GEM in a second task."""
    from lifelong.lecture.gem_step import watched

    return watched(full)


def degrees(step: Json, one: str, other: str) -> float:
    """The angle between two of the vectors g, b and p, in degrees."""
    product = step[one + other] if one + other in step else step[other + one]
    return math.degrees(math.acos(max(-1.0, min(1.0, product / math.sqrt(step[one * 2] * step[other * 2])))))


def show(measured: Measured, language: Language) -> Shown:
    """The three vectors, and what each way of using the memory comes to."""
    results, step = measured[RECIPE], measured[MEASURE]
    return Shown(
        [words.said(language) for words in (*_about_step(step), _about_results(results))],
        [_arrows(step, language), _curves(results, language)],
        [_table(results, language)],
    )


def _about_step(step: Json) -> tuple[Words, Words]:
    first, second = step["tasks"]
    inner, angle, kept = _number(step["gb"]), f"{degrees(step, 'g', 'b'):.0f}°", step["examples"]
    turned = Words(
        "GEM takes instead the vector nearest to g that is not against the memory: g′ = g − (g·gᵇ / gᵇ·gᵇ) gᵇ, with "
        f"g′·gᵇ = {_number(step['pb'])}, and {percent(math.sqrt(step['pp'] / step['gg']))} as long as g.",
        "GEM 改走離 g 最近、又不違背 memory 的方向：g′ = g − (g·gᵇ / gᵇ·gᵇ) gᵇ，這時 "
        f"g′·gᵇ = {_number(step['pb'])}，長度是 g 的 {percent(math.sqrt(step['pp'] / step['gg']))}。",
    )
    if step["gb"] >= 0:
        turned = Words("That is no conflict, and GEM left g as it was.", "這不算衝突，GEM 就不改 g。")
    caught = Words(
        f"A network has learned “{first}”, of which GEM keeps {kept} examples, and is learning “{second}”. At every step there are two "
        f"directions of descent: g from the batch, gᵇ from the memory. In {step['conflicts']} of {step['steps']} steps their inner product "
        f"was negative. In step {step['number']} they disagreed most: g·gᵇ = {inner}, an angle of {angle}. {turned.en}",
        f"網路學完「{first}」，GEM 留下其中 {kept} 筆資料，接著學「{second}」。每一步都有兩個下降的方向：g 來自這個 batch，"
        f"gᵇ 來自 memory。{step['steps']} 步當中有 {step['conflicts']} 步，兩者的內積是負的。最不一致的是第 {step['number']} 步："
        f"g·gᵇ = {inner}，夾角 {angle}。{turned.zh}",
    )
    losses = {name: f"{step[name]:.3f}" for name in ("before", "plain", "projected")}
    loss = Words(
        f"What that does for the first task: before the step the loss on its memory is {losses['before']}. Along g it goes to "
        f"{losses['plain']}, along g′ to {losses['projected']}. The condition is about the slope where the step begins; a step has a "
        "length, so that a small rise can remain.",
        f"對第一個任務有什麼差別？這一步之前，memory 上的 loss 是 {losses['before']}；沿著 g 走會變成 {losses['plain']}，"
        f"沿著 g′ 走是 {losses['projected']}。內積的條件只管起點的斜率，而一步有它的長度，所以 loss 還是可能上升一點。",
    )
    return caught, loss


def _about_results(results: Json) -> Words:
    tasks = len(results["stream"]["tasks"])
    kept, margin = (f"{_setting(results, *path):g}" for path in (("replay", "capacity"), ("gem", "margin")))
    ends = {
        label: (percent(matrix_of(results, label).accuracy), units.signed_percent(matrix_of(results, label).backward_transfer))
        for label in NAMES
    }
    fine, plain, gem, agem, replay = (ends[label] for label in NAMES)
    return Words(
        f"On {tasks} rotations, each example seen once, {kept} examples kept in all: fine-tuning ends at {fine[0]} (backward transfer "
        f"{fine[1]} points). GEM as in the picture comes to {plain[0]} ({plain[1]}); with the paper's margin, which adds at least {margin} "
        f"of every memory's gradient to a step that is changed, to {gem[0]} ({gem[1]}). A-GEM, one constraint for all tasks together, "
        f"gives {agem[0]} ({agem[1]}), and replay, which just trains on the memory, {replay[0]} ({replay[1]}).",
        f"{tasks} 個旋轉角度，每筆資料只看一次，memory 一共留 {kept} 筆：finetune 最後是 {fine[0]}（backward transfer "
        f"{fine[1]} 個百分點）。照圖上那樣只做投影的 GEM 是 {plain[0]}（{plain[1]}）；論文裡的 GEM 還有 margin，凡是要改的步，"
        f"至少再加上 {margin} 倍的每個 memory gradient，結果是 {gem[0]}（{gem[1]}）。A-GEM 把所有任務併成一個限制，"
        f"得到 {agem[0]}（{agem[1]}）；replay 直接拿 memory 來訓練，得到 {replay[0]}（{replay[1]}）。",
    )


def _arrows(step: Json, language: Language) -> Picture:
    """With g^b upwards, so that the half-plane that g' may not leave is the upper one."""
    height = {name: step[name + "b"] / math.sqrt(step["bb"]) for name in ("g", "p")}
    ends = {name: (math.sqrt(max(step[name * 2] - up * up, 0.0)), up) for name, up in height.items()}
    arrows = [
        Arrow("g", Words("what the new task's batch wants", "新任務的 batch 要走的方向").said(language), ends["g"]),
        Arrow("gᵇ", Words("what the old task's memory wants", "舊任務的 memory 要走的方向").said(language), (0.0, math.sqrt(step["bb"]))),
        Arrow("g′", Words("the step that GEM takes", "GEM 實際走的方向").said(language), ends["p"]),
    ]
    title = Words("One step of GEM, in the plane of its vectors", "GEM 的一步，畫在向量所在的平面上").said(language)
    allowed = Words("allowed: inner product with gᵇ not negative", "允許的半平面：與 gᵇ 的內積 ≥ 0").said(language)
    lengths = ", ".join(f"|{arrow.name}| = {math.hypot(*arrow.end):.2f}" for arrow in arrows)
    caption = Words(
        "Drawn to scale from the recorded gradients. Look whether g points out of the shaded half-plane, and at g′, the nearest to it that "
        f"stays. {lengths}.",
        f"依記錄下來的 gradient 按比例畫。看 g 有沒有指到有顏色的半平面之外；g′ 是不出界的向量中離 g 最近的。{lengths}。",
    ).said(language)
    angles = [(0, 1, f"{degrees(step, 'g', 'b'):.0f}°"), (2, 1, f"{degrees(step, 'p', 'b'):.0f}°")]
    return Picture(half_plane(title, arrows, allowed, angles), caption)


def _curves(results: Json, language: Language) -> Picture:
    series = [
        Series(
            words.said(language),
            [(float(n), float(value)) for n, value in enumerate(matrix_of(results, label).values[1:, 0], start=1)],
            label == "finetune",
        )
        for label, words in NAMES.items()
    ]
    title = Words("Accuracy on the first task", "第一個任務的正確率").said(language)
    number = seeds(results)
    caption = Words(
        f"Look how the first task fares while others are learned. Mean over seeds: {number}.",
        f"看後面的任務一個個學下去，第一個任務還剩多少。seed 數：{number}，取平均。",
    )
    return Picture(lines(title, series, Words("tasks learned", "學過的任務數").said(language)), caption.said(language))


def _table(results: Json, language: Language) -> Table:
    columns = [
        Words("method", "方法"),
        Words("mean of all tasks", "全部任務平均"),
        Words("backward transfer, points", "backward transfer（百分點）"),
        Words("first task, in the end", "第一個任務（最後）"),
        Words("training time", "訓練時間"),
    ]
    rows = []
    for label, words in NAMES.items():
        matrix = matrix_of(results, label)
        rows.append(
            [
                words.said(language),
                percent(matrix.accuracy),
                units.signed_percent(matrix.backward_transfer),
                percent(float(matrix.values[-1, 0])),
                units.seconds(mean(results, label, "cost", "train_seconds")),
            ]
        )
    return Table([words.said(language) for words in columns], rows)


def _setting(results: Json, method: str, argument: str) -> float:
    return float(runs_of(results, method)[0]["config"]["methods"][method][argument])


def _number(value: float) -> str:
    return f"{value:.2f}".replace("-0.00", "0.00").replace("-", units.MINUS)


SECTION = Section(
    name="gem",
    title=Words("Gradient episodic memory: bending the gradient", "GEM：把 gradient 轉個方向"),
    claim=Words(
        "A few kept examples tell which steps would hurt an old task, and such a step can be turned until it does not, to first order.",
        "只要留下少許舊資料，就知道哪一步會傷到舊任務，並把這一步轉到（一階近似下）不再傷害它的方向。",
    ),
    show=show,
    code=("src/lifelong/methods/gem.py", "src/lifelong/projection.py", "src/lifelong/lecture/gem_step.py"),
    recipes={RECIPE: ("stream.data=mnist", "stream.examples=10000", "seeds=5")},
    measures={MEASURE: measure},
)
