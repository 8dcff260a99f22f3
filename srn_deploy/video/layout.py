"""How the pixels of a frame are stored: colour model, bits, subsampling, alpha. Pure arithmetic."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

FramePlanes = list[NDArray[Any]]
"""Luma, both chroma (or green, blue, red; or grey alone) and alpha, each (h, w), uint8 or uint16 by the bits."""

_SUBSAMPLING = {"420": (2, 2), "422": (2, 1), "444": (1, 1), "440": (1, 2), "411": (4, 1), "410": (4, 4)}

_YUV = re.compile(r"yuv(?P<alpha>a?)(?P<sub>\d{3})p(?:(?P<bits>\d+)le)?")
_OTHER = re.compile(r"(?P<kind>gray|gbra?p)(?:(?P<bits>\d+)le)?")


class ColourModel(StrEnum):
    """The colour model."""

    YUV = "YUV"
    RGB = "RGB"
    GREY = "grey"


@dataclass(frozen=True, kw_only=True)
class PixelLayout:
    """A planar pixel format."""

    kind: ColourModel
    bits: int = 8
    horizontal: int = 1
    """Luma columns for each chroma column."""
    vertical: int = 1
    has_alpha: bool = False

    @classmethod
    def named(cls, name: str) -> Self | None:
        """The layout of a planar, little-endian format as FFmpeg calls it; None for others."""
        if found := _YUV.fullmatch(name.replace("yuvj", "yuv")):
            if (factors := _SUBSAMPLING.get(found["sub"])) is None:
                return None
            return cls(kind=ColourModel.YUV, bits=int(found["bits"] or 8), horizontal=factors[0], vertical=factors[1],
                       has_alpha=bool(found["alpha"]))
        if found := _OTHER.fullmatch(name):
            kind = ColourModel.GREY if found["kind"] == "gray" else ColourModel.RGB
            return cls(kind=kind, bits=int(found["bits"] or 8), has_alpha=found["kind"] == "gbrap")
        return None

    @property
    def name(self) -> str:
        """As FFmpeg calls it; the inverse of `named`."""
        deep = f"{self.bits}le" if self.bits > 8 else ""
        if self.kind is ColourModel.YUV:
            sub = next(sub for sub, factors in _SUBSAMPLING.items() if factors == (self.horizontal, self.vertical))
            return f"yuv{'a' if self.has_alpha else ''}{sub}p{deep}"
        return f"gray{deep}" if self.kind is ColourModel.GREY else f"gbr{'a' if self.has_alpha else ''}p{deep}"

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of the planes, and of the pixels that a network is given."""
        return np.dtype(np.uint8 if self.bits == 8 else np.uint16)

    @property
    def peak(self) -> int:
        """The largest value of a sample."""
        return (1 << self.bits) - 1

    def shapes(self, height: int, width: int) -> list[tuple[int, int]]:
        """Of each plane; chroma of odd sides is rounded up."""
        full = (height, width)
        chroma = (-(-height // self.vertical), -(-width // self.horizontal))
        colour = [full, chroma, chroma] if self.kind is ColourModel.YUV else [full] * (
            1 if self.kind is ColourModel.GREY else 3)
        return colour + [full] * self.has_alpha

    def described(self) -> str:
        """In words, as in "YUV 4:2:0, 10 bits, with transparency"."""
        sub = next((":".join(sub) for sub, factors in _SUBSAMPLING.items()
                    if factors == (self.horizontal, self.vertical)), "")
        model = f"YUV {sub}" if self.kind is ColourModel.YUV else self.kind.value
        return f"{model}, {self.bits} bits" + (", with transparency" if self.has_alpha else "")

    def holds(self, other: PixelLayout) -> bool:
        """Whether frames of the other layout lose nothing in this one but the rounding between RGB and YUV."""
        fits = self.bits >= other.bits and (self.has_alpha or not other.has_alpha)
        if other.kind is ColourModel.GREY:
            return fits
        fine = self.horizontal <= other.horizontal and self.vertical <= other.vertical
        return fits and fine and self.kind is not ColourModel.GREY

    def without_subsampling(self, *, columns: bool, rows: bool) -> PixelLayout:
        """With full chroma along the sides that are named: what odd sizes need in most encoders."""
        return replace(self, horizontal=1 if columns else self.horizontal, vertical=1 if rows else self.vertical)


def closest(wanted: PixelLayout, offered: list[PixelLayout]) -> PixelLayout | None:
    """Of the offered layouts that hold the wanted one, the one nearest to it; None where none does."""
    fitting = [layout for layout in offered if layout.holds(wanted)]
    return min(fitting, key=lambda layout: (layout.kind is not wanted.kind, layout.bits,
                                            layout.horizontal * layout.vertical * -1, layout.has_alpha), default=None)
