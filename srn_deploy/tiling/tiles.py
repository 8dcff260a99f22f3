"""Cut an image into overlapping windows and join the results: first the plan, then the pixels.

All windows of a side have the same length except the last, which ends exactly at the border and is at
most one alignment step shorter. So there are at most two heights and two widths, and windows of equal
shape can be batched. Where two windows overlap, each contributes up to the middle.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import isqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from srn_deploy.errors import TilingError
from srn_deploy.grid import Grid
from srn_deploy.tiling.interpolation import Geometry, window_matrix

PixelArray = NDArray[Any]
"""Pixels with their channels last, (H, W, C) or a batch (N, H, W, C): uint8 in 0..255, uint16 in 0..65535 or float32 in
0..1."""

SMALLEST_TILE_PX = 32
"""A smaller tile would be nearly all halo, and would save hardly any memory."""


@dataclass(frozen=True, kw_only=True)
class Span:
    """One side of a window in LR pixels: it reads [start, stop) and contributes [core_start, core_stop)."""

    start: int
    stop: int
    core_start: int
    core_stop: int

    @property
    def length(self) -> int:
        """Pixels the window reads."""
        return self.stop - self.start


@dataclass(frozen=True, kw_only=True)
class Tile:
    """One window of an image."""

    rows: Span
    cols: Span

    @property
    def shape(self) -> tuple[int, int]:
        """(height, width) of the window in LR pixels."""
        return self.rows.length, self.cols.length


def plan_side(side_px: int, *, tile_px: int, halo_px: int, alignment_px: int = 1, min_side_px: int = 1) -> list[Span]:
    """Plan the windows that cover one side: as few as tiles of at most tile_px (rounded up to the alignment) allow.

    They are spread evenly, each with a halo on both ends. Starts are multiples of the alignment, the last window
    ends at the border, every inner cut has at least halo_px of context on both sides, and the cores cover the side
    without gap or overlap. Raises TilingError for a tile below 1 px or a negative halo.
    """
    if tile_px < 1 or halo_px < 0:
        raise TilingError(f"A tile of {tile_px} px with a halo of {halo_px} px is not possible.",
                          remedy="Use --tile auto, or a tile of at least 1 px and a halo of at least 0.")
    inner_px = max(side_px - 2 * halo_px, 1)
    count = -(-inner_px // rounded_up(tile_px, alignment_px))
    stride = rounded_up(-(-inner_px // count), alignment_px)
    length = max(stride + 2 * halo_px, min_side_px + alignment_px)
    starts = [0]
    while starts[-1] + length < side_px:
        starts.append(min(starts[-1] + stride, rounded_up(side_px - length, alignment_px)))
    return _spans(starts, [min(start + length, side_px) for start in starts], side_px)


def plan_equal_windows(side_px: int, *, length_px: int, halo_px: int, alignment_px: int = 1) -> list[Span]:
    """Plan windows of exactly one length that cover a side, as few as possible and evenly spread.

    Starts are multiples of the alignment, and every inner cut has at least halo_px of context on both sides. Empty
    where there are no such windows: the side is shorter, the halo leaves nothing, or the last window would not start
    at a multiple.
    """
    steps, rest = divmod(side_px - length_px, alignment_px)
    most = (length_px - 2 * halo_px) // alignment_px
    if steps < 0 or rest or (steps and most < 1):
        return []
    count = -(-steps // most) if steps else 0
    starts = [number * steps // max(count, 1) * alignment_px for number in range(count + 1)]
    return _spans(starts, [start + length_px for start in starts], side_px)


def _spans(starts: Sequence[int], stops: Sequence[int], side_px: int) -> list[Span]:
    """Windows that contribute up to the middle of where they overlap."""
    cuts = [0, *((start + stop) // 2 for start, stop in zip(starts[1:], stops, strict=False)), side_px]
    return [Span(start=start, stop=stop, core_start=first, core_stop=last)
            for start, stop, (first, last) in zip(starts, stops, pairwise(cuts), strict=True)]


def plan_tiles(height: int, width: int, *, tile_px: int | None, halo_px: int, alignment_px: int = 1,
               min_side_px: int = 1) -> list[Tile]:
    """Tiles of an image in reading order; tile_px None is one window, the whole image. Raises TilingError."""
    if tile_px is None:
        tile_px = max(height, width)
    sides = [plan_side(side, tile_px=tile_px, halo_px=halo_px, alignment_px=alignment_px, min_side_px=min_side_px)
             for side in (height, width)]
    return tiles_of(*sides)


def tiles_of(rows: Sequence[Span], cols: Sequence[Span]) -> list[Tile]:
    """The tiles of windows down and across, in reading order."""
    return [Tile(rows=down, cols=across) for down in rows for across in cols]


def largest_tile_px(*, budget_bytes: int, bytes_per_px: int, halo_px: int, alignment_px: int = 1) -> int:
    """The largest tile whose square window keeps its activations within the budget; SMALLEST_TILE_PX at least."""
    tile_px = isqrt(budget_bytes // max(bytes_per_px, 1)) - 2 * halo_px
    return max(tile_px - tile_px % alignment_px, SMALLEST_TILE_PX)


def batches(tiles: Sequence[Tile], size: int) -> Iterator[list[Tile]]:
    """Groups of neighbouring tiles of equal shape, at most `size` each, in order."""
    batch: list[Tile] = []
    for tile in tiles:
        if batch and (len(batch) == size or tile.shape != batch[0].shape):
            yield batch
            batch = []
        batch.append(tile)
    if batch:
        yield batch


def cut(image_hwc: PixelArray, tiles: Sequence[Tile]) -> PixelArray:
    """The windows of tiles of equal shape as a fresh batch (N, h, w, C) of the image's dtype."""
    return np.stack([image_hwc[t.rows.start:t.rows.stop, t.cols.start:t.cols.stop] for t in tiles])


