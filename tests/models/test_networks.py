from collections.abc import Callable

import pytest
import torch
from torch import nn

from lifelong.models import GRU, MLP, MODELS, ConvNet, MemoryNetwork, ReducedResNet18
from lifelong.models.drawing import draw_like_torch
from toys import same, weights

MAKE: dict[str, Callable[[int], nn.Module]] = {
    "mlp": lambda seed: MLP(20, [30, 7], seed=seed),
    "convnet": lambda seed: ConvNet(3, [4, 5], seed=seed),
    "resnet18-reduced": lambda seed: ReducedResNet18(width=3, seed=seed),
}


def test_the_table_has_every_network() -> None:
    images = {"mlp": MLP, "convnet": ConvNet, "resnet18-reduced": ReducedResNet18}
    assert {**images, "memory-network": MemoryNetwork, "gru": GRU} == MODELS


def test_an_mlp_is_linear_layers_with_relu() -> None:
    network = MLP(12, [8, 5])
    x = torch.randn(4, 3, 2, 2)
    first, second = network.layers
    assert torch.equal(network(x), second(first(x.flatten(1)).relu()).relu())
    assert (network.inputs, network.hidden, network.seed) == (12, [8, 5], 0)


def test_an_mlp_without_hidden_layers_gives_its_inputs() -> None:
    x = torch.randn(4, 2, 3)
    assert torch.equal(MLP(6, [])(x), x.flatten(1))


def test_a_convnet_is_its_blocks_and_a_mean() -> None:
    network = ConvNet(3, [4, 5])
    x = torch.randn(2, 3, 8, 8)
    kinds = [type(module) for module in network.blocks]
    assert kinds == 2 * [nn.Conv2d, nn.BatchNorm2d, nn.ReLU, nn.MaxPool2d]
    assert torch.equal(network.eval()(x), network.blocks(x).mean((2, 3)))
    assert network(x).shape == (2, 5)
    assert (network.channels, network.maps, network.seed) == (3, [4, 5], 0)


@pytest.mark.parametrize("name", MAKE)
def test_weights_depend_on_the_seed_only(name: str) -> None:
    first = weights(MAKE[name](0))
    torch.rand(3)
    assert same(weights(MAKE[name](0)), first)
    other = weights(MAKE[name](1))
    assert all(not torch.equal(first[key], other[key]) for key in first if key in ("layers.0.weight", "blocks.0.weight", "stem.0.weight"))


@pytest.mark.parametrize("name", MAKE)
def test_building_leaves_torchs_random_state_alone(name: str) -> None:
    before = torch.get_rng_state()
    MAKE[name](0)
    assert torch.equal(torch.get_rng_state(), before)


def test_weights_are_drawn_as_torch_draws_them() -> None:
    for layer in (nn.Linear(50, 400), nn.Conv2d(5, 200, 3)):
        bound = layer.weight[0].numel() ** -0.5
        reference = layer.weight.detach().clone()
        draw_like_torch(layer, 0)
        assert float(layer.weight.detach().abs().max()) <= bound
        assert float(reference.abs().max()) <= bound
        assert float(layer.weight.detach().std()) == pytest.approx(float(reference.std()), rel=0.05)
        assert layer.bias is not None
        assert float(layer.bias.detach().abs().max()) <= bound


def test_xavier_weights_and_no_biases() -> None:
    network = MLP(50, [400], initial="xavier")
    layer = network.layers[0]
    assert isinstance(layer, nn.Linear)
    bound = (6 / 450) ** 0.5
    assert float(layer.weight.detach().abs().max()) <= bound
    assert float(layer.weight.detach().std()) == pytest.approx(bound / 3**0.5, rel=0.05)
    assert not layer.bias.any()
    assert same(weights(network), weights(MLP(50, [400], initial="xavier")))
    assert not torch.equal(layer.weight, MLP(50, [400], initial="xavier", seed=1).layers[0].weight)


def test_an_unknown_way_to_draw_weights() -> None:
    with pytest.raises(ValueError) as error:
        MLP(4, initial="xaver")  # type: ignore[arg-type]
    assert str(error.value) == "initial is 'xaver'; did you mean 'xavier'? Known: torch, xavier"


def test_layers_inside_are_drawn_one_after_the_other() -> None:
    network = MLP(8, [8, 8])
    assert not torch.equal(network.layers[0].get_parameter("weight"), network.layers[1].get_parameter("weight"))
