"""BMP files: headers of several lengths, the latest of which is BITMAPV5HEADER (Microsoft's Windows GDI)."""

from __future__ import annotations

import struct
from pathlib import Path

from srn_deploy.image.containers.resolution import as_metadata, from_block, from_per_metre
from srn_deploy.image.containers.unpacked import Container, Metadata, MetadataKind, Part, Unpacked, broken, unsupported

START = b"BM"

_FILE_HEADER_BYTES = 14
_OS2_BYTES, _LEAST_BYTES, _V5_BYTES = 12, 40, 124
_KNOWN_BYTES = (_OS2_BYTES, _LEAST_BYTES, 52, 56, 64, 108, _V5_BYTES)
_PLAIN, _RUNS_8, _RUNS_4, _MASKS, _ALPHA_MASKS = 0, 1, 2, 3, 6
_DEPTHS = {_PLAIN: (1, 4, 8, 16, 24, 32), _RUNS_8: (8,), _RUNS_4: (4,), _MASKS: (16, 32), _ALPHA_MASKS: (16, 32)}
_EMBEDDED_PROFILE, _SRGB = 0x4D424544, 0x73524742
"""`MBED` and `sRGB` as numbers."""
_INTENT_IMAGES = 4

# Offsets in the file of the pixels per metre, the colour space, and the offset of the profile.
_PER_METRE_AT, _SPACE_AT, _PROFILE_AT = 38, 70, 126


def unpack(data: bytes, path: Path) -> Unpacked:
    """Take a BMP apart; raises UnreadableImage if it is incomplete, UnsupportedImage for rare variants."""
    if len(data) < _FILE_HEADER_BYTES + _OS2_BYTES:
        raise broken(path, "is a truncated BMP")
    pixels_at, header_bytes = struct.unpack_from("<II", data, 10)
    if header_bytes not in _KNOWN_BYTES or len(data) < _FILE_HEADER_BYTES + header_bytes:
        raise broken(path, "is a truncated BMP, or one with an unknown header")
    if header_bytes == _OS2_BYTES:
        width, height, _, depth = struct.unpack_from("<HHHH", data, 18)
        compression = _PLAIN
    else:
        width, height, _, depth, compression = struct.unpack_from("<iiHHI", data, 18)
    if not (width > 0 and height):
        raise broken(path, "is a damaged BMP: its header gives an impossible size")
    if depth not in _DEPTHS.get(compression, ()):
        raise unsupported(path, f"is a BMP of {depth} bits in compression {compression}")
    pixels_bytes = 0 if compression in (_RUNS_8, _RUNS_4) else (width * depth + 31) // 32 * 4 * abs(height)
    if pixels_at + pixels_bytes > len(data):
        raise broken(path, "is a truncated BMP")
    return Unpacked(container=Container.BMP, without_metadata=data, height=abs(height), width=width,
                    metadata=_metadata(data, header_bytes), left_behind=_behind(data, pixels_at + pixels_bytes))


def _behind(data: bytes, pixels_end: int) -> tuple[Part, ...]:
    """What follows the pixels and the end that the file gives itself, unless it is mere padding."""
    behind = data[max(pixels_end, int.from_bytes(data[2:6], "little")):]
    return (Part("bytes after the end of the BMP", len(behind)),) if behind.strip(b"\0") else ()


def _metadata(data: bytes, header_bytes: int) -> Metadata:
    if header_bytes < _LEAST_BYTES:
        return ()
    x, y = struct.unpack_from("<ii", data, _PER_METRE_AT)
    resolution = as_metadata(from_per_metre(x, y)) if x > 0 and y > 0 else ()
    if header_bytes < _V5_BYTES or struct.unpack_from("<I", data, _SPACE_AT)[0] != _EMBEDDED_PROFILE:
        return resolution
    at, length = struct.unpack_from("<II", data, _PROFILE_AT)
    profile = data[_FILE_HEADER_BYTES + at:][:length]
    return (*resolution, (MetadataKind.ICC, profile)) if 0 < length == len(profile) else resolution


def pack(encoded: bytes, metadata: Metadata) -> bytes:
    """Append the colour profile to a BMP with a header from `header`, and write the resolution into that header."""
    data, blocks = bytearray(encoded), dict(metadata)
    if MetadataKind.RESOLUTION in blocks:
        struct.pack_into("<ii", data, _PER_METRE_AT, *from_block(blocks[MetadataKind.RESOLUTION]).per_metre())
    if MetadataKind.ICC in blocks:
        profile = blocks[MetadataKind.ICC]
        struct.pack_into("<I", data, _SPACE_AT, _EMBEDDED_PROFILE)
        struct.pack_into("<II", data, _PROFILE_AT, len(data) - _FILE_HEADER_BYTES, len(profile))
        data += profile
        struct.pack_into("<I", data, 2, len(data))
    return bytes(data)


def header(*, height: int, width: int, depth: int, palette: bytes, masks: tuple[int, int, int, int]) -> bytes:
    """The file header, BITMAPV5HEADER and palette that precede the rows, which are stored from the bottom up.

    depth: bits per pixel. palette: 4 bytes per colour, or empty. masks: red, green, blue and alpha, all 0 below 32
    bits. The header declares sRGB and has room for the profile that `pack` may add.
    """
    row_bytes = (width * depth + 31) // 32 * 4
    pixels_at = _FILE_HEADER_BYTES + _V5_BYTES + len(palette)
    file_header = struct.pack("<2sIII", START, pixels_at + row_bytes * height, 0, pixels_at)
    size = struct.pack("<IiiHHIIiiII", _V5_BYTES, width, height, 1, depth, _MASKS if any(masks) else _PLAIN,
                       row_bytes * height, 0, 0, len(palette) // 4, 0)
    colours = struct.pack("<4I I48x IIII", *masks, _SRGB, _INTENT_IMAGES, 0, 0, 0)
    return file_header + size + colours + palette
