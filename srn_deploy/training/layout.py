"""Which files of a data folder are for training and which for validation; `image/pairing` pairs them."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from srn_deploy.image.pairing import FilePair, pair_images

_VALIDATION = re.compile(r"(?:.*_)?val(?:id(?:ation)?)?\d*(?:_.*)?", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True)
class DataFiles:
    """Files for training, and for validation where the layout says which; each list is sorted by path."""

    training: list[FilePair] = field(default_factory=list)
    validation: list[FilePair] = field(default_factory=list)
    without_lr: list[str] = field(default_factory=list)
    """HR files whose folder has LR files, but none for them; they are in neither list."""
    unused_lr: list[str] = field(default_factory=list)
    """LR files of the scale, where none of them belongs to an HR file."""
    other_scales: list[str] = field(default_factory=list)
    """Images of other scales."""

    def __add__(self, other: DataFiles) -> DataFiles:
        """The files of both."""
        return DataFiles(training=self.training + other.training, validation=self.validation + other.validation,
                         without_lr=self.without_lr + other.without_lr, unused_lr=self.unused_lr + other.unused_lr,
                         other_scales=self.other_scales + other.other_scales)


def find_data_files(folder: Path, scale: int, pattern: str | None = None) -> DataFiles:
    """Sort the images under a folder into HR files with their LR of one scale, for training and for validation.

    pattern: how LR files are named, see `pair_images`, whose errors are raised.
    """
    found = pair_images(folder, None, scale, pattern)
    training = [pair for pair in found.pairs if not _is_validation(pair)]
    validation = [pair for pair in found.pairs if _is_validation(pair)]
    is_paired = found.without_lr or any(pair.lr for pair in found.pairs)
    return DataFiles(training=training or validation, validation=validation if training else [],
                     without_lr=list(found.without_lr), unused_lr=[] if is_paired else list(found.unused_lr),
                     other_scales=list(found.other_scales))


def _is_validation(pair: FilePair) -> bool:
    return any(_VALIDATION.fullmatch(name) for name in PurePosixPath(pair.name).parts[:-1])
