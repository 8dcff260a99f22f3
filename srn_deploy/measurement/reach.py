"""How far one pixel of the input is felt in the output, to one side: the receptive field, found by disturbing pixels.

A NaN goes wherever the network looks, so that one pass shows the reach. Some implementations swallow it: ReLU and
max-pooling of a NaN may be a number. So the same pixel is also made very large, and very small, and what differs from
the undisturbed result counts as much as NaN does.

A network with ESA or other pooled cells reaches far, in a small image everywhere, and so does one that takes statistics
over the whole image. They are told apart by long strips: a reach ends somewhere, a statistic does not. And because a
maximum over the image swallows a single pixel, a quarter of the strip is replaced by stronger contrast too: where its
far ends change, something has seen the whole image.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from srn_deploy.measurement.sizes import Run, Sizes

LENGTHS_PX = (256, 1024, 4096)
"""Of the strips, tried one after the other while the ends of the last one were reached."""

_LEAST_THICKNESS_PX = 8

_ROUNDING = 1e-6
"""Relative to the largest value of the result: what one and the same sum may differ by."""

_BEYOND_REACH = 1e-4
"""As above: what is felt so strongly over hundreds of pixels is a statistic, and not the end of a reach."""

_STRONG = 1e3

_FEW_POSITIONS = 4

_Image = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class Reach:
    """How far the network looks."""

    px: int | None
    """_Image of the input to one side; a tile with so much context equals the whole image. None: the whole image."""

    @property
    def whole_picture(self) -> bool:
        """Whether it takes statistics over the whole image, or reaches as far."""
        return self.px is None


def measure_reach(run: Run, sizes: Sizes, channels: int = 3, value_range: float = 1.0) -> Reach:
    """Find the reach, in both directions and for every position within a step of the sides.

    Exact where each pixel of the output depends on the same neighbours, apart from weights that are zero; with pooled
    cells it is what was seen at the positions tried. Raises BackendError of the run.
    """
    reaches = [_strip_reach(run, sizes, channels, value_range, axis) for axis in (2, 3)]
    farthest = [reach for reach in reaches if reach is not None]
    return Reach(px=max(farthest) if len(farthest) == len(reaches) else None)


def _strip_reach(run: Run, sizes: Sizes, channels: int, value_range: float, axis: int) -> int | None:
    """Along one axis of (1, C, h, w); None where it has no end."""
    thickness = sizes.fitting(_LEAST_THICKNESS_PX)
    for length in LENGTHS_PX:
        side = sizes.fitting(max(length, 8 * thickness))
        shape = (1, channels, side, thickness) if axis == 2 else (1, channels, thickness, side)
        strip = value_range * np.random.default_rng(0).random(shape, dtype=np.float32)
        reach = _Strip(run, sizes.scale, strip, axis).reach(sizes.size_multiple_px, value_range)
        if reach is not None:
            return reach
        if length > LENGTHS_PX[0] and _Strip(run, sizes.scale, strip, axis).end_changes(value_range, _BEYOND_REACH):
            break
    return None


class _Strip:
    """A long thin image, its result, and what changes in it."""

    def __init__(self, run: Run, scale: int, strip: _Image, axis: int) -> None:
        self._run, self._scale, self._strip, self._axis = run, scale, strip, axis
        self._length = strip.shape[axis]
        self._result = run(strip)

    def reach(self, step: int, value_range: float) -> int | None:
        """The largest distance in LR pixels; None where an end of the strip changes."""
        farthest = 0
        for position in self._positions(step):
            for disturbance in (np.nan, _STRONG * value_range, -_STRONG * value_range):
                changed = np.flatnonzero(self._changed(self._disturbed(position, disturbance), _ROUNDING))
                if not changed.size:
                    continue
                first, last = changed[0], changed[-1]
                if first == 0 or last == self._length - 1:
                    return None
                farthest = max(farthest, position - first, last - position)
        return None if self.end_changes(value_range, _ROUNDING) else int(farthest)

    def end_changes(self, value_range: float, tolerance: float) -> bool:
        """Whether an end of the strip, a sixteenth of it, feels what its middle quarter is."""
        start, stop = self._length * 3 // 8, self._length * 5 // 8
        shape = np.take(self._strip, range(start, stop), axis=self._axis).shape
        stronger = 4 * value_range * (np.random.default_rng(1).random(shape, dtype=np.float32) - 0.25)
        changed = self._changed(self._with(start, stop, stronger.astype(np.float32)), tolerance)
        end = self._length // 16
        return bool(changed[:end].any() or changed[-end:].any())

    def _positions(self, step: int) -> Iterator[int]:
        """In the middle, every remainder by the step."""
        middle = self._length // 2 // step * step
        offsets = range(max(step, _FEW_POSITIONS)) if step <= 8 else (0, 1, step // 2, step - 1)
        return (middle + offset for offset in offsets)

    def _disturbed(self, position: int, value: float) -> _Image:
        """One pixel, in the middle of the thickness, has this value in all channels."""
        disturbed = self._strip.copy()
        across = self._strip.shape[5 - self._axis] // 2
        row, col = (position, across) if self._axis == 2 else (across, position)
        disturbed[:, :, row, col] = value
        return disturbed

    def _with(self, start: int, stop: int, part: _Image) -> _Image:
        changed = self._strip.copy()
        np.moveaxis(changed, self._axis, 0)[start:stop] = np.moveaxis(part, self._axis, 0)
        return changed

    def _changed(self, strip: _Image, tolerance: float) -> NDArray[np.bool_]:
        """Which LR pixels along the strip have another result than the undisturbed strip."""
        result = self._run(strip)
        bound = tolerance * float(np.abs(self._result).max())
        differs = ~(np.abs(result - self._result) <= bound)  # NaN differs as well
        along = np.moveaxis(differs, self._axis, 0).reshape(self._length, self._scale, -1)
        return np.asarray(along.any(axis=(1, 2)))
