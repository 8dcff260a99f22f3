"""Tables as rows of text, and as Markdown."""

from __future__ import annotations

from collections.abc import Sequence

from srn_deploy.errors import OptionError

Table = list[tuple[str, ...]]
"""A head and its rows."""


def markdown_table(rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table whose first row is its head; raises OptionError for rows of unequal length."""
    if not rows or any(len(row) != len(rows[0]) for row in rows):
        raise OptionError("A table needs a head and rows of its length.", remedy="Give every row as many cells.")
    head, *body = ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows]
    return "\n".join([head, "|" + "---|" * len(rows[0]), *body])
