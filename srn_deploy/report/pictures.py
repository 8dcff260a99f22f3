"""Images of several candidates side by side: the part with the most detail, and the PSNR of each candidate.

The folder holds a folder for the originals, one for the small images, and one for each candidate:

    pictures/original/baby.png      pictures/input/baby.png      pictures/srn-s-b4-x4/baby.png
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from srn_deploy.errors import OptionError
from srn_deploy.image import Image, find_images, image_size, read_image
from srn_deploy.image.bicubic import resize_uint8
from srn_deploy.image.pairing import FilePair, pair_images
from srn_deploy.image.pixels import Rgb8
from srn_deploy.image.writing import encode_image
from srn_deploy.quality.metrics import luma, psnr_y
from srn_deploy.report.content import PictureComparison, PictureCrop

ORIGINAL, SMALL = "original", "input"
"""The folders that are no candidates."""

SCALES = range(2, 9)

CROP_PX = 192
"""The longest side of the part that is shown."""

STEP_PX = 8
"""Parts are tried at multiples of this."""

_REMEDY = (f"It holds {ORIGINAL}/, {SMALL}/ (the small images) and a folder for each candidate, as "
           "`srn-deploy eval --save-images` writes it.")


@dataclass(frozen=True, kw_only=True)
class _Folder:
    """A checked folder of pictures."""

    scale: int
    pairs: tuple[FilePair, ...]
    candidates: dict[str, dict[str, Path]]
    """Name of the candidate to the image of each original, by its path below the folder without its suffix."""


def compare_pictures(folder: Path) -> list[PictureComparison]:
    """Every original with its bicubic enlargement and all candidates.

    Raises OptionError where folders are missing, images do not match by name or size, or none is there, and what
    reading an image raises.
    """
    found = _checked(folder)
    return [_comparison(pair, found) for pair in found.pairs]


def _checked(folder: Path) -> _Folder:
    if not folder.is_dir():
        raise OptionError(f"{folder} is not a folder of images.", remedy=_REMEDY)
    missing = [name for name in (ORIGINAL, SMALL) if not (folder / name).is_dir()]
    if missing:
        raise OptionError(f"{folder} has no folder {missing[0]}.", remedy=_REMEDY)
    candidates = {path.name: _by_stem(path) for path in sorted(folder.iterdir())
                  if path.is_dir() and path.name not in (ORIGINAL, SMALL) and not path.name.startswith(".")}
    if not candidates:
        raise OptionError(f"{folder} has no folder of a candidate.", remedy=_REMEDY)
    scale, pairs = _paired(folder)
    names = {_stem(pair.name) for pair in pairs}
    for candidate, images in candidates.items():
        for odd, what in ((names - images.keys(), "has no image for"),
                          (images.keys() - names, "has an image without an original:")):
            if odd:
                raise OptionError(f"{folder / candidate} {what} {min(odd)}.",
                                  remedy="Every candidate has an image of the name of each original, and no other.")
    return _Folder(scale=scale, pairs=tuple(pairs), candidates=candidates)


def _by_stem(folder: Path) -> dict[str, Path]:
    return {_stem(path.relative_to(folder).as_posix()): path for path in find_images(folder)}


def _stem(name: str) -> str:
    return Path(name).with_suffix("").as_posix()


def _paired(folder: Path) -> tuple[int, Sequence[FilePair]]:
    """The scale at which all names and sizes fit, and the pairs."""
    for scale in SCALES:
        found = pair_images(folder / ORIGINAL, folder / SMALL, scale)
        if found.pairs and not found.without_lr and not found.unused_lr and all(_fits(pair, scale)
                                                                               for pair in found.pairs):
            return scale, found.pairs
    raise OptionError(f"The images in {folder / SMALL} are not those of {folder / ORIGINAL} made smaller by one whole "
                      "factor.", remedy="Each original needs one small image of its name, of the size divided by the "
                                        f"factor, from {SCALES[0]} to {SCALES[-1]}.")


def _fits(pair: FilePair, scale: int) -> bool:
    if pair.lr is None:
        return False
    height, width = image_size(pair.hr)
    return image_size(pair.lr) == (height // scale, width // scale)


def _comparison(pair: FilePair, found: _Folder) -> PictureComparison:
    if pair.lr is None:
        raise OptionError(f"{pair.name} has no small image.", remedy=_REMEDY)
    lr = read_image(pair.lr).as_rgb8()
    height, width = lr.shape[0] * found.scale, lr.shape[1] * found.scale
    original = read_image(pair.hr).as_rgb8()[:height, :width]
    images = {"bicubic": resize_uint8(lr, height, width)}
    for candidate, paths in found.candidates.items():
        path = paths[_stem(pair.name)]
        images[candidate] = read_image(path).as_rgb8()
        if images[candidate].shape != original.shape:
            raise OptionError(f"{path} is {images[candidate].shape[1]} × {images[candidate].shape[0]} px; "
                              f"×{found.scale} of {pair.lr} is {width} × {height}.",
                              remedy="Upscale the image in the folder of the small images.")
    top, left, rows, columns = _most_detail(original)
    part = (slice(top, top + rows), slice(left, left + columns))
    crops = [PictureCrop(candidate=name, png=_png(image[part]),
                         psnr_db=_finite(psnr_y(image, original, border_px=_border(original, found.scale))),
                         crop_psnr_db=_finite(psnr_y(image[part], original[part], border_px=0)))
             for name, image in images.items()]
    crops.append(PictureCrop(candidate=ORIGINAL, png=_png(original[part]), psnr_db=None, crop_psnr_db=None,
                             is_original=True))
    return PictureComparison(name=pair.name, width=columns, height=rows, crops=tuple(crops),
                             place=f"{columns} × {rows} of {width} × {height} px, from {left} px on the left and "
                                   f"{top} px at the top, ×{found.scale}")


def _most_detail(image: Rgb8) -> tuple[int, int, int, int]:
    """Top, left, height and width of the part with the largest differences between neighbours, on Y.

    It is chosen by the original alone, so that no candidate is favoured.
    """
    plane = luma(image)
    height, width = plane.shape
    rows, columns = min(height, CROP_PX), min(width, CROP_PX)
    detail = np.zeros_like(plane)
    detail[:, 1:] += np.abs(np.diff(plane, axis=1))
    detail[1:] += np.abs(np.diff(plane, axis=0))
    sums = np.zeros((height + 1, width + 1))
    sums[1:, 1:] = detail.cumsum(axis=0).cumsum(axis=1)
    parts = sums[rows:, columns:] - sums[:-rows, columns:] - sums[rows:, :-columns] + sums[:-rows, :-columns]
    tried = parts[::STEP_PX, ::STEP_PX]
    top, left = np.unravel_index(int(tried.argmax()), tried.shape)
    return int(top) * STEP_PX, int(left) * STEP_PX, rows, columns


def _border(image: Rgb8, scale: int) -> int:
    """As many pixels as the scale, by the convention of published tables; none of a tiny image."""
    return scale if min(image.shape[:2]) > 2 * scale else 0


def _png(pixels: Rgb8) -> bytes:
    return encode_image(Path("crop.png"), Image(pixels=np.ascontiguousarray(pixels))).data


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
