"""Animations and TIFF of several pages: refused by name, or one frame of them is taken."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image as Pillow

from srn_deploy.errors import OptionError, UnreadableImage, UnsupportedImage
from srn_deploy.image import read_image
from srn_deploy.image.containers.pages import one_page
from srn_deploy.inference.result_options import ResultOptions
from tests.commands import srn_deploy as run
from tests.test_containers import WHOLE, saved

LEVELS = (40, 120, 200)
"""Of the three frames, which are of one colour."""
ANIMATED = {".gif": "GIF", ".png": "PNG", ".webp": "WEBP", ".avif": "AVIF"}


def animation(folder: Path, suffix: str) -> Path:
    frames = [Pillow.fromarray(np.full((24, 36, 3), level, np.uint8)) for level in LEVELS]
    options = {"lossless": True} if suffix == ".webp" else {"quality": 100} if suffix == ".avif" else {}
    frames[0].save(folder / f"in{suffix}", ANIMATED[suffix], save_all=True, append_images=frames[1:], duration=50,
                   **options)
    return folder / f"in{suffix}"


def pages(folder: Path, *, big: bool = False) -> Path:
    with tifffile.TiffWriter(folder / "in.tif", bigtiff=big) as writer:
        for number, level in enumerate(LEVELS):
            writer.write(np.full((24 + number, 36, 3), level, np.uint8), photometric="rgb", metadata=None)
            writer.write(np.zeros((6, 9, 3), np.uint8), photometric="rgb", metadata=None, subfiletype=1)
    return folder / "in.tif"


@pytest.mark.parametrize("suffix", ANIMATED)
@pytest.mark.parametrize("number", [1, 2, 3])
def test_a_frame_is_taken_by_its_number(tmp_path: Path, suffix: str, number: int) -> None:
    image = read_image(animation(tmp_path, suffix), frame=number)
    assert image.pixels.shape == (24, 36, 3)
    assert np.abs(image.pixels.astype(int) - LEVELS[number - 1]).max() <= 1  # RGB as YUV in AVIF


@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize("number", [1, 2, 3])
def test_a_page_is_taken_by_its_number_smaller_copies_not_counted(tmp_path: Path, number: int, big: bool) -> None:
    image = read_image(pages(tmp_path, big=big), frame=number)
    assert image.pixels.shape == (23 + number, 36, 3)
    assert (image.pixels == LEVELS[number - 1]).all()


@pytest.mark.parametrize("suffix", [*ANIMATED, ".tif"])
def test_without_a_number_it_is_refused_with_the_option_that_takes_one(tmp_path: Path, suffix: str) -> None:
    path = pages(tmp_path) if suffix == ".tif" else animation(tmp_path, suffix)
    with pytest.raises(UnsupportedImage) as refused:
        read_image(path)
    assert "--frame 1" in refused.value.remedy


@pytest.mark.parametrize("suffix", [*ANIMATED, ".tif"])
def test_a_frame_that_is_not_there_is_refused_with_how_many_there_are(tmp_path: Path, suffix: str) -> None:
    path = pages(tmp_path) if suffix == ".tif" else animation(tmp_path, suffix)
    with pytest.raises(UnreadableImage, match=r"has 3 (frames|pages), and no (frame|page) 4") as refused:
        read_image(path, frame=4)
    assert "1 to 3" in refused.value.remedy


@pytest.mark.parametrize("suffix", WHOLE)
def test_the_only_image_of_a_file_is_its_first_frame(tmp_path: Path, suffix: str) -> None:
    path = saved(tmp_path, WHOLE[suffix], f"in{suffix}")
    np.testing.assert_array_equal(read_image(path, frame=1).pixels, read_image(path).pixels)
    with pytest.raises(UnreadableImage, match="has 1 "):
        read_image(path, frame=2)


def test_a_frame_is_composed_as_it_is_shown(tmp_path: Path) -> None:
    first = Pillow.fromarray(np.full((20, 20, 3), 250, np.uint8))
    second = first.copy()
    second.putpixel((3, 4), (0, 0, 0))  # GIF stores this one pixel alone
    first.save(tmp_path / "in.gif", save_all=True, append_images=[second])
    pixels = read_image(tmp_path / "in.gif", frame=2).pixels
    assert (pixels[4, 3] == 0).all()
    assert (pixels[0] == 250).all()


def test_transparency_of_a_frame_is_kept(tmp_path: Path) -> None:
    frame = np.zeros((20, 20, 4), np.uint8)
    frame[:10] = (200, 100, 50, 255)
    other = frame[::-1].copy()
    Pillow.fromarray(frame).save(tmp_path / "in.png", save_all=True, append_images=[Pillow.fromarray(other)])
    image = read_image(tmp_path / "in.png", frame=2)
    assert image.alpha is not None
    np.testing.assert_array_equal(image.alpha, other[..., 3:])


@pytest.mark.parametrize("suffix", ANIMATED)
def test_a_damaged_animation_is_an_error_of_ours(tmp_path: Path, suffix: str) -> None:
    data = animation(tmp_path, suffix).read_bytes()
    for length in (8, 40, len(data) // 2):
        with pytest.raises((UnreadableImage, UnsupportedImage)):
            read_image(saved(tmp_path, data[:length], f"cut{suffix}"), frame=3)


def test_a_gif_that_claims_many_pixels_is_refused_by_its_header(tmp_path: Path) -> None:
    data = animation(tmp_path, ".gif").read_bytes()
    path = saved(tmp_path, data[:6] + b"\xff\xff\xff\xff" + data[10:], "in.gif")
    with pytest.raises(UnreadableImage, match="4295 megapixels"):
        read_image(path, frame=1)


@pytest.mark.parametrize("frame", [0, -1, "1", 1.5, True])
def test_what_is_no_number_of_a_frame_is_refused(tmp_path: Path, frame: object) -> None:
    with pytest.raises(OptionError):
        read_image(pages(tmp_path), frame=frame)  # type: ignore[arg-type]
    with pytest.raises(OptionError):
        ResultOptions(frame=frame)  # type: ignore[arg-type]


def test_the_command_takes_a_frame_and_names_what_is_refused(tmp_path: Path) -> None:
    animation(tmp_path, ".gif")
    refused = run("upscale", "in.gif", "out.png", "--device", "cpu", cwd=tmp_path)
    assert (refused.returncode, "Error: in.gif is a GIF image.\n" in refused.stderr) == (1, True)
    assert "--frame 1" in refused.stderr
    ended = run("upscale", "in.gif", "out.png", "--device", "cpu", "--frame", "2", cwd=tmp_path)
    assert ended.returncode == 0, ended.stderr
    assert abs(int(read_image(tmp_path / "out.png").pixels[48, 72, 0]) - LEVELS[1]) <= 3  # what a network owes a card


def test_a_file_with_one_page_or_none_stays_as_it_is() -> None:
    buffer = io.BytesIO()
    Pillow.new("L", (4, 4)).save(buffer, "TIFF")
    assert one_page(b"no TIFF", Path("in"), 7) == b"no TIFF"
    assert one_page(buffer.getvalue(), Path("in"), 1) == buffer.getvalue()
