"""What an image takes of the memory, from its file to the file of its result, beside what the network takes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from srn_deploy.errors import OutOfMemory
from srn_deploy.image import Image
from srn_deploy.image.alpha import BAND_ROWS
from srn_deploy.image.bands.encoding import PIECE_BYTES
from srn_deploy.image.bands.reducing import MOST_THREADS
from srn_deploy.image.bands.source import KEPT_ROWS, shape_only
from srn_deploy.image.containers import Container, Unpacked
from srn_deploy.image.reduction import PART_PIXELS
from srn_deploy.inference.guard import BAND_PX, BLOCK_PX, Guard
from srn_deploy.inference.large_results import (
    is_taken_by_bands,
    is_written_by_bands,
    pixel_bytes,
    size_before_reduction,
)
from srn_deploy.inference.plan import Job
from srn_deploy.inference.repair import REACH_PX
from srn_deploy.inference.setup import Setup
from srn_deploy.system.memory import available_bytes, size_in_words
from srn_deploy.tiling.tiles import SMALLEST_TILE_PX
from srn_deploy.tiling.windows import row_of_tiles_px

DECODED_COPIES = 2
"""Of an image that is read: its pixels, and the same in the order of the codec or turned upright."""

RESULT_COPIES = 3
"""Of a result that is encoded: its pixels, the same in the order of the codec, and the file before and after its
metadata are added, which is less than the pixels."""

_BANDS_HELD = 2
"""One that is being written, and the one that is being made."""

_FLOAT_BYTES, _COLOURS = 4, 3

_GUARD_COPIES = 8
"""Of the blocks that the guard judges at once, in float: the image and the result, their means, what lies between."""

_PACK_COPIES = 32
"""Of a piece of rows while it is filtered and deflated: PNG's filter Paeth is computed in twice the bits."""

_MEAN_BYTES = 8
"""Of a value whose mean is taken; the colour of rows with alpha has one for each channel and two for alpha."""

_REDUCTION_COPIES = 5
"""Of one channel of a part while it is reduced: in float, weighted by alpha, and the results."""

_SMALLER = (512, 384, 256, 192, 128, 96, 64, SMALLEST_TILE_PX)
"""Sides of tiles that are advised where a band is too large."""


def bytes_on_the_way(unpacked: Unpacked, job: Job, setup: Setup) -> int:
    """The most memory that an image takes that is decoded whole."""
    image = _like(unpacked)
    if not is_taken_by_bands(job, image, setup):
        return bytes_held_whole(unpacked, job, setup.backend.spec.scale)
    return _bytes_decoded(unpacked, image) + bytes_by_bands(job, image, setup)


def bytes_held_whole(unpacked: Unpacked, job: Job, scale: int) -> int:
    """The same where its result is held whole, too. scale: of the model."""
    image = _like(unpacked)
    return _bytes_decoded(unpacked, image) + _bytes_whole(job, image, scale)


def _bytes_decoded(unpacked: Unpacked, image: Image) -> int:
    return len(unpacked.without_metadata) + DECODED_COPIES * pixel_bytes(image, *image.pixels.shape[:2])


def bytes_by_bands(job: Job, image: Image, setup: Setup) -> int:
    """The most memory that an image takes that is upscaled by bands, beside its own pixels where they are held whole.

    Raises TilingError where it cannot be cut into tiles.
    """
    spec, limits = setup.backend.spec, setup.backend.limits
    before = size_before_reduction(job, image, spec.scale)
    after = job.size.of(image.height, image.width, factor=spec.scale)
    rows = min(row_of_tiles_px(spec, limits, image.height, image.width, setup.tiles) + _carried_rows(setup.guard),
               image.height)
    needed = 2 * pixel_bytes(image, min(rows + KEPT_ROWS, image.height), image.width)
    if before != (image.height, image.width):
        needed += _BANDS_HELD * rows * image.width * spec.scale**2 * _bytes_per_px(image, setup.guard)
        needed += _bytes_of_guard(image, rows, setup.guard)
        needed += _bytes_of_alpha(image)
    if before != after:
        needed += min(setup.threads, MOST_THREADS) * _REDUCTION_COPIES * _FLOAT_BYTES * PART_PIXELS
    if is_written_by_bands(job):
        return needed + setup.threads * _PACK_COPIES * PIECE_BYTES
    return needed + RESULT_COPIES * pixel_bytes(image, *after)


