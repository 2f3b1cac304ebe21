from pathlib import Path

import pytest
import torch
from torch import nn

from lifelong import Learner, Task
from lifelong.models import ReducedResNet18
from lifelong.models.resnet import Block
from toys import weights


def parameters(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def test_it_has_the_published_number_of_parameters() -> None:
    assert parameters(nn.Sequential(ReducedResNet18(), nn.Linear(160, 100))) == 1_109_240
    # The twenty independent networks of GEM have one feature map each where this one has twenty.
    assert parameters(nn.Sequential(ReducedResNet18(width=1), nn.Linear(8, 5))) == 2_946


def test_features_are_the_mean_over_maps_of_four_by_four() -> None:
    network = ReducedResNet18()
    shapes = []
    for block in network.blocks:
        block.register_forward_hook(lambda _, inputs, output: shapes.append(tuple(output.shape[1:])))
    assert network(torch.rand(2, 3, 32, 32)).shape == (2, 160)
    assert shapes == [(20, 32, 32), (20, 32, 32), (40, 16, 16), (40, 16, 16), (80, 8, 8), (80, 8, 8), (160, 4, 4), (160, 4, 4)]
    assert (network.channels, network.width, network.seed) == (3, 20, 0)


@pytest.mark.parametrize(("channels", "height", "width"), [(1, 28, 28), (3, 64, 48), (2, 5, 7)])
def test_images_of_other_sizes(channels: int, height: int, width: int) -> None:
    network = ReducedResNet18(channels, width=4)
    assert network(torch.rand(2, channels, height, width)).shape == (2, 32)


def test_a_block_adds_its_input() -> None:
    x = torch.rand(2, 4, 6, 6)
    plain = Block(4, 4, 1).eval()
    assert torch.equal(plain(x), (plain.second(plain.first(x).relu()) + x).relu())
    nn.init.zeros_(plain.second[1].weight)
    assert torch.equal(plain(x), x)
    wider = Block(4, 8, 2).eval()
    assert torch.equal(wider(x), (wider.second(wider.first(x).relu()) + wider.shortcut(x)).relu())
    assert wider(x).shape == (2, 8, 3, 3)
    assert all(layer.bias is None for layer in wider.modules() if isinstance(layer, nn.Conv2d))


def test_the_order_of_the_input_in_memory_is_of_no_effect() -> None:
    network, x = ReducedResNet18(width=4), torch.rand(3, 3, 16, 16)
    last = x.contiguous(memory_format=torch.channels_last)
    assert torch.equal(network.eval()(x), network(last))
    assert network.blocks(network.stem(last)).is_contiguous(memory_format=torch.channels_last)


def test_torchs_gradients_of_single_examples_add_up_to_the_batchs() -> None:
    network, x = ReducedResNet18(width=2).eval(), torch.rand(3, 3, 8, 8)
    named, buffers = dict(network.named_parameters()), dict(network.named_buffers())

    def total(values: dict[str, torch.Tensor], one: torch.Tensor) -> torch.Tensor:
        return torch.as_tensor(torch.func.functional_call(network, (values, buffers), (one[None],))).sum()

    each = torch.func.vmap(torch.func.grad(total), (None, 0))(named, x)
    network(x).sum().backward()
    for name, parameter in named.items():
        torch.testing.assert_close(each[name].sum(0), parameter.grad, rtol=1e-3, atol=1e-4)


def test_a_learner_learns_two_tasks_with_it(tmp_path: Path) -> None:
    generator = torch.Generator().manual_seed(0)
    y = torch.arange(32) % 2
    bright = torch.rand(32, 3, 8, 8, generator=generator) * 0.5 + 0.5 * y.view(-1, 1, 1, 1)
    tasks = [Task(name, (x, y), (x, y)) for name, x in (("bright", bright), ("dark", 1 - bright))]
    learner = Learner(ReducedResNet18(width=2), scenario="task", epochs=5, batch_size=8)
    for task in tasks:
        learner.learn(task)
    matrix = learner.evaluate(tasks).values
    assert matrix[1, 0] > 0.9
    assert matrix[2, 1] > 0.9
    learner.save(tmp_path / "bright.life")
    opened = Learner.open(tmp_path / "bright.life")
    assert all(torch.equal(value, weights(opened.network)[name]) for name, value in weights(learner.network).items())
