"""Whether images of one size run faster several at once: which sizes of the work that is measured on, and in words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from srn_deploy.backends import Backend
from srn_deploy.benchmark.tuning_work import Work
from srn_deploy.inference.setup import Setup
from srn_deploy.inference.upscale import images_at_once, upscale_alike, upscale_rgb
from srn_deploy.tiling.shapes import Size
from srn_deploy.tiling.windows import ImageBatching, TileOptions

COUNTS = (2, 4, 8)
"""Images at once that are tried."""


def sizes_at_once(work: Work, backend: Backend, tiles: TileOptions) -> Iterator[tuple[Size, list[int]]]:
    """Sizes of the work of which several images can run at once, the largest first, and the numbers to be tried."""
    for height, width in sorted(set(work.sizes), key=lambda size: size[0] * size[1], reverse=True):
        most = images_at_once(height, width, backend, tiles, ImageBatching(images=max(COUNTS)))
        if counts := [count for count in COUNTS if count <= most]:
            yield (height, width), counts


def black_images(size: Size, count: int) -> list[NDArray[np.uint8]]:
    """What is timed: a network takes as long for one image as for another."""
    return [np.zeros((*size, 3), np.uint8)] * count


def run_at_once(images: Sequence[NDArray[np.uint8]], setup: Setup) -> None:
    """Upscale images of one size in one batch, or a single one."""
    if len(images) == 1:
        upscale_rgb(images[0], setup.backend, setup.tiles)
    else:
        upscale_alike(images, setup.backend, setup.tiles)


def batching_sentence(size: Size, chosen: int, milliseconds: Mapping[int, float]) -> str:
    """What was measured for images of a size, without its full stop; milliseconds: of each image, by how many ran."""
    what = f"Images of {size[1]} x {size[0]} px"
    if len(milliseconds) < 2 or 1 not in milliseconds:
        return f"{what} are run one by one: there was no time to measure several at once. Give more --budget"
    ratios = {count: one / milliseconds[1] for count, one in milliseconds.items() if count > 1}
    if chosen > 1:
        return f"{what} and smaller ones are run {chosen} at once: each takes {ratios[chosen]:.2f} of its time alone"
    told = ", ".join(f"{count} at once take {ratio:.2f}" for count, ratio in ratios.items())
    return f"{what} are run one by one, because several at once gain nothing: {told} of the time of one, each"
