"""Pixels per inch: one notation for all formats, each of which has its own."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction

from srn_deploy.image.containers.ifd import SHORT, Entry, byte_order, first_directory, rational, read_directory, shorts
from srn_deploy.image.containers.unpacked import Metadata, MetadataKind

X_TAG, Y_TAG, UNIT_TAG = 282, 283, 296

_METRES_PER_INCH = Fraction(254, 10_000)


class Unit(StrEnum):
    """The unit of length of a resolution; TIFF 6.0 and JFIF have these three."""

    NONE = "none"
    """Only the aspect ratio of a pixel is known."""
    INCH = "inch"
    CM = "cm"


_TIFF_UNITS = {Unit.NONE: 1, Unit.INCH: 2, Unit.CM: 3}


@dataclass(frozen=True, kw_only=True)
class Resolution:
    """Pixels per unit, horizontally (x) and vertically (y); both are positive."""

    x: Fraction
    y: Fraction
    unit: Unit

    @property
    def says_nothing(self) -> bool:
        """Whether this means square pixels of unknown size, as a file without a resolution does."""
        return self.unit is Unit.NONE and self.x == self.y

    def block(self) -> bytes:
        """The bytes for `MetadataKind.RESOLUTION`; `from_block` reads them."""
        return f"{self.x} {self.y} {self.unit}".encode()

    def per_metre(self) -> tuple[int, int]:
        """Pixels per metre, rounded to integers; not for Unit.NONE."""
        metres = _METRES_PER_INCH if self.unit is Unit.INCH else Fraction(1, 100)
        return round(self.x / metres), round(self.y / metres)

    def entries(self) -> tuple[Entry, ...]:
        """The entries of TIFF and EXIF, little-endian."""
        return rational(X_TAG, self.x), rational(Y_TAG, self.y), shorts(UNIT_TAG, _TIFF_UNITS[self.unit])


def from_block(block: bytes) -> Resolution:
    """The resolution that `Resolution.block` wrote."""
    x, y, unit = block.decode().split()
    return Resolution(x=Fraction(x), y=Fraction(y), unit=Unit(unit))


def from_per_metre(x: int, y: int) -> Resolution:
    """The resolution for pixels per metre, as PNG and BMP store them.

    It is given per inch where a whole number per inch rounds to the same values, else exactly, per cm.
    """
    per_inch = tuple(Fraction(round(value * _METRES_PER_INCH)) for value in (x, y))
    whole = Resolution(x=per_inch[0], y=per_inch[1], unit=Unit.INCH)
    return whole if whole.per_metre() == (x, y) else Resolution(x=Fraction(x, 100), y=Fraction(y, 100), unit=Unit.CM)


def from_entries(entries: dict[int, Entry], order: str) -> Resolution | None:
    """The resolution in the tags of TIFF; None if they are missing, damaged or say nothing."""
    x, y = (entries[tag].fractions(order) if tag in entries else () for tag in (X_TAG, Y_TAG))
    unit_entry = entries.get(UNIT_TAG)
    number = unit_entry.numbers(order)[:1] if unit_entry is not None and unit_entry.kind == SHORT else (2,)
    unit = next((unit for unit, known in _TIFF_UNITS.items() if number == (known,)), None)
    if len(x) != 1 or len(y) != 1 or unit is None or not (x[0] and y[0]):
        return None
    found = Resolution(x=x[0], y=y[0], unit=unit)
    return None if found.says_nothing else found


def as_metadata(resolution: Resolution | None) -> Metadata:
    """One item of metadata, or none for a resolution that is None or says nothing."""
    return () if resolution is None or resolution.says_nothing else ((MetadataKind.RESOLUTION, resolution.block()),)


def from_exif(exif: bytes) -> Resolution | None:
    """The resolution in an EXIF block; None if it does not give one."""
    order = byte_order(exif)
    return from_entries(read_directory(exif, order, first_directory(exif, order)).entries, order) if order else None
