"""Damaged JPEG and PNG files give no image with glitches, and no library prints on stderr."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image as Pillow

from srn_deploy.errors import UnreadableImage, UnsupportedImage
from srn_deploy.image import read_image
from tests.test_image import GREY, PALETTE, RGB, chunk, noise, saved

SMOOTH = cv2.GaussianBlur(noise(64, 96, 3), (5, 5), 0)
PNG_START = b"\x89PNG\r\n\x1a\n"


def jpeg(pixels: NDArray[Any] = SMOOTH, *options: int) -> bytes:
    return cv2.imencode(".jpg", pixels, options)[1].tobytes()


@pytest.mark.parametrize("options", [
    (), (cv2.IMWRITE_JPEG_PROGRESSIVE, 1), (cv2.IMWRITE_JPEG_RST_INTERVAL, 3), (cv2.IMWRITE_JPEG_OPTIMIZE, 1),
    (cv2.IMWRITE_JPEG_QUALITY, 30, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_422)],
    ids=["baseline", "progressive", "restart markers", "optimized", "4:2:2"])
@pytest.mark.parametrize("channels", [1, 3])
def test_a_jpeg_has_the_pixels_that_opencv_decodes(tmp_path: Path, channels: int, options: tuple[int, ...]) -> None:
    data = jpeg(SMOOTH[..., :channels], *options)
    expected = np.atleast_3d(np.asarray(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)))
    assert np.array_equal(read_image(saved(tmp_path, data, "in.jpg")).pixels, expected[..., ::-1])


def test_a_jpeg_that_stores_rgb_is_not_taken_for_ycbcr(tmp_path: Path) -> None:
    Pillow.fromarray(SMOOTH).save(tmp_path / "in.jpg", keep_rgb=True, quality=100)
    assert np.abs(read_image(tmp_path / "in.jpg").pixels.astype(int) - SMOOTH).max() <= 3


def test_a_scan_that_ends_early_is_refused(tmp_path: Path) -> None:
    data = jpeg()
    cut = data[:len(data) // 2].rstrip(b"\xff") + b"\xff\xd9"
    with pytest.raises(UnreadableImage, match=r"damaged JPEG: .*premature end") as caught:
        read_image(saved(tmp_path, cut, "in.jpg"))
    assert caught.value.remedy


def test_bytes_after_the_last_pixel_are_reported_and_ignored(tmp_path: Path) -> None:
    data = jpeg()
    image = read_image(saved(tmp_path, data[:-2] + bytes(300) + data[-2:], "in.jpg"))
    assert np.array_equal(image.pixels, read_image(saved(tmp_path, data, "whole.jpg")).pixels)
    assert "extra bytes after its last pixel" in image.remarks[0]


def test_bytes_between_segments_are_reported_and_ignored(tmp_path: Path) -> None:
    data = jpeg()
    frame = data.index(b"\xff\xc0")
    image = read_image(saved(tmp_path, data[:frame] + b"stray" + data[frame:], "in.jpg"))
    assert np.array_equal(image.pixels, read_image(saved(tmp_path, data, "whole.jpg")).pixels)
    assert image.remarks == (f"{tmp_path / 'in.jpg'}: 5 stray bytes between the segments of the JPEG are ignored.",)


def test_fill_bytes_before_a_marker_are_not_damage(tmp_path: Path) -> None:
    data = jpeg()
    frame = data.index(b"\xff\xc0")
    assert read_image(saved(tmp_path, data[:frame] + b"\xff\xff" + data[frame:], "in.jpg")).remarks == ()


@pytest.mark.parametrize("options", [(), (cv2.IMWRITE_JPEG_PROGRESSIVE, 1), (cv2.IMWRITE_JPEG_RST_INTERVAL, 3)])
def test_flipped_bits_print_nothing(tmp_path: Path, options: tuple[int, ...],
                                    capfd: pytest.CaptureFixture[str]) -> None:
    whole, random, refused = jpeg(SMOOTH, *options), np.random.default_rng(2), 0
    for _ in range(150):
        damaged = bytearray(whole)
        for at in random.integers(2, len(whole), random.integers(1, 5)):
            damaged[at] ^= 1 << random.integers(8)
        try:
            read_image(saved(tmp_path, bytes(damaged), "in.jpg"))
        except (UnreadableImage, UnsupportedImage):
            refused += 1
    assert refused > 10
    assert capfd.readouterr() == ("", "")


RAW = b"".join(b"\0" + np.random.default_rng(row).bytes(24) for row in range(8))
PACKED = zlib.compress(RAW)


def png(packed: bytes = PACKED, *, depth: int = 8, colour: int = RGB, tail: tuple[int, int, int] = (0, 0, 0),
        width: int = 8, extra: bytes = b"") -> bytes:
    """8 rows; `tail` is compression, filter method and interlacing. All checksums are correct."""
    header = struct.pack(">IIBB", width, 8, depth, colour) + bytes(tail)
    return PNG_START + chunk(b"IHDR", header) + extra + chunk(b"IDAT", packed) + chunk(b"IEND", b"")


@pytest.mark.parametrize("data", [
    png(zlib.compress(RAW[:-60])), png(zlib.compress(RAW + bytes(50))),
    png(PACKED[:20] + b"\xff\xff\xff" + PACKED[23:]),
    png(PACKED[:-4] + b"abcd"), png(PACKED[:-30]), png(PACKED[:-4]), png(PACKED + b"junk"), png(b""),
    png(zlib.compress(b"\7" + RAW[1:])), png(depth=7), png(colour=5), png(colour=RGB, depth=4), png(tail=(1, 0, 0)),
    png(tail=(0, 1, 0)), png(tail=(0, 0, 3)), png(tail=(0, 0, 1)), png(width=0), png(colour=PALETTE),
    png(colour=PALETTE, extra=chunk(b"PLTE", bytes(7))), png(extra=chunk(b"tRNS", bytes(5))),
    png(colour=GREY, width=24, extra=chunk(b"tRNS", b"a"))])
def test_a_png_with_valid_checksums_and_invalid_pixels_is_refused_silently(
        tmp_path: Path, data: bytes, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(UnreadableImage, match="is a damaged PNG"):
        read_image(saved(tmp_path, data))
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("data", [
    png(extra=chunk(b"PLTE", b"")), png(extra=chunk(b"IHDR", struct.pack(">IIBBBBB", 8, 8, 8, 2, 0, 0, 0))),
    png(zlib.compress(b"".join(b"\0" + bytes(range(8)) for _ in range(8))), colour=PALETTE,
        extra=chunk(b"PLTE", bytes(6)))])
def test_needless_chunks_and_colours_outside_the_palette_print_nothing(
        tmp_path: Path, data: bytes, capfd: pytest.CaptureFixture[str]) -> None:
    assert read_image(saved(tmp_path, data)).width == 8
    assert capfd.readouterr() == ("", "")


def test_a_damaged_chunk_without_pixels_is_reported_and_ignored(tmp_path: Path) -> None:
    damaged = bytearray(chunk(b"iCCP", b"ICC\0\0" + zlib.compress(bytes(200))))
    damaged[-1] ^= 1
    path = saved(tmp_path, png(extra=bytes(damaged)))
    assert read_image(path).remarks == (f"{path}: the damaged chunk iCCP of the PNG is ignored.",)


@pytest.mark.parametrize(("height", "width"), [(1, 1), (2, 3), (5, 9), (8, 8), (17, 3), (1, 9), (9, 1)])
def test_interlaced_pngs_of_every_size_are_read(tmp_path: Path, height: int, width: int) -> None:
    pixels = noise(height, width, 3)
    rows = b"".join(b"\0" + row.tobytes() for x, y, across, down in (
        (0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
        for row in pixels[y::down, x::across] if row.size)
    header = struct.pack(">IIBBBBB", width, height, 8, RGB, 0, 0, 1)
    data = PNG_START + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    assert np.array_equal(read_image(saved(tmp_path, data)).pixels, pixels)
