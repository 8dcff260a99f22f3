"""How much memory the images of a run may take together, and what one of them takes."""

from __future__ import annotations

from srn_deploy.image import container_of
from srn_deploy.image.bands.writing import ENCODERS
from srn_deploy.image.containers import Container, Unpacked
from srn_deploy.inference.large_results import LARGE_RESULT_BYTES
from srn_deploy.inference.plan import Job

DECODED_COPIES = 2
"""Of an image that is read: its pixels, and the same in the order of the codec or turned upright."""

RESULT_COPIES = 3
"""Of a result that is encoded: its pixels, the same in the order of the codec, and the file before and after its
metadata are added, which is less than the pixels."""

BY_BANDS_BYTES = LARGE_RESULT_BYTES
"""Of a result that is written by bands: those that are made and written at once, of a wide image too."""

SHARE_OF_FREE = 2
"""By default the images of a run take one part in this many of the memory that is free when it starts."""

_COLOUR, _COLOUR_AND_ALPHA = 3, 4


class MemoryBudget:
    """Who holds how much, by the number of the image. It knows of no threads: its user holds a lock."""

    def __init__(self, most_bytes: int | None) -> None:
        """most_bytes: None sets no bound."""
        self.most_bytes = most_bytes
        self._held: dict[int, int] = {}
        self._used_bytes = 0

    def fits(self, number: int, needed_bytes: int) -> bool:
        """Whether there is room for an image. One that is larger than everything has room when there is no other."""
        return (number in self._held or not self._held or self.most_bytes is None
                or self._used_bytes + needed_bytes <= self.most_bytes)

    def hold(self, number: int, needed_bytes: int) -> None:
        """Let an image hold this much, instead of what it held."""
        self._used_bytes += needed_bytes - self._held.get(number, 0)
        self._held[number] = needed_bytes

    def release(self, number: int) -> None:
        """Give back what an image holds; calling it for one that holds nothing is harmless."""
        self._used_bytes -= self._held.pop(number, 0)


def bytes_on_the_way(unpacked: Unpacked, job: Job, scale: int) -> int:
    """The most memory that an image takes from its file to the file of its result, beside what the network takes."""
    decoded = unpacked.height * unpacked.width * _bytes_per_px(unpacked)
    whole = decoded * scale**2
    height, width = job.size.of(unpacked.height, unpacked.width, factor=scale)
    finished = height * width * _bytes_per_px(unpacked)
    if finished == whole and whole >= LARGE_RESULT_BYTES and container_of(job.target) in ENCODERS:
        result = BY_BANDS_BYTES
    else:
        result = RESULT_COPIES * finished + (whole if finished != whole else 0)
    return len(unpacked.without_metadata) + DECODED_COPIES * decoded + result


def _bytes_per_px(unpacked: Unpacked) -> int:
    """Of a decoded image at most, as far as its header shows."""
    if unpacked.png is not None:
        bits, colour_type = unpacked.png.header[8:10]
        has_alpha = colour_type != 0 and colour_type != 2  # palettes may have it
        return (_COLOUR_AND_ALPHA if has_alpha else _COLOUR) * (2 if bits == 16 else 1)
    if unpacked.tiff is not None:
        return max(_COLOUR, unpacked.tiff.samples) * (2 if unpacked.tiff.bits == 16 else 1)
    return _COLOUR if unpacked.container is Container.JPEG else _COLOUR_AND_ALPHA
