"""Reads and changes the fields of EXIF and XMP that upscaling affects: orientation, thumbnail, size in pixels."""

from __future__ import annotations

import re
import struct

from srn_deploy.image.containers.ifd import LONG, SHORT, Directory, byte_order, first_directory, read_directory

_ORIENTATION, _EXIF_DIRECTORY = 0x0112, 0x8769
_WIDTH, _HEIGHT, _PIXEL_WIDTH, _PIXEL_HEIGHT = 0x0100, 0x0101, 0xA002, 0xA003
_THUMBNAIL, _THUMBNAIL_BYTES = 0x0201, 0x0202

# As an attribute or as an element, one digit 1 to 8 (the tiff schema of Adobe's XMP part 2).
_XMP_ORIENTATION = re.compile(rb"""(tiff:Orientation(?:\s*=\s*["']|>)\s*)[1-8](?=\s*["'<])""")


def orientation(exif: bytes) -> int:
    """The orientation, 1 to 8 as EXIF numbers them; 1 (upright) if the block is damaged or does not give one."""
    order, first = _first(exif)
    entry = first.entries.get(_ORIENTATION)
    value = entry.numbers(order)[:1] if entry is not None and entry.kind == SHORT else ()
    return value[0] if value and 1 <= value[0] <= 8 else 1


def upright(exif: bytes) -> bytes:
    """The same EXIF block with its orientation set to 1, for pixels that have already been turned upright.

    If the pixels were turned, the embedded thumbnail would still be rotated, so it is removed.
    """
    order, first = _first(exif)
    entry = first.entries.get(_ORIENTATION)
    if entry is None or entry.kind != SHORT or not entry.stored:
        return exif
    block = exif if orientation(exif) == 1 else _without_thumbnail(exif, order, first)
    return _patched(block, entry.stored_at, struct.pack(order + "H", 1))


def upright_xmp(packet: bytes) -> bytes:
    """The same XMP packet with its orientation, which repeats that of EXIF, set to 1."""
    return _XMP_ORIENTATION.sub(rb"\g<1>1", packet)


def with_size(exif: bytes, *, height: int, width: int) -> bytes:
    """The same EXIF block with every field for the size of the image, in pixels, set to this size."""
    order, first = _first(exif)
    pointer = first.entries.get(_EXIF_DIRECTORY)
    at = pointer.numbers(order)[:1] if pointer is not None else ()
    inner = read_directory(exif, order, at[0]).entries if at else {}
    for found, tag, side in ((first.entries, _WIDTH, width), (first.entries, _HEIGHT, height),
                             (inner, _PIXEL_WIDTH, width), (inner, _PIXEL_HEIGHT, height)):
        entry = found.get(tag)
        if entry is not None and entry.kind in (SHORT, LONG) and entry.count == 1:
            exif = _patched(exif, entry.at + 2, struct.pack(order + "HII", LONG, 1, side))
    return exif


def _first(exif: bytes) -> tuple[str, Directory]:
    """Byte order and first directory; an empty directory if this is not an EXIF block."""
    order = byte_order(exif)
    if order is None:
        return "<", Directory({}, 0, 0, is_whole=False)
    return order, read_directory(exif, order, first_directory(exif, order))


def _without_thumbnail(exif: bytes, order: str, first: Directory) -> bytes:
    """The same block without its second directory; nothing is moved, because maker notes hold absolute offsets."""
    second = read_directory(exif, order, first.next).entries
    if not second:
        return exif
    start, length = (second[tag].numbers(order)[:1] or (0,) if tag in second else (0,)
                     for tag in (_THUMBNAIL, _THUMBNAIL_BYTES))
    exif = _patched(exif, first.next_at, bytes(4))
    if not 0 < start[0] <= start[0] + length[0] <= len(exif):
        return exif
    return exif[:start[0]] + (bytes(length[0]) if start[0] + length[0] < len(exif) else b"") \
        + exif[start[0] + length[0]:]


def _patched(block: bytes, at: int, stored: bytes) -> bytes:
    return block[:at] + stored + block[at + len(stored):]
