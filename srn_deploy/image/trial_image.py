"""The image on which unknown settings of a network are tried: drawn here, the same every time, its original known.

Edges, lines and rings, sharp in the original, on slopes of colour: a super-resolution network restores them, bicubic
interpolation blurs them. They are about as wide as a pixel of the small image or wider, and texture is faint, because
what is lost in the small image no network can restore, and it would hide the difference.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from srn_deploy.image.bicubic import resize_uint8

SMALL_SIDE_PX = 64
"""Of the image that the networks enlarge."""

VERSION = 1
"""To be raised with every change of the image, because results are kept."""

LEAST_GAIN_DB = 1.0
"""The best setting must come so much nearer to the original than bicubic interpolation, or the network does not
super-resolve. benchmarks/README.md shows what the published networks reach with right and with wrong settings."""

LEAST_MARGIN_DB = 0.15
"""Settings that are nearer to each other cannot be told apart, and the published default stands."""

_SEED = 2
_SHAPES = 40

Plane = NDArray[np.float64]


@lru_cache(maxsize=2)
def trial_pair(scale: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """The small image (64, 64, 3) and its original (64*scale, 64*scale, 3), RGB; reduced by MATLAB's bicubic."""
    original = _drawn(scale)
    return resize_uint8(original, SMALL_SIDE_PX, SMALL_SIDE_PX), original


def _drawn(scale: int) -> NDArray[np.uint8]:
    side = SMALL_SIDE_PX * scale
    random = np.random.default_rng(_SEED)
    rows, cols = np.mgrid[0:side, 0:side].astype(np.float64)
    image: Plane = np.stack([
        random.uniform(60, 180) + 60 * (random.uniform(-1, 1) * rows + random.uniform(-1, 1) * cols) / side
        for _ in range(3)], axis=2)
    for number in range(_SHAPES):
        centre_row, centre_col = random.uniform(0, side, 2)
        colour = np.clip(random.uniform(10, 245) + 40 * random.uniform(-1, 1, 3), 10, 245)
        angle = random.uniform(0, np.pi)
        across, down = cols - centre_col, rows - centre_row
        along = across * np.cos(angle) + down * np.sin(angle)
        depth = _depth(random, number % 4, along, down * np.cos(angle) - across * np.sin(angle), scale)
        cover = np.clip(depth + 0.5, 0, 1)[..., None]
        image = image * (1 - cover) + colour * cover
    image += _texture(random, side)[..., None]
    return np.clip(np.rint(image), 0, 255).astype(np.uint8)


def _depth(random: np.random.Generator, kind: int, along: Plane, beside: Plane, scale: int) -> Plane:
    """How far inside a disc, rectangle, line or ring each pixel lies, in pixels; negative outside."""
    side, half_width = SMALL_SIDE_PX * scale, random.uniform(0.6, 1.5) * scale
    depth: Plane
    if kind == 0:
        depth = random.uniform(0.04, 0.16) * side - np.hypot(along, beside)
    elif kind == 1:
        depth = np.minimum(*(random.uniform(0.05, 0.2) * side - abs(distance) for distance in (along, beside)))
    elif kind == 2:
        depth = np.minimum(random.uniform(0.1, 0.5) * side - abs(along), half_width - abs(beside))
    else:
        depth = half_width - abs(np.hypot(along, beside) - random.uniform(0.05, 0.2) * side)
    return depth


def _texture(random: np.random.Generator, side: int) -> Plane:
    """Noise whose spectrum falls with frequency; standard deviation 3 levels."""
    frequency = np.hypot(np.fft.fftfreq(side)[:, None], np.fft.rfftfreq(side)[None, :])
    spectrum = np.fft.rfft2(random.standard_normal((side, side))) / np.maximum(frequency, 1 / side)
    texture = np.fft.irfft2(spectrum, s=(side, side))
    scaled: Plane = 3.0 * (texture - texture.mean()) / texture.std()
    return scaled
