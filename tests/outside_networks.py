"""Small seeded networks of the kinds that others write, each wrapped as what the measurements run."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from srn_deploy.errors import UnsuitableBatch

WIDTH = 4


@dataclass
class Running:
    """A network as a Run; remembers the sizes it was given."""

    network: nn.Module
    sizes: list[tuple[int, int]] = field(default_factory=list)

    @torch.no_grad()
    def __call__(self, image: NDArray[np.float32]) -> NDArray[np.float32]:
        self.sizes.append((image.shape[2], image.shape[3]))
        try:
            result: NDArray[np.float32] = self.network(torch.from_numpy(image)).numpy()
        except RuntimeError as error:
            raise UnsuitableBatch(str(error), remedy="Give another size.") from error
        return result


def running(network: type[nn.Module], *arguments: int | str) -> Running:
    """A seeded network of this class."""
    torch.manual_seed(0)
    return Running(network(*arguments).eval())


class Local(nn.Module):
    """Convolutions and a sub-pixel shuffle: it looks 1 + dilation + 1 pixels far."""

    def __init__(self, scale: int = 2, dilation: int = 1, channels: int = 3) -> None:
        super().__init__()
        self.head = nn.Conv2d(channels, WIDTH, 3, padding=1)
        self.body = nn.Conv2d(WIDTH, WIDTH, 3, padding=dilation, dilation=dilation)
        self.tail = nn.Conv2d(WIDTH, channels * scale**2, 3, padding=1)
        self.shuffle = nn.PixelShuffle(scale)

    def attended(self, features: Tensor) -> Tensor:
        """What the other networks put between body and tail."""
        return features

    def forward(self, image: Tensor) -> Tensor:
        features = functional.relu(self.body(functional.relu(self.head(image))))
        upscaled: Tensor = self.shuffle(self.tail(self.attended(features)))
        return upscaled


class Unshuffled(nn.Module):
    """Works on blocks of pixels: sides must be multiples of their side."""

    def __init__(self, block: int, scale: int = 2) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.PixelUnshuffle(block), nn.Conv2d(3 * block**2, WIDTH, 3, padding=1), nn.ReLU(),
                                    nn.Conv2d(WIDTH, 3 * (block * scale)**2, 3, padding=1),
                                    nn.PixelShuffle(block * scale))

    def forward(self, image: Tensor) -> Tensor:
        upscaled: Tensor = self.layers(image)
        return upscaled


class Windowed(Local):
    """Mixes the pixels of windows, whose side the image must be a multiple of."""

    def __init__(self, window: int) -> None:
        super().__init__()
        self.window = window

    def attended(self, features: Tensor) -> Tensor:
        batch, width, height, cols = features.shape
        side = self.window
        windows = features.view(batch, width, height // side, side, cols // side, side)
        return (windows + windows.mean(dim=(3, 5), keepdim=True)).reshape(features.shape)


class Halved(Local):
    """Pools by 2 and enlarges again: an odd side comes out one pixel short, times the scale, without an error."""

    def forward(self, image: Tensor) -> Tensor:
        return functional.interpolate(super().forward(functional.avg_pool2d(image, 2)), scale_factor=2.0)


class Reflecting(Local):
    """Pads by reflection, which takes sides that are longer than the padding only."""

    def __init__(self, padding: int) -> None:
        super().__init__()
        self.padding = padding

    def forward(self, image: Tensor) -> Tensor:
        border = self.padding
        padded = super().forward(functional.pad(image, (border, border, border, border), mode="reflect"))
        return padded[:, :, 2 * border:-2 * border, 2 * border:-2 * border]


class SpatialAttention(Local):
    """ESA's way: strided, pooled, convolved, and stretched to the size of the image."""

    def __init__(self) -> None:
        super().__init__()
        self.reduce, self.expand = nn.Conv2d(WIDTH, 2, 3, stride=2), nn.Conv2d(2, WIDTH, 3, padding=1)

    def attended(self, features: Tensor) -> Tensor:
        cells = self.expand(functional.max_pool2d(self.reduce(features), 7, 3))
        stretched = functional.interpolate(cells, features.shape[2:], mode="bilinear", align_corners=False)
        return features * torch.sigmoid(stretched)


class ChannelAttention(Local):
    """The mean over the whole image weighs every channel."""

    def attended(self, features: Tensor) -> Tensor:
        return features * torch.sigmoid(features.mean(dim=(2, 3), keepdim=True))


class ContrastAttention(Local):
    """As in IMDN: standard deviation and mean over the whole image."""

    def attended(self, features: Tensor) -> Tensor:
        spread = features.std(dim=(2, 3), keepdim=True, correction=0)
        return features * torch.sigmoid(spread + features.mean(dim=(2, 3), keepdim=True))


class MaximumAttention(Local):
    """The maximum over the whole image; NaN is swallowed, as some runtimes do."""

    def attended(self, features: Tensor) -> Tensor:
        numbers = torch.nan_to_num(features)
        return numbers * torch.sigmoid(numbers.amax(dim=(2, 3), keepdim=True))


class SwallowedNaN(Local):
    """Wide, but a NaN becomes zero behind the first layer."""

    def forward(self, image: Tensor) -> Tensor:
        features = functional.relu(torch.nan_to_num(self.head(image)))
        upscaled: Tensor = self.shuffle(self.tail(functional.relu(self.body(features))))
        return upscaled


class Returning(nn.Module):
    """No network: repeats every pixel, and then makes one mistake."""

    def __init__(self, mistake: str, rows: int = 2, cols: int = 2) -> None:
        super().__init__()
        self.mistake, self.rows, self.cols = mistake, rows, cols

    def forward(self, image: Tensor) -> Tensor:
        upscaled = image.repeat_interleave(self.rows, 2).repeat_interleave(self.cols, 3)
        height, width = image.shape[2:]
        if self.mistake == "always":
            raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")
        if self.mistake == "fixed" and (height, width) != (64, 64):
            raise RuntimeError("expected 64 x 64")
        if self.mistake == "square" and height != width:
            raise RuntimeError("expected a square")
        if self.mistake == "small" and max(height, width) > 70:
            raise RuntimeError("no position beyond 70")
        changed = {"infinite": upscaled / 0, "constant": 0 * upscaled, "cropped": upscaled[:, :, 5:-5, 5:-5],
                   "grey": upscaled[:, :1], "list": upscaled[0]}
        return changed.get(self.mistake, upscaled)
