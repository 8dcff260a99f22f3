"""Training pictures: decoded once, kept as uint8 on the training device, patches cut and augmented there.

All pictures lie in one run of pixels, so that a whole batch, augmented, is one gather: a fast device never
waits for a Python loop.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from srn_deploy.errors import SrnDeployError, TrainingError
from srn_deploy.image import find_images, read_image
from srn_deploy.image.bicubic import resize_uint8
from srn_deploy.training.layout import Source, Sources, find_sources
from srn_deploy.training.pixel_file import MappedPixels, PixelFile

VALIDATION_SHARE = 50
"""Every 50th picture is held out for validation where the layout of the folder names none."""

MOST_VALIDATED = 20
"""Pictures: more would only cost time."""

MOST_LINES_TOLD = 10
"""Of a folder full of damaged files, each would be a line."""

DECODED_AT_ONCE = 16
"""Pictures in memory beside the pixel file."""


@dataclass(frozen=True, kw_only=True)
class Pair:
    """One picture: hr uint8 (scale*h, scale*w, 3) and lr uint8 (h, w, 3), RGB."""

    name: str
    hr: NDArray[np.uint8]
    lr: NDArray[np.uint8]


@dataclass(frozen=True, kw_only=True)
class Pictures:
    """What a folder gave: pairs to train and to validate with, and in words why files were left out."""

    names: list[str]
    """Of the pictures to train with, in the order of `index`."""
    index: list[int]
    """Of the pictures to train with, within the pixel files."""
    hr: PixelFile
    lr: PixelFile
    validation: list[Pair]
    left_out: list[str]


@dataclass
class _LeftOut:
    """Files that are not trained with, by reason."""

    smallest_px: int
    alone: list[str]
    unused_small: list[str]
    unreadable: list[str] = field(default_factory=list)
    small: list[str] = field(default_factory=list)

    def told(self) -> list[str]:
        """In words; of many damaged files only the first few."""
        more = len(self.unreadable) - MOST_LINES_TOLD
        lines = self.unreadable[:MOST_LINES_TOLD]
        lines += [f"Left out: {more} more unreadable pictures."] if more > 0 else []
        for names, reason in ((self.small, f"below {self.smallest_px} px a side"), (self.alone, "without an LR file")):
            lines += [f"Left out: {len(names)} pictures {reason}, {names[0]} the first."] if names else []
        if self.unused_small:
            lines.append(f"{len(self.unused_small)} pictures lie in folders named like those of LR files, but belong "
                         f"to no HR file ({self.unused_small[0]} the first): LR is made by bicubic.")
        return lines

    def counts(self) -> str:
        """How many of each."""
        alone = f", {len(self.alone)} without an LR file" if self.alone else ""
        return f"{len(self.small)} smaller, {len(self.unreadable)} unreadable{alone}"


def load_pictures(folders: Sequence[Path], scale: int, *, smallest_px: int = 1, made_lr: bool = False) -> Pictures:
    """Every picture under some folders with its LR, sorted by path; `layout` says which files belong together.

    LR is the published file where the layout has one and made_lr is False, else bicubic; HR is cropped to a
    multiple of the scale. Pictures below `smallest_px` HR pixels a side and unreadable ones are left out, and
    told; raises TrainingError when none is left, or for an LR file that is not `scale` times smaller.
    """
    sources = sum((_sources_in(folder, scale) for folder in folders), Sources())
    left_out = _LeftOut(smallest_px=max(smallest_px, scale), alone=sources.without_partner,
                        unused_small=[] if made_lr else sources.unused_small)
    hr, lr, names = PixelFile(), PixelFile(), []
    for pair in _decoded(sources.training, scale, left_out, made_lr=made_lr):
        hr.append(pair.hr)
        lr.append(pair.lr)
        names.append(pair.name)
    if not names:
        raise TrainingError(f"{', '.join(map(str, folders))} holds no picture of at least {smallest_px} x "
                            f"{smallest_px} px ({left_out.counts()}).",
                            remedy="Give a folder of HR pictures with --data (links to folders are not followed), or "
                                   "choose a recipe with a smaller patch.")
    hr.freeze()
    lr.freeze()
    validation = list(_decoded(sources.validation[:MOST_VALIDATED], scale, left_out, made_lr=made_lr))
    index = list(range(len(names)))
    if not validation:
        index, held = held_out(len(names))
        validation = [Pair(name=names[i], hr=hr.picture(i), lr=lr.picture(i)) for i in held]
    return Pictures(names=[names[i] for i in index], index=index, hr=hr, lr=lr, validation=validation,
                    left_out=left_out.told())


def _sources_in(folder: Path, scale: int) -> Sources:
    if not folder.is_dir():
        raise TrainingError(f"{folder} is no folder.", remedy="Give a folder of HR pictures with --data.")
    return find_sources(folder, find_images(folder), scale)


def held_out(count: int) -> tuple[list[int], list[int]]:
    """Indices to train and to validate with: every 50th is held out, one at least and MOST_VALIDATED at most.

    A single picture is both.
    """
    step = max(min(VALIDATION_SHARE, max(count, 1)), math.ceil(count / MOST_VALIDATED))
    held = range(step // 2, count, step)
    return [i for i in range(count) if i not in held] or list(held), list(held)


def _decoded(sources: Sequence[Source], scale: int, left_out: _LeftOut, *, made_lr: bool) -> Iterator[Pair]:
    """Every readable pair that is large enough, in order; several are decoded at once."""
    def one(source: Source) -> Pair | SrnDeployError:
        try:
            return _read_pair(source, scale, made_lr=made_lr)
        except TrainingError:
            raise
        except SrnDeployError as error:
            return error

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for first in range(0, len(sources), DECODED_AT_ONCE):
            for pair in pool.map(one, sources[first:first + DECODED_AT_ONCE]):
                if isinstance(pair, SrnDeployError):
                    left_out.unreadable.append(f"Left out: {pair.message}")
                elif min(pair.hr.shape[:2]) < left_out.smallest_px:
                    left_out.small.append(pair.name)
                else:
                    yield pair


def _read_pair(source: Source, scale: int, *, made_lr: bool) -> Pair:
    name, hr = source.name, read_image(source.hr).as_rgb8()
    height, width = (side // scale for side in hr.shape[:2])
    hr = np.ascontiguousarray(hr[:height * scale, :width * scale])
    if source.lr is None or made_lr or not hr.size:
        return Pair(name=name, hr=hr, lr=resize_uint8(hr, height, width) if hr.size else hr)
    lr = read_image(source.lr).as_rgb8()
    if lr.shape[:2] != (height, width):
        raise TrainingError(
            f"{source.lr} has {lr.shape[1]} x {lr.shape[0]} px, but {source.hr} at x{scale} "
            f"gives {width} x {height}.", remedy=f"Give the LR files of x{scale}, or a folder of HR files alone.")
    return Pair(name=name, hr=hr, lr=lr)


class PatchBank:
    """All training pixels; hands out augmented batches on the device, a function of the seed alone."""

    def __init__(self, pictures: Pictures, *, scale: int, hr_patch_px: int, device: torch.device) -> None:
        self.scale, self.lr_patch_px = scale, hr_patch_px // scale
        self._hr, self._lr = pictures.hr.on(device), pictures.lr.on(device)
        self._index = torch.tensor(pictures.index)
        sides = torch.tensor([pictures.lr.sides[i] for i in pictures.index])
        self._room = sides - self.lr_patch_px + 1
        self._area = sides.prod(dim=1).float()
        self._device = device

    def batch(self, size: int, generator: torch.Generator, *, candidates: int = 1) -> tuple[Tensor, Tensor]:
        """LR (N, 3, s, s) and HR (N, 3, scale*s, scale*s), float32 in 0..1, fresh, channels last.

        Pictures are drawn by area; patches are flipped and turned by multiples of 90 degrees (section 4.1 of the
        paper). Of several candidates for a place in the batch the one with the most detail is kept: on a patch of
        sky there is nothing to learn (Wang et al., SamplingAug, BMVC 2021). The generator lives on the CPU.
        """
        count = size * candidates
        drawn = torch.multinomial(self._area, count, replacement=True, generator=generator)
        corner = (torch.rand(count, 2, generator=generator) * self._room[drawn]).long()
        flips = torch.randint(0, 2, (3, count), generator=generator).bool()
        lr = self._cut(self._lr, 1, drawn, corner, flips)
        if candidates > 1:
            best = detail(lr).view(size, candidates).argmax(dim=1)
            kept = best + candidates * torch.arange(size, device=best.device)
            lr, on_cpu = lr[kept], kept.cpu()
            drawn, corner, flips = drawn[on_cpu], corner[on_cpu], flips[:, on_cpu]
        return lr, self._cut(self._hr, self.scale, drawn, corner, flips)

    def _cut(self, pixels: MappedPixels, factor: int, drawn: Tensor, corner: Tensor, flips: Tensor) -> Tensor:
        """Patches of LR (factor 1) or HR (factor scale) at LR corners (N, 2), on the training device."""
        index, top, left = (v.to(pixels.device) for v in (self._index[drawn], *(corner * factor).unbind(1)))
        cut = pixels.cut(index, top, left, _grid(self.lr_patch_px * factor, flips.to(pixels.device)))
        return cut.to(self._device).permute(0, 3, 1, 2).float() / 255.0


def detail(patches: Tensor) -> Tensor:
    """Mean difference between neighbours of (N, C, H, W), along both axes; (N,)."""
    down, right = patches.diff(dim=2).abs(), patches.diff(dim=3).abs()
    return down.mean(dim=(1, 2, 3)) + right.mean(dim=(1, 2, 3))


def _grid(side: int, flips: Tensor) -> Tensor:
    """Row and column offsets (N, 2, side, side) under vertical flip, horizontal flip and transposition."""
    ramp = torch.arange(side, device=flips.device)
    row = torch.where(flips[0].view(-1, 1), side - 1 - ramp, ramp).unsqueeze(2).expand(-1, side, side)
    col = torch.where(flips[1].view(-1, 1), side - 1 - ramp, ramp).unsqueeze(1).expand(-1, side, side)
    turned = flips[2].view(-1, 1, 1)
    return torch.stack([torch.where(turned, row.transpose(1, 2), row),
                        torch.where(turned, col.transpose(1, 2), col)], dim=1)
