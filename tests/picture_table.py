"""The tables of docs/pictures.md, made by real round trips: `python -m tests.picture_table` writes them there."""

from __future__ import annotations

import struct
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import cast

import numpy as np
from PIL import Image as Pillow
from PIL import UnidentifiedImageError
from PIL.ImageFile import ImageFile as Opened
from PIL.TiffImagePlugin import TiffImageFile

from srn_deploy.errors import UnsupportedImage
from srn_deploy.image import Image, Pixels, losses, read_image, write_image
from srn_deploy.image.containers import MetadataKind
from srn_deploy.image.containers.resolution import Resolution, Unit
from tests.test_containers import XMP, chunk, profile
from tests.test_exif_travels import EXIF_TAG, GPS_TAG, MAKER, ORIENTATION
from tests.test_exif_travels import block as camera_block

DOCUMENT = Path(__file__).resolve().parent.parent / "docs" / "pictures.md"
XMP_TAG = 700
BEGIN, END = "<!-- made by tests/picture_table.py -->\n", "<!-- end -->\n"

FORMATS = {"PNG": ".png", "JPEG": ".jpg", "WebP": ".webp", "TIFF": ".tif", "AVIF": ".avif", "BMP": ".bmp"}

NEAR_LEVELS = 8
"""Smooth images change by at most this many levels at the default quality of JPEG."""


class Hole(AssertionError):
    """Something was neither kept nor reported as lost nor refused."""


@dataclass(frozen=True, kw_only=True)
class Kind:
    """One kind of pixels."""

    name: str
    colours: int
    alpha: bool
    bits: int

    def image(self) -> Image:
        """Smooth ramps, which lossy formats change little; not symmetrical, so that a rotation shows."""
        ramp = np.linspace(40, 200, 24)[:, None] + np.linspace(0, 30, 16)[None]
        planes = np.stack([ramp, ramp[::-1], ramp[:, ::-1], ramp / 2 + 60], axis=2)
        whole = planes.astype(np.uint8) if self.bits == 8 else (planes * 257).astype(np.uint16)
        return Image(pixels=whole[..., :self.colours], alpha=whole[..., 3:] if self.alpha else None)


KINDS = tuple(Kind(name=f"{name}, {bits} bits", colours=colours, alpha=alpha, bits=bits) for bits in (8, 16)
              for name, colours, alpha in (("grey", 1, False), ("grey + alpha", 1, True), ("RGB", 3, False),
                                           ("RGBA", 3, True)))


def pixels_cell(folder: Path, suffix: str, kind: Kind) -> str:
    """What happens to the pixels: exact, near or refused."""
    image, path = kind.image(), folder / f"out{suffix}"
    try:
        write_image(path, image)
    except UnsupportedImage:
        return "refused"
    back = read_image(path)
    if _distance(back.alpha, image.alpha) or back.pixels.dtype != image.pixels.dtype:
        raise Hole(f"{kind.name} as {suffix}")
    distance = _distance(back.pixels, cast(Pixels, np.broadcast_to(image.pixels, back.pixels.shape)))
    if distance > NEAR_LEVELS:
        raise Hole(f"{kind.name} as {suffix}: {distance} levels")
    same = "exact" if not distance else "near"
    return same if back.pixels.shape == image.pixels.shape else f"{same}, as RGB"


def _distance(first: Pixels | None, second: Pixels | None) -> int:
    if first is None or second is None:
        return 0 if first is second else NEAR_LEVELS + 1
    return int(np.abs(first.astype(int) - second.astype(int)).max())


@dataclass(frozen=True, kw_only=True)
class Information:
    """One kind of metadata: how it is made for an image, and whether a file has it."""

    name: str
    make: Callable[[Kind], tuple[MetadataKind, bytes]]
    is_there: Callable[[Path, bytes], bool]


