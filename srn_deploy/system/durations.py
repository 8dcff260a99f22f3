"""Durations as people read them."""

from __future__ import annotations


def duration_in_words(seconds: float) -> str:
    """As in "7 s", "2 min 05 s" or "2 h 05 min"; rounded to whole seconds, finite and at least 0."""
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 1:
        return f"{rest} s"
    return f"{minutes // 60} h {minutes % 60:02} min" if minutes >= 60 else f"{minutes} min {rest:02} s"
