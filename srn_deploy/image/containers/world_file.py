"""World files: six numbers beside an image that say where its pixels lie (Esri, "World files for raster datasets")."""

from __future__ import annotations

import math

from srn_deploy.image.containers.geotiff import composed
from srn_deploy.image.containers.pixel_map import PixelMap

_NUMBERS = 6
_TO_CENTRES = 0.5
"""The last two numbers give the place of the centre of the upper left pixel."""


def is_world_file(text: bytes) -> bool:
    """Whether these are six finite numbers, of which the first four span a plane."""
    return len(_numbers(text)) == _NUMBERS


def moved_world_file(text: bytes, pixels: PixelMap) -> bytes:
    """The world file of the result, whose corners lie where those of the file lay."""
    a, d, b, e, c, f = _numbers(text)
    new = composed([a, b, 0, c, d, e, 0, f, 0, 0, 1, 0, 0, 0, 0, 1], pixels, _TO_CENTRES)
    return b"".join(f"{value!r}\n".encode() for value in (new[0], new[4], new[1], new[5], new[3], new[7]))


def _numbers(text: bytes) -> tuple[float, ...]:
    try:
        numbers = tuple(float(word) for word in text.decode("ascii").split())
    except (UnicodeDecodeError, ValueError):
        return ()
    if len(numbers) != _NUMBERS or not all(math.isfinite(number) for number in numbers):
        return ()
    a, d, b, e, _, _ = numbers
    return numbers if a * e != b * d else ()
