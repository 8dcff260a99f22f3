"""Seeded networks: as they are built, and such that behave like trained ones: signals pass, and attention matters."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from srn_deploy.architectures import ARCHITECTURES
from srn_deploy.architectures.checkpoint import LoadedNetwork
from srn_deploy.verification.sample_images import sample_images

OUTPUT_LAYERS = {"srn": "tail", "rlfn": "upsampler.0", "dipnet": "upsampler.0", "rfdn": "upsampler.0",
                 "imdn": "upsampler.0", "carn": "exit", "efdn": "tail.0", "fmen": "tail.0",
                 "bsrn": "upsampler.upsampleOneStep.0", "spanv2": "pointwise_conv",
                 "span": "upsampler.0", "rrdbnet": "conv_last"}
"""The last convolution of each family that is run as if it had been trained."""

AMPLIFIED = ("conv2", "conv3", "conv_max")
"""Layers that make attention vary over the picture, and what it weighs outlive it."""


def seeded(name: str, options: Mapping[str, Any]) -> nn.Module:
    """A network with the weights that it is built with, always the same."""
    torch.manual_seed(0)
    return ARCHITECTURES[name].build(options).eval()


def saved(folder: Path, state: Mapping[str, Any]) -> Path:
    """A checkpoint file of a state."""
    torch.save(dict(state), folder / "net.pth")
    return folder / "net.pth"


def outputs(*networks: nn.Module, height: int = 20, width: int = 24) -> list[Tensor]:
    """What each gives for one random image in 0..1."""
    image = torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        return [network(image) for network in networks]


def reach_px(network: nn.Module, scale: int, folded: int = 1) -> int:
    """How far to a side the input reaches on which a pixel depends, found by its gradient; the farthest one counts.

    folded: the side of squares whose pixels are folded into channels, so that they reach differently far.
    """
    network, middle, farthest = network.double(), 92, 0
    for at in range(middle, middle + folded):
        image = torch.rand(1, 3, 8, 2 * middle, dtype=torch.float64).requires_grad_()
        network(image)[..., scale * at:scale * (at + 1)].sum().backward()
        assert image.grad is not None
        cols = image.grad.abs().sum(dim=(0, 1, 2)).nonzero().flatten()
        farthest = max(farthest, at - int(cols.min()), int(cols.max()) - at)
    return farthest


def seeded_network(architecture: str = "srn", *, seed: int = 0, **options: Any) -> LoadedNetwork:
    """A small network with strong attention, scaled so that pictures in 0..1 give outputs of that range."""
    family = ARCHITECTURES[architecture]
    torch.manual_seed(seed)
    network = family.build(options)
    for name, module in network.named_modules():
        if isinstance(module, nn.Conv2d) and module.weight.requires_grad:
            nn.init.kaiming_normal_(module.weight, nonlinearity="linear")
            if name.endswith(AMPLIFIED):
                module.weight.data *= 2
    spec = family.describe(options)
    if architecture in OUTPUT_LAYERS:
        _tame(network, OUTPUT_LAYERS[architecture])
        spec = replace(spec, value_range=1.0)
    return LoadedNetwork(network=network.eval().requires_grad_(False), spec=spec)


@torch.no_grad()
def _tame(network: nn.Module, output_layer: str) -> None:
    """Scale the last layer so that a picture comes out with a mean of 0.5 and a standard deviation of 0.25."""
    picture = torch.from_numpy(next(iter(sample_images()))).permute(2, 0, 1).unsqueeze(0).float() / 255
    tail = network.get_submodule(output_layer)
    assert isinstance(tail, nn.Conv2d)
    if tail.bias is None:
        tail.weight *= 0.5 / network(picture).abs().mean()
        return
    tail.bias.zero_()
    tail.weight /= 4 * network(picture).std()
    tail.bias.add_(0.5)


def large_picture(height: int, width: int) -> NDArray[np.float32]:
    """A natural-looking picture (height, width, 3) in 0..1, made of mirrored proof pictures."""
    (_, _, picture) = sample_images()
    missing = ((0, max(0, height - picture.shape[0])), (0, max(0, width - picture.shape[1])), (0, 0))
    return (np.pad(picture, missing, mode="reflect")[:height, :width] / np.float32(255)).astype(np.float32)
