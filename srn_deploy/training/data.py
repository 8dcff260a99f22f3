"""Training pictures: decoded once, kept as uint8 on the training device, patches cut there.

All pictures lie in one flat buffer of pixels, so that a whole batch, augmented, is one gather: a fast
device never waits for a Python loop.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from srn_deploy.errors import SrnDeployError, TrainingError
from srn_deploy.image import find_images, read_image
from srn_deploy.resample import resize_uint8

VALIDATION_SHARE = 50
"""Every 50th picture of the folder is held out for validation."""

MOST_LINES_TOLD = 10
"""Of a folder full of damaged files, each would be a line."""


@dataclass(frozen=True, kw_only=True)
class Pair:
    """One picture: hr uint8 (scale*h, scale*w, 3) and lr uint8 (h, w, 3), RGB."""

    name: str
    hr: NDArray[np.uint8]
    lr: NDArray[np.uint8]


@dataclass(frozen=True, kw_only=True)
class Pictures:
    """What a folder gave: pairs to train with, and in words every reason why a file was left out."""

    pairs: list[Pair]
    left_out: list[str]


def load_pictures(folder: Path, scale: int, *, smallest_px: int = 1) -> Pictures:
    """Every picture under a folder with its bicubic LR, sorted by path.

    HR is cropped to a multiple of the scale. Pictures below `smallest_px` HR pixels a side and unreadable
    ones are left out, and told; raises TrainingError when none is left.
    """
    if not folder.is_dir():
        raise TrainingError(f"{folder} is no folder.", remedy="Give a folder of HR pictures with --data.")
    pairs, unreadable, small = [], [], []
    for path in find_images(folder):
        name = str(path.relative_to(folder))
        try:
            hr = read_image(path).as_rgb8()
        except SrnDeployError as error:
            unreadable.append(f"Left out: {error.message}")
            continue
        height, width = (side - side % scale for side in hr.shape[:2])
        if min(height, width) < max(smallest_px, scale):
            small.append(name)
            continue
        hr = np.ascontiguousarray(hr[:height, :width])
        pairs.append(Pair(name=name, hr=hr, lr=resize_uint8(hr, height // scale, width // scale)))
    if not pairs:
        raise TrainingError(f"{folder} holds no picture of at least {smallest_px} x {smallest_px} px "
                            f"({len(small)} smaller, {len(unreadable)} unreadable).",
                            remedy="Give a folder of HR pictures with --data, or choose a recipe with a smaller patch.")
    return Pictures(pairs=pairs, left_out=_shortened(unreadable) + _told_small(small, smallest_px))


def _shortened(lines: list[str]) -> list[str]:
    """The first few lines, and how many more there are."""
    more = len(lines) - MOST_LINES_TOLD
    return lines if more <= 0 else [*lines[:MOST_LINES_TOLD], f"Left out: {more} more unreadable pictures."]


def _told_small(names: list[str], smallest_px: int) -> list[str]:
    return [f"Left out: {len(names)} pictures below {smallest_px} px a side, {names[0]} the first."] if names else []


def held_out(pairs: Sequence[Pair]) -> tuple[list[Pair], list[Pair]]:
    """Training and validation pictures: every 50th is held out, one at least; a single picture serves as both."""
    step = min(VALIDATION_SHARE, max(len(pairs), 1))
    validation = list(pairs[step // 2::step])
    training = [pair for index, pair in enumerate(pairs) if index % step != step // 2]
    return (training or validation), validation


class _FlatPixels:
    """Pictures of many sizes as one uint8 tensor (pixels, 3) with where each begins."""

    def __init__(self, images: Sequence[NDArray[np.uint8]], device: torch.device) -> None:
        counts = [image.shape[0] * image.shape[1] for image in images]
        self.pixels = torch.from_numpy(np.concatenate([image.reshape(-1, 3) for image in images])).to(device)
        self.first = torch.tensor(np.cumsum([0, *counts[:-1]]), device=device)
        self.width = torch.tensor([image.shape[1] for image in images], device=device)

    def cut(self, index: Tensor, top: Tensor, left: Tensor, grid: Tensor) -> Tensor:
        """uint8 (N, s, s, 3): for each item the pixels at top/left plus its grid (N, 2, s, s)."""
        row = top.view(-1, 1, 1) + grid[:, 0]
        col = left.view(-1, 1, 1) + grid[:, 1]
        return self.pixels[self.first[index].view(-1, 1, 1) + row * self.width[index].view(-1, 1, 1) + col]


class PatchBank:
    """All training pixels on the device; hands out augmented batches, a function of the seed alone."""

    def __init__(self, pairs: Sequence[Pair], *, scale: int, hr_patch_px: int, device: torch.device) -> None:
        self.scale, self.lr_patch_px = scale, hr_patch_px // scale
        self._hr = _FlatPixels([pair.hr for pair in pairs], device)
        self._lr = _FlatPixels([pair.lr for pair in pairs], device)
        self._room = torch.tensor([[side - self.lr_patch_px + 1 for side in pair.lr.shape[:2]] for pair in pairs])
        self._area = torch.tensor([float(pair.lr.shape[0] * pair.lr.shape[1]) for pair in pairs])
        self._device = device

    def batch(self, size: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """LR (N, 3, s, s) and HR (N, 3, scale*s, scale*s), float32 in 0..1, fresh, channels last.

        Pictures are drawn by area; patches are flipped and turned by multiples of 90 degrees
        (section 4.1 of the paper). The generator lives on the CPU.
        """
        index = torch.multinomial(self._area, size, replacement=True, generator=generator)
        corner = (torch.rand(size, 2, generator=generator) * self._room[index]).long()
        flips = torch.randint(0, 2, (3, size), generator=generator).bool().to(self._device)
        index, top, left = index.to(self._device), *corner.to(self._device).unbind(1)
        lr = self._lr.cut(index, top, left, _grid(self.lr_patch_px, flips))
        hr = self._hr.cut(index, top * self.scale, left * self.scale, _grid(self.lr_patch_px * self.scale, flips))
        return _to_batch(lr), _to_batch(hr)


def _grid(side: int, flips: Tensor) -> Tensor:
    """Row and column offsets (N, 2, side, side) under vertical flip, horizontal flip and transposition."""
    ramp = torch.arange(side, device=flips.device)
    row = torch.where(flips[0].view(-1, 1), side - 1 - ramp, ramp).unsqueeze(2).expand(-1, side, side)
    col = torch.where(flips[1].view(-1, 1), side - 1 - ramp, ramp).unsqueeze(1).expand(-1, side, side)
    turned = flips[2].view(-1, 1, 1)
    return torch.stack([torch.where(turned, row.transpose(1, 2), row),
                        torch.where(turned, col.transpose(1, 2), col)], dim=1)


def _to_batch(pixels_nhwc: Tensor) -> Tensor:
    return pixels_nhwc.permute(0, 3, 1, 2).float() / 255.0
