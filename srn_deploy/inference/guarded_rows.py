"""An image upscaled row of tiles by row of tiles, under the guard, with no more than two of them in memory."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from srn_deploy.backends.protocol import Backend
from srn_deploy.inference.arrays import grey_of
from srn_deploy.inference.guard import Guard, block_edges, inspect_rows
from srn_deploy.inference.repair import REACH_PX, GuardFindings, findings_of, repair
from srn_deploy.inference.setup import Setup
from srn_deploy.inference.upscale import Destination, all_channels, upscale_rows
from srn_deploy.tiling.rows import RowReader, Rows
from srn_deploy.tiling.tiles import PixelArray


class AsRgb(NamedTuple):
    """An image of one channel or three, as the RGB that a network takes."""

    image: RowReader

    @property
    def shape(self) -> tuple[int, int, int]:
        """(H, W, 3)."""
        return (*self.image.shape[:2], 3)

    @property
    def dtype(self) -> np.dtype[np.generic]:
        """Of its pixels."""
        return self.image.dtype

    def between(self, start: int, stop: int) -> PixelArray:
        """Rows (rows, W, 3)."""
        rows = self.image.between(start, stop)
        return np.broadcast_to(rows, (*rows.shape[:2], 3))


@dataclass(kw_only=True)
class Total:
    """What the guard has found so far."""

    findings: GuardFindings = field(default_factory=GuardFindings)

    def add(self, more: GuardFindings) -> None:
        """Count what was found in further blocks, which lie below those before."""
        known = self.findings
        self.findings = GuardFindings(
            blocks=known.blocks + more.blocks, broken=known.broken + more.broken,
            first=known.first if known.broken else more.first, run_again=known.run_again + more.run_again,
            bicubic=known.bicubic + more.bicubic)


class WantedRows(NamedTuple):
    """A part of an image that is upscaled as it is in the whole, in input rows."""

    start: int
    stop: int
    """Behind the last row whose result is given."""
    counted: tuple[int, int]
    """Two edges of blocks, neither above `start` nor below `stop`: what the guard finds between them counts."""


def guarded_rows(image: RowReader, setup: Setup, found: Total, wanted: WantedRows | None = None) -> Iterator[Rows]:
    """Upscale (H, W, 1 or 3) as `upscale_guarded` does, and yield the result from top to bottom in bands of rows.

    Each band belongs to whoever takes it. found: gets what the guard finds. wanted: None is the whole image.
    """
    backend = setup.backend_for(image.dtype)
    is_grey, height = image.shape[2] == 1, image.shape[0]
    finish = grey_of if is_grey and setup.guard is Guard.OFF else all_channels
    bands = _Bands(AsRgb(image), backend, setup, wanted or WantedRows(0, height, (0, height)))
    for bottom in upscale_rows(bands.image, backend, setup.tiles, setup.on_tile,
                               Destination(bands.place, finish, bands.first)):
        band = bands.finished(bottom, found)
        if len(band.pixels):
            yield band._replace(pixels=grey_of(band.pixels)) if is_grey and finish is all_channels else band
        del band  # it is the caller's, and the next one needs its memory
        if bands.are_complete:
            return


class _Bands:
    """Rows that the network gave, until every block that reaches into them is judged and mended."""

    def __init__(self, image: AsRgb, backend: Backend, setup: Setup, wanted: WantedRows) -> None:
        self.image = image
        self._backend, self._setup, self._wanted = backend, setup, wanted
        self._scale = backend.spec.scale
        self._reach_px = REACH_PX if setup.guard is Guard.REPAIR else 0
        self._edges = block_edges(image.shape[0])
        self._emitted = wanted.start
        self.first = self._edge(wanted.start - self._reach_px) if self._reach_px else wanted.start
        """The first row that the network has to give."""
        channels = 1 if image.image.shape[2] == 1 and setup.guard is Guard.OFF else 3
        self._empty = np.empty((0, image.shape[1] * self._scale, channels), image.dtype)
        self._carried: Rows | None = None
        self._band = Rows(self._empty)

    @property
    def are_complete(self) -> bool:
        """Whether all wanted rows were given."""
        return self._emitted >= self._wanted.stop

    def place(self, start: int, stop: int) -> PixelArray:
        """An array for the result of the input rows [start, stop), below what is carried over from the last band."""
        scale = self._scale
        carried = Rows(self._empty, start * scale) if self._carried is None else self._carried
        height = stop * scale - carried.top
        self._band = Rows(np.empty((height, *carried.pixels.shape[1:]), carried.dtype), carried.top)
        self._band.pixels[:len(carried.pixels)] = carried.pixels
        return self._band.between(start * scale, stop * scale)

    def finished(self, bottom: int, found: Total) -> Rows:
        """The rows that are final now that the network has given those above `bottom`, an input row."""
        band, scale = self._band, self._scale
        self._band = Rows(band.pixels[:0], band.top)  # the caller's from now on
        if self._setup.guard is Guard.OFF:
            self._carried = Rows(self._empty, bottom * scale)
            return self._emit(band, bottom)
        judged = self._edge(bottom)
        final = bottom if bottom == self.image.shape[0] else self._edge(bottom - self._reach_px)
        kept = self._edge(final - self._reach_px)
        self._carried = Rows(band.between(kept * scale, bottom * scale).copy(), max(kept * scale, band.top))
        top = band.top // scale
        if final > self._emitted:
            self._judge(band, (top, judged), (self._emitted, final), found)
        return self._emit(band, final)

    def _emit(self, band: Rows, final: int) -> Rows:
        """The rows of a band that are wanted and not given yet, above the input row `final`."""
        start, stop = self._emitted, min(final, self._wanted.stop)
        self._emitted = max(start, stop)
        return Rows(band.between(start * self._scale, max(start, stop) * self._scale), start * self._scale)

    def _judge(self, band: Rows, rows: tuple[int, int], counted: tuple[int, int], found: Total) -> None:
        """Inspect the blocks between two rows and repair them if the guard says so; those of `counted` are counted,
        as far as they are to be."""
        first, last = np.searchsorted(self._edges, rows)
        verdict, left = inspect_rows(self.image, band, self._scale, self._edges[first:last + 1]), None
        if self._setup.guard is Guard.REPAIR and verdict.broken.any():
            left = repair(self.image, band, verdict, self._backend, self._setup)
        counted = max(counted[0], self._wanted.counted[0]), min(counted[1], self._wanted.counted[1])
        if counted[0] >= counted[1]:
            return
        left = None if left is None else left.part(*counted)
        self._setup.on_verdict(verdict.part(*counted))
        found.add(findings_of(verdict.part(*counted), self._scale, left))

    def _edge(self, row: int) -> int:
        """The last edge of blocks that is not below an input row."""
        return int(self._edges[max(int(np.searchsorted(self._edges, row, side="right")) - 1, 0)])
