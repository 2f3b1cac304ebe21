"""What the benchmarks share: the digits, and the command line."""

import argparse
import json
import platform
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from torch import Tensor

from lifelong.data.mnist import load

Row = tuple[str, dict[str, float], str]  # what was measured, the numbers, and what to say of them


def digits(count: int) -> tuple[Tensor, Tensor]:
    """float32 images (N, 1, 28, 28) and labels."""
    mnist = load("embedded")
    chosen = torch.arange(count) % len(mnist.train_y)
    return mnist.train_x[chosen].float() / 255, mnist.train_y[chosen]


def main(description: str | None, repeats: int, measure: Callable[[argparse.Namespace], Iterator[Row]], **options: str) -> None:
    """Measures on one thread what `--repeats` and further options say; prints each row, and writes all of them to `--out`."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=repeats)
    for name, explanation in options.items():
        parser.add_argument(f"--{name}", help=explanation)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    results = {}
    for name, numbers, said in measure(arguments):
        results[name] = numbers
        print(f"{name}: {said}", flush=True)
    if arguments.out:
        about = {"torch": torch.__version__, "python": platform.python_version(), "machine": platform.processor() or platform.machine()}
        arguments.out.write_text(json.dumps({"about": about, "ratios": results}, indent=1) + "\n")
