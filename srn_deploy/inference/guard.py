"""The guard: averaged back to the size of its input, an upscaled image must resemble it.

A network that diverges, or leaves the range of FP16, gives pixels that have nothing to do with the image, and nothing
in the pixels says so. The guard averages the output back to the input's size and measures four things of each block;
a network that sharpens, smooths or removes noise changes none of them much. The bounds below come from a recorded
study (`benchmarks/guard_study.py`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from srn_deploy.errors import OptionError
from srn_deploy.tiling.rows import RowReader, Rows
from srn_deploy.tiling.tiles import PixelArray

Levels = NDArray[np.float32]

BLOCK_PX = 8
"""Side of a block in input pixels: large enough for a mean, small enough to leave the rest of an image untouched.
What remains at the end of a side is spread over its blocks."""

BAND_BLOCKS, BAND_PX = 32, 2**20
"""Rows of blocks that are inspected together, and about the most input pixels in them: bounds the memory, however large
or wide the image."""

STRAY_LEVELS = 20.0
"""How far, on average over a block, pixels may lie outside the range between the input's pixel and the mean around it.
A network may keep the pixel, smooth it away, or do anything in between."""

SHIFT_LEVELS = 36.0
"""How far the mean of a block may move."""

COLOUR_LEVELS = 8.0
"""How much more colour a block may have than its input, as the mean distance of the channels from their mean."""

LOST_LEVELS = 4.0
"""How far the input's mean may lie from black, or from white, where all of a block's output is exactly that: NaN
becomes 0, and infinity the largest value."""

_ROUNDING = 1e-4
"""In levels; means of white in float32 miss 255 by less than this."""

_NEIGHBOUR_PX = 2


class Guard(StrEnum):
    """What to do about blocks that do not resemble their input: nothing, log a warning, or repair them."""

    OFF = "off"
    WARN = "warn"
    REPAIR = "repair"

    @classmethod
    def named(cls, name: str) -> Guard:
        """The guard of this name; raises OptionError for an unknown one."""
        try:
            return cls(name)
        except ValueError as error:
            raise OptionError(f"A guard cannot be {name!r}.", remedy=f"Use one of {', '.join(cls)}.") from error


@dataclass(frozen=True, kw_only=True, eq=False)
class Verdict:
    """Which blocks of an image are broken. Edges are in input pixels, one more than there are blocks."""

    broken: NDArray[np.bool_]
    """(rows, columns) of blocks."""
    row_edges: NDArray[np.intp]
    col_edges: NDArray[np.intp]

    @property
    def share(self) -> float:
        """The share of broken blocks, in 0..1."""
        return float(self.broken.mean())

    def part(self, start: int, stop: int) -> Verdict:
        """Of the rows of blocks between two edges, in input pixels."""
        first, last = np.searchsorted(self.row_edges, (start, stop))
        return replace(self, broken=self.broken[first:last], row_edges=self.row_edges[first:last + 1])

    def mask(self) -> NDArray[np.bool_]:
        """(rows, W), true for the input pixels of broken blocks, from the first edge to the last."""
        return np.repeat(np.repeat(self.broken, np.diff(self.row_edges), axis=0), np.diff(self.col_edges), axis=1)

    def first(self) -> tuple[int, int] | None:
        """(row, column) in input pixels of the first broken block; None where there is none."""
        if not self.broken.any():
            return None
        row, col = np.argwhere(self.broken)[0]
        return int(self.row_edges[row]), int(self.col_edges[col])


@dataclass(frozen=True, kw_only=True, eq=False)
class Signs:
    """What is measured of each block: arrays (rows, columns) of blocks, in levels of 0..255."""

    stray: Levels
    shift: Levels
    colour: Levels
    lost: Levels

    def broken(self) -> NDArray[np.bool_]:
        """Where one of them is beyond its bound, or NaN."""
        return np.asarray(~((self.stray <= STRAY_LEVELS) & (self.shift <= SHIFT_LEVELS)
                            & (self.colour <= COLOUR_LEVELS) & (self.lost <= LOST_LEVELS)))


def inspect(image_hwc: PixelArray, upscaled_hwc: PixelArray, scale: int) -> Verdict:
    """Compare an image (H, W, C) with its upscaling (scale*H, scale*W, C), block by block.

    Both are uint8, uint16, or float32 in 0..1; C is 1 or 3. Blocks with values that are not finite are broken.
    """
    return inspect_rows(Rows(image_hwc), Rows(upscaled_hwc), scale, block_edges(image_hwc.shape[0]))


def inspect_rows(image: RowReader, upscaled: Rows, scale: int, row_edges: NDArray[np.intp]) -> Verdict:
    """Compare some rows of blocks as `inspect` compares all: with the same verdict on each.

    row_edges: of `block_edges`, a part of those of the whole height. upscaled: has at least their rows.
    """
    col_edges = block_edges(image.shape[1])
    bands = [signs.broken() for signs in _signs(image, upscaled, scale, row_edges, col_edges)]
    return Verdict(broken=np.concatenate(bands), row_edges=row_edges, col_edges=col_edges)


def signs_of(image_hwc: PixelArray, upscaled_hwc: PixelArray, scale: int) -> Signs:
    """The figures behind a verdict, for the whole image; arguments as for `inspect`."""
    bands = list(_signs(Rows(image_hwc), Rows(upscaled_hwc), scale, *map(block_edges, image_hwc.shape[:2])))
    return Signs(**{name: np.concatenate([getattr(band, name) for band in bands])
                    for name in ("stray", "shift", "colour", "lost")})


def area_averaged(upscaled_hwc: PixelArray, scale: int) -> Levels:
    """The mean of each square of scale x scale pixels, in levels of 0..255: (H, W, C) float32."""
    height, width, channels = (upscaled_hwc.shape[0] // scale, upscaled_hwc.shape[1] // scale, upscaled_hwc.shape[2])
    exact = {"uint8": "uint16", "uint16": "uint32"}.get(upscaled_hwc.dtype.name, "float32")
    rows = upscaled_hwc.reshape(height, scale, -1).sum(axis=1, dtype=exact)
    squares = rows.reshape(height, width, scale, channels)
    total = squares[:, :, 0].astype(np.float32)
    for column in range(1, scale):
        total += squares[:, :, column]
    total *= np.float32(_levels_of(upscaled_hwc.dtype) / scale**2)
    return np.asarray(total, np.float32)


def _levels_of(dtype: np.dtype[Any]) -> float:
    """How many levels of 0..255 one unit of a dtype is."""
    return {"uint8": 1.0, "uint16": 1 / 257}.get(dtype.name, 255.0)


def block_edges(side_px: int) -> NDArray[np.intp]:
    """Edges of the blocks of one side, each of BLOCK_PX pixels or a few more."""
    return np.linspace(0, side_px, max(1, side_px // BLOCK_PX) + 1).astype(np.intp)


def _signs(image: RowReader, upscaled: Rows, scale: int, row_edges: NDArray[np.intp],
           col_edges: NDArray[np.intp]) -> Iterator[Signs]:
    """The signs of each band of blocks, from top to bottom."""
    together = max(1, min(BAND_BLOCKS, BAND_PX // (BLOCK_PX * image.shape[1])))
    for first in range(0, len(row_edges) - 1, together):
        edges = row_edges[first:first + together + 1]
        top, bottom = int(edges[0]), int(edges[-1])
        above = min(_NEIGHBOUR_PX, top)
        context = image.between(top - above, bottom + _NEIGHBOUR_PX).astype(np.float32)
        context *= np.float32(_levels_of(image.dtype))
        around = local_means(context, _NEIGHBOUR_PX)[above:above + bottom - top]
        original = context[above:above + bottom - top]
        back = area_averaged(upscaled.between(top * scale, bottom * scale), scale)

        def means(pixels: Levels, rows: NDArray[np.intp] = edges - top) -> Levels:
            return _block_means(pixels, rows, col_edges)

        yield Signs(stray=means(_stray(back, original, around)).mean(axis=2),
                    shift=np.abs(means(back - original)).max(axis=2),
                    colour=means(_colour(back) - _colour(original))[..., 0],
                    lost=_lost(means(original).mean(axis=2), means(back)))


def _stray(back: Levels, original: Levels, around: Levels) -> Levels:
    """How far each value lies outside the span between the original and the mean around it."""
    outside = np.maximum(back - np.maximum(original, around), np.minimum(original, around) - back)
    return np.asarray(np.maximum(outside, 0), np.float32)


def _lost(original: Levels, back: Levels) -> Levels:
    """How far block means lie from black or white where all of the output is just that; both (rows, columns, …)."""
    black, white = (back < _ROUNDING).all(axis=2), (back > 255 - _ROUNDING).all(axis=2)
    return np.asarray(np.where(black, original, np.where(white, 255 - original, 0)), np.float32)


def _colour(pixels: Levels) -> Levels:
    """Mean distance of the channels from their mean, (H, W, 1); 0 for a single channel."""
    channels = [pixels[..., channel] for channel in range(pixels.shape[2])]  # numpy is slow along an axis of three
    mean = sum(channels[1:], channels[0]) / np.float32(len(channels))
    distances = [np.abs(channel - mean) for channel in channels]
    return np.asarray(sum(distances[1:], distances[0]) / np.float32(len(channels)), np.float32)[..., None]


def local_means(pixels: Levels, reach_px: int) -> Levels:
    """Mean of the square of 2 * reach_px + 1 pixels around each of (H, W, C); the edge is repeated beyond it."""
    side = 2 * reach_px + 1
    height, width = pixels.shape[:2]
    padded = np.pad(pixels, ((reach_px, reach_px), (reach_px, reach_px), (0, 0)), mode="edge")
    rows = padded[:height].copy()
    for start in range(1, side):
        rows += padded[start:start + height]
    means = rows[:, :width].copy()
    for start in range(1, side):
        means += rows[:, start:start + width]
    means /= np.float32(side**2)
    return means


def _block_means(pixels: Levels, row_edges: NDArray[np.intp], col_edges: NDArray[np.intp]) -> Levels:
    """Mean of each block, (rows, columns, C)."""
    sums = np.add.reduceat(np.add.reduceat(pixels, row_edges[:-1], axis=0), col_edges[:-1], axis=1)
    counts = np.diff(row_edges)[:, None, None] * np.diff(col_edges)[None, :, None]
    return np.asarray(sums / counts, np.float32)
