"""The picture of EWC: two tasks' error surfaces, and where SGD, L2 and EWC go on them."""

from dataclasses import replace

from lifelong.landscape import Landscape
from lifelong.lecture.section import Json, Language, Measured, Picture, Section, Shown, Words
from lifelong.report import surface_words
from lifelong.report.surface import panels
from lifelong.report.surface_words import loss, number

CHINESE = surface_words.Words(
    title="{task}的誤差曲面",
    both="誤差曲面：{tasks}",
    darker="顏色越深，損失越小",
    low="低誤差區：損失不超過 {low}",
    other="{task}的低誤差區",
    first="學{task}",
    ends="{name} 停在損失 {loss}：{verdict}",
    still="{name} 停在原地，損失 {loss}：{verdict}",
    inside="夠低",
    outside="太高",
    reach="{name}：{count} 個強度中有 {reached} 個（{first} 到 {last}）在所有任務上都夠低",
    miss="{name}：{count} 個強度（{least} 到 {most}）沒有一個在所有任務上都夠低",
    shares="這個平面保留了路徑長度的：{shares}",
    held="{name} 的路徑有 {held} 的長度在這個平面上，終點離平面 {off}",
)


def lecture(full: bool) -> Json:
    """The two-parameter network: SGD, L2 and EWC, and the importance of both parameters."""
    from lifelong import valley

    first, second = valley.importance()
    return {"landscape": valley.lecture().plain(), "importance": [first, second]}


def strengths(full: bool) -> Json:
    """The same with nothing guarded, what matters guarded, and everything guarded."""
    from lifelong import valley

    return {"landscape": valley.strengths().plain()}


def all_strengths(full: bool) -> Json:
    """Where L2 and EWC end at many strengths."""
    from lifelong import valley

    return {"landscape": valley.all_strengths().plain()}


def network(full: bool) -> Json:
    """A real network on two permutations, on the plane through the ends of its paths."""
    import functools

    import torch

    from lifelong import methods, models, streams
    from lifelong.learner import Learner
    from lifelong.method import Method
    from lifelong.recorder import Recorder
    from lifelong.surface import landscape, plane_through, ranges

    stream = streams.permuted_mnist(tasks=2, data="mnist" if full else "embedded")
    tasks = list(stream)
    compared: dict[str, list[Method]] = {"SGD": [], "L2": [methods.L2(strength=0.03)], "EWC": [methods.EWC(strength=30.0)]}
    learners = {}
    for name, kept in compared.items():
        optimizer = functools.partial(torch.optim.SGD, lr=0.1)
        learner = Learner(models.MLP(784, [50]), [*kept, Recorder(every=25)], "domain", optimizer=optimizer, steps=1000, batch_size=32)
        for task in tasks:
            learner.learn(task, evaluate=False)
        learners[name] = learner
    paths = {name: Recorder.of(learner).path(1) for name, learner in learners.items()}
    first = Recorder.of(learners["SGD"]).path(0)
    plane = plane_through(torch.stack([paths["SGD"][0], paths["SGD"][-1], paths["EWC"][-1]]))
    shown = ranges(plane, torch.cat([each[[0, -1]] for each in paths.values()]), room=0.35)
    examples = 1000
    return {
        "landscape": landscape(learners["SGD"], tasks, plane, shown, paths, first=first, margin=0.15, steps=31, examples=examples).plain()
    }


