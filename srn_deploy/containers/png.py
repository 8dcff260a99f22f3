"""PNG: chunks with checksums (PNG specification, third edition)."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

from srn_deploy.containers.blocks import EXIF_MARK, Block, Metadata, Unpacked, broken

START = b"\x89PNG\r\n\x1a\n"

_HEADER_END = len(START) + 12 + 13
_PIXEL_CHUNKS = (b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND")
_COLOUR_CHUNKS = (b"cICP", b"cHRM", b"gAMA", b"sRGB")
_XMP_KEYWORD = b"XML:com.adobe.xmp\0"
_GREY, _GREY_ALPHA = 0, 4

# What the sRGB chunk stands for (PNG specification, table "gAMA and cHRM values corresponding to sRGB").
_SRGB_GAMMA = b"gAMA" + struct.pack(">I", 45455)
_SRGB_CHROMATICITIES = b"cHRM" + struct.pack(">8I", 31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000)

MAX_INFLATED_BYTES = 1 << 24
"""Profiles and XMP are inflated up to 16 MiB; real ones stay below 4."""


def unpack(data: bytes, path: Path) -> Unpacked:
    """Take a PNG apart; raises UnreadableImage if it is truncated or a checksum of its pixels is wrong."""
    chunks = list(_chunks(data, path))
    found = {kind: body for kind, body, _ in reversed(chunks)}
    header = found.get(b"IHDR", b"")
    if len(header) != 13 or b"IDAT" not in found:
        raise broken(path, "is a PNG without a picture")
    metadata = [block for kind, body, _ in chunks for block in _block(kind, body)]
    colour = b"".join(whole for kind, _, whole in chunks if kind in _COLOUR_CHUNKS)
    if colour and b"iCCP" not in found:  # where a profile stands beside them, it is the one that counts
        metadata.append((Block.PNG_COLOUR, colour))
    depth, colour_type = header[8], header[9]
    return Unpacked(
        picture=START + b"".join(whole for kind, _, whole in chunks if kind in _PIXEL_CHUNKS),
        metadata=tuple(metadata),
        animated=int.from_bytes(found.get(b"acTL", b"")[:4], "big") > 1,
        grey_alpha=colour_type == _GREY_ALPHA,
        transparent_grey=_transparent_grey(found.get(b"tRNS"), depth) if colour_type == _GREY else None)


def pack(encoded: bytes, metadata: Metadata) -> bytes:
    """Put metadata behind the header of a PNG."""
    return encoded[:_HEADER_END] + b"".join(_written(*block) for block in metadata) + encoded[_HEADER_END:]


def is_plain_srgb(colour: bytes) -> bool:
    """Whether PNG's colour chunks say no more than what is taken for granted elsewhere."""
    odd_gamma = b"gAMA" in colour and _SRGB_GAMMA not in colour
    odd_chromaticities = b"cHRM" in colour and _SRGB_CHROMATICITIES not in colour
    return b"cICP" not in colour and (b"sRGB" in colour or not (odd_gamma or odd_chromaticities))


def _chunks(data: bytes, path: Path) -> Iterator[tuple[bytes, bytes, bytes]]:
    """Kind, content and whole of each chunk; a damaged one without pixels is passed over, as readers do."""
    at = len(START)
    while at + 12 <= len(data):
        end = at + 12 + int.from_bytes(data[at:at + 4], "big")
        if end > len(data):
            break
        kind = data[at + 4:at + 8]
        if zlib.crc32(data[at + 4:end - 4]) == int.from_bytes(data[end - 4:end], "big"):
            yield kind, data[at + 8:end - 4], data[at:end]
        elif kind in _PIXEL_CHUNKS or not kind.isalpha():
            raise broken(path, "is a damaged PNG: a checksum is wrong")
        if kind == b"IEND":
            return
        at = end
    raise broken(path, "is a truncated PNG")


def _block(kind: bytes, body: bytes) -> list[tuple[Block, bytes]]:
    """The metadata in a chunk, if it is any; damaged content is passed over, as readers do."""
    if kind == b"eXIf":
        return [(Block.EXIF, body.removeprefix(EXIF_MARK))]
    if kind == b"iCCP":
        profile = _inflated(body.partition(b"\0")[2][1:])
        return [(Block.ICC, profile)] if profile else []
    if kind == b"iTXt" and body.startswith(_XMP_KEYWORD):
        is_compressed = body[len(_XMP_KEYWORD):].startswith(b"\1")
        packet = body[len(_XMP_KEYWORD) + 2:].split(b"\0", 2)[-1]  # behind language and translated keyword
        return [(Block.XMP, (_inflated(packet) if is_compressed else packet).rstrip(b"\0"))]
    return []


def _inflated(packed: bytes) -> bytes:
    try:
        return zlib.decompressobj().decompress(packed, MAX_INFLATED_BYTES)
    except zlib.error:
        return b""


def _transparent_grey(key: bytes | None, depth: int) -> int | None:
    if key is None or len(key) != 2:
        return None
    level = int.from_bytes(key, "big")
    return level if depth >= 8 else level * 255 // (2**depth - 1)


def _written(kind: Block, block: bytes) -> bytes:
    if kind is Block.PNG_COLOUR:
        return block
    if kind is Block.ICC:
        return _chunk(b"iCCP", b"ICC\0\0" + zlib.compress(block))
    return _chunk(b"eXIf", block) if kind is Block.EXIF else _chunk(b"iTXt", _XMP_KEYWORD + bytes(4) + block)


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
