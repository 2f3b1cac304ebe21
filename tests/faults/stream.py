"""Learns a stream so that the process may be killed at any moment, and started again goes on to the same end. This is what to copy:

1. A run has a folder. If there is a learner in it, open that one; if not, make a new one, with the same arguments every time.
2. Go through the stream from its beginning, pass over the tasks that are in `learner.tasks`, and learn the others with
   `checkpoint=folder`. The learner is saved now and then inside a task, and at each task's end. One that was opened in the middle of a
   task (`learner.in_progress` names it) goes on there when it is given that task.
3. What is done after the tasks, here the evaluation, is done again when the process was killed in it; save afterwards.

Killed before the first checkpoint, nothing is in the folder yet, and the run starts from the beginning: with the same seeds, that is the
same run. Killed at a task's end, while importance is estimated or while a checkpoint is written, it goes on from the checkpoint before.

    python stream.py FOLDER
"""

import functools
import sys
from pathlib import Path

import torch

import lifelong as ll

METHODS = [
    ll.methods.Net2Net(until_accuracy=2.0, grow_by=0.1, max_growths=1),  # it grows in the middle of every task
    ll.methods.EWC(strength=50.0, labels="sampled", examples=2000),
    ll.methods.Replay(capacity=300),
]
ADAM = functools.partial(torch.optim.Adam, lr=0.001)
COSINE = functools.partial(torch.optim.lr_scheduler.CosineAnnealingLR, T_max=3)


def main(folder: Path) -> None:
    stream = ll.streams.permuted_mnist(tasks=3, examples=2000)
    if (folder / "manifest.json").exists():
        learner = ll.Learner.open(folder)
    else:
        model = ll.models.MLP(784, [60, 60])
        learner = ll.Learner(
            model, METHODS, "domain", optimizer=ADAM, epochs=3, batch_size=40, scheduler=COSINE, clip_norm=5.0, reset_optimizer=False
        )
    for task in stream:
        if task.name not in learner.tasks:
            learner.learn(task, checkpoint=folder, checkpoint_every=0.05)
    learner.evaluate(stream)
    learner.save(folder)


if __name__ == "__main__":
    torch.set_num_threads(1)
    main(Path(sys.argv[1]))
