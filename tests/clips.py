"""Tiny videos, made by PyAV itself, and the whole way of one through a backend that repeats pixels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from srn_deploy.inference.plan import Job
from srn_deploy.inference.setup import Setup
from srn_deploy.spec import PixelType
from srn_deploy.video.colour import BT709, RGB, FrameColour
from srn_deploy.video.conversion import to_planes
from srn_deploy.video.layout import FramePlanes, PixelLayout
from srn_deploy.video.options import VideoOptions
from srn_deploy.video.planes import frame_of, layout_of, planes_of
from srn_deploy.video.segment_file import FrameFindings
from srn_deploy.video.upscaling import upscale_video
from tests.fakes import NearestBackend

HEIGHT, WIDTH, FRAMES = 48, 64, 24

TICKS = Fraction(1, 1200)
"""The time base of clips: 50 ticks are one frame at 24 per second."""

REC709 = FrameColour(matrix=BT709, full_range=False, primaries=BT709, transfer=BT709)

RGB_FULL = FrameColour(matrix=RGB, full_range=True, primaries=BT709, transfer=BT709)


@dataclass(frozen=True, kw_only=True)
class Clip:
    """A video to be made: lossless unless an encoder is named."""

    encoder: str = "ffv1"
    pixels: str = "yuv420p"
    times: Sequence[int] = field(default_factory=lambda: range(0, 50 * FRAMES, 50))
    """In ticks, one for each frame."""
    ticks: Fraction = TICKS
    colour: FrameColour = REC709
    options: dict[str, str] = field(default_factory=dict)
    muxer: dict[str, str] = field(default_factory=dict)
    """Options of the container; those that it does not have are ignored."""
    sample_aspect: Fraction = Fraction(1)
    rotation: int = 0
    frame: Callable[[int], NDArray[Any]] | None = None
    """RGB or RGBA in 0..255 of the frame of this number."""
    sound: bool = False
    metadata: dict[str, str] = field(default_factory=dict)

    @property
    def layout(self) -> PixelLayout:
        """Of the planes that the pixels are made from."""
        return layout_of(av.VideoFormat(self.pixels))

    def planes(self, number: int) -> FramePlanes:
        """Of one frame."""
        layout = self.layout
        rgb = (self.frame or moving)(number)
        deep = rgb.astype(layout.dtype) if layout.bits == 8 else (rgb.astype(np.uint16) * 257)
        return to_planes(deep[..., :3], deep[..., 3:] if deep.shape[2] == 4 else None, layout, self.colour)


def moving(number: int) -> NDArray[Any]:
    """A soft gradient that moves, different in every frame."""
    rows, cols = np.mgrid[0:HEIGHT, 0:WIDTH]
    red = 60 + (2 * cols + 5 * number) % 128
    green = 60 + (2 * rows + 3 * number) % 128
    blue = np.full_like(red, 60 + 5 * number % 128)
    return np.stack([red, green, blue], axis=2).astype(np.uint8)


def make_clip(path: Path, clip: Clip | None = None) -> Path:
    """Write a clip; the suffix chooses the container."""
    clip = clip or Clip()
    layout = clip.layout
    with av.open(str(path), "w", options=clip.muxer) as container:
        container.metadata.update(clip.metadata)
        stream: Any = container.add_stream(clip.encoder, rate=24)
        first = frame_of(clip.planes(0), layout, clip.colour)
        stream.width, stream.height, stream.pix_fmt = first.width, first.height, clip.pixels
        context = stream.codec_context
        context.time_base, context.sample_aspect_ratio, context.options = clip.ticks, clip.sample_aspect, clip.options
        tags = clip.colour.tags
        context.colorspace, context.color_range = tags.matrix, tags.range
        context.color_primaries, context.color_trc = tags.primaries, tags.transfer
        if clip.rotation:
            stream.set_display_rotation(clip.rotation)
        sound: Any = container.add_stream("pcm_s16le" if path.suffix == ".mkv" else "aac", rate=48000) \
            if clip.sound else None
        for number, time in enumerate(clip.times):
            frame = frame_of(clip.planes(number), layout, clip.colour)
            frame.pts, frame.time_base = time, clip.ticks
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
        if sound is not None:
            _mux_sound(container, sound, int(48000 * len(clip.times) / 24))
    return path


def _mux_sound(container: Any, stream: Any, samples: int) -> None:
    """A sawtooth, so that every sample is known."""
    for start in range(0, samples, 1024):
        count = min(1024, samples - start)
        wave = (np.arange(start, start + count) * 37 % 20000 - 10000).astype(np.int16)
        frame = av.AudioFrame.from_ndarray(np.stack([wave, wave], axis=1).reshape(1, -1), format="s16",
                                           layout="stereo")
        frame.sample_rate, frame.pts, frame.time_base = 48000, start, Fraction(1, 48000)
        container.mux(stream.encode(frame))
    container.mux(stream.encode(None))


def frames_in(path: Path) -> list[tuple[Fraction, FramePlanes]]:
    """Time in seconds and planes of every frame of the first video stream."""
    found = []
    with av.open(str(path)) as container:
        for frame in container.decode(video=0):
            layout = layout_of(frame.format)
            assert frame.pts is not None
            found.append((frame.pts * (frame.time_base or Fraction(0)),
                          [plane.copy() for plane in planes_of(frame, layout)]))
    return found


LOSSLESS = VideoOptions(codec="ffv1")


@dataclass
class FloatBackend(NearestBackend):
    """Repeats pixels of every depth, as the float graph does."""

    def __post_init__(self) -> None:
        self.spec = replace(self.spec, pixel_type=PixelType.FLOAT32)


def upscaled(source: Path, target: Path, options: VideoOptions = LOSSLESS, *, backend: NearestBackend | None = None,
             threads: int = 2, on_frame: Callable[[int, int], None] = lambda done, total: None) -> FrameFindings:
    """Upscale one video with a backend that repeats pixels."""
    setup = Setup(backend or NearestBackend(), threads=threads)
    return upscale_video(Job(source=source, target=target), setup, options, max_megapixels=1, on_frame=on_frame)
