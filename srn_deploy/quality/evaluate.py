"""PSNR and SSIM of an open model over pairs of images, by the conventions of published tables.

On Y: BT.601 luma kept as float. On RGB, as the NTIRE challenge counts: PSNR over all three channels together, SSIM as
their mean. Both on 8-bit output with `scale` pixels cropped on every side. Networks that see luma alone are published
with figures of their own luma, which is neither rounded nor converted to RGB: on Y, a checkpoint of such a network is
measured that way. A graph or an engine gives RGB images and is measured on those.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from srn_deploy.backends.protocol import Backend
from srn_deploy.image import Image
from srn_deploy.image.pairing import FilePair
from srn_deploy.image.pixels import Rgb8
from srn_deploy.inference.upscale import upscale_rgb
from srn_deploy.quality.metrics import cropped, luma, psnr, ssim
from srn_deploy.quality.pairs import read_pairs
from srn_deploy.spec import Colour
from srn_deploy.tiling.windows import WHOLE_IMAGE, TileOptions

Planes = NDArray[np.float64]
"""(H, W, channels) in levels of 0..255."""
OnImage = Callable[[str, Image], None]
"""Called with the name of a pair and its upscaled image."""


class Measured(StrEnum):
    """What is compared: luma, or all three channels."""

    Y = "y"
    RGB = "rgb"


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


def evaluate_pairs(backend: Backend, pairs: Sequence[FilePair], measured: Measured = Measured.Y, *,
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
