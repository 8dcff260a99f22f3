"""The pairs of images that are evaluated; whatever does not fit together is refused before anything is measured."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from srn_deploy.errors import OptionError, UnreadableImage
from srn_deploy.image import image_size, read_image
from srn_deploy.image.bicubic import resize_uint8
from srn_deploy.image.files import FORMATS
from srn_deploy.image.pairing import FilePair, pair_images
from srn_deploy.image.pixels import Rgb8
from srn_deploy.image.small_versions import small_versions
from srn_deploy.quality.metrics import SSIM_WINDOW_PX
from srn_deploy.tiling.shapes import Size

_PART_OF_A_SET = re.compile(r"HR|LR|GTmod\d+|x\d|X\d|LRbicx\d|original", re.IGNORECASE)

_log = logging.getLogger(__name__)


def find_pairs(hr: Path, lr: Path | None, scale: int, pattern: str | None = None) -> list[FilePair]:
    """The originals of `hr`, each with its small image; see `pair_images` for the layouts and the pattern.

    hr, lr: a folder or a single file. Without `lr`, small images that lie in `hr` as well are used; where there are
    none they are to be made from the originals. Nothing is decoded. Raises UnreadableImage for an empty folder or a
    file that is not an image, and OptionError where it is not clear which images belong together, where an original has
    no small image though others have, where sizes do not fit the scale, and where an original looks like a small
    version of another one.
    """
    found = pair_images(hr, lr, scale, pattern)
    without = [*found.without_lr, *(pair.name for pair in found.pairs if pair.lr is None)]
    if not without and not found.pairs:
        raise UnreadableImage(f"{hr} contains no image of x{scale}.", remedy=f"Give a folder with {FORMATS} files.")
    if without and (found.without_lr or len(without) < len(found.pairs)):
        which = f"{without[0]} has" if len(without) == 1 else f"{without[0]} and {len(without) - 1} more have"
        stem = Path(without[0]).stem
        raise OptionError(f"{which} no small image in {lr or hr}.",
                          remedy=f"It would be named {stem} or {stem}x{scale}, with any suffix; "
                                 "--lr-pattern says how others are named. Without any it is made from the original.")
    if found.unused_lr and without:
        which = f"{found.unused_lr[0]} belongs" if len(found.unused_lr) == 1 else \
            f"{found.unused_lr[0]} and {len(found.unused_lr) - 1} more belong"
        raise OptionError(f"{which} to no original, although named like small images of x{scale}.",
                          remedy="Give their folder with --lr, or say how they are named with --lr-pattern. Give the "
                                 "folder of the originals alone with --hr to have small images made from these.")
    for level, names, what in ((logging.WARNING, found.unused_lr, "small images that belong to no original"),
                               (logging.INFO, found.other_scales, "images of other scales")):
        if names:
            _log.log(level, "Left out: %s: %d (%s is the first).", what, len(names), names[0])
    sizes = {pair: check_sizes(pair, image_size(pair.hr), None if pair.lr is None else image_size(pair.lr), scale)
             for pair in found.pairs}
    if without:
        _refuse_small_versions(found.pairs, sizes)
    return list(found.pairs)


def small_images_of(pairs: Sequence[FilePair], lr: Path | None) -> str:
    """Where the small images come from, in words."""
    if any(pair.lr is None for pair in pairs):
        return "made from the originals by MATLAB's bicubic"
    return "found with the originals" if lr is None else lr.name


def check_sizes(pair: FilePair, hr_size: Size, lr_size: Size | None, scale: int) -> Size:
    """The (height, width) of the original, if it can be measured and the small image fits it; else OptionError."""
    height, width = (side // scale for side in hr_size)
    if min(height, width) * scale < SSIM_WINDOW_PX + 2 * scale:
        raise OptionError(f"{pair.hr} is too small to be measured at x{scale}.",
                          remedy=f"Leave it out: SSIM needs {SSIM_WINDOW_PX} px a side after cropping.")
    if lr_size not in (None, (height, width)):
        raise OptionError(f"{pair.lr} is {lr_size[0]} x {lr_size[1]} px; a x{scale} of {pair.name} is "
                          f"{height} x {width}.", remedy=f"Give the small images of x{scale}.")
    return hr_size


def read_pairs(pairs: Iterable[FilePair], scale: int) -> Iterator[tuple[FilePair, Rgb8, Rgb8]]:
    """Yield each pair, its original and its small image; the original is cropped to what the small one covers.

    Raises OptionError where the sizes do not fit together or an original is too small to be measured.
    """
    for pair in pairs:
        hr = read_image(pair.hr).as_rgb8()
        lr = None if pair.lr is None else read_image(pair.lr).as_rgb8()
        check_sizes(pair, hr.shape[:2], None if lr is None else lr.shape[:2], scale)
        height, width = (side // scale for side in hr.shape[:2])
        hr = hr[:height * scale, :width * scale]
        yield pair, hr, resize_uint8(hr, height, width) if lr is None else lr


def image_targets(pairs: Sequence[FilePair], folder: Path) -> dict[str, Path]:
    """The file that each upscaled image is written to, by the name of its pair.

    Raises OptionError where two images would have one file, or where one that is measured would be overwritten.
    """
    targets = {pair.name: folder / Path(pair.name).with_suffix(".png") for pair in pairs}
    sources = {os.path.realpath(path) for pair in pairs for path in (pair.hr, pair.lr) if path is not None}
    if overwritten := next((path for path in targets.values() if os.path.realpath(path) in sources), None):
        raise OptionError(f"{overwritten} is one of the images that are measured.",
                          remedy="Name another folder with --save-images.")
    if len(set(targets.values())) != len(pairs):
        raise OptionError(f"Two upscaled images would have the same name in {folder}.",
                          remedy="Rename the originals, or evaluate their folders one by one.")
    return targets


def set_name(hr: Path) -> str:
    """The test set that a path belongs to: its last folder that is not part of one, as Set5 in Set5/x4/HR."""
    parts = [part for part in hr.resolve().parts if not _PART_OF_A_SET.fullmatch(part)]
    return parts[-1] if parts else hr.name


def _refuse_small_versions(pairs: Sequence[FilePair], sizes: dict[FilePair, Size]) -> None:
    """Raise OptionError if an original looks like a small version of another one."""
    by_path = {pair.hr: size for pair, size in sizes.items()}
    for small, large in small_versions(pairs, by_path.get):
        raise OptionError(f"{small.name} looks like a small version of {large.name}, not like an original.",
                          remedy="Give originals and small images in folders of their own with --hr and --lr, "
                                 "or say how small ones are named with --lr-pattern.")
