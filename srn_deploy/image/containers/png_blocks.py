"""Chunks of PNG that need more than to be copied: metadata as text in hexadecimal digits, places and scales."""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Iterator

from srn_deploy.image.containers.pixel_map import PixelMap
from srn_deploy.image.containers.unpacked import EXIF_MARK, MetadataKind, Part

PLACES = (b"oFFs", b"sCAL")
"""Where the image lies on a page, and how large a pixel is on its subject (PNG extensions, sections 2.1 and 2.4)."""
RAW_PROFILE = re.compile(rb"Raw profile type (exif|APP1|xmp)\0", re.IGNORECASE)
"""The keyword under which ImageMagick keeps EXIF and XMP; other programs read it where there is no eXIf chunk."""

_OF_OLD_PIXELS = re.compile(
    rb"(?:(?:exif|tiff):(?:(?:Exif|Related)?Image(?:Width|Length|Height)|Pixel[XY]Dimension|Subject(?:Area|Location)|"
    rb"FocalPlane[XY]Resolution|Orientation)|Thumb::Image::(?:Width|Height))\0", re.IGNORECASE)
"""Keywords of texts, by ImageMagick and by makers of thumbnails, that count pixels or say how they are turned."""

_XMP_MARK = b"http://ns.adobe.com/xap/1.0/\0"
_DIGITS = re.compile(rb"\s*\w+\s+\d+\s+([0-9a-fA-F\s]+)")
_MOST_BYTES = 1 << 24
_IN_PIXELS = 0
_DECIMAL = re.compile(rb"\d{1,20}(\.\d{0,20})?([eE][+-]?\d{1,2})?")


def raw_profile(kind: bytes, body: bytes) -> tuple[MetadataKind, bytes] | None:
    """EXIF or XMP from a text chunk; None for other texts, and for damaged ones."""
    keyword = RAW_PROFILE.match(body)
    if keyword is None or kind not in (b"tEXt", b"zTXt"):
        return None
    found = _DIGITS.fullmatch(body[keyword.end():] if kind == b"tEXt" else _inflated(body[keyword.end() + 1:]))
    digits = b"".join(found.group(1).split()) if found else b""
    if not digits or len(digits) % 2:
        return None
    data = bytes.fromhex(digits.decode())
    if data.startswith(_XMP_MARK) or keyword.group(1).lower() == b"xmp":
        return MetadataKind.XMP, data.removeprefix(_XMP_MARK).rstrip(b"\0")
    return MetadataKind.EXIF, data.removeprefix(EXIF_MARK)


def _inflated(packed: bytes) -> bytes:
    try:
        return zlib.decompressobj().decompress(packed, _MOST_BYTES)
    except zlib.error:
        return b""


def text_of_old_pixels(kind: bytes, body: bytes) -> str:
    """The keyword of a text that says of the old pixels what EXIF says; empty for other texts."""
    found = _OF_OLD_PIXELS.match(body) if kind in (b"tEXt", b"zTXt", b"iTXt") else None
    return found.group()[:-1].decode() if found else ""


def is_place(kind: bytes, body: bytes) -> bool:
    """Whether a chunk says where or how large the image is, in numbers that can be brought to a result."""
    same = PixelMap(height=1, width=1, new_height=1, new_width=1)
    return kind in PLACES and (_offset(body, same) if kind == b"oFFs" else _scale(body, same)) is not None


def moved_places(chunks: bytes, pixels: PixelMap) -> tuple[bytes, tuple[Part, ...]]:
    """Whole oFFs and sCAL chunks for the result, and those that cannot be brought to it."""
    kept, left = b"", []
    for kind, body in _chunks(chunks):
        new = None if pixels.turn != 1 else _offset(body, pixels) if kind == b"oFFs" else _scale(body, pixels)
        if new is None:
            left.append(Part(f"chunk {kind.decode()}", len(body)))
        else:
            kept += struct.pack(">I", len(new)) + kind + new + struct.pack(">I", zlib.crc32(kind + new))
    return kept, tuple(left)


def _chunks(chunks: bytes) -> Iterator[tuple[bytes, bytes]]:
    at = 0
    while at < len(chunks):
        length = int.from_bytes(chunks[at:at + 4], "big")
        yield chunks[at + 4:at + 8], chunks[at + 8:at + 8 + length]
        at += 12 + length


def _offset(body: bytes, pixels: PixelMap) -> bytes | None:
    if len(body) != 9:
        return None
    x, y, unit = struct.unpack(">iiB", body)
    new = (round(x * pixels.scale_x), round(y * pixels.scale_y)) if unit == _IN_PIXELS else (x, y)
    return struct.pack(">iiB", *new, unit) if all(abs(value) < 2**31 for value in new) else None


def _scale(body: bytes, pixels: PixelMap) -> bytes | None:
    width, _, height = body[1:].partition(b"\0")
    if not (_DECIMAL.fullmatch(width) and _DECIMAL.fullmatch(height)):
        return None
    new = (float(width) / float(pixels.scale_x), float(height) / float(pixels.scale_y))
    return body[:1] + b"\0".join(repr(value).encode() for value in new)