def show(measured: Measured, language: Language) -> Shown:
    """What becomes of SGD, L2 and EWC, in words and pictures."""
    found = {name: _read(measured[f"surface-{name}"], language) for name in ("paths", "strengths", "all-strengths", "network")}
    paths = found["paths"]
    first, second = measured["surface-paths"]["importance"]
    ends = {each.name: each.losses for each in paths.trajectories}
    said = {name: tuple(map(loss, both)) for name, both in ends.items()}
    low = tuple(loss(surface.low) for surface in paths.surfaces)
    reached = {sweep.name: len(found["all-strengths"].reaching(sweep)) for sweep in found["all-strengths"].sweeps}
    tried = {sweep.name: len(sweep.strengths) for sweep in found["all-strengths"].sweeps}
    both_low = [each.name for each in paths.trajectories if all(paths.inside(each))]
    winners = ", ".join(both_low) or Words("none", "沒有").said(language)
    text = Words(
        f"This network has two parameters, so the picture hides nothing. After task 1 the importance of θ₁ is b₁ = {number(first)} and "
        f"that of θ₂ is b₂ = {number(second)}: along θ₁ task 1 is flat, along θ₂ it is steep. Learning task 2 from there, SGD ends at a "
        f"loss of {said['SGD'][0]} on task 1 and {said['SGD'][1]} on task 2, L2 at {said['L2'][0]} and {said['L2'][1]}, EWC at "
        f"{said['EWC'][0]} and {said['EWC'][1]}. Low is up to {low[0]} on task 1 and {low[1]} on task 2; low on both: {winners}. It is no "
        f"matter of the strength: of {tried['L2']} strengths tried, {reached['L2']} of L2 and {reached['EWC']} of EWC end low on both.",
        f"這個網路只有兩個參數，圖上什麼都沒藏。學完任務一之後，θ₁ 的重要性 b₁ = {number(first)}，θ₂ 的重要性 b₂ = {number(second)}："
        f"任務一沿著 θ₁ 很平，沿著 θ₂ 很陡。從這裡開始學任務二，SGD 停在任務一的損失 {said['SGD'][0]}、任務二 {said['SGD'][1]}；"
        f"L2 是 {said['L2'][0]} 和 {said['L2'][1]}；EWC 是 {said['EWC'][0]} 和 {said['EWC'][1]}。"
        f"「夠低」是指任務一不超過 {low[0]}、任務二不超過 {low[1]}；兩個任務都夠低的：{winners}。"
        f"這也不是強度調得好不好的問題：試了 {tried['L2']} 個強度，兩個任務都夠低的，"
        f"L2 有 {reached['L2']} 個，EWC 有 {reached['EWC']} 個。",
    )
    captions = {
        "paths": Words(
            "Left task 1, right task 2. Look where each path ends: SGD leaves task 1's dark region, EWC goes along its valley.",
            "左邊是任務一，右邊是任務二。看每條路徑停在哪裡：SGD 離開了任務一的深色區域，EWC 沿著它的谷走。",
        ),
        "strengths": Words(
            "The same with b = 0, b from the Fisher information, and b = ∞: forgetting, both, standing still.",
            "同一個例子，b = 0、b 用 Fisher information、b = ∞：遺忘、兩者兼得、停在原地。",
        ),
        "network": Words(
            "A real network with tens of thousands of parameters on two permutations of the digits, seen in the plane through the ends of "
            "SGD's and EWC's paths. A plane shows little of such a path; how much is written under the picture.",
            "真實的網路，幾萬個參數，學兩種像素排列的數字；畫面是通過 SGD 與 EWC 終點的平面。平面只能看到路徑的一小部分，比例寫在圖下方。",
        ),
    }
    pictures = []
    for name, words in captions.items():
        drawn = panels(found[name], _words(name, language))
        pictures += [Picture(image, words.said(language) if i == 0 else "") for i, image in enumerate(drawn)]
    return Shown([text.said(language)], pictures)


def _words(name: str, language: Language) -> surface_words.Words:
    words = CHINESE if language == "zh" else surface_words.Words()
    if name == "network":
        axes = Words("from the end of task 1 to SGD's end", "從任務一的終點往 SGD 的終點"), Words("towards EWC's end", "往 EWC 的終點")
        return replace(words, across=axes[0].said(language), up=axes[1].said(language))
    return words


def _read(measured: Json, language: Language) -> Landscape:
    """A landscape with its tasks named in the language."""
    landscape = Landscape.read(measured["landscape"])
    names = [Words("task 1", "任務一"), Words("task 2", "任務二")]
    surfaces = tuple(replace(each, task=name.said(language)) for each, name in zip(landscape.surfaces, names, strict=True))
    first = landscape.first and replace(landscape.first, name=surfaces[0].task)
    return replace(landscape, surfaces=surfaces, first=first)


SECTION = Section(
    name="surface",
    title=Words("The picture of EWC", "EWC 的那張圖"),
    claim=Words(
        "Where the first task's error is flat, weights may move; where it is steep, they may not: EWC goes where both errors are low.",
        "第一個任務的誤差平坦的方向，參數可以動；陡的方向不能動：EWC 走到兩個任務誤差都低的地方。",
    ),
    show=show,
    code=("src/lifelong/valley.py", "src/lifelong/surface.py", "src/lifelong/report/surface.py", "src/lifelong/methods/ewc.py"),
    measures={
        "surface-paths": lecture,
        "surface-strengths": strengths,
        "surface-all-strengths": all_strengths,
        "surface-network": network,
    },
)
