"""Upscale, look at the result, and mend what is broken: a picture's pixels with a guard over them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from srn_deploy.backends.protocol import Backend
from srn_deploy.errors import UnsuitableBatch
from srn_deploy.image.alpha import settle, solidified
from srn_deploy.image.bicubic import resize
from srn_deploy.inference.guard import Guard, Verdict, inspect, local_means
from srn_deploy.inference.upscale import OnTile, check_takes, grey_of, takes, upscale_parts, upscale_planes
from srn_deploy.spec import Precision
from srn_deploy.tiling.windows import TileOptions, is_tileable

Pixels = NDArray[Any]

Damages = tuple[str, ...]
"""What the guard found in a picture, as sentences for the user."""

REPAIR_TILE_PX = 96
"""Side of what is mended at a time, in input pixels: bounds the memory, and what is run again beside a broken block."""

GROWN_PX, RAMP_PX = 4, 8
"""A repair reaches this far beyond a broken block, and fades out over this many input pixels more."""

_BICUBIC_REACH_PX = 4


class Companion:
    """The same model in FP32 with float pixels, opened when it is first wanted. Whoever made it closes it.

    It runs pictures of 16 bits where the artefact takes 8, and blocks again that broke in FP16.
    """

    def __init__(self, open_it: Callable[[], Backend] | None = None) -> None:
        self._open_it = open_it
        self._backend: Backend | None = None

    def __bool__(self) -> bool:
        return self._open_it is not None

    def opened(self) -> Backend | None:
        """The backend; None where there is no such model."""
        if self._backend is None and self._open_it is not None:
            self._backend = self._open_it()
        return self._backend

    def close(self) -> None:
        """Free the backend, if it was opened."""
        if self._backend is not None:
            self._backend.close()
            self._backend = None


@dataclass(frozen=True, kw_only=True)
class Damage:
    """What the guard found in a picture, and what was done about it. Counts are of blocks."""

    blocks: int = 0
    broken: int = 0
    first: tuple[int, int] = (0, 0)
    """(row, column) of the first broken block, in output pixels."""
    run_again: int = 0
    """Mended by running them again in FP32."""
    bicubic: int = 0
    """Where the network itself diverged: replaced by bicubic interpolation."""

    def sentence(self, what: str = "picture") -> str:
        """For the user; empty where nothing is broken."""
        if not self.broken:
            return ""
        row, col = self.first
        found = (f"{_percent(self.broken / self.blocks)} of the {what} does not resemble the input, the first place at "
                 f"column {col}, row {row}: the network broke there")
        if not (self.run_again or self.bicubic):
            return f"{found}. Look at it; --guard repair mends it."
        done = [f"{count} {how}" for count, how in ((self.run_again, "run again in FP32"),
                                                    (self.bicubic, "replaced by bicubic interpolation")) if count]
        return f"{found}. Of {self.broken} blocks: {', '.join(done)}."


def upscale_guarded(image_hwc: Pixels, backend: Backend, options: TileOptions | None = None,
                    on_tile: OnTile = lambda done, total: None, *, guard: Guard = Guard.WARN,
                    companion: Companion | None = None) -> tuple[Pixels, Damage]:
    """As `upscale_planes`, looked at afterwards; with Guard.REPAIR broken blocks are mended.

    Pixels of more than 8 bits are run by the companion where the backend would cut them. Beyond the repair and its
    soft edge every pixel stays what the network gave. Grey is looked at as the RGB that the network made of it:
    much of what breaks shows in its colour.
    """
    chosen = backend_for(image_hwc.dtype, backend, companion)
    if guard is Guard.OFF:
        return upscale_planes(image_hwc, chosen, options, on_tile), Damage()
    if image_hwc.shape[2] == 1:
        rgb, damage = upscale_guarded(np.repeat(image_hwc, 3, axis=2), chosen, options, on_tile, guard=guard,
                                      companion=companion)
        return grey_of(rgb), damage
    upscaled = upscale_planes(image_hwc, chosen, options, on_tile)
    verdict = inspect(image_hwc, upscaled, chosen.spec.scale)
    if not verdict.broken.any():
        return upscaled, Damage(blocks=verdict.broken.size)
    if guard is Guard.REPAIR:
        return upscaled, _repaired(image_hwc, upscaled, verdict, chosen, options, companion)
    return upscaled, _damage(verdict, chosen.spec.scale)


def upscale_picture(colour: Pixels, alpha: Pixels | None, backend: Backend, options: TileOptions | None = None,
                    on_tile: OnTile = lambda done, total: None, *, guard: Guard = Guard.WARN,
                    companion: Companion | None = None) -> tuple[Pixels, Pixels | None, Damages]:
    """Colour (H, W, 1 or 3) and alpha (H, W, 1), apart; and what the guard found.

    What is hidden by transparency does not bleed into the visible edge: its colour becomes that of visible pixels
    nearby. Alpha runs as a grey picture, and stays exactly opaque or transparent away from its edges; where it is the
    same everywhere, nothing is run.
    """
    if alpha is not None:
        colour = solidified(colour, alpha)
    large, damage = upscale_guarded(colour, backend, options, on_tile, guard=guard, companion=companion)
    found = {"picture": damage}
    large_alpha = None
    if alpha is not None and (alpha == alpha.flat[0]).all():
        large_alpha = np.full((*large.shape[:2], 1), alpha.flat[0])
    elif alpha is not None:
        large_alpha, found["transparency"] = upscale_guarded(alpha, backend, options, on_tile, guard=guard,
                                                             companion=companion)
        settle(alpha, large_alpha, large.shape[0] // colour.shape[0])
    return large, large_alpha, tuple(filter(None, (damage.sentence(what) for what, damage in found.items())))


def upscale_array(image: Pixels, backend: Backend, options: TileOptions | None = None,
                  on_tile: OnTile = lambda done, total: None, *, guard: Guard = Guard.WARN,
                  companion: Companion | None = None) -> tuple[Pixels, Damages]:
    """Upscale (H, W), (H, W, 1), (H, W, 3) or (H, W, 4): grey, RGB or RGBA; uint8, uint16 or float32 in 0..1.

    Grey runs as equal RGB and comes back grey. Raises UnsuitableBatch for other shapes and dtypes.
    """
    shaped = image[..., None] if image.ndim == 2 else image
    if shaped.ndim != 3 or shaped.shape[2] not in (1, 3, 4) or 0 in shaped.shape:
        raise UnsuitableBatch(f"A picture has shape (H, W), (H, W, 1), (H, W, 3) or (H, W, 4), not {image.shape}.",
                              remedy="Give one picture with its channels last.")
    alpha = shaped[..., 3:] if shaped.shape[2] == 4 else None
    large, large_alpha, found = upscale_picture(shaped[..., :3], alpha, backend, options, on_tile, guard=guard,
                                                companion=companion)
    if large_alpha is not None:
        large = np.concatenate([large, large_alpha], axis=2)
    return (large[..., 0] if image.ndim == 2 else large), found


def backend_for(dtype: np.dtype[Any], backend: Backend, companion: Companion | None) -> Backend:
    """The backend, or the companion where only that keeps the pixels whole; raises UnsuitableBatch if neither does."""
    if not takes(dtype, backend.spec):
        precise = companion.opened() if companion else None
        if precise is not None and takes(dtype, precise.spec):
            return precise
    check_takes(dtype, backend.spec)
    return backend


def _damage(verdict: Verdict, scale: int, *, run_again: int = 0, bicubic: int = 0) -> Damage:
    row, col = verdict.first()
    return Damage(blocks=verdict.broken.size, broken=int(verdict.broken.sum()), first=(row * scale, col * scale),
                  run_again=run_again, bicubic=bicubic)


def _repaired(image: Pixels, canvas: Pixels, verdict: Verdict, backend: Backend, options: TileOptions | None,
              companion: Companion | None) -> Damage:
    """Mend the canvas in place: in FP32 what broke in FP16, by bicubic interpolation what is broken then."""
    scale, left, weights = backend.spec.scale, verdict, soft_mask(verdict)
    precise = companion.opened() if companion and backend.spec.precision is Precision.FP16 else None
    if precise is not None and is_tileable(precise.spec):
        _lay_over(canvas, weights, _again(image, precise, weights, options), scale)
        left = inspect(image, canvas, scale)
        weights = soft_mask(left)
    if left.broken.any():
        _lay_over(canvas, weights, _interpolated(image, weights, scale), scale)
    bicubic = int(left.broken.sum())
    return _damage(verdict, scale, run_again=int((verdict.broken & ~left.broken).sum()), bicubic=bicubic)


Patch = tuple[int, int, Pixels]
"""Row and column in input pixels, and upscaled pixels from there on."""


def _again(image: Pixels, precise: Backend, weights: NDArray[np.float32],
           options: TileOptions | None) -> Iterator[Patch]:
    for tile, pixels in upscale_parts(image, precise, weights > 0, REPAIR_TILE_PX, options):
        yield tile.rows.core_start, tile.cols.core_start, pixels


def _interpolated(image: Pixels, weights: NDArray[np.float32], scale: int) -> Iterator[Patch]:
    height, width = image.shape[:2]
    for row in range(0, height, REPAIR_TILE_PX):
        for col in range(0, width, REPAIR_TILE_PX):
            stop_row, stop_col = min(row + REPAIR_TILE_PX, height), min(col + REPAIR_TILE_PX, width)
            if weights[row:stop_row, col:stop_col].any():
                yield row, col, _enlarged(image, (row, stop_row), (col, stop_col), scale)


def _enlarged(image: Pixels, rows: tuple[int, int], cols: tuple[int, int], scale: int) -> NDArray[np.float64]:
    """A part of (H, W, C), enlarged by bicubic interpolation as the whole would be; neither rounded nor clipped."""
    top, left = max(rows[0] - _BICUBIC_REACH_PX, 0), max(cols[0] - _BICUBIC_REACH_PX, 0)
    window = image[top:rows[1] + _BICUBIC_REACH_PX, left:cols[1] + _BICUBIC_REACH_PX]
    large = resize(window, window.shape[0] * scale, window.shape[1] * scale)
    return large[(rows[0] - top) * scale:(rows[1] - top) * scale, (cols[0] - left) * scale:(cols[1] - left) * scale]


def soft_mask(verdict: Verdict) -> NDArray[np.float32]:
    """(H, W) weights of a repair: 1 on broken blocks and GROWN_PX around them, 0 from RAMP_PX further on."""
    broken = verdict.mask().astype(np.float32)[..., None]
    grown = local_means(broken, GROWN_PX + RAMP_PX // 2) > 0
    return np.asarray(local_means(grown.astype(np.float32), RAMP_PX // 2)[..., 0])


def _lay_over(canvas: Pixels, weights: NDArray[np.float32], patches: Iterator[Patch], scale: int) -> None:
    """Blend patches into the canvas; where the weight is 0 nothing changes."""
    for row, col, patch in patches:
        height, width = (min(patch.shape[0] // scale, weights.shape[0] - row),
                         min(patch.shape[1] // scale, weights.shape[1] - col))
        share = _enlarged(weights[..., None], (row, row + height), (col, col + width), scale)
        part = canvas[row * scale:(row + height) * scale, col * scale:(col + width) * scale]
        new = patch[:height * scale, :width * scale].astype(np.float64)
        old = np.where(np.isfinite(part), part, new)
        blended = np.where(share <= 0, part, old + (new - old) * np.minimum(share, 1.0))
        part[...] = _in_range(blended, part.dtype)


def _in_range(values: NDArray[np.float64], dtype: np.dtype[Any]) -> Pixels:
    if np.issubdtype(dtype, np.integer):
        values = np.rint(np.clip(values, 0, np.iinfo(dtype).max))
    return values.astype(dtype)


def _percent(share: float) -> str:
    return "less than 0.1 %" if share < 0.001 else f"{100 * share:.1f} %"
