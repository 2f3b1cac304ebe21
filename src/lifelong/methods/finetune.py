"""Fine-tuning: the baseline that forgets."""

from lifelong.method import Method


class Finetune(Method):
    """Fine-tuning: train on each task as it comes and do nothing else. The lower baseline of every comparison.

    Loss: task.
    Keeps: nothing. Cost per step: none.
    """
