"""The protocol of all backends: five members."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from numpy.typing import NDArray

from srn_deploy.spec import ModelSpec
from srn_deploy.tiling.interpolation import Geometry
from srn_deploy.tiling.shapes import Limits

Batch = NDArray[Any]
"""RGB pixels (N, H, W, 3): uint8 in 0..255, or float32 in 0..1."""


class Backend(Protocol):
    """Runs one artefact. Whoever opens a backend closes it."""

    @property
    def spec(self) -> ModelSpec:
        """What the artefact is and what it requires."""

    @property
    def limits(self) -> Limits:
        """Which shapes it takes, and how much memory a batch may use."""

    def run(self, batch: Batch, geometry: Geometry | None = None) -> Batch:
        """Upscale (N, H, W, 3) to (N, scale*H, scale*W, 3) of the same dtype; a new array, which is the caller's.

        geometry: one pair of interpolation matrices per item where the items are windows of larger images; None for
        whole images and for networks without ESA. Raises UnsuitableBatch, OutOfMemory or another BackendError.
        """

    def prepare(self, shape: tuple[int, int, int]) -> Callable[[], None]:
        """A function that runs one batch (N, H, W) in buffers of the backend and waits for it: what benchmarks time."""

    def close(self) -> None:
        """Free everything; calling it twice is harmless."""
