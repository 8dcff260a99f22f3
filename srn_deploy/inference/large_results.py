"""Which results are written by bands, and whether there is memory for those that cannot be."""

from __future__ import annotations

from srn_deploy.errors import OutOfMemory
from srn_deploy.image import Image, container_of
from srn_deploy.inference.plan import Job
from srn_deploy.system.memory import available_bytes

LARGE_RESULT_BYTES = 2**28
"""From this size on a result is written by bands: 256 MiB, a photograph of 5.6 megapixels four times as large."""

SHARE_OF_MEMORY = 8
"""A result is also large if it takes more than one part in this many of the memory that is available."""

_COPIES = 2.5
"""Of a result that is encoded whole: the pixels, the same in the order of the codec, and the encoded file."""


def result_bytes(image: Image, scale: int) -> int:
    """Pixels of the upscaled image, colour and alpha, in bytes."""
    channels = int(image.pixels.shape[2]) + (image.alpha is not None)
    return image.height * image.width * scale**2 * channels * image.pixels.itemsize


def is_large(size_bytes: int) -> bool:
    """Whether a result of this size is written by bands where its format allows it."""
    if size_bytes >= LARGE_RESULT_BYTES:
        return True
    free_bytes = available_bytes() if size_bytes >= LARGE_RESULT_BYTES // SHARE_OF_MEMORY else None
    return free_bytes is not None and size_bytes > free_bytes // SHARE_OF_MEMORY


def check_memory(job: Job, image: Image, scale: int) -> None:
    """Raise OutOfMemory, before the network runs, where a result that is encoded whole does not fit into the memory."""
    needed, free_bytes = int(_COPIES * result_bytes(image, scale)), available_bytes()
    if free_bytes is not None and needed > free_bytes:
        raise OutOfMemory(
            f"{job.target}: {image.width * scale} x {image.height * scale} px are held whole to be reduced or written "
            f"as {container_of(job.target)}; that takes {needed / 1e9:.1f} GB, and {free_bytes / 1e9:.1f} GB are free.",
            remedy="Write a .png or .tif in the size that the model gives, which is written by bands, or free memory.")
