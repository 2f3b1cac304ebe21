"""A gate that tells tasks apart: an undercomplete autoencoder of every task's inputs."""

import copy
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from math import prod
from typing import TYPE_CHECKING, Any

import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, linear

from lifelong import reading
from lifelong.errors import MethodError, ScenarioError, TaskError
from lifelong.method import Method, Table
from lifelong.tasks import CHUNK, Examples, Task

if TYPE_CHECKING:
    from lifelong.learner import Learner

UNITS = 200  # of an autoencoder, at most a quarter of what it reproduces
HELD_OUT = 10  # one of so many examples is left out of an autoencoder's training, to measure relatedness on
SAMPLED = 10_000  # inputs that means and deviations are taken from, at most
SMALLEST = 1e-6  # error that relatedness is a ratio to: constant inputs are reproduced without any


class Gated(Method):
    """Base of methods that tell which task an input is from, by Aljundi et al. 2017, https://arxiv.org/abs/1611.06194, Sec. 3.

    Error: er_t(x) = ||sigmoid(W_d ReLU(W_e x + b_e) + b_d) - x||, the Euclidean norm, of task t's autoencoder, which was trained by the
        cross-entropy of its output and x, with Adagrad, on that task's inputs alone.
    Gate:  p_t(x) = softmax over t of -er_t(x) / temperature; the task is the arg max.
    Relatedness of task k to an earlier task a: Rel(k, a) = 1 - (Er_a - Er_k) / Er_k, where Er_t is the mean er_t over a tenth of task k's
        examples, drawn at random and left out of the training of its autoencoder.
    x: the input, standardised for each channel (each number, where an input is a vector) and put through a sigmoid, so that it is in
        [0, 1] whatever the input was. Errors of different tasks can be compared only where all are standardised alike, and nothing may be
        known of tasks to come: it is done with the mean and deviation of the first task's inputs, where the paper takes ImageNet's.
    Deeper: with `hidden` layers, ReLU is after each of them and not after the code, and it is trained with Adam; the paper has none.
    Centring: in training, W_e reads x minus the mean of the task's inputs, and b_e takes that in afterwards. These are the same functions;
        without it, the inputs' common part drives most units below 0, where they stay.

    Attributes:
        relatedness: (T, T), of the task of a row to the task of a column; NaN for later tasks, which were not there to be measured.
    """

    shape: Tensor
    mean: Tensor
    deviation: Tensor
    encoder: Tensor
    code_bias: Tensor
    decoder: Tensor
    output_bias: Tensor
    relatedness: Tensor

    def __init__(
        self,
        *,
        temperature: float = 2.0,
        units: int | None = None,
        hidden: Sequence[int] = (),
        steps: int = 500,
        rate: float = 0.005,
        batch_size: int = 64,
        preprocessor: nn.Module | dict[str, str] | None = None,
    ) -> None:
        super().__init__()
        name = type(self).__name__
        for argument, number in (("temperature", temperature), ("rate", rate)):
            if not isinstance(number, int | float) or not 0 < number < float("inf"):
                raise MethodError(f"{name}: {argument} is {number!r}; expected a finite number > 0")
        for argument, count in (("steps", steps), ("batch_size", batch_size), ("units", units)):
            if not (isinstance(count, int) and count >= 1) and not (argument == "units" and count is None):
                raise MethodError(f"{name}: {argument} is {count!r}; expected an integer >= 1{', or None' * (argument == 'units')}")
        if isinstance(hidden, int | str) or not all(isinstance(width, int) and width >= 1 for width in hidden):
            raise MethodError(f"{name}: hidden is {hidden!r}; expected widths of layers, as [256, 128], or [] for none")
        if isinstance(preprocessor, dict):
            raise MethodError(
                f"{name}'s preprocessor, a {preprocessor.get('custom')}, is not the library's and can't be rebuilt; pass the methods: "
                f"Learner.open(path, methods=[{name}(preprocessor=...)])"
            )
        if preprocessor is not None and not isinstance(preprocessor, nn.Module):
            raise MethodError(f"{name}: preprocessor is {preprocessor!r}; expected a torch module from inputs (N, ...) to floats, or None")
        self.temperature, self.units, self.steps, self.rate, self.batch_size = temperature, units, steps, rate, batch_size
        self.hidden = list(hidden)
        self.preprocessor = None if preprocessor is None else {"custom": type(preprocessor).__qualname__}
        self.frozen = None if preprocessor is None else copy.deepcopy(preprocessor).eval().requires_grad_(False)
        self.register_buffer("shape", torch.empty(0, dtype=torch.int64))  # of what is reproduced of one input
        self.register_buffer("mean", torch.empty(0))  # (C, 1), of the first task's inputs
        self.register_buffer("deviation", torch.empty(0))
        self.register_buffer("encoder", torch.empty(0))  # W_e of all tasks (T, U, D), with b_e (T, U)
        self.register_buffer("code_bias", torch.empty(0))
        self.register_buffer("decoder", torch.empty(0))  # W_d of all tasks (T, D, U), with b_d (T, D)
        self.register_buffer("output_bias", torch.empty(0))
        for i in range(2 * len(self.hidden)):  # the layers between encoder and decoder
            self.register_buffer(f"inner_weight_{i}", torch.empty(0))
            self.register_buffer(f"inner_bias_{i}", torch.empty(0))
        self.register_buffer("relatedness", torch.empty(0, 0))

    def begin_task(self, learner: "Learner", task: Task) -> None:
        name = type(self).__name__
        if learner.scenario != "task":
            raise ScenarioError(
                f"{name} tells which task an input is from, which the scenario {learner.scenario!r} does not ask for; use scenario='task'"
            )
        x = learner.examples_of(task).take(torch.arange(min(len(task.train), 2)))
        values = self._read(x.to(learner.device))
        if self.mean.numel() and values.shape[1:] != self._size:
            raise MethodError(
                f"{name}: its autoencoders reproduce {('N', *self._size)}, and task {task.name!r} has {('N', *values.shape[1:])}; "
                "they need all tasks' inputs of one shape, or a preprocessor that makes them so"
            )
        size = values[0].numel()
        if size <= self._units(size):
            raise MethodError(
                f"{name}: an autoencoder of {self._units(size)} units can copy the {size} values of any input, and an input of task "
                f"{task.name!r} has no more; give it fewer units than values"
            )

    def learn_inputs(self, learner: "Learner", task: Task) -> None:
        """Trains the task's autoencoder, and measures the task's relatedness to all tasks before."""
        examples, random = learner.examples_of(task), learner.generator(self)
        order = torch.randperm(len(examples), generator=random)
        count = max(len(order) // HELD_OUT, 1)
        held, own = order[:count], order[count:] if len(order) > 1 else order
        if not self.mean.numel():
            self._standardise(self._read(x.to(learner.device)) for x in _inputs(examples, own[:SAMPLED]))
        weights = self._trained(learner, examples, own, random)
        for name, weight in zip(self._names, weights, strict=True):
            before = getattr(self, name)
            setattr(self, name, torch.cat([before, weight[None]]) if before.numel() else weight[None])
        each = torch.cat([self.errors(x.to(learner.device)) for x in _inputs(examples, held)]).mean(0)  # Er of every task's autoencoder
        grown = each.new_full((len(each), len(each)), torch.nan)
        grown[:-1, :-1] = self.relatedness
        grown[-1] = 1 - (each - each[-1]) / each[-1].clamp_min(SMALLEST)
        self.relatedness = grown

    def errors(self, x: Tensor) -> Tensor:
        """er (N, T), each task's reconstruction errors of inputs (N, ...) as the network takes them."""
        x = self._standardised(x)
        with torch.no_grad():
            each = zip(*(getattr(self, name) for name in self._names), strict=True)
            return torch.stack([(self._reproduced(x, weights).sigmoid() - x).norm(dim=1) for weights in each], 1)

    def probabilities(self, x: Tensor | NDArray[Any]) -> Tensor:
        """p (N, T) on the CPU: how probable it is that inputs (N, ...), as the network takes them, are from each task, in order.

        Raises:
            TaskError: nothing was learned yet, or the inputs have another shape than the tasks'.
        """
        inputs = reading.inputs("probabilities", x)
        if not len(self.encoder):
            raise TaskError(f"{type(self).__name__} knows no task yet; call learn(task) first, and ask the method in learner.methods")
        errors = torch.cat([self.errors(part.to(self.mean.device)) for part in torch.split(inputs, CHUNK)])
        return (-errors / self.temperature).softmax(1).cpu()

    def route(self, learner: "Learner", x: Tensor) -> Tensor:
        return self.errors(x)[:, : len(learner.tasks)].argmin(1)  # where p is largest, without its rounding

    def tables(self, learner: "Learner") -> dict[str, Table]:
        names = tuple(learner.tasks)
        if not names:
            return {}
        counts = torch.tensor([[learner.chosen.get(row, {}).get(column, 0) for column in names] for row in names], dtype=torch.float64)
        return {
            "Relatedness": Table(names, names, self.relatedness[: len(names), : len(names)].cpu()),
            "Which task the gate chose": Table(names, names, counts / counts.sum(1, keepdim=True)),  # 0 / 0 = NaN: never asked
        }

    def parameters_kept(self) -> int:
        own: int = sum(getattr(self, name).numel() for name in self._names)
        return own + sum(parameter.numel() for parameter in self.parameters())

    def state(self) -> dict[str, Tensor]:
        own = {name: value for name, value in super().state().items() if not name.startswith("frozen.")}
        return own | ({} if self.frozen is None else {f"frozen.{name}": value for name, value in self.frozen.state_dict().items()})

    def restore(self, state: dict[str, Tensor]) -> None:
        weights = {name.removeprefix("frozen."): value for name, value in state.items() if name.startswith("frozen.")}
        super().restore({name: value for name, value in state.items() if not name.startswith("frozen.")})
        if self.frozen is not None:
            self.frozen.load_state_dict(weights)

    @property
    def _names(self) -> list[str]:
        """The buffers with all tasks' weights and biases, layer by layer."""
        inner = [f"inner_{what}_{i}" for i in range(2 * len(self.hidden)) for what in ("weight", "bias")]
        return ["encoder", "code_bias", *inner, "decoder", "output_bias"]

    def _reproduced(self, x: Tensor, weights: Sequence[Tensor]) -> Tensor:
        """What an autoencoder makes of x (N, D), before its sigmoid; ReLU after each layer but, where there are hidden ones, the code."""
        for layer in range(0, len(weights), 2):
            if layer and (layer // 2 != len(self.hidden) + 1 or not self.hidden):
                x = x.relu()
            x = linear(x, weights[layer], weights[layer + 1])
        return x

    @property
    def _size(self) -> torch.Size:
        """The shape of what is reproduced of one input."""
        return torch.Size(self.shape.tolist())

    def _units(self, size: int) -> int:
        """The number of units of an autoencoder of `size` values."""
        return max(min(UNITS, size // 4), 1) if self.units is None else self.units

    def _read(self, x: Tensor) -> Tensor:
        """What is to be reproduced of inputs (N, ...): float32 (N, C, ...)."""
        with torch.no_grad():
            values = x if self.frozen is None else self.frozen(x)
        if not isinstance(values, Tensor) or not values.is_floating_point() or len(values) != len(x) or not prod(values.shape[1:]):
            kind = f"{values.dtype} of shape {tuple(values.shape)}" if isinstance(values, Tensor) else type(values).__name__
            raise MethodError(
                f"{type(self).__name__}: {'inputs are' if self.frozen is None else 'its preprocessor gives'} {kind} for {len(x)} examples; "
                "its autoencoders reproduce floats (N, ...). Give a preprocessor, a module that makes such of the inputs"
            )
        return values.float()

    def _standardise(self, parts: Iterable[Tensor]) -> None:
        """Sets shape, mean and deviation from batches of values (N, C, ...); where they don't deviate, the deviation is 1."""
        sums = torch.zeros(3, 1, dtype=torch.float64)  # how many, their sum, their sum of squares
        for values in parts:
            channels = values.flatten(2) if values.ndim > 2 else values[:, :, None]
            each = channels.cpu().double()
            sums = sums + torch.stack([torch.ones_like(each).sum((0, 2)), each.sum((0, 2)), each.square().sum((0, 2))])
        count, total, squares = sums
        mean = total / count
        deviation = (squares / count - mean.square()).clamp_min(0).sqrt()
        deviation = torch.where(deviation > 1e-6 * mean.abs(), deviation, 1)  # below it is rounding
        self.mean, self.deviation = (number.float().view(-1, 1).to(values.device) for number in (mean, deviation))
        self.shape = torch.tensor(values.shape[1:], dtype=torch.int64, device=values.device)

    def _standardised(self, x: Tensor) -> Tensor:
        """x of the equations, (N, D)."""
        values = self._read(x)
        if values.shape[1:] != self._size:
            raise TaskError(f"{type(self).__name__} was given {('N', *values.shape[1:])}; its autoencoders reproduce {('N', *self._size)}")
        channels = values.reshape(len(values), len(self.mean), -1)
        return ((channels - self.mean) / self.deviation).sigmoid().flatten(1)

    def _trained(self, learner: "Learner", examples: Examples, own: Tensor, random: torch.Generator) -> list[Tensor]:
        """The weights and biases of all layers after training on the examples at the places `own`."""
        parts = [self._standardised(x.to(learner.device)).sum(0) for x in _inputs(examples, own[:SAMPLED])]
        centre = torch.stack(parts).sum(0) / min(len(own), SAMPLED)
        size, units = len(centre), self._units(len(centre))
        weights: list[Tensor] = []
        for columns, rows in pairwise([size, *self.hidden, units, *reversed(self.hidden), size]):
            drawn = torch.empty(rows, columns).uniform_(-(columns**-0.5), columns**-0.5, generator=random)  # as torch draws layers
            weights += [drawn.to(centre), centre.new_zeros(rows)]
        weights[-1] = torch.logit(centre, eps=1e-4)  # the first answer is the mean input
        kind = torch.optim.Adam if self.hidden else torch.optim.Adagrad
        optimizer = kind([weight.requires_grad_() for weight in weights], lr=self.rate)
        for x in self._batches(learner, examples, own, random):
            with torch.enable_grad():
                loss = binary_cross_entropy_with_logits(self._reproduced(x - centre, weights), x)
                optimizer.zero_grad()
                torch.autograd.backward(loss)
            optimizer.step()
        encoder, code_bias, *others = (weight.detach() for weight in weights)
        return [encoder, code_bias - encoder @ centre, *others]

    def _batches(self, learner: "Learner", examples: Examples, own: Tensor, random: torch.Generator) -> Iterator[Tensor]:
        taken = 0
        while True:
            for x, _ in examples.batches(own[torch.randperm(len(own), generator=random)], self.batch_size):
                if taken == self.steps:
                    return
                taken += 1
                yield self._standardised(x.to(learner.device))


def _inputs(examples: Examples, order: Tensor) -> Iterator[Tensor]:
    return (x for x, _ in examples.batches(order, CHUNK))
