"""One RGB image on one backend, tiled so that the result equals that of the whole image."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any, NamedTuple

import numpy as np

from srn_deploy.backends.protocol import Backend
from srn_deploy.errors import OutOfMemory, UnsuitableBatch
from srn_deploy.spec import Form, ModelSpec, PixelType, Precision
from srn_deploy.tiling.rows import RowReader, Rows
from srn_deploy.tiling.shapes import Limits
from srn_deploy.tiling.tiles import (
    SMALLEST_TILE_PX,
    PixelArray,
    Tile,
    batches,
    geometry_of,
    join,
    reflected,
    rounded_up,
)
from srn_deploy.tiling.windows import (
    ImageBatching,
    TileOptions,
    choose_tile_px,
    is_tileable,
    planned_windows,
    whole_images_at_once,
)

OnTile = Callable[[int, int], None]
"""Called with (tiles done, total tiles)."""

_log = logging.getLogger(__name__)

Finish = Callable[[PixelArray], PixelArray]
"""Takes an upscaled window (h, w, 3) and returns what is kept of it, (h, w, C); the window may be changed."""

PlaceWindow = Callable[[int, int], PixelArray]
"""Takes (start, stop), rows of an image that follow those it was asked for before, and returns the array for their
result: (scale * (stop - start), scale * W, C)."""


def no_progress(done: int, total: int) -> None:
    """The OnTile of those who do not watch."""


def all_channels(window_hwc: PixelArray) -> PixelArray:
    """The Finish that keeps a window as it is."""
    return window_hwc


class Destination(NamedTuple):
    """Where upscaled windows go."""

    place: PlaceWindow
    finish: Finish = all_channels
    first: int = 0
    """The first row of the image that is wanted; rows of tiles that end above it are not run."""


def upscale_rgb(image_hwc: PixelArray, backend: Backend, options: TileOptions | None = None,
                on_tile: OnTile = no_progress, finish: Finish = all_channels) -> PixelArray:
    """Upscale RGB (H, W, 3) to (scale*H, scale*W, C) of the same dtype; a fresh array.

    uint8 in 0..255, uint16 in 0..65535 or float32 in 0..1. C is 3, or what finish leaves of each window. Tiled, the
    result is within 1/255 of that of the whole image. Only windows are converted to what the model takes, so memory
    holds the image, its result and one batch. When memory runs out, the tile is halved and the work continues where
    it was; nothing of a failed tile is kept. Raises UnsuitableBatch, TilingError, and OutOfMemory when the smallest
    tile does not fit.
    """
    tiling = _tiling_of(_padded(Rows(image_hwc), backend), backend, options or TileOptions())
    if tiling.is_whole:
        try:
            (upscaled,) = _at_once([tiling.image], tiling.tiles, backend, finish)
        except OutOfMemory as error:
            tiling = tiling.smaller(error)
        else:
            on_tile(1, 1)
            height, width = (side * backend.spec.scale for side in image_hwc.shape[:2])
            return upscaled[:height, :width]
    scale, channels = backend.spec.scale, finish(tiling.image.between(0, 1)[:, :1]).shape[2]
    height, width = tiling.image.shape[:2]
    canvas = np.empty((height * scale, width * scale, channels), dtype=tiling.image.dtype)

    def place(start: int, stop: int) -> PixelArray:
        return canvas[start * scale:stop * scale]

    deque(_tiled_rows(tiling, on_tile, Destination(place, finish)), maxlen=0)
    return canvas[:image_hwc.shape[0] * scale, :image_hwc.shape[1] * scale]


def upscale_rows(image: RowReader, backend: Backend, options: TileOptions | None, on_tile: OnTile,
                 to: Destination) -> Iterator[int]:
    """Upscale an image row of tiles by row of tiles, and yield the row above which they are finished each time.

    image: at least as large as `fits` asks for. The arrays that `to` gives are filled as `upscale_rgb` says, from the
    row of tiles on that holds the first wanted row; rows that were finished are not touched again.
    """
    return _tiled_rows(_tiling_of(image, backend, options or TileOptions()), on_tile, to)


@dataclass(frozen=True, kw_only=True)
class _Tiling:
    """An image and the tiles that it is run in."""

    image: RowReader
    """At least as large as `fits` asks for."""
    backend: Backend
    options: TileOptions
    tile_px: int | None
    """The most that a tile contributes a side; None: the whole image."""
    tiles: list[Tile]

    @property
    def is_whole(self) -> bool:
        """Whether nothing is to be joined."""
        return len(self.tiles) == 1

    def smaller(self, error: OutOfMemory) -> _Tiling:
        """In tiles of half the side, one by one, as memory ran out; raises the error where they are too small."""
        spec, (height, width) = self.backend.spec, self.image.shape[:2]
        tile_px = min(self.tile_px or height + width, max(height, width)) // 2
        if tile_px < SMALLEST_TILE_PX or not is_tileable(spec):
            raise error
        _log.warning("Memory ran out: continuing with tiles of %d px.", tile_px)
        options = replace(self.options, tiles_per_batch=1)
        return replace(self, options=options, tile_px=tile_px,
                       tiles=planned_windows(spec, self.backend.limits, height, width, tile_px, options))


def _tiling_of(image: RowReader, backend: Backend, options: TileOptions) -> _Tiling:
    """The tiles of an image by its options; raises UnsuitableBatch for its dtype, and TilingError."""
    spec, limits, (height, width) = backend.spec, backend.limits, image.shape[:2]
    check_takes(image.dtype, spec)
    if limits.largest_batch is not None:
        options = replace(options, tiles_per_batch=min(options.tiles_per_batch, limits.largest_batch))
    tile_px = choose_tile_px(spec, limits, height, width, options)
    tiles = planned_windows(spec, limits, height, width, tile_px, options)
    return _Tiling(image=image, backend=backend, options=options, tile_px=tile_px, tiles=tiles)


def _tiled_rows(tiling: _Tiling, on_tile: OnTile, to: Destination) -> Iterator[int]:
    """As `upscale_rows`."""
    image, backend, warned = tiling.image, tiling.backend, False
    finished = max(tile.rows.core_start for tile in tiling.tiles if tile.rows.core_start <= to.first)
    while finished < image.shape[0]:
        warned = warned or _warn_of_inexact_tiles(backend.spec, tiling.tiles)
        todo = [tile for tile in tiling.tiles if tile.rows.core_stop > finished]
        done, total = len(tiling.tiles) - len(todo), len(tiling.tiles)
        try:
            for bottom, row in groupby(todo, key=lambda tile: tile.rows.core_stop):
                canvas = to.place(finished, bottom)
                for batch in batches(list(row), tiling.options.tiles_per_batch):
                    for tile, window in zip(batch, _run([image] * len(batch), batch, backend), strict=True):
                        upscaled = to.finish(_converted_back(window, image.dtype))
                        join(canvas, tile, upscaled, backend.spec.scale, top=finished)
                    done += len(batch)
                    on_tile(done, total)
                finished = bottom
                del canvas
                yield finished
        except OutOfMemory as error:
            tiling = tiling.smaller(error)


def images_at_once(height: int, width: int, backend: Backend, options: TileOptions, batching: ImageBatching) -> int:
    """How many RGB images of a size `upscale_alike` may be given; 1: they are upscaled one by one."""
    if batching.images < 2 or (batching.largest_px is not None and height * width > batching.largest_px):
        return 1
    spec, limits = backend.spec, backend.limits
    sides = _smallest_sides(spec, limits, height, width)
    return min(batching.images, whole_images_at_once(spec, limits, *sides, options))


def upscale_alike(images_hwc: Sequence[PixelArray], backend: Backend, options: TileOptions | None = None,
                  finish: Finish = all_channels) -> list[PixelArray]:
    """Upscale RGB images of one shape and dtype in one batch, each as a single window.

    Each result is what `upscale_rgb` gives, as far as the backend computes the same for a batch. images_hwc: no more
    than `images_at_once`. Raises UnsuitableBatch, OutOfMemory and other errors of the backend, with nothing done.
    """
    padded = [_padded(Rows(image), backend) for image in images_hwc]
    tiles = _tiling_of(padded[0], backend, options or TileOptions()).tiles
    height, width = (side * backend.spec.scale for side in images_hwc[0].shape[:2])
    kept = [window[:height, :width] for window in _at_once(padded, tiles, backend, finish)]
    return [window.copy() for window in kept] if len(kept) > 1 else kept  # or one would keep the whole batch


def _at_once(images: Sequence[RowReader], tiles: Sequence[Tile], backend: Backend, finish: Finish) -> list[PixelArray]:
    """What is kept of each image, run in one batch. tiles: the single window of their size."""
    windows = _run(images, [*tiles] * len(images), backend)
    return [finish(_converted_back(window, images[0].dtype)) for window in windows]


def fits(height: int, width: int, backend: Backend) -> bool:
    """Whether an image is at least as large as the network and its engine take, so that nothing is reflected."""
    return _smallest_sides(backend.spec, backend.limits, height, width) == (height, width)


def _padded(image: RowReader, backend: Backend) -> RowReader:
    """The image, reflected where it is smaller than the network and its engine take."""
    height, width = image.shape[:2]
    if fits(height, width, backend):
        return image
    return Rows(reflected(image.between(0, height),
                          *_smallest_sides(backend.spec, backend.limits, height, width)))


def upscale_parts(image: RowReader, backend: Backend, wanted: Rows, tile_px: int,
                  options: TileOptions | None = None) -> Iterator[tuple[Tile, PixelArray]]:
    """Run only the tiles of an RGB image that contribute to wanted pixels; yield each with what it contributes.

    wanted: mask (rows, W, 1) of input pixels; what is not in it is not wanted. A tile's core may reach beyond an image
    that is smaller than the network takes.
    """
    chosen, spec, limits = options or TileOptions(), backend.spec, backend.limits
    padded = _padded(image, backend)
    for tile in planned_windows(spec, limits, *padded.shape[:2], tile_px, chosen):
        rows, cols = tile.rows, tile.cols
        if not wanted.between(rows.core_start, rows.core_stop)[:, cols.core_start:cols.core_stop].any():
            continue
        upscaled = _run([padded], [tile], backend)[0]
        core = upscaled[(rows.core_start - rows.start) * spec.scale:(rows.core_stop - rows.start) * spec.scale,
                        (cols.core_start - cols.start) * spec.scale:(cols.core_stop - cols.start) * spec.scale]
        yield tile, _converted_back(core, image.dtype)


def takes(dtype: np.dtype[Any], spec: ModelSpec) -> bool:
    """Whether a model runs pixels of this dtype without loss of precision."""
    return dtype == np.uint8 or (
        dtype in (np.uint16, np.float32) and spec.pixel_type is PixelType.FLOAT32
        and spec.precision is Precision.FP32)


def check_takes(dtype: np.dtype[Any], spec: ModelSpec) -> None:
    """Raise UnsuitableBatch, with the remedy, for a dtype that the model would reduce to 8 bits or cannot run."""
    if takes(dtype, spec):
        return
    check_is_known(dtype)
    raise UnsuitableBatch(f"This model takes 8 bits, and the image has more ({dtype}).",
                          remedy="Export one that keeps them: srn-deploy export --io float32; give a checkpoint "
                                 "with --device cpu or cuda; or convert the image to 8 bits.")


def check_is_known(dtype: np.dtype[Any]) -> None:
    """Raise UnsuitableBatch for a dtype that no image has."""
    if dtype not in (np.uint8, np.uint16, np.float32):
        raise UnsuitableBatch(f"Images are uint8, uint16 or float32, not {dtype}.",
                              remedy="Convert the array first.")


def _warn_of_inexact_tiles(spec: ModelSpec, tiles: list[Tile]) -> bool:
    """Warn where tiles of a network that pools the whole image differ from it; returns whether it warned."""
    if len(tiles) == 1 or not spec.pools_whole_picture:
        return False
    _log.warning("%s looks at the whole image, or in a way that no tile repeats: its %d tiles differ from the whole "
                 "and may show seams; --tile none avoids it where memory allows.", spec.architecture, len(tiles))
    return True


def _smallest_sides(spec: ModelSpec, limits: Limits, height: int, width: int) -> tuple[int, int]:
    """The (height, width) that an image is padded to by reflection: what the network and its engine take at least."""
    least = [shapes.smallest for shapes in limits.shapes] or [(1, 1)]
    nearest = min(least, key=lambda size: max(0, size[0] - height) * width + max(0, size[1] - width) * height)
    sides = max(spec.min_side_px, nearest[0], height), max(spec.min_side_px, nearest[1], width)
    return rounded_up(sides[0], spec.size_multiple_px), rounded_up(sides[1], spec.size_multiple_px)


def _run(images: Sequence[RowReader], batch: Sequence[Tile], backend: Backend) -> PixelArray:
    """The upscaled windows (N, scale*h, scale*w, 3), one of each image, in the dtype of the model."""
    sides, grids = images[0].shape[:2], backend.spec.grids
    geometry = geometry_of(batch, *sides, grids=grids) if backend.spec.takes_geometry else None
    windows = np.stack([image.between(tile.rows.start, tile.rows.stop)[:, tile.cols.start:tile.cols.stop]
                        for image, tile in zip(images, batch, strict=True)])
    return backend.run(_converted(windows, backend.spec), geometry)


def _converted(windows: PixelArray, spec: ModelSpec) -> PixelArray:
    """Windows (N, h, w, 3) in a dtype that the model takes."""
    if windows.dtype == np.uint16:
        return windows.astype(np.float32) / np.float32(65535)
    if windows.dtype == np.uint8 and spec.form is Form.DEPLOY and spec.pixel_type is PixelType.FLOAT32:
        return windows.astype(np.float32) / np.float32(255)
    return windows


def _converted_back(rgb: PixelArray, dtype: np.dtype[Any]) -> PixelArray:
    """One upscaled window (h, w, 3) in the dtype of the image; NaN becomes 0."""
    if rgb.dtype == dtype:
        return rgb
    levels = np.nan_to_num(np.clip(rgb, 0, 1)) * np.float32(255 if dtype == np.uint8 else 65535)
    return np.asarray(np.rint(levels), dtype)
