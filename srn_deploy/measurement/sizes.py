"""Which sizes of images a network takes, and by how much it enlarges them: found by running a few dozen small ones.

The sizes are of the form "multiples of m, from a smallest side on". Reduced to multiples of one number, whether a side
is taken no longer depends on its remainder, so the smallest side can be searched by bisection.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from srn_deploy.errors import BackendError, DeviceUnavailable, OutOfMemory, UnsuitableNetwork
from srn_deploy.tiling.shapes import Size
from srn_deploy.tiling.tiles import rounded_up

Run = Callable[[NDArray[np.float32]], NDArray[np.float32]]
"""A network: images (1, C, h, w) in the range of its weights to (1, C, scale*h, scale*w); raises BackendError for a
size that it does not take."""

_FIRST_SIDES_PX = (48, 64, 60, 70, 84, 96, 120, 128, 168, 192, 256, 320, 360, 384, 448, 512)
"""Tried one after the other until one is taken. Each of 1 to 10, 12, 14, 15, 16, 20, 24 and 32 divides one of the first
eight; the later ones are for networks that take large images only."""

_ENOUGH_PX = 128
"""Where sides up to this lead to results that are no enlargement, larger ones would as well."""

_BEYOND = ((1, 1), (2, 3), (5, 7), (4, 6))
"""(height, width) beyond a size that is taken, in multiples: every remainder by 2, 3 and 4 occurs."""

_FEW_STEP_PX = 16
"""For steps above this only the first two of _BEYOND are run."""

_ABOVE = 8
"""As many multiples above the smallest side are run as well."""


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """What a network takes, in pixels of its input."""

    scale: int
    """Sides of the result to sides of the image."""
    min_side_px: int
    """The smallest side; a multiple of size_multiple_px."""
    size_multiple_px: int
    """Sides must be multiples of this."""

    def fitting(self, side_px: int) -> int:
        """The smallest side that is taken and not below this one."""
        return rounded_up(max(side_px, self.min_side_px), self.size_multiple_px)


def measure_sizes(run: Run, channels: int = 3) -> Sizes:
    """Find scale, smallest side and multiple of the sides, by some 30 runs, most of them below 64 x 64 pixels.

    A size counts as taken where the result is finite and each of its sides is `scale` times that of the image. Scale 1
    is one as any other. Raises UnsuitableNetwork where no size is taken, for a scale that is not the same whole number
    in both directions, and where sizes do not follow the rule above; OutOfMemory and DeviceUnavailable of the run.
    """
    trials = _Trials(run, channels)
    side, scale = _first_side(trials)
    step = _multiple(trials, scale, side)
    if not trials.takes(scale, (2 * side + step, side)) or not trials.takes(scale, (side, 4 * side + step)):
        raise _irregular(trials, scale)
    return Sizes(scale=scale, min_side_px=_smallest(trials, scale, side, step), size_multiple_px=step)


def taking_any_size(run: Run, sizes: Sizes) -> Run:
    """The same network for images of every size: they are padded by reflection, and the results cropped."""
    def run_padded(image: NDArray[np.float32]) -> NDArray[np.float32]:
        height, width = image.shape[2:]
        missing = sizes.fitting(height) - height, sizes.fitting(width) - width
        padded = np.pad(image, ((0, 0), (0, 0), (0, missing[0]), (0, missing[1])), mode="reflect")
        return run(padded)[:, :, :height * sizes.scale, :width * sizes.scale]
    return run_padded


@dataclass(frozen=True, kw_only=True)
class _Outcome:
    """What came of one size."""

    scale: int | None = None
    """None where it was not taken."""
    reason: str = ""
    """Why not, as the end of a sentence about the size."""
    returned: bool = False
    """Whether there was a result."""


@dataclass
class _Trials:
    """Runs a network, each size once, and remembers what came of it."""

    run: Run
    channels: int
    outcomes: dict[Size, _Outcome] = field(default_factory=dict)

    def scale_of(self, size: Size) -> int | None:
        """The scale at this size; None where it is not taken."""
        if size not in self.outcomes:
            self.outcomes[size] = self._outcome(size)
        return self.outcomes[size].scale

    def takes(self, scale: int, *sizes: Size) -> bool:
        """Whether all these sizes are taken and enlarged by this scale."""
        return all(self.scale_of(size) == scale for size in sizes)

    def _outcome(self, size: Size) -> _Outcome:
        image = np.random.default_rng(0).random((1, self.channels, *size), dtype=np.float32)
        try:
            result = self.run(image)
        except (OutOfMemory, DeviceUnavailable):
            raise
        except BackendError as error:
            return _Outcome(reason=f"fails: {error.message}")
        return _judged(size, self.channels, np.asarray(result))


def _judged(size: Size, channels: int, result: NDArray[np.float32]) -> _Outcome:
    if result.ndim != 4 or result.shape[:2] != (1, channels):  # NCHW
        return _Outcome(reason=f"gives {result.shape} for {(1, channels, *size)}", returned=True)
    (height, width), (rows, cols) = size, result.shape[2:]
    if rows < height or rows % height or cols % width or rows // height != cols // width:
        return _Outcome(reason=f"gives {rows} x {cols} px", returned=True)
    if not np.isfinite(result).all():
        return _Outcome(reason="gives values that are not finite", returned=True)
    return _Outcome(scale=rows // height, returned=True)


def _first_side(trials: _Trials) -> tuple[int, int]:
    """The first square that is taken, and its scale."""
    for side in _FIRST_SIDES_PX:
        scale = trials.scale_of((side, side))
        if scale is not None:
            return side, scale
        if side >= _ENOUGH_PX and any(outcome.returned for outcome in trials.outcomes.values()):
            break
    sizes = list(trials.outcomes)
    raise UnsuitableNetwork(
        f"The network enlarges images of none of the sizes that were tried, {_in_words(sizes[0])} to "
        f"{_in_words(sizes[-1])} px: {trials.outcomes[sizes[-1]].reason}.",
        remedy="A network for super-resolution takes one image and enlarges height and width by the same whole number; "
               "check that it is one, and that its settings are right.")


def _multiple(trials: _Trials, scale: int, side: int) -> int:
    """The smallest step whose multiples are taken: it divides every side that is."""
    for step in (divisor for divisor in range(1, side + 1) if side % divisor == 0):
        beyond = _BEYOND if step <= _FEW_STEP_PX else _BEYOND[:2]
        if trials.takes(scale, *((side + down * step, side + right * step) for down, right in beyond)):
            return step
    raise _irregular(trials, scale)


def _smallest(trials: _Trials, scale: int, side: int, step: int) -> int:
    """The smallest multiple of the step from which on all are taken, as height and as width."""
    fails, taken = 0, side // step
    while taken - fails > 1:
        middle = (taken + fails) // 2
        if trials.takes(scale, (middle * step, middle * step)):
            taken = middle
        else:
            fails = middle
    while taken * step < side:
        wrong = [count for count, size in _near(taken, side, step) if not trials.takes(scale, size)]
        if not wrong:
            break
        taken = max(wrong) + 1
    return taken * step


def _near(taken: int, side: int, step: int) -> Iterator[tuple[int, Size]]:
    """Sizes that are taken where `taken` is the smallest side in steps, each with the side that it is about."""
    most = side // step
    yield taken, (taken * step, side)
    yield taken, (side, taken * step)
    counts = {*range(taken, taken + _ABOVE), *range(taken + _ABOVE, most, max(1, (most - taken) // 4))}
    for count in sorted(counts):
        if count < most:
            yield count, (count * step, (count + 1) * step)


def _irregular(trials: _Trials, scale: int) -> UnsuitableNetwork:
    taken = [size for size, outcome in trials.outcomes.items() if outcome.scale == scale]
    other = [size for size in trials.outcomes if size not in taken and min(size) >= min(taken[0])]
    shown = ", ".join(map(_in_words, taken[:3]))
    reason = trials.outcomes[other[0]].reason or f"enlarges {trials.outcomes[other[0]].scale} times"
    return UnsuitableNetwork(
        f"The network takes images of {shown} px, but not of {', '.join(map(_in_words, other[:4]))} px: at "
        f"{_in_words(other[0])} px it {reason}.",
        remedy="It has to take all sides that are multiples of one number; export it with sizes that vary, or choose "
               "settings with which it does.")


def _in_words(size: Size) -> str:
    return f"{size[0]} x {size[1]}"
