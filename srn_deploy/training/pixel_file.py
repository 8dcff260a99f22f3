"""Images of many sizes as one sequence of pixels: decoded once, memory-mapped, moved to the device if they fit.

The pixels are written to an unnamed temporary file. Where the memory is large enough the operating system keeps them
there; where it is not, a set of any size can still be trained with.
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
"""Share of a GPU's free memory that images may take; the rest is for the network."""


class PixelFile:
    """Append images, then call `freeze`, then cut patches."""

    def __init__(self) -> None:
        with _disk_errors_translated():
            self._file = tempfile.TemporaryFile(prefix="srn-deploy-")  # noqa: SIM115  # closed below
        weakref.finalize(self, _close, self._file)
        self._sides: list[tuple[int, int]] = []
        self._pixels: NDArray[np.uint8] = np.empty((0, 3), np.uint8)

    def __len__(self) -> int:
        return len(self._sides)

    def append(self, image: NDArray[np.uint8]) -> None:
        """Add an image, uint8 (H, W, 3); raises TrainingError on a full disk."""
        with _disk_errors_translated():
            self._file.write(np.ascontiguousarray(image).data)
        self._sides.append((image.shape[0], image.shape[1]))

    def freeze(self) -> Self:
        """End appending and map the pixels; returns itself. Raises TrainingError on a full disk."""
        with _disk_errors_translated():
            self._file.flush()
        if self._sides:
            # Copy on write, because torch warns about arrays that cannot be written to.
            self._pixels = np.memmap(self._file, np.uint8, mode="c").reshape(-1, 3)
        return self

    @property
    def sides(self) -> Sequence[tuple[int, int]]:
        """(height, width) of every image."""
        return self._sides

    @property
    def bytes(self) -> int:
        """Size of all pixels in bytes."""
        return 3 * sum(height * width for height, width in self._sides)

    def image(self, index: int) -> NDArray[np.uint8]:
        """One image as a new array, uint8 (H, W, 3)."""
        height, width = self._sides[index]
        first = self._firsts()[index]
        return np.array(self._pixels[first:first + height * width]).reshape(height, width, 3)

    def on(self, device: torch.device) -> MappedPixels:
        """The pixels ready for cutting patches: on the device where they fit, else in the host's memory."""
        return MappedPixels(torch.from_numpy(self._pixels), self._firsts(), [width for _, width in self._sides],
                            device if self.fits(device) else torch.device("cpu"))

    def fits(self, device: torch.device) -> bool:
        """Whether the pixels take at most DEVICE_SHARE of the device's free memory; always true for the CPU."""
        return device.type != "cuda" or self.bytes <= DEVICE_SHARE * torch.cuda.mem_get_info(device)[0]

    def _firsts(self) -> list[int]:
        """Index of the first pixel of every image."""
        return [0, *accumulate(height * width for height, width in self._sides)][:-1]


@contextmanager
def _disk_errors_translated() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise TrainingError(f"The decoded images cannot be kept in the temporary folder ({error.strerror}).",
                            remedy="Free space there, or set the variable TMPDIR to another folder.") from error


def _close(file: IO[bytes]) -> None:
    with suppress(OSError):  # closing tries again to write what a full disk refused
        file.close()


class MappedPixels:
    """Pixels (n, 3) on one device, and where each image starts in them."""

    def __init__(self, pixels: Tensor, firsts: Sequence[int], widths: Sequence[int], device: torch.device) -> None:
        self.device = device
        self._pixels = pixels.to(device)
        self._first = torch.tensor(firsts, device=device, dtype=torch.int64)
        self._width = torch.tensor(widths, device=device, dtype=torch.int64)

    def cut(self, index: Tensor, top: Tensor, left: Tensor, grid: Tensor) -> Tensor:
        """Cut patches in one gather: for each item the pixels at top/left plus its grid (N, 2, s, s).

        Returns uint8 (N, s, s, 3).
        """
        row = top.view(-1, 1, 1) + grid[:, 0]
        col = left.view(-1, 1, 1) + grid[:, 1]
        return self._pixels[self._first[index].view(-1, 1, 1) + row * self._width[index].view(-1, 1, 1) + col]
