"""PSNR and SSIM of an open model over pairs of images, by the conventions of published tables.

On Y: BT.601 luma kept as float. On RGB, as the NTIRE challenge counts: PSNR over all three channels together, SSIM as
their mean. Both on 8-bit output with `scale` pixels cropped on every side. Networks that see luma alone are published
with figures of their own luma, which is neither rounded nor converted to RGB: on Y, a checkpoint of such a network is
measured that way. A graph or an engine gives RGB images and is measured on those.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from srn_deploy.backends.protocol import Backend
from srn_deploy.errors import OptionError, UnreadableImage
from srn_deploy.image import Image, find_images, read_image
from srn_deploy.image.bicubic import resize_uint8
from srn_deploy.image.pixels import Rgb8
from srn_deploy.inference.upscale import upscale_rgb
from srn_deploy.quality.metrics import SSIM_WINDOW_PX, cropped, luma, psnr, ssim
from srn_deploy.spec import Colour
from srn_deploy.tiling.windows import WHOLE_IMAGE, TileOptions

Planes = NDArray[np.float64]
"""(H, W, channels) in levels of 0..255."""
OnImage = Callable[[str, Image], None]
"""Called with the name of a pair and its upscaled image."""

_PART_OF_A_SET = re.compile(r"HR|LR|GTmod\d+|x\d|X\d|LRbicx\d|original", re.IGNORECASE)


class Measured(StrEnum):
    """What is compared: luma, or all three channels."""

    Y = "y"
    RGB = "rgb"


@dataclass(frozen=True, kw_only=True)
class ImagePair:
    """An original and the small image that is upscaled; without one it is made by MATLAB's bicubic interpolation."""

    name: str
    hr: Path
    lr: Path | None


@dataclass(frozen=True, kw_only=True)
class Score:
    """The figures of one image."""

    name: str
    psnr_db: float | None
    """None where nothing differs, because infinity is not JSON."""
    ssim: float


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """All scores, and what they were measured on, as text."""

    scores: tuple[Score, ...]
    measured: str

    @property
    def psnr_db(self) -> float | None:
        """Arithmetic mean over the images; None where one of them does not differ at all."""
        values = [score.psnr_db for score in self.scores if score.psnr_db is not None]
        return sum(values) / len(values) if len(values) == len(self.scores) else None

    @property
    def ssim(self) -> float:
        """Arithmetic mean over the images."""
        return sum(score.ssim for score in self.scores) / len(self.scores)

    def as_results(self) -> dict[str, Any]:
        """As plain values for a record and for JSON."""
        return {"measured": self.measured, "psnr_db": self.psnr_db, "ssim": self.ssim,
                "pictures": [{"name": score.name, "psnr_db": score.psnr_db, "ssim": score.ssim}
                             for score in self.scores]}


@runtime_checkable
class UpscalesLuma(Protocol):
    """A backend that also gives the luma which its network computes, as published figures need it."""

    def upscale_luma(self, plane: NDArray[np.float32]) -> NDArray[np.float32]:
        """Upscale Y (H, W) in 0..255; neither rounded nor clipped."""


def find_pairs(hr: Path, lr: Path | None, scale: int) -> list[ImagePair]:
    """Pair every image of `hr` with the small one of `lr` that has the same name, or that name and `xS`: 0801x4.png.

    hr, lr: a folder or a single file; without `lr` the small images are made from the originals. Raises OptionError
    for an original whose small image is missing, UnreadableImage for an empty folder.
    """
    originals = find_images(hr) if hr.is_dir() else [hr]
    if not originals:
        raise UnreadableImage(f"{hr} contains no image.",
                              remedy="Give a folder with PNG, JPEG, WebP, TIFF or BMP files.")
    if lr is None:
        return [ImagePair(name=path.name, hr=path, lr=None) for path in originals]
    small = {path.stem: path for path in (find_images(lr) if lr.is_dir() else [lr])}
    pairs = []
    for path in originals:
        found = next((small[stem] for stem in (path.stem, f"{path.stem}x{scale}") if stem in small), None)
        if found is None:
            raise OptionError(f"{path.name} has no small image in {lr}.",
                              remedy=f"It must be named {path.stem} or {path.stem}x{scale}, with any suffix; "
                                     "without --lr it is made from the original.")
        pairs.append(ImagePair(name=path.name, hr=path, lr=found))
    return pairs


