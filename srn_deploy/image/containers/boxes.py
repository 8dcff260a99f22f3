"""Boxes: the parts of files by ISO/IEC 14496-12 (AVIF, HEIC) and of JPEG XL containers, each with length and type."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

_HEADER_BYTES, _LONG_HEADER_BYTES = 8, 16
_TO_THE_END, _LONG = 0, 1


class Damaged(ValueError):
    """A box, or a field in one, ends beyond what holds it; whoever reads a file turns it into its own error."""


class Box(NamedTuple):
    """One box; offsets in bytes from the start of the file."""

    kind: bytes
    start: int
    content: int
    end: int


def boxes(data: bytes, at: int, end: int) -> Iterator[Box]:
    """The boxes between two offsets, one after another; raises Damaged where one is not whole."""
    while at < end:
        if at + _HEADER_BYTES > end:
            raise Damaged
        length, header = int.from_bytes(data[at:at + 4], "big"), _HEADER_BYTES
        if length == _LONG:
            length, header = int.from_bytes(data[at + 8:at + 16], "big"), _LONG_HEADER_BYTES
        elif length == _TO_THE_END:
            length = end - at
        if length < header or at + length > end:
            raise Damaged
        yield Box(data[at + 4:at + 8], at, at + header, at + length)
        at += length


def box(kind: bytes, *content: bytes) -> bytes:
    """One box as bytes."""
    body = b"".join(content)
    return struct.pack(">I4s", _HEADER_BYTES + len(body), kind) + body


@dataclass
class Fields:
    """Reads the fields of a box one after another; raises Damaged beyond its end."""

    data: bytes
    at: int
    end: int

    def take(self, count: int) -> bytes:
        """The next bytes."""
        if self.at + count > self.end:
            raise Damaged
        self.at += count
        return self.data[self.at - count:self.at]

    def number(self, count: int) -> int:
        """The next unsigned number, of this many bytes; 0 for none."""
        return int.from_bytes(self.take(count), "big")

    def text(self) -> bytes:
        """Bytes up to the next NUL, which is passed over, or up to the end."""
        stop = self.data.find(b"\0", self.at, self.end)
        found = self.data[self.at:stop if stop >= 0 else self.end]
        self.at = stop + 1 if stop >= 0 else self.end
        return found

    def version_and_flags(self) -> tuple[int, int]:
        """What a full box begins with."""
        return self.number(1), self.number(3)


def fields(data: bytes, of: Box) -> Fields:
    """The content of a box."""
    return Fields(data, of.content, of.end)
