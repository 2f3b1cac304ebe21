"""A gate for any method: predicting without being told the task."""

from typing import TYPE_CHECKING, ClassVar

from lifelong.gate import Gated
from lifelong.method import Keeps
from lifelong.tasks import Task

if TYPE_CHECKING:
    from lifelong.learner import Learner


class TaskGate(Gated):
    """A gate that finds out which task an input is from, so that a learner with a head for every task need not be told.

    Paper: Aljundi et al. 2017, https://arxiv.org/abs/1611.06194, Sec. 3: the gate of Expert Gate alone, put on whatever learner it is given
        to, as in methods=[EWC(), TaskGate()]; see `lifelong.gate.Gated` for its equations.
    Loss:  task; the learner's weights are those without it, bit for bit.
    Predicts: `predict(x)`, without a task, gives each input to the head of the task whose autoencoder reproduces it best.
        `predict_task(x)` tells which that is, `probabilities(x)` how sure it is, and `evaluate` measures both: `routed` and `chosen`.
    Departs from the paper: in the standardisation and the centring of inputs, as said there; on pixels, without a preprocessor.

    Args:
        temperature: of the softmax over errors, > 0. It makes probabilities sharper or flatter, and changes no choice.
        units: of an autoencoder, >= 1 and fewer than an input has values. None: 200, or a quarter of an input's values where that is less.
        hidden: widths of layers between the inputs and the code, and in reverse between it and the outputs, such as [256, 128] with 10
            units, 2,000 steps and a rate of 0.002 for digits, which tells apart tasks that are more alike. (): none, as the paper.
        steps: of an autoencoder's training, of `batch_size` examples each. Longer, with more units, it learns to reproduce everything.
        rate: learning rate of its Adagrad; with `hidden` layers, of Adam.
        batch_size: examples in each of its steps.
        preprocessor: a fixed module from inputs (N, ...) to what autoencoders reproduce, floats (N, ...), such as the first layers of a
            trained network for photographs; in evaluation mode, copied and saved. None: the inputs.
    Keeps: an autoencoder a task, of about 2 * units numbers for each value of an input. Cost per step: none. Cost per task: `steps` of its
        autoencoder.
    """

    keeps: ClassVar[Keeps] = "a network"

    def end_task(self, learner: "Learner", task: Task) -> None:
        self.learn_inputs(learner, task)
