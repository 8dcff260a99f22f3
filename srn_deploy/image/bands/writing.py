"""Writes an image whose pixels come as bands of rows, while the next band is being made."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import BinaryIO

import numpy as np

from srn_deploy.image.bands.encoding import Encoder, MakeEncoder, Packed, Piece
from srn_deploy.image.bands.parts import PartFile, packed_in
from srn_deploy.image.bands.png_stream import PngEncoder
from srn_deploy.image.bands.source import ColourAndAlpha
from srn_deploy.image.bands.tiff_stream import TiffEncoder
from srn_deploy.image.containers import Container
from srn_deploy.image.effort import Effort
from srn_deploy.image.files import container_of
from srn_deploy.image.pixels import Image, Pixels
from srn_deploy.image.writing import StoredMetadata, check_writable, stored_metadata, whole_file

ENCODERS = MappingProxyType[Container, MakeEncoder]({Container.PNG: PngEncoder, Container.TIFF: TiffEncoder})
"""The formats that are written by bands."""


class BandWriter:
    """Takes the bands of an image from top to bottom; see `writing_bands`."""

    def __init__(self, encoder: Encoder, file: BinaryIO, threads: int) -> None:
        self._encoder, self._file, self._threads = encoder, file, threads
        self._packers = ThreadPoolExecutor(max_workers=threads, thread_name_prefix="pack")
        self._order = ThreadPoolExecutor(max_workers=1, thread_name_prefix="bands")
        self._current: Future[None] | None = None
        self._waiting: Pixels | None = None
        self._above: Pixels | None = None

    def begin_below(self, row: ColourAndAlpha) -> None:
        """Say which row (1, W, C) lies above the first that will be written, where it is not the first of the image."""
        self._above = _samples(row.colour, row.alpha)

    def write(self, colour: Pixels, alpha: Pixels | None = None) -> None:
        """Compress and write rows in the background; waits until the rows before them are written.

        colour: (rows, W, 1 or 3); alpha: (rows, W, 1) of the same dtype. They may not be changed afterwards. Raises
        the error of the rows before them.
        """
        self._wait()
        self._current = self._order.submit(self._store, colour, alpha)

    def finish(self) -> None:
        """Write what is left; raises the error of rows that could not be written."""
        self._wait()
        if self._waiting is not None:
            self._add([Piece(self._waiting, self._above)])
        self._encoder.end(self._file)

    def close(self) -> None:
        """Stop the threads; what they have not begun is dropped."""
        self._packers.shutdown(wait=False, cancel_futures=True)
        self._order.shutdown(cancel_futures=True)
        self._packers.shutdown()

    def _wait(self) -> None:
        if self._current is not None:
            self._current.result()
        self._current = None

    def _store(self, colour: Pixels, alpha: Pixels | None) -> None:
        self._add(self._pieces(colour, alpha))

    def _add(self, pieces: Iterable[Piece]) -> None:
        packing: deque[Future[Packed]] = deque()
        for piece in pieces:
            packing.append(self._packers.submit(self._encoder.pack, piece))
            if len(packing) > 2 * self._threads:
                self._encoder.add(self._file, packing.popleft().result())
        for packed in packing:
            self._encoder.add(self._file, packed.result())

    def _pieces(self, colour: Pixels, alpha: Pixels | None) -> Iterator[Piece]:
        """Whole pieces of the rows so far; the rest waits for the next band."""
        top, rows = 0, self._encoder.piece_rows
        while top < len(colour):
            waiting = 0 if self._waiting is None else len(self._waiting)
            stop = top + rows - waiting
            part = _samples(colour[top:stop], None if alpha is None else alpha[top:stop])
            joined = part if self._waiting is None else np.concatenate([self._waiting, part])
            if len(joined) < rows:
                self._waiting = joined.copy()
                return
            self._waiting = None
            yield Piece(joined, self._above)
            self._above = joined[-1:].copy()
            top = stop


def _samples(colour: Pixels, alpha: Pixels | None) -> Pixels:
    """Rows as they are stored."""
    return colour if alpha is None else np.concatenate([colour, alpha], axis=2)


@contextmanager
def writing_bands(path: Path, image: Image, threads: int, effort: Effort = Effort.NORMAL) -> Iterator[BandWriter]:
    """Yield a writer of the image's rows; the file appears when the block ends, whole or not at all.

    image: its metadata, and arrays of the shape of its pixels, whose values are not used (`shape_only`). threads:
    that compress. effort: of PNG. At most two bands are held: one that is being written and the one that is being
    made. Raises UnwritableImage and UnsupportedImage as `check_writable` does, and where the system refuses to write.
    """
    with _begun(path, image, effort) as (encoder, file):
        writer = BandWriter(encoder, file, threads)
        try:
            yield writer
            writer.finish()
        finally:
            writer.close()


@contextmanager
def _begun(path: Path, image: Image, effort: Effort) -> Iterator[tuple[Encoder, BinaryIO]]:
    """A file whose pixels come next; see `writing_bands`."""
    check_writable(path, height=image.height, width=image.width, has_alpha=image.alpha is not None,
                   bits=8 * image.pixels.itemsize)
    stored = stored_metadata(path, image)
    encoder = encoder_for(path, image, effort)
    with whole_file(path, stored) as temporary, temporary.open("wb") as file:
        encoder.begin(file)
        yield encoder, file


def encoder_for(path: Path, image: Image, effort: Effort = Effort.NORMAL) -> Encoder:
    """What compresses and stores the pieces of an image in a file of this path; arguments as for `writing_bands`."""
    return ENCODERS[container_of(path)](image, stored_metadata(path, image).own, effort)


@contextmanager
def writing_part(path: Path, encoder: Encoder, threads: int) -> Iterator[tuple[BandWriter, PartFile]]:
    """Yield a writer of some pieces of an image, which appear at `path` when the block ends, whole or not at all.

    encoder: of the image. The rows that are written begin where a piece does, and end where one ends or the image
    does. What the PartFile is told is stored with them. Raises UnwritableImage where the system refuses to write.
    """
    part = PartFile(encoder)
    with whole_file(path, StoredMetadata((), b"", ())) as temporary, temporary.open("wb") as file:
        writer = BandWriter(part, file, threads)
        try:
            yield writer, part
            writer.finish()
        finally:
            writer.close()


def join_parts(path: Path, image: Image, parts: Iterable[Path], effort: Effort = Effort.NORMAL) -> None:
    """Write an image from its parts, from top to bottom, with the bytes that `writing_bands` gives.

    Nothing is compressed again. Raises UnwritableImage where a part is damaged, and as `writing_bands` does.
    """
    with _begun(path, image, effort) as (encoder, file):
        for part in parts:
            for packed in packed_in(part):
                encoder.add(file, packed)
        encoder.end(file)
