"""Images that would not fit into memory are refused from their headers, before anything is decoded."""

from __future__ import annotations

import json
import os
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest

from srn_deploy.errors import OptionError, UnreadableImage
from srn_deploy.image import MAX_MEGAPIXELS, Image, read_image, write_image
from srn_deploy.image.containers.ifd import longs, shorts, write_directory
from tests.test_bmp import bmp
from tests.test_image import GREY, RGB, chunk

WIDTH, HEIGHT = 50_000, 40_000
GIGAPIXELS = 2.0
HEADROOM_MIB = 64
"""The memory that reading may take besides the file of at most 6 MB; one plane of the image would take 1,900 MiB."""

READ = """
import json, resource, sys
from pathlib import Path
from srn_deploy.errors import SrnDeployError
from srn_deploy.image import read_image
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    read_image(Path(sys.argv[1]))
    message = ""
except SrnDeployError as error:
    message = str(error)
print(json.dumps([message, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024]))
"""


def reading(path: Path, environment: dict[str, str]) -> tuple[str, float]:
    """Read in a subprocess: the error message, empty if there was none, and by how many MiB its memory grew."""
    ended = subprocess.run([sys.executable, "-c", READ, path], capture_output=True, text=True, check=True, timeout=60,
                           env=environment)
    message, grown_mib = json.loads(ended.stdout)
    return message, grown_mib


def zeros(length: int, times: int) -> bytes:
    """`length * times` zero bytes, deflated without holding them in memory."""
    packer = zlib.compressobj(9)
    return b"".join(packer.compress(bytes(length)) for _ in range(times)) + packer.flush()


def png_bomb() -> bytes:
    """A complete PNG of 2 gigapixels of one bit, all black."""
    header = struct.pack(">IIBBBBB", WIDTH, HEIGHT, 1, GREY, 0, 0, 0)
    pixels = zeros(1 + WIDTH // 8, HEIGHT)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def tiff_bomb() -> bytes:
    """A complete TIFF of 2 gigapixels, its 40 strips all the same bytes of the file."""
    rows = HEIGHT // 40
    strip = zeros(3 * WIDTH, rows)
    entries = [longs(256, [WIDTH]), longs(257, [HEIGHT]), shorts(258, 8, 8, 8), shorts(259, 8), shorts(262, 2),
               longs(273, [8] * 40), shorts(277, 3), longs(278, [rows]), longs(279, [len(strip)] * 40)]
    at = 8 + len(strip) + len(strip) % 2
    return b"II*\0" + struct.pack("<I", at) + strip.ljust(at - 8, b"\0") + write_directory(entries, "<", at)


def jpeg_bomb() -> bytes:
    """A JPEG whose header says 2 gigapixels."""
    data = bytearray(cv2.imencode(".jpg", np.zeros((8, 8, 3), np.uint8))[1].tobytes())
    frame = data.index(b"\xff\xc0")
    data[frame + 5:frame + 9] = struct.pack(">HH", HEIGHT, WIDTH)
    return bytes(data)


def webp_bomb() -> bytes:
    """A WebP whose canvas says 2 gigapixels."""
    sides = (WIDTH - 1).to_bytes(3, "little") + (HEIGHT - 1).to_bytes(3, "little")
    canvas = b"VP8X" + struct.pack("<II", 10, 0) + sides
    body = b"WEBP" + canvas + cv2.imencode(".webp", np.zeros((8, 8, 3), np.uint8))[1].tobytes()[12:]
    return b"RIFF" + struct.pack("<I", len(body)) + body


def bmp_bomb() -> bytes:
    """A BMP of runs whose header says 2 gigapixels."""
    data = bytearray(bmp(8, bytes([255, 0] * 10 + [0, 1]), compression=1, colours=256))
    data[18:26] = struct.pack("<ii", WIDTH, HEIGHT)
    return bytes(data)


BOMBS = {".png": png_bomb, ".tif": tiff_bomb, ".jpg": jpeg_bomb, ".webp": webp_bomb, ".bmp": bmp_bomb}


@pytest.mark.skipif(sys.platform == "win32", reason="the peak of memory is read from the resource module")
@pytest.mark.parametrize("suffix", BOMBS)
def test_two_gigapixels_in_a_small_file_are_refused_without_being_decoded(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"bomb{suffix}"
    path.write_bytes(BOMBS[suffix]())
    assert path.stat().st_size < 6_000_000
    message, grown_mib = reading(path, {**os.environ})
    assert f"{WIDTH} x {HEIGHT} px, {1000 * GIGAPIXELS:.0f} megapixels" in message
    assert "--max-megapixels 2000" in message
    assert grown_mib < HEADROOM_MIB


def test_the_limit_can_be_lifted_and_lowered(tmp_path: Path) -> None:
    write_image(tmp_path / "in.png", Image(pixels=np.zeros((1000, 1001, 1), np.uint8)))
    assert read_image(tmp_path / "in.png", max_megapixels=1.001).width == 1001
    with pytest.raises(UnreadableImage, match="more than 1 are not decoded by default"):
        read_image(tmp_path / "in.png", max_megapixels=1)


@pytest.mark.parametrize("limit", [float("nan"), 0.0, -1.0])
def test_an_impossible_limit_is_refused(tmp_path: Path, limit: float) -> None:
    write_image(tmp_path / "in.png", Image(pixels=np.zeros((10, 10, 1), np.uint8)))
    with pytest.raises(OptionError, match="is not possible"):
        read_image(tmp_path / "in.png", max_megapixels=limit)


def test_infinity_lifts_the_limit(tmp_path: Path) -> None:
    write_image(tmp_path / "in.png", Image(pixels=np.zeros((10, 10, 1), np.uint8)))
    assert read_image(tmp_path / "in.png", max_megapixels=float("inf")).width == 10


def test_megapixels_of_small_images_and_limits_are_not_rounded_to_zero(tmp_path: Path) -> None:
    write_image(tmp_path / "in.png", Image(pixels=np.zeros((20, 20, 1), np.uint8)))
    with pytest.raises(UnreadableImage, match=r"20 x 20 px, 0\.0004 megapixels; more than 0\.00005 are not"):
        read_image(tmp_path / "in.png", max_megapixels=0.00005)


def test_an_image_of_a_camera_with_200_megapixels_is_within_the_limit() -> None:
    assert MAX_MEGAPIXELS * 1e6 >= 16_320 * 12_240


def test_a_png_that_is_too_short_for_its_size_is_refused_by_its_length(tmp_path: Path) -> None:
    header = struct.pack(">IIBBBBB", 14_000, 14_000, 8, RGB, 0, 0, 0)
    data = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zeros(100_000, 10)) + chunk(b"IEND", b"")
    (tmp_path / "in.png").write_bytes(data)
    with pytest.raises(UnreadableImage, match="fewer pixels than its header says"):
        read_image(tmp_path / "in.png")


@pytest.mark.parametrize("limit", [99, 100])
def test_above_the_limit_of_opencv_the_error_names_the_variable_to_set(tmp_path: Path, limit: int) -> None:
    write_image(tmp_path / "in.png", Image(pixels=np.zeros((10, 10, 1), np.uint8)))
    environment = {**os.environ, "OPENCV_IO_MAX_IMAGE_PIXELS": str(limit)}
    message, _ = reading(tmp_path / "in.png", environment)
    if limit < 100:
        assert "OpenCV decodes at most 99 pixels" in message
        assert "OPENCV_IO_MAX_IMAGE_PIXELS=100" in message
    else:
        assert message == ""
