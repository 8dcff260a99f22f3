"""What is shown of a picture: before and after in one size, whole or pixel for pixel, with what the guard found.

These are pictures for the eye alone, of 8 bits; the result itself is never made from them.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from srn_deploy.errors import PageError
from srn_deploy.image import Image, image_size, read_image, write_image
from srn_deploy.image.containers import MetadataKind
from srn_deploy.image.reduction import reduced_with_alpha
from srn_deploy.inference.guard import Verdict

SIDE_PX = 1600
"""The longer side of a whole picture that is shown."""

MOST_CUT_PX = 4096
"""The longest side of a part that is shown pixel for pixel: more than any screen shows."""

MOST_SHOWN_PIXELS = 150_000_000
"""Larger results are not decoded to be shown: they would take the memory that the network needs."""

MARK_RGB = (255, 0, 200)
"""The outline of what the guard found: a colour that photographs hardly have."""

_SQUARE_PX, _LIGHT, _DARK = 8, 255, 204
_OUTLINE_PX = 2
_CONTEXT_PX = 4

ShownPart = tuple[int, int, int, int]
"""Top, left, height and width in pixels of the result."""


@dataclass(frozen=True, kw_only=True)
class View:
    """Which part is shown: all, or `width` x `height` pixels of the result around a place."""

    is_whole: bool = True
    across: float = 0.5
    down: float = 0.5
    """Where the middle of the part lies, 0..1 of the result."""
    height: int = 480
    width: int = 640

    def part(self, height: int, width: int) -> ShownPart:
        """Of a result of this size."""
        if self.is_whole:
            return 0, 0, height, width
        rows, columns = min(self.height, height, MOST_CUT_PX), min(self.width, width, MOST_CUT_PX)
        return _start(self.down, rows, height), _start(self.across, columns, width), rows, columns


@dataclass(eq=False, kw_only=True)
class _Pair:
    """An original with its result, decoded, and where the guard found it broken, which is looked up once."""

    source: Path
    target: Path
    before: Image
    after: Image
    _broken: NDArray[np.bool_] | None = None

    def broken(self, verdicts: Sequence[Verdict]) -> NDArray[np.bool_]:
        """(H, W) of the original, true where a block is broken. verdicts: always those of this result."""
        if self._broken is None:
            self._broken = np.zeros((self.before.height, self.before.width), bool)
            for verdict in verdicts:
                self._broken[verdict.row_edges[0]:verdict.row_edges[-1]] |= verdict.mask()
        return self._broken


class Shown:
    """Makes views, and keeps the last picture decoded, so that moving over it costs little. Any thread may use it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: _Pair | None = None

    def write(self, source: Path, target: Path, view: View, folder: Path,
              marked: Sequence[Verdict] = ()) -> tuple[Path, Path]:
        """Write before and after as PNG files of one size into a folder, and return their paths.

        Pixel for pixel the size is that of the view, and of a smaller result the rest is transparent.

        marked: the verdicts on the result, whose broken blocks are outlined in both; none: no outlines. Raises
        PageError for a result that is too large to be shown, and what `read_image` raises.
        """
        with self._lock:
            pair = self._decoded(source, target)
            before, after = pair.before, pair.after
            part = view.part(after.height, after.width)
            size = _shown_size(part, is_whole=view.is_whole)
            pictures = _enlarged(before, after, part, size), _as_shown(_cut(after, part), *size)
            if marked:
                mask = _shown_mask(pair.broken(marked), part, after, size)
                pictures = _outlined(pictures[0], mask), _outlined(pictures[1], mask)
            if not view.is_whole:
                pictures = _framed(pictures[0], view), _framed(pictures[1], view)
            folder.mkdir(parents=True, exist_ok=True)
            paths = folder / "before.png", folder / "after.png"
            for path, picture in zip(paths, pictures, strict=True):
                write_image(path, picture, effort="fast")
            return paths

    def forget(self) -> None:
        """Free the last picture."""
        with self._lock:
            self._known = None

    def _decoded(self, source: Path, target: Path) -> _Pair:
        if self._known is None or (self._known.source, self._known.target) != (source, target):
            self._known = None
            height, width = image_size(target)
            if height * width > MOST_SHOWN_PIXELS:
                raise PageError(f"{target.name} has {width} x {height} pixels, too many to be shown here.",
                                remedy="Download it: the file is complete.")
            self._known = _Pair(source=source, target=target, before=read_image(source), after=read_image(target))
        return self._known


def _start(share: float, length: int, side: int) -> int:
    return max(0, min(round(share * side - length / 2), side - length))


