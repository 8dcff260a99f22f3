"""How many pixels lie on an inch: one notation between the formats, each of which has its own."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction

from srn_deploy.image.containers.ifd import SHORT, Entry, byte_order, first_directory, rational, read_directory, shorts
from srn_deploy.image.containers.unpacked import Metadata, MetadataKind

X_TAG, Y_TAG, UNIT_TAG = 282, 283, 296

_METRES_PER_INCH = Fraction(254, 10_000)


class Unit(StrEnum):
    """What the pixels are counted on; the three of TIFF 6.0 and of JFIF."""

    NONE = "none"
    """Only the shape of a pixel is told."""
    INCH = "inch"
    CM = "cm"


_TIFF_UNITS = {Unit.NONE: 1, Unit.INCH: 2, Unit.CM: 3}


@dataclass(frozen=True, kw_only=True)
class Resolution:
    """Pixels per unit across and down; both are positive."""

    x: Fraction
    y: Fraction
    unit: Unit

    @property
    def says_nothing(self) -> bool:
        """Square pixels of no size: what every file means that says nothing."""
        return self.unit is Unit.NONE and self.x == self.y

    def block(self) -> bytes:
        """As it travels among the metadata."""
        return f"{self.x} {self.y} {self.unit}".encode()

    def per_metre(self) -> tuple[int, int]:
        """The nearest whole numbers; for units of length only."""
        metres = _METRES_PER_INCH if self.unit is Unit.INCH else Fraction(1, 100)
        return round(self.x / metres), round(self.y / metres)

    def entries(self) -> tuple[Entry, ...]:
        """As TIFF and EXIF have it, least byte first."""
        return rational(X_TAG, self.x), rational(Y_TAG, self.y), shorts(UNIT_TAG, _TIFF_UNITS[self.unit])


def from_block(block: bytes) -> Resolution:
    """What `block` wrote."""
    x, y, unit = block.decode().split()
    return Resolution(x=Fraction(x), y=Fraction(y), unit=Unit(unit))


def from_per_metre(x: int, y: int) -> Resolution:
    """PNG and BMP count on the metre, people on the inch: whole numbers per inch come back as such."""
    per_inch = tuple(Fraction(round(value * _METRES_PER_INCH)) for value in (x, y))
    whole = Resolution(x=per_inch[0], y=per_inch[1], unit=Unit.INCH)
    return whole if whole.per_metre() == (x, y) else Resolution(x=Fraction(x, 100), y=Fraction(y, 100), unit=Unit.CM)


def from_entries(entries: dict[int, Entry], order: str) -> Resolution | None:
    """What TIFF's tags say; None if they say nothing or are damaged."""
    x, y = (entries[tag].fractions(order) if tag in entries else () for tag in (X_TAG, Y_TAG))
    unit_entry = entries.get(UNIT_TAG)
    number = unit_entry.numbers(order)[:1] if unit_entry is not None and unit_entry.kind == SHORT else (2,)
    unit = next((unit for unit, known in _TIFF_UNITS.items() if number == (known,)), None)
    if len(x) != 1 or len(y) != 1 or unit is None or not (x[0] and y[0]):
        return None
    found = Resolution(x=x[0], y=y[0], unit=unit)
    return None if found.says_nothing else found


def as_metadata(resolution: Resolution | None) -> Metadata:
    """One block, or none for what says nothing."""
    return () if resolution is None or resolution.says_nothing else ((MetadataKind.RESOLUTION, resolution.block()),)


def from_exif(exif: bytes) -> Resolution | None:
    """What an EXIF block says of it; None if it says nothing."""
    order = byte_order(exif)
    return from_entries(read_directory(exif, order, first_directory(exif, order)).entries, order) if order else None
