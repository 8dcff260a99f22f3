"""Which encoder writes a stream, in which layout, and with which options."""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import av.error
from av.codec import Codec
from av.codec.context import CodecContext, Flags
from av.format import ContainerFormat
from av.format import Flags as FormatFlags

from srn_deploy.errors import OptionError, UnwritableVideo
from srn_deploy.system.cuda_driver import why_no_gpu
from srn_deploy.system.scheduling import ordinary_scheduling
from srn_deploy.video.colour import FrameColour, as_yuv
from srn_deploy.video.files import VideoContainer, container_of
from srn_deploy.video.layout import ColourModel, PixelLayout, closest
from srn_deploy.video.library import reason_of
from srn_deploy.video.options import VideoOptions
from srn_deploy.video.probing import Picture

_QUALITY = {"libx264": ("crf", 18), "libx264rgb": ("crf", 18), "libx265": ("crf", 20), "libsvtav1": ("crf", 23),
            "libvpx-vp9": ("crf", 20), "libvpx": ("crf", 10), "h264_nvenc": ("cq", 19), "hevc_nvenc": ("cq", 21),
            "av1_nvenc": ("cq", 24)}
"""Encoder to the name of its constant quality and our default: 18 is where the guide of x264 sets "visually lossless",
the others are the same step below the default of their encoder. What was made sharp is not to be lost again."""

_FIXED: dict[str, dict[str, str]] = {
    "libx265": {"x265-params": "log-level=error"},
    "libvpx-vp9": {"b": "0", "row-mt": "1"},
    "prores_ks": {"vendor": "apl0"},
    "mpeg4": {"flags": "+qscale", "global_quality": str(3 * 118)},  # quantiser 3 of 1..31, times FF_QP2LAMBDA
    "mpeg2video": {"flags": "+qscale", "global_quality": str(3 * 118)},
}

_ANY_SIZE = frozenset(("ffv1", "libvpx-vp9", "prores_ks", "libx264rgb"))
"""Encoders that take odd sides with subsampled chroma."""

_NVENC = {"h264_nvenc": "libx264", "hevc_nvenc": "libx265", "av1_nvenc": "libsvtav1"}
"""Encoders of NVIDIA's GPUs, to one of the same format that encodes on the CPU."""

_GLOBAL_HEADER: int = FormatFlags.global_header.value  # type: ignore[assignment]  # a flag, by PyAV's annotations

_INTERLEAVED = {False: ("rgb24", "bgr24", "bgr0", "rgb0"), True: ("rgba", "bgra")}
"""With alpha or without, to formats of 8 bits that some encoders take instead of planes; PyAV repacks them."""

_FEWER_BITS = 10
"""What 12 and 16 bits are rounded to, with a warning, where no encoder of a container holds more: ProRes 4444 is always
read as 12 bits and written from 10."""

_LARGEST_TICK = 65535
"""MPEG-4 has 16 bits for the time base, and AV1 and others do well with it."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Encoding:
    """How one stream is written: everything that makes an encoder."""

    encoder: str
    layout: PixelLayout
    colour: FrameColour
    height: int
    width: int
    rate: Fraction
    sample_aspect: Fraction
    options: tuple[tuple[str, str], ...]
    threads: int

    @property
    def time_base(self) -> Fraction:
        """One tick for each frame: their real times are the container's matter."""
        return 1 / self.rate


def plan_encoding(target: Path, picture: Picture, size: tuple[int, int], rate: Fraction, options: VideoOptions, *,
                  threads: int) -> Encoding:
    """Choose encoder and layout for frames that become (height, width) large.

    Raises OptionError for an encoder or an option that does not exist, and UnwritableVideo where no encoder of the
    container holds the frames, and for one of NVIDIA's where there is no GPU.
    """
    container = container_of(target)
    height, width = size
    encoder, layout = _chosen(container, picture.layout, size, options)
    if is_nvenc(encoder) and (reason := why_no_gpu()):
        raise no_nvenc(encoder, reason)
    colour = as_yuv(picture.colour) if layout.kind is not ColourModel.RGB else picture.colour
    return Encoding(encoder=encoder, layout=layout, colour=colour, height=height, width=width,
                    rate=_simple(rate), sample_aspect=picture.sample_aspect, threads=threads,
                    options=tuple(_settings(encoder, layout, options).items()))


