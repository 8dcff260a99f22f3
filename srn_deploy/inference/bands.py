"""Large images: upscaled, reduced and written by bands of rows, so that memory does not grow with them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from srn_deploy.errors import OutOfMemory
from srn_deploy.image import MAX_MEGAPIXELS, Image
from srn_deploy.image.bands.files import row_file
from srn_deploy.image.bands.reducing import reduced_rows
from srn_deploy.image.bands.source import ColourAndAlpha, RowSource, WholeImage, shape_only
from srn_deploy.image.bands.writing import writing_bands
from srn_deploy.image.effort import Effort
from srn_deploy.image.writing import losses
from srn_deploy.inference.guarded_rows import Total, WantedRows, guarded_rows
from srn_deploy.inference.large_results import (
    is_large,
    is_taken_by_bands,
    is_written_by_bands,
    pixel_bytes,
    size_before_reduction,
)
from srn_deploy.inference.plan import Job
from srn_deploy.inference.repair import GuardFindings
from srn_deploy.inference.setup import Setup
from srn_deploy.inference.sizing import Upscaled
from srn_deploy.inference.source_rows import AlphaRows, ColourRows, Transparency, bands_of, transparency_of
from srn_deploy.inference.stages import Sentences
from srn_deploy.inference.upscale import fits
from srn_deploy.tiling.rows import Rows

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class LargeImage:
    """An image that is upscaled by bands."""

    job: Job
    header: Image
    """Its metadata, its remarks, and the shape of its pixels."""
    open_rows: Callable[[], RowSource]
    """Opens the pixels, which the caller closes."""

    @property
    def is_written_by_bands(self) -> bool:
        """Whether the result is; otherwise it is held whole, and what it is reduced from is not."""
        return is_written_by_bands(self.job)


def large_file(job: Job, setup: Setup, *, max_megapixels: float = MAX_MEGAPIXELS) -> LargeImage | None:
    """The image of a file that can be read by rows, to be taken by bands; None for others, and for small results.

    Raises the errors of `read_image`, but for damage of pixels, which is found when they are decoded, and those of
    `is_taken_by_bands`.
    """
    scale = setup.backend.spec.scale

    def is_wanted(height: int, width: int) -> bool:
        return is_large(3 * height * width * scale**2) and fits(height, width, setup.backend)

    if job.size.is_free and not is_written_by_bands(job):
        return None
    found = row_file(job.source, is_wanted, max_megapixels=max_megapixels)
    if found is None or not is_taken_by_bands(job, found.header, setup):
        return None
    return LargeImage(job=job, header=found.header, open_rows=found.open)


def large_image(job: Job, image: Image, setup: Setup) -> LargeImage | None:
    """The same image, to be taken by bands; None where that is not to be. Raises the errors of `is_taken_by_bands`."""
    if not is_taken_by_bands(job, image, setup):
        return None
    return LargeImage(job=job, header=image, open_rows=partial(WholeImage, image))


def upscale_by_bands(large: LargeImage, setup: Setup, effort: Effort = Effort.NORMAL) -> tuple[Sentences, Sentences]:
    """Upscale a large image and write it, completely or not at all; returns what it loses and what the guard found.

    Every pixel and all metadata are as if it had been upscaled, reduced and written whole. Raises UnwritableImage,
    UnreadableImage where the source changes meanwhile, OutOfMemory and other errors of the backend.
    """
    job, header = large.job, large.header
    result = result_like(header, *_size_of_result(large, setup))
    _log.info("%s: the result, %d x %d px (%.1f GB), is written by bands.", job.source, result.width, result.height,
              pixel_bytes(header, result.height, result.width) / 1e9)
    found = Totals()
    with (_rows_of_result(large, setup, found) as rows,
          writing_bands(job.target, result, setup.threads, effort) as writer):
        for colour, alpha in rows:
            writer.write(colour, alpha)
            del colour, alpha
    return header.remarks + losses(job.target, result), found.sentences()


def result_like(header: Image, height: int, width: int) -> Image:
    """The result of an image, with its metadata; of its pixels only the shape means something."""
    return header.enlarged(*shape_only(height=height, width=width, channels=header.pixels.shape[2],
                                       dtype=header.pixels.dtype, has_alpha=header.alpha is not None))


def reduce_by_bands(large: LargeImage, setup: Setup) -> tuple[Upscaled, Sentences]:
    """A large image whose result is held whole, in its size; and what the guard found.

    What it is reduced from is held by bands alone. The pixels are those of `upscaled`; raises what `upscale_by_bands`
    does.
    """
    header, found = large.header, Totals()
    height, width = _size_of_result(large, setup)
    _log.info("%s: %d x %d px are reduced to %d x %d px by bands.", large.job.source,
              *size_before_reduction(large.job, header, setup.backend.spec.scale)[::-1], width, height)
    colour = np.empty((height, width, header.pixels.shape[2]), header.pixels.dtype)
    alpha = None if header.alpha is None else np.empty((height, width, 1), header.pixels.dtype)
    top = 0
    with _rows_of_result(large, setup, found) as rows:
        for band in rows:
            bottom = top + len(band.colour)
            colour[top:bottom] = band.colour
            if alpha is not None:
                alpha[top:bottom] = band.alpha
            top = bottom
            del band
    return Upscaled(original=header, colour=colour, alpha=alpha, height=height, width=width), found.sentences()


def _size_of_result(large: LargeImage, setup: Setup) -> tuple[int, int]:
    return large.job.size.of(large.header.height, large.header.width, factor=setup.backend.spec.scale)


class Totals:
    """What the guard finds in colour and in alpha."""

    def __init__(self) -> None:
        self.totals = {"image": Total(), "transparency": Total()}

    def findings(self) -> dict[str, GuardFindings]:
        """So far."""
        return {what: total.findings for what, total in self.totals.items()}

    def sentences(self) -> Sentences:
        return tuple(filter(None, (total.findings.sentence(what) for what, total in self.totals.items())))


@contextmanager
def _rows_of_result(large: LargeImage, setup: Setup, found: Totals) -> Iterator[Iterator[ColourAndAlpha]]:
    """The result from top to bottom, in its size."""
    header, scale = large.header, setup.backend.spec.scale
    before = size_before_reduction(large.job, header, scale)
    try:
        with closing(large.open_rows()) as source:
            is_source = before == (header.height, header.width)
            rows = bands_of(source) if is_source else upscaled_rows(source, setup, found, transparency_of(source))
            with closing(reduced_rows(rows, before, _size_of_result(large, setup), setup.threads)) as reduced:
                yield reduced
    except MemoryError as error:
        raise OutOfMemory(f"There is not enough memory for a band of {large.job.source}.",
                          remedy="Free memory, or give a smaller --tile: a band is as high as a tile.") from error


def upscaled_rows(source: RowSource, setup: Setup, found: Totals, transparency: Transparency,
                  wanted: WantedRows | None = None) -> Iterator[ColourAndAlpha]:
    """The result from top to bottom; see `upscale_colour_and_alpha` for what becomes of hidden colour and alpha.

    wanted: which rows; None for all.
    """
    scale, width, plain = setup.backend.spec.scale, source.header.width, transparency.plain
    colours, totals = ColourRows(source, transparency.visible), found.totals
    if source.header.alpha is None:
        for rows in guarded_rows(colours, setup, totals["image"], wanted):
            yield ColourAndAlpha(rows.pixels, None)
            del rows
    elif plain is not None:
        for rows in guarded_rows(colours, setup, totals["image"], wanted):
            yield ColourAndAlpha(rows.pixels, np.full((len(rows.pixels), width * scale, 1), plain, rows.dtype))
            del rows
    else:
        alphas, both = AlphaRows(source), _progress_of_two(setup)
        for colour, alpha in _paired(guarded_rows(colours, both[0], totals["image"], wanted),
                                     guarded_rows(alphas, both[1], totals["transparency"], wanted)):
            alphas.flatten(alpha, scale)
            yield ColourAndAlpha(colour.pixels, alpha.pixels)
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
