"""PNG written piece by piece (PNG specification, third edition, sections 7 and 9 to 11).

Each piece is filtered and deflated by itself and becomes one IDAT chunk; deflate allows streams to be joined where a
block ends at a whole byte. Filters and strategies are those of `opencv_codec.PNG_OPTIONS`; with the most effort the
smaller of two streams is taken piece by piece.
"""

from __future__ import annotations

import struct
import zlib
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from srn_deploy.image.bands.encoding import PIECE_BYTES, Packed, Piece
from srn_deploy.image.bands.png_filters import AVERAGE, PAETH, best_filtered, filtered
from srn_deploy.image.containers import Metadata
from srn_deploy.image.containers.png import START, chunk, packed_metadata
from srn_deploy.image.effort import Effort
from srn_deploy.image.pixels import Image, Pixels

_GREY, _RGB, _RGBA = 0, 2, 6
_ZLIB_HEADER = b"\x78\x01"
"""Deflate with a window of 32 KiB, fastest level (RFC 1950)."""
_LAST_BLOCK = b"\x03\x00"
"""An empty block that is the last one (RFC 1951)."""
_WITHOUT_HEADER, _MEMORY = -15, 9
_HUFFMAN, _REPETITIONS = (1, zlib.Z_HUFFMAN_ONLY), (6, zlib.Z_FILTERED)
"""Level and strategy of deflate."""
_ADLER_BASE = 65521


class PngEncoder:
    """Writes one image; grey with alpha is stored in four channels, as `opencv_codec.encode_by_opencv` does."""

    def __init__(self, image: Image, metadata: Metadata, effort: Effort = Effort.NORMAL) -> None:
        has_alpha = image.alpha is not None
        self._channels = 4 if has_alpha else image.pixels.shape[2]
        kind = _RGBA if has_alpha else _RGB if self._channels == 3 else _GREY
        bits = 8 * image.pixels.itemsize
        self._header = chunk(b"IHDR", struct.pack(">IIBBBBB", image.width, image.height, bits, kind, 0, 0, 0))
        self._metadata, self._effort = metadata, effort
        self._checksum = 1
        self.piece_rows = max(1, PIECE_BYTES // (image.width * self._channels * image.pixels.itemsize))

    def begin(self, file: BinaryIO) -> None:
        """Write the header and the metadata."""
        file.write(START + self._header + packed_metadata(self._metadata) + chunk(b"IDAT", _ZLIB_HEADER))

    def pack(self, piece: Piece) -> Packed:
        """Filter and deflate rows."""
        samples = self._stored(piece.samples)
        above = None if piece.above is None else self._stored(piece.above)
        rows, row_above = _row_bytes(samples), None if above is None else _row_bytes(above)
        pixel_bytes = samples.shape[2] * samples.itemsize
        kind = AVERAGE if self._effort is Effort.FAST else PAETH
        packed = _deflated(filtered(rows, row_above, pixel_bytes, kind), *_HUFFMAN)
        if self._effort is not Effort.SMALL:
            return packed
        other = _deflated(best_filtered(rows, row_above, pixel_bytes), *_REPETITIONS)
        return min(packed, other, key=lambda each: len(each.data))

    def add(self, file: BinaryIO, packed: Packed) -> None:
        """Write one chunk of pixels."""
        self._checksum = joined_checksum(self._checksum, packed.checksum, packed.plain_bytes)
        file.write(chunk(b"IDAT", packed.data))

    def end(self, file: BinaryIO) -> None:
        """Write the checksum of all pixels and the end."""
        file.write(chunk(b"IDAT", _LAST_BLOCK + struct.pack(">I", self._checksum)) + chunk(b"IEND", b""))

    def _stored(self, samples: Pixels) -> Pixels:
        """Grey and alpha as RGB and alpha; everything else as it is."""
        if samples.shape[2] == self._channels:
            return samples
        return samples[..., [0, 0, 0, 1]]


def joined_checksum(first: int, second: int, second_bytes: int) -> int:
    """The Adler-32 of two parts together, from that of each and the length of the second (RFC 1950, section 9)."""
    low = (first % 2**16 + second % 2**16 - 1) % _ADLER_BASE
    high = (first // 2**16 + second // 2**16 + second_bytes * (first % 2**16 - 1)) % _ADLER_BASE
    return high * 2**16 + low


def _deflated(rows: NDArray[np.uint8], level: int, strategy: int) -> Packed:
    deflater = zlib.compressobj(level, zlib.DEFLATED, _WITHOUT_HEADER, _MEMORY, strategy)
    data = deflater.compress(rows.data) + deflater.flush(zlib.Z_SYNC_FLUSH)
    return Packed(data, rows.nbytes, zlib.adler32(rows.data))


def _row_bytes(samples: Pixels) -> NDArray[np.uint8]:
    """Rows of samples as rows of bytes, the larger byte first."""
    ordered = np.ascontiguousarray(samples, samples.dtype.newbyteorder(">"))
    return ordered.reshape(len(samples), -1).view(np.uint8)
