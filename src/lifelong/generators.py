"""Generators: models of the inputs that are trained task after task and draw inputs like those that they have seen."""

from abc import abstractmethod
from collections.abc import Sequence
from itertools import pairwise
from math import prod
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from lifelong.errors import MethodError, nearest
from lifelong.models.drawing import own_weights

Likelihood = Literal["bernoulli", "gaussian"]


class Generator(nn.Module):
    """What `GenerativeReplay` needs of a generator. Random numbers come from the torch.Generator that it is given, on the CPU."""

    @abstractmethod
    def loss(self, x: Tensor, y: Tensor, generator: torch.Generator) -> Tensor:
        """The loss of each example (N,), for inputs x (N, ...) and their classes y, int64 (N,), counted over all tasks."""

    @abstractmethod
    def sample(self, count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """`count` inputs like those seen, (count, ...), and int64 (count,): the classes that they were drawn for, or zeros."""

    def grow(self, classes: int) -> None:
        """Called before each task with the number of classes so far; for generators that are conditioned on them."""


class VAE(Generator):
    """A variational autoencoder of fully connected layers with ReLU, symmetrical.

    Paper: Kingma & Welling 2014, https://arxiv.org/abs/1312.6114, Eq. 10.
    Loss:  (-log p(x|z) + KL(q(z|x) || p(z))) / D, summed over D values and over latents, z one draw from q(z|x). The division leaves the
        gradient's direction; of what Adam makes of it, the weights that hardly get a gradient, such as those of pixels that are always
        dark, move less.

    Args:
        shape: of one input, as in [1, 28, 28].
        hidden: widths of the encoder's layers; the decoder has them in reverse.
        latent: number of latent variables.
        likelihood: of x given z: "bernoulli" for values in [0, 1], of which it draws the mean; "gaussian" with variance 1 for any others.
        conditional: every class has a prior mean of its own, p(z|y) = N(m_y, 1), and classes are drawn with equal probability.
            False: p(z) = N(0, 1).
        seed: of the initial weights, drawn as torch's Linear draws them.
    """

    def __init__(
        self,
        shape: Sequence[int],
        *,
        hidden: Sequence[int] = (400, 400),
        latent: int = 100,
        likelihood: Likelihood = "bernoulli",
        conditional: bool = False,
        seed: int = 0,
    ) -> None:
        super().__init__()
        if likelihood not in ("bernoulli", "gaussian"):
            raise MethodError(f"VAE: likelihood is {likelihood!r}; {nearest(str(likelihood), ['bernoulli', 'gaussian'])}")
        self.shape, self.hidden, self.latent, self.likelihood = list(shape), list(hidden), latent, likelihood
        self.conditional, self.seed = conditional, seed
        with own_weights(self, seed):
            self.encoder = _layers([prod(shape), *hidden, 2 * latent])
            self.decoder = _layers([latent, *reversed(hidden), prod(shape)])
        self.means = nn.Parameter(torch.zeros(0, latent), requires_grad=conditional)

    def loss(self, x: Tensor, y: Tensor, generator: torch.Generator) -> Tensor:
        x = x.flatten(1)
        mean, log_variance = self.encoder(x).chunk(2, dim=1)
        noise = torch.randn(mean.shape, generator=generator).to(mean)
        output = self.decoder(mean + (0.5 * log_variance).exp() * noise)
        if self.likelihood == "bernoulli":
            reconstruction = binary_cross_entropy_with_logits(output, x, reduction="none").sum(1)
        else:
            reconstruction = 0.5 * (output - x).square().sum(1)
        from_prior = mean - self.means[y] if self.conditional else mean
        divergence = 0.5 * (from_prior.square() + log_variance.exp() - 1 - log_variance).sum(1)
        loss: Tensor = (reconstruction + divergence) / x.shape[1]
        return loss

    def sample(self, count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        z = torch.randn(count, self.latent, generator=generator).to(self.means, non_blocking=True)
        y = torch.zeros(count, dtype=torch.int64, device=z.device)
        if self.conditional:
            y = torch.randint(len(self.means), (count,), generator=generator).to(z.device, non_blocking=True)
            z = z + self.means[y]
        output: Tensor = self.decoder(z)
        return (output.sigmoid() if self.likelihood == "bernoulli" else output).view(count, *self.shape), y

    def grow(self, classes: int) -> None:
        if self.conditional and classes > len(self.means):
            fresh = self.means.new_zeros(classes - len(self.means), self.latent)
            self.means = nn.Parameter(torch.cat([self.means.detach(), fresh]))


GENERATORS: dict[str, type[Generator]] = {"vae": VAE}


def describe(generator: Generator) -> dict[str, Any]:
    """The generator's name in the table and its arguments; {"custom": class} for one that is not the library's."""
    if type(generator) is VAE:
        names = ("shape", "hidden", "latent", "likelihood", "conditional", "seed")
        return {"name": "vae", **{name: getattr(generator, name) for name in names}}
    return {"custom": type(generator).__qualname__}


def make(described: dict[str, Any], shape: Sequence[int]) -> Generator:
    """The generator that was described, for inputs of a shape where the description has none.

    Raises:
        MethodError: it is not the library's, or an argument is unknown.
    """
    if "custom" in described:
        raise MethodError(
            f"the generator {described['custom']} is not the library's and can't be rebuilt; pass the methods: "
            "Learner.open(path, methods=[GenerativeReplay(generator=...)])"
        )
    arguments = {"shape": list(shape), **described}
    name = arguments.pop("name", "vae")
    if name not in GENERATORS:
        raise MethodError(f"unknown generator {name!r}; {nearest(str(name), GENERATORS)}")
    try:
        return GENERATORS[name](**arguments)
    except TypeError as error:
        raise MethodError(f"generator {name!r}: {error}") from error


def _layers(sizes: Sequence[int]) -> nn.Sequential:
    layers: list[nn.Module] = []
    for before, after in pairwise(sizes):
        layers += [nn.Linear(before, after), nn.ReLU()]
    return nn.Sequential(*layers[:-1])
