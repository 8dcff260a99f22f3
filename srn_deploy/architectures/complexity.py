"""Parameters, FLOPs, activations and convolutions, counted as the challenge counts them.

The rules were fitted to Table 5 of the paper and equal it to the digit for the challenge model: a
convolution costs kernel area x input channels x output elements (no bias); a ReLU of any kind costs
one per element; pooling, interpolation, sigmoid and sub-pixel shuffle are free. Activations are the
output elements of all convolutions. The shell of networks that see luma alone (colours, bicubic) is free too.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass

import torch
from torch import Tensor, nn

REFERENCE_SIDE_PX = 256
"""The challenge counts at 256 x 256 (Table 5)."""


@dataclass(frozen=True, kw_only=True)
class Complexity:
    """What one forward pass costs."""

    parameters: int
    flops: int
    activations: int
    convolutions: int


def count(network: nn.Module, *, height: int = REFERENCE_SIDE_PX, width: int = REFERENCE_SIDE_PX,
          channels: int = 3) -> Complexity:
    """Count one pass over (1, channels, height, width) without computing it (meta tensors)."""
    totals = {"flops": 0, "activations": 0, "convolutions": 0}

    def on_convolution(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        assert isinstance(module, nn.Conv2d | nn.ConvTranspose2d)
        kernel_h, kernel_w = module.kernel_size
        if isinstance(module, nn.Conv2d):
            totals["flops"] += kernel_h * kernel_w * module.in_channels // module.groups * output.numel()
        else:  # every element of the input is spread over the kernel
            totals["flops"] += kernel_h * kernel_w * module.out_channels // module.groups * inputs[0].numel()
        totals["activations"] += output.numel()
        totals["convolutions"] += 1

    def on_activation(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        totals["flops"] += output.numel()

    twin = _meta_twin(network)
    for module in twin.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            module.register_forward_hook(on_convolution)
        elif isinstance(module, nn.ReLU | nn.LeakyReLU | nn.PReLU):
            module.register_forward_hook(on_activation)
    with torch.no_grad():
        twin(torch.empty(1, channels, height, width, device="meta"))
    return Complexity(parameters=sum(p.numel() for p in network.parameters()), **totals)


def _meta_twin(network: nn.Module) -> nn.Module:
    """A copy without weights, so that hooks and shapes leave the original alone."""
    return copy.deepcopy(network).to("meta")
