"""What the numbers in a frame mean: matrix, range, primaries and transfer, as ITU-T H.273 numbers them."""

from __future__ import annotations

from dataclasses import dataclass

from srn_deploy.errors import UnsupportedVideo
from srn_deploy.video.layout import ColourModel

UNSPECIFIED = 2

RGB, BT709, FCC, BT470BG, SMPTE170M, SMPTE240M, BT2020 = 0, 1, 4, 5, 6, 7, 9
"""Matrix coefficients, Table 4 of H.273; 1, 5, 6, 7 and 9 also number primaries."""

LUMA_WEIGHTS = {BT709: (0.2126, 0.0722), FCC: (0.30, 0.11), BT470BG: (0.299, 0.114), SMPTE170M: (0.299, 0.114),
                SMPTE240M: (0.212, 0.087), BT2020: (0.2627, 0.0593)}
"""Matrix to the weights of red and blue in luma, Table 4 of H.273."""

_OTHER_MATRICES = {8: "YCgCo", 10: "BT.2020 with constant luminance", 11: "SMPTE 2085", 12: "derived from primaries",
                   13: "derived from primaries", 14: "ICtCp", 15: "IPT-C2", 16: "YCgCo-Re", 17: "YCgCo-Ro"}

PQ, HLG = 16, 18
"""Transfer characteristics of HDR, Table 3 of H.273."""

LIMITED, FULL = 1, 2
"""Ranges as FFmpeg numbers them; 0 is unspecified."""

_TONE_MAPPED = ("Make an SDR version first, as in: ffmpeg -i IN -vf zscale=t=linear:npl=100,format=gbrpf32le,"
                "zscale=p=bt709,tonemap=hable,zscale=t=bt709:m=bt709:r=tv,format=yuv420p OUT")

_HD_WIDTH, _HD_HEIGHT = 1280, 577
"""From here on a video without a matrix is taken to be BT.709, as players take it; below BT.601."""


@dataclass(frozen=True, kw_only=True)
class Tags:
    """What a stream says about its colour, as numbers of H.273 and FFmpeg's of the range."""

    matrix: int = UNSPECIFIED
    range: int = 0
    primaries: int = UNSPECIFIED
    transfer: int = UNSPECIFIED


@dataclass(frozen=True, kw_only=True)
class FrameColour:
    """How samples become RGB and back, and what is written about it. Matrix and range are known."""

    matrix: int
    full_range: bool
    primaries: int = UNSPECIFIED
    transfer: int = UNSPECIFIED
    chroma: str = "left"
    """Where chroma lies between luma samples: "left", "center" or "topleft"."""

    @property
    def tags(self) -> Tags:
        """What a stream of these frames says about itself."""
        return Tags(matrix=self.matrix, range=FULL if self.full_range else LIMITED, primaries=self.primaries,
                    transfer=self.transfer)


def understood(tags: Tags, kind: ColourModel, height: int, width: int, *, chroma: str = "left") -> FrameColour:
    """The colour of a stream, what it leaves open filled in as players do it.

    A matrix that is not given is BT.709 from 1280 x 577 on, otherwise BT.601; it is written down in the result, whose
    larger size would have players guess otherwise. Raises UnsupportedVideo for PQ and HLG, on which no network was
    trained, and for matrices that are not linear in RGB.
    """
    if tags.transfer in (PQ, HLG):
        raise UnsupportedVideo(f"The video is HDR ({'PQ' if tags.transfer == PQ else 'HLG'}): networks are trained on "
                               "SDR, and would change its brightness.", remedy=_TONE_MAPPED)
    if kind is ColourModel.RGB:
        return FrameColour(matrix=RGB, full_range=tags.range != LIMITED, primaries=tags.primaries,
                           transfer=tags.transfer)
    if tags.matrix in LUMA_WEIGHTS:
        return FrameColour(matrix=tags.matrix, full_range=tags.range == FULL, primaries=tags.primaries,
                      transfer=tags.transfer, chroma=chroma)
    if tags.matrix not in (UNSPECIFIED, 3, RGB):
        named = _OTHER_MATRICES.get(tags.matrix, f"number {tags.matrix}")
        raise UnsupportedVideo(f"The colours of the video are coded by a matrix that is not read: {named}.",
                               remedy="Convert it first: ffmpeg -i IN -vf scale=out_color_matrix=bt709 OUT")
    return _guessed(tags, height, width, chroma)


def _guessed(tags: Tags, height: int, width: int, chroma: str) -> FrameColour:
    if width >= _HD_WIDTH or height >= _HD_HEIGHT:
        matrix = primaries = transfer = BT709
    else:
        matrix = primaries = BT470BG if height > 480 else SMPTE170M  # 625 and 525 lines
        transfer = SMPTE170M
    return FrameColour(matrix=matrix, full_range=tags.range == FULL, chroma=chroma,
                  primaries=primaries if tags.primaries == UNSPECIFIED else tags.primaries,
                  transfer=transfer if tags.transfer == UNSPECIFIED else tags.transfer)


def as_yuv(colour: FrameColour) -> FrameColour:
    """The colour of RGB frames that are written as YUV: BT.709 in limited range, their primaries and transfer kept."""
    if colour.matrix != RGB:
        return colour
    return FrameColour(matrix=BT709, full_range=False, primaries=colour.primaries, transfer=colour.transfer)
