"""JPEG: marked segments (ITU-T T.81 annex B), with metadata as EXIF, Adobe's XMP part 3 and the ICC lay it down."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from srn_deploy.containers.blocks import EXIF_MARK, Block, Metadata, Unpacked, broken

START = b"\xff\xd8\xff"

_XMP_MARK = b"http://ns.adobe.com/xap/1.0/\0"
_EXTENDED_MARK = b"http://ns.adobe.com/xmp/extension/\0"
_ICC_MARK = b"ICC_PROFILE\0"
_APP0, _APP1, _APP2, _START_OF_SCAN, _END = 0xE0, 0xE1, 0xE2, 0xDA, 0xD9
_FILL = 0xFF
_WITHOUT_CONTENT = {0x00, 0x01, _FILL, *range(0xD0, 0xD9)}

_SEGMENT_BYTES = 65533
"""What a segment holds besides its marker and its 16-bit length."""
_PROFILE_PART_BYTES = _SEGMENT_BYTES - len(_ICC_MARK) - 2

# Within coded pixels FF is followed by 0 (a stuffed byte) or a restart marker; all else ends them.
_END_OF_SCAN = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")


def unpack(data: bytes, path: Path) -> Unpacked:
    """Take a JPEG apart up to its end marker; raises UnreadableImage if there is none."""
    kept, metadata = [data[:2]], []
    profile: list[tuple[int, bytes]] = []
    extended = b""
    for marker, whole in _segments(data, path):
        body = whole[4:]
        if marker == _APP1 and body.startswith(EXIF_MARK):
            metadata.append((Block.EXIF, body.removeprefix(EXIF_MARK)))
        elif marker == _APP1 and body.startswith(_XMP_MARK):
            metadata.append((Block.XMP, body.removeprefix(_XMP_MARK).rstrip(b"\0")))
        elif marker == _APP1 and body.startswith(_EXTENDED_MARK):
            extended += whole
        elif marker == _APP2 and body.startswith(_ICC_MARK):
            number, part = body[len(_ICC_MARK):len(_ICC_MARK) + 1], body[len(_ICC_MARK) + 2:]
            profile.append((int.from_bytes(number, "big"), part))
        else:
            kept.append(whole)
    if profile:
        metadata.append((Block.ICC, b"".join(part for _, part in sorted(profile))))
    if extended:
        metadata.append((Block.EXTENDED_XMP, extended))
    return Unpacked(picture=b"".join(kept), metadata=tuple(metadata))


def pack(encoded: bytes, metadata: Metadata) -> bytes:
    """Put metadata behind the JFIF header of a JPEG, where readers look for it."""
    at = 4 + int.from_bytes(encoded[4:6], "big") if encoded[3] == _APP0 else 2
    return encoded[:at] + b"".join(_written(*block) for block in metadata) + encoded[at:]


def why_too_long(kind: Block, block: bytes) -> str:
    """A clause if the block does not fit, else empty: only a profile may be spread over several segments."""
    if kind is Block.ICC:
        return "it is longer than a JPEG can hold" if len(block) > 255 * _PROFILE_PART_BYTES else ""
    marked = len(block) + len(EXIF_MARK if kind is Block.EXIF else _XMP_MARK)
    return f"its {len(block)} bytes are more than a JPEG segment holds" if marked > _SEGMENT_BYTES else ""


def _segments(data: bytes, path: Path) -> Iterator[tuple[int, bytes]]:
    """Marker and whole of each segment, a scan together with its coded pixels, up to the end marker."""
    at = 2
    while (at := data.find(b"\xff", at)) >= 0 and at + 2 <= len(data):
        marker, end = data[at + 1], at + 2
        if marker == _END:
            yield marker, data[at:end]
            return
        if marker in _WITHOUT_CONTENT:
            at += 1 if marker == _FILL else 2
            continue
        end += int.from_bytes(data[end:end + 2], "big")
        if marker == _START_OF_SCAN:
            found = _END_OF_SCAN.search(data, end)
            end = found.start() if found else len(data) + 1
        if end > len(data):
            break
        yield marker, data[at:end]
        at = end
    raise broken(path, "is a truncated JPEG")


def _written(kind: Block, block: bytes) -> bytes:
    if kind is Block.EXTENDED_XMP:
        return block
    if kind is not Block.ICC:
        return _segment(_APP1, (EXIF_MARK if kind is Block.EXIF else _XMP_MARK) + block)
    parts = [block[at:at + _PROFILE_PART_BYTES] for at in range(0, len(block), _PROFILE_PART_BYTES)]
    return b"".join(_segment(_APP2, _ICC_MARK + bytes([number, len(parts)]) + part)
                    for number, part in enumerate(parts, 1))


def _segment(marker: int, body: bytes) -> bytes:
    return bytes([0xFF, marker]) + (len(body) + 2).to_bytes(2, "big") + body
