"""The output of a video: its new streams of frames, and all other streams, chapters and metadata as in the source."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import av.error
from av.container import InputContainer, OutputContainer
from av.stream import AttachmentStream, Disposition, Stream

from srn_deploy.errors import UnwritableVideo
from srn_deploy.inference.video_names import FORMATS
from srn_deploy.video.encoders import Encoding, check_options, configure, is_nvenc, no_nvenc
from srn_deploy.video.files import container_of
from srn_deploy.video.library import reason_of
from srn_deploy.video.scan import Scan

_OF_THE_FILE = frozenset(("major_brand", "minor_version", "compatible_brands", "encoder", "creation_time"))
"""Metadata that a muxer writes itself; the time of creation is kept as it is."""

_OF_THE_STREAM = frozenset(("encoder", "duration", "number_of_frames", "number_of_bytes", "bps", "vendor_id"))
"""Metadata of a stream that describe its old frames."""

_FINEST_CLOCK = 2**31 - 1

_COVER_SUFFIX = {"mjpeg": ("jpg", "image/jpeg"), "png": ("png", "image/png")}

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class VideoTarget:
    """How one stream is written, and what its container says of it."""

    encoding: Encoding
    display_matrix: tuple[int, ...] | None


@dataclass(frozen=True, kw_only=True, eq=False)
class Output:
    """An output that is ready for packets: streams of the source to those of the output."""

    container: OutputContainer
    videos: Mapping[int, Any]
    copied: Mapping[int, Any]
    copied_from: tuple[Stream, ...]


def opened_output(file: Any, target: Path, source: InputContainer) -> OutputContainer:
    """Open an output for writing, in the container of the target; the caller closes it.

    The clock of an MP4 or MOV, by which streams start late, ticks in milliseconds by default: here as finely as all
    streams of the source.
    """
    name = container_of(target).name
    fine = math.lcm(*(stream.time_base.denominator for stream in source.streams if stream.time_base))
    ticks = fine if fine <= _FINEST_CLOCK else max(
        stream.time_base.denominator for stream in source.streams if stream.time_base)
    options = {"movie_timescale": str(ticks)} if name in ("mp4", "mov") else {}
    return av.open(file, mode="w", format=name, container_options=options)


def enlarged_matrix(matrix: tuple[int, ...] | None, ratio: Fraction) -> tuple[int, ...] | None:
    """A display matrix for frames that are enlarged: what it shifts grows with them."""
    if matrix is None:
        return None
    return (*matrix[:6], round(matrix[6] * ratio), round(matrix[7] * ratio), matrix[8])


def start_output(container: OutputContainer, source: InputContainer, scanned: Scan,
                 targets: Mapping[int, VideoTarget], target: Path) -> Output:
    """Make every stream of an output and write its header.

    Streams of data that the container cannot hold are left out with a warning. Raises UnwritableVideo for sound,
    subtitles and attachments that it cannot hold.
    """
    container.metadata.update({name: value for name, value in source.metadata.items()
                               if name.lower() not in _OF_THE_FILE or name.lower() == "creation_time"})
    videos: dict[int, Any] = {}
    copied: dict[int, Any] = {}
    kept = []
    for stream in source.streams:
        if stream.index in targets:
            videos[stream.index] = _video_stream(container, stream, targets[stream.index], scanned, target)
        elif (made := _copied_stream(container, stream, target)) is not None:
            kept.append(stream)
            copied[stream.index] = made
    chapters = source.chapters()
    if chapters:
        container.set_chapters(chapters)
    try:
        container.start_encoding()
    except (av.error.FFmpegError, ValueError) as error:
        for encoder in (each.encoding.encoder for each in targets.values()):
            if is_nvenc(encoder):
                raise no_nvenc(encoder, reason_of(error)) from error
        raise UnwritableVideo(f"{target}: {target.suffix} does not hold what {scanned.path} has: {reason_of(error)}.",
                              remedy=_elsewhere(target)) from error
    return Output(container=container, videos=videos, copied=copied, copied_from=tuple(kept))


def _video_stream(container: OutputContainer, source: Stream, wanted: VideoTarget, scanned: Scan,
                  target: Path) -> Any:
    encoding = wanted.encoding
    try:
        made: Any = container.add_stream(encoding.encoder, rate=encoding.rate)
    except ValueError as error:
        raise UnwritableVideo(f"{target}: {target.suffix} does not hold {encoding.encoder}.",
                              remedy=f"Choose another --codec, or another container: {FORMATS}.") from error
    configure(made.codec_context, encoding)
    check_options(made.codec_context, encoding)
    described = next(stream for stream in scanned.streams if stream.index == source.index)
    made.time_base = described.time_base
    made.set_display_matrix(wanted.display_matrix)
    if encoding.layout.has_alpha and container_of(target).name in ("matroska", "webm"):
        made.metadata["alpha_mode"] = "1"
    _describe(made, source)
    return made


def _copied_stream(container: OutputContainer, source: Stream, target: Path) -> Any:
    """The stream of an output that takes the packets of this one; None where it has none."""
    is_matroska = container_of(target).name == "matroska"
    try:
        if isinstance(source, AttachmentStream):
            name = source.metadata.get("filename", f"attachment{source.index}")
            container.add_attachment(name, source.mimetype or "application/octet-stream", source.data)
            return None
        if is_matroska and source.type == "video" and source.disposition & Disposition.attached_pic:
            _attach_cover(container, source)
            return None
        made = container.add_stream_from_template(source, opaque=True)
    except (av.error.FFmpegError, ValueError, RuntimeError) as error:
        if source.type in ("data", "unknown"):
            _log.warning("%s: a stream of data (%s) is left out, because %s cannot hold it.", target,
                         source.name or "unknown", target.suffix)
            return None
        raise UnwritableVideo(f"{target}: {target.suffix} does not hold the {source.type} of the source "
                              f"({source.name}).", remedy=_elsewhere(target)) from error
    _describe(made, source)
    return made


def _elsewhere(target: Path) -> str:
    if container_of(target).name != "matroska":
        return "Write .mkv, which holds nearly everything."
    return "Convert it first: ffmpeg -i IN -map 0 -c:v copy -c:a flac -c:s srt OUT.mkv"


def _attach_cover(container: OutputContainer, source: Any) -> None:
    suffix, mime = _COVER_SUFFIX.get(source.name, ("bin", "application/octet-stream"))
    with av.open(source.container.name) as again:
        packet = next(packet for packet in again.demux(again.streams[source.index]) if packet.size)
        data = bytes(packet)
    container.add_attachment(source.metadata.get("filename", f"cover.{suffix}"),
                             source.metadata.get("mimetype", mime), data)


def _describe(made: Any, source: Stream) -> None:
    """Metadata and disposition of a stream, without what counts its old frames."""
    fresh = source.type == "video"
    made.metadata.update({name: value for name, value in source.metadata.items()
                          if not fresh or (name.lower().split("-")[0] not in _OF_THE_STREAM
                          and not name.startswith("_STATISTICS"))})
    made.disposition = source.disposition


def copied_packets(output: Output, source: InputContainer, end: float | None = None) -> Iterator[av.Packet[Any]]:
    """Packets of all streams but the frames, on their new streams; end: in seconds, nothing begins after it."""
    if not output.copied_from:
        return
    for packet in source.demux(*output.copied_from):
        time = packet.dts if packet.dts is not None else packet.pts
        if not packet.size or time is None:
            continue
        if end is not None and float(time * packet.time_base) > end:
            continue
        packet.stream = output.copied[packet.stream_index]
        yield packet
