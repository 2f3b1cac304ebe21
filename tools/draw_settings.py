"""Tries each method's main settings on small streams of the embedded digits, and draws docs/methods/NAME.svg from what they gave.

python tools/draw_settings.py run [NAME ...]    trains, about ten minutes of one core for all, and keeps the numbers
python tools/draw_settings.py draw              draws the pictures from the numbers kept in docs/methods/settings.json
"""

import functools
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean
from typing import Any

from lifelong.report import svg
from lifelong.report.frame import Frame

PAGES = Path(__file__).parents[1] / "docs" / "methods"
NUMBERS = PAGES / "settings.json"
SEEDS = (0, 1)
EPOCHS, RATE = 5, 0.2  # so quick that fine-tuning forgets
LINES = {
    "accuracy": ("all tasks, after the last one", svg.COLOURS[0], "circle"),
    "learning_accuracy": ("each task, just after it", svg.COLOURS[1], "square"),
}
STREAMS = {
    "permutations": "five permutations of the digits",
    "rotations": "the digits in five angles from 0 to 90 degrees",
    "pairs": "five pairs of digits, scenario “class”",
    "known pairs": "five pairs of digits, scenario “task”",
    "known rotations": "the digits in five angles from 0 to 90 degrees, scenario “task”",
    "unknown pairs": "five pairs of digits, scenario “task”, not told the task",
}
WIDTHS = {1: 470.0, 2: 310.0, 3: 280.0}  # of a panel, by the number of panels
HEIGHT, TOP, BELOW = 214.0, 46.0, 18.0
LABELS = 58.0  # room for the names of the references, right of a panel's lines

Kept = dict[str, Any]


@dataclass(frozen=True)
class Sweep:
    """One setting of a method at several values; "epochs" is the training's, "hidden" the network's, and "ewc" adds EWC of that strength.

    Attributes:
        fixed: the method's other arguments, where they are not the defaults.
    """

    setting: str
    values: Sequence[Any]
    fixed: Mapping[str, Any] = field(default_factory=dict)


