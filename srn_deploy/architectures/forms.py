"""The two forms in which a network is exported: pixels in, pixels out, with the value range folded in."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from srn_deploy.spec import PixelType


class PortableForm(nn.Module):
    """float32 NCHW RGB in 0..1 to the same, not clipped: any runtime can run this on whole images."""

    def __init__(self, network: nn.Module, value_range: float) -> None:
        super().__init__()
        self.network, self.value_range = network, value_range

    def forward(self, rgb: Tensor) -> Tensor:
        """(N, 3, H, W) to (N, 3, scale*H, scale*W)."""
        upscaled: Tensor = self.network(_scaled(rgb, self.value_range))
        return _scaled(upscaled, 1.0 / self.value_range)


class HalfCore(nn.Module):
    """A network in FP16, or in BF16, between float32 inputs and outputs; the given network is converted in place."""

    def __init__(self, network: nn.Module, dtype: torch.dtype = torch.float16) -> None:
        super().__init__()
        self.network, self._dtype = network.to(dtype), dtype

    def forward(self, *inputs: Tensor) -> Tensor:
        """The forward of the network, with float32 inputs and output."""
        upscaled: Tensor = self.network(*(tensor.to(self._dtype) for tensor in inputs))
        return upscaled.float()


class DeployForm(nn.Module):
    """NHWC pixels to NHWC pixels: uint8 in 0..255, or float32 in 0..1; clipped, uint8 also rounded.

    The casts are the first and the last step, because TensorRT accepts uint8 nowhere else.
    """

    def __init__(self, network: nn.Module, value_range: float, pixel_type: PixelType) -> None:
        super().__init__()
        self.network, self.pixel_type = network, pixel_type
        self.pixel_range = 255.0 if pixel_type is PixelType.UINT8 else 1.0
        self.gain = value_range / self.pixel_range

    def forward(self, pixels: Tensor) -> Tensor:
        """(N, H, W, 3) to (N, s*H, s*W, 3)."""
        rgb = _scaled(pixels.float().permute(0, 3, 1, 2), self.gain)
        upscaled = self.network(rgb)
        clipped = _scaled(upscaled, 1.0 / self.gain).clamp(0.0, self.pixel_range)
        if self.pixel_type is PixelType.FLOAT32:
            return clipped.permute(0, 2, 3, 1)
        return clipped.round().permute(0, 2, 3, 1).to(torch.uint8)


def _scaled(values: Tensor, gain: float) -> Tensor:
    """Multiply by the gain, without a node in the graph if it is 1."""
    return values if gain == 1.0 else values * gain
