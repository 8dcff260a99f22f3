"""Colour of videos: in through the right matrix, range and place of chroma, and out by the same."""

from __future__ import annotations

import itertools
from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from srn_deploy.errors import UnsupportedVideo
from srn_deploy.video.colour import (
    BT470BG,
    BT709,
    BT2020,
    FULL,
    HLG,
    LIMITED,
    LUMA_WEIGHTS,
    PQ,
    SMPTE170M,
    UNSPECIFIED,
    FrameColour,
    Tags,
    understood,
)
from srn_deploy.video.conversion import to_pixels, to_planes
from srn_deploy.video.layout import ColourModel, PixelLayout
from tests.clips import LOSSLESS, Clip, FloatBackend, frames_in, make_clip, upscaled

MATRICES = sorted(LUMA_WEIGHTS)
RANGES = {"limited": False, "full": True}
SUBSAMPLINGS = ("yuv420p", "yuv422p", "yuv444p", "yuv420p10le", "yuv444p10le", "yuv422p12le")

CHROMA = ("left", "center", "topleft")


def soft(height: int = 48, width: int = 64) -> NDArray[np.float64]:
    """RGB in 0.2..0.8, changing little from pixel to pixel: chroma of half the size holds it."""
    rows, cols = np.mgrid[0:height, 0:width]
    return np.stack([0.2 + 0.6 * cols / width, 0.2 + 0.6 * rows / height, 0.8 - 0.6 * cols / width], axis=2)


def layout_named(name: str) -> PixelLayout:
    layout = PixelLayout.named(name)
    assert layout is not None
    return layout


@pytest.mark.parametrize(("matrix", "full", "pixels", "chroma"),
                         list(itertools.product(MATRICES, RANGES.values(), SUBSAMPLINGS, CHROMA)))
def test_planes_to_rgb_repeated_and_back_are_the_planes_repeated(
        matrix: int, full: bool, pixels: str, chroma: str) -> None:
    layout, colour = layout_named(pixels), FrameColour(matrix=matrix, full_range=full, chroma=chroma)
    most = 255 if layout.bits == 8 else 65535
    source = to_planes(np.rint(soft() * most).astype(layout.dtype), None, layout, colour)
    rgb, _ = to_pixels(source, layout, colour)
    large = to_planes(rgb.repeat(2, axis=0).repeat(2, axis=1), None, layout, colour)
    # RGB of 8 bits is off by half a level, which is less than one level of luma or chroma; full range may round over.
    luma = source[0].astype(int).repeat(2, axis=0).repeat(2, axis=1)
    assert np.abs(large[0] - luma).max() <= int(full)
    # The gradient of chroma between two of its samples, and one level of rounding at each step.
    for before, after in zip(source[1:], large[1:], strict=True):
        step = max(np.abs(np.diff(before.astype(int), axis=axis)).max() for axis in (0, 1))
        repeated = before.astype(int).repeat(2, axis=0).repeat(2, axis=1)
        assert np.abs(after - repeated).max() <= step + 1


@pytest.mark.parametrize("matrix", MATRICES)
@pytest.mark.parametrize("full", list(RANGES.values()), ids=list(RANGES))
def test_without_subsampling_every_level_in_gamut_comes_back(matrix: int, full: bool) -> None:
    layout, colour = layout_named("yuv444p"), FrameColour(matrix=matrix, full_range=full)
    rgb = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    planes = to_planes(rgb, None, layout, colour)
    again = to_planes(to_pixels(planes, layout, colour)[0], None, layout, colour)
    assert max(np.abs(a.astype(int) - b).max() for a, b in zip(planes, again, strict=True)) <= 1


@pytest.mark.parametrize("matrix", [BT709, BT470BG, BT2020])
@pytest.mark.parametrize("full", list(RANGES.values()), ids=list(RANGES))
def test_rgb_is_what_swscale_makes_of_the_same_planes(matrix: int, full: bool) -> None:
    layout, colour = layout_named("yuv444p"), FrameColour(matrix=matrix, full_range=full)
    planes = to_planes(np.rint(soft() * 255).astype(np.uint8), None, layout, colour)
    frame = av.VideoFrame(64, 48, "yuv444p")
    for plane, samples in zip(frame.planes, planes, strict=True):
        plane.update(samples.tobytes())
    theirs = frame.reformat(format="gbrp", src_colorspace=matrix, dst_colorspace=matrix,
                            src_color_range=FULL if full else LIMITED, dst_color_range=FULL,
                            interpolation="BICUBIC")
    green, blue, red = (np.frombuffer(memoryview(plane), np.uint8).reshape(48, -1)[:, :64] for plane in theirs.planes)
    ours, _ = to_pixels(planes, layout, colour)
    # swscale rounds its matrix to 13 bits and its results down.
    assert np.abs(ours.astype(int) - np.stack([red, green, blue], axis=2)).max() <= 2


@pytest.mark.parametrize("pixels", ["yuv420p", "yuv420p10le"])
@pytest.mark.parametrize("full", list(RANGES.values()), ids=list(RANGES))
@pytest.mark.parametrize("matrix", [BT709, SMPTE170M, BT2020])
def test_a_video_says_of_its_colour_what_its_source_said(tmp_path: Path, matrix: int, full: bool, pixels: str) -> None:
    colour = FrameColour(matrix=matrix, full_range=full, primaries=matrix, transfer=SMPTE170M)
    source = make_clip(tmp_path / "in.mkv", Clip(pixels=pixels, colour=colour, frame=lambda number: np.rint(
        soft() * 255).astype(np.uint8)))
    upscaled(source, tmp_path / "out.mkv", LOSSLESS, backend=FloatBackend())
    with av.open(str(tmp_path / "out.mkv")) as container:
        frame = next(container.decode(video=0))
        assert frame.format.name == pixels
        assert (frame.colorspace, frame.color_range) == (matrix, FULL if full else LIMITED)
        assert (frame.color_primaries, frame.color_trc) == (matrix, SMPTE170M)
    before, after = frames_in(source)[0][1], frames_in(tmp_path / "out.mkv")[0][1]
    assert np.abs(after[0].astype(int) - before[0].astype(int).repeat(2, 0).repeat(2, 1)).max() <= int(full)


@pytest.mark.parametrize(("height", "width", "matrix"), [(480, 720, SMPTE170M), (576, 720, BT470BG), (720, 1280, BT709),
                                                         (600, 800, BT709)])
def test_a_matrix_that_is_not_given_is_the_one_that_players_assume_for_the_small_size(
        height: int, width: int, matrix: int) -> None:
    assert understood(Tags(), ColourModel.YUV, height, width).matrix == matrix


@pytest.mark.parametrize("transfer", [PQ, HLG])
def test_hdr_is_refused_with_the_command_that_makes_it_sdr(transfer: int) -> None:
    with pytest.raises(UnsupportedVideo, match="HDR") as caught:
        understood(Tags(matrix=BT2020, transfer=transfer), ColourModel.YUV, 2160, 3840)
    assert "tonemap" in caught.value.remedy


@pytest.mark.parametrize("matrix", [8, 10, 14])
def test_matrices_that_are_not_read_are_refused_by_name(matrix: int) -> None:
    with pytest.raises(UnsupportedVideo, match=r"YCgCo|constant luminance|ICtCp"):
        understood(Tags(matrix=matrix), ColourModel.YUV, 48, 64)


def test_tags_that_are_given_stay_as_they_are() -> None:
    tags = Tags(matrix=BT709, range=LIMITED, primaries=UNSPECIFIED, transfer=13)
    assert understood(tags, ColourModel.YUV, 48, 64).tags == tags
