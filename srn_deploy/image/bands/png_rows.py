"""PNG read by rows, from top to bottom: the pixels are inflated as a stream (PNG specification, sections 7 to 11).

Filters are undone and colours expanded by the codec that decodes whole files: it is given the rows of a band as a small
PNG of their own, below the last row of the band before.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from srn_deploy.image.bands.source import ColourAndAlpha, joined
from srn_deploy.image.bands.source_file import SourceFile
from srn_deploy.image.containers import Unpacked, broken, cleaned_up
from srn_deploy.image.containers.png import START, chunk, unpack
from srn_deploy.image.containers.unpacked import PngKind
from srn_deploy.image.opencv_codec import decode
from srn_deploy.image.pixels import Decoded, Image, Pixels

_READ_BYTES = 1 << 20
_GREY, _GREY_ALPHA, _RGB, _PALETTE, _RGBA = 0, 4, 2, 3, 6
_SAMPLES = {_GREY: 1, _RGB: 3, _PALETTE: 1, _GREY_ALPHA: 2, _RGBA: 4}
_AS_BYTES = {1: (8, _GREY), 2: (16, _GREY), 3: (8, _RGB), 4: (8, _RGBA), 6: (16, _RGB), 8: (16, _RGBA)}
"""Bits and colour type in which a codec changes nothing, by the bytes that filters take as one pixel."""
_LAST_FILTER = 4
_FRAME = len(START) + 12 + 13, -(12 + 12)
"""Where palette and transparency lie in `Unpacked.without_metadata`: behind the header, before an empty IDAT."""


class RowSpan(NamedTuple):
    """Where a part of the deflated pixels lies in the file, in bytes."""

    at: int
    length: int


class UnpackedPng(NamedTuple):
    """A PNG taken apart, without its pixels."""

    unpacked: Unpacked
    spans: tuple[RowSpan, ...]


def unpacked_png(file: SourceFile) -> UnpackedPng:
    """Take a PNG apart and check every checksum; raises the errors of `unpack`."""
    kept, at = [START], len(START)
    spans: list[RowSpan] = []
    while at + 12 <= len(file):
        head = file[at:at + 8]
        length = int.from_bytes(head[:4], "big")
        end = at + 12 + length
        if end > len(file):
            break
        if head[4:] == b"IDAT":
            _check_checksum(file, at + 4, end)
            kept += [] if spans else [chunk(b"IDAT", b"")]
            spans.append(RowSpan(at + 8, length))
        else:
            kept.append(file[at:end])
        at = end
        if head[4:] == b"IEND":
            kept.append(file[at:len(file)])
            break
    return UnpackedPng(cleaned_up(unpack(b"".join(kept), file.path), file.path), tuple(spans))


def _check_checksum(file: SourceFile, start: int, end: int) -> None:
    checksum = 0
    for at in range(start, end - 4, _READ_BYTES):
        checksum = zlib.crc32(file[at:min(at + _READ_BYTES, end - 4)], checksum)
    if checksum != int.from_bytes(file[end - 4:end], "big"):
        raise broken(file.path, "is a damaged PNG: a checksum is wrong")


class _Shape(NamedTuple):
    """How rows are stored: the fields of IHDR."""

    width: int
    depth: int
    colour_type: int
    interlaced: bool

    @classmethod
    def of(cls, png: PngKind) -> _Shape:
        width, _, depth, colour_type, _, _, interlacing = struct.unpack(">IIBBBBB", png.header)
        return cls(width, depth, colour_type, bool(interlacing))

    @property
    def row_bytes(self) -> int:
        return (self.width * self.depth * _SAMPLES[self.colour_type] + 7) // 8

    @property
    def pixel_bytes(self) -> int:
        """What filters take as one pixel."""
        return max(1, self.depth * _SAMPLES[self.colour_type] // 8)


def can_be_read_by_rows(unpacked: Unpacked) -> bool:
    """Whether the rows are stored from top to bottom."""
    return unpacked.png is not None and not _Shape.of(unpacked.png).interlaced


class PngRows:
    """The rows of an upright image; going back begins again at the top. See `RowSource`."""

    def __init__(self, file: SourceFile, header: Image, png: UnpackedPng) -> None:
        assert png.unpacked.png is not None
        self.header = header
        self._file, self._spans, self._shape = file, png.spans, _Shape.of(png.unpacked.png)
        self._unpacked, self._plain = png.unpacked, replace(png.unpacked, grey_alpha=False, transparent_grey=None)
        self._extra = png.unpacked.without_metadata[slice(*_FRAME)]
        self._begin()

    def read(self, start: int, stop: int) -> ColourAndAlpha:
        """Inflate and decode the rows."""
        self._file.check()
        if start < self._next:
            self._begin()
        step = max(1, _READ_BYTES // self._shape.row_bytes)
        while self._next < start:
            self._unfiltered(min(step, start - self._next))
        bands = []
        while self._next < stop:
            bands.append(self._decoded(self._unfiltered(min(step, stop - self._next))))
        alphas = [band.alpha for band in bands if band.alpha is not None]
        return ColourAndAlpha(joined([band.colour for band in bands]), joined(alphas) if alphas else None)

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _begin(self) -> None:
        self._next = 0
        self._above = np.zeros((1, self._shape.row_bytes), np.uint8)
        self._inflater, self._packed = zlib.decompressobj(), self._chunks()

    def _chunks(self) -> Iterator[bytes]:
        for span in self._spans:
            for at in range(span.at, span.at + span.length, _READ_BYTES):
                yield self._file[at:min(at + _READ_BYTES, span.at + span.length)]

    def _inflated(self, length: int) -> bytes:
        """The next bytes of the stream."""
        found = bytearray()
        try:
            while len(found) < length:
                packed = self._inflater.unconsumed_tail or next(self._packed, b"")
                piece = self._inflater.decompress(packed, length - len(found))
                found += piece
                if not packed and not piece:
                    raise broken(self._file.path, "is a damaged PNG: it holds fewer pixels than its header says")
        except zlib.error as error:
            raise broken(self._file.path, "is a damaged PNG: its pixels cannot be inflated") from error
        return bytes(found)

    def _unfiltered(self, rows: int) -> NDArray[np.uint8]:
        """The next rows as bytes (rows, row bytes), as they were before they were filtered."""
        row_bytes = self._shape.row_bytes
        stored = np.frombuffer(self._inflated(rows * (1 + row_bytes)), np.uint8).reshape(rows, 1 + row_bytes)
        if stored[:, 0].max() > _LAST_FILTER:
            raise broken(self._file.path, "is a damaged PNG: its pixels have a filter type that does not exist")
        width, kind = row_bytes // self._shape.pixel_bytes, _AS_BYTES[self._shape.pixel_bytes]
        header = struct.pack(">IIBBBBB", width, rows + 1, *kind, 0, 0, 0)
        above = bytes(1) + self._above.tobytes()
        plain = self._through_codec(self._plain, header, b"", above + stored.tobytes())
        samples = plain.colour if plain.alpha is None else np.concatenate([plain.colour, plain.alpha], axis=2)
        unfiltered = samples[1:].astype(samples.dtype.newbyteorder(">"), copy=False).reshape(rows, -1).view(np.uint8)
        self._above = unfiltered[-1:].copy()
        self._next += rows
        return unfiltered

    def _decoded(self, rows: NDArray[np.uint8]) -> Decoded:
        """Rows of bytes as colour and alpha."""
        shape, count = self._shape, len(rows)
        if not self._extra and shape.depth >= 8 and shape.colour_type in (_GREY, _RGB, _RGBA):
            levels = rows.view(">u2").astype(np.uint16) if shape.depth == 16 else rows
            pixels: Pixels = levels.reshape(count, shape.width, -1)
            return Decoded(colour=pixels[..., :3], alpha=pixels[..., 3:] if shape.colour_type == _RGBA else None)
        header = struct.pack(">IIBBBBB", shape.width, count, shape.depth, shape.colour_type, 0, 0, 0)
        return self._through_codec(self._unpacked, header, self._extra, np.insert(rows, 0, 0, axis=1).tobytes())

    def _through_codec(self, kind: Unpacked, header: bytes, extra: bytes, rows: bytes) -> Decoded:
        """Rows of bytes, each after its filter, decoded as a PNG of their own; kind: says what its levels mean."""
        data = START + chunk(b"IHDR", header) + extra + chunk(b"IDAT", zlib.compress(rows, 0)) + chunk(b"IEND", b"")
        width, height = struct.unpack(">II", header[:8])
        return decode(replace(kind, without_metadata=data, width=width, height=height), self._file.path)
