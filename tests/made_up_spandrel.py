"""A package like spandrel, made up for tests: one small network, and descriptors that say what a test wants."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import ModuleType

import torch
from torch import Tensor, nn
from torch.nn import functional

CHANNELS, SCALE = 3, 2


class Net(nn.Module):
    """One convolution and a shuffle, which takes sides that are multiples of `multiple` alone."""

    def __init__(self, channels: int = CHANNELS, multiple: int = 1, outputs: int = 1) -> None:
        super().__init__()
        self.multiple, self.outputs = multiple, outputs
        self.odd_name = nn.Conv2d(channels, channels * SCALE**2, 3, padding=1)

    def forward(self, image: Tensor) -> Tensor | tuple[Tensor, ...]:
        """(N, C, H, W) to (N, C, 2H, 2W)."""
        folded = functional.pixel_shuffle(functional.pixel_unshuffle(image, self.multiple), self.multiple)
        upscaled = functional.pixel_shuffle(self.odd_name(folded), SCALE)
        return upscaled if self.outputs == 1 else (upscaled,) * self.outputs


@dataclass(kw_only=True)
class Requirements:
    """As spandrel's."""

    minimum: int = 0
    multiple_of: int = 1
    square: bool = False


@dataclass(kw_only=True)
class Family:
    """As spandrel's."""

    name: str = "MadeUp"


@dataclass(kw_only=True)
class Descriptor:
    """As spandrel's: it clips what the network gives, and pads what it takes."""

    model: nn.Module
    purpose: str = "SR"
    tags: list[str] = field(default_factory=lambda: ["1 layer"])
    scale: int = SCALE
    input_channels: int = CHANNELS
    output_channels: int = CHANNELS
    size_requirements: Requirements = field(default_factory=Requirements)
    architecture: Family = field(default_factory=Family)
    offset: float = 0.0
    """What it adds besides."""

    def __call__(self, image: Tensor) -> Tensor:
        """Run the network."""
        upscaled = self.model(image)
        first: Tensor = upscaled[0] if isinstance(upscaled, tuple) else upscaled
        return (first + self.offset).clamp(0, 1)


class UnsupportedModelError(Exception):
    """As spandrel's."""


def made_up(describe: Callable[[nn.Module], Descriptor] | None = None, **settings: int) -> ModuleType:
    """A module to stand for spandrel. settings: of the network."""
    class ModelLoader:
        def load_from_state_dict(self, state: Mapping[str, Tensor]) -> Descriptor:
            if "odd_name.weight" not in state:
                raise UnsupportedModelError
            network = Net(**settings)
            network.load_state_dict(dict(state))
            return describe(network) if describe else Descriptor(model=network)

    module = ModuleType("spandrel")
    module.__dict__.update(ModelLoader=ModelLoader, UnsupportedModelError=UnsupportedModelError, __version__="0")
    return module


def nearest_state(channels: int = CHANNELS) -> dict[str, Tensor]:
    """Weights that enlarge by a bilinear step: nearly bicubic interpolation, with some noise."""
    generator = torch.Generator().manual_seed(0)
    weight = torch.rand(channels * SCALE**2, channels, 3, 3, generator=generator) * 0.02
    for channel in range(channels):
        weight[channel * SCALE**2:(channel + 1) * SCALE**2, channel, 1, 1] += 1 - 0.01 * 9 * channels
    return {"odd_name.weight": weight, "odd_name.bias": torch.zeros(channels * SCALE**2) + math.ulp(1.0)}
