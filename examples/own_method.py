"""Your own method, complete in 15 lines, beside fine-tuning and EWC; saved and opened with the learner; and checked."""

import tempfile
from typing import ClassVar

import lifelong as ll
from lifelong.testing import check_method


class Habit(ll.Method):
    """Habit: the further a weight travelled for earlier tasks, the smaller are its steps in later ones.

    Loss: task, its gradient divided by 1 + strength * travelled. Keeps: two numbers a parameter.
    """

    keeps: ClassVar = "statistics"

    def __init__(self, *, strength: float = 100.0) -> None:
        super().__init__()
        self.strength = strength  # arguments are kept under their own names: reports and saved files tell them

    def attach(self, learner: ll.Learner) -> None:
        self.declare("travelled")  # one number for each entry of theta; it follows when the network grows, and is saved
        self.declare("start")

    def begin_task(self, learner: ll.Learner, task: ll.Task) -> None:
        self.start = learner.theta.value.clone()

    def edit_gradient(self, learner: ll.Learner, batch: ll.Batch) -> None:
        learner.theta.gradient.div_(1 + self.strength * self.travelled)

    def end_task(self, learner: ll.Learner, task: ll.Task) -> None:
        self.travelled = self.travelled + (learner.theta.value - self.start).abs()


def main() -> None:
    stream = ll.streams.permuted_mnist(tasks=4)
    methods: dict[str, list[ll.Method]] = {"fine-tuning": [], "habit": [Habit()], "habit and EWC": [Habit(), ll.methods.EWC()]}
    for name, chosen in methods.items():
        learner = ll.Learner(ll.models.MLP(784, [100, 100]), chosen, stream.scenario)
        for task in stream:
            learner.learn(task)
        matrix = learner.evaluate(stream)
        print(f"{name}: accuracy {100 * matrix.accuracy:.1f} %, backward transfer {100 * matrix.backward_transfer:+.1f}")

    with tempfile.TemporaryDirectory() as folder:
        learner.save(folder)
        again = ll.Learner.open(folder, methods=[Habit(), ll.methods.EWC()])  # a file can't bring code: it is you who gives it
        print(f"opened with {' and '.join(type(method).__name__ for method in again.methods)}, {again.kept_bytes():,} bytes kept")

    # every check that the library's own methods pass; it raises where one fails, so this line alone is a test
    print(check_method(Habit, off={"strength": 0}, margin=0.0, baseline=True, rigid=False))


if __name__ == "__main__":
    main()
