"""What each container is encoded with by default, and whether PyAV is installed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from srn_deploy.errors import UnwritableVideo
from srn_deploy.inference.video_names import WRITTEN
from srn_deploy.system.installed import need_packages

EXTRA = "video"


@dataclass(frozen=True, kw_only=True)
class VideoContainer:
    """A file format of videos: the encoders that are tried in this order, the first that can hold the frames."""

    name: str
    """As the muxers of FFmpeg are called."""
    encoders: tuple[str, ...]
    deep: tuple[str, ...] = ()
    """The order for frames of more than 8 bits; empty: the same."""


_MP4 = VideoContainer(name="mp4", encoders=("libx264", "libsvtav1", "mpeg4"), deep=("libx265", "libsvtav1", "libx264"))
_MATROSKA = VideoContainer(name="matroska", encoders=("libx264", "libsvtav1", "libvpx-vp9", "ffv1"),
                      deep=("libx265", "libsvtav1", "libx264", "ffv1"))
_TS = VideoContainer(name="mpegts", encoders=("libx264", "mpeg2video"), deep=("libx265", "libx264"))

_CONTAINERS = {
    ".mkv": _MATROSKA, ".mp4": _MP4, ".m4v": _MP4, ".ts": _TS, ".m2ts": _TS,
    ".mov": VideoContainer(name="mov", encoders=("libx264", "prores_ks"), deep=("libx265", "prores_ks")),
    ".webm": VideoContainer(name="webm", encoders=("libsvtav1", "libvpx-vp9")),
    ".avi": VideoContainer(name="avi", encoders=("libx264", "ffv1")),
}
"""Every one has an encoder that is not under the GPL: SVT-AV1 and libvpx are under BSD licences, ProRes, FFV1, MPEG-4
and MPEG-2 are FFmpeg's own, under the LGPL."""

def container_of(path: Path) -> VideoContainer:
    """The container that belongs to the suffix of a path; raises UnwritableVideo for another suffix."""
    found = _CONTAINERS.get(path.suffix.lower())
    if found is None:
        raise UnwritableVideo(f"{path}: videos are not written to {path.suffix.lower() or 'files without a suffix'}.",
                              remedy=f"Choose one of {', '.join(WRITTEN)}.")
    return found


def need_video_packages() -> None:
    """Raise MissingPackage, before anything is imported, where PyAV is not installed."""
    need_packages(("av",), "Upscaling a video", extra=EXTRA, named={"av": "PyAV"})
