"""First weights that let a chain without residuals learn.

PyTorch's default shrinks a signal by about 1/sqrt(3) per convolution and each attention halves it:
after four blocks little of the deep path is left, and training long stays where the head and the tail
alone can come, near bicubic. With convolutions that begin as the identity plus noise and an attention
that begins nearly open it passes that point within its first hundreds of steps.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from srn_deploy.errors import OptionError

NOISE = 0.5
"""Of the He-normal part beside the identity."""

OPEN_ATTENTION_BIAS = 2.0
"""Sigmoid(2) = 0.88."""


@torch.no_grad()
def initialise(network: nn.Module) -> None:
    """Give the non-residual blocks of an SRN weights that pass the signal on; other networks keep theirs."""
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


@torch.no_grad()
def begin_with(network: nn.Module, weights: Mapping[str, Tensor]) -> str:
    """Take over every tensor of the same name and shape; returns in words how many, and which were not.

    So a network of six blocks begins with four trained ones, and one of x2 with all but the tail of x4.
    Raises OptionError where nothing fits.
    """
    own = network.state_dict()
    fitting = {key: value for key, value in weights.items() if key in own and own[key].shape == value.shape}
    if not fitting:
        raise OptionError("The weights to begin with fit this network nowhere: it is another one.",
                          remedy="Give the checkpoint of a network of the same family and width.")
    network.load_state_dict({**own, **fitting})
    fresh = sorted(set(own) - set(fitting))
    rest = f"; first weights of their own have {', '.join(fresh[:3])}{' …' if len(fresh) > 3 else ''}" if fresh else ""
    return f"Begun with {len(fitting)} of {len(own)} tensors{rest}."
