"""What several networks are made of."""

from __future__ import annotations

from collections import OrderedDict

from torch import nn


def named(**layers: nn.Module) -> nn.Sequential:
    """Layers one after the other, under the keys that published files have for them."""
    return nn.Sequential(OrderedDict(layers))
