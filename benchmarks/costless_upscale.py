"""What huge_pictures.py and many_pictures.py run to see all but the network: `upscale` with one that costs nothing.

    python benchmarks/costless_upscale.py IN OUT [SCALE [AT_ONCE]]

It repeats every pixel four times each way, in tiles as large as those of a network with the figures of SPEC.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from srn_deploy.image.output_size import OutputSize
from srn_deploy.inference.jobs import run_jobs
from srn_deploy.inference.plan import plan_jobs
from srn_deploy.inference.result_options import ResultOptions
from srn_deploy.inference.setup import Setup
from srn_deploy.spec import Form, ModelSpec, PixelType
from srn_deploy.tiling.interpolation import Geometry
from srn_deploy.tiling.shapes import Limits
from srn_deploy.tiling.windows import ImageBatching

SPEC = ModelSpec(architecture="nearest", options={}, scale=4, value_range=1.0, form=Form.DEPLOY,
                 pixel_type=PixelType.UINT8, alignment_px=6, halo_px=48, activation_bytes_per_px=1408)
"""Scale, grid, halo and memory are those of srn-s-b4-x4."""


class CostlessBackend:
    """A whole backend that repeats every pixel."""

    spec = SPEC
    limits = Limits()

    def run(self, batch: NDArray[Any], geometry: Geometry | None = None) -> NDArray[Any]:
        """Every pixel, scale x scale times."""
        return batch.repeat(self.spec.scale, axis=1).repeat(self.spec.scale, axis=2)

    def prepare(self, shape: tuple[int, int, int]) -> Callable[[], None]:
        """A run on nothing."""
        pixels = np.zeros((*shape, 3), np.uint8)

        def run() -> None:
            self.run(pixels)

        return run

    def close(self) -> None:
        """There is nothing to free."""


def main(source: str, target: str, scale: str = "", at_once: str = "1") -> None:
    """Upscale a file or a folder; raises what went wrong.

    scale: of the result; empty: that of SPEC. at_once: how many images of one size are run in a batch.
    """
    wanted = ResultOptions(size=OutputSize(scale=float(scale) if scale else None))
    setup = Setup(CostlessBackend(), batching=ImageBatching(images=int(at_once)))
    for outcome in run_jobs(plan_jobs(source, target, wanted=wanted), setup):
        if outcome.error is not None:
            raise outcome.error


if __name__ == "__main__":
    main(*sys.argv[1:])
