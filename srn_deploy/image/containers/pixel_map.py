"""Where the pixels of an image lie in the image that is made of it: turned upright, then enlarged."""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction
from typing import TypeVar

Place = TypeVar("Place", int, float, Fraction)

_LIKE = Fraction(1, 100)
"""Two shapes that differ by less are the same: sizes are rounded when an image is made smaller."""


@dataclass(frozen=True, kw_only=True)
class PixelMap:
    """From the pixels of a file, as stored, to those of a result."""

    height: int
    width: int
    """Of the file, as stored."""
    new_height: int
    new_width: int
    turn: int = 1
    """The EXIF orientation that is applied, 1 to 8."""

    @property
    def swaps(self) -> bool:
        """Whether rows become columns."""
        return self.turn >= 5

    @property
    def scale_x(self) -> Fraction:
        """Columns of the result to each column of the upright image."""
        return Fraction(self.new_width, self.height if self.swaps else self.width)

    @property
    def scale_y(self) -> Fraction:
        """Rows of the result to each row of the upright image."""
        return Fraction(self.new_height, self.width if self.swaps else self.height)

    def turned(self, x: Place, y: Place, across: Place, down: Place) -> tuple[Place, Place]:
        """A point turned upright, where the last place in a row is `across` and the last in a column `down`.

        They are the width and the height for points between pixels, one less for pixels, and 1 for shares of the sides.
        """
        if self.turn in (2, 3, 7, 8):
            x = across - x
        if self.turn in (3, 4, 6, 7):
            y = down - y
        return (y, x) if self.swaps else (x, y)

    def pixel(self, x: Fraction, y: Fraction) -> tuple[Fraction, Fraction]:
        """The first pixel of the result that is made of the pixel in a column and a row."""
        new_x, new_y = self.turned(x, y, Fraction(self.width - 1), Fraction(self.height - 1))
        return new_x * self.scale_x, new_y * self.scale_y

    def place(self, x: float, y: float) -> tuple[float, float]:
        """A place, counted in pixels from the upper left corner of the image."""
        new_x, new_y = self.turned(x, y, float(self.width), float(self.height))
        return new_x * float(self.scale_x), new_y * float(self.scale_y)

    def origin(self, new_x: float, new_y: float) -> tuple[float, float]:
        """The place in the file of a place in the result: the inverse of `place`."""
        x, y = new_x / float(self.scale_x), new_y / float(self.scale_y)
        x, y = (y, x) if self.swaps else (x, y)
        if self.turn in (2, 3, 7, 8):
            x = self.width - x
        return (x, self.height - y) if self.turn in (3, 4, 6, 7) else (x, y)

    def sides(self, width: Fraction, height: Fraction) -> tuple[Fraction, Fraction]:
        """Width and height in the result of a part of the image; also pixels per unit, which grow alike."""
        width, height = (height, width) if self.swaps else (width, height)
        return width * self.scale_x, height * self.scale_y

    def counted_in(self, width: int, height: int) -> PixelMap:
        """The map for numbers that were counted in a larger or smaller version of the image, of this size."""
        if not (width > 0 and height > 0) or abs(Fraction(width * self.height, height * self.width) - 1) > _LIKE:
            return self
        return replace(self, width=width, height=height)
