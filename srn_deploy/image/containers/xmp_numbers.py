"""Numbers in XMP packets: read exactly, and written in the notation that the packet uses for them."""

from __future__ import annotations

import re
from fractions import Fraction

from srn_deploy.image.containers.xmp import Edit, Property, Value

_NUMBER = re.compile(r"[+-]?(?=\d|\.\d)\d{0,12}(?:\.(\d{0,40}))?([eE][+-]?\d{1,3})?|[+-]?\d{1,12}/(\d{1,12})")
_LONGEST = 64
_MOST_DECIMALS = 17


def number(text: str) -> Fraction | None:
    """The number that a text is; None for other texts."""
    found = _NUMBER.fullmatch(text.strip()) if len(text) <= _LONGEST else None
    return None if found is None or (found.group(3) and not int(found.group(3))) else Fraction(text.strip())


def in_notation_of(like: str, value: Fraction) -> str:
    """A number in the notation of another one: whole, with as many decimals, with an exponent, or as a fraction."""
    found = _NUMBER.fullmatch(like.strip())
    decimals, exponent, denominator = found.groups() if found is not None else (None, None, None)
    if denominator:
        return f"{value.numerator}/{value.denominator}"
    if exponent:
        return repr(float(value))
    return f"{float(value):.{min(len(decimals), _MOST_DECIMALS)}f}" if decimals else str(round(value))


def replaced(old: Value, new: Fraction, like: str = "") -> list[Edit]:
    """The edit that writes a number in the place of another one; none if it is the same text."""
    text = in_notation_of(like or old.text, new)
    return [Edit(old.start, old.end, text)] if text != old.text.strip() else []


def replaced_text(found: Property, text: str) -> list[Edit]:
    """The edit that writes another text as the value of a property; none if it is the same."""
    return [Edit(value.start, value.end, text) for value in found.values[:1] if value.text.strip() != text]
