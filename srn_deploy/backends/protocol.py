"""What every backend is: five members."""

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
    """Something that runs an artefact. Whoever opened it closes it."""

    @property
    def spec(self) -> ModelSpec:
        """What the artefact is and what it asks for."""

    @property
    def limits(self) -> Limits:
        """Which windows it takes, and how much memory they may use."""

    def run(self, batch: Batch, geometry: Geometry | None = None) -> Batch:
        """Upscale (N, H, W, 3) to (N, scale*H, scale*W, 3) of the same dtype; a fresh array.

        geometry: one pair of matrices per item for windows of larger pictures; None for whole pictures
        and for networks without ESA. Raises UnsuitableBatch, OutOfMemory or another BackendError.
        """

    def prepare(self, shape: tuple[int, int, int]) -> Callable[[], None]:
        """A step that runs (N, H, W) once on resident buffers, which stay the backend's; what is timed."""

    def close(self) -> None:
        """Free everything; calling it twice is harmless."""
