"""JPEG XL files: a codestream alone or in boxes (ISO/IEC 18181-1 and -2); its size lies in the first bits."""

from __future__ import annotations

from pathlib import Path

from srn_deploy.image.containers.boxes import Box, Damaged, boxes
from srn_deploy.image.containers.exif import with_orientation
from srn_deploy.image.containers.ifd import byte_order
from srn_deploy.image.containers.unpacked import Container, Metadata, MetadataKind, Part, Unpacked, broken

_CODESTREAM, _BOXED = b"\xff\x0a", b"\0\0\0\x0cJXL \r\n\x87\n"
_RATIOS = {1: (1, 1), 2: (12, 10), 3: (4, 3), 4: (3, 2), 5: (16, 9), 6: (5, 4), 7: (2, 1)}
"""Width to height, by the number in the header (18181-1, "SizeHeader")."""
_SIZE_BITS = (9, 13, 18, 30)
_KNOWN_BOXES = {b"JXL ", b"ftyp", b"jxlc", b"jxlp", b"jxli", b"jxll", b"jbrd", b"Exif", b"xml ", b"free", b"skip"}
_NAMES = {b"jumb": " (content credentials)", b"brob": " (compressed metadata)",
          b"jhgm": " (gain map)"}
_FIRST_TURNED = 5


def is_jpeg_xl(data: bytes) -> bool:
    """Whether a file starts like a JPEG XL."""
    return data.startswith((_CODESTREAM, _BOXED))


def unpack(data: bytes, path: Path) -> Unpacked:
    """Take a JPEG XL apart; height and width are those of the upright image, as decoders give it.

    Raises UnreadableImage if it is incomplete.
    """
    try:
        parts = list(boxes(data, 0, len(data))) if data.startswith(_BOXED) else []
        header = _Bits(_codestream(data, parts))
        height, width, turn, animated = _header(header)
    except Damaged as error:
        raise broken(path, "is a truncated or damaged JPEG XL") from error
    if turn >= _FIRST_TURNED:
        height, width = width, height
    left = tuple(Part(f"box {part.kind.decode('latin-1')}{_NAMES.get(part.kind, '')}", part.end - part.start)
                 for part in parts if part.kind not in _KNOWN_BOXES)
    return Unpacked(container=Container.JXL, without_metadata=_as_pixels(data, parts), height=height, width=width,
                    metadata=_metadata(data, parts), animated=animated, left_behind=left)


def _as_pixels(data: bytes, parts: list[Box]) -> bytes:
    """The file without what turns it into a JPEG again: its pixels are wanted."""
    changed = bytearray(data)
    for part in parts:
        if part.kind == b"jbrd":
            changed[part.start + 4:part.start + 8] = b"free"
    return bytes(changed)


class _Bits:
    """Reads numbers of any length from the lowest bit of each byte on."""

    def __init__(self, data: bytes) -> None:
        self._number, self._left = int.from_bytes(data, "little"), 8 * len(data)

    def take(self, count: int) -> int:
        """The next bits as a number; raises Damaged beyond the end."""
        if count > self._left:
            raise Damaged
        found = self._number & ((1 << count) - 1)
        self._number, self._left = self._number >> count, self._left - count
        return found


_HEADER_BYTES = 64


def _codestream(data: bytes, parts: list[Box]) -> bytes:
    """The first bytes of the codestream, behind its mark; raises Damaged where there is none."""
    if not parts:
        start = data[:_HEADER_BYTES]
    else:
        pieces = [data[part.content + (4 if part.kind == b"jxlp" else 0):part.end][:_HEADER_BYTES] for part in parts
                  if part.kind in (b"jxlc", b"jxlp")]
        start = b"".join(pieces)[:_HEADER_BYTES]
    if not start.startswith(_CODESTREAM):
        raise Damaged
    return start[len(_CODESTREAM):]


def _header(bits: _Bits) -> tuple[int, int, int, bool]:
    """Height, width, EXIF orientation, and whether it is an animation (18181-1, "SizeHeader", "ImageMetadata")."""
    height, width = _size(bits)
    turn, animated = 1, False
    is_default = bits.take(1)
    if not is_default and bits.take(1):
        turn = bits.take(3) + 1
        if bits.take(1):
            _size(bits)
        has_preview = bits.take(1)
        animated = not has_preview and bool(bits.take(1))
    return height, width, turn, animated


def _size(bits: _Bits) -> tuple[int, int]:
    small = bits.take(1)
    height = _side(bits, small=bool(small))
    ratio = bits.take(3)
    if ratio:
        across, down = _RATIOS[ratio]
        return height, height * across // down
    return height, _side(bits, small=bool(small))


def _side(bits: _Bits, *, small: bool) -> int:
    return (bits.take(5) + 1) * 8 if small else bits.take(_SIZE_BITS[bits.take(2)]) + 1


def _metadata(data: bytes, parts: list[Box]) -> Metadata:
    """EXIF, upright because decoders turn the image, and XMP."""
    found: list[tuple[MetadataKind, bytes]] = []
    for part in parts:
        body = data[part.content:part.end]
        if part.kind == b"Exif" and len(body) > 4:
            # Its offset comes first by the standard; pillow-jxl-plugin leaves it out.
            block = body if byte_order(body) is not None else body[4 + int.from_bytes(body[:4], "big"):]
            found.append((MetadataKind.EXIF, with_orientation(block, 1)))
        elif part.kind == b"xml ":
            found.append((MetadataKind.XMP, body.rstrip(b"\0")))
    return tuple(block for block in found if block[1])
