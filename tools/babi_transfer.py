"""Is the simulated bAbI the real one? A network that learned simulated questions answers the real test questions.

    LIFELONG_DATA=... python tools/babi_transfer.py [--seeds 3]      writes docs/results/babi-transfer.json and prints the table

Settings are those of the recipe `babi-joint`: all twenty tasks together, 1,000 questions each, from the real files and from the simulator.
Both are measured on the real test files. A seed draws the network, the order of questions and the simulated stories.
"""

import argparse
import json
import statistics
from pathlib import Path
from typing import Any

import torch

import lifelong as ll
from lifelong import parts
from lifelong.methods import Joint
from lifelong.recipe import load
from lifelong.tasks import Stream

RESULT = Path(__file__).parents[1] / "docs" / "results" / "babi-transfer.json"
SOURCES = ("en", "simulated")
CLOSE = 0.05  # a task's accuracies are as good as each other within so much


def learned(train: Stream, test: Stream, seed: int) -> dict[str, float]:
    """Accuracy on every task's real test questions after learning all of `train` together."""
    recipe = load("babi-joint")
    training = recipe.training_of("joint")
    learner = ll.Learner(
        parts.network_of(recipe, seed, "joint"),
        [Joint(every=len(train))],
        train.scenario,
        optimizer=parts.optimizer_of(training),
        scheduler=parts.scheduler_of(training),
        epochs=training.epochs,
        batch_size=training.batch_size,
        clip_norm=training.clip_norm,
        seed=seed,
    )
    for task in train:
        learner.learn(task, evaluate=False)
    row = learner.evaluate(test).values[len(test)]
    return {task.name: float(value) for task, value in zip(test, row, strict=True)}


def compared(runs: dict[str, dict[str, dict[str, float]]]) -> dict[str, Any]:
    """For each task the medians over seeds of both sources and their difference, and how many tasks are close."""
    tasks = next(iter(runs[SOURCES[0]].values()))
    rows = {}
    for task in tasks:
        real, simulated = (statistics.median(run[task] for run in runs[source].values()) for source in SOURCES)
        rows[task] = {"real": real, "simulated": simulated, "difference": simulated - real}
    return {"tasks": rows, "close": sum(row["difference"] >= -CLOSE for row in rows.values())}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    stored: dict[str, Any] = json.loads(RESULT.read_text(encoding="utf-8")) if RESULT.is_file() else {"runs": {}}
    real = ll.streams.babi()
    for seed in range(arguments.seeds):
        for source in SOURCES:
            runs = stored["runs"].setdefault(source, {})
            if str(seed) not in runs:
                train = real if source == "en" else ll.streams.babi(source="simulated", seed=seed)
                runs[str(seed)] = learned(train, real, seed)
                stored["compared"] = compared(stored["runs"]) if all(each in stored["runs"] for each in SOURCES) else {}
                RESULT.write_text(json.dumps(stored, indent=1) + "\n", encoding="utf-8")
                print(f"{source}, seed {seed}: {statistics.mean(runs[str(seed)].values()):.3f}", flush=True)
    for task, row in stored["compared"]["tasks"].items():
        print(f"{task:<32} real {row['real']:.3f}  simulated {row['simulated']:.3f}  {100 * row['difference']:+.1f}")
    print(f"{stored['compared']['close']} of {len(stored['compared']['tasks'])} tasks within {100 * CLOSE:.0f} points")


if __name__ == "__main__":
    main()
