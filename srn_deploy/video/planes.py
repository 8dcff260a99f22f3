"""Frames of PyAV to arrays of planes and back: the one place that knows their memory."""

from __future__ import annotations

import av
import numpy as np

from srn_deploy.errors import UnsupportedVideo
from srn_deploy.video.colour import FULL, UNSPECIFIED, FrameColour, Tags
from srn_deploy.video.layout import ColourModel, FramePlanes, PixelLayout


def layout_of(frame_format: av.VideoFormat) -> PixelLayout:
    """The planar layout that holds a pixel format without loss; raises UnsupportedVideo for exotic ones."""
    if (named := PixelLayout.named(frame_format.name)) is not None:
        return named
    components = frame_format.components
    bits = {component.bits for component in components}
    model = [component for component in components if not component.is_alpha]
    if frame_format.has_palette or frame_format.is_bayer or len(bits) != 1 or not 8 <= max(bits) <= 16:
        raise _unsupported(frame_format.name)
    has_alpha = len(model) < len(components)
    if frame_format.is_rgb:
        return PixelLayout(kind=ColourModel.RGB, bits=max(bits), has_alpha=has_alpha)
    if len(model) == 1:
        if has_alpha:
            raise _unsupported(frame_format.name)
        return PixelLayout(kind=ColourModel.GREY, bits=max(bits))
    sized = av.VideoFormat(frame_format.name, 64, 64)
    return PixelLayout(kind=ColourModel.YUV, bits=max(bits), horizontal=64 // sized.chroma_width(),
                  vertical=64 // sized.chroma_height(), has_alpha=has_alpha)


def _unsupported(name: str) -> UnsupportedVideo:
    return UnsupportedVideo(f"The pixels of the video are stored as {name}, which is not read.",
                            remedy="Convert it first: ffmpeg -i IN -pix_fmt yuv444p OUT")


def planes_of(frame: av.VideoFrame, layout: PixelLayout) -> FramePlanes:
    """The planes of a frame, as views of its memory or of that of a repacked copy."""
    if PixelLayout.named(frame.format.name) is None:  # the same samples in another order, such as nv12 or rgb24
        frame = frame.reformat(format=layout.name, src_colorspace=frame.colorspace, dst_colorspace=frame.colorspace,
                               src_color_range=frame.color_range, dst_color_range=frame.color_range)
    return [np.frombuffer(memoryview(plane), layout.dtype)
            .reshape(-1, plane.line_size // layout.dtype.itemsize)[:height, :width]
            for plane, (height, width) in zip(frame.planes, layout.shapes(frame.height, frame.width), strict=True)]


def frame_of(planes: FramePlanes, layout: PixelLayout, colour: FrameColour) -> av.VideoFrame:
    """A frame that holds a copy of these planes and says what they mean."""
    height, width = planes[0].shape
    frame = av.VideoFrame(width, height, layout.name)
    for plane, samples in zip(frame.planes, planes, strict=True):
        rows = np.zeros((plane.buffer_size // plane.line_size, plane.line_size // layout.dtype.itemsize), layout.dtype)
        rows[:samples.shape[0], :samples.shape[1]] = samples
        plane.update(rows.tobytes())
    tags = colour.tags
    frame.colorspace, frame.color_range = tags.matrix, tags.range
    frame.color_primaries, frame.color_trc = tags.primaries, tags.transfer
    return frame


def tags_of(frame: av.VideoFrame, context: av.VideoCodecContext) -> Tags:
    """What a frame says about its colour, and its stream where the frame leaves it open."""
    is_jpeg = frame.format.name.startswith("yuvj")
    return Tags(matrix=_given(frame.colorspace, context.colorspace),
                range=FULL if is_jpeg else frame.color_range or context.color_range,
                primaries=_given(frame.color_primaries, context.color_primaries),
                transfer=_given(frame.color_trc, context.color_trc))


def _given(of_frame: int, of_stream: int) -> int:
    return int(of_stream if of_frame == UNSPECIFIED else of_frame)
