"""A generator in place of kept examples."""

from collections.abc import Sequence
from typing import Any

from lifelong.lecture.drawing import Series, lines, percent
from lifelong.lecture.reading import matrix_of, mean, row, runs_of, seeds, so_far
from lifelong.lecture.section import Json, Language, Measured, Picture, Section, Shown, Table, Words
from lifelong.lecture.sheet import sheet
from lifelong.report import units

RECIPE = "lecture-generative-replay"
FULL = ("stream.data=mnist", "training.steps=2000", "methods.generative-replay.generator_steps=2000")
DRAWS = "generative-replay-draws"
COUNT, SHOWN = 500, 2  # draws after each task, and how many of a digit are shown
NAMES = {
    "finetune": Words("nothing (finetune)", "什麼都不做（finetune）"),
    "generative-replay": Words("generative replay", "generative replay"),
    "replay": Words("replay, about as many bytes", "replay（存的量差不多）"),
    "joint": Words("all data (joint)", "全部資料（joint）"),
}


def draws(full: bool) -> Json:
    """What the generator draws after each task, digit by digit.

    A judge that was trained on all ten digits at once, and takes no part in anything else, says which digit a draw is.

    Returns:
        png: in base64, a row after each task, for every digit learned so far its first draws. size: its width and height in pixels.
        digits: all of them, in the order of the columns. tasks: each one's digits.
        agree: after each task, how much of a digit's draws the judge takes for that digit; null before it is learned.
        draws: how many after each task. judge: the judge's accuracy on real test digits.
    """
    import base64

    import numpy as np
    import torch

    from lifelong import recipe as recipes
    from lifelong.lecture.learners import learner_of
    from lifelong.methods import GenerativeReplay
    from lifelong.report.png import grid, png
    from lifelong.streams import permuted_mnist

    changes = FULL if full else ()
    learner, stream = learner_of(RECIPE, changes, "generative-replay", seed=0)
    judge, _ = learner_of(RECIPE, changes, "finetune", seed=0)
    (every,) = permuted_mnist(1, data=recipes.load(RECIPE, changes).stream.arguments["data"], first="plain")
    judge.learn(every, evaluate=False, epochs=20, steps=None)
    digits = list(every.classes)
    tiles: list[Any] = []
    agree: list[list[float | None]] = []
    tasks = []
    for task in stream:
        learner.learn(task, evaluate=False)
        tasks.append(list(task.classes))
        (method,) = (each for each in learner.methods if isinstance(each, GenerativeReplay))
        assert method.drawing is not None
        with torch.no_grad():
            x, rows = method.drawing.sample(COUNT, torch.Generator().manual_seed(len(tasks)))
        asked, taken = np.array(learner.classes_of())[rows.numpy()], judge.predict(x)
        images = (255 * x[:, 0]).round().to(torch.uint8).numpy()
        agree.append([float((taken == asked)[asked == digit].mean()) if (asked == digit).any() else None for digit in digits])
        for digit in digits:
            few = images[asked == digit][:SHOWN]
            tiles += [*few, *np.full((SHOWN - len(few), *images.shape[1:]), 255, dtype=np.uint8)]
    whole = grid(np.stack(tiles), columns=SHOWN * len(digits))
    return {
        "png": base64.b64encode(png(whole)).decode(),
        "size": [whole.shape[1], whole.shape[0]],
        "digits": digits,
        "tasks": tasks,
        "agree": agree,
        "draws": COUNT,
        "judge": judge.evaluate([every]).accuracy,
    }


def agreed(drawn: Json, after: int, digits: Sequence[int]) -> float:
    """How much of these digits' draws the judge takes for what they are, after so many tasks: the mean over the digits."""
    values: list[float] = [drawn["agree"][after - 1][drawn["digits"].index(digit)] for digit in digits]
    return sum(values) / len(values)


