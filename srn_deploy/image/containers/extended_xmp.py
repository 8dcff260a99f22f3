"""Extended XMP: what does not fit into the one segment that JPEG has for a packet (Adobe's XMP, part 3, 1.1.3.1)."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterator

from srn_deploy.image.containers.xmp import Edit, Property, edited

MARK = b"http://ns.adobe.com/xmp/extension/\0"

_GUID_BYTES = 32
_HEAD_BYTES = 4 + len(MARK) + _GUID_BYTES + 8
"""Marker and length, the mark, the digest, and the whole length and the offset of the part."""
_PART_BYTES = 65_000


def joined(segments: bytes) -> bytes:
    """The packet in whole segments; empty if they are damaged."""
    parts: dict[int, bytes] = {}
    at, whole_bytes = 0, 0
    while at + _HEAD_BYTES <= len(segments):
        end = at + 2 + int.from_bytes(segments[at + 2:at + 4], "big")
        whole_bytes, offset = struct.unpack_from(">II", segments, at + _HEAD_BYTES - 8)
        parts[offset] = segments[at + _HEAD_BYTES:end]
        at = max(end, at + _HEAD_BYTES)
    packet = b"".join(part for _, part in sorted(parts.items()))
    return packet if len(packet) == whole_bytes else b""


def digest(packet: bytes) -> str:
    """The name by which the main packet refers to this one."""
    return hashlib.md5(packet, usedforsecurity=False).hexdigest().upper()


def split(packet: bytes) -> bytes:
    """The whole segments for a packet."""
    def segments() -> Iterator[bytes]:
        for at in range(0, len(packet), _PART_BYTES):
            body = MARK + digest(packet).encode() + struct.pack(">II", len(packet), at) + packet[at:at + _PART_BYTES]
            yield b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body

    return b"".join(segments())


def with_reference(main: bytes, extension: bytes) -> bytes:
    """The main packet that refers to this extension."""
    def change(found: list[Property]) -> Iterator[Edit]:
        for one in found:
            if one.name == "xmpNote:HasExtendedXMP" and one.values:
                yield Edit(one.values[0].start, one.values[0].end, digest(extension))

    return edited(main, change) or main
