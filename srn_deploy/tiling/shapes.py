"""Which sizes of images a model takes: an engine is built for ranges of them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Self

from srn_deploy.errors import OptionError

Size = tuple[int, int]
"""(height, width) in LR pixels."""

ACTIVATION_BYTES = 2**30
"""Memory that the activations of one window may take where nothing else is known: 1 GiB."""

_RANGE = re.compile(r"(\d+)x(\d+)(?:\.\.(\d+)x(\d+)(?:@(\d+)x(\d+))?)?", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True)
class ShapeRange:
    """One optimisation profile: the sizes it takes, and the one it is tuned for. Raises OptionError if inconsistent."""

    smallest: Size
    largest: Size
    optimum: Size

    def __post_init__(self) -> None:
        sides = zip(self.smallest, self.optimum, self.largest, strict=True)
        if not all(1 <= low <= best <= high for low, best, high in sides):
            raise OptionError(f"Shapes {self} are inconsistent.",
                              remedy="Each side must grow from MIN over OPT to MAX, as in 64x64..640x640@339x510 "
                                     "(height x width).")

    def __str__(self) -> str:
        smallest, largest, optimum = (f"{height}x{width}" for height, width in
                                      (self.smallest, self.largest, self.optimum))
        return smallest if self.is_static else f"{smallest}..{largest}@{optimum}"

    @property
    def is_static(self) -> bool:
        """Whether it takes images of one size only."""
        return self.smallest == self.largest

    def takes(self, height: int, width: int) -> bool:
        """Whether images of this size in LR pixels run in it."""
        return self.smallest[0] <= height <= self.largest[0] and self.smallest[1] <= width <= self.largest[1]

    @classmethod
    def of_one(cls, size: Size) -> Self:
        """The range that takes one size only."""
        return cls(smallest=size, largest=size, optimum=size)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse HxW, MIN..MAX or MIN..MAX@OPT; without OPT the range is tuned for MAX. Raises OptionError."""
        found = _RANGE.fullmatch(text.strip())
        if found is None:
            raise OptionError(f"Shapes {text!r} cannot be read.",
                              remedy="Write HxW for one size, or MIN..MAX@OPT, as in 64x64..640x640@339x510.")
        numbers = [int(number) for number in found.groups() if number is not None]
        sizes = list(zip(numbers[::2], numbers[1::2], strict=True))
        return cls(smallest=sizes[0], largest=sizes[min(1, len(sizes) - 1)], optimum=sizes[-1])

    @classmethod
    def fitting(cls, sizes: Sequence[Size]) -> Self:
        """The range that contains all sizes, tuned for their median. Raises OptionError without any size."""
        if not sizes:
            raise OptionError("There is no image to fit shapes to.", remedy="Give a folder with images.")
        heights, widths = zip(*sizes, strict=True)
        return cls(smallest=(min(heights), min(widths)), largest=(max(heights), max(widths)),
                   optimum=(round(median(heights)), round(median(widths))))


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What an opened model takes at once on its device."""

    shapes: tuple[ShapeRange, ...] = ()
    """The sizes of windows must lie in one of these; empty: any size."""
    largest_batch: int | None = None
    """Images of one size at once; None: any number."""
    activation_bytes: int = ACTIVATION_BYTES
    """Memory of the device that the activations of one batch may take."""
