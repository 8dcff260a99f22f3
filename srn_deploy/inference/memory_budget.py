"""How much memory the images of a run may take together."""

from __future__ import annotations

SHARE_OF_FREE = 2
"""By default the images of a run take one part in this many of the memory that is free when it starts."""


class MemoryBudget:
    """Who holds how much, by the number of the image. It knows of no threads: its user holds a lock."""

    def __init__(self, most_bytes: int | None) -> None:
        """most_bytes: None sets no bound."""
        self.most_bytes = most_bytes
        self._held: dict[int, int] = {}
        self._used_bytes = 0

    def fits(self, number: int, needed_bytes: int) -> bool:
        """Whether there is room for an image. One that is larger than everything has room when there is no other."""
        return (number in self._held or not self._held or self.most_bytes is None
                or self._used_bytes + needed_bytes <= self.most_bytes)

    def hold(self, number: int, needed_bytes: int) -> None:
        """Let an image hold this much, instead of what it held."""
        self._used_bytes += needed_bytes - self._held.get(number, 0)
        self._held[number] = needed_bytes

    def release(self, number: int) -> None:
        """Give back what an image holds; calling it for one that holds nothing is harmless."""
        self._used_bytes -= self._held.pop(number, 0)
