"""Networks: inputs to features. The learner owns the head."""

from torch import nn

from lifelong.models.adopted import adopt
from lifelong.models.convolutional import ConvNet
from lifelong.models.gru import GRU
from lifelong.models.memory_network import MemoryNetwork
from lifelong.models.mlp import MLP
from lifelong.models.resnet import ReducedResNet18

MODELS: dict[str, type[nn.Module]] = {
    "mlp": MLP,
    "convnet": ConvNet,
    "resnet18-reduced": ReducedResNet18,
    "memory-network": MemoryNetwork,
    "gru": GRU,
}

__all__ = ["GRU", "MLP", "MODELS", "ConvNet", "MemoryNetwork", "ReducedResNet18", "adopt"]
