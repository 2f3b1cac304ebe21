"""Networks: inputs to features. The learner owns the head."""

from torch import nn

from lifelong.models.adopted import adopt
from lifelong.models.convolutional import ConvNet
from lifelong.models.mlp import MLP

MODELS: dict[str, type[nn.Module]] = {"mlp": MLP, "convnet": ConvNet}

__all__ = ["MLP", "MODELS", "ConvNet", "adopt"]
