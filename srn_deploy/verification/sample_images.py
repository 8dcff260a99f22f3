"""Images to compare artefacts on: drawn here, natural in their statistics, and the same every time.

White noise does not work: networks trained on photographs amplify rounding errors on it without bound.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

SHAPES = ((48, 64), (61, 47), (96, 90))
"""(height, width): even and odd, multiples of ESA's 6-pixel grid and not."""


ORIGINAL_SHAPES = ((384, 512), (391, 358), (512, 384))
"""(height, width) of images that are made small first: large enough for a certificate."""


def originals() -> Iterator[NDArray[np.uint8]]:
    """Three larger RGB images (H, W, 3) in 0..255, to be made small and enlarged again."""
    for seed, (height, width) in enumerate(ORIGINAL_SHAPES, start=len(SHAPES)):
        yield _drawn(np.random.default_rng(seed), height, width)


def sample_images() -> Iterator[NDArray[np.uint8]]:
    """Three small RGB images (H, W, 3) in 0..255: slopes, discs, edges and a mild texture of 1/f noise."""
    for seed, (height, width) in enumerate(SHAPES):
        yield _drawn(np.random.default_rng(seed), height, width)


def _drawn(random: np.random.Generator, height: int, width: int) -> NDArray[np.uint8]:
    row, col = np.mgrid[0:height, 0:width] / max(height, width)
    image: NDArray[np.float64] = np.stack([
        random.uniform(60, 180) + 60 * (random.uniform(-1, 1) * row + random.uniform(-1, 1) * col)
        for _ in range(3)], axis=2)
    for _ in range(6):
        centre, radius = random.uniform(0, 1, 2), random.uniform(0.05, 0.25)
        softness = 1.0 / max(height, width)
        distance = np.hypot(row - centre[0], col - centre[1])
        cover = np.clip((radius - distance) / softness + 0.5, 0, 1)[..., None]
        image = image * (1 - cover) + random.uniform(20, 235, 3) * cover
    image += _texture(random, height, width)[..., None]
    return np.clip(np.rint(image), 0, 255).astype(np.uint8)


def _texture(random: np.random.Generator, height: int, width: int) -> NDArray[np.float64]:
    """Noise whose spectrum falls with frequency, as that of photographs does; standard deviation 8 levels."""
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None, :])
    spectrum = np.fft.rfft2(random.standard_normal((height, width))) / np.maximum(frequency, 1 / max(height, width))
    texture = np.fft.irfft2(spectrum, s=(height, width))
    scaled: NDArray[np.float64] = 8.0 * (texture - texture.mean()) / texture.std()
    return scaled
