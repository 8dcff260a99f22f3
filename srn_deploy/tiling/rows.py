"""Rows of an image, wherever they come from: an array, or a file that is read as far as it is needed."""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

import numpy as np

from srn_deploy.tiling.tiles import PixelArray


class RowReader(Protocol):
    """An image whose rows can be asked for."""

    @property
    def shape(self) -> tuple[int, int, int]:
        """(H, W, C) of the whole image."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of its pixels."""

    def between(self, start: int, stop: int) -> PixelArray:
        """The rows [start, stop) that the image has, (rows, W, C); they may not be changed."""


class Rows(NamedTuple):
    """Neighbouring rows of an image in memory; alone they are a whole image."""

    pixels: PixelArray
    """(rows, W, C)."""
    top: int = 0
    """The first of them, counted in the image."""

    @property
    def bottom(self) -> int:
        """The row behind the last."""
        return self.top + len(self.pixels)

    @property
    def shape(self) -> tuple[int, int, int]:
        """(H, W, C) of an image that ends with these rows."""
        return self.bottom, int(self.pixels.shape[1]), int(self.pixels.shape[2])

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of the pixels."""
        return self.pixels.dtype

    def between(self, start: int, stop: int) -> PixelArray:
        """Those of the rows [start, stop) that are here: a view."""
        return self.pixels[max(start - self.top, 0):max(stop - self.top, 0)]
