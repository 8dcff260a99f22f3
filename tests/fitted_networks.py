"""Tiny networks that super-resolve the trial image: seeded features, and a last convolution fitted to the original."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from srn_deploy.architectures import ARCHITECTURES
from srn_deploy.architectures.image_residual import EnlargedImage, ImageResidual
from srn_deploy.image.trial_image import trial_pair
from tests.networks import OUTPUT_LAYERS

SMALLEST_PART = 1e-4
"""Of the largest singular value: smaller ones count as nothing in a fit."""


@torch.no_grad()
def fitted_network(architecture: str, *, value_range: float, biases: Mapping[str, float] | None = None,
                   **options: Any) -> nn.Module:
    """A network that gives the original of the trial image as nearly as its last layer can, in the value range.

    It is right with these options and this range, and only with them. biases: of whole layers by their names.
    """
    torch.manual_seed(0)
    family = ARCHITECTURES[architecture]
    network, spec = family.build(options).eval(), family.describe(options)
    small, original = (torch.from_numpy(image).permute(2, 0, 1).unsqueeze(0).float() * (value_range / 255)
                       for image in trial_pair(spec.scale))
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, nonlinearity="linear")
            if module.bias is not None:
                nn.init.normal_(module.bias, std=0.1 * value_range)
    for name, value in (biases or {}).items():
        network.get_parameter(f"{name}.bias").fill_(value)
    mode = ImageResidual(str(spec.options.get("image_residual", "none")))
    wanted = original if mode is ImageResidual.NONE else original - EnlargedImage(spec.scale, mode)(small)
    tail = network.get_submodule(OUTPUT_LAYERS[architecture])
    assert isinstance(tail, nn.Conv2d)
    assert tail.bias is not None
    weights = least_squares(_features(network, tail, small), functional.pixel_unshuffle(wanted, spec.scale))
    tail.weight.copy_(weights[:-1].T.reshape(tail.weight.shape))
    tail.bias.copy_(weights[-1])
    return network


def _features(network: nn.Module, tail: nn.Module, small: Tensor) -> Tensor:
    """What enters the last layer, (1, C, H, W)."""
    seen: list[Tensor] = []
    handle = tail.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    network(small)
    handle.remove()
    return seen[0]


def least_squares(features: Tensor, wanted: Tensor) -> Tensor:
    """The weights (9*C + 1, outputs) of a 3x3 convolution and its bias that give `wanted` from `features`.

    Features that hardly differ from sums of others get no weights of their own: these would be large, and a network
    with them would make whole levels of the roundings of float32, which are others on every CPU.
    """
    columns = functional.unfold(features, 3, padding=1)[0].T.double()
    columns = torch.cat([columns, torch.ones(len(columns), 1, dtype=torch.float64)], dim=1)
    target = wanted[0].flatten(1).T.double()
    return torch.linalg.lstsq(columns, target, rcond=SMALLEST_PART, driver="gelsd").solution.float()
