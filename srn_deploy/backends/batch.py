"""Checks of a batch before it is run, and conversions that several backends share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from srn_deploy.backends.protocol import Batch
from srn_deploy.errors import GraphError, UnsuitableBatch
from srn_deploy.spec import Form, ModelSpec, PixelType
from srn_deploy.tiling.interpolation import Geometry, Matrices, whole_geometry
from srn_deploy.tiling.shapes import Limits, ShapeRange

_RANGES = {PixelType.UINT8: "uint8 in 0..255", PixelType.FLOAT32: "float32 in 0..1"}

_KEPT_BYTES = 2**28
"""Activations that may stay allocated between runs."""


def check_batch(batch: Batch, geometry: Geometry | None, spec: ModelSpec, limits: Limits | None = None) -> None:
    """Raise UnsuitableBatch unless the batch is (N, H, W, 3), of an allowed dtype, of a size that the network takes and
    as the geometry. A deploy graph takes the pixel type it was exported for, everything else both.
    """
    if batch.ndim != 4 or batch.shape[3] != 3 or batch.shape[0] < 1:
        raise UnsuitableBatch(f"A batch has shape (N, H, W, 3), not {batch.shape}.",
                              remedy="Stack RGB images of equal size.")
    pixel_types = (spec.pixel_type,) if spec.form is Form.DEPLOY else tuple(PixelType)
    if str(batch.dtype) not in pixel_types:
        remedy = f"Give {' or '.join(_RANGES[kind] for kind in pixel_types)}."
        if batch.dtype == np.float32:
            remedy += " For 16-bit images export a float graph: srn-deploy export --io float32."
        raise UnsuitableBatch(f"This artefact takes {' or '.join(pixel_types)}, not {batch.dtype}.", remedy=remedy)
    check_shape(batch.shape[:3], spec, limits)
    if geometry is not None:
        _check_geometry(batch.shape, geometry, spec)


def check_shape(shape: tuple[int, ...], spec: ModelSpec, limits: Limits | None = None) -> None:
    """Raise UnsuitableBatch for images (N, H, W) of a size that the network does not take.

    limits: of a graph whose sides or number of images may be fixed.
    """
    _, height, width = shape
    if min(height, width) < spec.min_side_px:
        raise UnsuitableBatch(f"{height} x {width} px is too small for this network.",
                              remedy=f"Reflect the image to at least {spec.min_side_px} px a side "
                                     "(srn_deploy.Upscaler does).")
    if height % spec.size_multiple_px or width % spec.size_multiple_px:
        raise UnsuitableBatch(f"{height} x {width} px: this network takes multiples of {spec.size_multiple_px} px.",
                              remedy="Reflect the image to such sides (srn_deploy.Upscaler does).")
    if limits is not None and limits.shapes and not any(one.takes(height, width) for one in limits.shapes):
        raise UnsuitableBatch(f"{height} x {width} px: this graph takes images of "
                              f"{', '.join(map(str, limits.shapes))} (height x width).",
                              remedy="Give it windows of that size (srn_deploy.Upscaler does).")
    if limits is not None and limits.largest_batch is not None and shape[0] > limits.largest_batch:
        raise UnsuitableBatch(f"This graph takes {limits.largest_batch} image at a time, and not {shape[0]}.",
                              remedy="Give it smaller batches.")


def fixed_limits(dimensions: Sequence[object], spec: ModelSpec) -> Limits:
    """What a graph takes by the dimensions of its pixels, which are numbers where they are fixed.

    Raises GraphError where they are not those of images.
    """
    if len(dimensions) != 4:
        raise GraphError(f"The graph takes arrays of {len(dimensions)} dimensions, and no images.",
                         remedy="The file is damaged: export it again.")
    batch, first, second, third = (side if isinstance(side, int) else None for side in dimensions)
    height, width = (second, third) if spec.form is Form.PORTABLE else (first, second)
    shapes = (ShapeRange.of_one((height, width)),) if height and width else ()
    return Limits(shapes=shapes, largest_batch=batch)


def _check_geometry(shape: tuple[int, ...], geometry: Geometry, spec: ModelSpec) -> None:
    if not spec.takes_geometry:
        raise UnsuitableBatch("This artefact takes no geometry: it has no ESA, or it is a portable graph.",
                              remedy="Leave out the geometry; tiles of a network with ESA need its deploy graph.")
    batch, height, width = shape[:3]
    wanted = [(batch, grid.rows(side), grid.cells(side)) for grid in spec.grids for side in (height, width)]
    given = [matrix.shape for pair in zip(geometry.rows, geometry.cols, strict=True) for matrix in pair]
    if given != wanted:
        raise UnsuitableBatch(f"The geometry has shapes {_listed(given)}; this batch needs {_listed(wanted)}.",
                              remedy="Make it with srn_deploy.tiling.tiles.geometry_of for these windows.")


def _listed(shapes: Sequence[tuple[int, ...]]) -> str:
    return " and ".join(map(str, shapes))


def completed_geometry(shape: tuple[int, ...], geometry: Geometry | None, spec: ModelSpec) -> Geometry:
    """The given geometry, or that of whole images for a batch (N, H, W, ...)."""
    return whole_geometry(*shape[:3], grids=spec.grids) if geometry is None else geometry


def to_portable(batch_nhwc: Batch) -> NDArray[np.float32]:
    """From pixels (N, H, W, 3) to float32 (N, 3, H, W) in 0..1."""
    values = batch_nhwc.astype(np.float32)
    if batch_nhwc.dtype == np.uint8:
        values /= 255.0
    return np.ascontiguousarray(values.transpose(0, 3, 1, 2))


def from_portable(upscaled_nchw: Batch, dtype: np.dtype[Any]) -> Batch:
    """From float32 (N, 3, H, W), not clipped, to clipped pixels (N, H, W, 3): uint8, or float32 in 0..1."""
    clipped: NDArray[np.float32] = np.clip(upscaled_nchw.astype(np.float32, copy=False).transpose(0, 2, 3, 1), 0.0, 1.0)
    if dtype == np.uint8:
        rounded: Batch = np.rint(clipped * 255.0).astype(np.uint8)
        return rounded
    return np.ascontiguousarray(clipped)


def matrices_of(batch: Batch, geometry: Geometry | None, spec: ModelSpec) -> dict[str, Matrices]:
    """The interpolation matrices that a graph takes besides its pixels, by the names of its inputs."""
    return completed_geometry(batch.shape, geometry, spec).named() if spec.takes_geometry else {}


def output_shape(shape: tuple[int, ...], spec: ModelSpec) -> tuple[int, ...]:
    """The shape of a graph's output for an input of this shape: NCHW of a portable graph, else NHWC."""
    sides = (2, 3) if spec.form is Form.PORTABLE else (1, 2)
    return tuple(side * spec.scale if axis in sides else side for axis, side in enumerate(shape))


def black_pixels(shape: tuple[int, int, int], spec: ModelSpec) -> Batch:
    """What a graph takes for a batch (N, H, W) of black images."""
    batch, height, width = shape
    return np.zeros((batch, 3, height, width) if spec.form is Form.PORTABLE else (*shape, 3), spec.pixel_type)


def is_large_run(pixels: Batch, spec: ModelSpec) -> bool:
    """Whether a CPU should give back its memory after this batch: it would be kept, and grow with every new shape."""
    return pixels.size // 3 * spec.activation_bytes_per_px >= _KEPT_BYTES