def _bytes_whole(job: Job, image: Image, scale: int) -> int:
    """What the result takes, and what it is reduced from."""
    before = size_before_reduction(job, image, scale)
    after = job.size.of(image.height, image.width, factor=scale)
    return RESULT_COPIES * pixel_bytes(image, *after) + (pixel_bytes(image, *before) if before != after else 0)


def check_memory_for_bands(job: Job, image: Image, setup: Setup, most_bytes: int | None) -> None:
    """Raise OutOfMemory, before the network runs, where there is less memory than the bands of an image take.

    An image that would fit whole is not refused. most_bytes: what the user allows; None: what is free.
    """
    needed, free_bytes = bytes_by_bands(job, image, setup), available_bytes()
    bounds = [(most_bytes, "that images may take"), (free_bytes, "that are free")]
    bound, whose = min(((size, whose) for size, whose in bounds if size is not None), default=(None, ""))
    if bound is None or min(needed, _bytes_whole(job, image, setup.backend.spec.scale)) <= bound:
        return
    raise OutOfMemory(f"{job.source}: by bands its result takes about {size_in_words(needed)} of memory, more than the "
                      f"{size_in_words(bound)} {whose}.", remedy=_remedy(job, image, setup, bound))


def _remedy(job: Job, image: Image, setup: Setup, bound: int) -> str:
    for tile in _SMALLER:
        smaller = replace(setup, tiles=replace(setup.tiles, tile=tile))
        if (needed := bytes_by_bands(job, image, smaller)) <= bound:
            return f"Give --tile {tile}, with which it takes about {size_in_words(needed)}; or more memory."
    return "Free memory or allow more with --memory; or cut the image into parts."


def _carried_rows(guard: Guard) -> int:
    """Rows of the image above a row of tiles, whose result is held until what lies below is judged."""
    block = 2 * BLOCK_PX
    rows: dict[Guard, int] = {Guard.OFF: 0, Guard.WARN: block, Guard.REPAIR: 2 * (REACH_PX + block)}
    return rows[guard]


def _bytes_per_px(image: Image, guard: Guard) -> int:
    """Of the network's result while it is judged, which is done in colour."""
    has_colour = image.pixels.shape[2] == _COLOURS
    colour = _COLOURS if has_colour or guard is not Guard.OFF else 1
    alpha = 0 if image.alpha is None else 1 if guard is Guard.OFF else _COLOURS
    return (colour + alpha) * image.pixels.itemsize


def _bytes_of_guard(image: Image, rows: int, guard: Guard) -> int:
    judged_px = max(BAND_PX, 2 * BLOCK_PX * image.width)
    judged = 0 if guard is Guard.OFF else _GUARD_COPIES * _FLOAT_BYTES * _COLOURS * min(judged_px, rows * image.width)
    masks = _GUARD_COPIES * _FLOAT_BYTES * rows * image.width if guard is Guard.REPAIR else 0
    return judged + masks


def _bytes_of_alpha(image: Image) -> int:
    """While hidden colour is looked for and replaced."""
    if image.alpha is None:
        return 0
    channels: int = image.pixels.shape[2]
    return min(BAND_ROWS, image.height) * image.width * _MEAN_BYTES * (channels + 2)


def _like(unpacked: Unpacked) -> Image:
    """An image with the most channels and bytes that a file may have, as far as its header shows."""
    has_alpha, is_deep = unpacked.container is not Container.JPEG, False
    if unpacked.png is not None:
        bits, colour_type = unpacked.png.header[8:10]
        has_alpha = colour_type != 0 and colour_type != 2  # palettes may have it
        is_deep = bits == 16
    elif unpacked.tiff is not None:
        has_alpha, is_deep = unpacked.tiff.samples > _COLOURS, unpacked.tiff.bits == 16
    colour, alpha = shape_only(height=unpacked.height, width=unpacked.width, channels=_COLOURS, has_alpha=has_alpha,
                               dtype=np.dtype(np.uint16) if is_deep else np.dtype(np.uint8))
    return Image(pixels=colour, alpha=alpha)
