"""Regions in XMP, such as faces: structures whose numbers belong together, in pixels or as shares of the sides."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from fractions import Fraction

from srn_deploy.image.containers.pixel_map import PixelMap
from srn_deploy.image.containers.xmp import Edit, Property, Value
from srn_deploy.image.containers.xmp_numbers import in_notation_of, number, replaced, replaced_text

IPTC_REGIONS = "Iptc4xmpExt:ImageRegion"
"""Left out of an image that is turned: the standard does not say whether they are counted before or after it."""

COUNTED = frozenset({
    "stArea:x", "stArea:y", "stArea:w", "stArea:h", "stArea:d", "stDim:w", "stDim:h",
    *(f"Iptc4xmpExt:{name}" for name in ("rbX", "rbY", "rbW", "rbH", "rbRx"))})

_PIXEL = "pixel"
_IPTC_UNIT, _IPTC_ACROSS, _IPTC_DOWN = "Iptc4xmpExt:rbUnit", ("rbX", "rbW", "rbRx"), ("rbY", "rbH")


def moved_regions(found: list[Property], pixels: PixelMap) -> Iterator[Edit]:
    """The edits that bring every region to its place in the result."""
    fields: dict[int, dict[str, Property]] = defaultdict(dict)
    for one in found:
        if one.name.startswith(("stArea:", "stDim:")) and one.values:
            fields[one.holder][one.name] = one
        elif one.name == "MPReg:Rectangle" and pixels.turn != 1:
            yield from _rectangle(one, pixels)
    for structure in fields.values():
        values = {name: field.values[0] for name, field in structure.items()}
        yield from _area(values, pixels)
        if {"stDim:w", "stDim:h", "stDim:unit"} <= values.keys() and values["stDim:unit"].text.strip() == _PIXEL:
            yield from _both(values["stDim:w"], values["stDim:h"], pixels)
    yield from _iptc(found, pixels)


def _area(values: dict[str, Value], pixels: PixelMap) -> Iterator[Edit]:
    """A region of the Metadata Working Group: its centre and its sides, or its diameter, as stored in the file."""
    unit = values["stArea:unit"].text.strip() if "stArea:unit" in values else "normalized"
    if not {"stArea:x", "stArea:y"} <= values.keys() or (unit != _PIXEL and pixels.turn == 1):
        return
    x, y = (number(values[f"stArea:{name}"].text) or Fraction(0) for name in "xy")
    if unit == _PIXEL:
        x, y = pixels.turned(x, y, Fraction(pixels.width), Fraction(pixels.height))
        x, y = x * pixels.scale_x, y * pixels.scale_y
    else:
        x, y = pixels.turned(x, y, Fraction(1), Fraction(1))
    x_like, y_like = (values[f"stArea:{name}"].text for name in ("yx" if pixels.swaps else "xy"))
    yield from (*replaced(values["stArea:x"], x, x_like), *replaced(values["stArea:y"], y, y_like))
    if {"stArea:w", "stArea:h"} <= values.keys():
        yield from _both(values["stArea:w"], values["stArea:h"], pixels, is_share=unit != _PIXEL)
    if "stArea:d" in values and unit == _PIXEL:
        yield from replaced(values["stArea:d"], (number(values["stArea:d"].text) or 0) * pixels.scale_x)


def _both(width: Value, height: Value, pixels: PixelMap, *, is_share: bool = False) -> Iterator[Edit]:
    across, down = (number(value.text) or Fraction(0) for value in (width, height))
    likes = (height.text, width.text) if pixels.swaps else (width.text, height.text)
    if is_share:
        across, down = (down, across) if pixels.swaps else (across, down)
    else:
        across, down = pixels.sides(across, down)
    yield from (*replaced(width, across, likes[0]), *replaced(height, down, likes[1]))


def _rectangle(one: Property, pixels: PixelMap) -> Iterator[Edit]:
    """Microsoft's region: left, top, width and height as shares of the sides."""
    texts = one.text.split(",")
    numbers = [found for found in map(number, texts) if found is not None]
    if len(texts) != len(numbers) or len(numbers) != 4:
        return
    left, top, width, height = numbers
    x, y = pixels.turned(left + width / 2, top + height / 2, Fraction(1), Fraction(1))
    width, height = (height, width) if pixels.swaps else (width, height)
    new = (x - width / 2, y - height / 2, width, height)
    yield from replaced_text(one, ", ".join(map(in_notation_of, texts, new)))


def _iptc(found: list[Property], pixels: PixelMap) -> Iterator[Edit]:
    """Regions of the IPTC in pixels; the points of a polygon are structures below the one that names the unit."""
    units = {one.holder: one.text for one in found if one.name == _IPTC_UNIT}
    holders = {one.number: one.holder for one in found if one.number}
    for one in found:
        prefix, _, local = one.name.partition(":")
        if prefix != "Iptc4xmpExt" or local not in (*_IPTC_ACROSS, *_IPTC_DOWN) or not one.values:
            continue
        holder = one.holder
        while holder and holder not in units:
            holder = holders.get(holder, 0)
        value = number(one.text)
        if units.get(holder) == _PIXEL and value is not None:
            yield from replaced(one.values[0], value * (pixels.scale_x if local in _IPTC_ACROSS else pixels.scale_y))
