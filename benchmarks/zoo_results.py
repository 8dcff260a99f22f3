"""What the study of the checkpoints of challenges asks and finds, as its record keeps it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

KIND = "zoo"
"""Of the records."""

EXACT, LOCAL, WHOLE = "exact by its grid", "local", "whole image only"
"""How a network can be tiled."""


@dataclass(frozen=True, kw_only=True)
class Question:
    """What to measure."""

    checkpoint: str
    """Path of the file."""
    network: str
    """FILE.py:CLASS."""
    settings: tuple[str, ...] = ()
    """Arguments of the constructor, as `--set` takes them."""
    with_data: bool = True
    """Whether the real data is there; without it neither PSNR nor tiles are measured."""


@dataclass(frozen=True, kw_only=True)
class Case:
    """What was found."""

    refusal: str = ""
    """The error with its remedy; empty where the graph was made and proved, and then the rest is there."""
    scale: int = 0
    value_range: float = 0.0
    recognised: str = ""
    size_multiple_px: int = 1
    grids: tuple[str, ...] = ()
    """The pixels of a cell, and the interpolation."""
    tiling: str = ""
    halo_px: int = 0
    psnr_db: float | None = None
    """On Y of Set5, of the exported graph."""
    worst_tile_levels: float | None = None
    """Of an image in tiles against the whole one, in 8-bit levels before rounding; None where it is run whole only."""
    convolutions: dict[str, int] = field(default_factory=dict)
    """Of the FP16 engine by their type; empty where it was not built."""
    engine_refusal: str = ""
    seconds: dict[str, float] = field(default_factory=dict)
    """Wall clock of each part."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """A checkpoint and what was found."""

    name: str
    """Of the file."""
    network: str
    settings: tuple[str, ...]
    sha256: str
    declared_range: float
    authors_db: float | None = None
    """PSNR on Y of Set5 by its authors' code in the declared range; None where it is not given."""
    authors_other_db: float | None = None
    """The same in the other range."""
    case: Case | None = None
    """None where measuring it ended without an answer."""
    ended: str = ""
    """Why there is none."""
    versions: Mapping[str, str] = field(default_factory=dict)
    """Of the libraries it was measured with."""


@dataclass(frozen=True, kw_only=True)
class Results:
    """Of one repository."""

    repository: str
    revision: str
    rows: tuple[Row, ...]
    absent: tuple[str, ...] = ()
    """Checkpoints that are not in the clone."""
