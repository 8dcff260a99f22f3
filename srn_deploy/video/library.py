"""PyAV's own ways, kept in one place: its errors, its messages, and what it says of a stream only in words."""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import av
import av.error
import av.logging
from av.container import InputContainer

from srn_deploy.errors import UnreadableVideo, UnwritableVideo
from srn_deploy.system.atomic import DISK_IS_FULL

# SVT-AV1 describes itself on stderr unless it is told to report errors only. A value that the user has set stays.
os.environ.setdefault("SVT_LOG", "1")

_LEVEL = threading.Lock()
"""The level of FFmpeg's messages belongs to the whole process."""

_CHROMA = re.compile(r"Stream #0:(\d+).*?: Video: .*?\((?:[^()]*, )?(left|center|topleft|top)\)")

_FETCH_AGAIN = "Fetch it again, or make a whole file of what is there: ffmpeg -i IN -c copy OUT"


@contextmanager
def reading(path: Path, what: str = "") -> Iterator[None]:
    """Turn errors of FFmpeg about an input into UnreadableVideo; what: where it happened, as in "after frame 3"."""
    try:
        yield
    except (av.error.FFmpegError, OSError) as error:
        place = f" {what}" if what else ""
        raise UnreadableVideo(f"{path} cannot be read{place}: {reason_of(error)}.", remedy=_FETCH_AGAIN) from error


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn errors of FFmpeg and of the file system about an output into UnwritableVideo."""
    try:
        yield
    except (av.error.FFmpegError, OSError) as error:
        full = isinstance(error, OSError) and error.errno in DISK_IS_FULL
        raise UnwritableVideo(
            f"{path} cannot be written: {reason_of(error)}.",
            remedy="Free space and give the same command again: finished segments are kept." if full else
            "Check the folder and its permissions.") from error


def reason_of(error: BaseException) -> str:
    """What FFmpeg or the system says, without its error number."""
    text = getattr(error, "strerror", None) or str(error)
    return text.rstrip(".")


def opened(path: Path) -> InputContainer:
    """Open a video; the caller closes it. Raises UnreadableVideo for what is missing, damaged or no video."""
    try:
        if path.exists() and not path.is_file():
            raise UnreadableVideo(f"{path} cannot be read: it is not a file.", remedy="Give the path of a video file.")
        return av.open(os.fspath(path), mode="r", metadata_errors="replace")
    except av.error.FileNotFoundError as error:
        raise UnreadableVideo(f"{path} does not exist.", remedy="Check the path.") from error
    except (av.error.FFmpegError, OSError, ValueError) as error:
        raise UnreadableVideo(f"{path} is damaged, cut short, or not a video: {reason_of(error)}.",
                              remedy=_FETCH_AGAIN) from error


def chroma_locations(container: InputContainer) -> dict[int, str]:
    """Stream to where its chroma lies, where it says so: only FFmpeg's own description of a file has it."""
    with _LEVEL:
        level = av.logging.get_level()
        av.logging.set_level(av.logging.VERBOSE)
        av.logging.set_libav_level(av.logging.VERBOSE)
        try:
            told = container.dumps_format()  # type: ignore[attr-defined]  # not in PyAV's annotations
        finally:
            av.logging.set_level(level)
            av.logging.set_libav_level(av.logging.INFO)
    return {int(found[1]): found[2] for found in map(_CHROMA.search, told.splitlines()) if found}
