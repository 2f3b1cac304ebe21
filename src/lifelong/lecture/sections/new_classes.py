"""Classes are added: LwF and iCaRL."""

import math

from lifelong.lecture.drawing import Series, lines, matrix, percent
from lifelong.lecture.reading import matrix_of, mean, row, runs_of, seeds, so_far
from lifelong.lecture.section import Json, Language, Measured, Picture, Section, Shown, Table, Words
from lifelong.report import units

RECIPE = "lecture-new-classes"
FULL = ("stream.data=mnist", "training.steps=2000")
NAMES = {
    "finetune": Words("nothing (finetune)", "什麼都不做（finetune）"),
    "lwf": Words("LwF", "LwF"),
    "icarl": Words("iCaRL", "iCaRL"),
    "replay": Words("replay", "replay"),
    "joint": Words("all data (joint)", "全部資料（joint）"),
}
MORE = {"icarl-more": "icarl", "replay-more": "replay"}  # the same with a larger memory
DRAWN = ("finetune", "lwf", "icarl")


def capacity(results: Json, label: str) -> int:
    """How many examples a method may keep."""
    (arguments,) = runs_of(results, label)[0]["config"]["methods"].values()
    return int(arguments["capacity"])


def show(measured: Measured, language: Language) -> Shown:
    """Accuracy on every pair of digits after every task, and what each method keeps."""
    results = measured[RECIPE]
    names = results["stream"]["tasks"]
    accuracy = {label: percent(matrix_of(results, label).accuracy) for label in (*NAMES, *MORE)}
    told = {label: percent(mean(results, label, "told", "summary", "accuracy")) for label in ("finetune", "lwf")}
    few, more = capacity(results, "icarl"), capacity(results, "icarl-more")
    lwf = Words(
        f"Two digits are added at a time, and the question is always: which one is it of all so far? Learning without forgetting (LwF) "
        f"keeps no data: on the new digits' pictures the network shall go on giving the answers that it gave before. After {len(names)} "
        f"tasks it reads {accuracy['lwf']}, plain training {accuracy['finetune']}. What is left of each task for "
        f"itself, without the comparison of old digits with new: told which pair a digit is from, LwF reads {told['lwf']} and plain "
        f"training {told['finetune']}.",
        f"每次增加兩個數字，而問題永遠是：到目前為止的所有數字裡，這是哪一個？LwF（learning without forgetting）不留資料，"
        f"只要求網路看到新數字的圖時，舊答案和以前一樣。學完 {len(names)} 個任務，LwF 的正確率是 {accuracy['lwf']}，"
        f"什麼都不做是 {accuracy['finetune']}。如果不必比較新舊，先告訴它是哪一組的兩個數字，LwF 有 {told['lwf']}，"
        f"什麼都不做有 {told['finetune']}。",
    )
    icarl = Words(
        f"iCaRL keeps a few exemplars of each digit as well, chosen so that their mean is close to the mean of all, and predicts the digit "
        f"whose exemplars' mean is nearest. With {few} exemplars in all it reads {accuracy['icarl']}; replay of {few} random digits reads "
        f"{accuracy['replay']}. With {more} it is {accuracy['icarl-more']} and {accuracy['replay-more']}. Joint training on all data: "
        f"{accuracy['joint']}.",
        f"iCaRL 還替每個數字留幾個範例（exemplar），挑選的原則是它們的平均要接近全體的平均；預測時看離哪個數字的範例平均最近。"
        f"總共留 {few} 個範例時，iCaRL 的正確率是 {accuracy['icarl']}，隨機留 {few} 個的 replay 是 {accuracy['replay']}；"
        f"留 {more} 個時分別是 {accuracy['icarl-more']} 和 {accuracy['replay-more']}。用全部資料一起訓練（joint）是 {accuracy['joint']}。",
    )
    return Shown([lwf.said(language), icarl.said(language)], _pictures(results, language), [_table(results, language)])


def _pictures(results: Json, language: Language) -> list[Picture]:
    short = [name.removeprefix("digits ").replace(" and ", ", ") for name in results["stream"]["tasks"]]
    after = [Words(f"after {name}", f"學完 {name}").said(language) for name in short]
    series = [Series(words.said(language), so_far(results, label), label in ("finetune", "joint")) for label, words in NAMES.items()]
    title = Words("Accuracy on all digits learned so far", "到目前為止學過的所有數字的正確率").said(language)
    drawn = lines(title, series, Words("tasks learned", "學過的任務數").said(language))
    number = Words(
        f". Look how far each method stays above the lower dashed line. Seeds: {seeds(results)}.",
        f"。看每個方法離下面那條虛線有多遠。（{seeds(results)} 個 seed 的平均）",
    ).said(language)
    pictures = [Picture(drawn, title + number)]
    for label in DRAWN:
        values = matrix_of(results, label).values[1:]
        seen = [[value if j <= i else math.nan for j, value in enumerate(line)] for i, line in enumerate(values.tolist())]
        name = NAMES[label].said(language)
        heading = Words(f"Accuracy in percent on each pair of digits: {name}", f"每一組數字的正確率（%）：{name}").said(language)
        hint = Words(
            ". Framed: just learned. Look down a column: what becomes of the pair later.",
            "。框起來的是剛學完的。直著看：這一組後來變成怎樣。",
        ).said(language)
        framed = [(i, i) for i in range(len(seen))]
        pictures.append(Picture(matrix(heading, seen, after, short, framed=framed), heading + hint))
    return pictures


def _table(results: Json, language: Language) -> Table:
    tasks = len(results["stream"]["tasks"])
    columns = [
        Words("method", "方法"),
        Words("all digits", "所有數字"),
        Words("first pair, in the end", "最早的一組（最後）"),
        Words("last pair, in the end", "最新的一組（最後）"),
        Words("told the pair", "先告訴它是哪一組"),
        Words("kept", "要存的量"),
    ]
    rows = []
    for label in ("finetune", "lwf", "icarl", "icarl-more", "replay", "replay-more", "joint"):
        words = NAMES[MORE.get(label, label)]
        named = words.said(language)
        if MORE.get(label, label) in MORE.values():
            named += Words(f", {capacity(results, label)} examples", f"，留 {capacity(results, label)} 個").said(language)
        last = row(results, label, tasks)
        fractions = (matrix_of(results, label).accuracy, last[0], last[-1], mean(results, label, "told", "summary", "accuracy"))
        rows.append([named, *map(percent, fractions), units.size(mean(results, label, "cost", "kept_bytes"))])
    return Table([words.said(language) for words in columns], rows)


SECTION = Section(
    name="new-classes",
    title=Words("New classes: LwF and iCaRL", "增加新的類別：LwF 與 iCaRL"),
    claim=Words(
        "When classes are added, keeping old answers is not enough to compare old classes with new ones; a few kept examples help.",
        "類別一直增加時，只維持舊答案，不足以分辨新舊類別；留下少數範例才幫得上忙。",
    ),
    show=show,
    code=("src/lifelong/methods/lwf.py", "src/lifelong/methods/icarl.py", "src/lifelong/herding.py"),
    recipes={RECIPE: FULL},
)
