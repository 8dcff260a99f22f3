"""What the encoders of bands have in common: pieces of rows that are compressed apart and written in order."""

from __future__ import annotations

from collections.abc import Callable
from typing import BinaryIO, NamedTuple, Protocol

from srn_deploy.image.containers import Metadata
from srn_deploy.image.effort import Effort
from srn_deploy.image.pixels import Image, Pixels

PIECE_BYTES = 1 << 20
"""Pixels that are compressed at once: enough for every core to have a piece of a band."""


class Packed(NamedTuple):
    """A piece of rows, compressed."""

    data: bytes
    plain_bytes: int
    """The length before compression."""
    checksum: int
    """Adler-32 of the bytes before compression; 0 where the format has none."""


class Piece(NamedTuple):
    """Rows that are compressed together."""

    samples: Pixels
    """(rows, W, C) as stored: colour, then alpha."""
    above: Pixels | None
    """The row above them (1, W, C); None at the top of the image."""


class Encoder(Protocol):
    """Writes one image to a file. `pack` is called from several threads, everything else in order."""

    piece_rows: int
    """Rows in every piece but the last."""

    def begin(self, file: BinaryIO) -> None:
        """Write what comes before the pixels."""

    def pack(self, piece: Piece) -> Packed:
        """Compress one piece; it keeps nothing of it."""

    def add(self, file: BinaryIO, packed: Packed) -> None:
        """Write one piece, from top to bottom."""

    def end(self, file: BinaryIO) -> None:
        """Write what comes after the pixels, and into the beginning what is known only now."""


MakeEncoder = Callable[[Image, Metadata, Effort], Encoder]
"""Makes an encoder for an image, of whose pixels only the shape is used, and for the metadata that its file holds."""