def _chosen(container: VideoContainer, wanted: PixelLayout, size: tuple[int, int],
            options: VideoOptions) -> tuple[str, PixelLayout]:
    tried = [each for each in _order(container, wanted) if each in av.codecs_available]
    encoders = tried if options.codec is None else [options.codec]
    for kept in [wanted] if wanted.bits <= _FEWER_BITS else [wanted, replace(wanted, bits=_FEWER_BITS)]:
        for encoder in encoders:
            layout = closest(_for_size(encoder, kept, size), layouts_of(encoder))
            if layout is None:
                continue
            if layout.bits < wanted.bits:
                _log.warning("%s holds %d bits: the %d of the video are rounded to them.", encoder, layout.bits,
                             wanted.bits)
            return encoder, layout
    if options.codec is not None:
        raise UnwritableVideo(f"{options.codec} does not hold {wanted.described()}.",
                              remedy=f"Use {_others(container, wanted, size)}.")
    raise UnwritableVideo(f"No encoder for {container.name} holds {wanted.described()}.",
                          remedy="With transparency write .mov (ProRes 4444), .webm (VP9, 8 bits) or .mkv; for other "
                                 "frames .mkv with --codec ffv1.")


def _order(container: VideoContainer, wanted: PixelLayout) -> tuple[str, ...]:
    return container.deep if wanted.bits > 8 and container.deep else container.encoders


def _others(container: VideoContainer, wanted: PixelLayout, size: tuple[int, int]) -> str:
    fitting = [encoder for encoder in {*_order(container, wanted), "ffv1"} if encoder in av.codecs_available
               and closest(_for_size(encoder, wanted, size), layouts_of(encoder)) is not None]
    return " or ".join(f"--codec {encoder}" for encoder in sorted(fitting))


def _for_size(encoder: str, wanted: PixelLayout, size: tuple[int, int]) -> PixelLayout:
    if encoder in _ANY_SIZE or wanted.kind is not ColourModel.YUV:
        return wanted
    height, width = size
    return wanted.without_subsampling(columns=width % wanted.horizontal != 0, rows=height % wanted.vertical != 0)


def layouts_of(encoder: str) -> list[PixelLayout]:
    """The layouts that an encoder takes; raises OptionError where there is no such encoder of videos."""
    try:
        codec = Codec(encoder, "w")
    except (av.error.FFmpegError, ValueError) as error:
        raise _unknown(encoder) from error
    if codec.type != "video":
        raise _unknown(encoder)
    offered = {each.name for each in codec.video_formats or ()}
    named = [layout for layout in map(PixelLayout.named, sorted(offered)) if layout is not None]
    return named + [PixelLayout(kind=ColourModel.RGB, has_alpha=has_alpha)
                    for has_alpha, names in _INTERLEAVED.items() if offered & set(names)]


def is_nvenc(encoder: str) -> bool:
    """Whether an encoder is one of NVIDIA's GPUs."""
    return encoder in _NVENC


def no_nvenc(encoder: str, reason: str) -> UnwritableVideo:
    """The error for such an encoder where there is no GPU, or one that refuses; reason: a clause."""
    return UnwritableVideo(f"{encoder} cannot encode here: {reason}.",
                           remedy=f"It needs an NVIDIA GPU that has NVENC, and its driver. Use --codec "
                                  f"{_NVENC[encoder]}, which encodes on the CPU.")


def _unknown(encoder: str) -> OptionError:
    ours = [name for name in (*_QUALITY, "prores_ks", "ffv1", "mpeg4") if name in av.codecs_available]
    return OptionError(f"This PyAV has no encoder of videos called {encoder!r}.",
                       remedy=f"Use one of {', '.join(ours)}, or another one of FFmpeg's that PyAV was built with.")