def _block_is_there(kind: MetadataKind, others_find: Callable[[Opened, bytes], bool] | None = None,
                    ) -> Callable[[Path, bytes], bool]:
    """Whether `read_image` finds it, and Pillow too if `others_find` says how and Pillow opens the file."""
    def is_there(path: Path, block: bytes) -> bool:
        return dict(read_image(path).metadata).get(kind) == block and (
            others_find is None or _others(path, lambda opened: others_find(opened, block)))
    return is_there


def _others(path: Path, find: Callable[[Opened], bool]) -> bool:
    """What Pillow finds. It cannot open a TIFF of grey and alpha in 16 bits, where only `read_image` is checked."""
    try:
        with Pillow.open(path) as opened:
            opened.load()  # chunks of a PNG may follow the pixels
            return find(opened)
    except UnidentifiedImageError as error:
        image = read_image(path)
        if path.suffix != ".tif" or image.alpha is None or image.pixels.shape[2] != 1 or image.pixels.itemsize != 2:
            raise Hole(f"Pillow does not open {path}") from error
        return True


def _others_find_profile(opened: Opened, block: bytes) -> bool:
    """Pillow does not read the profile of a BMP; it must be where BITMAPV5HEADER says, counted from that header."""
    if opened.format == "BMP":
        data = Path(str(opened.filename)).read_bytes()
        at, length = struct.unpack_from("<II", data, 14 + 112)
        return data[14 + 56:14 + 60] == b"DEBM" and data[14 + at:][:length] == block
    return bool(opened.info.get("icc_profile") == block)


def _others_find_xmp(opened: Opened, block: bytes) -> bool:
    found = opened.tag_v2.get(XMP_TAG) if isinstance(opened, TiffImageFile) else opened.info.get("xmp")
    return found is not None and bytes(found) == block


def _others_find_300_dpi(opened: Opened, block: bytes) -> bool:
    """Within the rounding of integers per metre."""
    return all(abs(float(value) - 300) < 0.02 for value in opened.info["dpi"])


def _others_find_twice_as_high(opened: Opened, block: bytes) -> bool:
    """Under the name that Pillow uses for the format."""
    name = {"PNG": "aspect", "JPEG": "jfif_density", "TIFF": "resolution"}[str(opened.format)]
    x, y = opened.info[name]
    return bool(x == 2 * y and opened.info.get("jfif_unit", 0) == 0)


def _exif_is_there(path: Path, block: bytes) -> bool:
    """In the block that `read_image` returns, and in the file as Pillow opens it."""
    def is_whole(exif: Pillow.Exif) -> bool:
        return bool(exif.get(MAKER) and exif.get_ifd(EXIF_TAG) and exif.get_ifd(GPS_TAG))
    exif = Pillow.Exif()
    exif.load(b"Exif\0\0" + dict(read_image(path).metadata)[MetadataKind.EXIF])
    return is_whole(exif) and _others(path, lambda opened: is_whole(opened.getexif()))


def _is_upright(path: Path, block: bytes) -> bool:
    """The file was written with pixels that are turned by 90 degrees."""
    once = read_image(path)
    again = path.with_name(f"again{path.suffix}")
    write_image(again, once)
    return once.width == 24 and read_image(again).pixels.shape == once.pixels.shape and _others(
        again, lambda opened: opened.width == 24 and opened.getexif().get(ORIENTATION, 1) == 1)


DPI_300 = Resolution(x=Fraction(300), y=Fraction(300), unit=Unit.INCH).block()
TWICE_AS_HIGH = Resolution(x=Fraction(2), y=Fraction(1), unit=Unit.NONE).block()

