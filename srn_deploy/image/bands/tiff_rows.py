"""TIFF read by rows: only the strips or tiles that hold them are decoded."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from srn_deploy.image.bands.source import ColourAndAlpha, joined
from srn_deploy.image.bands.source_file import SourceFile
from srn_deploy.image.containers import TiffLayout, Unpacked, cleaned_up
from srn_deploy.image.containers.tiff import unpack
from srn_deploy.image.pixels import Decoded, Image, Pixels
from srn_deploy.image.tiff import Parts, blank_samples, check_predictor, interpreted

_INKS, _UNCOMPRESSED = 5, 1

LARGEST_PART_BYTES = 1 << 26
"""Strips and tiles that hold more, in a row of them, are decoded with the whole image: 64 MiB."""

_CUT_BYTES = 1 << 20


def unpacked_tiff(file: SourceFile) -> Unpacked:
    """A TIFF taken apart, without its pixels; raises the errors of `unpack`."""
    return cleaned_up(unpack(file, file.path), file.path)


def layout_for_rows(unpacked: Unpacked) -> TiffLayout | None:
    """How to read an image by rows; None where that would save nothing, and for CMYK.

    Uncompressed strips that are long are taken as several.
    """
    layout = unpacked.tiff
    if layout is None or layout.photometric == _INKS:
        return None
    row_bytes = -(-unpacked.width * layout.samples * layout.bits // 8)
    if layout.compression == _UNCOMPRESSED and not layout.is_tiled and not layout.is_planar:
        layout = _cut_finer(layout, unpacked.height, row_bytes)
    return layout if min(layout.part_height, unpacked.height) * row_bytes <= LARGEST_PART_BYTES else None


def _cut_finer(layout: TiffLayout, height: int, row_bytes: int) -> TiffLayout:
    rows = max(1, _CUT_BYTES // row_bytes)
    if layout.part_height <= rows:
        return layout
    parts = []
    finer = next(count for count in range(rows, 0, -1) if layout.part_height % count == 0 or len(layout.parts) == 1)
    for number, (offset, length) in enumerate(layout.parts):
        held = min(layout.part_height, height - number * layout.part_height)
        for top in range(0, held, finer):
            start, stop = top * row_bytes, min(top + finer, held) * row_bytes
            parts.append((offset + start, min(stop, length) - min(start, length)))
    return replace(layout, part_height=finer, parts=tuple(parts))


def one_pixel(layout: TiffLayout, path: Path) -> Decoded:
    """A pixel of zeros, decoded: it has the channels and the dtype of the image, and its remarks."""
    return interpreted(blank_samples(1, 1, layout), layout, path)


class TiffRows:
    """The rows of an upright image; see `RowSource`."""

    def __init__(self, file: SourceFile, header: Image, layout: TiffLayout) -> None:
        check_predictor(layout, file.path)
        self.header = header
        self._file, self._layout = file, layout
        self._part: tuple[int, Pixels] | None = None

    def read(self, start: int, stop: int) -> ColourAndAlpha:
        """Decode the rows."""
        self._file.check()
        step = self._layout.part_height
        parts = [self._rows(top)[max(start - top, 0):stop - top]
                 for top in range(start - start % step, stop, step)]
        decoded = interpreted(joined(parts), self._layout, self._file.path)
        return ColourAndAlpha(decoded.colour, decoded.alpha)

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _rows(self, top: int) -> Pixels:
        """The samples of one row of strips or tiles; the last is remembered, because two bands may share it."""
        if self._part is None or self._part[0] != top:
            height, width, layout = self.header.height, self.header.width, self._layout
            samples = blank_samples(min(layout.part_height, height - top), width, layout)
            Parts(self._file, layout, height, self._file.path).decode_into(samples, top)
            self._part = top, samples
            return samples
        return self._part[1]
