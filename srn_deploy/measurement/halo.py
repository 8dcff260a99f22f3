"""How much context a tile needs, found by tiling whole images and comparing.

A single window misleads: what a network computes depends on where a window begins and ends within its image. So images
are cut into windows on all sides and joined, as `upscale_rgb` does it, for every remainder of the sides by the step of
the windows. Strips, which are cheap, rule out what is too small; what remains is confirmed by images that are cut in
both directions.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from srn_deploy.backends.protocol import Backend
from srn_deploy.errors import OptionError
from srn_deploy.inference.upscale import takes, upscale_rgb
from srn_deploy.spec import ModelSpec
from srn_deploy.tiling.shapes import Size
from srn_deploy.tiling.tiles import SMALLEST_TILE_PX, PixelArray, reflected, rounded_up
from srn_deploy.tiling.windows import WHOLE_IMAGE, TileOptions

CANDIDATES_PX = (128, 112, 96, 80, 72, 64, 56, 48, 40, 32, 24, 16, 8)
"""Rounded up to the step of the windows, the largest first."""

MOST_LEVELS = 0.25
"""Of 255: the difference of the worst value that a tile may have on the images tried. One level is promised for all
images, and photographs, cut into many tiles, differed more than what is drawn: RLFN at 36 px by 2.8 against 0.35."""

EXACT_LEVELS = 255 * 1e-5
"""Rounding errors of FP32 alone."""

EXACT_REACH_PX = 32
"""A network that looks no further has its reach as its halo; for others less may do."""

_MOST_REMAINDERS = 12
"""Of the sides by the step, evenly spread where there are more."""

_FREE_REMAINDERS = (0, 5, 11)
"""Of networks whose windows may begin anywhere: some pad inside to multiples of 8, which few sizes show."""

_FREE_TILE_PX = SMALLEST_TILE_PX + 5
"""Of those: windows begin at no multiple of 2, whatever the halo tried."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class HaloFound:
    """The halo of a network, in pixels of its input."""

    halo_px: int | None
    """With it, and with every larger one tried, tiles are within MOST_LEVELS of the whole image; None: with none."""
    worst_levels: float
    """The largest difference of one value at that halo, of 255; where none will do at the largest one tried, and
    infinite where none was tried."""
    exact_at: int | None
    """From this halo on, of those tried, tiles differ by rounding errors alone; None: with none."""
    tried: Mapping[int, float] = field(hash=False)
    """Halo to the largest difference found, the largest halo first."""


def find_halo(backend: Backend, images: Sequence[PixelArray], reach_px: int | None = None) -> HaloFound:
    """Find the smallest halo with which, and with all larger ones, tiles are within MOST_LEVELS of the whole image.

    images: at least two RGB images (H, W, 3), uint8; they are cropped, or continued by reflection, to the sides that
    are needed. reach_px: how far the network looks, where that is known and no statistic over the whole image: no halo
    beyond it is tried, and one of at most EXACT_REACH_PX is only confirmed. Nothing is run where the spec says that the
    network takes statistics over the whole image: no halo makes its tiles equal. Raises OptionError for fewer images,
    TilingError for a model that cannot be tiled, and BackendError of the backend.
    """
    if len(images) < 2:
        raise OptionError("A halo is measured on two images.", remedy="Give another one.")
    if backend.spec.pools_whole_picture:
        return HaloFound(halo_px=None, worst_levels=math.inf, exact_at=None, tried={})
    study, tried = _Study(backend, images), {}
    for halo_px in _candidates(backend.spec, reach_px):
        tried[halo_px] = study.worst_on_strips(halo_px)
        if tried[halo_px] > MOST_LEVELS:
            break
    for halo_px in sorted(halo for halo, worst in tried.items() if worst <= MOST_LEVELS):
        tried[halo_px] = max(tried[halo_px], study.worst_on_images(halo_px))
        _log.debug("Tiles with a halo of %d px differ by up to %.3f levels.", halo_px, tried[halo_px])
        if tried[halo_px] <= MOST_LEVELS:
            return _found(halo_px, tried)
    return _found(None, tried)