DRAWING = {"hidden": [200], "latent": 20}  # a smaller generator than the default, for a smaller network
SWEEPS: dict[str, tuple[str, list[Sweep]]] = {
    "finetune": ("permutations", [Sweep("epochs", [1, 2, 5, 10, 20])]),
    "joint": ("permutations", [Sweep("epochs", [1, 2, 5, 10]), Sweep("restart", [True, False])]),
    "independent": ("permutations", [Sweep("epochs", [1, 2, 5, 10]), Sweep("start", ["first", "previous"])]),
    "l2": ("permutations", [Sweep("strength", [0, 0.0003, 0.001, 0.003, 0.01, 0.03])]),
    "ewc": (
        "permutations",
        [
            Sweep("strength", [0, 0.3, 3, 30, 300, 3000], {"examples": 500}),
            Sweep("examples", [5, 20, 100, 500, None], {"strength": 10}),
            Sweep("labels", ["exact", "sampled", "true"], {"strength": 10, "examples": 500}),
        ],
    ),
    "online-ewc": (
        "permutations",
        [
            Sweep("strength", [0, 0.3, 3, 30, 300, 3000], {"examples": 500}),
            Sweep("decay", [0, 0.25, 0.5, 0.75, 1], {"strength": 10, "examples": 500}),
        ],
    ),
    "si": (
        "permutations",
        [
            Sweep("strength", [0, 0.01, 0.1, 1, 10, 100]),
            Sweep("damping", [0.001, 0.01, 0.1, 1], {"strength": 0.3}),
        ],
    ),
    "mas": (
        "permutations",
        [
            Sweep("strength", [0, 0.0001, 0.001, 0.01, 0.1, 1], {"examples": 500}),
            Sweep("examples", [5, 20, 100, 500, None], {"strength": 0.01}),
        ],
    ),
    "lwf": ("rotations", [Sweep("strength", [0, 0.3, 1, 3, 10, 30]), Sweep("temperature", [0.5, 1, 2, 4, 8], {"strength": 3})]),
    "icarl": ("pairs", [Sweep("capacity", [10, 50, 200, 1000, 4000]), Sweep("epochs", [1, 2, 5, 10, 20], {"capacity": 200})]),
    "replay": (
        "pairs",
        [Sweep("capacity", [0, 10, 50, 200, 1000, 4000]), Sweep("replayed", [2, 8, 32, 128], {"capacity": 200})],
    ),
    "der": (
        "pairs",
        [
            # a large alpha at this learning rate diverges: the squared error of logits has no bound
            Sweep("capacity", [0, 10, 50, 200, 1000], {"alpha": 0.1}),
            Sweep("alpha", [0, 0.01, 0.03, 0.1, 0.2], {"capacity": 200}),
            Sweep("beta", [0, 0.25, 0.5, 1, 2], {"capacity": 50, "alpha": 0.1}),
        ],
    ),
    "generative-replay": (
        "pairs",
        [
            Sweep("generator_steps", [30, 100, 300, 1000], {"generator": DRAWING}),
            Sweep("replayed", [0, 8, 32, 128], {"generator": DRAWING, "generator_steps": 300}),
        ],
    ),
    "gem": (
        "permutations",
        [Sweep("examples_per_task", [0, 5, 20, 50, 200]), Sweep("margin", [0, 0.25, 0.5, 1, 2], {"examples_per_task": 20})],
    ),
    "agem": (
        "permutations",
        [Sweep("capacity", [0, 20, 100, 500, 2000]), Sweep("replayed", [4, 16, 64, 256], {"capacity": 500})],
    ),
    "net2net": (
        "permutations",
        [
            Sweep("until_accuracy", [0, 0.6, 0.8, 0.9], {"hidden": [10, 10], "ewc": 30, "max_parameters": 100_000}),
            Sweep("grow_by", [0.1, 0.25, 0.5, 1], {"hidden": [10, 10], "ewc": 30, "until_accuracy": 0.85, "max_parameters": 100_000}),
        ],
    ),
    "packnet": (
        "known pairs",
        [Sweep("prune", [0.2, 0.5, 0.75, 0.9, 0.97, 0.99]), Sweep("retrain", [0, 0.2, 0.4, 1, 2], {"prune": 0.97})],
    ),
    "progressive": (
        "known rotations",
        [
            Sweep("width", [0.05, 0.1, 0.25, 0.5, 1, 2]),
            Sweep("adapter", ["nonlinear", "linear"]),
            Sweep("epochs", [1, 2, 5, 10]),
        ],
    ),
    "task-gate": (
        "unknown pairs",
        [
            Sweep("units", [4, 16, 49, 196, 392], {"ewc": 30}),
            Sweep("steps", [10, 50, 200, 500, 2000], {"ewc": 30}),
            Sweep("rate", [0.0005, 0.002, 0.005, 0.02, 0.1], {"ewc": 30}),
        ],
    ),
    "expert-gate": (
        "known rotations",
        [
            Sweep("threshold", [0.7, 0.75, 0.8, 0.85, 1]),
            Sweep("strength", [0, 0.1, 0.3, 1, 3], {"threshold": -1}),
            Sweep("epochs", [1, 2, 5, 10]),
        ],
    ),
}


def run(names: Sequence[str]) -> None:
    """Trains, and keeps the numbers; those of other methods stay."""
    kept: Kept = json.loads(NUMBERS.read_text()) if NUMBERS.is_file() else {"references": {}, "sweeps": {}}
    for name in names or list(SWEEPS):
        stream, sweeps = SWEEPS[name]
        if stream not in kept["references"]:
            kept["references"][stream] = {each: trained(stream, each, {})["accuracy"] for each in ("finetune", "joint")}
        kept["sweeps"][name] = [measured(stream, name, sweep) for sweep in sweeps]
        NUMBERS.write_text(dumped(kept))
        print(f"{name}: {len(sweeps)} settings on {STREAMS[stream]}", flush=True)


def measured(stream: str, name: str, sweep: Sweep) -> Kept:
    """What one setting gives at its values: for each of them each seed's accuracies."""
    results = [trained(stream, name, {**sweep.fixed, sweep.setting: value}) for value in sweep.values]
    numbers = {measure: [result[measure] for result in results] for measure in LINES}
    return {"stream": stream, "setting": sweep.setting, "fixed": dict(sweep.fixed), "values": list(sweep.values), **numbers}


