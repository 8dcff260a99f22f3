"""WebP files: RIFF chunks (Google's WebP container specification)."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from pathlib import Path

from srn_deploy.image.containers.unpacked import EXIF_MARK, Container, Metadata, MetadataKind, Part, Unpacked, broken

_BLOCKS = {b"ICCP": MetadataKind.ICC, b"EXIF": MetadataKind.EXIF, b"XMP ": MetadataKind.XMP}
_KNOWN = {*_BLOCKS, b"VP8 ", b"VP8L", b"VP8X", b"ALPH", b"ANIM", b"ANMF"}
_FLAGS = {MetadataKind.ICC: 0x20, MetadataKind.EXIF: 0x08, MetadataKind.XMP: 0x04}
_ALPHA_FLAG = 0x10


def is_webp(data: bytes) -> bool:
    """Whether a file starts like a WebP."""
    return data[:4] == b"RIFF" and data[8:12] == b"WEBP"


def unpack(data: bytes, path: Path) -> Unpacked:
    """Take a WebP apart; raises UnreadableImage if it is truncated."""
    chunks = list(_chunks(data, path))
    kinds = [kind for kind, _ in chunks]
    unknown = [Part(f"chunk {kind.decode('latin-1')}", len(body)) for kind, body in chunks if kind not in _KNOWN]
    if (behind := data[_end(data):]).strip(b"\0"):
        unknown.append(Part("bytes after the end of the WebP", len(behind)))
    height, width = _size(chunks, path)
    return Unpacked(
        container=Container.WEBP,
        height=height,
        width=width,
        without_metadata=_joined((kind, _without_flags(body) if kind == b"VP8X" else body)
                        for kind, body in chunks if kind not in _BLOCKS),
        metadata=tuple((_BLOCKS[kind], body.removeprefix(EXIF_MARK)) for kind, body in chunks if kind in _BLOCKS),
        left_behind=tuple(unknown),
        animated=kinds.count(b"ANMF") > 1)


def pack(encoded: bytes, metadata: Metadata, *, height: int, width: int, has_alpha: bool) -> bytes:
    """Insert metadata into a WebP in the order of the specification: header, profile, pixels, EXIF, XMP.

    height, width: of the image, in pixels, for the extended header.
    """
    blocks = dict(metadata)
    flags = _ALPHA_FLAG * has_alpha + sum(_FLAGS[kind] for kind in blocks)
    header = struct.pack("<I", flags) + struct.pack("<I", width - 1)[:3] + struct.pack("<I", height - 1)[:3]
    profile = [(b"ICCP", blocks[MetadataKind.ICC])] if MetadataKind.ICC in blocks else []
    pixels = [(kind, body) for kind, body in _chunks(encoded, Path("encoded.webp")) if kind != b"VP8X"]
    others = [(name, blocks[kind]) for name, kind in _BLOCKS.items() if kind in blocks and kind is not MetadataKind.ICC]
    return _joined([(b"VP8X", header), *profile, *pixels, *others])


def _size(chunks: list[tuple[bytes, bytes]], path: Path) -> tuple[int, int]:
    """Height and width: the larger of the canvas and the image on it."""
    sides = [_SIZES[kind](body) for kind, body in chunks if kind in _SIZES and len(body) >= _LEAST_BYTES]
    if not sides:
        raise broken(path, "is a WebP without an image")
    return max(height for height, _ in sides), max(width for _, width in sides)


def _canvas_size(body: bytes) -> tuple[int, int]:
    return int.from_bytes(body[7:10], "little") + 1, int.from_bytes(body[4:7], "little") + 1


def _lossy_size(body: bytes) -> tuple[int, int]:
    """After the frame tag and its start code (RFC 6386, section 9.1)."""
    return int.from_bytes(body[8:10], "little") & _FOURTEEN_BITS, int.from_bytes(body[6:8], "little") & _FOURTEEN_BITS


def _lossless_size(body: bytes) -> tuple[int, int]:
    """After the signature byte, 14 bits each (WebP lossless specification, section 3)."""
    bits = int.from_bytes(body[1:5], "little")
    return (bits >> 14 & _FOURTEEN_BITS) + 1, (bits & _FOURTEEN_BITS) + 1


_FOURTEEN_BITS = 0x3FFF
_LEAST_BYTES = 10
_SIZES = {b"VP8X": _canvas_size, b"VP8 ": _lossy_size, b"VP8L": _lossless_size}


def _end(data: bytes) -> int:
    """Where the file ends by its header."""
    return 8 + int.from_bytes(data[4:8], "little")


def _chunks(data: bytes, path: Path) -> Iterator[tuple[bytes, bytes]]:
    """Type and content of each chunk; odd lengths are padded, which some programs omit at the very end."""
    at, end = 12, _end(data)
    while at + 8 <= min(end, len(data)):
        length = int.from_bytes(data[at + 4:at + 8], "little")
        if at + 8 + length > len(data):
            break
        yield data[at:at + 4], data[at + 8:at + 8 + length]
        at += 8 + length + length % 2
    if at < end:
        raise broken(path, "is a truncated WebP")


def _without_flags(header: bytes) -> bytes:
    """The extended header with the flags for metadata cleared."""
    return bytes([header[0] & ~sum(_FLAGS.values())]) + header[1:] if header else header


def _joined(chunks: Iterable[tuple[bytes, bytes]]) -> bytes:
    body = b"WEBP" + b"".join(kind + struct.pack("<I", len(content)) + content + bytes(len(content) % 2)
                              for kind, content in chunks)
    return b"RIFF" + struct.pack("<I", len(body)) + body
