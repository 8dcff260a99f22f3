"""The calibration of DJI's cameras in XMP, which photogrammetry reads: counted in pixels of the image."""

from __future__ import annotations

import re
from collections.abc import Iterator
from fractions import Fraction

from srn_deploy.image.containers.pixel_map import PixelMap
from srn_deploy.image.containers.xmp import Edit, Property
from srn_deploy.image.containers.xmp_numbers import in_notation_of, number, replaced, replaced_text

DRONE = "drone-dji:"
_ACROSS = ("drone-dji:CalibratedFocalLength", "drone-dji:CalibratedOpticalCenterX")
_DOWN = ("drone-dji:CalibratedOpticalCenterY",)
COUNTED = frozenset((*_ACROSS, *_DOWN))
DEWARP = "drone-dji:DewarpData"
"""A date, the focal lengths and the centre's offset from that of the image, in pixels; then the lens distortion, whose
coefficients belong to lengths divided by the focal length."""
_IN_PIXELS = 4
_DEWARP = re.compile(r"([^;]*;)?([^;,]*(?:,[^;,]*){3,})")


def is_dewarp(text: str) -> bool:
    """Whether a text is data for undoing the distortion, in the form that is known."""
    found = _DEWARP.fullmatch(text.strip())
    return found is not None and all(number(part) is not None for part in found[2].split(",")[:_IN_PIXELS])


def moved_calibration(found: list[Property], pixels: PixelMap) -> Iterator[Edit]:
    """The edits that count the calibration in pixels of the result; for an image that is not turned."""
    for one in found:
        scale = pixels.scale_x if one.name in _ACROSS else pixels.scale_y
        value = number(one.text)
        if one.name in COUNTED and value is not None:
            yield from replaced(one.values[0], value * scale)
        elif one.name == DEWARP and (data := _DEWARP.fullmatch(one.text)):
            yield from replaced_text(one, (data[1] or "") + ",".join(_scaled(data[2].split(","), pixels)))


def _scaled(parts: list[str], pixels: PixelMap) -> Iterator[str]:
    for at, part in enumerate(parts):
        scale = (pixels.scale_x, pixels.scale_y)[at % 2]
        yield in_notation_of(part, (number(part) or Fraction(0)) * scale) if at < _IN_PIXELS else part
