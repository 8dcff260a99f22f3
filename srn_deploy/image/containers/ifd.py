"""Image file directories (IFD): tables of tagged values as TIFF 6.0 defines them; EXIF blocks consist of them too.

BigTIFF, the variant for files beyond 4 GiB, has offsets and counts of 64 bits (Aware Systems, "BigTIFF file format").
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import NamedTuple, Protocol

HEADER_BYTES = 8

ASCII, SHORT, LONG, RATIONAL, UNDEFINED, FLOAT, DOUBLE = 2, 3, 4, 5, 7, 11, 12
"""Types of values, by their numbers in TIFF 6.0."""
BYTE, DIRECTORY = 1, 13
LONG8, DIRECTORY8 = 16, 18
"""Types of BigTIFF: 64 bits each."""

_UNIT_BYTES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 4, 6: 1, 7: 1, 8: 2, 9: 4, 10: 4, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
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
        letter = {1: "B", 3: "H", 4: "I", 13: "I", 7: "B", 16: "Q", 18: "Q"}.get(self.kind)
        return struct.unpack(f"{order}{self.count}{letter}", self.stored) if letter else ()

    def fractions(self, order: str) -> tuple[Fraction, ...]:
        """The values as unsigned fractions; empty for other types, and if any denominator is 0."""
        if self.kind != RATIONAL:
            return ()
        pairs = list(struct.iter_unpack(order + "II", self.stored))
        return tuple(Fraction(above, below) for above, below in pairs) if all(below for _, below in pairs) else ()

    def doubles(self, order: str) -> tuple[float, ...]:
        """The values as floating-point numbers; empty for other types than DOUBLE and FLOAT."""
        letter = {FLOAT: "f", DOUBLE: "d"}.get(self.kind)
        return struct.unpack(f"{order}{self.count}{letter}", self.stored) if letter else ()

    def positive(self, order: str) -> Fraction:
        """A single positive number of any type; 0 if it is none."""
        letter = {SHORT: "H", LONG: "I", FLOAT: "f", DOUBLE: "d"}.get(self.kind)
        if self.count != 1 or not (letter or self.kind == RATIONAL):
            return Fraction(0)
        if not letter:
            return next(iter(self.fractions(order)), Fraction(0))
        (number,) = struct.unpack(order + letter, self.stored)
        return Fraction(number) if 0 < number < 2**32 else Fraction(0)

    def classic(self, order: str) -> Entry | None:
        """The same values in a type that TIFF 6.0 has; None if they need more than 32 bits."""
        if self.kind not in (LONG8, DIRECTORY8):
            return self if self.kind < LONG8 else None
        numbers = self.numbers(order)
        if any(number >= 2**32 for number in numbers):
            return None
        kind = LONG if self.kind == LONG8 else DIRECTORY
        return replace(self, kind=kind, stored=struct.pack(f"{order}{len(numbers)}I", *numbers))

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


_NOTHING = Directory({}, 0, 0, is_whole=False)


class _Form(NamedTuple):
    """How a directory is laid out: the lengths of its parts in bytes, and the letters of their numbers in `struct`."""

    count_bytes: int
    count_letter: str
    entry_bytes: int
    offset_bytes: int
    offset_letter: str


_CLASSIC, _BIG = _Form(2, "H", 12, 4, "I"), _Form(8, "Q", 20, 8, "Q")

_MOST_ENTRIES = 4096
"""In one directory: real ones have a few hundred at most, and one that claims more is damaged."""


class Sliceable(Protocol):
    """Bytes, or a file of which only what is asked for is read."""

    def __len__(self) -> int:
        """All of them."""

    def __getitem__(self, part: slice, /) -> bytes:
        """Some of them; fewer at the end, as of bytes."""


class Tiff(NamedTuple):
    """A block that begins with the header of a TIFF or BigTIFF, from which its offsets count."""

    data: Sliceable
    order: str
    """The byte order: `<` or `>`, as in `struct`."""
    is_big: bool = False

    @property
    def first(self) -> int:
        """The offset of the first directory."""
        letter, at = ("Q", 8) if self.is_big else ("I", 4)
        return self._numbers(letter, at)[0]

    def _numbers(self, letters: str, at: int) -> tuple[int, ...]:
        """Whole numbers that are stored at an offset."""
        form = self.order + letters
        return struct.unpack(form, self.data[at:at + struct.calcsize(form)])

    def directory(self, at: int) -> Directory:
        """The directory at an offset. Damaged entries, whose values lie outside the block, are left out."""
        form, block = _BIG if self.is_big else _CLASSIC, self.data
        if not HEADER_BYTES <= at <= len(block) - form.count_bytes:
            return _NOTHING
        (count,) = self._numbers(form.count_letter, at)
        if count > _MOST_ENTRIES:
            return _NOTHING
        end = at + form.count_bytes + count * form.entry_bytes
        places = range(at + form.count_bytes, min(end, len(block) - form.entry_bytes + 1), form.entry_bytes)
        found = [self._entry(form, place) for place in places]
        entries = {entry.tag: entry for entry in found if entry is not None}
        if end + form.offset_bytes > len(block):
            return Directory(entries, 0, 0, is_whole=False)
        (following,) = self._numbers(form.offset_letter, end)
        return Directory(entries, end, following, is_whole=None not in found)

    def _entry(self, form: _Form, at: int) -> Entry | None:
        tag, kind, count = self._numbers(f"HH{form.offset_letter}", at)
        if kind not in _UNIT_BYTES:
            kind, count = UNDEFINED, 4  # a type that is not known: keep its first four bytes
        length = count * _UNIT_BYTES[kind] * _UNITS.get(kind, 1)
        values_at = stored_at = at + 4 + form.offset_bytes
        if length > form.offset_bytes:
            (stored_at,) = self._numbers(form.offset_letter, values_at)
        if stored_at + length > len(self.data):
            return None
        return Entry(tag=tag, kind=kind, stored=self.data[stored_at:stored_at + length], at=at, stored_at=stored_at)


def byte_order(block: Sliceable) -> str | None:
    """`<` or `>`, as in `struct`; None if the block does not start with the header of a TIFF that is not big."""
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(block[:4])
    return order if len(block) >= HEADER_BYTES else None


def tiff_of(block: Sliceable) -> Tiff | None:
    """A TIFF, BigTIFF or EXIF block; None if it does not start with the header of one."""
    order = byte_order(block)
    if order is not None:
        return Tiff(block, order)
    big = {BIG_STARTS[0] + b"\x08\0\0\0": "<", BIG_STARTS[1] + b"\0\x08\0\0": ">"}.get(block[:8])
    return Tiff(block, big, is_big=True) if big is not None and len(block) >= _BIG_HEADER_BYTES else None


BIG_STARTS = (b"II+\0", b"MM\0+")
"""The first bytes of a BigTIFF, little-endian and big-endian."""
_BIG_HEADER_BYTES = 16


def first_directory(block: bytes, order: str) -> int:
    """The offset of the first directory of a block that `byte_order` knows."""
    return Tiff(block, order).first


def read_directory(block: bytes, order: str, at: int) -> Directory:
    """The directory of TIFF 6.0 at an offset; see `Tiff.directory`."""
    return Tiff(block, order).directory(at)


def write_directory(entries: Iterable[Entry], order: str, at: int, *, is_big: bool = False) -> bytes:
    """The bytes of a directory for the offset `at`, followed by its longer values; it has no next directory."""
    form = _BIG if is_big else _CLASSIC
    chosen = sorted(entries, key=lambda entry: entry.tag)
    values_at = at + form.count_bytes + len(chosen) * form.entry_bytes + form.offset_bytes
    table, values = [struct.pack(order + form.count_letter, len(chosen))], []
    for entry in chosen:
        table.append(struct.pack(f"{order}HH{form.offset_letter}", entry.tag, entry.kind, entry.count))
        if len(entry.stored) <= form.offset_bytes:
            table.append(entry.stored.ljust(form.offset_bytes, b"\0"))
        else:
            table.append(struct.pack(order + form.offset_letter, values_at))
            values.append(entry.stored + bytes(len(entry.stored) % 2))
            values_at += len(values[-1])
    return b"".join((*table, bytes(form.offset_bytes), *values))


def shorts(tag: int, *values: int) -> Entry:
    """An entry of 16-bit integers, little-endian."""
    return Entry(tag=tag, kind=SHORT, stored=struct.pack(f"<{len(values)}H", *values))


def longs(tag: int, values: Sequence[int]) -> Entry:
    """An entry of 32-bit integers, little-endian."""
    return Entry(tag=tag, kind=LONG, stored=struct.pack(f"<{len(values)}I", *values))


def long8s(tag: int, values: Sequence[int]) -> Entry:
    """An entry of 64-bit integers, little-endian; only for BigTIFF."""
    return Entry(tag=tag, kind=LONG8, stored=struct.pack(f"<{len(values)}Q", *values))


def rational(tag: int, value: Fraction) -> Entry:
    """An entry of one positive fraction, little-endian; rounded if a term needs more than 32 bits."""
    fitting = value
    if max(value.numerator, value.denominator) >= 2**32:
        fitting = min(value, Fraction(2**32 - 1)).limit_denominator(max(1, min(2**16, int((2**32 - 1) / (value + 1)))))
    return Entry(tag=tag, kind=RATIONAL, stored=struct.pack("<II", fitting.numerator, fitting.denominator))