INFORMATION = (
    Information(name="colour profile (ICC)", is_there=_block_is_there(MetadataKind.ICC, _others_find_profile),
                make=lambda kind: (MetadataKind.ICC, profile(b"GRAY" if kind.colours == 1 else b"RGB "))),
    Information(name="EXIF with GPS", make=lambda kind: (MetadataKind.EXIF, camera_block()), is_there=_exif_is_there),
    Information(name="orientation, applied once", is_there=_is_upright,
                make=lambda kind: (MetadataKind.EXIF, camera_block(6))),
    Information(name="XMP", make=lambda kind: (MetadataKind.XMP, XMP),
                is_there=_block_is_there(MetadataKind.XMP, _others_find_xmp)),
    Information(name="resolution", make=lambda kind: (MetadataKind.RESOLUTION, DPI_300),
                is_there=_block_is_there(MetadataKind.RESOLUTION, _others_find_300_dpi)),
    Information(name="aspect ratio of a pixel alone", make=lambda kind: (MetadataKind.RESOLUTION, TWICE_AS_HIGH),
                is_there=_block_is_there(MetadataKind.RESOLUTION, _others_find_twice_as_high)),
    Information(name="PNG's cHRM and gAMA", is_there=_block_is_there(MetadataKind.PNG_COLOUR),
                make=lambda kind: (MetadataKind.PNG_COLOUR, chunk(b"gAMA", bytes([0, 1, 0x86, 0xA0])))),
    Information(name="PNG's text", is_there=_block_is_there(MetadataKind.PNG_TEXT),
                make=lambda kind: (MetadataKind.PNG_TEXT,
                                   chunk(b"tEXt", b"Author\0Ada") + chunk(b"zTXt", b"Note\0\0x"))),
    Information(name="JPEG's comments and IPTC", is_there=_block_is_there(MetadataKind.JPEG_NOTES),
                make=lambda kind: (MetadataKind.JPEG_NOTES, b"\xff\xfe\0\x05Ada\xff\xed\0\x06IPTC")),
)


def information_cell(folder: Path, suffix: str, information: Information) -> str:
    """What happens to it, for all kinds of pixels that the format can hold."""
    ends: dict[str, list[str]] = {}
    for kind in KINDS:
        if pixels_cell(folder, suffix, kind) != "refused":
            ends.setdefault(_end(folder / f"out{suffix}", kind, information), []).append(kind.name)
    if len(ends) == 1:
        return next(iter(ends))
    return "; ".join(f"{end}: {_briefly(names)}" for end, names in sorted(ends.items()))


def _end(path: Path, kind: Kind, information: Information) -> str:
    label, block = information.make(kind)
    plain = kind.image()
    image = Image(pixels=plain.pixels, alpha=plain.alpha, metadata=((label, block),))
    before = losses(path, image)
    if write_image(path, image) != before:
        raise Hole(f"{information.name} in {path.suffix}: reported after writing what was not reported before")
    if before:
        return "reported"
    if not information.is_there(path, block):
        raise Hole(f"{information.name} of {kind.name} in {path.suffix} is lost silently")
    return "kept"


def _briefly(names: list[str]) -> str:
    """Kinds without their bits."""
    return ", ".join(dict.fromkeys(name.partition(",")[0] for name in names))


def table(head: str, rows: dict[str, list[str]]) -> str:
    """A Markdown table with a column for each format."""
    lines = [f"| {head} | {' | '.join(FORMATS)} |", "|---" * (len(FORMATS) + 1) + "|"]
    return "\n".join([*lines, *(f"| {name} | {' | '.join(cells)} |" for name, cells in rows.items())]) + "\n"


def tables() -> str:
    """Both tables; raises Hole for what is neither kept nor reported as lost nor refused."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        pixels = {kind.name: [pixels_cell(folder, suffix, kind) for suffix in FORMATS.values()] for kind in KINDS}
        metadata = {information.name: [information_cell(folder, suffix, information) for suffix in FORMATS.values()]
                    for information in INFORMATION}
    return table("pixels", pixels) + "\n" + table("metadata", metadata)


def documented() -> str:
    """The tables in the document."""
    return DOCUMENT.read_text(encoding="utf-8").partition(BEGIN)[2].partition(END)[0]


def main() -> None:
    """Write the tables into the document."""
    before, _, rest = DOCUMENT.read_text(encoding="utf-8").partition(BEGIN)
    DOCUMENT.write_text(before + BEGIN + tables() + END + rest.partition(END)[2], encoding="utf-8")


if __name__ == "__main__":
    main()
