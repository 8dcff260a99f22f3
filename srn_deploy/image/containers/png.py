"""PNG files: chunks with checksums (PNG specification, third edition)."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

from srn_deploy.errors import UnsupportedImage
from srn_deploy.image.containers.png_blocks import PLACES, is_place, raw_profile, text_of_old_pixels
from srn_deploy.image.containers.resolution import Resolution, Unit, as_metadata, from_block, from_per_metre
from srn_deploy.image.containers.unpacked import (
    EXIF_MARK,
    Container,
    Metadata,
    MetadataKind,
    Part,
    PngKind,
    Unpacked,
    broken,
    is_profile,
)

START = b"\x89PNG\r\n\x1a\n"

_HEADER_END = len(START) + 12 + 13
_PIXEL_CHUNKS = (b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND")
_COLOUR_CHUNKS = (b"cICP", b"mDCV", b"cLLI", b"cHRM", b"gAMA", b"sRGB")
_ABOVE_A_PROFILE = (b"cICP", b"mDCV", b"cLLI")
"""Those that still count if there is a profile (PNG specification, "Color chunk precedence")."""
_TEXT_CHUNKS = (b"tEXt", b"zTXt", b"iTXt")
_KNOWN_CHUNKS = {*_PIXEL_CHUNKS, *_COLOUR_CHUNKS, *_TEXT_CHUNKS, *PLACES, b"iCCP", b"eXIf", b"pHYs", b"acTL", b"fcTL",
                 b"fdAT", b"sBIT", b"hIST", b"iDOT"}
"""Chunks that are kept, or only concern how the pixels were coded."""
_CHUNK_NAMES = {b"caBX": " (C2PA content credentials)", b"tIME": " (last change)", b"dSIG": " (digital signature)",
                b"bKGD": " (background)", b"sTER": " (stereo)",
                b"pCAL": " (calibration)", b"sPLT": " (suggested palette)", b"vpAg": " (canvas)", b"caNv": " (canvas)"}
_XMP_KEYWORD = b"XML:com.adobe.xmp\0"
_BEHIND, _APPLE = b"", b"CgBI"
_GREY, _GREY_ALPHA = 0, 4

# The values that the sRGB chunk stands for (PNG specification, table "gAMA and cHRM values corresponding to sRGB").
_SRGB_GAMMA = b"gAMA" + struct.pack(">I", 45455)
_SRGB_CHROMATICITIES = b"cHRM" + struct.pack(">8I", 31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000)

MAX_ASPECT_TERM = 10_000
"""The largest numerator or denominator of a pixel's aspect ratio."""

_DEPTHS = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}
"""Bits by colour type (PNG specification, table "Allowed combinations of colour type and bit depth")."""
_SAMPLES = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
_PALETTE = 3
_CHECKED_BYTES = 1 << 18
"""Up to 256 KiB of pixels are inflated an extra time to check them. For larger images that would take half as long as
decoding, to find damage that does not come from transmission but only from the program that wrote the file."""
_DEFLATE_RATIO = 1032
"""The most bytes that deflate can get out of one (zlib's technical details, "Maximum Compression Factor")."""

MAX_INFLATED_BYTES = 1 << 24
"""Profiles and XMP are inflated up to 16 MiB; real ones stay below 4 MiB."""


def unpack(data: bytes, path: Path) -> Unpacked:
    """Take a PNG apart; raises UnreadableImage if it is truncated or a checksum of its pixel chunks is wrong."""
    ignored: list[str] = []
    chunks = list(_chunks(data, path, ignored))
    found = {kind: body for kind, body, _ in reversed(chunks)}
    if _APPLE in found:
        raise UnsupportedImage(f"{path} is a PNG in Apple's own form (CgBI), which other programs do not read.",
                               remedy="Save it as an ordinary PNG on a Mac: open it in Preview and export it.")
    header = found.get(b"IHDR", b"")
    if len(header) != 13 or b"IDAT" not in found:
        raise broken(path, "is a PNG without an image")
    metadata = _metadata(chunks, ignored) + list(as_metadata(_resolution(found.get(b"pHYs", b""))))
    _check_header(header, found, path)
    pixels = [(body, whole) for kind, body, whole in chunks if kind == b"IDAT"]
    packed_bytes, colour_type = sum(len(body) for body, _ in pixels), header[9]
    kept = [chunk(kind, found[kind]) for kind in (b"IHDR", b"PLTE", b"tRNS")
            if kind in found and (kind != b"PLTE" or colour_type == _PALETTE)]
    return Unpacked(
        container=Container.PNG,
        width=int.from_bytes(header[:4], "big"),
        height=int.from_bytes(header[4:8], "big"),
        without_metadata=b"".join((START, *kept, *(whole for _, whole in pixels), chunk(b"IEND", b""))),
        metadata=tuple(metadata),
        remarks=tuple(f"{path}: the damaged chunk {name} of the PNG is ignored." for name in ignored),
        left_behind=tuple(_left_behind(chunks)),
        animated=int.from_bytes(found.get(b"acTL", b"")[:4], "big") > 1,
        grey_alpha=colour_type == _GREY_ALPHA,
        transparent_grey=_transparent_grey(found.get(b"tRNS"), header[8]) if colour_type == _GREY else None,
        png=PngKind(header=header, packed_bytes=packed_bytes,
                    packed=b"".join(body for body, _ in pixels) if packed_bytes <= _CHECKED_BYTES else b""))


