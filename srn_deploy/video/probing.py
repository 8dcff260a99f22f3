"""What the frames of a stream are, from the first one that is decoded; what would come out wrong is refused here."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
from av.codec.context import CodecContext
from av.video.stream import VideoStream as AvVideoStream

from srn_deploy.errors import UnreadableVideo, UnsupportedVideo
from srn_deploy.video.colour import FrameColour, understood
from srn_deploy.video.layout import ColourModel, PixelLayout
from srn_deploy.video.library import chroma_locations, opened, reading
from srn_deploy.video.planes import layout_of, tags_of

_INTERLACED_ORDERS = (2, 3, 4, 5)
"""Of AVFieldOrder: top or bottom field first; 1 is progressive, 0 unknown."""

_IDENTITY = (1 << 16, 0, 0, 0, 1 << 16, 0, 0, 0, 1 << 30)

_CENTRED = frozenset(("mjpeg", "jpegls"))
"""Codecs with the chroma of JPEG, in the middle of its group, where nothing else is said."""

ALPHA_DECODERS = {"vp8": "libvpx", "vp9": "libvpx-vp9"}
"""Codec to the decoder that reads its alpha; FFmpeg's own do not."""


@dataclass(frozen=True, kw_only=True)
class Picture:
    """What every frame of a stream is."""

    height: int
    width: int
    layout: PixelLayout
    colour: FrameColour
    sample_aspect: Fraction
    """Width of a pixel by its height."""
    display_matrix: tuple[int, ...] | None
    """How the frames are to be turned, as FFmpeg stores it; None: not at all."""
    alpha_decoder: str | None = None
    """The decoder to take instead of FFmpeg's own."""

    @property
    def upright(self) -> tuple[int, int]:
        """(height, width) of a frame as it is shown."""
        return self.turned(self.height, self.width)

    def turned(self, height: int, width: int) -> tuple[int, int]:
        """(height, width) of stored frames as they are shown, or the other way round."""
        matrix = self.display_matrix
        is_sideways = matrix is not None and abs(matrix[1]) > abs(matrix[0])
        return (width, height) if is_sideways else (height, width)


def probe(path: Path, index: int) -> Picture:
    """Decode the first frame of a stream. Raises UnreadableVideo or UnsupportedVideo."""
    with opened(path) as container, reading(path, "at its first frame"):
        stream = container.streams[index]
        chroma = chroma_locations(container).get(index)
        if not isinstance(stream, AvVideoStream) or stream.codec_context is None:
            raise UnsupportedVideo(f"{path}: its video has a codec that is not read here.",
                                   remedy="Convert it with a program that reads it, as in: ffmpeg -i IN -c:v ffv1 "
                                          "OUT.mkv")
        alpha_decoder = _alpha_decoder(stream)
        context = decoder_for(stream, alpha_decoder)
        for packet in container.demux(stream):
            for frame in context.decode(packet if packet.size else None):
                check_progressive(path, frame, context)
                return _described(stream, frame, context, chroma, alpha_decoder)
    raise UnreadableVideo(f"{path}: none of its frames can be decoded.", remedy="Fetch it again.")


def decoder_for(stream: AvVideoStream, alpha_decoder: str | None) -> av.VideoCodecContext:
    """The decoder of a stream: its own, or another one that also reads alpha."""
    if alpha_decoder is None:
        return stream.codec_context
    context = CodecContext.create(alpha_decoder, "r")
    if not isinstance(context, av.VideoCodecContext):
        raise UnsupportedVideo(f"{alpha_decoder} is no decoder of videos.", remedy="Install PyAV from its wheel.")
    context.extradata = stream.codec_context.extradata
    return context


def check_progressive(path: Path, frame: av.VideoFrame, context: av.VideoCodecContext) -> None:
    """Raise UnsupportedVideo for a frame of two fields: lines of two moments would be mixed."""
    if frame.interlaced_frame or context.field_order in _INTERLACED_ORDERS:
        raise UnsupportedVideo(f"{path} is interlaced: each frame holds lines of two moments, which the network would "
                               "mix.", remedy="Deinterlace it first: ffmpeg -i IN -vf bwdif -c:a copy OUT")


def _alpha_decoder(stream: AvVideoStream) -> str | None:
    name = stream.codec_context.codec.canonical_name
    has_alpha = stream.metadata.get("alpha_mode", stream.metadata.get("ALPHA_MODE", "0")) == "1"
    if not has_alpha or name not in ALPHA_DECODERS:
        return None
    if ALPHA_DECODERS[name] not in av.codecs_available:
        raise UnsupportedVideo(f"The transparency of {name} cannot be read by this PyAV, which lacks "
                               f"{ALPHA_DECODERS[name]}.", remedy="Install PyAV from its wheel.")
    return ALPHA_DECODERS[name]


def _described(stream: AvVideoStream, frame: av.VideoFrame, context: av.VideoCodecContext, chroma: str | None,
               alpha_decoder: str | None) -> Picture:
    layout = layout_of(frame.format)
    usual = "center" if context.codec.canonical_name in _CENTRED or frame.format.name.startswith("yuvj") else "left"
    named = chroma if chroma in ("left", "center", "topleft") else usual
    if layout.kind is ColourModel.YUV and chroma == "top":
        raise UnsupportedVideo("The chroma of the video lies above the middle of luma, which is not written.",
                               remedy="Convert it first: ffmpeg -i IN -vf scale=out_chroma_loc=left OUT")
    return Picture(
        height=frame.height, width=frame.width, layout=layout, alpha_decoder=alpha_decoder,
        colour=understood(tags_of(frame, context), layout.kind, frame.height, frame.width, chroma=named),
        sample_aspect=stream.sample_aspect_ratio or context.sample_aspect_ratio or Fraction(1),
        display_matrix=display_matrix_of(frame))


def display_matrix_of(frame: av.VideoFrame) -> tuple[int, ...] | None:
    """How a frame is to be turned; None for upright ones."""
    side: Any = frame.side_data  # PyAV's annotations know another kind of mapping
    if "DISPLAYMATRIX" not in side:
        return None
    matrix = struct.unpack("9i", bytes(side["DISPLAYMATRIX"]))
    return None if matrix == _IDENTITY else matrix