def _found(halo_px: int | None, tried: Mapping[int, float]) -> HaloFound:
    exact_at = None
    for halo in sorted(tried, reverse=True):
        if tried[halo] > EXACT_LEVELS:
            break
        exact_at = halo
    return HaloFound(halo_px=halo_px, worst_levels=tried[max(tried) if halo_px is None else halo_px],
                     exact_at=exact_at, tried=tried)


def _candidates(spec: ModelSpec, reach_px: int | None) -> list[int]:
    """The halos to try, the largest first, each a multiple of the step."""
    step = spec.window_step_px
    if reach_px is not None and reach_px <= EXACT_REACH_PX:
        return [rounded_up(reach_px, spec.size_multiple_px)]
    most = CANDIDATES_PX[0] if reach_px is None else reach_px
    sizes = {rounded_up(halo, step) for halo in (*CANDIDATES_PX, most) if halo <= most}
    return sorted(sizes, reverse=True)


class _Study:
    """Images on a backend, whole and tiled."""

    def __init__(self, backend: Backend, images: Sequence[PixelArray]) -> None:
        self._backend, self._spec = backend, backend.spec
        exact = takes(np.dtype(np.float32), self._spec)
        self._images = [image.astype(np.float32) / np.float32(255) if exact else image for image in images[:2]]
        step = self._spec.window_step_px
        self._tile_px = _FREE_TILE_PX if step == 1 else rounded_up(SMALLEST_TILE_PX, step)

    def worst_on_strips(self, halo_px: int) -> float:
        """In levels, over one long and one high strip that are cut once."""
        thickness = rounded_up(max(self._spec.min_side_px, self._tile_px), self._spec.size_multiple_px)
        remainders = self._remainders()
        length = self._shortest(halo_px) + remainders[-1]
        return max(self._difference(0, (thickness, length), halo_px), self._difference(1, (length, thickness), halo_px))

    def worst_on_images(self, halo_px: int) -> float:
        """In levels, over images that are cut in both directions, at every remainder of the sides."""
        shortest, worst = self._shortest(halo_px), 0.0
        for number, (rows, cols) in self._pairs():
            worst = max(worst, self._difference(number, (shortest + rows, shortest + cols), halo_px))
            if worst > MOST_LEVELS:
                break
        return worst

    def _pairs(self) -> Iterator[tuple[int, Size]]:
        """Number of the image and remainders of its height and width: each image meets every remainder."""
        remainders = self._remainders()
        count = len(remainders)
        for number in range(2):
            for index in range(count):
                if count % 2 or (index + number) % 2 == 0:
                    yield number, (remainders[index], remainders[(index + count // 2) % count])

    def _remainders(self) -> list[int]:
        step, multiple = self._spec.window_step_px, self._spec.size_multiple_px
        if step == 1:
            return list(_FREE_REMAINDERS)
        every = range(0, step, multiple)
        return list(every[::-(-len(every) // _MOST_REMAINDERS)])

    def _shortest(self, halo_px: int) -> int:
        """The shortest side that is cut once with this halo, whatever remainder is added to it."""
        least = max(2 * halo_px + self._tile_px, self._spec.min_side_px + self._spec.window_step_px)
        return rounded_up(least + 1, self._spec.window_step_px)

    def _difference(self, number: int, size: Size, halo_px: int) -> float:
        """The largest difference of one value between tiles and whole image, in levels."""
        image = reflected(self._images[number], *size)[:size[0], :size[1]]
        tiled = upscale_rgb(image, self._backend, TileOptions(tile=self._tile_px, halo=halo_px))
        whole = upscale_rgb(image, self._backend, WHOLE_IMAGE)
        levels = 1.0 if image.dtype == np.uint8 else 255.0
        return float(np.abs(tiled.astype(np.float64) - whole.astype(np.float64)).max() * levels)
