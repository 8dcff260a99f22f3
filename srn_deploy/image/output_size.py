"""How large a result is to be: a factor, a side or a box, of which the size of each result is computed exactly."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from fractions import Fraction
from types import NoneType

from srn_deploy.errors import OptionError, UnwritableImage
from srn_deploy.system.arguments import check_kind, shown

MOST_SIDE_PX = 1_000_000
"""The largest side that any format holds; `LARGEST_SIDE_PX` has those of each."""

_BOX = re.compile(r"(\d{1,7})[x×](\d{1,7})")
_HALF = Fraction(1, 2)


@dataclass(frozen=True, kw_only=True)
class OutputSize:
    """The size of results: at most one of scale, width, height and fit; without any it is what the model gives.

    The shape of the image is kept: the other side follows, rounded to whole pixels. Sides are in pixels, 1 to
    1,000,000. Raises OptionError for values that cannot work, and for two that contradict each other.
    """

    scale: float | None = None
    """Times the size of the image, as in 1.5."""
    width: int | None = None
    height: int | None = None
    fit: tuple[int, int] | None = None
    """(height, width) of a box that the result fills in one direction and stays inside of in the other."""
    max_side: int | None = None
    """The longer side is at most this; results that are smaller anyway stay as they are. Also together with scale."""

    def __post_init__(self) -> None:
        self._check_kinds()
        given = [name for name in ("scale", "width", "height", "fit") if getattr(self, name) is not None]
        if {"width", "height"} <= set(given):
            raise OptionError("A width and a height together would change the shape of an image.",
                              remedy="Give one of them; or a box to fit into, which keeps the shape.")
        if len(given) > 1:
            raise OptionError(f"{given[0]} and {given[1]} contradict each other: each says how large the result is.",
                              remedy="Give one of them.")
        if self.max_side is not None and given and given != ["scale"]:
            raise OptionError(f"{given[0]} and max_side contradict each other: each says how large the result is.",
                              remedy="Give one of them; max_side goes with scale, or alone.")

    def _check_kinds(self) -> None:
        check_kind(self.scale, (int, float, NoneType), "scale", remedy="Give a number, as in 1.5.")
        if self.scale is not None and not 0 < self.scale < math.inf:
            raise OptionError(f"A scale of {self.scale:g} is not possible.", remedy="Give a number above 0.")
        for name in ("width", "height", "max_side"):
            _check_side(getattr(self, name), name)
        if self.fit is not None:
            check_kind(self.fit, tuple, "fit", remedy="Give (height, width) in pixels.")
            if len(self.fit) != 2:
                raise OptionError(f"fit cannot be {shown(self.fit)}.", remedy="Give (height, width) in pixels.")
            for side in self.fit:
                check_kind(side, int, "A side of fit", remedy="Give (height, width) in pixels.")
                _check_side(side, "fit")

    @property
    def is_free(self) -> bool:
        """Whether nothing is asked for: results have the size that the model gives."""
        return self == OutputSize()

    def of(self, height: int, width: int, *, factor: int) -> tuple[int, int]:
        """(height, width) of the result of an image of this size, all in pixels; factor: of the model.

        Raises UnwritableImage where that is larger than the model gives.
        """
        ratio = self._ratio(height, width, factor)
        sides = self.height or _times(height, ratio), self.width or _times(width, ratio)
        if self.max_side is not None and max(sides) > self.max_side:
            bound = Fraction(self.max_side, max(height, width))
            sides = _times(height, bound), _times(width, bound)
        if sides[0] > height * factor or sides[1] > width * factor:
            raise UnwritableImage(
                f"A result of {sides[1]} x {sides[0]} px is more than the {width * factor} x {height * factor} px "
                f"that a model of x{factor} makes of {width} x {height} px.",
                remedy="Choose a model of a higher scale, upscale its result once more, or ask for less.")
        return sides

    def _ratio(self, height: int, width: int, factor: int) -> Fraction:
        if self.scale is not None:
            return Fraction(str(self.scale))  # as it was typed: 1.1 has no exact binary form
        if self.width is not None:
            return Fraction(self.width, width)
        if self.height is not None:
            return Fraction(self.height, height)
        if self.fit is not None:
            return min(Fraction(self.fit[0], height), Fraction(self.fit[1], width))
        return Fraction(factor)


def parse_box(text: str) -> tuple[int, int]:
    """(height, width) of a box as it is typed, width first, as in 1920x1080; raises OptionError."""
    found = _BOX.fullmatch(text.strip())
    if found is None:
        raise OptionError(f"{text!r} is not a size.", remedy="Write width x height in pixels, as in 1920x1080.")
    return int(found.group(2)), int(found.group(1))


def _check_side(side: int | None, name: str) -> None:
    check_kind(side, (int, NoneType), name, remedy="Give a whole number of pixels.")
    if side is not None and not 1 <= side <= MOST_SIDE_PX:
        raise OptionError(f"A {name} of {side} px is not possible.",
                          remedy=f"Give 1 to {MOST_SIDE_PX:,} pixels, which is the most that any format holds.")


def _times(side: int, ratio: Fraction) -> int:
    """A side times a ratio, halves rounded up; at least one pixel."""
    return max(1, math.floor(side * ratio + _HALF))


AS_THE_MODEL_GIVES = OutputSize()
"""Nothing is asked for."""
