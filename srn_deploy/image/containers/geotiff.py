"""The tags of GeoTIFF that say where pixels lie (OGC GeoTIFF 1.1, section 7.4; RPCs in GeoTIFF, 2000)."""

from __future__ import annotations

import struct
from dataclasses import replace

from srn_deploy.image.containers.ifd import DOUBLE, SHORT, Entry
from srn_deploy.image.containers.pixel_map import PixelMap

PIXEL_SCALE, TIE_POINTS, TRANSFORMATION, GEO_KEYS, RPC = 33550, 33922, 34264, 34735, 50844

_RASTER_TYPE, _PIXEL_IS_POINT = 1025, 2
_TIE_POINT_VALUES, _MATRIX_VALUES, _RPC_VALUES = 6, 16, 92
_LEAST_VALUES = {PIXEL_SCALE: 2, TIE_POINTS: _TIE_POINT_VALUES, TRANSFORMATION: _MATRIX_VALUES, RPC: _RPC_VALUES}
_RPC_LINE_OFFSET, _RPC_SAMPLE_OFFSET, _RPC_LINE_SCALE, _RPC_SAMPLE_SCALE = 2, 3, 7, 8
_HALF = 0.5
"""From the corner of a pixel to its centre."""


def moved_entries(entries: dict[int, Entry], order: str, pixels: PixelMap) -> dict[int, Entry]:
    """The entries with the places in them as they are in the result; the same object if there are none.

    What lies at a corner of the image lies there afterwards, whether coordinates mean the areas of pixels or their
    centres. Scale and tie point become a transformation where the image was turned.
    """
    if not entries.keys() & {PIXEL_SCALE, TIE_POINTS, TRANSFORMATION, RPC}:
        return entries
    scale, ties, matrix, rpc = (_doubles(entries, tag, order) for tag in (PIXEL_SCALE, TIE_POINTS, TRANSFORMATION, RPC))
    shift = _HALF if _is_point(entries, order) else 0.0
    new: dict[int, list[float] | None] = {}
    if len(matrix) == _MATRIX_VALUES:
        new[TRANSFORMATION] = composed(matrix, pixels, shift)
    if pixels.turn != 1 and len(scale) >= 2 and len(ties) >= _TIE_POINT_VALUES:
        new |= {PIXEL_SCALE: None, TIE_POINTS: None, TRANSFORMATION: composed(_as_matrix(scale, ties), pixels, shift)}
    else:
        if len(scale) >= 2:
            new[PIXEL_SCALE] = [scale[0] / float(pixels.scale_x), scale[1] / float(pixels.scale_y), *scale[2:]]
        if ties and len(ties) % _TIE_POINT_VALUES == 0:
            new[TIE_POINTS] = _moved_ties(ties, pixels, shift)
    if len(rpc) == _RPC_VALUES:
        new[RPC] = _moved_rpc(rpc, pixels) if pixels.turn == 1 else None
    return _replaced(entries, order, new)


def unclear_tags(entries: dict[int, Entry], order: str) -> set[int]:
    """Those of the tags that have another type or number of values than the standard says."""
    counts = {tag: len(_doubles(entries, tag, order)) for tag in _LEAST_VALUES if tag in entries}
    return {tag for tag, count in counts.items() if count < _LEAST_VALUES[tag]
            or (tag != PIXEL_SCALE and count % _LEAST_VALUES[tag]) or (tag in (TRANSFORMATION, RPC)
                                                                       and count > _LEAST_VALUES[tag])}


def _doubles(entries: dict[int, Entry], tag: int, order: str) -> tuple[float, ...]:
    return entries[tag].doubles(order) if tag in entries else ()


def _is_point(entries: dict[int, Entry], order: str) -> bool:
    """Whether raster coordinates mean the centres of pixels: the key GTRasterTypeGeoKey."""
    keys = entries[GEO_KEYS].numbers(order) if GEO_KEYS in entries and entries[GEO_KEYS].kind == SHORT else ()
    return any(keys[at] == _RASTER_TYPE and keys[at + 1] == 0 and keys[at + 3] == _PIXEL_IS_POINT
               for at in range(4, len(keys) - 3, 4))


def _moved_ties(ties: tuple[float, ...], pixels: PixelMap, shift: float) -> list[float]:
    moved: list[float] = []
    for at in range(0, len(ties), _TIE_POINT_VALUES):
        x, y = pixels.place(ties[at] + shift, ties[at + 1] + shift)
        moved += (x - shift, y - shift, *ties[at + 2:at + _TIE_POINT_VALUES])
    return moved


def _as_matrix(scale: tuple[float, ...], ties: tuple[float, ...]) -> list[float]:
    """The transformation that a pixel scale and its tie point stand for: rows run to the south."""
    x, y, z, east, north, height = ties[:_TIE_POINT_VALUES]
    up = scale[2] if len(scale) > 2 else 0.0
    return [scale[0], 0, 0, east - x * scale[0], 0, -scale[1], 0, north + y * scale[1], 0, 0, up, height - z * up,
            0, 0, 0, 1]


def composed(matrix: tuple[float, ...] | list[float], pixels: PixelMap, shift: float) -> list[float]:
    """A transformation of 4 x 4, row by row, from the places of the result instead of those of the file."""
    corner, right, below = ((x - shift, y - shift) for x, y in (
        pixels.origin(shift, shift), pixels.origin(shift + 1, shift), pixels.origin(shift, shift + 1)))
    new = list(matrix)
    for row in range(0, _MATRIX_VALUES, 4):
        by_x, by_y = matrix[row:row + 2]
        new[row] = by_x * (right[0] - corner[0]) + by_y * (right[1] - corner[1])
        new[row + 1] = by_x * (below[0] - corner[0]) + by_y * (below[1] - corner[1])
        new[row + 3] = matrix[row + 3] + by_x * corner[0] + by_y * corner[1]
    return new


def _moved_rpc(rpc: tuple[float, ...], pixels: PixelMap) -> list[float]:
    """Rational polynomial coefficients: lines and samples are counted between the centres of pixels."""
    new = list(rpc)
    x, y = pixels.place(rpc[_RPC_SAMPLE_OFFSET] + _HALF, rpc[_RPC_LINE_OFFSET] + _HALF)
    new[_RPC_SAMPLE_OFFSET], new[_RPC_LINE_OFFSET] = x - _HALF, y - _HALF
    new[_RPC_SAMPLE_SCALE] = rpc[_RPC_SAMPLE_SCALE] * float(pixels.scale_x)
    new[_RPC_LINE_SCALE] = rpc[_RPC_LINE_SCALE] * float(pixels.scale_y)
    return new


def _replaced(entries: dict[int, Entry], order: str, new: dict[int, list[float] | None]) -> dict[int, Entry]:
    kept = {tag: entry for tag, entry in entries.items() if tag not in new}
    for tag, values in new.items():
        if values is not None:
            stored = struct.pack(f"{order}{len(values)}d", *values)
            kept[tag] = replace(entries[tag], kind=DOUBLE, stored=stored) if tag in entries else Entry(
                tag=tag, kind=DOUBLE, stored=stored)
    return kept
