import re
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.distributions import Bernoulli, Normal, kl_divergence

from lifelong.errors import MethodError
from lifelong.generators import VAE, Generator, Likelihood, describe, make


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def small(**arguments: Any) -> VAE:
    return VAE([2, 3], **{"hidden": [7], "latent": 4, **arguments})


@pytest.mark.parametrize("likelihood", ["bernoulli", "gaussian"])
@pytest.mark.parametrize("conditional", [False, True])
def test_the_loss_is_the_negative_evidence_bound(likelihood: Likelihood, conditional: bool) -> None:
    vae = small(likelihood=likelihood, conditional=conditional)
    vae.grow(3)
    with torch.no_grad():
        vae.means += torch.randn(vae.means.shape, generator=seeded(5))
    x, y = torch.rand(6, 2, 3, generator=seeded(1)), torch.tensor([0, 1, 2, 2, 1, 0])
    mean, log_variance = vae.encoder(x.flatten(1)).chunk(2, dim=1)
    posterior = Normal(mean, (0.5 * log_variance).exp())
    prior = Normal(vae.means[y] if conditional else torch.zeros_like(mean), 1.0)
    z = mean + posterior.scale * torch.randn(mean.shape, generator=seeded(2))
    decoded = vae.decoder(z)
    if likelihood == "bernoulli":
        log_p = Bernoulli(logits=decoded, validate_args=False).log_prob(x.flatten(1)).sum(1)
    else:
        log_p = (Normal(decoded, 1.0).log_prob(x.flatten(1)) - Normal(0.0, 1.0).log_prob(torch.tensor(0.0))).sum(1)  # without its constant
    expected = (-log_p + kl_divergence(posterior, prior).sum(1)) / 6
    assert torch.allclose(vae.loss(x, y, seeded(2)), expected, rtol=1e-5, atol=1e-5)


def train(vae: VAE, x: Tensor, y: Tensor, steps: int) -> None:
    optimizer, generator = torch.optim.Adam(vae.parameters(), lr=0.01), seeded(3)
    for _ in range(steps):
        optimizer.zero_grad()
        torch.autograd.backward(vae.loss(x, y, generator).mean())
        optimizer.step()


def test_it_draws_what_it_has_seen() -> None:
    corners = torch.tensor([[0.05, 0.95], [0.95, 0.05]])
    y = torch.arange(200) % 2
    vae = VAE([2], hidden=[32], latent=2, conditional=True)
    vae.grow(2)
    train(vae, corners[y], y, 300)
    with torch.no_grad():
        x, drawn = vae.sample(400, seeded())
    near = torch.cdist(x, corners).argmin(1)
    assert (near == drawn).float().mean() > 0.95, "each class draws its own corner"
    assert 150 < int(drawn.sum()) < 250, "classes are drawn alike"
    assert torch.allclose(x.mean(0), torch.tensor([0.5, 0.5]), atol=0.1)


def test_the_same_seed_draws_the_same_and_the_global_random_state_is_left_alone() -> None:
    before = torch.get_rng_state()
    one, two, other = small(), small(), small(seed=1)
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), two.parameters(), strict=True))
    assert not torch.equal(one.sample(5, seeded())[0], other.sample(5, seeded())[0])
    assert torch.equal(one.sample(5, seeded())[0], two.sample(5, seeded())[0])
    assert torch.equal(torch.get_rng_state(), before)


def test_growing_keeps_the_classes_means() -> None:
    vae = small(conditional=True)
    vae.grow(2)
    with torch.no_grad():
        vae.means.fill_(1.5)
    vae.grow(4)
    assert vae.means.detach()[:, 0].tolist() == [1.5, 1.5, 0.0, 0.0]
    vae.grow(3)
    assert len(vae.means) == 4
    plain = small()
    plain.grow(4)
    assert len(plain.means) == 0


def test_inputs_have_their_shape() -> None:
    x, y = small().sample(5, seeded())
    assert x.shape == (5, 2, 3)
    assert x.min() >= 0
    assert x.max() <= 1
    assert y.tolist() == [0] * 5
    assert small(likelihood="gaussian").sample(500, seeded())[0].min() < 0


def test_a_description_makes_the_same_generator() -> None:
    vae = small(conditional=True, seed=3)
    again = make(describe(vae), [9])
    assert isinstance(again, VAE)
    assert describe(again) == describe(vae)
    assert all(torch.equal(a, b) for a, b in zip(vae.parameters(), again.parameters(), strict=True))
    default = make({"latent": 6}, [1, 4, 4])
    assert isinstance(default, VAE)
    assert (default.shape, default.latent, default.hidden) == ([1, 4, 4], 6, [400, 400])


class Own(Generator):
    """A user's own."""


def test_a_users_own_is_named_and_not_rebuilt() -> None:
    assert describe(Own()) == {"custom": "Own"}
    with pytest.raises(MethodError, match="the generator Own is not the library's and can't be rebuilt; pass the methods"):
        make({"custom": "Own"}, [3])


@pytest.mark.parametrize(
    ("described", "message"),
    [
        ({"name": "vea"}, "unknown generator 'vea'; did you mean 'vae'?"),
        ({"latnet": 3}, "generator 'vae': VAE.__init__() got an unexpected keyword argument 'latnet'"),
        ({"likelihood": "gauss"}, "VAE: likelihood is 'gauss'; did you mean 'gaussian'?"),
    ],
)
def test_what_is_no_generator_is_said(described: dict[str, Any], message: str) -> None:
    with pytest.raises(MethodError, match=re.escape(message)):
        make(described, [3])