def _settings(encoder: str, layout: PixelLayout, options: VideoOptions) -> dict[str, str]:
    """Ours, then the quality, then the user's own; `x265-params` of both are joined."""
    settings = dict(_FIXED.get(encoder, {}))
    if encoder in _QUALITY:
        name, usual = _QUALITY[encoder]
        settings[name] = f"{usual if options.crf is None else options.crf:g}"
    elif options.crf is not None:
        raise OptionError(f"{encoder} has no CRF.", remedy="Leave --crf out, or give an --encoder-option of its own.")
    if encoder == "prores_ks":
        settings["profile"] = "4" if layout.horizontal == 1 else "3"  # 4444, HQ
    for name, value in options.encoder_options:
        joined = name == "x265-params" and name in settings
        settings[name] = f"{settings[name]}:{value}" if joined else value
    return settings


def _simple(rate: Fraction) -> Fraction:
    """A frame rate whose parts fit into 16 bits."""
    if rate <= 0:
        return Fraction(25)
    largest = max(1, math.floor(_LARGEST_TICK / max(rate, Fraction(1))))
    simple = rate.limit_denominator(min(largest, 1001))
    return simple if simple > 0 else Fraction(1)


def encoder_of(encoding: Encoding, target: Path) -> av.VideoCodecContext:
    """A new encoder, opened. Raises OptionError for options that it does not have, UnwritableVideo where it refuses."""
    context = CodecContext.create(encoding.encoder, "w")
    if not isinstance(context, av.VideoCodecContext):
        raise _unknown(encoding.encoder)
    configure(context, encoding)
    if ContainerFormat(container_of(target).name, "w").flags & _GLOBAL_HEADER:
        context.flags |= Flags.global_header
    check_options(context, encoding)
    try:
        with ordinary_scheduling():
            context.open()
    except (av.error.FFmpegError, ValueError) as error:
        if is_nvenc(encoding.encoder):
            raise no_nvenc(encoding.encoder, reason_of(error)) from error
        raise UnwritableVideo(f"{encoding.encoder} cannot write {encoding.width} x {encoding.height} pixels in "
                              f"{encoding.layout.described()} here: {reason_of(error)}.",
                              remedy="Check --encoder-option and --crf, or choose another --codec.") from error
    return context


def configure(context: Any, encoding: Encoding) -> None:
    """Set all of an encoder, or of the stream that has one, which is not opened yet."""
    context.width, context.height = encoding.width, encoding.height
    context.pix_fmt = _offered_name(encoding)
    context.time_base, context.framerate = encoding.time_base, encoding.rate
    context.sample_aspect_ratio = encoding.sample_aspect
    tags = encoding.colour.tags
    context.colorspace, context.color_range = tags.matrix, tags.range
    context.color_primaries, context.color_trc = tags.primaries, tags.transfer
    context.thread_count = encoding.threads
    located = {"chroma_sample_location": encoding.colour.chroma} if encoding.layout.vertical > 1 else {}
    context.options = {**located, **dict(encoding.options)}


def _offered_name(encoding: Encoding) -> str:
    """The layout as the encoder calls it: RGB that it takes only interleaved is repacked by PyAV."""
    offered = {each.name for each in Codec(encoding.encoder, "w").video_formats or ()}
    if encoding.layout.name in offered:
        return encoding.layout.name
    return next(name for name in _INTERLEAVED[encoding.layout.has_alpha] if name in offered)


def check_options(context: av.VideoCodecContext, encoding: Encoding) -> None:
    """Raise OptionError for an option that the encoder does not have: it would be ignored."""
    known = context.supported_options
    names = {option.name for option in (*known.generic, *known.private)}
    for name, _ in encoding.options:
        if name not in names:
            raise OptionError(f"{encoding.encoder} has no option called {name!r}.",
                              remedy=f"Look at: ffmpeg -h encoder={encoding.encoder}")
