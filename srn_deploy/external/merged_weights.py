"""Networks that merge the weights of their branches anew in every pass have them merged once, before they are traced.

SPAN (Wan et al., CVPRW 2024) and what was made from it assign the merged weights to `eval_conv.weight.data` inside
`forward`. Tracing such an assignment crashes PyTorch.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, runtime_checkable

from torch import nn


@runtime_checkable
class _Merging(Protocol):
    """A layer that has branches for training and one convolution for inference."""

    eval_conv: nn.Module
    update_params: Callable[[], None]


def merge_once(network: nn.Module) -> int:
    """Merge the weights of every such layer now, and never again; returns how many there are.

    The network must have its weights. It computes what it computed before.
    """
    layers = [layer for layer in network.modules() if isinstance(layer, _Merging)]
    for layer in layers:
        layer.update_params()
        layer.update_params = _nothing
    return len(layers)


def _nothing() -> None:
    """Stands for merging that was done."""
