"""Which files of a data folder are originals, which are their small versions, and which are for validation.

Known are the layouts in which the paper's sets are published, and the usual pair of folders:

    DIV2K_train_HR/0001.png     DIV2K_train_LR_bicubic/X4/0001x4.png     (and DIV2K_valid_…: for validation)
    Flickr2K_HR/000001.png      Flickr2K_LR_bicubic/X4/000001x4.png
    HR/train/…/0000001.png      X4/train/…/0000001x4.png                 (LSDIR)
    HR/any.png                  LR/any.png

Anything else is a folder of originals; their small versions are made.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

_HR = re.compile(r"(?:.*_)?HR", re.IGNORECASE)
_LR = re.compile(r"(?:.*_)?LR(?:_.*)?", re.IGNORECASE)
_SCALE = re.compile(r"x(\d)", re.IGNORECASE)
_VALIDATION = re.compile(r"(?:.*_)?val(?:id(?:ation)?)?\d*(?:_.*)?", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True)
class Source:
    """One original, and its small version where the folder has one."""

    hr: Path
    lr: Path | None


@dataclass(frozen=True, kw_only=True)
class Sources:
    """Files to train with, and to validate with where the layout says which; each sorted by path."""

    training: list[Source]
    validation: list[Source]
    without_partner: list[Path]
    """Originals whose folder has small versions, but not of them; they are in neither list."""


def find_sources(folder: Path, images: Sequence[Path], scale: int) -> Sources:
    """Sort out the pictures under a folder for one scale."""
    originals = [path for path in images if _is_original(path.relative_to(folder).parts[:-1], scale)]
    listed: list[Source] = []
    missing: list[Source] = []
    for hr in originals:
        partners = list(_partners(folder, hr, scale))
        lr = next((path for path in partners if path.is_file()), None)
        (missing if lr is None and partners else listed).append(Source(hr=hr, lr=lr))
    validation = [source for source in listed if _is_validation(source.hr.relative_to(folder).parts[:-1])]
    if len(validation) == len(listed):
        validation = []
    training = [source for source in listed if source not in validation] if validation else listed
    return Sources(training=training, validation=validation, without_partner=[source.hr for source in missing])


def _is_original(folders: Sequence[str], scale: int) -> bool:
    """By the names of the folders above a picture."""
    scales = [int(found[1]) for name in folders if (found := _SCALE.fullmatch(name))]
    if any(_HR.fullmatch(name) for name in folders):
        return all(other == scale for other in scales)
    return not scales and not any(_LR.fullmatch(name) for name in folders)


def _is_validation(folders: Sequence[str]) -> bool:
    return any(_VALIDATION.fullmatch(name) for name in folders)


def _partners(folder: Path, hr: Path, scale: int) -> Iterator[Path]:
    """Where the small version of an original would lie, for each folder of small versions that exists."""
    inner = hr.relative_to(folder)
    for index, name in enumerate(inner.parts[:-1]):
        if not _HR.fullmatch(name):
            continue
        above, below = folder.joinpath(*inner.parts[:index]), inner.parts[index + 1:-1]
        stem = name[:-2]
        for small in (f"{stem}LR_bicubic/X{scale}", f"{stem}LR/X{scale}", f"X{scale}", f"{stem}LR"):
            if (above / small).is_dir():
                place = (above / small).joinpath(*below)
                yield place / f"{hr.stem}x{scale}{hr.suffix}"
                yield place / hr.name
