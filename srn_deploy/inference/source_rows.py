"""The colour and the alpha of an image that is read by rows, as two images to upscale."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from srn_deploy.image.alpha import (
    BAND_ROWS,
    PLAIN_PX,
    REACH_PX,
    Values,
    filled_rows,
    flatten_plain_alpha,
    is_visible,
    mean_colour,
)
from srn_deploy.image.bands.source import ColourAndAlpha, RowSource
from srn_deploy.tiling.rows import Rows
from srn_deploy.tiling.tiles import PixelArray


class ColourRows:
    """The colour of an image, with that of hidden pixels replaced as `fill_hidden_colour` does.

    everywhere: the mean colour of the visible pixels; None where nothing is to be replaced.
    """

    def __init__(self, source: RowSource, everywhere: Values | None) -> None:
        self._source, self._everywhere = source, everywhere
        self.shape: tuple[int, int, int] = source.header.pixels.shape
        self.dtype: np.dtype[Any] = source.header.pixels.dtype
        self._last = Rows(np.empty((0, *self.shape[1:]), self.dtype))

    def between(self, start: int, stop: int) -> PixelArray:
        """Rows (rows, W, C); those that were asked for last are remembered, because every tile of a row asks again."""
        stop = min(stop, self.shape[0])
        if self._everywhere is None:
            return self._source.read(start, stop).colour
        if not self._last.top <= start < stop <= self._last.bottom:
            self._last = Rows(np.concatenate([self._filled(top, min(top + BAND_ROWS, stop), self._everywhere)
                                              for top in range(start, stop, BAND_ROWS)]), start)
        return self._last.between(start, stop)

    def _filled(self, start: int, stop: int, everywhere: Values) -> PixelArray:
        top = max(start - REACH_PX, 0)
        colour, alpha = self._source.read(top, min(stop + REACH_PX, self.shape[0]))
        assert alpha is not None
        if is_visible(alpha):
            return colour[start - top:stop - top]
        return filled_rows(colour, alpha, everywhere)[start - top:stop - top]


class AlphaRows:
    """The alpha of an image, as a grey image."""

    def __init__(self, source: RowSource) -> None:
        self._source = source
        self.shape: tuple[int, int, int] = (source.header.height, source.header.width, 1)
        self.dtype: np.dtype[Any] = source.header.pixels.dtype

    def between(self, start: int, stop: int) -> PixelArray:
        """Rows (rows, W, 1)."""
        alpha = self._source.read(start, min(stop, self.shape[0])).alpha
        assert alpha is not None
        return alpha

    def flatten(self, upscaled: Rows, scale: int) -> None:
        """Make some rows of the upscaled alpha plain where the input is, in place; see `flatten_plain_alpha`."""
        start, stop = upscaled.top // scale, upscaled.bottom // scale
        top = max(start - PLAIN_PX, 0)
        around = self.between(top, stop + PLAIN_PX)
        flatten_plain_alpha(around, upscaled.pixels, scale, rows=slice(start - top, stop - top))


def bands_of(source: RowSource) -> Iterator[ColourAndAlpha]:
    """All rows, BAND_ROWS at a time."""
    for start in range(0, source.header.height, BAND_ROWS):
        yield source.read(start, min(start + BAND_ROWS, source.header.height))


class Transparency(NamedTuple):
    """What has to be known of the alpha of a whole image before any part of it is upscaled."""

    plain: int | None = None
    """The value of an alpha that is the same everywhere."""
    visible: Values | None = None
    """The mean colour of the visible pixels, where alpha is not the same everywhere."""


def transparency_of(source: RowSource) -> Transparency:
    """Reads an image with alpha once or twice; of others nothing is read."""
    if source.header.alpha is None:
        return Transparency()
    plain = plain_alpha(source)
    return Transparency(plain, None if plain is not None else visible_colour(source))


def plain_alpha(source: RowSource) -> int | None:
    """The value of an alpha that is the same everywhere; None for others, and for opaque images."""
    if source.header.alpha is None:
        return None
    level: int | None = None
    for _, alpha in bands_of(source):
        assert alpha is not None
        level = int(alpha.flat[0]) if level is None else level
        if (alpha != level).any():
            return None
    return level


def visible_colour(source: RowSource) -> Values:
    """The mean colour of an image with alpha, weighted by alpha."""
    return mean_colour((colour, alpha) for colour, alpha in bands_of(source) if alpha is not None)
