"""Formats, limits and warnings, as a user of the command line meets them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow

from srn_deploy.image import Image, read_image, write_image
from srn_deploy.image.containers import MetadataKind
from tests.commands import srn_deploy as run
from tests.test_cli import picture
from tests.test_containers import XMP


@pytest.mark.parametrize("name", ["tiff", "tif", "TIF"])
def test_a_folder_is_written_in_the_format_that_is_asked_for(tmp_path: Path, name: str) -> None:
    for path in ("in/a.png", "in/sub/b.bmp"):
        picture(tmp_path / path)
    done = run("upscale", "in", "out", "--format", name, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["out/a.tif", "out/sub/b.tif"]
    assert read_image(tmp_path / "out/sub/b.tif").pixels.shape == (120, 164, 3)


def test_warnings_come_before_the_result_and_once(tmp_path: Path) -> None:
    write_image(tmp_path / "in.png", Image(pixels=np.zeros((20, 20, 3), np.uint8), metadata=((MetadataKind.XMP, XMP),)))
    done = run("upscale", "in.png", "out.bmp", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("Warning: in.png: The XMP is left behind: BMP has no place for it.\n") == 1
    assert done.stderr.count("Warning") == 1


def test_a_quality_is_warned_of_once_where_the_formats_have_none(tmp_path: Path) -> None:
    for name in ("in/a.png", "in/b.png", "in/c.tif", "in/d.jpg"):
        picture(tmp_path / name)
    done = run("upscale", "in", "out", "--quality", "80", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stderr.splitlines().index("Warning: --quality does nothing to PNG, TIFF, written without loss.") < 2
    assert done.stderr.count("--quality") == 1


def test_a_quality_is_not_warned_of_where_the_format_has_one(tmp_path: Path) -> None:
    picture(tmp_path / "in.png")
    done = run("upscale", "in.png", "out.webp", "--quality", "80", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "--quality" not in done.stderr


def test_inks_are_converted_with_a_warning(tmp_path: Path) -> None:
    Pillow.new("CMYK", (20, 20)).save(tmp_path / "in.jpg")
    done = run("upscale", "in.jpg", "out.png", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("Warning: in.jpg: its CMYK colours are converted to sRGB") == 1


def test_a_image_of_too_many_pixels_is_refused_with_the_option_that_lifts_the_limit(tmp_path: Path) -> None:
    picture(tmp_path / "in.png")
    refused = run("upscale", "in.png", "out.png", "--max-megapixels", "0.001", cwd=tmp_path)
    assert refused.returncode == 1
    assert "--max-megapixels" in refused.stderr
    assert run("upscale", "in.png", "out.png", "--max-megapixels", "0.01", cwd=tmp_path).returncode == 0


@pytest.mark.parametrize(("arguments", "code", "words"), [
    (("in.png", "out.png", "--format", "gif"), 2, "png"),
    (("in.png", "out.png", "--format", "bmp"), 1, "Leave --format out"),
    (("in.png", "out.png", "--max-megapixels", "0"), 2, "max-megapixels"),
    ((".", "out", "--format", "webp"), 1, "would both become"),
])
def test_a_wrong_call_says_what_to_do(tmp_path: Path, arguments: tuple[str, ...], code: int, words: str) -> None:
    picture(tmp_path / "in.png")
    picture(tmp_path / "in.jpg")
    done = run("upscale", *arguments, cwd=tmp_path)
    assert done.returncode == code, done.stderr
    assert words in done.stderr
    assert "Traceback" not in done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.jpg", "in.png"]
