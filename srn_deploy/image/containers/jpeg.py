"""JPEG files: marked segments (ITU-T T.81 annex B), among them EXIF, XMP (Adobe, part 3) and ICC profiles."""

from __future__ import annotations

import struct
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

from srn_deploy.image.containers.jpeg_parts import parts_behind, segment_part
from srn_deploy.image.containers.jpeg_segments import segments
from srn_deploy.image.containers.photoshop import MARK as PHOTOSHOP_MARK
from srn_deploy.image.containers.photoshop import without_old_pixels
from srn_deploy.image.containers.resolution import Resolution, Unit, as_metadata, from_block
from srn_deploy.image.containers.unpacked import (
    EXIF_MARK,
    Container,
    JpegKind,
    Metadata,
    MetadataKind,
    Part,
    Unpacked,
    broken,
    unsupported,
)

START = b"\xff\xd8\xff"

_XMP_MARK = b"http://ns.adobe.com/xap/1.0/\0"
_EXTENDED_MARK = b"http://ns.adobe.com/xmp/extension/\0"
_ICC_MARK = b"ICC_PROFILE\0"
_JFIF_MARK, _ADOBE_MARK = b"JFIF\0", b"Adobe"
_APP0, _APP1, _APP2, _APP14 = 0xE0, 0xE1, 0xE2, 0xEE
_START_OF_FRAME = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}
_JFIF_UNITS = (Unit.NONE, Unit.INCH, Unit.CM)
_LARGEST_DENSITY = 0xFFFF
_COMMENT, _APP13 = 0xFE, 0xED

MAX_ASPECT_TERM = 10_000
"""The largest numerator or denominator of a pixel's aspect ratio."""

_WHOLE_SEGMENTS = (MetadataKind.EXTENDED_XMP, MetadataKind.JPEG_NOTES)

_SEGMENT_BYTES = 65533
"""The capacity of a segment without its marker and its 16-bit length."""
_PROFILE_PART_BYTES = _SEGMENT_BYTES - len(_ICC_MARK) - 2


def unpack(data: bytes, path: Path) -> Unpacked:
    """Take a JPEG apart up to its end marker.

    Raises UnreadableImage if the end marker is missing, UnsupportedImage for other than 8 bits or 1, 3 or 4 components.
    """
    kept, metadata = [data[:2]], []
    profile: list[tuple[int, bytes]] = []
    left_behind: list[Part | None] = []
    extended, notes, density, frame, inverted, end, strays = b"", b"", b"", b"", False, len(kept[0]), 0
    for at, marker, whole in segments(data, path):
        strays += len(data[end:at].strip(b"\xff"))
        end = at + len(whole)
        body = whole[4:]
        if marker == _APP1 and body.startswith(EXIF_MARK):
            metadata.append((MetadataKind.EXIF, body.removeprefix(EXIF_MARK)))
        elif marker == _APP1 and body.startswith(_XMP_MARK):
            metadata.append((MetadataKind.XMP, body.removeprefix(_XMP_MARK).rstrip(b"\0")))
        elif marker == _APP1 and body.startswith(_EXTENDED_MARK):
            extended += whole
        elif marker == _APP13 and body.startswith(PHOTOSHOP_MARK):
            resources, parts = without_old_pixels(body)
            notes += _segment(_APP13, resources) if resources else b""
            left_behind += parts
        elif marker in (_COMMENT, _APP13):
            notes += whole
        elif marker == _APP2 and body.startswith(_ICC_MARK):
            number, part = body[len(_ICC_MARK):len(_ICC_MARK) + 1], body[len(_ICC_MARK) + 2:]
            profile.append((int.from_bytes(number, "big"), part))
        else:
            kept.append(whole)
            left_behind.append(segment_part(marker, whole))
            frame = frame or (body if marker in _START_OF_FRAME else b"")
            density = density or (body if marker == _APP0 and body.startswith(_JFIF_MARK) else b"")
            inverted = inverted or (marker == _APP14 and body.startswith(_ADOBE_MARK))
    if profile:
        metadata.append((MetadataKind.ICC, b"".join(part for _, part in sorted(profile))))
    others = ((MetadataKind.EXTENDED_XMP, extended), (MetadataKind.JPEG_NOTES, notes))
    metadata += [(kind, whole) for kind, whole in others if whole]
    height, width, components = _frame(frame, path)
    promise = b"".join(block for kind, block in metadata if kind is MetadataKind.XMP)
    remark = f"{path}: {strays} stray bytes between the segments of the JPEG are ignored."
    return Unpacked(container=Container.JPEG, height=height, width=width, without_metadata=b"".join(kept),
                    metadata=(*metadata, *as_metadata(_resolution(density))),
                    left_behind=(*(part for part in left_behind if part), *parts_behind(data[end:], promise)),
                    remarks=(remark,) if strays else (), jpeg=JpegKind(components=components, inverted=inverted))


