"""Rows made smaller as they come, with the bits that `reduction` gives of the whole image."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor

from srn_deploy.image.bands.source import ColourAndAlpha, joined
from srn_deploy.image.reduction import ReductionPart, parts_of, reduced_part

MOST_THREADS = 4
"""More would hold more memory than they save time."""


def reduced_rows(rows: Iterator[ColourAndAlpha], old: tuple[int, int], new: tuple[int, int],
                 threads: int) -> Generator[ColourAndAlpha, None, None]:
    """Yield an image of another size, from top to bottom.

    rows: all of the image, from top to bottom. old, new: (height, width). Of what came before, only the rows that the
    kernel still reaches are held while the next ones are made.
    """
    if old == new:
        yield from rows
        return
    todo, held = _Parts(old, new), _Held()
    with ThreadPoolExecutor(max_workers=min(threads, MOST_THREADS), thread_name_prefix="reduce") as workers:
        for more in rows:
            held.add(more)
            del more  # its memory is needed for the next ones
            ready = todo.above(held.bottom)
            finished = _reduced(held, ready, new[1], workers) if ready else None
            held.drop_above(todo.top)
            if finished is not None:
                yield finished
            del finished


class _Parts:
    """What is left to be made, from top to bottom."""

    def __init__(self, old: tuple[int, int], new: tuple[int, int]) -> None:
        self._parts = parts_of(*old, new[0])
        self._next: ReductionPart | None = next(self._parts)
        self.top = 0

    def above(self, bottom: int) -> list[ReductionPart]:
        """Those that are made of rows above this one alone; they are not given again."""
        found = []
        while self._next is not None and self._next.source.stop <= bottom:
            found.append(self._next)
            self._next = next(self._parts, None)
        self.top = bottom if self._next is None else self._next.source.start
        return found


class _Held:
    """Rows that are still needed."""

    def __init__(self) -> None:
        self._top = self.bottom = 0
        self._pieces: list[ColourAndAlpha] = []

    def add(self, rows: ColourAndAlpha) -> None:
        """Take the rows below."""
        self._pieces.append(rows)
        self.bottom += len(rows.colour)

    def between(self, start: int, stop: int) -> ColourAndAlpha:
        """Rows that are held."""
        found, top = [], self._top
        for piece in self._pieces:
            bottom = top + len(piece.colour)
            if top < stop and bottom > start:
                found.append(_cut(piece, max(start - top, 0), stop - top))
            top = bottom
        return _joined(found)

    def drop_above(self, row: int) -> None:
        """Forget rows. Those that are left are copied, so that nothing of the others stays in memory."""
        if row > self._top:
            kept = self.between(row, self.bottom) if row < self.bottom else None
            self._pieces = [] if kept is None else [_copied(kept)]
            self._top = min(row, self.bottom)


def _reduced(held: _Held, parts: list[ReductionPart], width: int, workers: Executor) -> ColourAndAlpha:
    def reduced(part: ReductionPart) -> ColourAndAlpha:
        return ColourAndAlpha(*reduced_part(*held.between(part.source.start, part.source.stop), part, width))

    return _joined(list(workers.map(reduced, parts)))


def _cut(rows: ColourAndAlpha, first: int, last: int) -> ColourAndAlpha:
    return ColourAndAlpha(rows.colour[first:last], None if rows.alpha is None else rows.alpha[first:last])


def _copied(rows: ColourAndAlpha) -> ColourAndAlpha:
    return ColourAndAlpha(rows.colour.copy(), None if rows.alpha is None else rows.alpha.copy())


def _joined(rows: list[ColourAndAlpha]) -> ColourAndAlpha:
    alphas = [each.alpha for each in rows if each.alpha is not None]
    return ColourAndAlpha(joined([each.colour for each in rows]), joined(alphas) if alphas else None)
