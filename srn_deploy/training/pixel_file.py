"""Pictures of many sizes as one run of pixels: decoded once, mapped into memory, moved to the device if they fit.

The pixels go into a temporary file without a name. Where the memory is large enough the operating system
keeps it there; where it is not, a set of any size can still be trained with.
"""

from __future__ import annotations

import tempfile
import weakref
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import accumulate
from typing import IO, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from srn_deploy.errors import TrainingError

DEVICE_SHARE = 0.6
"""Of a GPU's free memory that pictures may take; the rest is for the network."""


class PixelFile:
    """Append pictures, then `freeze`, then cut patches."""

    def __init__(self) -> None:
        with _disk_errors_translated():
            self._file = tempfile.TemporaryFile(prefix="srn-deploy-")  # noqa: SIM115  # closed below
        weakref.finalize(self, _close, self._file)
        self._sides: list[tuple[int, int]] = []
        self._pixels: NDArray[np.uint8] = np.empty((0, 3), np.uint8)

    def __len__(self) -> int:
        return len(self._sides)

    def append(self, image: NDArray[np.uint8]) -> None:
        """Add uint8 (H, W, 3); raises TrainingError on a full disk."""
        with _disk_errors_translated():
            self._file.write(np.ascontiguousarray(image).data)
        self._sides.append((image.shape[0], image.shape[1]))

    def freeze(self) -> Self:
        """No picture is added after this; returns itself. Raises TrainingError on a full disk."""
        with _disk_errors_translated():
            self._file.flush()
        if self._sides:
            # Copy on write: torch warns of arrays that cannot be written to.
            self._pixels = np.memmap(self._file, np.uint8, mode="c").reshape(-1, 3)
        return self

    @property
    def sides(self) -> Sequence[tuple[int, int]]:
        """(height, width) of every picture."""
        return self._sides

    @property
    def bytes(self) -> int:
        """Of all pixels."""
        return 3 * sum(height * width for height, width in self._sides)

    def picture(self, index: int) -> NDArray[np.uint8]:
        """uint8 (H, W, 3); a fresh array."""
        height, width = self._sides[index]
        first = self._firsts()[index]
        return np.array(self._pixels[first:first + height * width]).reshape(height, width, 3)

    def on(self, device: torch.device) -> MappedPixels:
        """Ready to cut patches for a device: on it where they fit, else in the host's memory."""
        return MappedPixels(torch.from_numpy(self._pixels), self._firsts(), [width for _, width in self._sides],
                            device if self.fits(device) else torch.device("cpu"))

    def fits(self, device: torch.device) -> bool:
        """Whether the device's free memory holds all pixels with room to spare; the host always does."""
        return device.type != "cuda" or self.bytes <= DEVICE_SHARE * torch.cuda.mem_get_info(device)[0]

    def _firsts(self) -> list[int]:
        """Index of the first pixel of every picture."""
        return [0, *accumulate(height * width for height, width in self._sides)][:-1]


@contextmanager
def _disk_errors_translated() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise TrainingError(f"The temporary folder does not hold the decoded pictures ({error.strerror}).",
                            remedy="Free space there, or name another folder in the variable TMPDIR.") from error


def _close(file: IO[bytes]) -> None:
    with suppress(OSError):  # what a full disk did not take is tried again on closing
        file.close()


class MappedPixels:
    """Pixels (n, 3) on one device, and where each picture begins."""

    def __init__(self, pixels: Tensor, firsts: Sequence[int], widths: Sequence[int], device: torch.device) -> None:
        self.device = device
        self._pixels = pixels.to(device)
        self._first = torch.tensor(firsts, device=device, dtype=torch.int64)
        self._width = torch.tensor(widths, device=device, dtype=torch.int64)

    def cut(self, index: Tensor, top: Tensor, left: Tensor, grid: Tensor) -> Tensor:
        """uint8 (N, s, s, 3): for each item the pixels at top/left plus its grid (N, 2, s, s); one gather."""
        row = top.view(-1, 1, 1) + grid[:, 0]
        col = left.view(-1, 1, 1) + grid[:, 1]
        return self._pixels[self._first[index].view(-1, 1, 1) + row * self._width[index].view(-1, 1, 1) + col]
