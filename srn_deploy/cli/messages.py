"""How the command line shows what the library says through `logging`: the one handler, which writes to stderr."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from rich.console import Console

PACKAGE = "srn_deploy"

_END_OF_SENTENCE = (".", "!", "?", ":", "…")


def say(line: str) -> None:
    """Write a line to stderr, above the progress bar where one is live; a closed or full stderr loses it."""
    with contextlib.suppress(OSError):  # the images matter more than what is said about them
        _HANDLER.write(line)


@contextmanager
def shown() -> Iterator[None]:
    """Show the messages of the library, INFO and above, while this is open."""
    logger = logging.getLogger(PACKAGE)
    level = logger.level
    logger.addHandler(_HANDLER)
    logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.setLevel(level)
        logger.removeHandler(_HANDLER)


@contextmanager
def above(console: Console) -> Iterator[Callable[[str], None]]:
    """Print messages above the progress bar that is live on this console; yields what prints such a line."""
    def write(line: str) -> None:
        console.print(line, markup=False, highlight=False, soft_wrap=True)  # a path is not markup

    before, _HANDLER.write = _HANDLER.write, write
    try:
        yield write
    finally:
        _HANDLER.write = before


def _to_stderr(line: str) -> None:
    click.echo(line, err=True)


class MessageHandler(logging.Handler):
    """INFO as it is, WARNING as `Warning: …`, ERROR as `Error: …`; each is one sentence with its full stop."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self.write: Callable[[str], None] = _to_stderr

    def emit(self, record: logging.LogRecord) -> None:
        """Write one record; mistakes in a message are reported as logging reports them."""
        try:
            text = record.getMessage()
        except Exception:  # noqa: BLE001  # a message that cannot be formatted must not stop the work
            self.handleError(record)
            return
        stop = "" if text.endswith(_END_OF_SENTENCE) else "."
        prefix = "" if record.levelno < logging.WARNING else f"{record.levelname.capitalize()}: "
        say(f"{prefix}{text}{stop}")


_HANDLER = MessageHandler()
