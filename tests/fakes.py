"""A whole backend in a few lines: nearest neighbour, so that tiling can be tested bit for bit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from srn_deploy.spec import Form, ModelSpec, PixelType
from srn_deploy.tiling.interpolation import Geometry
from srn_deploy.tiling.shapes import Limits

NEAREST = ModelSpec(architecture="nearest", options={}, scale=2, value_range=1.0, form=Form.DEPLOY,
                    pixel_type=PixelType.UINT8, activation_bytes_per_px=100)


@dataclass
class NearestBackend:
    """Every pixel repeated; remembers the shapes it was given."""

    spec: ModelSpec = NEAREST
    limits: Limits = field(default_factory=Limits)
    shapes: list[tuple[int, ...]] = field(default_factory=list)
    closed: bool = False

    def run(self, batch: NDArray[Any], geometry: Geometry | None = None) -> NDArray[Any]:
        self.shapes.append(batch.shape)
        return batch.repeat(self.spec.scale, axis=1).repeat(self.spec.scale, axis=2)

    def prepare(self, shape: tuple[int, int, int]) -> Callable[[], None]:
        pixels = np.zeros((*shape, 3), np.uint8)
        return lambda: void(self.run(pixels))

    def close(self) -> None:
        self.closed = True


def void(value: object) -> None:
    """Forget a result."""
