"""Training images: decoded once, kept as uint8 on the training device, where patches are cut and augmented.

All images form one sequence of pixels, so that a whole augmented batch is one gather operation and a fast device never
waits for a Python loop.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from srn_deploy.errors import ImageError, SrnDeployError, TrainingError
from srn_deploy.image import image_size, read_image
from srn_deploy.image.bicubic import resize_uint8
from srn_deploy.image.pairing import FilePair
from srn_deploy.image.small_versions import small_versions
from srn_deploy.system.threads import threads_in_use
from srn_deploy.training.layout import DataFiles, find_data_files
from srn_deploy.training.pixel_file import MappedPixels, PixelFile

_log = logging.getLogger(__name__)

VALIDATION_SHARE = 50
"""One image in 50 is held out for validation where the layout of the folder names none."""

MOST_VALIDATED = 20
"""Largest number of validation images; more would only cost time."""

MOST_UNREADABLE_LOGGED = 10
"""In a folder full of damaged files each would be a line."""

DECODED_AT_ONCE = 16
"""Decoded images that are in memory in addition to the pixel file."""


@dataclass(frozen=True, kw_only=True)
class TrainingPair:
    """One image in RGB: hr uint8 (scale*h, scale*w, 3) and lr uint8 (h, w, 3)."""

    name: str
    hr: NDArray[np.uint8]
    lr: NDArray[np.uint8]


@dataclass(frozen=True, kw_only=True)
class TrainingImages:
    """The images of some folders, for training and for validation."""

    names: list[str]
    """Names of the images to train with, in the order of `index`."""
    index: list[int]
    """Indices of the images to train with in the pixel files."""
    hr: PixelFile
    lr: PixelFile
    validation: list[TrainingPair]
    is_validated_on_itself: bool
    """There is a single image, which serves both purposes."""


@dataclass
class _LeftOut:
    """Files that are not used for training, by reason."""

    smallest_px: int
    without_lr: list[str]
    unused_lr: list[str]
    other_scales: list[str]
    unreadable: list[str] = field(default_factory=list)
    small: list[str] = field(default_factory=list)

    def log(self) -> None:
        """Log what is left out; of many damaged files only the first few are named."""
        for line in self.unreadable[:MOST_UNREADABLE_LOGGED]:
            _log.warning("Left out: %s", line)
        if (more := len(self.unreadable) - MOST_UNREADABLE_LOGGED) > 0:
            _log.warning("Left out: %d more unreadable images.", more)
        if self.small:
            _log.warning("Left out: images with a side below %d px: %d (%s is the first).",
                         self.smallest_px, len(self.small), self.small[0])
        if self.without_lr:
            _log.warning("Left out: images without an LR file: %d (%s is the first).",
                         len(self.without_lr), self.without_lr[0])
        if self.unused_lr:
            _log.warning("LR files that belong to no HR file: %d (%s is the first). LR is made by bicubic instead.",
                         len(self.unused_lr), self.unused_lr[0])
        if self.other_scales:
            _log.info("Left out: images of other scales: %d (%s is the first).",
                      len(self.other_scales), self.other_scales[0])

    def counts(self) -> str:
        """How many files there are of each kind, in words."""
        without_lr = f", {len(self.without_lr)} without an LR file" if self.without_lr else ""
        return f"{len(self.small)} smaller, {len(self.unreadable)} unreadable{without_lr}"


def load_images(folders: Sequence[Path], scale: int, *, smallest_px: int = 1, made_lr: bool = False,
                lr_pattern: str | None = None, copy_scale: float = 0.0) -> TrainingImages:
    """Load every image under some folders with its LR, sorted by path; `pair_images` decides what belongs together.

    LR is the published file where the layout has one and made_lr is False, else it is made by bicubic. HR is cropped
    to a multiple of the scale. Images with a side below `smallest_px` (HR) and unreadable ones are left out, which is
    logged. lr_pattern: how LR files are named, see `pair_images`. copy_scale: adds a copy of each image to train with,
    HR scaled by this factor and its LR by bicubic, where that is not too small; how many are is logged; 0: none. Raises
    TrainingError when no image is left, and for an LR file that is not `scale` times smaller than its HR, and
    OptionError where it is not clear what belongs together.
    """
    files = sum((_files_in(folder, scale, lr_pattern) for folder in folders), DataFiles())
    _warn_of_small_versions(files)
    left_out = _LeftOut(smallest_px=max(smallest_px, scale), without_lr=files.without_lr,
                        unused_lr=[] if made_lr else files.unused_lr,
                        other_scales=files.other_scales)
    hr, lr, names, own = PixelFile(), PixelFile(), list[str](), list[range]()
    for pair in _decoded(files.training, scale, left_out, made_lr=made_lr):
        together = [pair, *_scaled_copy(pair, scale, copy_scale, left_out.smallest_px)]
        own.append(range(len(names), len(names) + len(together)))
        for one in together:
            hr.append(one.hr)
            lr.append(one.lr)
            names.append(one.name)
    if not names:
        raise TrainingError(f"{', '.join(map(str, folders))} holds no image of at least {smallest_px} x "
                            f"{smallest_px} px ({left_out.counts()}).",
                            remedy="Give a folder of HR images with --data (links to folders are not followed), or "
                                   "choose a recipe with a smaller patch.")
    hr.freeze()
    lr.freeze()
    validation = list(_decoded(files.validation[:MOST_VALIDATED], scale, left_out, made_lr=made_lr))
    kept, held = list(range(len(own))), list[int]()
    if not validation:
        kept, held = held_out(len(own))
        firsts = [own[one][0] for one in held]
        validation = [TrainingPair(name=names[i], hr=hr.image(i), lr=lr.image(i)) for i in firsts]
    index = [i for one in kept for i in own[one]]
    left_out.log()
    if copy_scale:
        _log.info("Copies scaled by %g: of %d of %d images; those of the others would be smaller than %d px.",
                  copy_scale, len(index) - len(kept), len(kept), left_out.smallest_px)
    return TrainingImages(names=[names[i] for i in index], index=index, hr=hr, lr=lr, validation=validation,
                          is_validated_on_itself=kept == held)


def _files_in(folder: Path, scale: int, lr_pattern: str | None) -> DataFiles:
    if not folder.is_dir():
        raise TrainingError(f"{folder} is not a folder.", remedy="Give a folder of HR images with --data.")
    return find_data_files(folder, scale, lr_pattern)


def _warn_of_small_versions(files: DataFiles) -> None:
    """Log originals that look like small versions of others: LR files of a layout that is not recognised."""
    found = list(small_versions([*files.training, *files.validation], cache(_size)))
    if found:
        small, large = found[0]
        _log.warning("HR files that look like small versions of others: %d (%s of %s is the first). Leave them out, or "
                     "say with --lr-pattern how LR files are named.", len(found), small.name, large.name)


def _size(path: Path) -> tuple[int, int] | None:
    try:
        return image_size(path)
    except ImageError:
        return None


def held_out(count: int) -> tuple[list[int], list[int]]:
    """Indices of the images to train with, and of those held out for validation.

    Every 50th image is held out, but at least one and at most MOST_VALIDATED. A single image serves both purposes.
    """
    step = max(min(VALIDATION_SHARE, max(count, 1)), math.ceil(count / MOST_VALIDATED))
    held = range(step // 2, count, step)
    return [i for i in range(count) if i not in held] or list(held), list(held)


def _decoded(files: Sequence[FilePair], scale: int, left_out: _LeftOut, *, made_lr: bool) -> Iterator[TrainingPair]:
    """Every readable pair that is large enough, in order; several are decoded at once."""
    def one(file: FilePair) -> TrainingPair | SrnDeployError:
        try:
            return _read_pair(file, scale, made_lr=made_lr)
        except TrainingError:
            raise
        except SrnDeployError as error:
            return error

    with ThreadPoolExecutor(threads_in_use()) as pool:
        for first in range(0, len(files), DECODED_AT_ONCE):
            for pair in pool.map(one, files[first:first + DECODED_AT_ONCE]):
                if isinstance(pair, SrnDeployError):
                    left_out.unreadable.append(pair.message)
                elif min(pair.hr.shape[:2]) < left_out.smallest_px:
                    left_out.small.append(pair.name)
                else:
                    yield pair


def _scaled_copy(pair: TrainingPair, scale: int, factor: float, smallest_px: int) -> list[TrainingPair]:
    """The pair with HR scaled by a factor and LR by bicubic; none where a side would be below smallest_px (HR)."""
    height, width = (scale * int(side * factor) for side in pair.lr.shape[:2])
    if min(height, width) < smallest_px:
        return []
    hr = resize_uint8(pair.hr, height, width)
    return [TrainingPair(name=f"{pair.name} x {factor:g}", hr=hr, lr=resize_uint8(hr, height // scale, width // scale))]


def _read_pair(file: FilePair, scale: int, *, made_lr: bool) -> TrainingPair:
    name, hr = file.name, read_image(file.hr).as_rgb8()
    height, width = (side // scale for side in hr.shape[:2])
    hr = np.ascontiguousarray(hr[:height * scale, :width * scale])
    if file.lr is None or made_lr or not hr.size:
        return TrainingPair(name=name, hr=hr, lr=resize_uint8(hr, height, width) if hr.size else hr)
    lr = read_image(file.lr).as_rgb8()
    if lr.shape[:2] != (height, width):
        raise TrainingError(
            f"{file.lr} has {lr.shape[1]} x {lr.shape[0]} px, but {file.hr} at x{scale} "
            f"gives {width} x {height}.", remedy=f"Give the LR files of x{scale}, or a folder with HR files only.")
    return TrainingPair(name=name, hr=hr, lr=lr)


class PatchBank:
    """All training pixels; cuts augmented batches on the device, as a function of the generator alone."""

    def __init__(self, images: TrainingImages, *, scale: int, hr_patch_px: int, device: torch.device) -> None:
        self.scale, self.lr_patch_px = scale, hr_patch_px // scale
        self._hr, self._lr = images.hr.on(device), images.lr.on(device)
        self._index = torch.tensor(images.index)
        sides = torch.tensor([images.lr.sides[i] for i in images.index])
        self._positions = sides - self.lr_patch_px + 1
        self._area = sides.prod(dim=1).float()
        self._device = device

    def batch(self, size: int, generator: torch.Generator, *, candidates: int = 1) -> tuple[Tensor, Tensor]:
        """Cut a batch: LR (N, 3, s, s) and HR (N, 3, scale*s, scale*s), new float32 tensors in 0..1, channels last.

        Images are drawn with a probability proportional to their area; patches are flipped and rotated by multiples
        of 90 degrees (section 4.1 of the paper). Of several candidates for a place in the batch the one with the most
        detail is kept: there is nothing to learn on a patch of sky (Wang et al., SamplingAug, BMVC 2021). The
        generator must be on the CPU.
        """
        count = size * candidates
        drawn = torch.multinomial(self._area, count, replacement=True, generator=generator)
        corner = (torch.rand(count, 2, generator=generator) * self._positions[drawn]).long()
        flips = torch.randint(0, 2, (3, count), generator=generator).bool()
        lr = self._cut(self._lr, 1, drawn, corner, flips)
        if candidates > 1:
            best = detail(lr).view(size, candidates).argmax(dim=1)
            kept = best + candidates * torch.arange(size, device=best.device)
            lr, on_cpu = lr[kept], kept.cpu()
            drawn, corner, flips = drawn[on_cpu], corner[on_cpu], flips[:, on_cpu]
        return lr, self._cut(self._hr, self.scale, drawn, corner, flips)

    def _cut(self, pixels: MappedPixels, factor: int, drawn: Tensor, corner: Tensor, flips: Tensor) -> Tensor:
        """Cut patches of LR (factor 1) or HR (factor scale) at LR corners (N, 2), on the training device."""
        index, top, left = (v.to(pixels.device) for v in (self._index[drawn], *(corner * factor).unbind(1)))
        cut = pixels.cut(index, top, left, _grid(self.lr_patch_px * factor, flips.to(pixels.device)))
        return cut.to(self._device).permute(0, 3, 1, 2).float() / 255.0


def detail(patches: Tensor) -> Tensor:
    """Mean absolute difference between neighbouring pixels of (N, C, H, W), summed over both axes; (N,)."""
    down, right = patches.diff(dim=2).abs(), patches.diff(dim=3).abs()
    return down.mean(dim=(1, 2, 3)) + right.mean(dim=(1, 2, 3))


def _grid(side: int, flips: Tensor) -> Tensor:
    """Row and column offsets (N, 2, side, side) under vertical flip, horizontal flip and transposition."""
    ramp = torch.arange(side, device=flips.device)
    row = torch.where(flips[0].view(-1, 1), side - 1 - ramp, ramp).unsqueeze(2).expand(-1, side, side)
    col = torch.where(flips[1].view(-1, 1), side - 1 - ramp, ramp).unsqueeze(1).expand(-1, side, side)
    transposed = flips[2].view(-1, 1, 1)
    return torch.stack([torch.where(transposed, row.transpose(1, 2), row),
                        torch.where(transposed, col.transpose(1, 2), col)], dim=1)