def show(measured: Measured, language: Language) -> Shown:
    """What is drawn after each task, the accuracies, and what is kept."""
    results, drawn = measured[RECIPE], measured[DRAWS]
    tasks, first = len(drawn["tasks"]), drawn["tasks"][0]
    accuracy = {label: percent(matrix_of(results, label).accuracy) for label in NAMES}
    named = Words(" and ".join(map(str, first)), "、".join(map(str, first)))
    method = Words(
        f"No digit is kept. A generator, a variational autoencoder, learns to draw digits like those of the task, and from the second task "
        f"on it is trained on its own drawings of the earlier digits, too. The network learns each new pair of digits together with such "
        f"drawings, named by the network as it was before. In the end it tells all ten digits apart with "
        f"{accuracy['generative-replay']}; without drawings it is {accuracy['finetune']}, with about as many bytes of kept digits "
        f"{accuracy['replay']}, with all data {accuracy['joint']}.",
        f"一個舊的數字都不留。我們訓練一個 generator（這裡用 VAE）學會畫出任務裡的數字；從第二個任務開始，它也拿自己畫的舊數字來訓練。"
        f"網路學新的兩個數字時，把畫出來的舊數字混進去一起學，答案由學新任務之前的網路來給。最後要從十個數字裡認出是哪一個，正確率 "
        f"{accuracy['generative-replay']}；不畫是 {accuracy['finetune']}，存差不多大小的真實數字是 {accuracy['replay']}，"
        f"全部資料一起訓練是 {accuracy['joint']}。",
    )
    before, after, newest = (percent(agreed(drawn, n, digits)) for n, digits in ((1, first), (tasks, first), (tasks, drawn["tasks"][-1])))
    judged = Words(
        f"Are the old digits still there? A judge, trained on all digits at once ({percent(drawn['judge'])} on real ones), looks at the "
        f"{units.count(drawn['draws'])} drawings after each task. Asked for {named.en}, the generator draws what the judge takes for it in "
        f"{before} of the cases after the first task, and {after} after task {tasks}. The last task's own digits come to {newest}.",
        f"舊的數字還畫得出來嗎？我們另外用全部數字訓練一個裁判（在真實數字上正確率 {percent(drawn['judge'])}），每學完一個任務就看 "
        f"{units.count(drawn['draws'])} 張畫出來的圖。要 generator 畫 {named.zh}，裁判也認為是的比例：學完第一個任務是 {before}，"
        f"學完第 {tasks} 個任務是 {after}。最後一個任務自己的數字則是 {newest}。",
    )
    kept, data = _kept(results, "generative-replay"), _kept(results, "joint")
    sizes = Words(
        f"The generator takes {units.size(kept[0])} after the first task and {units.size(kept[-1])} after the last; the data themselves "
        f"{units.size(data[0])} and {units.size(data[-1])}. It is the data that grow with every task.",
        f"generator 的大小，學完第一個任務是 {units.size(kept[0])}，學完最後一個任務是 {units.size(kept[-1])}；資料本身則從 "
        f"{units.size(data[0])} 增加到 {units.size(data[-1])}，每多一個任務就多一份。",
    )
    texts = [words.said(language) for words in (method, judged, sizes)]
    return Shown(texts, _pictures(measured, language), [_table(results, language)])


def _pictures(measured: Measured, language: Language) -> list[Picture]:
    results, drawn = measured[RECIPE], measured[DRAWS]
    title = Words("What the generator draws after each task", "每學完一個任務，generator 畫出來的數字").said(language)
    hint = Words(
        ". Look down a column: a digit that was learned long ago is drawn again and again from drawings of drawings.",
        "。直著看：很早以前學的數字，是用「畫出來的圖」再學、再畫，一代傳一代。",
    ).said(language)
    rows = [
        Words(f"after {', '.join(map(str, digits))}", f"學完 {'、'.join(map(str, digits))}").said(language) for digits in drawn["tasks"]
    ]
    told = []
    for name, shares in zip(rows, drawn["agree"], strict=True):
        each = [f"{digit} {percent(share)}" for digit, share in zip(drawn["digits"], shares, strict=True) if share is not None]
        told.append(f"{name}: {', '.join(each)}")
    about = Words("Taken by the judge for what they are: ", "裁判也認為是該數字的比例：").said(language) + "; ".join(told)
    columns = [str(digit) for digit in drawn["digits"]]
    images = sheet(title, about, drawn["png"], (drawn["size"][0], drawn["size"][1]), rows=rows, columns=columns)
    series = [Series(words.said(language), so_far(results, label), label in ("finetune", "joint")) for label, words in NAMES.items()]
    heading = Words("Accuracy on all digits learned so far", "到目前為止學過的所有數字的正確率").said(language)
    learned = Words("tasks learned", "學過的任務數").said(language)
    number = Words(f". Seeds: {seeds(results)}.", f"。（{seeds(results)} 個 seed 的平均）").said(language)
    return [Picture(images, title + hint), Picture(lines(heading, series, learned), heading + number)]


def _kept(results: Json, label: str) -> list[float]:
    """Bytes after each task, the mean over seeds."""
    sizes = [run["sizes"] for run in runs_of(results, label)]
    return [sum(float(size["kept_bytes"]) for size in after) / len(sizes) for after in zip(*sizes, strict=True)]


def _table(results: Json, language: Language) -> Table:
    tasks = len(results["stream"]["tasks"])
    columns = [
        Words("method", "方法"),
        Words("all ten digits", "十個數字"),
        Words("first two, in the end", "最早的兩個（最後）"),
        Words("last two, in the end", "最新的兩個（最後）"),
        Words("kept", "要存的量"),
    ]
    rows = []
    for label, words in NAMES.items():
        last = row(results, label, tasks)
        shown = map(percent, (matrix_of(results, label).accuracy, last[0], last[-1]))
        rows.append([words.said(language), *shown, units.size(mean(results, label, "cost", "kept_bytes"))])
    return Table([words.said(language) for words in columns], rows)


SECTION = Section(
    name="generative-replay",
    title=Words("Generative replay: drawing the old data", "Generative replay：把舊資料畫出來"),
    claim=Words(
        "A generator that draws the earlier tasks' data stands in for keeping them.",
        "用一個 generator 畫出以前任務的資料，就不必把它們存下來。",
    ),
    show=show,
    code=("src/lifelong/methods/generative_replay.py", "src/lifelong/generators.py"),
    recipes={RECIPE: FULL},
    measures={DRAWS: draws},
)
