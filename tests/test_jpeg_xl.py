"""JPEG XL, which an extra reads: sizes of every notation, turns, metadata, damage."""

from __future__ import annotations

import io
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as Pillow

from srn_deploy.errors import MissingPackage, UnreadableImage
from srn_deploy.image import image_size, read_image
from srn_deploy.image.containers import MetadataKind
from srn_deploy.inference.plan import plan_jobs
from tests.commands import srn_deploy as run
from tests.test_containers import XMP, exif, noise, saved

pytest.importorskip("pillow_jxl", reason="needs pillow-jxl-plugin: pip install '.[jxl]'")


def made(pixels: Any, **options: Any) -> bytes:
    buffer = io.BytesIO()
    Pillow.fromarray(pixels).save(buffer, "JXL", lossless=True, **options)
    return buffer.getvalue()


@pytest.mark.parametrize("shape", [(8, 8), (16, 32), (20, 30), (30, 40), (1, 1), (7, 600), (513, 9), (90, 160)])
def test_the_size_is_read_from_the_first_bits(tmp_path: Path, shape: tuple[int, int]) -> None:
    pixels = noise(*shape, 3)
    path = saved(tmp_path, made(pixels), "in.jxl")
    assert image_size(path) == shape
    np.testing.assert_array_equal(read_image(path).pixels, pixels)


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_every_kind_of_pixel_is_exact(tmp_path: Path, channels: int) -> None:
    pixels = noise(20, 30, channels)
    read = read_image(saved(tmp_path, made(pixels[..., 0] if channels == 1 else pixels), "in.jxl"))
    np.testing.assert_array_equal(read.pixels, pixels[..., :3])
    assert (read.alpha is not None) is (channels == 4)
    if channels == 4:
        np.testing.assert_array_equal(read.alpha, pixels[..., 3:])


def test_grey_keeps_sixteen_bits(tmp_path: Path) -> None:
    levels = np.linspace(0, 65535, 600).astype(np.uint16).reshape(20, 30)
    np.testing.assert_array_equal(read_image(saved(tmp_path, made(levels), "in.jxl")).pixels[..., 0], levels)


def test_exif_and_xmp_are_carried_and_a_profile_is_not_made_up(tmp_path: Path) -> None:
    for pixels in (noise(20, 30, 3), noise(20, 30, 1)[..., 0]):
        data = made(pixels, exif=exif(1), xmp=XMP)
        metadata = dict(read_image(saved(tmp_path, data, "in.jxl")).metadata)
        assert metadata == {MetadataKind.EXIF: exif(1), MetadataKind.XMP: XMP}


def test_every_truncation_is_an_error_of_ours(tmp_path: Path) -> None:
    for first, data in ((2, made(noise(20, 30, 3))), (12, made(noise(20, 30, 3), exif=exif(1)))):
        for length in range(first, len(data), 53):
            with pytest.raises(UnreadableImage, match=r"truncated or damaged JPEG XL|cannot be decoded"):
                read_image(saved(tmp_path, data[:length], "in.jxl"))


def test_a_jpeg_that_was_packed_into_it_is_read_as_pixels(tmp_path: Path) -> None:
    Pillow.fromarray(np.full((24, 32, 3), 120, np.uint8)).save(tmp_path / "in.jpg", quality=95)
    with Pillow.open(tmp_path / "in.jpg") as opened:
        opened.save(tmp_path / "in.jxl", "JXL", lossless_jpeg=True)
    pixels = read_image(tmp_path / "in.jxl").pixels
    assert pixels.shape == (24, 32, 3)
    assert np.abs(pixels.astype(int) - 120).max() <= 2


def test_the_claim_of_a_huge_image_is_refused_by_the_header(tmp_path: Path) -> None:
    bits = "0" + "11" + f"{99_999:030b}"[::-1] + "001"[::-1] + "1"  # 100,000 x 100,000
    header = int(bits[::-1], 2).to_bytes(6, "little")
    with pytest.raises(UnreadableImage, match="10000 megapixels"):
        read_image(saved(tmp_path, b"\xff\x0a" + header + bytes(50), "in.jxl"))


def test_without_the_package_the_error_names_how_to_install_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = saved(tmp_path, made(noise(8, 8, 3)), "in.png")
    monkeypatch.setitem(sys.modules, "pillow_jxl", None)
    with pytest.raises(MissingPackage, match="is a JPEG XL image") as missing:
        read_image(path)
    assert "pip install '.[jxl]'" in missing.value.remedy


def test_results_in_a_folder_are_png(tmp_path: Path) -> None:
    saved(tmp_path, made(noise(16, 16, 3)), "in.jxl")
    assert [job.target.name for job in plan_jobs(tmp_path, tmp_path / "out")] == ["in.png"]
    ended = run("upscale", "in.jxl", "out/", "--device", "cpu", cwd=tmp_path)
    assert (ended.returncode, ended.stdout) == (0, "out/in.png\n")
