"""A learner outlives its processes: saved, opened by another one that is killed in the middle of a task, and gone on with, to the bit."""

import subprocess
import sys
import tempfile
import time
from pathlib import Path

import lifelong as ll

STREAM = ll.streams.rotated_mnist(tasks=3, examples=1000)


def begin() -> ll.Learner:
    return ll.Learner(ll.models.MLP(784, [50]), [ll.methods.EWC(examples=200)], STREAM.scenario, epochs=5)


def another_process(folder: Path) -> None:
    """Goes on with what is in the folder, and saves after every step (by default it is every minute)."""
    learner = ll.Learner.open(folder)
    learner.learn(STREAM[1], checkpoint=folder, checkpoint_every=0)


def kill_in_the_middle(folder: Path) -> None:
    child = subprocess.Popen([*sys.orig_argv, str(folder)])
    while '"unfinished": null' in (folder / "manifest.json").read_text() and child.poll() is None:
        time.sleep(0.01)  # until it has saved inside its task
    child.kill()
    child.wait()


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        learner = begin()
        learner.learn(STREAM[0])
        learner.save(folder)
        print(f"this month: {', '.join(learner.tasks)} learned, {sum(file.stat().st_size for file in folder.iterdir()):,} bytes saved")

        kill_in_the_middle(folder)
        learner = ll.Learner.open(folder)
        print(f"next month: the process was killed in the middle of {learner.in_progress}")

        learner.learn(STREAM[1], checkpoint=folder)  # given the same task, it goes on where it was
        learner.learn(STREAM[2], checkpoint=folder)
        print(f"a year later: {', '.join(ll.Learner.open(folder).tasks)} learned")

    never_stopped = begin()
    for task in STREAM:
        never_stopped.learn(task)
    print(f"the same weights as never having stopped: {bool((never_stopped.theta.value == learner.theta.value).all())}")
    print(f"the same matrix: {never_stopped.matrix == learner.matrix}")


if __name__ == "__main__":
    if len(sys.argv) == 2:
        another_process(Path(sys.argv[1]))
    else:
        main()
