"""Enhanced Spatial Attention in its three forms: the paper's new one (section 4.3, figure 4), RLFN's, RFDN's.

The attention map is pooled on a grid of 6-pixel cells (3x3 stride 2 without padding, then 7x7 max-pool with stride 3)
and stretched back over the image. The stretch depends on the size of the whole image; windows are given it by
`window_form`, and graphs by `srn_deploy.graph.exact_tiling`.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional


def stretch_cells(cells: Tensor, like: Tensor) -> Tensor:
    """Stretch cells (N, C, p, q) to the height and width of `like`, bilinearly with half-pixel centres."""
    return functional.interpolate(cells, size=like.shape[-2:], mode="bilinear", align_corners=False)


class NewEsa(nn.Module):
    """The paper's ESA (figure 4): one 3x3 convolution on the cells, and the output of the first 1x1 added back."""

    def __init__(self, channels: int, esa_channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, esa_channels, 1)
        self.conv2 = nn.Conv2d(esa_channels, esa_channels, 3, stride=2)
        self.conv3 = nn.Conv2d(esa_channels, esa_channels, 3, padding=1)
        self.conv4 = nn.Conv2d(esa_channels, channels, 1)

    def forward(self, features: Tensor) -> Tensor:
        """Features (N, C, H, W), H and W at least 15, multiplied by an attention map in 0..1 of the same shape."""
        squeezed = self.conv1(features)
        cells = self.conv3(functional.max_pool2d(self.conv2(squeezed), kernel_size=7, stride=3))
        spread = stretch_cells(cells, squeezed)
        return features * torch.sigmoid(self.conv4(spread + squeezed))


class LightEsa(nn.Module):
    """ESA of RLFN and DIPNet: one 3x3 convolution on the cells as in NewEsa, and a 1x1 on the skip as in OldEsa."""

    def __init__(self, channels: int, esa_channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, esa_channels, 1)
        self.conv_f = nn.Conv2d(esa_channels, esa_channels, 1)
        self.conv2 = nn.Conv2d(esa_channels, esa_channels, 3, stride=2)
        self.conv3 = nn.Conv2d(esa_channels, esa_channels, 3, padding=1)
        self.conv4 = nn.Conv2d(esa_channels, channels, 1)

    def forward(self, features: Tensor) -> Tensor:
        """Features (N, C, H, W), H and W at least 15, multiplied by an attention map in 0..1 of the same shape."""
        squeezed = self.conv1(features)
        cells = self.conv3(functional.max_pool2d(self.conv2(squeezed), kernel_size=7, stride=3))
        spread = stretch_cells(cells, squeezed)
        return features * torch.sigmoid(self.conv4(spread + self.conv_f(squeezed)))


class OldEsa(nn.Module):
    """ESA before the paper's change, as in RFDN: three 3x3 with ReLU on the cells, and a 1x1 on the skip."""

    def __init__(self, channels: int, esa_channels: int, *, activation: nn.Module | None = None,
                 on_cells: Callable[[], nn.Module] | None = None, to_cells: nn.Module | None = None) -> None:
        """activation, on_cells, to_cells: instead of ReLU, of each 3x3 on the cells, and of the 3x3 with a stride."""
        super().__init__()
        made = on_cells or (lambda: nn.Conv2d(esa_channels, esa_channels, 3, padding=1))
        self.conv1 = nn.Conv2d(channels, esa_channels, 1)
        self.conv_f = nn.Conv2d(esa_channels, esa_channels, 1)
        self.conv_max = made()
        self.conv2 = to_cells or nn.Conv2d(esa_channels, esa_channels, 3, stride=2)
        self.conv3 = made()
        self.conv3_ = made()
        self.conv4 = nn.Conv2d(esa_channels, channels, 1)
        self.activation = activation or nn.ReLU()

    def forward(self, features: Tensor) -> Tensor:
        """Features (N, C, H, W), H and W at least 15, multiplied by an attention map in 0..1 of the same shape."""
        squeezed = self.conv1(features)
        cells = functional.max_pool2d(self.conv2(squeezed), kernel_size=7, stride=3)
        cells = self.conv3_(self.activation(self.conv3(self.activation(self.conv_max(cells)))))
        spread = stretch_cells(cells, squeezed)
        return features * torch.sigmoid(self.conv4(spread + self.conv_f(squeezed)))
