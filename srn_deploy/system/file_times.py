"""The modification times of files."""

from __future__ import annotations

import logging
import os
from pathlib import Path

_log = logging.getLogger(__name__)


def kept_time(source: Path, target: Path) -> tuple[str, ...]:
    """Give a file the modification time of another one, to the nanosecond where the file system has it.

    Returns a sentence, which is logged as a warning too, where the system does not allow it; the file stays as it is.
    """
    try:
        times = source.stat()
        os.utime(target, ns=(times.st_atime_ns, times.st_mtime_ns))
    except OSError as error:
        sentence = f"{target} does not have the time of {source}: {error.strerror}."
        _log.warning("%s", sentence)
        return (sentence,)
    return ()
