"""What is upscaled to find the fastest way: a drawn image of a given size, an image, or some of a folder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from srn_deploy.errors import UnreadableImage
from srn_deploy.image import FORMATS, Image, find_images, image_size, read_image, write_image
from srn_deploy.inference.plan import Job
from srn_deploy.tiling.shapes import Size
from srn_deploy.verification.sample_images import sample_images

MOST_SIDE_PX = 1024
"""Of larger images the middle is taken: a megapixel shows how fast a way is, and tiles are smaller than that."""

QUANTILES = (1 / 6, 1 / 2, 5 / 6)
"""Of the images of a folder by size, those that stand for the others."""


@dataclass(frozen=True, kw_only=True)
class Work:
    """Images that every candidate upscales."""

    label: str
    jobs: Sequence[Job]
    sizes: Sequence[Size]
    """(height, width) of each."""

    @property
    def size(self) -> Size:
        """(height, width) of the largest."""
        return max(self.sizes, key=lambda size: size[0] * size[1])

    @property
    def megapixels(self) -> float:
        """Of all together."""
        return sum(height * width for height, width in self.sizes) / 1e6


def drawn_work(size: Size, folder: Path) -> Work:
    """An image of this size, drawn into a folder."""
    return _work(f"{size[0]}x{size[1]}", [_drawn(*size)], folder)


def work_on(images: Path, folder: Path) -> Work:
    """An image, or three of a folder: a small, a middling and a large one; copies are written into `folder`.

    Raises an ImageError for what cannot be read, and UnreadableImage for a folder without images.
    """
    paths = _three_of(images) if images.is_dir() else [images]
    return _work(images.name, [read_image(path).as_rgb8() for path in paths], folder)


def _three_of(folder: Path) -> list[Path]:
    sizes = {path: image_size(path) for path in find_images(folder)}
    if not sizes:
        raise UnreadableImage(f"{folder} contains no image.", remedy=f"Give a folder with files of {FORMATS}.")
    ordered = sorted(sizes, key=lambda path: sizes[path][0] * sizes[path][1])
    return list(dict.fromkeys(ordered[int(share * len(ordered))] for share in QUANTILES))


def _work(label: str, images: Sequence[NDArray[np.uint8]], folder: Path) -> Work:
    jobs, sizes = [], []
    for number, image in enumerate(map(_middle, images)):
        jobs.append(Job(source=folder / f"{number}.png", target=folder / f"{number}-upscaled.png"))
        write_image(jobs[-1].source, Image(pixels=image))
        sizes.append((image.shape[0], image.shape[1]))
    return Work(label=label, jobs=jobs, sizes=sizes)


def _middle(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """At most MOST_SIDE_PX a side."""
    top, left = (max(0, side - MOST_SIDE_PX) // 2 for side in image.shape[:2])
    return np.ascontiguousarray(image[top:top + MOST_SIDE_PX, left:left + MOST_SIDE_PX])


def _drawn(height: int, width: int) -> NDArray[np.uint8]:
    """A sample image mirrored on until it fills (height, width, 3)."""
    *_, patch = sample_images()
    height, width = min(height, MOST_SIDE_PX), min(width, MOST_SIDE_PX)
    missing = ((0, max(0, height - patch.shape[0])), (0, max(0, width - patch.shape[1])), (0, 0))
    filled: NDArray[np.uint8] = np.pad(patch, missing, mode="symmetric")[:height, :width]
    return filled
