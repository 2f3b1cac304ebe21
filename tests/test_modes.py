import pytest
import torch
from torch import nn

from lifelong.models import ConvNet
from lifelong.modes import RandomState, buffers_kept, evaluation_mode
from toys import same, weights


def network() -> nn.Sequential:
    return nn.Sequential(ConvNet(1, [2]), nn.Dropout(0.5), nn.Linear(2, 2))


def test_every_module_is_back_in_its_own_mode() -> None:
    net = network()
    net.train()
    net[0].eval()
    modes = [module.training for module in net.modules()]
    with evaluation_mode(net):
        assert not any(module.training for module in net.modules())
    assert [module.training for module in net.modules()] == modes
    with pytest.raises(RuntimeError), evaluation_mode(net):
        raise RuntimeError
    assert [module.training for module in net.modules()] == modes


def test_buffers_are_back_as_they_were() -> None:
    net = network()
    before = weights(net)
    with buffers_kept(list(net.buffers())):
        net(torch.rand(4, 1, 4, 4))
        assert not same(weights(net), before)
    assert same(weights(net), before)
    with pytest.raises(RuntimeError), buffers_kept(list(net.buffers())):
        net(torch.rand(4, 1, 4, 4))
        raise RuntimeError
    assert same(weights(net), before)


def test_random_numbers_inside_are_its_own_and_those_outside_go_on() -> None:
    torch.manual_seed(5)
    expected = [torch.rand(1) for _ in range(3)]
    torch.manual_seed(5)
    random = RandomState(7, torch.device("cpu"))
    own = []
    outside = []
    for _ in range(3):
        outside.append(torch.rand(1))
        with random:
            own.append(torch.rand(1))
    assert outside == expected
    generator = torch.Generator().manual_seed(7)
    assert own == [torch.rand(1, generator=generator) for _ in range(3)]


@pytest.mark.parametrize("fails", [False, True])
def test_it_can_be_used_inside_itself(fails: bool) -> None:
    torch.manual_seed(5)
    outside = torch.get_rng_state()
    random = RandomState(7, torch.device("cpu"))
    with random:
        first = torch.rand(1)
        if fails:
            with pytest.raises(RuntimeError), random:
                raise RuntimeError
        else:
            with random:
                pass
        current = torch.get_rng_state()
        assert torch.equal(random.own()["cpu"], current)
        second = torch.rand(1)
    assert torch.equal(torch.get_rng_state(), outside)
    generator = torch.Generator().manual_seed(7)
    assert [first, second] == [torch.rand(1, generator=generator) for _ in range(2)]


def test_own_state_inside_and_outside() -> None:
    random = RandomState(7, torch.device("cpu"))
    assert torch.equal(random.own()["cpu"], torch.Generator().manual_seed(7).get_state())
    with random:
        torch.rand(1)
        inside = random.own()["cpu"]
    assert torch.equal(random.own()["cpu"], inside)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_the_devices_generator_is_its_own_too() -> None:
    device = torch.device("cuda")
    torch.cuda.manual_seed(5)
    expected = torch.rand(2, device=device)
    torch.cuda.manual_seed(5)
    with RandomState(7, device):
        torch.rand(1, device=device)
    assert torch.equal(torch.rand(2, device=device), expected)
