"""The whole output with one frame, in memory and before any work: does every part of it come back as it should?"""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator, Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import av.error
import numpy as np
from av.container import InputContainer

from srn_deploy.errors import UnwritableVideo, VideoError
from srn_deploy.system.scheduling import ordinary_scheduling
from srn_deploy.video.colour import UNSPECIFIED, understood
from srn_deploy.video.layout import ColourModel
from srn_deploy.video.library import opened, reason_of
from srn_deploy.video.output import Output, VideoTarget, opened_output, start_output
from srn_deploy.video.planes import frame_of, tags_of
from srn_deploy.video.probing import display_matrix_of
from srn_deploy.video.scan import Scan, is_moving

_PACKETS_TRIED = 500
"""Of the source: some codecs need one packet before a header can be written."""

_log = logging.getLogger(__name__)


def rehearse(target: Path, scanned: Scan, targets: Mapping[int, VideoTarget]) -> None:
    """Write one frame of each stream, and the first packets of the others, and read them again.

    Raises UnwritableVideo where the container refuses something, or where shape of pixels, rotation, matrix or range
    would be lost; what else is lost is logged as a warning.
    """
    memory = io.BytesIO()
    with opened(scanned.path) as source:
        try:
            with ordinary_scheduling(), opened_output(memory, target, source) as container:
                output = start_output(container, source, scanned, targets, target)
                for packet in _first_packets(output, source):
                    container.mux(packet)
                for index, stream in output.videos.items():
                    _mux_one_frame(container, stream, targets[index])
        except VideoError:
            raise
        except (av.error.FFmpegError, ValueError, RuntimeError) as error:
            raise UnwritableVideo(f"{target}: {target.suffix} cannot be written with what {scanned.path} has: "
                                  f"{reason_of(error)}.",
                                  remedy="Write .mkv, which holds nearly everything; check --codec and "
                                         "--encoder-option.") from error
        memory.seek(0)
        with av.open(memory, mode="r") as written:
            _compare(target, source, written, targets)


def _first_packets(output: Output, source: InputContainer) -> Iterator[av.Packet[Any]]:
    """One packet of each copied stream, where it has one early enough."""
    missing = set(output.copied)
    if not missing:
        return
    for number, packet in enumerate(source.demux(*output.copied_from)):
        if not missing or number > _PACKETS_TRIED:
            return
        if packet.size and packet.stream_index in missing and packet.dts is not None:
            missing.remove(packet.stream_index)
            packet.stream = output.copied[packet.stream_index]
            yield packet


def _mux_one_frame(container: Any, stream: Any, target: VideoTarget) -> None:
    encoding = target.encoding
    shapes = encoding.layout.shapes(encoding.height, encoding.width)
    frame = frame_of([np.zeros(shape, encoding.layout.dtype) for shape in shapes], encoding.layout, encoding.colour)
    frame.pts, frame.time_base = 0, encoding.time_base
    container.mux(stream.encode(frame))
    container.mux(stream.encode(None))


def _compare(target: Path, source: InputContainer, written: InputContainer,
             targets: Mapping[int, VideoTarget]) -> None:
    for stream, wanted in zip((stream for stream in written.streams if is_moving(stream)), targets.values(),
                              strict=True):
        _compare_stream(target, stream, wanted)
    for lost in _lost(source, written):
        _log.warning("%s: %s cannot hold %s; left out.", target, target.suffix, lost)


def _compare_stream(target: Path, stream: Any, wanted: VideoTarget) -> None:
    encoding = wanted.encoding
    context = stream.codec_context
    frame = next(frame for packet in stream.container.demux(stream) for frame in context.decode(
        packet if packet.size else None))
    lost = []
    if (stream.sample_aspect_ratio or Fraction(1)) != encoding.sample_aspect:
        lost.append(f"that its pixels are {encoding.sample_aspect.numerator}:{encoding.sample_aspect.denominator}")
    if (display_matrix_of(frame) or ())[:6] != (wanted.display_matrix or ())[:6]:
        lost.append("how it is turned")
    tags, meant = tags_of(frame, context), encoding.colour.tags
    shown = understood(tags, encoding.layout.kind, encoding.height, encoding.width)
    if encoding.layout.kind is ColourModel.YUV and (
            (shown.matrix, shown.full_range) != (encoding.colour.matrix, encoding.colour.full_range)):
        lost.append("what its colours mean")
    stream.container.seek(0)
    if lost:
        raise UnwritableVideo(f"{target}: {encoding.encoder} in {target.suffix} cannot say {' and '.join(lost)}.",
                              remedy="Write .mp4 or .mov, or .mkv with --codec libx264 or libx265.")
    if UNSPECIFIED not in (meant.primaries, meant.transfer) and \
            (tags.primaries, tags.transfer) != (meant.primaries, meant.transfer):
        _log.warning("%s: %s in %s cannot hold the primaries and the transfer of its colours; left out.", target,
                     encoding.encoder, target.suffix)


def _lost(source: InputContainer, written: InputContainer) -> Iterator[str]:
    """What of the source's own description is not in the output."""
    technical = {"major_brand", "minor_version", "compatible_brands", "encoder"}
    there = {name.lower() for name in written.metadata}
    if gone := sorted(name for name in source.metadata if name.lower() not in there | technical):
        yield f"the metadata {', '.join(gone)}"
    if len(source.chapters()) > len(written.chapters()):
        yield "chapters"