def _left_behind(chunks: list[tuple[bytes, bytes, bytes]]) -> Iterator[Part]:
    for kind, body, _ in chunks:
        if kind == _BEHIND:
            yield Part("bytes after the end of the PNG", len(body))
        elif keyword := text_of_old_pixels(kind, body):
            yield Part(f"text {keyword}", len(body))
        elif kind not in _KNOWN_CHUNKS or (kind in PLACES and not is_place(kind, body)):
            yield Part(f"chunk {kind.decode('latin-1')}{_CHUNK_NAMES.get(kind, '')}", len(body))


def pack(encoded: bytes, metadata: Metadata) -> bytes:
    """Insert metadata after the header chunk of a PNG."""
    return encoded[:_HEADER_END] + packed_metadata(metadata) + encoded[_HEADER_END:]


def packed_metadata(metadata: Metadata) -> bytes:
    """The chunks of metadata, which follow the header chunk."""
    return b"".join(_written(*block) for block in metadata)


def is_plain_srgb(colour: bytes) -> bool:
    """Whether PNG's colour chunks say no more than sRGB, which other formats assume anyway."""
    odd_gamma = b"gAMA" in colour and _SRGB_GAMMA not in colour
    odd_chromaticities = b"cHRM" in colour and _SRGB_CHROMATICITIES not in colour
    if any(kind in colour for kind in _ABOVE_A_PROFILE):
        return False
    return b"sRGB" in colour or not (odd_gamma or odd_chromaticities)


def check_pixels(unpacked: Unpacked, path: Path) -> None:
    """Raise UnreadableImage if the checksums of the pixels are right but their deflate stream is not.

    libpng would print a line of its own about them, and still does for images that are too large to be checked here.
    A stream that is too short for the size of the image is recognised by its length, without inflating it.
    """
    if unpacked.png is None:
        return
    rows = list(_passes(unpacked.png.header))
    needed = sum(height * (1 + row_bytes) for height, row_bytes in rows)
    if unpacked.png.packed_bytes * _DEFLATE_RATIO < needed:
        raise broken(path, "is a damaged PNG: it holds fewer pixels than its header says")
    if unpacked.png.packed and needed <= _CHECKED_BYTES:
        _check_stream(unpacked.png.packed, rows, needed, path)


def _check_stream(packed: bytes, rows: list[tuple[int, int]], needed: int, path: Path) -> None:
    inflater = zlib.decompressobj()
    try:
        pixels = inflater.decompress(packed, needed + 1)
    except zlib.error as error:
        raise broken(path, "is a damaged PNG: its pixels cannot be inflated") from error
    if len(pixels) != needed or not inflater.eof or inflater.unused_data:
        raise broken(path, "is a damaged PNG: it holds more or fewer pixels than its header says")
    at = 0
    for height, row_bytes in rows:
        filters = pixels[at:at + height * (1 + row_bytes):1 + row_bytes]
        if any(number > 4 for number in filters):
            raise broken(path, "is a damaged PNG: its pixels have a filter type that does not exist")
        at += height * (1 + row_bytes)


