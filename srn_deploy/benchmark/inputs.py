"""What is measured on: the images of a folder, or synthetic ones of the sizes of DIV2K's test inputs; and its name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from srn_deploy.errors import OptionError
from srn_deploy.grid import ESA_GRID
from srn_deploy.image import find_images, read_image
from srn_deploy.system.documents import decode_json

InputPixels = NDArray[np.uint8]
"""(H, W, 3), RGB."""

VALIDATION = {f"{number:04}x4" for number in range(801, 901)}
"""Names of DIV2K's validation inputs at x4; only a run on all of them bears the name."""

TEST = {f"{number:04}" for number in range(901, 1001)}


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """Images at x4, and what to call them."""

    label: str
    pictures: tuple[InputPixels, ...]

    def at_scale(self, scale: int) -> tuple[list[InputPixels], str]:
        """The same images at another scale: of derived size, each pixel repeated, and labelled so."""
        if scale == 4:
            return list(self.pictures), self.label
        repeats = 4 // scale
        return ([picture.repeat(repeats, axis=0).repeat(repeats, axis=1) for picture in self.pictures],
                f"{self.label}, x{scale} sizes derived from x4")


def open_inputs(folder: Path | None, limit: int | None = None) -> Inputs:
    """The images of a folder, or synthetic ones of DIV2K's test sizes; the first `limit` of them.

    Raises OptionError for a limit below 1, an empty folder and an image that not every network takes.
    """
    if limit is not None and limit < 1:
        raise OptionError(f"A limit of {limit} leaves no image.",
                          remedy="Give a --limit of at least 1, or leave it out.")
    if folder is None:
        sizes = div2k_test_sizes()[:limit]
        random = np.random.default_rng(0)
        pictures = tuple(random.integers(0, 256, (*size, 3), dtype=np.uint8) for size in sizes)
        return Inputs(label=f"{len(sizes)} synthetic pictures, sizes of DIV2K's test inputs", pictures=pictures)
    paths = find_images(folder)[:limit]
    if not paths:
        raise OptionError(f"{folder} holds no image.",
                          remedy="Give a folder with PNG, JPEG, WebP, TIFF, AVIF or BMP files.")
    pictures = tuple(read_image(path).as_rgb8() for path in paths)
    if small := next((path for path, picture in zip(paths, pictures, strict=True)
                      if min(picture.shape[:2]) < ESA_GRID.first_cell_px), None):
        raise OptionError(f"{small} is smaller than {ESA_GRID.first_cell_px} px a side, and not every network takes "
                          "it.", remedy="Leave it out.")
    return Inputs(label=_label({path.stem for path in paths}, len(paths), folder), pictures=pictures)


def _label(stems: set[str], count: int, folder: Path) -> str:
    if stems == VALIDATION and count == len(VALIDATION):
        return "DIV2K validation"
    if stems <= TEST:
        return f"DIV2K test inputs ({count} of 100), a stand-in for its validation inputs"
    if stems <= VALIDATION:
        return f"{count} of DIV2K's 100 validation inputs"
    return f"{count} pictures of {folder.name}"


class _TestSizes(msgspec.Struct, frozen=True):
    sizes: dict[str, tuple[int, int]]
    """Name to (height, width)."""


def div2k_test_sizes() -> Sequence[tuple[int, int]]:
    """(height, width) of DIV2K's 100 test inputs at x4."""
    text = resources.files("srn_deploy.benchmark").joinpath("div2k_test_sizes.json").read_text(encoding="utf-8")
    found = decode_json(text, _TestSizes, lambda fault: OptionError(
        f"The sizes of DIV2K's test inputs are damaged ({fault}).", remedy="Install srn-deploy again."))
    return list(found.sizes.values())