def geometry_of(tiles: Sequence[Tile], height: int, width: int, *, grids: Sequence[Grid]) -> Geometry:
    """The interpolation matrices of tiles of equal shape within an image of height x width LR pixels."""
    return Geometry(
        rows=tuple(np.stack([window_matrix(grid, height, t.rows.start, t.rows.stop) for t in tiles])
                   for grid in grids),
        cols=tuple(np.stack([window_matrix(grid, width, t.cols.start, t.cols.stop) for t in tiles])
                   for grid in grids))


def join(canvas_hwc: PixelArray, tile: Tile, upscaled_hwc: PixelArray, scale: int, *, top: int = 0) -> None:
    """Copy what a tile contributes from its upscaled window (scale*h, scale*w, C) into the canvas, in place.

    The canvas begins at the row `top` of the image, in LR pixels; what a tile contributes above it is left out.
    """
    rows, cols = tile.rows, tile.cols
    first = max(rows.core_start, top)
    canvas_hwc[(first - top) * scale:(rows.core_stop - top) * scale,
               cols.core_start * scale:cols.core_stop * scale] = \
        upscaled_hwc[(first - rows.start) * scale:(rows.core_stop - rows.start) * scale,
                     (cols.core_start - cols.start) * scale:(cols.core_stop - cols.start) * scale]


def reflected(image_hwc: PixelArray, min_height_px: int, min_width_px: int) -> PixelArray:
    """Pad an image (H, W, C) at the bottom and the right by reflection to at least these sides.

    Reflection goes back and forth where the image is smaller than what is missing (a single row or column is
    repeated). Returns the same array where nothing is missing.
    """
    missing = [max(0, least - side) for least, side in zip((min_height_px, min_width_px), image_hwc.shape[:2],
                                                           strict=True)]
    if not any(missing):
        return image_hwc
    return np.pad(image_hwc, ((0, missing[0]), (0, missing[1]), (0, 0)), mode="reflect")


def rounded_up(value: int, step: int) -> int:
    """The smallest multiple of the step that is not below the value."""
    return -(-value // step) * step
