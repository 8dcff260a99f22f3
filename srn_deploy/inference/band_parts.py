"""One large image made by several processes: each makes bands of rows, as they are in the whole, and one joins them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from srn_deploy.errors import OutOfMemory, UnsuitableBatch, UnwritableImage
from srn_deploy.image import MAX_MEGAPIXELS, Effort, Image
from srn_deploy.image.bands.encoding import Encoder
from srn_deploy.image.bands.files import row_file
from srn_deploy.image.bands.parts import damaged_part, note_in
from srn_deploy.image.bands.source import ColourAndAlpha, RowSource, shape_only
from srn_deploy.image.bands.writing import BandWriter, encoder_for, join_parts, writing_part
from srn_deploy.image.reading import open_image
from srn_deploy.image.writing import losses
from srn_deploy.inference.bands import LargeImage, Totals, large_file, large_image, result_like, upscaled_rows
from srn_deploy.inference.file_results import times_kept
from srn_deploy.inference.guard import block_edges
from srn_deploy.inference.guarded_rows import WantedRows
from srn_deploy.inference.jobs import check_source, decode_checked
from srn_deploy.inference.large_results import is_written_by_bands
from srn_deploy.inference.memory_needs import check_memory_for_bands
from srn_deploy.inference.plan import Job
from srn_deploy.inference.repair import GuardFindings
from srn_deploy.inference.setup import Setup
from srn_deploy.inference.source_rows import Transparency, transparency_of
from srn_deploy.inference.stages import Sentences
from srn_deploy.system.atomic import sweep
from srn_deploy.system.documents import decode_json, to_builtins
from srn_deploy.system.folders import make_folder
from srn_deploy.tiling.windows import choose_tile_px, planned_windows

BAND_PIXELS = 16_000_000
"""Of the input in a band, at least: at its lower edge a band runs a row of tiles that the next one runs, too, and that
is then a small part of it."""


@dataclass(frozen=True, kw_only=True)
class BandPart:
    """One of the bands that an image is divided into, counted from 1 at the top."""

    number: int
    count: int

    @property
    def name(self) -> str:
        """Sorts as the bands lie."""
        return f"{self.number:05}-of-{self.count:05}"

    @classmethod
    def named(cls, name: str) -> BandPart:
        """From its name."""
        number, _, count = name.partition("-of-")
        return cls(number=int(number), count=int(count))


@dataclass(frozen=True, kw_only=True)
class BandNote:
    """What a finished band says besides its pixels."""

    height: int
    width: int
    """Both of the whole result."""
    found: Mapping[str, GuardFindings]


@dataclass(frozen=True, kw_only=True)
class _Rows:
    """Which rows a band makes."""

    wanted: WantedRows
    start: int
    """The first row that is written, of the result."""
    stop: int


def bands_in(job: Job, height: int, width: int) -> list[BandPart]:
    """The bands of an image of a size; none where it is not to be divided, or its result cannot be joined."""
    if not job.size.is_free or not is_written_by_bands(job):
        return []
    count = min(height * width // BAND_PIXELS, height)
    return [BandPart(number=number + 1, count=count) for number in range(count)] if count > 1 else []


def band_path(job: Job, part: BandPart) -> Path:
    """Where a finished band waits, in a hidden folder beside the result."""
    return job.target.with_name(f".{job.target.name}.bands") / f"{part.name}.band"


@contextmanager
def held_bands(job: Job) -> Iterator[None]:
    """The folder of a result's bands, for the block; finished bands that nobody has joined stay in it.

    Raises UnwritableImage where it cannot be made.
    """
    folder = band_path(job, BandPart(number=1, count=1)).parent
    try:
        make_folder(folder)
    except OSError as error:
        raise UnwritableImage(f"{folder} cannot be made: {error.strerror}.",
                              remedy="Check the folder of the result, its permissions and the free space.") from error
    sweep(folder)
    try:
        yield
    finally:
        with suppress(OSError):
            folder.rmdir()


class BandMaker:
    """Makes bands of one image. most_bytes: what it may take of the memory; None: what is free.

    Raises the errors of an image that is upscaled whole: UnreadableImage, UnwritableImage, OutOfMemory and others.
    """

    def __init__(self, job: Job, setup: Setup, effort: Effort, *, max_megapixels: float = MAX_MEGAPIXELS,
                 most_bytes: int | None = None) -> None:
        self._job, self._setup = job, setup
        self._large = _opened(job, setup, max_megapixels)
        check_memory_for_bands(job, self._large.header, setup, most_bytes)
        header, scale = self._large.header, setup.backend.spec.scale
        self._result = result_like(header, header.height * scale, header.width * scale)
        self._encoder = encoder_for(job.target, self._result, effort)
        self._transparency: Transparency | None = None

    def make(self, part: BandPart) -> None:
        """Upscale a band and write it, whole or not at all."""
        try:
            with closing(self._large.open_rows()) as source:
                if self._transparency is None:
                    self._transparency = transparency_of(source)
                self._write(part, source, self._transparency)
        except MemoryError as error:
            raise OutOfMemory(f"There is not enough memory for a band of {self._job.source}.",
                              remedy="Free memory, or give a smaller --tile: a band is as high as a tile.") from error

    def _write(self, part: BandPart, source: RowSource, transparency: Transparency) -> None:
        found, rows = Totals(), rows_of(part, self._result, self._large.header, self._setup, self._encoder)
        with writing_part(band_path(self._job, part), self._encoder, self._setup.threads) as (writer, file):
            if rows is not None:
                top = rows.wanted.start * self._setup.backend.spec.scale
                for band in upscaled_rows(source, self._setup, found, transparency, rows.wanted):
                    _write_rows(writer, band, top, rows)
                    top += len(band.colour)
                    del band
            note = BandNote(height=self._result.height, width=self._result.width, found=found.findings())
            file.note = json.dumps(to_builtins(note))


def rows_of(part: BandPart, result: Image, header: Image, setup: Setup, encoder: Encoder) -> _Rows | None:
    """The rows of a band: whole rows of tiles, from the first piece of the file that begins within them to the one
    that begins behind them; None where there are more bands than rows of tiles and this one has none.

    A piece is compressed with the row above it, which then is in the same band. The last piece of a band reaches into
    the next row of tiles, as does the last block that the guard judges.
    """
    backend, tiles = setup.backend_for(header.pixels.dtype), setup.tiles
    spec, limits, height, width = backend.spec, backend.limits, header.height, header.width
    tile_px = choose_tile_px(spec, limits, height, width, tiles)
    tops = sorted({tile.rows.core_start for tile in planned_windows(spec, limits, height, width, tile_px, tiles)})
    first, last = (number * len(tops) // part.count for number in (part.number - 1, part.number))
    if first == last:
        return None
    top, bottom = tops[first], tops[last] if last < len(tops) else height
    start = _piece_behind(top * spec.scale, encoder.piece_rows, result.height)
    stop = result.height if bottom == height else _piece_behind(bottom * spec.scale, encoder.piece_rows, result.height)
    edges = block_edges(height)
    counted = int(edges[np.searchsorted(edges, top)]), int(edges[np.searchsorted(edges, bottom)])
    if start == stop:  # all of it is in pieces of other bands
        return _Rows(wanted=WantedRows(*counted, counted), start=stop, stop=stop) if counted[0] < counted[1] else None
    above = max(start - 1, 0)
    wanted = WantedRows(min(above // spec.scale, counted[0]), max(-(-stop // spec.scale), counted[1]), counted)
    return _Rows(wanted=wanted, start=start, stop=stop)


def _piece_behind(row: int, piece_rows: int, height: int) -> int:
    """Where the first piece begins that has a row above it at or behind `row`; 0 for the first row."""
    return min((row // piece_rows + 1) * piece_rows, height) if row else 0


def _write_rows(writer: BandWriter, band: ColourAndAlpha, top: int, rows: _Rows) -> None:
    """Write those of the rows from `top` on that are this band's."""
    above = rows.start - 1 - top
    if 0 <= above < len(band.colour):
        writer.begin_below(_cut(band, above, above + 1))
    first, last = max(rows.start - top, 0), rows.stop - top
    if first < min(last, len(band.colour)):
        own = _cut(band, first, last)
        writer.write(own.colour, own.alpha)


