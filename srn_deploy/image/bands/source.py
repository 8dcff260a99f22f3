"""Images whose rows are asked for one after the other: decoded whole, or read from a file as they are needed."""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType
from typing import NamedTuple, Protocol, Self, cast

import numpy as np

from srn_deploy.image.pixels import Image, Pixels

KEPT_ROWS = 512
"""Rows above those that were asked for last, which may be asked for again: the halo of a tile and of a repair."""


class ColourAndAlpha(NamedTuple):
    """Some rows of an image."""

    colour: Pixels
    """(rows, W, 1) grey or (rows, W, 3) RGB, uint8 or uint16."""
    alpha: Pixels | None
    """(rows, W, 1) of the same dtype; None for opaque images."""


_EIGHT_BITS = np.dtype(np.uint8)


class RowSource(Protocol):
    """An image whose rows are read; whoever opens it closes it."""

    @property
    def header(self) -> Image:
        """Its metadata and remarks, and the shape of its pixels; their values mean nothing."""

    def read(self, start: int, stop: int) -> ColourAndAlpha:
        """The rows [start, stop), which may not be changed; fast as long as they do not go back by KEPT_ROWS.

        Raises UnreadableImage where the file is damaged, or was changed since it was opened.
        """

    def close(self) -> None:
        """Close the file."""


def shape_only(*, height: int, width: int, channels: int, has_alpha: bool,
               dtype: np.dtype[np.uint8] | np.dtype[np.uint16] = _EIGHT_BITS) -> tuple[Pixels, Pixels | None]:
    """Arrays of colour and alpha that stand for an image of this shape and take no memory; all values are 0."""
    def of(count: int) -> Pixels:
        return cast(Pixels, np.broadcast_to(np.zeros((1, 1, 1), dtype), (height, width, count)))

    return of(channels), of(1) if has_alpha else None


class WholeImage:
    """An image that was decoded whole."""

    def __init__(self, image: Image) -> None:
        self.header = image

    def read(self, start: int, stop: int) -> ColourAndAlpha:
        """Views of the rows."""
        alpha = self.header.alpha
        return ColourAndAlpha(self.header.pixels[start:stop], None if alpha is None else alpha[start:stop])

    def close(self) -> None:
        """There is no file."""


class KeptRows:
    """Another source, of which the last rows are kept, so that they are decoded once."""

    def __init__(self, source: RowSource) -> None:
        self._source = source
        self.header = source.header
        self._top = 0
        self._kept: ColourAndAlpha | None = None

    def read(self, start: int, stop: int) -> ColourAndAlpha:
        """The rows, of which those that are new are read."""
        stop = min(stop, self.header.height)
        if self._kept is None or not self._top <= start <= self._bottom:
            self._top, self._kept = start, self._source.read(start, stop)
        elif stop > self._bottom:
            top = max(self._top, start - KEPT_ROWS)
            new, kept = self._source.read(self._bottom, stop), _rows(self._kept, top - self._top, None)
            self._top, self._kept = top, _both(kept, new)
        return _rows(self._kept, start - self._top, stop - self._top)

    @property
    def _bottom(self) -> int:
        return self._top + (0 if self._kept is None else len(self._kept.colour))

    def close(self) -> None:
        """Close the other source."""
        self._kept = None
        self._source.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        self.close()


def _rows(pixels: ColourAndAlpha, first: int, last: int | None) -> ColourAndAlpha:
    return ColourAndAlpha(pixels.colour[first:last], None if pixels.alpha is None else pixels.alpha[first:last])


def _both(above: ColourAndAlpha, below: ColourAndAlpha) -> ColourAndAlpha:
    alpha = None if above.alpha is None or below.alpha is None else joined([above.alpha, below.alpha])
    return ColourAndAlpha(joined([above.colour, below.colour]), alpha)


def joined(parts: Sequence[Pixels]) -> Pixels:
    """Rows below one another."""
    return parts[0] if len(parts) == 1 else cast(Pixels, np.concatenate(parts))
