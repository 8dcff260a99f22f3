"""Which files of a data folder are originals, which are their small versions, and which are for validation.

Known are the layouts in which the paper's sets are published, and the usual pairs of folders:

    DIV2K_train_HR/0001.png     DIV2K_train_LR_bicubic/X4/0001x4.png     (and DIV2K_valid_…: for validation)
    Flickr2K_HR/000001.png      Flickr2K_LR_bicubic/X4/000001x4.png
    HR/train/…/0000001.png      X4/train/…/0000001x4.png                 (LSDIR)
    HR/any.png                  LR/any.jpg, LR_x4/any.png, LRbicx4/any.png or LR/x4/any.png

Case does not matter. Anything else is a folder of originals; their small versions are made.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

_HR = re.compile(r"(?P<before>(?:.*_)?)hr(?P<after>(?:_.*)?)", re.IGNORECASE)
_LR = re.compile(r"(?:.*_)?lr(?:_.*|_?bicx\d|_?x\d)?", re.IGNORECASE)
_SCALE = re.compile(r"x(\d)", re.IGNORECASE)
_SCALE_INSIDE = re.compile(r"x(\d)$", re.IGNORECASE)
_VALIDATION = re.compile(r"(?:.*_)?val(?:id(?:ation)?)?\d*(?:_.*)?", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True)
class Source:
    """One original, its name within the data folder, and its small version where the folder has one."""

    name: str
    hr: Path
    lr: Path | None


@dataclass(frozen=True, kw_only=True)
class Sources:
    """Files to train with, and to validate with where the layout says which; each sorted by path."""

    training: list[Source] = field(default_factory=list)
    validation: list[Source] = field(default_factory=list)
    without_partner: list[str] = field(default_factory=list)
    """Originals whose folder has small versions, but not of them; they are in neither list."""
    unused_small: list[str] = field(default_factory=list)
    """Files in folders named like those of small versions, where no original has found one."""

    def __add__(self, other: Sources) -> Sources:
        """Both together."""
        return Sources(training=self.training + other.training, validation=self.validation + other.validation,
                       without_partner=self.without_partner + other.without_partner,
                       unused_small=self.unused_small + other.unused_small)


def find_sources(folder: Path, images: Sequence[Path], scale: int) -> Sources:
    """Sort out the pictures under a folder for one scale."""
    for cached in (_subfolders, _stems):
        cached.cache_clear()  # folders may have changed since the last search
    originals = [path for path in images if _is_original(_folders(folder, path), scale)]
    training: list[Source] = []
    validation: list[Source] = []
    missing: list[str] = []
    for hr in originals:
        places = list(_small_folders(folder, hr, scale))
        lr = next(filter(None, (_partner(place, hr, scale) for place in places)), None)
        source = Source(name=str(hr.relative_to(folder)), hr=hr, lr=lr)
        if lr is None and places:
            missing.append(source.name)
        else:
            (validation if _is_validation(_folders(folder, hr)) else training).append(source)
    found = any(source.lr for source in training + validation)
    small = [] if found or missing else [str(path.relative_to(folder)) for path in images
                                         if _is_small(_folders(folder, path), scale)]
    return Sources(training=training or validation, validation=validation if training else [],
                   without_partner=missing, unused_small=small)


def _folders(folder: Path, path: Path) -> tuple[str, ...]:
    """The names of the folders between the data folder and a picture."""
    return path.relative_to(folder).parts[:-1]


def _is_original(folders: Sequence[str], scale: int) -> bool:
    scales = [int(found[1]) for name in folders if (found := _SCALE.fullmatch(name))]
    if any(_HR.fullmatch(name) for name in folders):
        return all(other == scale for other in scales)
    return not scales and not any(_LR.fullmatch(name) for name in folders)


def _is_small(folders: Sequence[str], scale: int) -> bool:
    """Whether a picture lies where small versions of the scale, or of an unnamed one, would lie."""
    scales = [int(found[1]) for name in folders if (found := _SCALE_INSIDE.search(name))]
    return any(_LR.fullmatch(name) or _SCALE.fullmatch(name) for name in folders) and set(scales) <= {scale}


def _is_validation(folders: Sequence[str]) -> bool:
    return any(_VALIDATION.fullmatch(name) for name in folders)


def _small_folders(folder: Path, hr: Path, scale: int) -> Iterator[Path]:
    """The folders that would hold the small version of an original, of those that exist."""
    parts = _folders(folder, hr)
    for index, name in enumerate(parts):
        if found := _HR.fullmatch(name):
            wanted = {f"{found['before']}lr{middle}{found['after']}".lower()
                      for middle in ("_bicubic", "", f"_x{scale}", f"x{scale}", f"bicx{scale}", f"_bicx{scale}")}
            for child in _subfolders(folder.joinpath(*parts[:index])):
                if child.name.lower() in {*wanted, f"x{scale}"} and (small := _of_scale(child, scale)):
                    yield small.joinpath(*parts[index + 1:])


def _of_scale(small: Path, scale: int) -> Path | None:
    """The folder itself or, where folders inside it are named after scales, the one of this scale."""
    scaled = {found[1]: child for child in _subfolders(small) if (found := _SCALE.fullmatch(child.name))}
    return scaled.get(str(scale)) if scaled else small


@cache
def _subfolders(folder: Path) -> tuple[Path, ...]:
    return tuple(sorted(child for child in folder.iterdir() if child.is_dir()))


@cache
def _stems(folder: Path) -> Mapping[str, Path]:
    """Every file of a folder by its name without suffix."""
    return {path.stem: path for path in sorted(folder.iterdir())} if folder.is_dir() else {}


def _partner(place: Path, hr: Path, scale: int) -> Path | None:
    stems = _stems(place)
    return stems.get(f"{hr.stem}x{scale}") or stems.get(f"{hr.stem}X{scale}") or stems.get(hr.stem)
