"""TIFF and BigTIFF written strip by strip, with the directory at the end: the strips are those of `tiff.encode`."""

from __future__ import annotations

from typing import BinaryIO

from srn_deploy.image.bands.encoding import Packed, Piece
from srn_deploy.image.containers import Metadata
from srn_deploy.image.containers.tiff_tags import directory_with
from srn_deploy.image.effort import Effort
from srn_deploy.image.pixels import Image
from srn_deploy.image.tiff import CLASSIC_LIMIT_BYTES, deflated, entries_of, header, strip_rows

_RESERVED_BYTES = 16
"""At the beginning: the header of a BigTIFF, because only the end shows which of the two the file is."""


class TiffEncoder:
    """Writes one image; beyond `classic_limit_bytes` of compressed pixels it becomes a BigTIFF.

    The effort changes nothing, as in `tiff.encode`.
    """

    def __init__(self, image: Image, metadata: Metadata, effort: Effort = Effort.NORMAL, *,
                 classic_limit_bytes: int = CLASSIC_LIMIT_BYTES) -> None:
        self._image, self._metadata, self._limit_bytes = image, metadata, classic_limit_bytes
        channels = image.pixels.shape[2] + (image.alpha is not None)
        self._strips: list[tuple[int, int]] = []
        self._at = _RESERVED_BYTES
        self.piece_rows = strip_rows(image.width, channels * image.pixels.itemsize)

    def begin(self, file: BinaryIO) -> None:
        """Leave room for the header."""
        file.write(bytes(_RESERVED_BYTES))

    def pack(self, piece: Piece) -> Packed:
        """Compress one strip."""
        return Packed(deflated(piece.samples), piece.samples.nbytes, 0)

    def add(self, file: BinaryIO, packed: Packed) -> None:
        """Write one strip."""
        file.write(packed.data)
        self._strips.append((self._at, len(packed.data)))
        self._at += len(packed.data)

    def end(self, file: BinaryIO) -> None:
        """Write the directory with the metadata, and the header that says where it is."""
        is_big = self._at - _RESERVED_BYTES > self._limit_bytes
        at = self._at + self._at % 2
        entries = entries_of(self._image.pixels, self._image.alpha, self._strips, is_big=is_big)
        directory = directory_with(self._metadata, {entry.tag: entry for entry in entries}, at, is_big=is_big)
        file.write(bytes(at - self._at) + directory)
        file.seek(0)
        file.write(header(at, is_big=is_big))