def trained(stream: str, name: str, arguments: Mapping[str, Any]) -> dict[str, list[float]]:
    """Each seed's accuracies with one method."""
    import torch

    from lifelong import Learner, streams
    from lifelong.methods import METHODS
    from lifelong.models import MLP
    from lifelong.tasks import Stream

    torch.set_num_threads(1)
    tasks = {
        "permutations": lambda: streams.permuted_mnist(tasks=5, examples=2000),
        "rotations": lambda: streams.rotated_mnist(tasks=5, degrees=90.0, examples=2000),
        "pairs": lambda: streams.split_mnist(scenario="class"),
        "known pairs": lambda: streams.split_mnist(scenario="task"),
        "known rotations": lambda: Stream("rotations", "task", streams.rotated_mnist(tasks=5, degrees=90.0, examples=2000).make, 5),
        "unknown pairs": lambda: streams.split_mnist(scenario="task"),
    }[stream]()
    arguments = dict(arguments)
    epochs, hidden, ewc = arguments.pop("epochs", EPOCHS), arguments.pop("hidden", [100, 100]), arguments.pop("ewc", None)
    found: dict[str, list[float]] = {measure: [] for measure in LINES}
    for seed in SEEDS:
        methods = [METHODS[name](**arguments), *([] if ewc is None else [METHODS["ewc"](strength=ewc, examples=500)])]
        if stream == "unknown pairs" and not methods[0].overrides("route"):
            methods.append(METHODS["task-gate"]())
        learner = Learner(
            MLP(784, hidden, seed=seed),
            methods,
            tasks.scenario,
            classes=range(10) if tasks.scenario == "class" else (),
            optimizer=functools.partial(torch.optim.SGD, lr=RATE),
            epochs=epochs,
            seed=seed,
        )
        for task in tasks:
            learner.learn(task)
        matrix = learner.evaluate(tasks)
        if stream == "unknown pairs":
            matrix = learner.routed
        for measure, values in found.items():
            values.append(round(getattr(matrix, measure), 4))
    return found


def dumped(kept: Kept) -> str:
    """JSON with one line for each setting."""
    references = ",\n  ".join(f"{json.dumps(stream)}: {json.dumps(one)}" for stream, one in kept["references"].items())
    ordered = [name for name in SWEEPS if name in kept["sweeps"]]
    sweeps = ",\n  ".join(f"{json.dumps(name)}: [\n   " + ",\n   ".join(map(json.dumps, kept["sweeps"][name])) + "]" for name in ordered)
    return f'{{\n "references": {{\n  {references}}},\n "sweeps": {{\n  {sweeps}}}\n}}\n'


def draw() -> None:
    """Draws every picture of which there are numbers."""
    kept = json.loads(NUMBERS.read_text())
    for name, sweeps in kept["sweeps"].items():
        (PAGES / f"{name}.svg").write_text(picture(name, sweeps, kept["references"]), encoding="utf-8")


def picture(name: str, sweeps: Sequence[Kept], references: Mapping[str, Mapping[str, Sequence[float]]]) -> str:
    """A method's panels, one a setting, on one scale."""
    stream = sweeps[0]["stream"]
    baselines = {each: fmean(values) for each, values in references[stream].items()}
    lowest = min(*baselines.values(), *(value for sweep in sweeps for measure in LINES for seeds in sweep[measure] for value in seeds))
    floor = min(int(10 * lowest), 8) / 10
    width = WIDTHS[len(sweeps)]
    content = [
        svg.element("rect", width="100%", height="100%", fill="#ffffff"),
        svg.text(10, 18, f"{name} on {STREAMS[stream]}: accuracy in %", font_size=13.0, font_weight=600),
    ]
    for position, (words, colour, shape) in enumerate(LINES.values()):
        left = 10.0 + 210 * position
        content.append(svg.line(left, 33, left + 24, 33, stroke=colour, stroke_width=2))
        content.append(svg.marker(shape, left + 12, 33, 4.0, fill=colour, stroke="#ffffff", stroke_width=1))
        content.append(svg.text(left + 30, 37, words))
    for position, sweep in enumerate(sweeps):
        content.append(svg.element("g", *panel(sweep, baselines, floor, width), transform=f"translate({position * width:g} {TOP:g})"))
    described = " ".join(in_words(sweep) for sweep in sweeps)
    drawn = svg.picture(len(sweeps) * width + 8, TOP + HEIGHT + BELOW, f"{name}: its settings on {STREAMS[stream]}", described, *content)
    return drawn.replace(">", ' font-family="system-ui, sans-serif">', 1) + "\n"


