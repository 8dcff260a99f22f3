"""Images whose results are large: upscaled and written by bands of rows, so that memory does not grow with them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import NamedTuple

import numpy as np

from srn_deploy.errors import OutOfMemory
from srn_deploy.image import MAX_MEGAPIXELS, Image, container_of
from srn_deploy.image.bands.files import row_file
from srn_deploy.image.bands.source import RowSource, WholeImage, shape_only
from srn_deploy.image.bands.writing import ENCODERS, writing_bands
from srn_deploy.image.effort import Effort
from srn_deploy.image.writing import losses
from srn_deploy.inference.guarded_rows import Total, guarded_rows
from srn_deploy.inference.large_results import check_memory, is_large, result_bytes
from srn_deploy.inference.plan import Job
from srn_deploy.inference.setup import Setup
from srn_deploy.inference.sizing import needs_network
from srn_deploy.inference.source_rows import AlphaRows, ColourRows, plain_alpha, visible_colour
from srn_deploy.inference.stages import Sentences
from srn_deploy.inference.upscale import fits
from srn_deploy.tiling.rows import Rows
from srn_deploy.tiling.tiles import PixelArray

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class LargeImage:
    """An image whose result is written by bands."""

    job: Job
    header: Image
    """Its metadata, its remarks, and the shape of its pixels."""
    open_rows: Callable[[], RowSource]
    """Opens the pixels, which the caller closes."""


def large_file(job: Job, setup: Setup, *, max_megapixels: float = MAX_MEGAPIXELS) -> LargeImage | None:
    """The image of a file that can be read by rows, to be written by bands; None for others, and for small results.

    Raises the errors of `read_image`, but for damage of pixels, which is found when they are decoded.
    """
    scale = setup.backend.spec.scale

    def is_wanted(height: int, width: int) -> bool:
        return is_large(3 * height * width * scale**2) and fits(height, width, setup.backend)

    if container_of(job.target) not in ENCODERS:
        return None
    found = row_file(job.source, is_wanted, max_megapixels=max_megapixels)
    if found is None or _is_reduced(job, found.header, scale):
        return None
    return LargeImage(job=job, header=found.header, open_rows=found.open)


def _is_reduced(job: Job, image: Image, scale: int) -> bool:
    """Whether the result is not of the size that the network gives."""
    return job.size.of(image.height, image.width, factor=scale) != (image.height * scale, image.width * scale)


def large_image(job: Job, image: Image, setup: Setup) -> LargeImage | None:
    """The same image, to be written by bands; None where its result is small, reduced, or cannot be written so.

    Raises OutOfMemory where it can be written neither by bands nor whole.
    """
    scale = setup.backend.spec.scale
    if not is_large(result_bytes(image, scale)) or not fits(image.height, image.width, setup.backend):
        return None
    if _is_reduced(job, image, scale) or container_of(job.target) not in ENCODERS:
        if needs_network(job.size, image.height, image.width, factor=scale):
            check_memory(job, image, scale)
        return None
    return LargeImage(job=job, header=image, open_rows=partial(WholeImage, image))


def upscale_by_bands(large: LargeImage, setup: Setup, effort: Effort = Effort.NORMAL) -> tuple[Sentences, Sentences]:
    """Upscale a large image and write it, completely or not at all; returns what it loses and what the guard found.

    Every pixel and all metadata are as if it had been upscaled and written whole. Raises UnwritableImage,
    UnreadableImage where the source changes meanwhile, OutOfMemory and other errors of the backend.
    """
    job, scale = large.job, setup.backend.spec.scale
    header = large.header
    result = header.enlarged(*shape_only(
        height=header.height * scale, width=header.width * scale, channels=header.pixels.shape[2],
        dtype=header.pixels.dtype, has_alpha=header.alpha is not None))
    _log.info("%s: the result, %d x %d px (%.1f GB), is written by bands.", job.source, result.width, result.height,
              result_bytes(header, scale) / 1e9)
    found = {"image": Total(), "transparency": Total()}
    source = large.open_rows()
    try:
        with writing_bands(job.target, result, setup.threads, effort) as writer:
            for colour, alpha in _upscaled(source, setup, found):
                writer.write(colour, alpha)
                del colour, alpha
    except MemoryError as error:
        raise OutOfMemory(f"There is not enough memory for a band of {job.source}.",
                          remedy="Free memory, or give a smaller --tile: a band is as high as a tile.") from error
    finally:
        source.close()
    return (header.remarks + losses(job.target, result),
            tuple(filter(None, (total.findings.sentence(what) for what, total in found.items()))))


class _Band(NamedTuple):
    colour: PixelArray
    alpha: PixelArray | None


def _upscaled(source: RowSource, setup: Setup, found: dict[str, Total]) -> Iterator[_Band]:
    """The result from top to bottom; see `upscale_colour_and_alpha` for what becomes of hidden colour and alpha."""
    scale, width = setup.backend.spec.scale, source.header.width
    plain = plain_alpha(source)
    colours = ColourRows(source, None if source.header.alpha is None or plain is not None else visible_colour(source))
    if source.header.alpha is None:
        for rows in guarded_rows(colours, setup, found["image"]):
            yield _Band(rows.pixels, None)
            del rows
    elif plain is not None:
        for rows in guarded_rows(colours, setup, found["image"]):
            yield _Band(rows.pixels, np.full((len(rows.pixels), width * scale, 1), plain, rows.dtype))
            del rows
    else:
        alphas, both = AlphaRows(source), _progress_of_two(setup)
        for colour, alpha in _paired(guarded_rows(colours, both[0], found["image"]),
                                     guarded_rows(alphas, both[1], found["transparency"])):
            alphas.flatten(alpha, scale)
            yield _Band(colour.pixels, alpha.pixels)
            del colour, alpha


def _paired(first: Iterator[Rows], second: Iterator[Rows]) -> Iterator[tuple[Rows, Rows]]:
    """Bands of two images of one height, cut so that both have the same rows."""
    one, other = next(first), next(second)
    while True:
        top, bottom = max(one.top, other.top), min(one.bottom, other.bottom)
        yield Rows(one.between(top, bottom), top), Rows(other.between(top, bottom), top)
        if one.bottom == other.bottom:
            one, other = next(first, _END), next(second, _END)
            if one is _END:
                return
        elif one.bottom < other.bottom:
            one = next(first)
        else:
            other = next(second)


_END = Rows(np.empty((0, 0, 0), np.uint8))


def _progress_of_two(setup: Setup) -> tuple[Setup, Setup]:
    """Setups for colour and alpha that report their tiles together."""
    done = [0, 0]

    def reporting(which: int) -> Setup:
        def on_tile(now: int, total: int) -> None:
            done[which] = now
            setup.on_tile(sum(done), 2 * total)

        return replace(setup, on_tile=on_tile)

    return reporting(0), reporting(1)
