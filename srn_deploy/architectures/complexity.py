"""Counts parameters, FLOPs, activations and convolutions by the rules of the NTIRE challenge.

The rules were fitted to Table 5 of the paper and reproduce it to the digit for the challenge model: a convolution costs
kernel area x input channels x output elements (no bias), a ReLU of any kind costs one per element, and pooling,
interpolation, sigmoid and sub-pixel shuffle are free. Activations are the output elements of all convolutions. In
networks for luma alone, the conversion of colours and the bicubic enlargement are free too.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass

import torch
from torch import Tensor, nn

REFERENCE_SIDE_PX = 256
"""Table 5 counts for an input of 256 x 256 pixels."""


@dataclass(frozen=True, kw_only=True)
class Complexity:
    """The cost of one forward pass."""

    parameters: int
    flops: int
    activations: int
    convolutions: int


def count(network: nn.Module, *, height: int = REFERENCE_SIDE_PX, width: int = REFERENCE_SIDE_PX,
          channels: int = 3) -> Complexity:
    """Count one forward pass over (1, channels, height, width), on meta tensors, so nothing is computed.

    height, width: of the input, in pixels. The network is not changed.
    """
    totals = {"flops": 0, "activations": 0, "convolutions": 0}

    def on_convolution(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        assert isinstance(module, nn.Conv2d | nn.ConvTranspose2d)
        kernel_h, kernel_w = module.kernel_size
        if isinstance(module, nn.Conv2d):
            totals["flops"] += kernel_h * kernel_w * module.in_channels // module.groups * output.numel()
        else:  # every element of the input contributes to a whole kernel
            totals["flops"] += kernel_h * kernel_w * module.out_channels // module.groups * inputs[0].numel()
        totals["activations"] += output.numel()
        totals["convolutions"] += 1

    def on_activation(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        totals["flops"] += output.numel()

    copied = _on_meta_device(network)
    for module in copied.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            module.register_forward_hook(on_convolution)
        elif isinstance(module, nn.ReLU | nn.LeakyReLU | nn.PReLU):
            module.register_forward_hook(on_activation)
    with torch.no_grad():
        copied(torch.empty(1, channels, height, width, device="meta"))
    return Complexity(parameters=sum(p.numel() for p in network.parameters()), **totals)


def _on_meta_device(network: nn.Module) -> nn.Module:
    """A copy without weights, which keeps the hooks away from the original."""
    return copy.deepcopy(network).to("meta")
