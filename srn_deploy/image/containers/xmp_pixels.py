"""What XMP says of the image: its orientation, what is counted in its pixels, and parts of the file that go with it."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from fractions import Fraction

from srn_deploy.image.containers.pixel_map import PixelMap
from srn_deploy.image.containers.unpacked import Part
from srn_deploy.image.containers.xmp import Edit, Property, Value, edited, removal
from srn_deploy.image.containers.xmp_drone import COUNTED as DRONE_COUNTED
from srn_deploy.image.containers.xmp_drone import DEWARP, DRONE, is_dewarp, moved_calibration
from srn_deploy.image.containers.xmp_numbers import number, replaced, replaced_text
from srn_deploy.image.containers.xmp_regions import COUNTED, IPTC_REGIONS, moved_regions

_WIDTHS, _HEIGHTS = ("tiff:ImageWidth", "exif:PixelXDimension"), ("tiff:ImageLength", "exif:PixelYDimension")
_POINTS = ("exif:SubjectArea", "exif:SubjectLocation")
_PAIRS = (("exif:FocalPlaneXResolution", "exif:FocalPlaneYResolution"),)
"""Numbers that grow with the width and with the height."""
_UNITLESS_PAIRS = (("tiff:XResolution", "tiff:YResolution"),)
"""Numbers that stay, and only change places when rows become columns."""
_PANO_WIDTH, _PANO_HEIGHT = "GPano:CroppedAreaImageWidthPixels", "GPano:CroppedAreaImageHeightPixels"
_PANO_PAIRS = ((_PANO_WIDTH, _PANO_HEIGHT), ("GPano:FullPanoWidthPixels", "GPano:FullPanoHeightPixels"),
               ("GPano:CroppedAreaLeftPixels", "GPano:CroppedAreaTopPixels"),
               ("GPano:LargestValidInteriorRectWidth", "GPano:LargestValidInteriorRectHeight"),
               ("GPano:LargestValidInteriorRectLeft", "GPano:LargestValidInteriorRectTop"))
_CROP_PAIR, _CROP_UNIT, _CROP_IN_PIXELS = ("crs:CropWidth", "crs:CropHeight"), "crs:CropUnits", "0"
_ORIENTATION = "tiff:Orientation"

_GONE_PREFIXES = ("hdrgm", "HDRGainMap", "Container", "Item", "Device", "apdi")
"""Namespaces that only describe other parts of the file: gain maps, items of a container, auxiliary images."""
_GONE = re.compile(r"GCamera:(MotionPhoto|MicroVideo)\w*|OpCamera:(MotionPhoto|VideoLength)\w*")
_PROVENANCE, _CREDENTIALS = "dcterms:provenance", re.compile(r"jumbf|c2pa", re.IGNORECASE)
_EXTENDED = "xmpNote:HasExtendedXMP"
_IN_EXTENSION = ("GDepth:", "GImage:", "GAudio:")
"""Their data lie in the extended XMP."""

_MENTIONS = re.compile(
    rb"ImageWidth|ImageLength|Dimension|Subject|Resolution|Pixels|LargestValid|CropWidth|CropHeight|Orientation|Area#|"
    rb"stArea|Rectangle|rbUnit|hdr-gain-map|hdrgm|HDRGainMap|container|MotionPhoto|MicroVideo|photos/dd|pixeldatainfo|"
    rb"provenance|ExtendedXMP|VideoLength|Calibrated|DewarpData")


def without_lost_parts(packet: bytes) -> tuple[bytes, tuple[Part, ...]]:
    """The packet without what refers to parts of the file that are left behind, and without numbers that are none.

    Empty bytes, and the packet as a part that is left behind, if it cannot be read although it may say such things.
    """
    unclear: list[Part] = []

    def change(found: list[Property]) -> Iterator[Edit]:
        for one in found:
            if _is_gone(one):
                yield removal(one)
            elif one.name in _COUNTED and not all(number(value.text) is not None for value in one.values):
                unclear.append(Part(f"XMP {one.name}, which is not a number", one.end - one.start))
                yield removal(one)
            elif one.name == DEWARP and not is_dewarp(one.text):
                unclear.append(Part(f"XMP {DEWARP} in another form", one.end - one.start))
                yield removal(one)

    return _or_nothing(packet, edited(packet, change), unclear)


def _or_nothing(packet: bytes, changed: bytes | None, unclear: list[Part]) -> tuple[bytes, tuple[Part, ...]]:
    if changed is not None:
        return changed, tuple(unclear)
    if _MENTIONS.search(packet.replace(b"\0", b"")):
        return b"", (Part("XMP that is damaged", len(packet)),)
    return packet, ()


def _is_gone(one: Property) -> bool:
    prefix = one.name.removeprefix("xmlns ").partition(":")[0]
    if prefix in _GONE_PREFIXES or _GONE.fullmatch(one.name):
        return True
    return one.name == _PROVENANCE and _CREDENTIALS.search(one.text) is not None


def without_extension(packet: bytes) -> bytes:
    """The packet without its reference to the extended XMP, which is left behind, and what is of no use without."""
    def change(found: list[Property]) -> Iterator[Edit]:
        if any(one.name == _EXTENDED for one in found):
            yield from (removal(one) for one in found if one.name == _EXTENDED or one.name.startswith(_IN_EXTENSION))

    changed = edited(packet, change)
    return packet if changed is None else changed


def upright_xmp(packet: bytes) -> bytes:
    """The same XMP packet with its orientation, which repeats that of EXIF, set to 1."""
    changed = edited(packet, lambda found: [edit for one in found if one.name == _ORIENTATION
                                            for edit in replaced_text(one, "1") if one.text in "12345678"])
    return packet if changed is None else changed


def with_size_in_xmp(packet: bytes, *, height: int, width: int) -> bytes:
    """The same XMP packet with every property for the size of the image, in pixels, set to this size."""
    same = PixelMap(height=height, width=width, new_height=height, new_width=width)
    changed = edited(packet, lambda found: list(_sizes(_by_name(found), same)))
    return packet if changed is None else changed


def moved_xmp(packet: bytes, pixels: PixelMap) -> tuple[bytes, tuple[Part, ...]]:
    """The packet with everything that is counted in pixels as it is in the result, and what had to be left out."""
    left: list[Part] = []

    def change(found: list[Property]) -> Iterator[Edit]:
        by_name = _by_name(found)
        stated = [_side(by_name, names) for names in (_WIDTHS, _HEIGHTS)]
        inner = pixels.counted_in(*stated)
        yield from _sizes(by_name, pixels)
        for name in _POINTS:
            for one in by_name[name]:
                yield from _point(one.values, inner)
        for pair in (*_PAIRS, *((_CROP_PAIR,) if _crops_in_pixels(by_name) else ())):
            yield from _pair(by_name, pair, inner)
        for start in ("GPano:", IPTC_REGIONS, DRONE) if pixels.turn != 1 else ():
            removed = [one for one in found if one.name.startswith(start) and _counts_pixels(one.name)]
            yield from map(removal, removed)
            left.extend(Part(f"{start.rstrip(':')} of an image that is turned", one.end - one.start) for one in removed)
        if pixels.turn == 1:
            sides = [_side(by_name, (name,)) for name in (_PANO_WIDTH, _PANO_HEIGHT)]
            for pair in _PANO_PAIRS:
                yield from _pair(by_name, pair, pixels.counted_in(*sides))
            yield from moved_calibration(found, inner)
        yield from _exchanged(by_name, pixels)
        yield from moved_regions(found, inner)

    changed = edited(packet, change)
    return (packet if changed is None else changed), tuple(left)


def _by_name(found: list[Property]) -> dict[str, list[Property]]:
    by_name: dict[str, list[Property]] = defaultdict(list)
    for one in found:
        by_name[one.name].append(one)
    return by_name


def _side(by_name: dict[str, list[Property]], names: Sequence[str]) -> int:
    """The size that the packet gives for one side; 0 if it gives none."""
    numbers = (number(one.text) for name in names for one in by_name[name])
    return next((int(found) for found in numbers if found is not None), 0)


def _sizes(by_name: dict[str, list[Property]], pixels: PixelMap) -> Iterator[Edit]:
    for names, side in ((_WIDTHS, pixels.new_width), (_HEIGHTS, pixels.new_height)):
        for name in names:
            for one in by_name[name]:
                if number(one.text) != side:
                    yield from replaced_text(one, str(side))


def _point(values: Sequence[Value], pixels: PixelMap) -> Iterator[Edit]:
    """A point; a circle, whose third value is its diameter; or a rectangle around its centre (EXIF 2.32, 4.6.5)."""
    numbers = [number(value.text) or Fraction(0) for value in values]
    if len(numbers) < 2:
        return
    new = [*pixels.pixel(numbers[0], numbers[1])]
    new += pixels.sides(numbers[2], numbers[3]) if len(numbers) == 4 else [pixels.scale_x * one for one in numbers[2:]]
    for value, moved_number in zip(values, new, strict=True):
        yield from replaced(value, moved_number)


def _pair(by_name: dict[str, list[Property]], pair: tuple[str, str], pixels: PixelMap) -> Iterator[Edit]:
    """Two numbers that grow with width and height; either may be missing where the image is not turned."""
    first, second = ([one.values[0] for one in by_name[name] if one.values] for name in pair)
    for along, scale in ((first, pixels.scale_x), (second, pixels.scale_y)):
        others = second if along is first else first
        for value, other in zip(along, others if pixels.swaps and len(others) == len(along) else along, strict=True):
            count = number(other.text)
            if count is not None:
                yield from replaced(value, count * scale, other.text)


def _exchanged(by_name: dict[str, list[Property]], pixels: PixelMap) -> Iterator[Edit]:
    for first, second in _UNITLESS_PAIRS:
        for one, other in zip(by_name[first], by_name[second], strict=False):
            if pixels.swaps:
                yield from (*replaced_text(one, other.text), *replaced_text(other, one.text))


def _counts_pixels(name: str) -> bool:
    """Whether a property of a namespace that may be left out counts pixels: DJI's also holds angles and heights."""
    return not name.startswith(DRONE) or name in DRONE_COUNTED or name == DEWARP


def _crops_in_pixels(by_name: dict[str, list[Property]]) -> bool:
    return any(one.text == _CROP_IN_PIXELS for one in by_name[_CROP_UNIT])


_COUNTED = COUNTED.union(DRONE_COUNTED, _WIDTHS, _HEIGHTS, _POINTS, *_PAIRS, *_PANO_PAIRS)
"""Properties whose values are numbers that depend on the size of the image."""
