"""Which files of a data folder are HR, which are the LR that belongs to them, and which are for validation.

The layouts of the paper's published sets are known, and the usual pairs of folders:

    DIV2K_train_HR/0001.png     DIV2K_train_LR_bicubic/X4/0001x4.png     (and DIV2K_valid_…: for validation)
    Flickr2K_HR/000001.png      Flickr2K_LR_bicubic/X4/000001x4.png
    HR/train/…/0000001.png      X4/train/…/0000001x4.png                 (LSDIR)
    HR/any.png                  LR/any.jpg, LR_x4/any.png, LRbicx4/any.png or LR/x4/any.png

Case does not matter. Any other folder holds HR files, whose LR is made.
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
class HrFile:
    """One HR file, its name within the data folder, and the file with its LR where the folder has one."""

    name: str
    hr: Path
    lr: Path | None


@dataclass(frozen=True, kw_only=True)
class DataFiles:
    """Files for training, and for validation where the layout says which; each list is sorted by path."""

    training: list[HrFile] = field(default_factory=list)
    validation: list[HrFile] = field(default_factory=list)
    without_lr: list[str] = field(default_factory=list)
    """HR files whose folder has LR files, but none for them; they are in neither list."""
    unused_lr: list[str] = field(default_factory=list)
    """Files in folders named like those of LR files, where none of them belongs to an HR file."""

    def __add__(self, other: DataFiles) -> DataFiles:
        """The files of both."""
        return DataFiles(training=self.training + other.training, validation=self.validation + other.validation,
                         without_lr=self.without_lr + other.without_lr, unused_lr=self.unused_lr + other.unused_lr)


def find_data_files(folder: Path, images: Sequence[Path], scale: int) -> DataFiles:
    """Sort the images under a folder into HR files with their LR of one scale, for training and for validation."""
    for cached in (_subfolders, _stems):
        cached.cache_clear()  # folders may have changed since the last search
    training: list[HrFile] = []
    validation: list[HrFile] = []
    missing: list[str] = []
    for hr in (path for path in images if _is_hr(_folders(folder, path), scale)):
        places = list(_lr_folders(folder, hr, scale))
        lr = next(filter(None, (_lr_in(place, hr, scale) for place in places)), None)
        file = HrFile(name=str(hr.relative_to(folder)), hr=hr, lr=lr)
        if lr is None and places:
            missing.append(file.name)
        else:
            (validation if _is_validation(_folders(folder, hr)) else training).append(file)
    found = any(file.lr for file in training + validation)
    unused = [] if found or missing else [str(path.relative_to(folder)) for path in images
                                          if _is_lr(_folders(folder, path), scale)]
    return DataFiles(training=training or validation, validation=validation if training else [],
                     without_lr=missing, unused_lr=unused)


def _folders(folder: Path, path: Path) -> tuple[str, ...]:
    """The names of the folders between the data folder and an image."""
    return path.relative_to(folder).parts[:-1]


def _is_hr(folders: Sequence[str], scale: int) -> bool:
    scales = [int(found[1]) for name in folders if (found := _SCALE.fullmatch(name))]
    if any(_HR.fullmatch(name) for name in folders):
        return all(other == scale for other in scales)
    return not scales and not any(_LR.fullmatch(name) for name in folders)


def _is_lr(folders: Sequence[str], scale: int) -> bool:
    """Whether an image is where LR files of this scale, or of a scale that is not named, would be."""
    scales = [int(found[1]) for name in folders if (found := _SCALE_INSIDE.search(name))]
    return any(_LR.fullmatch(name) or _SCALE.fullmatch(name) for name in folders) and set(scales) <= {scale}


def _is_validation(folders: Sequence[str]) -> bool:
    return any(_VALIDATION.fullmatch(name) for name in folders)


def _lr_folders(folder: Path, hr: Path, scale: int) -> Iterator[Path]:
    """The existing folders that could hold the LR of an HR file."""
    parts = _folders(folder, hr)
    for index, name in enumerate(parts):
        if found := _HR.fullmatch(name):
            wanted = {f"{found['before']}lr{middle}{found['after']}".lower()
                      for middle in ("_bicubic", "", f"_x{scale}", f"x{scale}", f"bicx{scale}", f"_bicx{scale}")}
            for child in _subfolders(folder.joinpath(*parts[:index])):
                if child.name.lower() in {*wanted, f"x{scale}"} and (lr := _of_scale(child, scale)):
                    yield lr.joinpath(*parts[index + 1:])


def _of_scale(folder: Path, scale: int) -> Path | None:
    """The folder itself or, where its subfolders are named after scales, the one of this scale."""
    scaled = {found[1]: child for child in _subfolders(folder) if (found := _SCALE.fullmatch(child.name))}
    return scaled.get(str(scale)) if scaled else folder


@cache
def _subfolders(folder: Path) -> tuple[Path, ...]:
    return tuple(sorted(child for child in folder.iterdir() if child.is_dir()))


@cache
def _stems(folder: Path) -> Mapping[str, Path]:
    """Every file of a folder, by its name without suffix."""
    return {path.stem: path for path in sorted(folder.iterdir())} if folder.is_dir() else {}


def _lr_in(place: Path, hr: Path, scale: int) -> Path | None:
    stems = _stems(place)
    return stems.get(f"{hr.stem}x{scale}") or stems.get(f"{hr.stem}X{scale}") or stems.get(hr.stem)
