"""HEIC, which an extra reads: size and turn from the header, bits, metadata, damage."""

from __future__ import annotations

import io
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as Pillow

from srn_deploy.errors import MissingPackage, UnreadableImage, UnwritableImage
from srn_deploy.image import image_size, read_image
from srn_deploy.image.containers import MetadataKind, unpack
from srn_deploy.image.containers.exif import orientation
from srn_deploy.image.files import container_of
from srn_deploy.inference.plan import plan_jobs
from tests.commands import srn_deploy as run
from tests.test_containers import XMP, exif, noise, saved

pillow_heif = pytest.importorskip("pillow_heif", reason="needs pillow-heif: pip install '.[heif]'")

SMOOTH = np.linspace(0, 255, 20 * 30 * 3).astype(np.uint8).reshape(20, 30, 3)
RGB_AS_YUV = 3
"""Levels by which RGB changes on its way through YUV of 8 bits without further loss."""


def made(pixels: Any = SMOOTH, mode: str = "RGB", **options: Any) -> bytes:
    height, width = pixels.shape[:2]
    buffer = io.BytesIO()
    image = pillow_heif.from_bytes(mode, (width, height), np.ascontiguousarray(pixels).tobytes())
    image.save(buffer, quality=-1, chroma=444, **options)
    return buffer.getvalue()


def test_pixels_are_read_and_the_fill_of_the_encoder_is_cropped(tmp_path: Path) -> None:
    path = saved(tmp_path, made(), "in.heic")
    assert image_size(path) == (20, 30)
    assert np.abs(read_image(path).pixels.astype(int) - SMOOTH).max() <= RGB_AS_YUV


@pytest.mark.parametrize("turn", range(1, 9))
def test_the_turn_is_applied_once(tmp_path: Path, turn: int) -> None:
    path = saved(tmp_path, made(exif=b"Exif\0\0" + exif(turn)), "in.heic")
    (tmp_path / "in.png").write_bytes(b"")
    buffer = io.BytesIO()
    Pillow.fromarray(SMOOTH).save(buffer, "PNG", exif=b"Exif\0\0" + exif(turn))
    expected = read_image(saved(tmp_path, buffer.getvalue(), "in.png")).pixels
    read = read_image(path)
    assert image_size(path) == expected.shape[:2]
    assert np.abs(read.pixels.astype(int) - expected).max() <= RGB_AS_YUV
    assert orientation(dict(read.metadata).get(MetadataKind.EXIF, b"")) == 1


def test_ten_bits_are_kept_as_sixteen(tmp_path: Path) -> None:
    grey = np.linspace(0, 65535, 600).astype(np.uint16).reshape(20, 30, 1).repeat(3, axis=2)
    pixels = read_image(saved(tmp_path, made(grey, "RGB;16"), "in.heic")).pixels
    assert pixels.dtype == np.uint16
    assert pixels.max() == 65535
    assert np.unique(pixels[..., 1]).size > 500  # 8 bits would leave 256
    assert np.abs(pixels.astype(int) - grey).max() <= RGB_AS_YUV * 65535 // 1023


def test_transparency_and_grey_are_kept(tmp_path: Path) -> None:
    alpha = noise(20, 30, 1) // 2 + 100
    rgba = read_image(saved(tmp_path, made(np.concatenate([SMOOTH, alpha], axis=2), "RGBA"), "in.heic"))
    assert rgba.alpha is not None
    np.testing.assert_array_equal(rgba.alpha, alpha)
    assert rgba.remarks == ()
    assert read_image(saved(tmp_path, made(SMOOTH[..., :1], "L"), "grey.heic")).pixels.shape == (20, 30, 1)


def test_exif_and_xmp_are_carried(tmp_path: Path) -> None:
    metadata = dict(read_image(saved(tmp_path, made(exif=b"Exif\0\0" + exif(1), xmp=XMP), "in.heic")).metadata)
    assert (metadata[MetadataKind.EXIF], metadata[MetadataKind.XMP]) == (exif(1), XMP)


def test_every_truncation_is_an_error_of_ours(tmp_path: Path) -> None:
    data = made(exif=b"Exif\0\0" + exif(1))
    for length in range(16, len(data), 97):
        with pytest.raises(UnreadableImage, match=r"truncated or damaged HEIC|cannot be decoded"):
            read_image(saved(tmp_path, data[:length], "in.heic"))


def test_damaged_pixels_are_an_error_of_ours(tmp_path: Path) -> None:
    data = made(noise(64, 64, 3))
    at = data.rindex(b"mdat") + 8
    with pytest.raises(UnreadableImage):
        read_image(saved(tmp_path, data[:at] + bytes(len(data) - at), "in.heic"))


def test_without_the_package_the_error_names_how_to_install_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = saved(tmp_path, made(), "phone.jpg")
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    with pytest.raises(MissingPackage, match="is a HEIC image") as missing:
        read_image(path)
    assert "pip install '.[heif]'" in missing.value.remedy


def test_results_in_a_folder_are_png_unless_a_format_is_given(tmp_path: Path) -> None:
    saved(tmp_path, made(), "in.heic")
    assert [job.target.name for job in plan_jobs(tmp_path, tmp_path / "out")] == ["in.png"]
    assert [job.target.name for job in plan_jobs(tmp_path, tmp_path / "out", ".jpg")] == ["in.jpg"]
    with pytest.raises(UnwritableImage, match="are read, but not written"):
        container_of(tmp_path / "out.heic")


def test_the_command_reads_it_whatever_its_name(tmp_path: Path) -> None:
    saved(tmp_path, made(exif=b"Exif\0\0" + exif(6)), "phone.jpg")
    ended = run("upscale", "phone.jpg", "out.png", "--device", "cpu", cwd=tmp_path)
    assert ended.returncode == 0, ended.stderr
    assert read_image(tmp_path / "out.png").pixels.shape == (120, 80, 3)


def test_the_claim_of_a_huge_image_is_refused_by_the_header(tmp_path: Path) -> None:
    data = made(np.zeros((64, 64, 3), np.uint8))  # whole blocks, so nothing is cropped
    at = data.index(b"ispe") + 8
    path = saved(tmp_path, data[:at] + (60_000).to_bytes(4, "big") * 2 + data[at + 8:], "in.heic")
    assert unpack(path.read_bytes(), path).width == 60_000
    with pytest.raises(UnreadableImage, match="3600 megapixels"):
        read_image(path)