def image_targets(pairs: Sequence[ImagePair], folder: Path) -> dict[str, Path]:
    """The file that each upscaled image is written to, by the name of its pair.

    Raises OptionError where two images would have one file, or where one that is measured would be overwritten.
    """
    targets = {pair.name: folder / Path(pair.name).with_suffix(".png") for pair in pairs}
    sources = {os.path.realpath(path) for pair in pairs for path in (pair.hr, pair.lr) if path is not None}
    if overwritten := next((path for path in targets.values() if os.path.realpath(path) in sources), None):
        raise OptionError(f"{overwritten} is one of the images that are measured.",
                          remedy="Name another folder with --save-images.")
    if len(set(targets.values())) != len(pairs):
        raise OptionError(f"Two upscaled images would have the same name in {folder}.",
                          remedy="Rename the originals, or evaluate their folders one by one.")
    return targets


def evaluate_pairs(backend: Backend, pairs: Sequence[ImagePair], measured: Measured = Measured.Y, *,
                   tiles: TileOptions = WHOLE_IMAGE, on_image: OnImage = lambda name, image: None,
                   on_score: Callable[[Score], None] = lambda score: None) -> Evaluation:
    """Upscale the small image of every pair and score it against its original.

    tiles: by default none, because published figures are of whole images. on_image, on_score: called after each pair.
    Raises OptionError for pairs of another scale, and what reading and running an image raise.
    """
    own_luma = backend if measured is Measured.Y and backend.spec.colour is Colour.Y \
        and isinstance(backend, UpscalesLuma) else None
    scores = []
    for pair, hr, lr in read_pairs(pairs, backend.spec.scale):
        sr = upscale_rgb(lr, backend, tiles)
        on_image(pair.name, Image(pixels=sr))
        planes = _planes(sr, hr, measured) if own_luma is None else _luma_planes(own_luma, hr, lr)
        scores.append(_score(pair.name, *planes, border_px=backend.spec.scale))
        on_score(scores[-1])
    what = measured.upper() if own_luma is None else "the network's own luma, as published"
    return Evaluation(scores=tuple(scores), measured=what)


def set_name(hr: Path) -> str:
    """The test set that a path belongs to: its last folder that is not part of one, as Set5 in Set5/x4/HR."""
    parts = [part for part in hr.resolve().parts if not _PART_OF_A_SET.fullmatch(part)]
    return parts[-1] if parts else hr.name


def read_pairs(pairs: Iterable[ImagePair], scale: int) -> Iterator[tuple[ImagePair, Rgb8, Rgb8]]:
    """Yield each pair, its original and its small image; the original is cropped to what the small one covers.

    Raises OptionError where the sizes do not fit together or an original is too small to be measured.
    """
    for pair in pairs:
        hr = read_image(pair.hr).as_rgb8()
        height, width = (side // scale for side in hr.shape[:2])
        if min(height, width) * scale < SSIM_WINDOW_PX + 2 * scale:
            raise OptionError(f"{pair.hr} is too small to be measured at x{scale}.",
                              remedy=f"Leave it out: SSIM needs {SSIM_WINDOW_PX} px a side after cropping.")
        hr = hr[:height * scale, :width * scale]
        if pair.lr is None:
            yield pair, hr, resize_uint8(hr, height, width)
            continue
        lr = read_image(pair.lr).as_rgb8()
        if lr.shape[:2] != (height, width):
            raise OptionError(f"{pair.lr} is {lr.shape[0]} x {lr.shape[1]} px; a x{scale} of {pair.hr.name} is "
                              f"{height} x {width}.", remedy=f"Give the small images of x{scale}.")
        yield pair, hr, lr


def _planes(sr: Rgb8, hr: Rgb8, measured: Measured) -> tuple[Planes, Planes]:
    """(H, W, C) of both: one plane of luma or three of colour."""
    if measured is Measured.Y:
        return luma(sr)[..., None], luma(hr)[..., None]
    return sr.astype(np.float64), hr.astype(np.float64)


def _luma_planes(backend: UpscalesLuma, hr: Rgb8, lr: Rgb8) -> tuple[Planes, Planes]:
    upscaled = backend.upscale_luma(luma(lr).astype(np.float32)).astype(np.float64)
    return upscaled[..., None], luma(hr)[..., None]


def _score(name: str, sr: Planes, hr: Planes, *, border_px: int) -> Score:
    ours, theirs = cropped(sr, border_px), cropped(hr, border_px)
    decibels = psnr(ours, theirs)
    similarities = [ssim(ours[..., plane], theirs[..., plane]) for plane in range(ours.shape[2])]
    return Score(name=name, psnr_db=decibels if math.isfinite(decibels) else None,
                 ssim=sum(similarities) / len(similarities))