def pack(encoded: bytes, metadata: Metadata) -> bytes:
    """Insert metadata after the JFIF header of a JPEG, where readers expect it."""
    at = 4 + int.from_bytes(encoded[4:6], "big") if encoded[3] == _APP0 else 2
    density = next((_density(from_block(block)) for kind, block in metadata if kind is MetadataKind.RESOLUTION), b"")
    header = _segment(_APP0, _JFIF_MARK + b"\1\2" + density + bytes(2)) if density else encoded[2:at]
    return encoded[:2] + header + b"".join(
        _written(*block) for block in metadata if block[0] is not MetadataKind.RESOLUTION) + encoded[at:]


def why_no_density(block: bytes) -> str:
    """The reason, as a clause, why JFIF's 16 bits cannot hold a resolution; empty if they can."""
    return "" if _density(from_block(block)) else "JPEG can hold from 1 to 65535 pixels per inch or cm"


def _frame(body: bytes, path: Path) -> tuple[int, int, int]:
    """Height, width and number of components, from a start-of-frame segment."""
    if len(body) < 6:
        raise broken(path, "is a JPEG without an image")
    bits, height, width, components = struct.unpack(">BHHB", body[:6])
    if bits != 8:
        raise unsupported(path, f"is a JPEG of {bits} bits, which few programs read")
    if components not in (1, 3, 4):
        raise unsupported(path, f"is a JPEG of {components} components")
    if not (height and width):
        raise broken(path, "is a JPEG that does not give its size")
    return height, width, components


def _resolution(body: bytes) -> Resolution | None:
    """The resolution in a JFIF header."""
    if len(body) < 12:
        return None
    unit, x, y = struct.unpack(">BHH", body[7:12])
    if not (x and y) or unit >= len(_JFIF_UNITS):
        return None
    return Resolution(x=Fraction(x), y=Fraction(y), unit=_JFIF_UNITS[unit])


def _density(resolution: Resolution) -> bytes:
    """The JFIF fields for a resolution, rounded to integers; empty if 16 bits cannot hold them."""
    x, y = resolution.x, resolution.y
    if resolution.unit is Unit.NONE:
        x, y = map(Fraction, (x / y).limit_denominator(MAX_ASPECT_TERM).as_integer_ratio())
    elif resolution.unit is Unit.CM and x.denominator > 1:  # finer steps: 118.11 per cm are 300 per inch
        resolution, x, y = replace(resolution, unit=Unit.INCH), x * Fraction(254, 100), y * Fraction(254, 100)
    whole = round(x), round(y)
    if not all(1 <= value <= _LARGEST_DENSITY for value in whole):
        return b""
    return struct.pack(">BHH", _JFIF_UNITS.index(resolution.unit), *whole)


def why_too_long(kind: MetadataKind, block: bytes) -> str:
    """The reason, as a clause, why a block does not fit; empty if it does.

    Only a profile may be spread over several segments.
    """
    if kind in _WHOLE_SEGMENTS:
        return ""
    if kind is MetadataKind.ICC:
        return "it is longer than a JPEG can hold" if len(block) > 255 * _PROFILE_PART_BYTES else ""
    marked = len(block) + len(EXIF_MARK if kind is MetadataKind.EXIF else _XMP_MARK)
    return f"its {len(block)} bytes are more than a JPEG segment holds" if marked > _SEGMENT_BYTES else ""


def _written(kind: MetadataKind, block: bytes) -> bytes:
    if kind in _WHOLE_SEGMENTS:
        return block
    if kind is not MetadataKind.ICC:
        return _segment(_APP1, (EXIF_MARK if kind is MetadataKind.EXIF else _XMP_MARK) + block)
    parts = [block[at:at + _PROFILE_PART_BYTES] for at in range(0, len(block), _PROFILE_PART_BYTES)]
    return b"".join(_segment(_APP2, _ICC_MARK + bytes([number, len(parts)]) + part)
                    for number, part in enumerate(parts, 1))


def _segment(marker: int, body: bytes) -> bytes:
    return bytes([0xFF, marker]) + (len(body) + 2).to_bytes(2, "big") + body
