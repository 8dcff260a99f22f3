"""First weights that let a chain of blocks without residuals learn.

PyTorch's default initialization shrinks a signal by about 1/sqrt(3) per convolution, and each attention halves it.
After four blocks little of the deep path is left, and training stays for a long time near bicubic, which is as far as
head and tail alone can get. With convolutions that start as the identity plus noise, and an attention that starts
nearly open, training passes that point within its first few hundred steps.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

NOISE = 0.5
"""Factor of the He-normal noise that is added to the identity."""

OPEN_ATTENTION_BIAS = 2.0
"""Sigmoid(2) = 0.88."""


@torch.no_grad()
def set_first_weights(network: nn.Module) -> None:
    """Give the non-residual blocks of an SRN weights that pass the signal on; other networks keep their weights."""
    for block in network.modules():
        if getattr(block, "residual", True):
            continue
        for name in ("conv1", "conv2"):
            convolution = getattr(block, name)
            nn.init.kaiming_normal_(convolution.weight, nonlinearity="linear")
            convolution.weight.mul_(NOISE).add_(nn.init.dirac_(torch.empty_like(convolution.weight)))
            nn.init.zeros_(convolution.bias)
        attention: Any = getattr(block, "ESA", None)
        if attention is not None:
            nn.init.constant_(attention.conv4.bias, OPEN_ATTENTION_BIAS)
