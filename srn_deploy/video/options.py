"""How videos are encoded, and what becomes of a video whose run is stopped."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from types import NoneType
from typing import Self

from srn_deploy.errors import OptionError
from srn_deploy.system.arguments import check_kind, shown

OnFrame = Callable[[int, int], None]
"""Called with (frames done, frames of the video)."""

LARGEST_CRF = 63
"""Of SVT-AV1 and VP9; x264 and x265 end at 51."""

_SHORT_NAMES = {"x264": "libx264", "x265": "libx265", "h264": "libx264", "hevc": "libx265", "av1": "libsvtav1",
                "svt-av1": "libsvtav1", "vp9": "libvpx-vp9", "prores": "prores_ks"}


def ignore_frame(done: int, total: int) -> None:
    """The OnFrame of those who do not watch."""


@dataclass(frozen=True, kw_only=True)
class VideoOptions:
    """How videos are written. Raises OptionError for values that cannot work."""

    codec: str | None = None
    """An encoder as FFmpeg calls it, as in "libx264", "hevc_nvenc" or "ffv1", or a short name; None chooses by the
    container and by what the frames are."""
    crf: float | None = None
    """Constant quality, 0 is the best; None takes the default of the encoder here."""
    encoder_options: tuple[tuple[str, str], ...] = ()
    """Further options of the encoder, by name."""
    keep_partial: bool = False
    """After Ctrl-C, write what is finished beside the target, as a video that plays."""

    def __post_init__(self) -> None:
        check_kind(self.codec, (str, NoneType), "codec", remedy='Give the name of an encoder, as in "libx264".')
        check_kind(self.crf, (int, float, NoneType), "crf", remedy="Give a number.")
        check_kind(self.keep_partial, bool, "keep_partial", remedy="Give True or False.")
        check_kind(self.encoder_options, tuple, "encoder_options", remedy='Give pairs, as in (("preset", "slow"),).')
        for pair in self.encoder_options:
            if not (isinstance(pair, tuple) and len(pair) == 2 and all(isinstance(each, str) for each in pair)):
                raise OptionError(f"An option of an encoder is a pair of texts, not {shown(pair)}.",
                                  remedy='Give pairs, as in (("preset", "slow"),).')
        if self.crf is not None and not 0 <= self.crf <= LARGEST_CRF:
            raise OptionError(f"A CRF of {self.crf} is not possible.", remedy=f"Use 0 to {LARGEST_CRF}.")
        if self.codec is not None:
            object.__setattr__(self, "codec", _SHORT_NAMES.get(self.codec.lower(), self.codec.lower()))

    @classmethod
    def parse(cls, codec: str | None, crf: float | None, settings: Iterable[str] = (), *,
              keep_partial: bool = False) -> Self:
        """From texts such as "preset=slow"; raises OptionError."""
        pairs = []
        for text in settings:
            name, separator, value = text.partition("=")
            if not (name and separator):
                raise OptionError(f"{text!r} is not of the form KEY=VALUE.", remedy="Write it as in preset=slow.")
            pairs.append((name, value))
        return cls(codec=codec, crf=crf, encoder_options=tuple(pairs), keep_partial=keep_partial)
