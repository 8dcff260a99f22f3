"""Which images are taken by bands, and whether there is memory for results that are encoded whole."""

from __future__ import annotations

from srn_deploy.errors import OutOfMemory
from srn_deploy.image import Image, container_of
from srn_deploy.image.bands.writing import ENCODERS
from srn_deploy.inference.plan import Job
from srn_deploy.inference.setup import Setup
from srn_deploy.inference.sizing import needs_network
from srn_deploy.inference.upscale import fits
from srn_deploy.system.memory import available_bytes

LARGE_RESULT_BYTES = 2**26
"""From this size on a result is made by bands: 64 MiB, a photograph of 1.4 megapixels four times as large. Bands are
encoded on every core while the network works; what is encoded whole waits for the network, and takes one core."""

SHARE_OF_MEMORY = 8
"""A result of at least half of LARGE_RESULT_BYTES is also large where it takes more than one part in this many of the
memory that is available."""

_COPIES = 2.5
"""Of a result that is encoded whole: the pixels, the same in the order of the codec, and the encoded file."""


def pixel_bytes(image: Image, height: int, width: int) -> int:
    """Colour and alpha of an image like this one in another size, in bytes."""
    channels = int(image.pixels.shape[2]) + (image.alpha is not None)
    return height * width * channels * image.pixels.itemsize


def size_before_reduction(job: Job, image: Image, scale: int) -> tuple[int, int]:
    """(height, width) of what is reduced to the size of the result: the network's result, or the image itself.

    Raises UnwritableImage where the result is to be larger than the network's.
    """
    factor = scale if needs_network(job.size, image.height, image.width, factor=scale) else 1
    return image.height * factor, image.width * factor


def is_large(size_bytes: int) -> bool:
    """Whether pixels of this size are made by bands where that is possible."""
    if size_bytes >= LARGE_RESULT_BYTES:
        return True
    free_bytes = available_bytes() if size_bytes >= LARGE_RESULT_BYTES // 2 else None
    return free_bytes is not None and size_bytes > free_bytes // SHARE_OF_MEMORY


def is_written_by_bands(job: Job) -> bool:
    """Whether the format of a result allows it."""
    return container_of(job.target) in ENCODERS


def is_taken_by_bands(job: Job, image: Image, setup: Setup) -> bool:
    """Whether an image is upscaled by bands of rows; of its pixels only the shape is used.

    Its pixels must be large before they are reduced; and they are reduced, or the format of the result is written by
    bands. Raises UnwritableImage where the result is to be larger than the network's.
    """
    scale = setup.backend.spec.scale
    before, after = size_before_reduction(job, image, scale), job.size.of(image.height, image.width, factor=scale)
    return ((before != after or is_written_by_bands(job)) and is_large(pixel_bytes(image, *before))
            and fits(image.height, image.width, setup.backend))


def check_memory_for_whole(job: Job, image: Image, setup: Setup) -> None:
    """Raise OutOfMemory, before the network runs, where a large result that is encoded whole does not fit."""
    scale = setup.backend.spec.scale
    height, width = job.size.of(image.height, image.width, factor=scale)
    if is_written_by_bands(job) or not is_large(size_bytes := pixel_bytes(image, height, width)):
        return
    needed, free_bytes = int(_COPIES * size_bytes), available_bytes()
    if free_bytes is not None and needed > free_bytes:
        raise OutOfMemory(
            f"{job.target}: {width} x {height} px are held whole to be written as {container_of(job.target)}; that "
            f"takes {needed / 1e9:.1f} GB, and {free_bytes / 1e9:.1f} GB are free.",
            remedy="Write a .png or .tif, which is written by bands, or free memory.")
