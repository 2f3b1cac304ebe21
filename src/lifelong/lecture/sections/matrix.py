"""The matrix R of two learners, and the three numbers that are read off it."""

from collections.abc import Iterable, Sequence

from lifelong.lecture.outlined import Group, outlined
from lifelong.lecture.reading import matrix_of, runs_of, seeds
from lifelong.lecture.section import Json, Language, Measured, Picture, Section, Shown, Table, Words
from lifelong.matrix import Matrix
from lifelong.report import svg, units

RECIPE = "lecture-matrix"
NAMES = {"finetune": Words("fine-tuning", "finetune"), "replay": Words("replay", "replay")}
LAST, OWN, BEFORE = svg.INK, svg.COLOURS[1], svg.COLOURS[2]


def show(measured: Measured, language: Language) -> Shown:
    """The matrices, and the formulas with the cells' numbers in them."""
    results = measured[RECIPE]
    matrices = {label: matrix_of(results, label) for label in NAMES}
    text = [_setup(results), _accuracy(matrices), _backward(matrices), _forward(matrices)]
    return Shown(
        [words.said(language) for words in text],
        [_picture(label, matrices[label], language) for label in NAMES],
        [_table(matrices, language)],
    )


def accuracy_formula(matrix: Matrix) -> str:
    """ACC with the cells' numbers: (a + b + c) / 3 = d."""
    k = matrix.learned
    cells = " + ".join(_cells(matrix.values[k, :k]))
    return f"({cells}) / {k} = {100 * matrix.accuracy:.2f}"


def backward_formula(matrix: Matrix) -> str:
    """BWT with the cells' numbers: ((a − b) + (c − d)) / 2 = e."""
    k, r = matrix.learned, matrix.values
    return _differences([(r[k, j], r[j + 1, j]) for j in range(k - 1)], matrix.backward_transfer)


def forward_formula(matrix: Matrix) -> str:
    """FWT with the cells' numbers: ((a − b) + (c − d)) / 2 = e."""
    k, r = matrix.learned, matrix.values
    return _differences([(r[j, j], r[0, j]) for j in range(1, k)], matrix.forward_transfer)


def _differences(pairs: Sequence[tuple[float, float]], value: float) -> str:
    numbers = _cells([value for pair in pairs for value in pair])
    terms = " + ".join(f"({one} − {other})" for one, other in zip(numbers[::2], numbers[1::2], strict=True))
    return f"({terms}) / {len(pairs)} = {100 * value:+.2f}".replace("-", units.MINUS)


def _cells(values: Iterable[float]) -> list[str]:
    """Accuracies in percent, with as many decimals as test sets of a thousand or of ten thousand give them."""
    percents = [100 * float(value) for value in values]
    decimals = 1 if all(abs(round(value, 1) - value) < 1e-9 for value in percents) else 2
    return [f"{value:.{decimals}f}" for value in percents]


def _setup(results: Json) -> Words:
    names, number = results["stream"]["tasks"], seeds(results)
    kept = runs_of(results, "replay")[0]["config"]["methods"]["replay"]["capacity"]
    averaged = Words("", "") if number == 1 else Words(f" Cells are means over {number} seeds.", f"每一格是 {number} 個 seed 的平均。")
    return Words(
        f"Two networks learn the same {len(names)} tasks, from “{names[0]}” to “{names[-1]}”, one by fine-tuning and one with replay of "
        f"{kept} kept examples. After every task both are tested on all tasks: R[i, j] is the accuracy on task j, in percent, after "
        f"learning task i. Row 0 is the network at its random initialisation, before it learned anything.{averaged.en}",
        f"兩個網路學同樣的 {len(names)} 個任務，從「{names[0]}」到「{names[-1]}」，一個是 finetune，一個用 replay（留 {kept} 筆資料）。"
        "每學完一個任務，就在所有任務上測一次：R[i, j] 是學完第 i 個任務後，在第 j 個任務上的正確率（%）。"
        f"第 0 列是隨機初始化、什麼都還沒學的網路。{averaged.zh}",
    )


