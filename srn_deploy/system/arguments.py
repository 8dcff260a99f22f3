"""Checks of what Python programs pass: an argument of a wrong type is an OptionError with its remedy."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from srn_deploy.errors import OptionError

LONGEST_SHOWN = 60


def check_kind(value: object, kinds: type | tuple[type, ...], name: str, *, remedy: str) -> None:
    """Raise OptionError unless a value is of one of these types; a bool counts as an int only where bool is named."""
    allowed = kinds if isinstance(kinds, tuple) else (kinds,)
    if not isinstance(value, allowed) or (isinstance(value, bool) and bool not in allowed):
        raise OptionError(f"{name} cannot be {shown(value)}.", remedy=remedy)


def check_callable(value: Callable[..., Any], name: str) -> None:
    """Raise OptionError unless a value can be called."""
    if not callable(value):
        raise OptionError(f"{name} cannot be {shown(value)}.", remedy="Give a function.")


def as_path(value: str | os.PathLike[str], name: str) -> Path:
    """A path, from text or anything that stands for a path; raises OptionError for other types and for empty text.

    Empty text is mostly a variable that is not set, and pathlib takes it for the current folder.
    """
    check_kind(value, (str, os.PathLike), name, remedy="Give a path, as text or as a pathlib.Path.")
    if value == "":
        raise OptionError(f"{name} is empty.", remedy="Give a path; that of the current folder is a dot.")
    return Path(value)


def shown(value: object) -> str:
    """A value and its type on one short line, as in "3 (int)"; long ones by their type alone."""
    if value is None:
        return "None"
    kind = type(value).__name__
    text = repr(value)
    return f"{text} ({kind})" if len(text) <= LONGEST_SHOWN and "\n" not in text else f"this {kind}"
