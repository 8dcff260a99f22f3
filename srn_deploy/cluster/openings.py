"""How often the process of a worker ended while it opened the model, so that it is not started without end."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from srn_deploy.errors import LedgerError, WorkerFailed

MOST_OPENINGS = 3
"""A worker whose process ended so often in a row while it opened the model does not try again."""

_BEGUN, _ENDED = b"begun\n", b"ended\n"


def openings_folder(ledger: Path, run: str) -> Path:
    """Where the workers of a run note it."""
    return ledger / "openings" / run


def forget_openings(folder: Path) -> None:
    """Remove the notes of a run, and the folder of all runs where no other has any."""
    shutil.rmtree(folder, ignore_errors=True)
    with suppress(OSError):
        folder.parent.rmdir()


@contextmanager
def noted_opening(folder: Path, worker: str) -> Iterator[None]:
    """Note that a worker opens the model, which is the block; worker: the same after its process was started again.

    Raises WorkerFailed, without opening it, where the process ended in the block again and again, and LedgerError.
    """
    path = folder / (worker or "alone")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        ended = _ends_in(path)
        if ended < MOST_OPENINGS:
            with path.open("ab") as file:
                file.write(_BEGUN)
    except OSError as error:
        raise LedgerError(f"{path} cannot be written: {error.strerror}.",
                          remedy="Free space, or check the permissions of the output; what is finished stays."
                          ) from error
    if ended >= MOST_OPENINGS:
        raise WorkerFailed(f"the process of a worker ended {ended} times while it opened the model.",
                           remedy="Upscale one image there without --ray to see the cause. Where memory is too small, "
                                  "give fewer --workers.")
    try:
        yield
    finally:
        with suppress(OSError), path.open("ab") as file:
            file.write(_ENDED)


def _ends_in(path: Path) -> int:
    """How often the process ended since it last opened the model."""
    lines = path.read_bytes() if path.exists() else b""
    return lines.rpartition(_ENDED)[2].count(_BEGUN)
