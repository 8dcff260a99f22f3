"""What is asked of the process that runs code from outside, what it answers, and how its messages travel."""

from __future__ import annotations

import json
from dataclasses import dataclass, field

from srn_deploy.spec import Scalar

MESSAGE_MARK = "srn-deploy message "
"""At the beginning of a line on stderr that is a message of ours, in JSON; other lines are somebody's output."""


@dataclass(frozen=True, kw_only=True)
class ExternalRequest:
    """A model from outside, and the graph that is to be made of it."""

    source: str
    """The path of the checkpoint, or of the graph of another tool."""
    output: str
    """Where the graph is written."""
    network: str = ""
    """FILE.py:CLASS or package.module:CLASS; empty for a graph, and for a checkpoint that spandrel is asked about."""
    spandrel: str = ""
    """The version of spandrel that is asked about a checkpoint; empty where it is not asked."""
    settings: dict[str, Scalar] = field(default_factory=dict)
    """Arguments of the class; for a graph, what it does not show."""
    value_range: float | None = None
    weights: str | None = None
    trust: bool = False
    form: str = "deploy"
    precision: str = "fp32"
    pixel_type: str = "uint8"
    threads: int = 1


@dataclass(frozen=True, kw_only=True)
class ExternalAnswer:
    """What was made, or the error that was raised."""

    images: int = 0
    worst_levels: float = 0.0
    psnr_db: float | None = None
    """Of the proof; None where nothing differs."""
    nodes: int = 0
    files: dict[str, str] = field(default_factory=dict)
    """The code of the user's that was imported: path to SHA-256."""
    error: str = ""
    """The name of its class in `srn_deploy.errors`; empty where the graph was made."""
    message: str = ""
    remedy: str = ""


def message_line(level: int, text: str) -> str:
    """A message as one line of stderr."""
    return MESSAGE_MARK + json.dumps([level, text])


def message_in(line: str) -> tuple[int, str] | None:
    """The level and the text of such a line; None for any other line."""
    if not line.startswith(MESSAGE_MARK):
        return None
    try:
        level, text = json.loads(line.removeprefix(MESSAGE_MARK))
    except ValueError:  # somebody's output, cut in two
        return None
    return int(level), str(text)


def printable(name: str) -> str:
    """A name from outside as specs take it: without control characters, not too long, never empty."""
    return "".join(letter if letter.isprintable() else "?" for letter in name)[:100] or "unnamed"
