"""Which image files are read by rows, and opening them: TIFF, and PNG that is not interlaced, both upright."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from srn_deploy.image.bands.png_rows import PngRows, UnpackedPng, can_be_read_by_rows, unpacked_png
from srn_deploy.image.bands.source import KeptRows, shape_only
from srn_deploy.image.bands.source_file import SourceFile, Stamp
from srn_deploy.image.bands.tiff_rows import TiffRows, layout_for_rows, one_pixel, unpacked_tiff
from srn_deploy.image.containers import TiffLayout, Unpacked
from srn_deploy.image.containers.ifd import tiff_of
from srn_deploy.image.containers.png import START
from srn_deploy.image.pixels import Decoded, Image
from srn_deploy.image.reading import Description, check_megapixels, check_one_image, describe, unpack_checked

IsWanted = Callable[[int, int], bool]
"""Takes (height, width) and says whether an image of that size is to be read by rows."""

_WIDTH, _HEIGHT = 256, 257
"""Tags of TIFF."""


@dataclass(frozen=True, kw_only=True)
class RowFile:
    """A file whose image can be read by rows, not open."""

    path: Path
    header: Image
    """Its metadata and remarks, and the shape of its pixels."""
    stamp: Stamp
    how: TiffLayout | UnpackedPng

    def open(self) -> KeptRows:
        """Open it; whoever does closes it. Raises UnreadableImage where it has changed since it was looked at."""
        file = SourceFile(self.path, self.stamp)
        if isinstance(self.how, UnpackedPng):
            return KeptRows(PngRows(file, self.header, self.how))
        return KeptRows(TiffRows(file, self.header, self.how))


def row_file(path: Path, is_wanted: IsWanted, *, max_megapixels: float) -> RowFile | None:
    """Look at a file: its structure is checked and its metadata read, but no pixels.

    None for files that are not wanted by their size, and for those that are only read whole: other formats, interlaced
    PNG, CMYK, images that EXIF turns, TIFF whose strips or tiles are very large. Raises the errors of `read_image`.
    """
    check_megapixels(max_megapixels)
    if not os.path.isfile(path):  # noqa: PTH113  # Path.is_file raises for names that are too long
        return None  # read_image says why
    with closing(SourceFile(path)) as file:
        if not _is_wanted(file, is_wanted):
            return None
        if file[:len(START)] == START:
            png = unpacked_png(file)
            check_one_image(png.unpacked, path, max_megapixels)
            described = describe(png.unpacked, path)
            if described.turn != 1 or not can_be_read_by_rows(png.unpacked):
                return None
            first = _first_row(file, png, described)
            return RowFile(path=path, header=first, stamp=file.stamp, how=png)
        unpacked = unpacked_tiff(file)
        check_one_image(unpacked, path, max_megapixels)
        described, layout = describe(unpacked, path), layout_for_rows(unpacked)
        if described.turn != 1 or layout is None:
            return None
        header = _header(unpacked, described, one_pixel(layout, path))
        return RowFile(path=path, header=header, stamp=file.stamp, how=layout)


def unpack_without_pixels(path: Path, *, max_megapixels: float) -> Unpacked:
    """As `unpack_checked`, with the same errors; of PNG and TIFF the pixels are not held in memory."""
    check_megapixels(max_megapixels)
    if not os.path.isfile(path):  # noqa: PTH113  # Path.is_file raises for names that are too long
        return unpack_checked(path, max_megapixels=max_megapixels)  # it says why
    with closing(SourceFile(path)) as file:
        if file[:len(START)] == START:
            unpacked = unpacked_png(file).unpacked
        elif tiff_of(file) is not None:
            unpacked = unpacked_tiff(file)
        else:
            return unpack_checked(path, max_megapixels=max_megapixels)
    check_one_image(unpacked, path, max_megapixels)
    return unpacked


def _is_wanted(file: SourceFile, is_wanted: IsWanted) -> bool:
    """By its size, which is read without anything else; files that are neither PNG nor TIFF are not."""
    start = file[:24]
    if start.startswith(START) and len(start) == 24:
        return is_wanted(int.from_bytes(start[20:24], "big"), int.from_bytes(start[16:20], "big"))
    tiff = tiff_of(file)
    if tiff is None or not 0 < tiff.first < len(file):
        return False
    entries = tiff.directory(tiff.first).entries
    sides = [entries[tag].numbers(tiff.order) if tag in entries else () for tag in (_HEIGHT, _WIDTH)]
    return all(len(side) == 1 for side in sides) and is_wanted(sides[0][0], sides[1][0])


def _first_row(file: SourceFile, png: UnpackedPng, described: Description) -> Image:
    """The header of a PNG; its channels are those of its first row."""
    unknown = Image(pixels=shape_only(height=png.unpacked.height, width=png.unpacked.width, channels=1,
                                      has_alpha=False)[0])
    first = PngRows(file, unknown, png).read(0, 1)
    return _header(png.unpacked, described, Decoded(colour=first.colour, alpha=first.alpha))


def _header(unpacked: Unpacked, described: Description, example: Decoded) -> Image:
    colour, alpha = shape_only(height=unpacked.height, width=unpacked.width, channels=example.colour.shape[2],
                               dtype=example.colour.dtype, has_alpha=example.alpha is not None)
    return Image(pixels=colour, alpha=alpha, metadata=described.metadata, remarks=described.remarks + example.remarks)