def _passes(header: bytes) -> Iterator[tuple[int, int]]:
    """Rows and bytes per row of each pass; a single pass if the image is not interlaced."""
    width, height, depth, colour_type = struct.unpack(">IIBB", header[:10])
    steps = ((0, 0, 1, 1),) if not header[12] else (
        (0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
    for x, y, step_x, step_y in steps:
        across, down = -(-(width - x) // step_x), -(-(height - y) // step_y)
        if across > 0 and down > 0:
            yield down, (across * depth * _SAMPLES[colour_type] + 7) // 8


def _check_header(header: bytes, found: dict[bytes, bytes], path: Path) -> None:
    """Raise UnreadableImage for what the specification forbids, before libpng prints its own message."""
    width, height, depth, colour_type, compression, filtering, interlacing = struct.unpack(">IIBBBBB", header)
    palette = found.get(b"PLTE", b"")
    if depth not in _DEPTHS.get(colour_type, ()) or compression or filtering or interlacing > 1:
        raise broken(path, "is a damaged PNG: its header gives a type of pixels that does not exist")
    if not (0 < width < 2**31 and 0 < height < 2**31):
        raise broken(path, "is a damaged PNG: its header gives an impossible size")
    if colour_type == _PALETTE and not (0 < len(palette) <= 3 << depth and len(palette) % 3 == 0):
        raise broken(path, "is a damaged PNG: its palette is missing or has the wrong length")
    transparent = {_GREY: (2,), 2: (6,), _PALETTE: range(1, len(palette) // 3 + 1)}.get(colour_type, ())
    if b"tRNS" in found and len(found[b"tRNS"]) not in transparent:
        raise broken(path, "is a damaged PNG: its transparency chunk has the wrong length")


def _chunks(data: bytes, path: Path, ignored: list[str]) -> Iterator[tuple[bytes, bytes, bytes]]:
    """Type, content and bytes of each chunk; of type `_BEHIND` what follows them, unless it is mere padding.

    A damaged chunk without pixels is skipped, its name added to `ignored`.
    """
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
        else:
            ignored.append(kind.decode("ascii"))
        if kind == b"IEND":
            if data[end:].strip(b"\0"):
                yield _BEHIND, data[end:], b""
            return
        at = end
    raise broken(path, "is a truncated PNG")


def _metadata(chunks: list[tuple[bytes, bytes, bytes]], ignored: list[str]) -> list[tuple[MetadataKind, bytes]]:
    """All metadata except the resolution. A chunk with damaged content is skipped, and its name added to `ignored`."""
    metadata, text, repeated = [], b"", []
    for kind, body, whole in chunks:
        block = _block(kind, body)
        if block is not None and block[1]:
            metadata.append(block)
        elif block is not None:
            ignored.append(kind.decode("ascii"))
        elif (raw := raw_profile(kind, body)) is not None:
            repeated.append(raw)
        elif kind in _TEXT_CHUNKS and not text_of_old_pixels(kind, body):
            text += whole
    metadata += dict(block for block in repeated if block[0] not in dict(metadata)).items()
    has_profile = any(kind is MetadataKind.ICC for kind, _ in metadata)
    counting = _ABOVE_A_PROFILE if has_profile else _COLOUR_CHUNKS
    colour = b"".join(whole for kind, _, whole in chunks if kind in counting)
    places = b"".join(whole for kind, body, whole in chunks if is_place(kind, body))
    others = ((MetadataKind.PNG_COLOUR, colour), (MetadataKind.PNG_PLACE, places), (MetadataKind.PNG_TEXT, text))
    return metadata + [(kind, found) for kind, found in others if found]


def _block(kind: bytes, body: bytes) -> tuple[MetadataKind, bytes] | None:
    """The metadata in a chunk, with empty bytes if it is damaged; None for other chunks."""
    if kind == b"eXIf":
        return MetadataKind.EXIF, body.removeprefix(EXIF_MARK)
    if kind == b"iCCP":
        profile = _inflated(body.partition(b"\0")[2][1:])
        return MetadataKind.ICC, profile if is_profile(profile) else b""
    if kind == b"iTXt" and body.startswith(_XMP_KEYWORD):
        is_compressed = body[len(_XMP_KEYWORD):].startswith(b"\1")
        packet = body[len(_XMP_KEYWORD) + 2:].split(b"\0", 2)[-1]  # after the language and the translated keyword
        return MetadataKind.XMP, (_inflated(packet) if is_compressed else packet).rstrip(b"\0")
    return None


def _inflated(packed: bytes) -> bytes:
    """The inflated bytes; empty if the stream is damaged, truncated or longer than the limit."""
    inflater = zlib.decompressobj()
    try:
        inflated = inflater.decompress(packed, MAX_INFLATED_BYTES)
    except zlib.error:
        return b""
    return inflated if inflater.eof else b""


def _resolution(body: bytes) -> Resolution | None:
    """The resolution in a pHYs chunk: pixels per metre, or only the aspect ratio of a pixel."""
    if len(body) != 9:
        return None
    x, y, unit = struct.unpack(">IIB", body)
    if not (x and y) or unit > 1:
        return None
    return from_per_metre(x, y) if unit else Resolution(x=Fraction(x), y=Fraction(y), unit=Unit.NONE)


def _physical(resolution: Resolution) -> bytes:
    """The content of a pHYs chunk."""
    if resolution.unit is not Unit.NONE:
        return struct.pack(">IIB", *resolution.per_metre(), 1)
    return struct.pack(">IIB", *(resolution.x / resolution.y).limit_denominator(MAX_ASPECT_TERM).as_integer_ratio(), 0)


def _transparent_grey(key: bytes | None, depth: int) -> int | None:
    if key is None or len(key) != 2:
        return None
    level = int.from_bytes(key, "big")
    return level if depth >= 8 else level * 255 // (2**depth - 1)


def _written(kind: MetadataKind, block: bytes) -> bytes:
    if kind in (MetadataKind.PNG_COLOUR, MetadataKind.PNG_PLACE, MetadataKind.PNG_TEXT):
        return block
    if kind is MetadataKind.RESOLUTION:
        return chunk(b"pHYs", _physical(from_block(block)))
    if kind is MetadataKind.ICC:
        return chunk(b"iCCP", b"ICC\0\0" + zlib.compress(block))
    return chunk(b"eXIf", block) if kind is MetadataKind.EXIF else chunk(b"iTXt", _XMP_KEYWORD + bytes(4) + block)


def chunk(kind: bytes, body: bytes) -> bytes:
    """One chunk, with its length and its checksum."""
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
