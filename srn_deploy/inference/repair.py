"""Repair of broken blocks: run them again in FP32, or replace them by bicubic interpolation, with a soft edge."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from srn_deploy.backends.protocol import Backend
from srn_deploy.image.bicubic import resize
from srn_deploy.inference.guard import BLOCK_PX, Verdict, inspect_rows, local_means
from srn_deploy.inference.setup import Setup
from srn_deploy.inference.upscale import upscale_parts
from srn_deploy.spec import Precision
from srn_deploy.tiling.rows import RowReader, Rows
from srn_deploy.tiling.tiles import PixelArray
from srn_deploy.tiling.windows import TileOptions, is_tileable

REPAIR_TILE_PX = 96
"""Side of what is repaired at once, in input pixels: bounds the memory, and what is run again around a broken block."""

GROWN_PX, RAMP_PX = 4, 8
"""A repair reaches this far beyond a broken block, and fades out over this many input pixels more."""

_BICUBIC_REACH_PX = 4

_LARGEST_BLOCK_PX = 2 * BLOCK_PX - 1

REACH_PX = 2 * (_LARGEST_BLOCK_PX + GROWN_PX + RAMP_PX + _BICUBIC_REACH_PX)
"""How far a repair looks, in input pixels: at the soft edge of broken blocks, once before they are run again and once
after."""


REMEDY = "Look at it; --guard repair fixes it."
"""The end of the sentence about an image that was left as it is."""


@dataclass(frozen=True, kw_only=True)
class GuardFindings:
    """What the guard found in an image, and what was done about it. Counts are of blocks."""

    blocks: int = 0
    broken: int = 0
    first: tuple[int, int] = (0, 0)
    """(row, column) of the first broken block, in output pixels."""
    run_again: int = 0
    """Repaired by running them again in FP32."""
    bicubic: int = 0
    """Where the network itself diverged: replaced by bicubic interpolation."""

    def sentence(self, what: str = "image") -> str:
        """One or two sentences for the user; empty where nothing is broken."""
        if not self.broken:
            return ""
        row, col = self.first
        found = (f"{_percent(self.broken / self.blocks)} of the {what} does not resemble the input, the first place at "
                 f"column {col}, row {row}: the network broke there")
        if not (self.run_again or self.bicubic):
            return f"{found}. {REMEDY}"
        done = [f"{count} {how}" for count, how in ((self.run_again, "run again in FP32"),
                                                    (self.bicubic, "replaced by bicubic interpolation")) if count]
        return f"{found}. Of {self.broken} blocks: {', '.join(done)}."


def findings_of(verdict: Verdict, scale: int, left: Verdict | None = None) -> GuardFindings:
    """A verdict in numbers; left: the one after broken blocks were run again, where they were repaired."""
    row, col = verdict.first() or (0, 0)
    run_again = 0 if left is None else int((verdict.broken & ~left.broken).sum())
    return GuardFindings(blocks=verdict.broken.size, broken=int(verdict.broken.sum()),
                         first=(row * scale, col * scale), run_again=run_again,
                         bicubic=0 if left is None else int(left.broken.sum()))


def repair(image: RowReader, upscaled: Rows, verdict: Verdict, backend: Backend, setup: Setup) -> Verdict:
    """Repair broken blocks of `upscaled` in place: rerun in FP32 what broke in FP16 or BF16, interpolate the rest.

    image: the input, (H, W, 3). upscaled: the rows of the verdict's blocks, which `backend` made. Returns what was
    still broken before the interpolation. Of a part of an image, rows at least REACH_PX input pixels away from a cut
    become what they become in the whole.
    """
    scale, left, weights = backend.spec.scale, verdict, soft_mask(verdict)
    precise = setup.fallback.opened() if backend.spec.precision is not Precision.FP32 else None
    if precise is not None and is_tileable(precise.spec):
        _blend(upscaled, weights, _run_again(image, precise, weights, setup.tiles), scale)
        left = inspect_rows(image, upscaled, scale, verdict.row_edges)
        weights = soft_mask(left)
    if left.broken.any():
        _blend(upscaled, weights, _interpolated(image, weights, scale), scale)
    return left


Patch = tuple[int, int, PixelArray]
"""Row and column in input pixels, and upscaled pixels from there on."""


def _run_again(image: RowReader, precise: Backend, weights: Rows, options: TileOptions | None) -> Iterator[Patch]:
    wanted = Rows(weights.pixels > 0, weights.top)
    for tile, pixels in upscale_parts(image, precise, wanted, REPAIR_TILE_PX, options):
        yield tile.rows.core_start, tile.cols.core_start, pixels


def _interpolated(image: RowReader, weights: Rows, scale: int) -> Iterator[Patch]:
    height, width = image.shape[:2]
    for row in range(weights.top - weights.top % REPAIR_TILE_PX, weights.bottom, REPAIR_TILE_PX):
        for col in range(0, width, REPAIR_TILE_PX):
            stop_row, stop_col = min(row + REPAIR_TILE_PX, height), min(col + REPAIR_TILE_PX, width)
            if weights.between(row, stop_row)[:, col:stop_col].any():
                yield row, col, _enlarged(image, (row, stop_row), (col, stop_col), scale)


def _enlarged(image: RowReader, rows: tuple[int, int], cols: tuple[int, int], scale: int) -> NDArray[np.float64]:
    """Part of (H, W, C), enlarged by bicubic interpolation exactly as in the whole; neither rounded nor clipped."""
    top, left = max(rows[0] - _BICUBIC_REACH_PX, 0), max(cols[0] - _BICUBIC_REACH_PX, 0)
    window = image.between(top, rows[1] + _BICUBIC_REACH_PX)[:, left:cols[1] + _BICUBIC_REACH_PX]
    large = resize(window, window.shape[0] * scale, window.shape[1] * scale)
    return large[(rows[0] - top) * scale:(rows[1] - top) * scale, (cols[0] - left) * scale:(cols[1] - left) * scale]


def soft_mask(verdict: Verdict) -> Rows:
    """(rows, W, 1) weights of a repair: 1 on broken blocks and GROWN_PX around them, 0 from RAMP_PX further on."""
    broken = verdict.mask().astype(np.float32)[..., None]
    grown = local_means(broken, GROWN_PX + RAMP_PX // 2) > 0
    return Rows(np.asarray(local_means(grown.astype(np.float32), RAMP_PX // 2)), int(verdict.row_edges[0]))


def _blend(canvas: Rows, weights: Rows, patches: Iterator[Patch], scale: int) -> None:
    """Blend patches into the canvas in place; where the weight is 0 nothing changes."""
    for row, col, patch in patches:
        first, last = max(row, weights.top), min(row + patch.shape[0] // scale, weights.bottom)
        width = min(patch.shape[1] // scale, weights.shape[1] - col)
        share = _enlarged(Rows(weights.pixels), (first - weights.top, last - weights.top), (col, col + width), scale)
        part = canvas.between(first * scale, last * scale)[:, col * scale:(col + width) * scale]
        new = patch[(first - row) * scale:(last - row) * scale, :width * scale].astype(np.float64)
        old = np.where(np.isfinite(part), part, new)
        blended = np.where(share <= 0, part, old + (new - old) * np.minimum(share, 1.0))
        part[...] = _in_range(blended, part.dtype)


def _in_range(values: NDArray[np.float64], dtype: np.dtype[Any]) -> PixelArray:
    if np.issubdtype(dtype, np.integer):
        values = np.rint(np.clip(values, 0, np.iinfo(dtype).max))
    return values.astype(dtype)


def _percent(share: float) -> str:
    return "less than 0.1 %" if share < 0.001 else f"{100 * share:.1f} %"
