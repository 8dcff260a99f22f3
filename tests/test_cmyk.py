"""CMYK in JPEG and TIFF: converted through its profile or by a plain formula, always with a remark."""

from __future__ import annotations

import io
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import simplejpeg
import tifffile
from numpy.typing import NDArray
from PIL import Image as Pillow
from PIL import ImageCms

from srn_deploy.errors import UnsupportedImage
from srn_deploy.image import read_image
from srn_deploy.image.containers import MetadataKind
from tests.test_containers import profile


def tag(kind: bytes, body: bytes) -> bytes:
    return (kind + bytes(4) + body).ljust(-(-(len(body) + 8) // 4) * 4, b"\0")


def ink_profile() -> bytes:
    """A profile of a printer with four grey inks, where only the amount of ink matters (ICC.1:2001)."""
    ramp = bytes(range(256))
    # Lab of the 16 corners, the first ink varying slowest: lightness falls with the number of inks; a = b = 0.
    corners = b"".join(bytes([255 - 63 * bin(corner).count("1"), 128, 128]) for corner in range(16))
    to_lab = tag(b"mft1", bytes([4, 3, 2, 0]) + struct.pack(">9i", *(65536 * (i % 4 == 0) for i in range(9)))
                 + ramp * 4 + corners + ramp * 3)
    tags = [(b"A2B0", to_lab), (b"wtpt", tag(b"XYZ ", struct.pack(">3i", 0xF6D6, 0x10000, 0xD32D))),
            (b"cprt", tag(b"text", b"none\0")), (b"desc", tag(b"desc", struct.pack(">I", 5) + b"inks\0" + bytes(78)))]
    at, table, bodies = 132 + 12 * len(tags), struct.pack(">I", len(tags)), b""
    for name, body in tags:
        table += name + struct.pack(">II", at + len(bodies), len(body))
        bodies += body
    header = struct.pack(">I4sI4s4s4s", at + len(bodies), b"none", 0x02400000, b"prtr", b"CMYK", b"Lab ")
    header += struct.pack(">6H4s", 2026, 1, 1, 0, 0, 0, b"acsp") + bytes(24)
    return (header + struct.pack(">I3I", 0, 0xF6D6, 0x10000, 0xD32D)).ljust(128, b"\0") + table + bodies


def inks() -> NDArray[np.uint8]:
    """Patches of 8 x 8 in red, white, black and half cyan; 255 is full ink."""
    patches = np.array([[[0, 255, 255, 0], [0, 0, 0, 0]], [[0, 0, 0, 255], [128, 0, 0, 0]]], np.uint8)
    return patches.repeat(8, 0).repeat(8, 1)


def saved(folder: Path, suffix: str, profile: bytes | None = None) -> Path:
    path = folder / f"in{suffix}"
    chosen: dict[str, Any] = {"quality": 100} if suffix == ".jpg" else {}
    Pillow.fromarray(inks(), "CMYK").save(path, icc_profile=profile, **chosen)
    return path


@pytest.mark.parametrize("suffix", [".jpg", ".tif"])
def test_without_a_profile_cmyk_is_converted_as_pillow_does(tmp_path: Path, suffix: str) -> None:
    path = saved(tmp_path, suffix)
    image = read_image(path)
    with Pillow.open(path) as opened:
        assert np.array_equal(image.pixels, np.asarray(opened.convert("RGB")))
    corners = image.pixels[[2, 2, 12, 12], [2, 12, 2, 12]].astype(int)
    # JPEG at quality 100 changes an ink by a level or two.
    assert np.abs(corners - [[255, 0, 0], [255, 255, 255], [0, 0, 0], [127, 255, 255]]).max() <= 3
    assert image.remarks == ((f"{path}: its CMYK colours are converted to sRGB, without a profile, so colours are "
                             "approximate."),)


@pytest.mark.parametrize("suffix", [".jpg", ".tif"])
def test_a_profile_determines_the_colours_and_is_not_kept(tmp_path: Path, suffix: str) -> None:
    path = saved(tmp_path, suffix, ink_profile())
    image = read_image(path)
    with Pillow.open(path) as opened:
        profile = ImageCms.ImageCmsProfile(io.BytesIO(ink_profile()))
        expected = ImageCms.profileToProfile(
            opened, profile, ImageCms.createProfile("sRGB"), outputMode="RGB",
            renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC, flags=ImageCms.Flags.BLACKPOINTCOMPENSATION)
        plain = np.asarray(opened.convert("RGB"))
    assert expected is not None
    assert np.array_equal(image.pixels, np.asarray(expected))
    assert np.ptp(image.pixels.astype(int), axis=2).max() <= 2  # the inks are grey, so no colour is left
    assert np.abs(image.pixels.astype(int) - plain).max() > 100
    assert MetadataKind.ICC not in dict(image.metadata)
    assert "through its own profile, which is not kept" in image.remarks[0]


def test_inks_that_adobe_stores_inverted_are_inverted(tmp_path: Path) -> None:
    marked = simplejpeg.encode_jpeg(255 - inks(), quality=100, colorspace="CMYK", colorsubsampling="444")
    assert b"Adobe" in marked
    (tmp_path / "in.jpg").write_bytes(marked)
    assert np.abs(read_image(tmp_path / "in.jpg").pixels[2, 2].astype(int) - [255, 0, 0]).max() <= 3


def test_inks_without_adobes_mark_are_taken_as_they_are(tmp_path: Path) -> None:
    file = io.BytesIO()
    Pillow.fromarray(255 - inks(), "CMYK").save(file, "JPEG", quality=100)  # Pillow inverts them and adds the mark
    marked = file.getvalue()
    at = marked.index(b"\xff\xee")
    (tmp_path / "in.jpg").write_bytes(marked[:at] + marked[at + 16:])
    assert np.abs(read_image(tmp_path / "in.jpg").pixels[2, 2].astype(int) - [255, 0, 0]).max() <= 3


def test_sixteen_bits_of_ink_are_converted_in_sixteen_bits(tmp_path: Path) -> None:
    deep = inks().astype(np.uint16) * 257
    deep[0, 0] = 1, 0, 0, 0
    tifffile.imwrite(tmp_path / "in.tif", deep, photometric="separated", metadata=None)
    pixels = read_image(tmp_path / "in.tif").pixels
    assert pixels[0, 0].tolist() == [65534, 65535, 65535]
    assert pixels[2, 2].tolist() == [65535, 0, 0]


def test_sixteen_bits_with_a_profile_are_refused_rather_than_truncated(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "in.tif", inks().astype(np.uint16) * 257, photometric="separated", metadata=None,
                     iccprofile=ink_profile())
    with pytest.raises(UnsupportedImage, match="16 bits"):
        read_image(tmp_path / "in.tif")


def test_a_profile_that_cannot_be_applied_is_an_error_with_a_remedy(tmp_path: Path) -> None:
    broken = profile(b"CMYK")  # with a correct header, but without a table of its inks
    with pytest.raises(UnsupportedImage, match="cannot be applied"):
        read_image(saved(tmp_path, ".tif", broken))
