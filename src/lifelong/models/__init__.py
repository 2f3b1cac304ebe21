"""Networks: inputs to features. The learner owns the head."""

from torch import nn

from lifelong.models.adopted import adopt
from lifelong.models.convolutional import ConvNet
from lifelong.models.mlp import MLP
from lifelong.models.resnet import ReducedResNet18

MODELS: dict[str, type[nn.Module]] = {"mlp": MLP, "convnet": ConvNet, "resnet18-reduced": ReducedResNet18}

__all__ = ["MLP", "MODELS", "ConvNet", "ReducedResNet18", "adopt"]
