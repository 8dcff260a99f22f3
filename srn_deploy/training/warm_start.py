"""Weights of a trained network for one that is deeper, or enlarges by another factor, so that training goes on.

What is made starts near the trained network's quality; copying alone leaves new blocks and the tail with random
weights, and the network has to find the way back.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional

from srn_deploy.errors import OptionError

SHIFT = 1.0
"""Added to the features of a new block before its LeakyReLU and taken away behind it, in units of the value range: the
features of a trained SRN are seldom below -1, so the activation changes next to nothing at first."""

OPEN_ATTENTION_BIAS = 4.0
"""Sigmoid(4) = 0.982; the convolution before the attention makes up for the rest."""


@torch.no_grad()
def deepened(network: nn.Module, weights: Mapping[str, Tensor], value_range: float) -> dict[str, Tensor]:
    """The weights, and those of blocks that they lack, which pass their input on almost unchanged.

    network: an SRN with more blocks than the one that the weights are of. value_range: of both. Returns tensors by the
    network's keys. Raises OptionError for another network, or one that is not deeper.
    """
    trunk = getattr(network, "recon_trunk", None)
    if not isinstance(trunk, nn.ModuleList):
        raise OptionError("Only an SRN can be deepened.", remedy="Leave out warm_start in the recipe.")
    fresh = [number for number in range(len(trunk)) if f"recon_trunk.{number}.conv1.weight" not in weights]
    if not fresh:
        raise OptionError(f"The initial checkpoint has all {len(trunk)} blocks of this network: nothing is deepened.",
                          remedy="Give more blocks in the options, or leave out warm_start.")
    made = dict(weights)
    for number in fresh:
        block = _passing_on(trunk[number], SHIFT * value_range)
        made |= {f"recon_trunk.{number}.{key}": value for key, value in block.items()}
    return made


def _passing_on(block: nn.Module, shift: float) -> dict[str, Tensor]:
    """Weights with which a block gives what it is given, where that is above -shift."""
    made = {key: value.clone() for key, value in block.state_dict().items()}
    identity = torch.zeros_like(made["conv1.weight"])
    nn.init.dirac_(identity)
    if getattr(block, "residual", False):
        made["conv2.weight"].zero_()
        made["conv2.bias"].zero_()
        return made
    open_share = 1.0
    if "ESA.conv4.weight" in made:
        made["ESA.conv4.weight"].zero_()
        made["ESA.conv4.bias"].fill_(OPEN_ATTENTION_BIAS)
        open_share = 1 / (1 + math.exp(-OPEN_ATTENTION_BIAS))
    made["conv1.weight"], made["conv1.bias"] = identity, torch.full_like(made["conv1.bias"], shift)
    made["conv2.weight"] = identity / open_share
    made["conv2.bias"] = torch.full_like(made["conv2.bias"], -shift / open_share)
    return made


def rescaled(network: nn.Module, weights: Mapping[str, Tensor], scale: int, to_scale: int) -> dict[str, Tensor]:
    """The weights with their sub-pixel tail for another scale: each new sub-pixel is the mean of those in its place.

    scale: of the network that the weights are of, to_scale: of `network`. From x4 to x2 the result is what averaging
    2x2 pixels of the old one's output gives. Returns tensors by the network's keys. Raises OptionError where the
    scales are equal, or no tensor has a value for each sub-pixel of each colour.
    """
    if scale == to_scale:
        raise OptionError(f"The initial checkpoint is for x{scale} as well: nothing is rescaled.",
                          remedy="Leave out warm_start in the recipe.")
    current, made = network.state_dict(), dict(weights)
    tails = [key for key, value in weights.items() if key in current and _is_tail(value, current[key], scale, to_scale)]
    if not tails:
        raise OptionError("The initial checkpoint has no sub-pixel tail that could be rescaled.",
                          remedy="Leave out warm_start in the recipe: all but the tail is copied.")
    for key in tails:
        made[key] = _rescaled_tail(weights[key], scale, to_scale)
    return made


def _is_tail(value: Tensor, current: Tensor, scale: int, to_scale: int) -> bool:
    return (value.shape[1:] == current.shape[1:] and value.shape[:1] == (3 * scale**2,)
            and current.shape[:1] == (3 * to_scale**2,))


def _rescaled_tail(tail: Tensor, scale: int, to_scale: int) -> Tensor:
    """A tensor (3 * scale^2, ...), ordered as PixelShuffle takes it, as (3 * to_scale^2, ...)."""
    sub_pixels = tail.reshape(3, scale, scale, -1).permute(0, 3, 1, 2)
    averaged = functional.adaptive_avg_pool2d(sub_pixels, to_scale)
    return averaged.permute(0, 2, 3, 1).reshape(3 * to_scale**2, *tail.shape[1:])
