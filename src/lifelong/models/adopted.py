"""Taking over a classifier that was trained outside the library."""

import copy
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from lifelong.errors import TaskError, nearest
from lifelong.tasks import Name


class Adopted(nn.Module):
    """A user's complete classifier as features; its last linear layer is what the learner's head starts from. Made by `adopt`."""

    def __init__(self, network: nn.Module, head: nn.Linear, classes: tuple[Name, ...]) -> None:
        super().__init__()
        self.network = network
        self.classes = classes
        self.register_buffer("head_weight", head.weight.detach().clone(), persistent=False)
        bias = head.bias if head.bias is not None else torch.zeros(head.out_features, dtype=head.weight.dtype, device=head.weight.device)
        self.register_buffer("head_bias", bias.detach().clone(), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        features: Tensor = self.network(x)
        return features


def adopt(network: nn.Module, classes: Sequence[Name], *, head: str | None = None, example: Tensor | None = None) -> Adopted:
    """Takes over a trained classifier: its last linear layer becomes the head with the classes that it knows, the rest the features.

    The network itself is copied, not changed. Use it with the scenario "class" or "domain".

    The learner then goes on from what the network knows: it predicts as the network did, and learns tasks with new classes, known ones,
    or both. Docs: docs/adopt.md.

    Args:
        network: maps inputs (N, ...) to logits (N, C), its last step a Linear layer.
        classes: the names of the C outputs, in order: strings or integers, as the labels of later tasks will be.
        head: the name of that Linear layer, as in `network.named_modules()`. None: the last Linear that was registered.
        example: a few inputs; given, it is checked that features and head reproduce the network's logits.

    Raises:
        TaskError: no such layer, another number of outputs than names, or (with `example`) different logits.

    >>> trained = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))
    >>> adopt(trained, classes=["cat", "dog"]).classes
    ('cat', 'dog')
    """
    linear = {name: module for name, module in network.named_modules() if isinstance(module, nn.Linear)}
    if not linear:
        raise TaskError(f"{type(network).__name__} has no Linear layer to become the head; adopt takes classifiers that end in one")
    names = tuple(each.item() if isinstance(each, Tensor | np.generic) else each for each in classes)
    strange = [each for each in names if not isinstance(each, str | int)]
    if strange:
        raise TaskError(f"class {strange[0]!r} is of type {type(strange[0]).__name__}; class names are strings or integers")
    name = next(reversed(linear)) if head is None else head
    if name not in linear:
        raise TaskError(f"{type(network).__name__} has no Linear layer {name!r}; {nearest(name, linear)}")
    if len(set(names)) != len(names) or len(names) != linear[name].out_features:
        raise TaskError(f"layer {name!r} has {linear[name].out_features} outputs, but classes are {list(names)}; name each output once")
    if name == "":
        adopted = Adopted(nn.Flatten(), linear[name], names)
    else:
        copied = copy.deepcopy(network)
        parent, _, last = name.rpartition(".")
        setattr(copied.get_submodule(parent), last, nn.Identity())
        adopted = Adopted(copied, linear[name], names)
    if example is not None:
        _check_same(network, adopted, example, name)
    return adopted


def _check_same(network: nn.Module, adopted: Adopted, example: Tensor, name: str) -> None:
    text = f"layer {name!r} is not the network's last step: its outputs on `example` differ from the network's; name the right one"
    copied = copy.deepcopy(network).eval()
    features = copy.deepcopy(adopted).eval()
    weight, bias = torch.as_tensor(adopted.head_weight), torch.as_tensor(adopted.head_bias)
    with torch.no_grad():
        expected = copied(example)
        try:
            got = nn.functional.linear(features(example), weight, bias)
        except RuntimeError as error:  # without that layer, shapes do not fit
            raise TaskError(text) from error
    if expected.shape != got.shape or not torch.allclose(expected, got, rtol=1e-4, atol=1e-5):
        raise TaskError(text)
