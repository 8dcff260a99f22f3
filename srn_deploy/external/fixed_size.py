"""Graphs that take images of one size only: run on images of any size, and how far their pixels reach."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from srn_deploy.errors import GraphError
from srn_deploy.external.graph_file import ForeignGraph
from srn_deploy.external.graph_layout import ForeignRun, Layout
from srn_deploy.tiling.tiles import Tile, cut, join, plan_equal_windows, reflected

HALO_PART = 8
"""The halo of the windows that stand for a whole image: this part of a side."""


def fixed_size_of(graph: ForeignGraph, layout: Layout) -> tuple[int, int] | None:
    """(height, width) of the only images that a graph takes; None where it takes others."""
    height, width = layout.sides(graph.dimensions)
    return (height, width) if height and width else None


class FixedSizeRun:
    """Runs images of any size by windows of the one size that a graph takes; not exact where windows meet."""

    def __init__(self, run: ForeignRun, size: tuple[int, int], channels: int) -> None:
        self._run, self._size = run, size
        self.scale = _scale(run(np.zeros((1, channels, *size), np.float32)).shape[2:], size)
        """The factor by which it enlarges; raises GraphError where there is none."""

    def __call__(self, images: NDArray[np.float32]) -> NDArray[np.float32]:
        """Upscale float32 (1, C, H, W) in the trained value range."""
        image = images[0].transpose(1, 2, 0)
        padded = reflected(image, *self._size)
        rows, cols = (plan_equal_windows(side, length_px=length, halo_px=length // HALO_PART)
                      for side, length in zip(padded.shape[:2], self._size, strict=True))
        canvas = np.empty((padded.shape[0] * self.scale, padded.shape[1] * self.scale, image.shape[2]), np.float32)
        for tile in (Tile(rows=row, cols=col) for row in rows for col in cols):
            window = np.ascontiguousarray(cut(padded, [tile]).transpose(0, 3, 1, 2))
            join(canvas, tile, self._run(window)[0].transpose(1, 2, 0), self.scale)
        upscaled = canvas[:image.shape[0] * self.scale, :image.shape[1] * self.scale].transpose(2, 0, 1)[None]
        return np.ascontiguousarray(upscaled)


def _scale(upscaled: tuple[int, ...], size: tuple[int, int]) -> int:
    ratios = {large / small for large, small in zip(upscaled, size, strict=True)}
    if len(ratios) > 1 or not (ratio := ratios.pop()).is_integer() or ratio < 1:
        raise GraphError(f"The graph makes {upscaled[0]} x {upscaled[1]} px of {size[0]} x {size[1]} px: that is no "
                         "whole factor, the same for both sides.",
                         remedy="Use a network that enlarges both sides by the same whole number.")
    return int(ratio)


def reach_within(run: ForeignRun, size: tuple[int, int], channels: int, value_range: float) -> int:
    """How far a pixel in the middle reaches, in pixels of the input, within an image of this size."""
    height, width = size
    before = np.full((1, channels, height, width), 0.5 * value_range, np.float32)
    changed = before.copy()
    changed[:, :, height // 2, width // 2] = value_range
    difference = (run(before) != run(changed)).any(axis=(0, 1))
    scale = difference.shape[0] // height
    distances = [abs(np.flatnonzero(difference.any(axis=1 - axis)) // scale - size[axis] // 2) for axis in (0, 1)]
    return max((int(found.max()) for found in distances if found.size), default=0)