def _shown_size(part: ShownPart, *, is_whole: bool) -> tuple[int, int]:
    """(height, width) of what is shown."""
    longest = max(part[2:])
    if not is_whole or longest <= SIDE_PX:
        return part[2:]
    return max(1, part[2] * SIDE_PX // longest), max(1, part[3] * SIDE_PX // longest)


def _cut(image: Image, part: ShownPart) -> Image:
    rows, columns = slice(part[0], part[0] + part[2]), slice(part[1], part[1] + part[3])
    return replace(image, pixels=image.pixels[rows, columns],
                   alpha=None if image.alpha is None else image.alpha[rows, columns])


def _enlarged(before: Image, after: Image, part: ShownPart, size: tuple[int, int]) -> Image:
    """The part of the original that a part of the result stands for, enlarged by bicubic interpolation."""
    tall, wide = Fraction(after.height, before.height), Fraction(after.width, before.width)
    top, bottom = _around(part[0], part[2], tall, before.height)
    left, right = _around(part[1], part[3], wide, before.width)
    window = _cut(before, (top, left, bottom - top, right - left))
    if (part[2], part[3]) != size:  # a whole picture that is reduced
        return _as_shown(window, *size)
    grown = _as_shown(window, round((bottom - top) * tall), round((right - left) * wide))
    start = round(part[0] - top * tall), round(part[1] - left * wide)
    return _cut(grown, (max(0, min(start[0], grown.height - size[0])), max(0, min(start[1], grown.width - size[1])),
                        *size))


def _around(start: int, length: int, ratio: Fraction, side: int) -> tuple[int, int]:
    """The pixels of the original, with some around them, that a part of the result is made of."""
    return (max(0, int(start / ratio) - _CONTEXT_PX), min(side, int((start + length) / ratio) + 1 + _CONTEXT_PX))


def _as_shown(image: Image, height: int, width: int) -> Image:
    """In a size, of 8 bits and opaque: transparent parts lie on squares; with its colour profile."""
    colour, alpha = reduced_with_alpha(image.pixels, image.alpha, height, width)
    levels = colour if colour.dtype == np.uint8 else (colour / 257).round().astype(np.uint8)
    if alpha is not None:
        share = alpha.astype(np.float32) / np.iinfo(alpha.dtype).max
        levels = np.rint(levels * share + _squares(height, width) * (1 - share)).astype(np.uint8)
    kept = tuple(block for block in image.metadata if block[0] in (MetadataKind.ICC, MetadataKind.PNG_COLOUR))
    return Image(pixels=levels, metadata=kept)


def _squares(height: int, width: int) -> NDArray[np.float32]:
    rows, columns = np.arange(height)[:, None] // _SQUARE_PX, np.arange(width)[None, :] // _SQUARE_PX
    return np.where((rows + columns) % 2 == 0, _LIGHT, _DARK).astype(np.float32)[..., None]


def _shown_mask(broken: NDArray[np.bool_], part: ShownPart, after: Image, size: tuple[int, int]) -> NDArray[np.bool_]:
    """What is broken of a part of the result, in the size in which it is shown, from (H, W) of the original."""
    rows = (part[0] + np.arange(size[0]) * part[2] // size[0]) * broken.shape[0] // after.height
    columns = (part[1] + np.arange(size[1]) * part[3] // size[1]) * broken.shape[1] // after.width
    return np.asarray(broken[rows[:, None], columns[None, :]])


def _framed(image: Image, view: View) -> Image:
    """In the middle of the frame where it is smaller: the browser would enlarge it. Around it nothing is painted."""
    height, width = min(view.height, MOST_CUT_PX), min(view.width, MOST_CUT_PX)
    if height <= image.height and width <= image.width:
        return image
    height, width = max(height, image.height), max(width, image.width)
    top, left = (height - image.height) // 2, (width - image.width) // 2
    middle = slice(top, top + image.height), slice(left, left + image.width)
    pixels, alpha = (np.zeros((height, width, channels), np.uint8) for channels in (image.pixels.shape[2], 1))
    pixels[middle], alpha[middle] = image.pixels, 255
    return replace(image, pixels=pixels, alpha=alpha)


def _outlined(image: Image, inside: NDArray[np.bool_]) -> Image:
    """The picture in RGB with a line around what is masked, if anything is. inside: (H, W) of the picture."""
    if not inside.any():
        return image
    core = np.pad(inside, _OUTLINE_PX, mode="constant")
    kept = inside.copy()
    for step in range(1, _OUTLINE_PX + 1):
        middle = slice(_OUTLINE_PX, -_OUTLINE_PX)
        for shift in (slice(_OUTLINE_PX - step, -_OUTLINE_PX - step), slice(_OUTLINE_PX + step, core.shape[0])):
            kept &= core[shift, middle][:image.height]
        for shift in (slice(_OUTLINE_PX - step, -_OUTLINE_PX - step), slice(_OUTLINE_PX + step, core.shape[1])):
            kept &= core[middle, shift][:, :image.width]
    pixels = image.as_rgb8()
    pixels[inside & ~kept] = MARK_RGB
    is_grey = image.pixels.shape[2] == 1  # its profile would be one of grey
    return Image(pixels=pixels, metadata=() if is_grey else image.metadata)