def _accuracy(matrices: dict[str, Matrix]) -> Words:
    fine, replay = (accuracy_formula(matrices[label]) for label in NAMES)
    return Words(
        f"Accuracy is the mean of the last row: how good is it at everything, in the end? Fine-tuning: ACC = {fine}. "
        f"Replay: ACC = {replay}.",
        f"Accuracy 是最後一列的平均：全部學完之後，整體有多好？finetune：ACC = {fine}。replay：ACC = {replay}。",
    )


def _backward(matrices: dict[str, Matrix]) -> Words:
    fine, replay = (backward_formula(matrices[label]) for label in NAMES)
    return Words(
        "Backward transfer compares the last row with the diagonal, where each task had just been learned: what did later tasks do to "
        f"earlier ones? Below zero is forgetting. Fine-tuning: BWT = {fine}. Replay: BWT = {replay}.",
        f"Backward transfer 拿最後一列和對角線（剛學完那個任務的時候）比：後面的任務對前面的任務造成什麼影響？小於零就是遺忘。"
        f"finetune：BWT = {fine}。replay：BWT = {replay}。",
    )


def _forward(matrices: dict[str, Matrix]) -> Words:
    fine, replay = (forward_formula(matrices[label]) for label in NAMES)
    return Words(
        "Forward transfer compares the cell above the diagonal, just before a task is learned, with row 0: what did earlier tasks already "
        f"teach about it? Above zero, something. Fine-tuning: FWT = {fine}. Replay: FWT = {replay}.",
        "Forward transfer 拿對角線上面那一格（快要學那個任務之前）和第 0 列比：還沒學到這個任務，前面的任務已經教會了多少？"
        f"大於零就表示有幫助。finetune：FWT = {fine}。replay：FWT = {replay}。",
    )


def _picture(label: str, matrix: Matrix, language: Language) -> Picture:
    k = matrix.learned
    name = NAMES[label].said(language)
    groups = [
        Group(Words("the last row: ACC is its mean", "最後一列：平均就是 ACC").said(language), [(k, 0, k)], LAST),
        Group(
            Words("the diagonal: BWT = last row − this", "對角線：BWT = 最後一列 − 這裡").said(language),
            [(j + 1, j, 1) for j in range(k - 1)],
            OWN,
        ),
        Group(
            Words("above it: FWT = this − row 0", "對角線上方：FWT = 這裡 − 第 0 列").said(language),
            [(j, j, 1) for j in range(1, k)],
            BEFORE,
        ),
        Group(Words("row 0, where it is needed", "第 0 列要用到的部分").said(language), [(0, 1, k - 1)], BEFORE, dashed=True),
    ]
    rows = [Words("untrained", "未訓練").said(language), *(Words(f"after {i}", f"學完 {i}").said(language) for i in range(1, k + 1))]
    columns = [Words(f"task {j}", f"任務 {j}").said(language) for j in range(1, k + 1)]
    title = Words(f"The matrix of {name}", f"{name} 的矩陣").said(language)
    caption = Words(
        f"{name[0].upper()}{name[1:]}. Read a column downwards to see what becomes of a task.",
        f"{name}。每一行由上往下看，就是一個任務的遭遇。",
    )
    return Picture(outlined(title, [list(map(float, row)) for row in matrix.values], rows, columns, groups), caption.said(language))


def _table(matrices: dict[str, Matrix], language: Language) -> Table:
    columns = ["", "ACC", "BWT", "FWT"]
    rows = [
        [
            NAMES[label].said(language),
            units.percent(matrix.accuracy),
            units.signed_percent(matrix.backward_transfer),
            units.signed_percent(matrix.forward_transfer),
        ]
        for label, matrix in matrices.items()
    ]
    return Table(columns, rows)


SECTION = Section(
    name="matrix",
    title=Words("The matrix and its three numbers", "一個矩陣，三個數字"),
    claim=Words(
        "Test on every task after every task, and three numbers tell how good a learner is, what it forgot, and what it knew in advance.",
        "每學完一個任務就測所有任務，三個數字就說清楚：整體多好、忘了多少、提前會了多少。",
    ),
    show=show,
    code=("src/lifelong/matrix.py", "src/lifelong/evaluation.py"),
    recipes={RECIPE: ("stream.data=mnist", "training.epochs=5")},
)
