"""TIFF: strips and tiles are decompressed by the library for their compression, and assembled here.

No library reads every variant correctly: OpenCV and Pillow truncate, premultiply or drop samples. Treated as plain
bytes, strips are decompressed exactly; the tags then say what the bytes mean.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from srn_deploy.image.containers import TiffLayout, Unpacked, broken, unsupported
from srn_deploy.image.containers.ifd import Entry, Sliceable, long8s, longs, shorts, write_directory
from srn_deploy.image.jpeg import decoded_scan, scan_size
from srn_deploy.image.opencv_codec import decoded_pixels
from srn_deploy.image.pixels import Decoded, Pixels

_NONE, _FAX2, _FAX3, _FAX4, _LZW, _JPEG, _DEFLATE, _PACKBITS, _OLD_DEFLATE = 1, 2, 3, 4, 5, 7, 8, 32773, 32946
_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB, _PALETTE, _INKS = 0, 1, 2, 3, 5
_UNSAID, _ASSOCIATED, _ALPHA = 0, 1, 2
_HORIZONTAL = 2

_STRIP_BYTES = 1 << 20
"""The size of a strip that is written: long enough for deflate, short enough to be read in parts."""
_LONGEST_ROW_BYTES, _LARGEST_PART_BYTES = 1 << 20, 1 << 30
"""The most that OpenCV decompresses at once: it limits the sides and the number of pixels."""
_LEVEL = 1
"""The level of deflate: measured on a photograph of 2040 x 1356, level 6 takes 1.4 times as long for 3 % less."""


def decode(unpacked: Unpacked, path: Path) -> Decoded:
    """Decode a TIFF to grey, RGB or CMYK, and alpha.

    Raises UnreadableImage for damaged strips or tiles, UnsupportedImage for variants that cannot be decoded.
    """
    assert unpacked.tiff is not None
    layout = unpacked.tiff
    check_predictor(layout, path)
    samples = _assembled(unpacked, layout, path)
    return interpreted(samples, layout, path)


def check_predictor(layout: TiffLayout, path: Path) -> None:
    """Raise UnsupportedImage for a predictor that is not undone here."""
    if layout.predictor not in (1, _HORIZONTAL) and layout.compression in (_LZW, _DEFLATE, _OLD_DEFLATE):
        raise unsupported(path, f"is a TIFF with predictor {layout.predictor}")


def _assembled(unpacked: Unpacked, layout: TiffLayout, path: Path) -> Pixels:
    """All samples (H, W, samples) as stored, in 8 or 16 bits; samples of fewer bits take a byte each."""
    canvas = blank_samples(unpacked.height, unpacked.width, layout)
    parts = Parts(unpacked.without_metadata, layout, unpacked.height, path)
    for top in range(0, unpacked.height, layout.part_height):
        parts.decode_into(canvas[top:top + layout.part_height], top)
    return canvas


def blank_samples(height: int, width: int, layout: TiffLayout) -> Pixels:
    """Zeros (height, width, samples) of the dtype of decoded samples."""
    return cast(Pixels, np.zeros((height, width, layout.samples), np.uint16 if layout.bits == 16 else np.uint8))


class Parts(NamedTuple):
    """The strips or tiles of an image."""

    data: Sliceable
    """The file."""
    layout: TiffLayout
    height: int
    """Of the image, in pixels."""
    path: Path

    def decode_into(self, canvas: Pixels, top: int) -> None:
        """Decode the strips or tiles of all planes that begin at a row of the image, into these rows of it."""
        layout, width = self.layout, canvas.shape[1]
        across = -(-width // layout.part_width)
        per_plane = across * -(-self.height // layout.part_height)
        first = top // layout.part_height * across
        rows = layout.part_height if layout.is_tiled else min(layout.part_height, self.height - top)
        for plane in range(layout.samples if layout.is_planar else 1):
            chosen = slice(plane, plane + 1) if layout.is_planar else slice(None)
            for number in range(across):
                offset, length = layout.parts[plane * per_plane + first + number]
                part = _part(self.data[offset:offset + length], layout, rows, self.path)
                place = canvas[:, number * layout.part_width:(number + 1) * layout.part_width, chosen]
                place[...] = part[:place.shape[0], :place.shape[1]]


def _part(packed: bytes, layout: TiffLayout, rows: int, path: Path) -> Pixels:
    """One strip or tile as (rows, part width, samples)."""
    width, samples = layout.part_width, 1 if layout.is_planar else layout.samples
    if layout.compression == _JPEG:
        return _jpeg_part(packed, layout, rows, samples, path)
    if layout.compression in (_FAX2, _FAX3, _FAX4):
        return _fax_part(packed, layout, rows, path)
    row_bytes = (width * samples * layout.bits + 7) // 8
    if layout.fill_order == 2 and layout.compression not in (_LZW, _PACKBITS):
        packed = _BITS_REVERSED[np.frombuffer(packed, np.uint8)].tobytes()
    plain = _unpacked(packed, layout, rows, row_bytes, path)
    if len(plain) < rows * row_bytes:
        raise broken(path, "is a damaged TIFF: a part holds too few pixels")
    levels = np.frombuffer(plain[:rows * row_bytes], np.uint8).reshape(rows, row_bytes)
    if layout.bits < 8:
        return _single(levels, layout.bits)[:, :width, None]
    native = levels.view(layout.order + "u2").astype(np.uint16) if layout.bits == 16 else levels
    part = native.reshape(rows, width, samples)
    if layout.predictor == _HORIZONTAL and layout.compression in (_LZW, _DEFLATE, _OLD_DEFLATE):
        return cast(Pixels, np.add.accumulate(part, axis=1, dtype=part.dtype))
    return cast(Pixels, part)


_BITS_REVERSED = np.packbits(np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1)[:, ::-1], axis=1)[:, 0]


def _unpacked(packed: bytes, layout: TiffLayout, rows: int, row_bytes: int, path: Path) -> bytes:
    """The decompressed bytes of a strip or tile, at most one more than it should have."""
    if layout.compression == _NONE:
        return packed
    if layout.compression in (_LZW, _PACKBITS):
        if row_bytes > _LONGEST_ROW_BYTES or rows * row_bytes > _LARGEST_PART_BYTES:
            raise unsupported(path, "is a TIFF with strips that are too large for OpenCV")
        bytes_as_grey = _one_strip(packed, rows, row_bytes, layout, bits=8)
        return decoded_pixels(bytes_as_grey, path).tobytes()
    try:
        # One byte more than expected, so that the checksum at the end is reached.
        return zlib.decompressobj().decompress(packed, rows * row_bytes + 1)
    except zlib.error as error:
        raise broken(path, f"is a damaged TIFF: {error}") from error


def _one_strip(packed: bytes, rows: int, width: int, layout: TiffLayout, *, bits: int) -> bytes:
    """A grey TIFF that consists of this one strip, for a library to decompress."""
    entries = [longs(256, [width]), longs(257, [rows]), shorts(258, bits), shorts(259, layout.compression),
               shorts(262, layout.photometric if bits == 1 else _BLACK_IS_ZERO), shorts(266, layout.fill_order),
               longs(273, [8]), shorts(277, 1), longs(278, [rows]), longs(279, [len(packed)])]
    if layout.compression in (_FAX3, _FAX4):
        entries.append(longs({_FAX3: 292, _FAX4: 293}[layout.compression], [layout.fax_options]))
    at = 8 + len(packed) + len(packed) % 2
    return b"II*\0" + struct.pack("<I", at) + packed.ljust(at - 8, b"\0") + write_directory(entries, "<", at)


def _fax_part(packed: bytes, layout: TiffLayout, rows: int, path: Path) -> Pixels:
    """A facsimile strip as 0 and 1, with the meaning that the tags of the file give them."""
    grey = decoded_pixels(_one_strip(packed, rows, layout.part_width, layout, bits=1), path)
    if grey.shape[:2] != (rows, layout.part_width):
        raise broken(path, "is a damaged TIFF: a part holds too few pixels")
    bits = (grey[..., :1] > 0).astype(np.uint8)
    return 1 - bits if layout.photometric == _WHITE_IS_ZERO else bits


def _jpeg_part(packed: bytes, layout: TiffLayout, rows: int, samples: int, path: Path) -> Pixels:
    """A JPEG strip or tile: its tables are in a tag, and its colour space is given by tags instead of a marker."""
    transform = 1 if layout.photometric == 6 else 0
    adobe = b"\xff\xee\0\x0eAdobe\0\x64" + bytes(4) + bytes([transform])
    data = b"\xff\xd8" + (adobe if samples >= 3 else b"") + layout.jpeg_tables[2:-2] + packed[2:]
    spaces = {1: "Gray", 3: "RGB", 4: "CMYK"}
    if samples not in spaces or layout.extra:
        raise unsupported(path, "is a TIFF with JPEG compression and transparency")
    height, width = scan_size(data, path)
    if not rows <= height <= max(rows, layout.part_height) or width != layout.part_width:
        raise broken(path, "is a damaged TIFF: a part has a different size than its tags say")
    return decoded_scan(data, spaces[samples], path)[0]


def _single(levels: NDArray[np.uint8], bits: int) -> NDArray[np.uint8]:
    """Split rows of bytes into rows of samples of 1, 2 or 4 bits, a byte each."""
    places = np.arange(8 - bits, -1, -bits, dtype=np.uint8)
    numbers = levels[..., None] >> places & np.uint8(2**bits - 1)
    return cast(NDArray[np.uint8], numbers.reshape(levels.shape[0], -1))


def interpreted(samples: Pixels, layout: TiffLayout, path: Path) -> Decoded:
    """Convert stored samples to colour and alpha by the photometric interpretation."""
    colours = {_INKS: 4, _RGB: 3, 6: 3}.get(layout.photometric, 1)
    colour, alpha = samples[..., :colours], samples[..., colours:] if samples.shape[2] > colours else None
    if layout.photometric == _PALETTE:
        palette = np.array(layout.palette, np.uint16).reshape(3, -1).T
        # Some programs wrote 8 bits into the 16 of the tag.
        colour = (palette if palette.max() < 256 else palette // 256).astype(np.uint8)[colour[..., 0]]
    elif layout.bits < 8:
        colour = colour * np.uint8(255 // (2**layout.bits - 1))
    if layout.photometric == _WHITE_IS_ZERO:
        colour = np.iinfo(colour.dtype).max - colour
    return _with_alpha(colour, alpha, layout, path)


def _with_alpha(colour: Pixels, alpha: Pixels | None, layout: TiffLayout, path: Path) -> Decoded:
    inks = layout.photometric == _INKS
    if alpha is None:
        return Decoded(colour=colour, is_cmyk=inks)
    kind = (layout.extra or (_UNSAID,))[0]
    remark = f"{path}: the TIFF does not say what its last channel is; it is taken as transparency."
    return Decoded(colour=_divided(colour, alpha) if kind == _ASSOCIATED else colour, alpha=alpha, is_cmyk=inks,
                   remarks=() if kind in (_ASSOCIATED, _ALPHA) else (remark,))


def _divided(colour: Pixels, alpha: Pixels) -> Pixels:
    """Undo the multiplication of colour with alpha; black where alpha is 0."""
    largest = int(np.iinfo(colour.dtype).max)
    divisor = np.maximum(alpha, 1).astype(np.uint32)
    whole = (colour.astype(np.uint32) * largest + divisor // 2) // divisor
    return cast(Pixels, np.where(alpha > 0, np.minimum(whole, largest), 0).astype(colour.dtype))


CLASSIC_LIMIT_BYTES = 4_000_000_000
"""TIFF 6.0 has offsets of 32 bits: beyond this a file becomes a BigTIFF. The rest is for directory and metadata."""


def encode(colour: Pixels, alpha: Pixels | None, *, classic_limit_bytes: int = CLASSIC_LIMIT_BYTES) -> bytes:
    """Encode without metadata: deflate with the horizontal predictor, little-endian.

    colour: (H, W, 1) or (H, W, 3) RGB, uint8 or uint16. alpha: (H, W, 1) of the same dtype. classic_limit_bytes: of
    compressed pixels; with more the result is a BigTIFF.
    """
    samples = colour if alpha is None else np.concatenate([colour, alpha], axis=2)
    height, width, count = samples.shape
    rows = strip_rows(width, count * samples.itemsize)
    strips = [deflated(samples[top:top + rows]) for top in range(0, height, rows)]
    is_big = sum(map(len, strips)) > classic_limit_bytes
    header_bytes = 16 if is_big else 8
    offsets = list(np.cumsum([header_bytes, *(len(strip) for strip in strips)]).tolist())
    at = offsets[-1] + offsets[-1] % 2
    entries = entries_of(colour, alpha, list(zip(offsets, map(len, strips), strict=False)), is_big=is_big)
    return b"".join((header(at, is_big=is_big), *strips, bytes(at - offsets[-1]),
                     write_directory(entries, "<", at, is_big=is_big)))


def strip_rows(width: int, pixel_bytes: int) -> int:
    """How many rows a strip that is written has."""
    return max(1, _STRIP_BYTES // (width * pixel_bytes))


def header(directory_at: int, *, is_big: bool) -> bytes:
    """The first bytes of a little-endian file: 8, or 16 of a BigTIFF."""
    return struct.pack("<4sHHQ", b"II+\0", 8, 0, directory_at) if is_big else \
        struct.pack("<4sI", b"II*\0", directory_at)


def entries_of(colour: Pixels, alpha: Pixels | None, strips: Sequence[tuple[int, int]], *,
               is_big: bool) -> list[Entry]:
    """The tags that describe pixels in deflated strips, each with its offset and its length in bytes.

    Of the arrays only their shapes and dtypes are used.
    """
    height, width, colours = colour.shape
    count = colours + (alpha is not None)
    entries = [longs(256, [width]), longs(257, [height]), shorts(258, *[8 * colour.itemsize] * count),
               shorts(259, _DEFLATE), shorts(262, _RGB if colours == 3 else _BLACK_IS_ZERO),
               (long8s if is_big else longs)(273, [offset for offset, _ in strips]), shorts(277, count),
               longs(278, [strip_rows(width, count * colour.itemsize)]), longs(279, [length for _, length in strips]),
               shorts(284, 1), shorts(317, _HORIZONTAL)]
    return entries if alpha is None else [*entries, shorts(338, _ALPHA)]


def deflated(strip: Pixels) -> bytes:
    """One strip (rows, W, samples) as it is stored: every pixel minus its left neighbour, little-endian, deflated."""
    less = strip.copy()
    less[:, 1:] -= strip[:, :-1]
    return zlib.compress(less.astype(less.dtype.newbyteorder("<"), copy=False).tobytes(), _LEVEL)
