"""In which order tasks are learned: the pair in both orders, and the best order of five tasks found by measured transfer."""

from functools import partial

from lifelong.lecture.drawing import Bars, bars, matrix, percent
from lifelong.lecture.reading import row
from lifelong.lecture.section import Json, Language, Measured, Picture, Section, Shown, Table, Words

NOISY_FIRST, CLEAN_FIRST = "lecture-two-tasks", "lecture-clean-first"
SEEDS = (0, 1, 2)
NAMES = {
    "clean": Words("clean", "乾淨"),
    "noisy": Words("noisy", "有噪聲"),
    "very noisy": Words("very noisy", "噪聲很大"),
}


def found(full: bool, *, seed: int) -> Json:
    """The order found by measured transfer, among all 120 orders (the full lecture) or some."""
    from lifelong import curriculum_digits

    return curriculum_digits.run(seed, orders=None if full else 60)


def show(measured: Measured, language: Language) -> Shown:
    """Both orders of the pair, and the order found among random ones."""
    (noisy_1, clean_1), (noisy_2, clean_2) = (row(measured[NOISY_FIRST], "finetune", after) for after in (1, 2))
    (clean_3, noisy_3), (clean_4, noisy_4) = (row(measured[CLEAN_FIRST], "finetune", after) for after in (1, 2))
    runs = [measured[f"order-found-{seed}"] for seed in SEEDS]
    ahead = sum(run["accuracy_of_found"] > run["median"] for run in runs)
    pair = Words(
        f"Noisy digits first, then clean ones: the network ends at {percent(noisy_2)} on the noisy and {percent(clean_2)} on the clean "
        f"ones, a mean of {percent((noisy_2 + clean_2) / 2)}. Clean first, the noisy ones are at {percent(noisy_3)} without having been "
        f"seen; then they are learned, and it ends at {percent(noisy_4)} and "
        f"{percent(clean_4)}, a mean of {percent((noisy_4 + clean_4) / 2)}. "
        "The same data, the same network, another order.",
        f"先學有噪聲的數字，再學乾淨的：最後有噪聲的 {percent(noisy_2)}，乾淨的 {percent(clean_2)}，"
        f"平均 {percent((noisy_2 + clean_2) / 2)}。"
        f"反過來先學乾淨的：還沒看過有噪聲的數字，正確率是 {percent(noisy_3)}；接著學它們，最後有噪聲的 {percent(noisy_4)}，"
        f"乾淨的 {percent(clean_4)}，平均 {percent((noisy_4 + clean_4) / 2)}。同樣的資料、同樣的網路，只是順序不同。",
    )
    five = Words(
        "Which order is best can be measured. For every pair of tasks, what remains of one after learning the other is measured on a part "
        "of the training data; from these numbers the best order of all is predicted. "
        f"On {len(runs)} draws of five tasks the order found is better than the median of the random orders in {ahead}.",
        "哪個順序最好是可以量出來的。對每一對任務，用訓練資料中留下的一部分，量學完一個再學另一個之後還剩多少；由這些數字預測最好的順序。"
        f"五個任務抽了 {len(runs)} 次，找到的順序有 {ahead} 次比隨機順序的中位數好。",
    )
    names = [Words("noisy digits", "有噪聲的數字").said(language), Words("clean digits", "乾淨的數字").said(language)]
    groups = [
        (Words("after the noisy digits", "先學有噪聲的"), (noisy_1, clean_1)),
        (Words("then the clean digits", "再學乾淨的"), (noisy_2, clean_2)),
        (Words("after the clean digits", "先學乾淨的"), (noisy_3, clean_3)),
        (Words("then the noisy digits", "再學有噪聲的"), (noisy_4, clean_4)),
    ]
    drawn = bars(
        Words("The pair in both orders", "同一對任務的兩種順序").said(language),
        names,
        [Bars(words.said(language), values) for words, values in groups],
    )
    first = runs[0]
    tasks = [f"{number} {_name(task, language)}" for number, task in enumerate(first["tasks"], start=1)]
    transfer = matrix(
        Words("What remains of a task (column) after another (row)", "學完另一個任務（列）之後，某個任務（欄）還剩多少").said(language),
        first["transfer"],
        tasks,
        [str(number) for number in range(1, len(tasks) + 1)],
        framed=[(i, i) for i in range(len(tasks))],
    )
    pictures = [
        Picture(
            drawn,
            Words("Compare the second group with the fourth: that is what the order does.", "比較第二組和第四組：差別就在順序。").said(
                language
            ),
        ),
        Picture(
            transfer,
            Words(
                "Accuracy in percent; framed: the task alone. Look for what a noisy task leaves of the others.",
                "正確率（%）；框起來的是只學那個任務。看有噪聲的任務學完後，其他任務還剩多少。",
            ).said(language),
        ),
    ]
    columns = [
        Words("draw", "第幾次").said(language),
        Words("order found", "找到的順序").said(language),
        Words("accuracy over the way", "一路上的平均正確率").said(language),
        Words("median of random orders", "隨機順序的中位數").said(language),
        Words("rank", "名次").said(language),
    ]
    rows = [
        [
            str(run["seed"] + 1),
            " → ".join(_name(task, language) for task in run["order"]),
            percent(run["accuracy_of_found"]),
            percent(run["median"]),
            f"{run['rank']} / {len(run['accuracies_of_orders'])}",
        ]
        for run in runs
    ]
    return Shown([pair.said(language), five.said(language)], pictures, [Table(columns, rows)])


def _name(task: str, language: Language) -> str:
    if language == "en":
        return task
    return NAMES[task].zh if task in NAMES else task.replace("rotated by", "旋轉")


SECTION = Section(
    name="order",
    title=Words("The order of tasks", "學習的順序"),
    claim=Words(
        "The same tasks in another order are learned better or worse, and a good order can be found by measuring which task helps which.",
        "同樣的任務換個順序，結果就不一樣；量一量哪個任務對哪個有幫助，就能找到好的順序。",
    ),
    show=show,
    code=("src/lifelong/curriculum.py", "src/lifelong/curriculum_digits.py", "src/lifelong/streams/mnist.py"),
    recipes=dict.fromkeys((NOISY_FIRST, CLEAN_FIRST), ("stream.data=mnist", "training.epochs=10")),
    measures={f"order-found-{seed}": partial(found, seed=seed) for seed in SEEDS},
)