def panel(sweep: Kept, baselines: Mapping[str, float], floor: float, width: float) -> list[str]:
    """Lines over one setting's values, a stroke from seed to seed, and the baselines across."""
    values = sweep["values"]
    words = isinstance(values[0], bool | str)
    room = 0.5 if words else 0.0
    frame = Frame(width - LABELS + 10, HEIGHT, (0.0, 1.0), (floor, 1.0))
    frame.left, frame.right = frame.left + 10, frame.right - 10

    def x(position: int) -> float:
        step = (frame.right - frame.left) / (len(values) - 1 + 2 * room)
        return frame.left + (position + room) * step

    drawn = []
    for tick in svg.ticks(floor, 1.0, 6):
        drawn.append(svg.line(frame.left - 10, frame.y(tick), frame.right + 10, frame.y(tick), stroke=svg.GRID))
        drawn.append(svg.text(frame.left - 16, frame.y(tick) + 4, f"{100 * tick:.0f}", anchor="end", fill=svg.QUIET))
    for position, value in enumerate(values):
        drawn.append(svg.text(x(position), frame.bottom + 16, label(value), anchor="middle", fill=svg.QUIET, font_size=11.0))
    middle = (frame.left + frame.right) / 2
    drawn.append(svg.text(middle, frame.height - 4, sweep["setting"], anchor="middle", font_weight=600))
    fixed = ", ".join(f"{key} {label(value)}" for key, value in sweep["fixed"].items() if not isinstance(value, dict))
    drawn.append(svg.text(middle, frame.height + 11, f"with {fixed}" if fixed else "", anchor="middle", fill=svg.QUIET, font_size=11.0))
    below = 0.0
    for each, value in sorted(baselines.items(), key=lambda item: -item[1]):
        drawn.append(svg.line(frame.left - 10, frame.y(value), frame.right + 10, frame.y(value), stroke=svg.QUIET, stroke_dasharray="3 3"))
        below = max(frame.y(value) + 4, below + 13)
        drawn.append(svg.text(frame.right + 14, below, each, fill=svg.QUIET, font_size=11.0))
    for measure, (_, colour, shape) in LINES.items():
        points = [(x(position), [frame.y(value) for value in seeds]) for position, seeds in enumerate(sweep[measure])]
        if not words:  # between which there is nothing
            drawn.append(svg.polyline([(at, fmean(ys)) for at, ys in points], stroke=colour, stroke_width=2))
        for at, ys in points:
            drawn.append(svg.line(at, min(ys), at, max(ys), stroke=colour, stroke_width=1.5))
            drawn.append(svg.marker(shape, at, fmean(ys), 4.0, fill=colour, stroke="#ffffff", stroke_width=1))
    return drawn


def label(value: Any) -> str:
    """A setting's value as it is written under the axis."""
    return "all" if value is None else f"{value:g}" if isinstance(value, int | float) and not isinstance(value, bool) else str(value)


def in_words(sweep: Kept) -> str:
    """The numbers of one panel, for those who can't see it."""
    pairs = zip(sweep["values"], sweep["accuracy"], sweep["learning_accuracy"], strict=True)
    said = "; ".join(f"{label(value)}: {100 * fmean(end):.0f} and {100 * fmean(own):.0f}" for value, end, own in pairs)
    return f"Accuracy in percent in the end and just after each task, by {sweep['setting']}: {said}."


def main(words: Sequence[str]) -> None:
    command, names = (words[0] if words else ""), list(words[1:])
    unknown = [name for name in names if name not in SWEEPS]
    if command not in ("run", "draw") or unknown or (command == "draw" and names):
        sys.exit(f"draw_settings: expected run [NAME ...] or draw, with names of {', '.join(SWEEPS)}; got {' '.join(words) or 'nothing'}")
    if command == "run":
        run(names)
    draw()


if __name__ == "__main__":
    main(sys.argv[1:])
