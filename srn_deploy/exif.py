"""The one statement of metadata that changes what a person sees: the orientation, in EXIF and in XMP."""

from __future__ import annotations

import re
import struct

_ORIENTATION_TAG = 0x0112
_TIFF_HEADER_BYTES = 8
_ENTRY_BYTES = 12
_SHORT = 3

# As an attribute or as an element, one digit 1 to 8 (the tiff schema of Adobe's XMP part 2).
_XMP_ORIENTATION = re.compile(rb"""(tiff:Orientation(?:\s*=\s*["']|>)\s*)[1-8](?=\s*["'<])""")


def orientation(exif: bytes) -> int:
    """1 to 8 as EXIF numbers them; 1 (upright) where the block does not say or is damaged."""
    found = _orientation_offset(exif)
    if found is None:
        return 1
    offset, order = found
    value = int(struct.unpack_from(order + "H", exif, offset)[0])
    return value if 1 <= value <= 8 else 1


def upright(exif: bytes) -> bytes:
    """The same block with its orientation set to 1, for pixels that have been turned already."""
    found = _orientation_offset(exif)
    if found is None:
        return exif
    offset, order = found
    return exif[:offset] + struct.pack(order + "H", 1) + exif[offset + 2:]


def upright_xmp(packet: bytes) -> bytes:
    """The same XMP packet with its orientation set to 1; XMP repeats what EXIF says."""
    return _XMP_ORIENTATION.sub(rb"\g<1>1", packet)


def _orientation_offset(exif: bytes) -> tuple[int, str] | None:
    """Where the orientation value lies in a block that begins with its TIFF header, and its byte order."""
    order = {b"II": "<", b"MM": ">"}.get(exif[:2])
    if order is None or len(exif) < _TIFF_HEADER_BYTES:
        return None
    directory = int(struct.unpack_from(order + "I", exif, 4)[0])
    if directory + 2 > len(exif):
        return None
    (entries,) = struct.unpack_from(order + "H", exif, directory)
    for entry in range(directory + 2, directory + 2 + entries * _ENTRY_BYTES, _ENTRY_BYTES):
        if entry + _ENTRY_BYTES > len(exif):
            return None
        tag, kind = struct.unpack_from(order + "HH", exif, entry)
        if tag == _ORIENTATION_TAG and kind == _SHORT:
            return entry + 8, order
    return None