def _cut(band: ColourAndAlpha, first: int, last: int) -> ColourAndAlpha:
    return ColourAndAlpha(band.colour[first:last], None if band.alpha is None else band.alpha[first:last])


def join_bands(job: Job, parts: Sequence[BandPart], effort: Effort, *,
               max_megapixels: float = MAX_MEGAPIXELS) -> tuple[Sentences, Sentences]:
    """Write the result from its finished bands; returns what it loses and what the guard found.

    The file is that which `upscale_by_bands` writes. Raises UnwritableImage where a band is missing or damaged.
    """
    paths, found = [band_path(job, part) for part in parts], Totals()
    notes = list(map(_note_in, paths))
    for note in notes:
        for what, findings in note.found.items():
            found.totals[what].add(findings)
    header = _header(job, max_megapixels)
    result = result_like(header, notes[0].height, notes[0].width)
    join_parts(job.target, result, paths, effort)
    return header.remarks + losses(job.target, result) + times_kept(job), found.sentences()


def clear_bands(job: Job) -> None:
    """Remove the bands of a result, after they were joined; those of an earlier source, too."""
    for path in band_path(job, BandPart(number=1, count=1)).parent.glob("*.band"):
        with suppress(OSError):
            path.unlink()


def _note_in(path: Path) -> BandNote:
    return decode_json(note_in(path), BandNote, lambda reason: damaged_part(path, reason))


def _opened(job: Job, setup: Setup, max_megapixels: float) -> LargeImage:
    large = None
    if job.wanted.frame is None and (large := large_file(job, setup, max_megapixels=max_megapixels)):
        check_source(job, large.header, setup)
    if large is None:
        undecoded = open_image(job.source, max_megapixels=max_megapixels, frame=job.wanted.frame)
        large = large_image(job, decode_checked(job, undecoded, setup), setup)
    if large is None:
        raise UnsuitableBatch(f"{job.source} cannot be divided into bands: a side is shorter than the model takes.",
                              remedy="Upscale it without --ray.")
    return large


def _header(job: Job, max_megapixels: float) -> Image:
    """The metadata and the remarks of the source, and the shape of its pixels."""
    if job.wanted.frame is None and (found := row_file(job.source, lambda height, width: True,
                                                       max_megapixels=max_megapixels)):
        return found.header
    image = open_image(job.source, max_megapixels=max_megapixels, frame=job.wanted.frame).decoded()
    colour, alpha = shape_only(height=image.height, width=image.width, channels=image.pixels.shape[2],
                               dtype=image.pixels.dtype, has_alpha=image.alpha is not None)
    return Image(pixels=colour, alpha=alpha, metadata=image.metadata, remarks=image.remarks)
