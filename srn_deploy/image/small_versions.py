"""Images that are taken for originals although they have the name of another one and a fraction of its size."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from srn_deploy.image.pairing import FilePair

_FACTORS = range(2, 9)
"""By how much a small image beside its original may be smaller."""
_LEAST_FACTOR = 1.5
"""Of an image whose name says that it is small: thumbnails are smaller by any factor."""

_SEPARATOR = re.compile(r"[\W_]")
_SIZE_WORD = re.compile(
    r"[hl][rq]|lr\d|gt|low|high|small|large|tiny|mini|half|quarter|orig(?:inal)?|thumb(?:nail)?s?|tn|preview|web|"
    r"bic(?:ubic)?|down(?:scaled?|sampled?)?|resized|input|target|res|srf|x\d|\dx|\d+x\d+|\d+px")
"""Parts of a name that tell versions of an image apart."""
_SIZE_AT_END = re.compile(r"(?<=.)(?:[hl]r|x\d|\dx)$")
"""The same without a separator, as in 0001x4."""


def small_versions(pairs: Sequence[FilePair], size_of: Callable[[Path], tuple[int, int] | None]) \
        -> Iterator[tuple[FilePair, FilePair]]:
    """Each original that looks like a small version of another one, and that one.

    It has the other's name or one that begins with it, and is 2 to 8 times smaller; or their names differ in words for
    sizes alone, as in thumb_a and a, and it has its shape and is smaller by any factor. size_of: (height, width) of a
    file in pixels, None for one that cannot be read; only asked where names are alike.
    """
    by_stem, by_rest = defaultdict[str, list[FilePair]](list), defaultdict[str, list[FilePair]](list)
    for pair in pairs:
        by_stem[_stem(pair)].append(pair)
        by_rest[_without_sizes(_stem(pair))].append(pair)
    for pair in pairs:
        stem = _stem(pair)
        beginnings = [stem, *(stem[:found.start()] for found in _SEPARATOR.finditer(stem))]
        named = (other for beginning in beginnings for other in by_stem.get(beginning, ()))
        sized = (other for other in by_rest[_without_sizes(stem)] if _stem(other) != stem)
        larger = next((other for other in named if _is_fraction(size_of(pair.hr), size_of(other.hr))), None) or \
            next((other for other in sized if _has_shape(size_of(pair.hr), size_of(other.hr))), None)
        if larger is not None:
            yield pair, larger


def _stem(pair: FilePair) -> str:
    return pair.hr.stem.casefold()


def _without_sizes(stem: str) -> str:
    parts = _SEPARATOR.split(_SIZE_AT_END.sub("", stem))
    return "_".join(part for part in parts if part and not _SIZE_WORD.fullmatch(part))


def _is_fraction(small: tuple[int, int] | None, large: tuple[int, int] | None) -> bool:
    return small is not None and large is not None and small in [
        (large[0] // factor, large[1] // factor) for factor in _FACTORS]


def _has_shape(small: tuple[int, int] | None, large: tuple[int, int] | None) -> bool:
    """Whether one size is that of the other made smaller, up to rounding."""
    if small is None or large is None or small[0] * _LEAST_FACTOR > large[0]:
        return False
    return abs(small[1] - large[1] * small[0] / large[0]) <= max(1.0, large[1] / large[0])
