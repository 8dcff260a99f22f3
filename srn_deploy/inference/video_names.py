"""Which files are videos, by their names: what is planned beside images."""

from __future__ import annotations

from pathlib import Path

WRITTEN = (".mkv", ".mp4", ".m4v", ".mov", ".webm", ".ts", ".m2ts", ".avi")
"""Suffixes of the containers that are read and written."""

_READ_ONLY = frozenset((".3gp", ".asf", ".divx", ".f4v", ".flv", ".h264", ".h265", ".hevc", ".ivf", ".m2v", ".mpeg",
                        ".mpg", ".mts", ".mxf", ".ogv", ".rmvb", ".vob", ".wmv", ".y4m"))

_INSTEAD = ".mkv"
"""What the videos of a folder become whose own container is not written: it holds nearly everything."""

FORMATS = "MKV, MP4, MOV, WebM, TS or AVI"


def is_video_name(path: Path) -> bool:
    """Whether the suffix of a path is that of a video that is read."""
    return path.suffix.lower() in WRITTEN or path.suffix.lower() in _READ_ONLY


def with_written_suffix(path: Path) -> Path:
    """The path of the result of a video in a folder: its own suffix, or .mkv where that is not written."""
    return path if path.suffix.lower() in WRITTEN else path.with_suffix(_INSTEAD)
