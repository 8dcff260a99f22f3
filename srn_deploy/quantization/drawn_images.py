"""Images to calibrate on: drawn here as dead leaves, whose statistics are those of photographs, the same every time.

Shapes of all sizes cover each other as the leaves under a tree do (Lee, Mumford and Huang, "Occlusion Models for
Natural Images", IJCV 2001): edges, smooth slopes and textures in the shares in which photographs have them. The trial
images of `verification` are too poor for it: ranges found on them cut off what photographs reach.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from srn_deploy.image.bicubic import resize_uint8

IMAGES = 12

_SHAPE = (320, 480)
_SHRUNK_BY = 4
_LEAVES = 700
_SMALLEST_PX, _LARGEST_PX = 5.0, 168.0
_LUMINANCE, _LUMINANCE_SPREAD, _COLOUR_SPREAD = 112.0, 55.0, 18.0
"""Mean and standard deviations in levels, near those of photographs."""

Shading = NDArray[np.float64]


def drawn_images() -> Iterator[NDArray[np.uint8]]:
    """RGB (80, 120, 3) in 0..255, reduced by MATLAB's bicubic, as what networks enlarge."""
    height, width = _SHAPE
    for seed in range(IMAGES):
        yield resize_uint8(_dead_leaves(np.random.default_rng(seed)), height // _SHRUNK_BY, width // _SHRUNK_BY)


def _dead_leaves(random: np.random.Generator) -> NDArray[np.uint8]:
    """One image, the largest leaves at the bottom; radii fall off with their third power."""
    height, width = _SHAPE
    image = np.empty((height, width, 3))
    image[:] = _colour(random)
    shares = random.uniform(1 / _LARGEST_PX**2, 1 / _SMALLEST_PX**2, _LEAVES)
    radii = np.sort(1 / np.sqrt(shares))[::-1] * np.exp(random.normal(0, 0.3, _LEAVES))
    for radius in radii:
        _lay(image, float(radius), random)
    return np.clip(np.rint(image), 0, 255).astype(np.uint8)


def _colour(random: np.random.Generator) -> Shading:
    luminance = random.normal(_LUMINANCE, _LUMINANCE_SPREAD)
    return np.clip(luminance + random.normal(0, _COLOUR_SPREAD, 3), 0, 255)


def _lay(image: Shading, radius: float, random: np.random.Generator) -> None:
    """Lay one leaf, turned and stretched, with a slope and mostly a texture of its own."""
    height, width = image.shape[:2]
    centre = random.uniform(-radius, height + radius), random.uniform(-radius, width + radius)
    stretch, angle = float(np.exp(random.normal(0, 0.4))), random.uniform(0, np.pi)
    reach = 1.5 * radius * max(stretch, 1 / stretch) + 3
    rows, cols = (slice(max(0, int(middle - reach)), min(side, int(middle + reach) + 1))
                  for middle, side in zip(centre, (height, width), strict=True))
    if rows.start >= rows.stop or cols.start >= cols.stop:
        return
    down, across = np.mgrid[rows, cols].astype(np.float64)
    down, across = down - centre[0], across - centre[1]
    along = (across * np.cos(angle) + down * np.sin(angle)) / stretch
    beside = (down * np.cos(angle) - across * np.sin(angle)) * stretch
    softness_px = random.choice((0.8, 1.2, 2.0, 3.0, 6.0))
    cover = np.clip(_depth(int(random.integers(4)), along, beside, radius) / softness_px + 0.5, 0, 1)[..., None]
    slope = random.normal(0, 24) * along / radius + random.normal(0, 24) * beside / radius
    texture = random.choice((0, 3, 6, 12, 25)) * _texture(random, *along.shape)
    leaf = np.clip(_colour(random) + (slope + texture)[..., None], 0, 255)
    image[rows, cols] = image[rows, cols] * (1 - cover) + leaf * cover


def _depth(kind: int, along: Shading, beside: Shading, radius: float) -> Shading:
    """How far inside a disc, square, diamond or blade each pixel lies, in pixels; negative outside."""
    depth: Shading
    if kind == 0:
        depth = radius - np.hypot(along, beside)
    elif kind == 1:
        depth = radius - np.maximum(abs(along), abs(beside))
    elif kind == 2:
        depth = radius - abs(along) - abs(beside)
    else:
        depth = np.minimum(radius - 0.6 * abs(along), max(1.0, 0.15 * radius) - abs(beside))
    return depth


def _texture(random: np.random.Generator, height: int, width: int) -> Shading:
    """Noise of standard deviation 1 whose spectrum falls with a random power of the frequency."""
    if min(height, width) < 7:
        return np.zeros((height, width))
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None, :])
    falling = np.maximum(frequency, 1 / max(height, width)) ** random.uniform(0.4, 1.6)
    noise = np.fft.irfft2(np.fft.rfft2(random.standard_normal((height, width))) / falling, s=(height, width))
    scaled: Shading = (noise - noise.mean()) / noise.std()
    return scaled
