"""Image file directories (IFD): tables of tagged values as TIFF 6.0 defines them; EXIF blocks consist of them too."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import NamedTuple

HEADER_BYTES = 8
_ENTRY_BYTES = 12

ASCII, SHORT, LONG, RATIONAL, UNDEFINED = 2, 3, 4, 5, 7
"""Types of values, by their numbers in TIFF 6.0."""
BYTE = 1

_UNIT_BYTES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 4, 6: 1, 7: 1, 8: 2, 9: 4, 10: 4, 11: 4, 12: 8, 13: 4}
"""Bytes per unit by type; bytes are swapped within a unit, and a rational has two of them."""
_UNITS = {5: 2, 10: 2}


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One tag with its values as stored."""

    tag: int
    kind: int
    stored: bytes
    """In the byte order of the block."""
    at: int = 0
    """Offset of the entry in the block; its type follows the two bytes of its tag."""
    stored_at: int = 0
    """Offset of its values in the block."""

    @property
    def count(self) -> int:
        """How many values there are."""
        return len(self.stored) // (_UNIT_BYTES[self.kind] * _UNITS.get(self.kind, 1))

    def numbers(self, order: str) -> tuple[int, ...]:
        """The values as unsigned integers; empty for other types."""
        letter = {1: "B", 3: "H", 4: "I", 13: "I", 7: "B"}.get(self.kind)
        return struct.unpack(f"{order}{self.count}{letter}", self.stored) if letter else ()

    def fractions(self, order: str) -> tuple[Fraction, ...]:
        """The values as unsigned fractions; empty for other types, and if any denominator is 0."""
        if self.kind != RATIONAL:
            return ()
        pairs = list(struct.iter_unpack(order + "II", self.stored))
        return tuple(Fraction(above, below) for above, below in pairs) if all(below for _, below in pairs) else ()

    def in_order(self, before: str, after: str) -> Entry:
        """The same values in another byte order."""
        unit = _UNIT_BYTES[self.kind]
        if before == after or unit == 1:
            return self
        parts = (self.stored[at:at + unit][::-1] for at in range(0, len(self.stored), unit))
        return replace(self, stored=b"".join(parts))


class Directory(NamedTuple):
    """A directory that has been read."""

    entries: dict[int, Entry]
    """By tag."""
    next_at: int
    """Where the offset of the next directory is stored; 0 if the block ends before it."""
    next: int
    """The offset of the next directory; 0 if there is none."""
    is_whole: bool
    """Whether the directory and all of its values lie within the block."""


def byte_order(block: bytes) -> str | None:
    """`<` or `>`, as in `struct`; None if the block does not start with a TIFF header."""
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(block[:4])
    return order if len(block) >= HEADER_BYTES else None


def first_directory(block: bytes, order: str) -> int:
    """The offset of the first directory."""
    return int(struct.unpack_from(order + "I", block, 4)[0])


def read_directory(block: bytes, order: str, at: int) -> Directory:
    """The directory at an offset. Damaged entries, whose values lie outside the block, are left out."""
    if not HEADER_BYTES <= at <= len(block) - 2:
        return Directory({}, 0, 0, is_whole=False)
    (count,) = struct.unpack_from(order + "H", block, at)
    end = at + 2 + count * _ENTRY_BYTES
    places = range(at + 2, min(end, len(block) - _ENTRY_BYTES + 1), _ENTRY_BYTES)
    found = [_entry(block, order, place) for place in places]
    entries = {entry.tag: entry for entry in found if entry is not None}
    if end + 4 > len(block):
        return Directory(entries, 0, 0, is_whole=False)
    return Directory(entries, end, int(struct.unpack_from(order + "I", block, end)[0]), is_whole=None not in found)


def _entry(block: bytes, order: str, at: int) -> Entry | None:
    tag, kind, count = struct.unpack_from(order + "HHI", block, at)
    if kind not in _UNIT_BYTES:
        kind, count = UNDEFINED, 4  # a type that TIFF 6.0 does not know: keep its four bytes
    length = count * _UNIT_BYTES[kind] * _UNITS.get(kind, 1)
    stored_at = at + 8 if length <= 4 else int(struct.unpack_from(order + "I", block, at + 8)[0])
    if stored_at + length > len(block):
        return None
    return Entry(tag=tag, kind=kind, stored=block[stored_at:stored_at + length], at=at, stored_at=stored_at)


def write_directory(entries: Iterable[Entry], order: str, at: int) -> bytes:
    """The bytes of a directory for the offset `at`, followed by its longer values; it has no next directory."""
    chosen = sorted(entries, key=lambda entry: entry.tag)
    values_at = at + 2 + len(chosen) * _ENTRY_BYTES + 4
    table, values = struct.pack(order + "H", len(chosen)), b""
    for entry in chosen:
        table += struct.pack(order + "HHI", entry.tag, entry.kind, entry.count)
        if len(entry.stored) <= 4:
            table += entry.stored.ljust(4, b"\0")
        else:
            table += struct.pack(order + "I", values_at + len(values))
            values += entry.stored + bytes(len(entry.stored) % 2)
    return table + bytes(4) + values


def shorts(tag: int, *values: int) -> Entry:
    """An entry of 16-bit integers, little-endian."""
    return Entry(tag=tag, kind=SHORT, stored=struct.pack(f"<{len(values)}H", *values))


def longs(tag: int, values: Sequence[int]) -> Entry:
    """An entry of 32-bit integers, little-endian."""
    return Entry(tag=tag, kind=LONG, stored=struct.pack(f"<{len(values)}I", *values))


def rational(tag: int, value: Fraction) -> Entry:
    """An entry of one fraction, little-endian; rounded if a term needs more than 32 bits."""
    fitting = value if max(value.numerator, value.denominator) < 2**32 else value.limit_denominator(2**16)
    return Entry(tag=tag, kind=RATIONAL, stored=struct.pack("<II", fitting.numerator, fitting.denominator))
