"""A file with some of an image's pieces, compressed as they will be in the whole, for another process to join.

The pieces one after another, then a line of JSON that says what they are, then the length of that line.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from srn_deploy.errors import UnwritableImage
from srn_deploy.image.bands.encoding import Encoder, Packed, Piece
from srn_deploy.system.documents import decode_json, to_builtins

_LENGTH_BYTES = 8


@dataclass(frozen=True, kw_only=True)
class StoredPiece:
    """One piece in the file."""

    bytes: int
    plain_bytes: int
    checksum: int


@dataclass(frozen=True, kw_only=True)
class PartEnd:
    """What the file says of itself."""

    pieces: tuple[StoredPiece, ...]
    sha256: str
    """Of all pieces."""
    note: str
    """What whoever wrote it had to say."""


class PartFile:
    """An encoder that stores pieces as another one compresses them, for it to add them later."""

    def __init__(self, encoder: Encoder) -> None:
        self._encoder, self.piece_rows = encoder, encoder.piece_rows
        self._pieces: list[StoredPiece] = []
        self._digest = hashlib.sha256()
        self.note = ""

    def begin(self, file: BinaryIO) -> None:
        """There is no header."""

    def pack(self, piece: Piece) -> Packed:
        """As the other encoder does."""
        return self._encoder.pack(piece)

    def add(self, file: BinaryIO, packed: Packed) -> None:
        """Write one piece."""
        file.write(packed.data)
        self._digest.update(packed.data)
        self._pieces.append(StoredPiece(bytes=len(packed.data), plain_bytes=packed.plain_bytes,
                                        checksum=packed.checksum))

    def end(self, file: BinaryIO) -> None:
        """Write what the pieces are."""
        end = PartEnd(pieces=tuple(self._pieces), sha256=self._digest.hexdigest(), note=self.note)
        line = json.dumps(to_builtins(end)).encode() + b"\n"
        file.write(line + len(line).to_bytes(_LENGTH_BYTES, "big"))


def note_in(path: Path) -> str:
    """What was said of a part; raises UnwritableImage where it is damaged."""
    with _reading(path) as file:
        return _end_of(file, path)[0].note


def packed_in(path: Path) -> Iterator[Packed]:
    """The pieces of a part, in their order; raises UnwritableImage where it is damaged."""
    with _reading(path) as file:
        end, length = _end_of(file, path)
        if sum(piece.bytes for piece in end.pieces) != length:
            raise damaged_part(path, "its length is not what was written")
        file.seek(0)
        digest = hashlib.sha256()
        for piece in end.pieces:
            data = file.read(piece.bytes)
            digest.update(data)
            yield Packed(data, piece.plain_bytes, piece.checksum)
    if digest.hexdigest() != end.sha256:
        raise damaged_part(path, "its content is not what was written")


def _reading(path: Path) -> BinaryIO:
    try:
        return path.open("rb")
    except OSError as error:
        raise damaged_part(path, error.strerror or str(error)) from error


def _end_of(file: BinaryIO, path: Path) -> tuple[PartEnd, int]:
    """What a part says of itself, and how many bytes come before."""
    size = file.seek(0, 2)
    file.seek(max(size - _LENGTH_BYTES, 0))
    at = size - _LENGTH_BYTES - int.from_bytes(file.read(_LENGTH_BYTES), "big")
    if not 0 <= at <= size - _LENGTH_BYTES:
        raise damaged_part(path, "it is cut short")
    file.seek(at)
    return decode_json(file.read(size - _LENGTH_BYTES - at), PartEnd, lambda reason: damaged_part(path, reason)), at


def damaged_part(path: Path, reason: str) -> UnwritableImage:
    """The error of a part that is not what was written."""
    return UnwritableImage(f"{path}, a finished part of an image, is damaged: {reason}.",
                           remedy="Delete it and give the same command again: it is made anew.")
