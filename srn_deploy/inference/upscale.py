"""One picture on one backend, tiled so that the result is that of the whole picture."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from srn_deploy.backends.protocol import Backend
from srn_deploy.errors import OutOfMemory, UnsuitableBatch
from srn_deploy.spec import Form, ModelSpec, PixelType, Precision
from srn_deploy.tiling.shapes import Limits
from srn_deploy.tiling.tiles import SMALLEST_TILE_PX, Tile, batches, cut, geometry_of, join, reflected
from srn_deploy.tiling.windows import TileOptions, choose_tile_px, is_tileable, planned_windows

Pixels = NDArray[Any]
OnTile = Callable[[int, int], None]
"""Called with (tiles done, tiles in all)."""

GREY_OF_RGB = np.array([0.299, 0.587, 0.114], dtype=np.float32)
"""BT.601 full-range luma, for pictures that came in grey."""

_GREY_ROWS = 256
"""Rows that are turned grey at once: bounds the memory."""

_log = logging.getLogger(__name__)


def upscale_planes(image_hwc: Pixels, backend: Backend, options: TileOptions | None = None,
                   on_tile: OnTile = lambda done, total: None) -> Pixels:
    """Upscale grey (H, W, 1) or RGB (H, W, 3) to scale times the sides, in the same dtype; a fresh array.

    uint8, uint16, or float32 in 0..1. Equal to running the whole picture within 1/255. Only windows are
    converted to what the artefact takes: beside them there is the picture and its result. When memory
    runs out the tile is halved and the work goes on where it was; nothing of a failed tile is kept.
    """
    chosen, spec, limits = options or TileOptions(), backend.spec, backend.limits
    check_takes(image_hwc.dtype, spec)
    if limits.largest_batch is not None:
        chosen = replace(chosen, tiles_per_batch=min(chosen.tiles_per_batch, limits.largest_batch))
    padded = reflected(image_hwc, *_smallest_sides(spec, limits, *image_hwc.shape[:2]))
    height, width, channels = padded.shape
    canvas = np.empty((height * spec.scale, width * spec.scale, channels), dtype=padded.dtype)
    tile_px, finished_rows, warned = choose_tile_px(spec, limits, height, width, chosen), 0, False
    while finished_rows < height:
        tiles = planned_windows(spec, limits, height, width, tile_px, chosen)
        warned = warned or _warn_of_inexact_tiles(spec, tiles)
        try:
            for rows in _run_tiles(padded, canvas, tiles, finished_rows, backend, chosen, on_tile):
                finished_rows = rows
        except OutOfMemory:
            tile_px = min(tile_px or height + width, max(height, width)) // 2
            if tile_px < SMALLEST_TILE_PX or not is_tileable(spec):
                raise
            chosen = replace(chosen, tiles_per_batch=1)
            _log.warning("out of memory: going on with tiles of %d px", tile_px)
    return canvas[:image_hwc.shape[0] * spec.scale, :image_hwc.shape[1] * spec.scale]


def _warn_of_inexact_tiles(spec: ModelSpec, tiles: list[Tile]) -> bool:
    """Say that tiles of a network that pools the whole picture differ from it; whether it was said."""
    if len(tiles) == 1 or not spec.pools_whole_picture:
        return False
    _log.warning("%s takes statistics over the whole picture: its %d tiles differ from the whole and may show "
                 "seams; --tile none avoids it where memory allows", spec.architecture, len(tiles))
    return True


def upscale_parts(image_hwc: Pixels, backend: Backend, wanted: NDArray[np.bool_], tile_px: int,
                  options: TileOptions | None = None) -> Iterator[tuple[Tile, Pixels]]:
    """Those tiles of a picture alone that contribute to wanted pixels, mask (H, W): each with what it contributes.

    A tile's core may reach beyond a picture that is smaller than the network takes.
    """
    chosen, spec, limits = options or TileOptions(), backend.spec, backend.limits
    padded = reflected(image_hwc, *_smallest_sides(spec, limits, *image_hwc.shape[:2]))
    height, width = padded.shape[:2]
    for tile in planned_windows(spec, limits, height, width, tile_px, chosen):
        rows, cols = tile.rows, tile.cols
        if not wanted[rows.core_start:rows.core_stop, cols.core_start:cols.core_stop].any():
            continue
        geometry = geometry_of([tile], height, width) if spec.takes_geometry else None
        upscaled = backend.run(_to_run(cut(padded, [tile]), spec), geometry)[0]
        core = upscaled[(rows.core_start - rows.start) * spec.scale:(rows.core_stop - rows.start) * spec.scale,
                        (cols.core_start - cols.start) * spec.scale:(cols.core_stop - cols.start) * spec.scale]
        yield tile, _from_run(core, image_hwc.shape[2], image_hwc.dtype)


def _smallest_sides(spec: ModelSpec, limits: Limits, height: int, width: int) -> tuple[int, int]:
    """What a picture is reflected up to: the least that the network takes, and that the engine was built for."""
    least = [shapes.smallest for shapes in limits.shapes] or [(1, 1)]
    nearest = min(least, key=lambda size: max(0, size[0] - height) * width + max(0, size[1] - width) * height)
    return max(spec.min_side_px, nearest[0]), max(spec.min_side_px, nearest[1])


def _run_tiles(padded: Pixels, canvas: Pixels, tiles: list[Tile], finished_rows: int, backend: Backend,
               options: TileOptions, on_tile: OnTile) -> Iterator[int]:
    """Run what is not finished yet; yields how many LR rows of the canvas are finished."""
    spec, total = backend.spec, len(tiles)
    todo = [tile for tile in tiles if tile.rows.core_stop > finished_rows]
    done = total - len(todo)
    for batch in batches(todo, options.tiles_per_batch):
        geometry = geometry_of(batch, *padded.shape[:2]) if spec.takes_geometry else None
        upscaled = backend.run(_to_run(cut(padded, batch), spec), geometry)
        for tile, pixels in zip(batch, upscaled, strict=True):
            join(canvas, tile, _from_run(pixels, canvas.shape[2], canvas.dtype), spec.scale)
        done += len(batch)
        on_tile(done, total)
        if batch[-1].cols.core_stop == padded.shape[1]:
            yield batch[-1].rows.core_stop


def takes(dtype: np.dtype[Any], spec: ModelSpec) -> bool:
    """Whether an artefact keeps pixels of this dtype whole."""
    return dtype == np.uint8 or (
        dtype in (np.uint16, np.float32) and spec.pixel_type is PixelType.FLOAT32
        and spec.precision is Precision.FP32)


def check_takes(dtype: np.dtype[Any], spec: ModelSpec) -> None:
    """Raise UnsuitableBatch, with the remedy, for pixels that the artefact would cut or does not know."""
    if takes(dtype, spec):
        return
    if dtype not in (np.uint8, np.uint16, np.float32):
        raise UnsuitableBatch(f"Pictures are uint8, uint16 or float32, not {dtype}.",
                              remedy="Convert the array first.")
    raise UnsuitableBatch(f"This artefact takes 8 bits, and the picture has more ({dtype}).",
                          remedy="Export one that keeps them: srn-deploy export --io float32; give a checkpoint "
                                 "with --device cpu or cuda; or convert the picture to 8 bits.")


def _to_run(windows: Pixels, spec: ModelSpec) -> Pixels:
    """Windows (N, h, w, 1 or 3) as RGB in a dtype that the artefact takes."""
    rgb = np.repeat(windows, 3, axis=3) if windows.shape[3] == 1 else windows
    if rgb.dtype == np.uint16:
        return rgb.astype(np.float32) / np.float32(65535)
    if rgb.dtype == np.uint8 and spec.form is Form.DEPLOY and spec.pixel_type is PixelType.FLOAT32:
        return rgb.astype(np.float32) / np.float32(255)
    return rgb


def grey_of(rgb: Pixels) -> Pixels:
    """(H, W, 3) as grey (H, W, 1) of the same dtype, rounded where it is whole numbers."""
    grey = np.empty((*rgb.shape[:2], 1), rgb.dtype)
    for row in range(0, len(rgb), _GREY_ROWS):
        levels = rgb[row:row + _GREY_ROWS].astype(np.float32) @ GREY_OF_RGB
        grey[row:row + _GREY_ROWS, :, 0] = np.rint(levels) if np.issubdtype(rgb.dtype, np.integer) else levels
    return grey


def _from_run(rgb: Pixels, channels: int, dtype: np.dtype[Any]) -> Pixels:
    """One upscaled window (h, w, 3) in the channels and the dtype of the picture; what is no number becomes 0."""
    if channels == 1:
        rgb = grey_of(rgb)
    if rgb.dtype == dtype:
        return rgb
    levels = np.nan_to_num(np.clip(rgb, 0, 1)) * np.float32(255 if dtype == np.uint8 else 65535)
    return np.asarray(np.rint(levels), dtype)
