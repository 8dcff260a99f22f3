"""What the backends share at their doors: is this batch one that the artefact can take?"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from srn_deploy.backends.protocol import Batch
from srn_deploy.contract import ModelSpec
from srn_deploy.errors import UnsuitableBatch
from srn_deploy.geometry import Geometry, whole_geometry


def check_batch(batch: Batch, geometry: Geometry | None, spec: ModelSpec, pixel_types: Sequence[str]) -> None:
    """Raise UnsuitableBatch unless batch is (N, H, W, 3) of an allowed dtype and large enough."""
    if batch.ndim != 4 or batch.shape[3] != 3 or batch.shape[0] < 1:
        raise UnsuitableBatch(f"A batch has shape (N, H, W, 3), not {batch.shape}.",
                              remedy="Stack RGB pictures of equal size.")
    if str(batch.dtype) not in pixel_types:
        raise UnsuitableBatch(
            f"This artefact takes {' or '.join(pixel_types)}, not {batch.dtype}.",
            remedy="For 16-bit pictures export a float graph: srn-deploy export --io float32." if
            batch.dtype == np.float32 else "Give uint8 in 0..255 or float32 in 0..1.")
    if min(batch.shape[1:3]) < spec.min_side_px:
        raise UnsuitableBatch(f"{batch.shape[1]} x {batch.shape[2]} px is too small for this network.",
                              remedy=f"Reflect the picture to at least {spec.min_side_px} px a side "
                                     "(srn_deploy.Upscaler does).")
    if geometry is not None and not spec.has_esa:
        raise UnsuitableBatch("This network has no ESA and takes no geometry.", remedy="Leave the geometry away.")


def completed_geometry(batch: Batch, geometry: Geometry | None) -> Geometry:
    """The given geometry, or that of whole pictures."""
    return whole_geometry(*batch.shape[:3]) if geometry is None else geometry
