"""EXIF through every format that can hold it, written and read again by Pillow."""

from __future__ import annotations

import io
import itertools
import struct
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import tifffile
from PIL import ExifTags
from PIL import Image as Pillow

from srn_deploy.image import Image, read_image, write_image
from srn_deploy.image.containers import MetadataKind
from srn_deploy.image.containers.exif import upright, with_size

HOLDERS = (".png", ".jpg", ".webp", ".tif")
PIXELS = np.zeros((24, 16, 3), np.uint8)

MAKER, ORIENTATION, DATE, EXIF_TAG, GPS_TAG = 0x010F, 0x0112, 0x0132, 0x8769, 0x8825
EXPOSURE, ISO, COMMENT, PIXEL_WIDTH, PIXEL_HEIGHT, INTEROPERABILITY = 0x829A, 0x8827, 0x9286, 0xA002, 0xA003, 0xA005


def block(turn: int = 1, endian: str = "<") -> bytes:
    """An EXIF block as a camera writes it, with nested directories."""
    exif = Pillow.Exif()
    exif.endian = endian
    exif[MAKER], exif[ORIENTATION], exif[DATE] = "a maker with a long name", turn, "2026:01:02 03:04:05"
    inner = exif.get_ifd(EXIF_TAG)
    inner |= {EXPOSURE: 0.004, ISO: 200, COMMENT: b"ASCII\0\0\0hello", PIXEL_WIDTH: 16, PIXEL_HEIGHT: 24}
    inner[INTEROPERABILITY] = {1: "R98", 2: b"0100"}
    exif.get_ifd(GPS_TAG).update({1: "N", 2: (51.0, 30.0, 26.5)})
    return exif.tobytes().removeprefix(b"Exif\0\0")


def described(path: Path) -> dict[str, Any]:
    """What Pillow finds in a file, as plain values."""
    with Pillow.open(path) as opened:
        exif = opened.getexif()
        inner = dict(exif.get_ifd(EXIF_TAG))
        inner.pop(INTEROPERABILITY, None)
        return {"maker": exif.get(MAKER), "date": exif.get(DATE), "turn": exif.get(ORIENTATION, 1),
                "inner": {tag: str(value) for tag, value in inner.items()},
                "gps": {tag: str(value) for tag, value in exif.get_ifd(GPS_TAG).items()},
                "interoperability": dict(exif.get_ifd(INTEROPERABILITY)) if INTEROPERABILITY in exif.get_ifd(EXIF_TAG)
                else {}}


@pytest.mark.parametrize("endian", ["<", ">"])
@pytest.mark.parametrize("chain", list(itertools.product(HOLDERS, repeat=2)), ids="".join)
def test_the_exif_of_a_camera_survives_unchanged(tmp_path: Path, chain: tuple[str, ...], endian: str) -> None:
    image = Image(pixels=PIXELS, metadata=((MetadataKind.EXIF, block(endian=endian)),))
    for number, suffix in enumerate(chain):
        path = tmp_path / f"{number}{suffix}"
        assert write_image(path, image) == ()
        found = described(path)
        assert (found["maker"], found["date"], found["turn"]) == ("a maker with a long name", "2026:01:02 03:04:05", 1)
        assert found["inner"] == {EXPOSURE: "0.004", ISO: "200", COMMENT: str(b"ASCII\0\0\0hello"), PIXEL_WIDTH: "16",
                                  PIXEL_HEIGHT: "24"}
        assert found["gps"] == {1: "N", 2: str((51.0, 30.0, 26.5))}
        assert found["interoperability"] == {1: "R98", 2: b"0100"}
        image = read_image(path)


@pytest.mark.parametrize("turn", range(1, 9))
@pytest.mark.parametrize("endian", ["<", ">"])
def test_a_tiff_is_turned_upright_exactly_once(tmp_path: Path, endian: Literal["<", ">"], turn: int) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    tifffile.imwrite(tmp_path / "in.tif", pixels, photometric="rgb", metadata=None, byteorder=endian,
                     extratags=[(ORIENTATION, 3, 1, turn, True)])
    image = read_image(tmp_path / "in.tif")
    png = tmp_path / "in.png"  # the same pixels and orientation in the format that another test compares with OpenCV
    write_image(png, Image(pixels=pixels, metadata=((MetadataKind.EXIF, block(turn)),)))
    assert np.array_equal(image.pixels, read_image(png).pixels)
    write_image(tmp_path / "out.tif", image)
    assert described(tmp_path / "out.tif")["turn"] == 1
    assert np.array_equal(read_image(tmp_path / "out.tif").pixels, image.pixels)


def test_the_size_in_exif_is_that_of_the_written_image(tmp_path: Path) -> None:
    for suffix in HOLDERS:
        path = tmp_path / f"out{suffix}"
        write_image(path, Image(pixels=np.zeros((48, 70, 3), np.uint8), metadata=((MetadataKind.EXIF, block()),)))
        inner = described(path)["inner"]
        assert (inner[PIXEL_WIDTH], inner[PIXEL_HEIGHT]) == ("70", "48")


def test_a_size_of_more_than_16_bits_fits_into_the_block() -> None:
    large = with_size(block(), height=70_000, width=90_000)
    assert len(large) == len(block())
    exif = Pillow.Exif()
    exif.load(b"Exif\0\0" + large)
    inner = exif.get_ifd(EXIF_TAG)
    assert (inner[PIXEL_WIDTH], inner[PIXEL_HEIGHT]) == (90_000, 70_000)


def with_thumbnail(turn: int, thumbnail: bytes, behind: bytes = b"") -> bytes:
    """An orientation, and a second directory that points to a small JPEG."""
    first = struct.pack("<HHHIHHI", 1, ORIENTATION, 3, 1, turn, 0, 26)
    second = struct.pack("<HHHIIHHIII", 2, 0x0201, 4, 1, 56, 0x0202, 4, 1, len(thumbnail), 0)
    return b"II*\0" + struct.pack("<I", 8) + first + second + thumbnail + behind


THUMBNAIL = b"\xff\xd8 a small picture, lying on its side \xff\xd9"


def test_the_thumbnail_of_an_image_that_is_turned_is_removed() -> None:
    assert upright(with_thumbnail(6, THUMBNAIL)) == with_thumbnail(1, b"")[:22] + bytes(4) + with_thumbnail(
        1, THUMBNAIL)[26:56]
    # What follows is not moved: maker notes hold offsets from the start of the block.
    kept = upright(with_thumbnail(6, THUMBNAIL, b"maker notes"))
    assert len(kept) == len(with_thumbnail(6, THUMBNAIL, b"maker notes"))
    assert kept.endswith(bytes(len(THUMBNAIL)) + b"maker notes")


def test_the_thumbnail_of_an_upright_image_is_kept() -> None:
    assert upright(with_thumbnail(1, THUMBNAIL)) == with_thumbnail(1, THUMBNAIL)


def test_other_programs_find_no_thumbnail_in_a_turned_jpeg(tmp_path: Path) -> None:
    file = io.BytesIO()
    Pillow.new("RGB", (8, 6), "red").save(file, "JPEG")
    exif = with_thumbnail(6, file.getvalue())
    write_image(tmp_path / "in.jpg", Image(pixels=PIXELS, metadata=((MetadataKind.EXIF, exif),)))
    with Pillow.open(tmp_path / "in.jpg") as opened:
        assert opened.getexif().get_ifd(ExifTags.IFD.IFD1)
    write_image(tmp_path / "out.jpg", read_image(tmp_path / "in.jpg"))
    with Pillow.open(tmp_path / "out.jpg") as opened:
        assert not opened.getexif().get_ifd(ExifTags.IFD.IFD1)
        assert opened.getexif()[ORIENTATION] == 1


def test_directories_that_point_to_themselves_are_read_once(tmp_path: Path) -> None:
    circle = b"II*\0" + struct.pack("<IHHHIII", 8, 1, EXIF_TAG, 4, 1, 8, 8)
    image = Image(pixels=PIXELS, metadata=((MetadataKind.EXIF, circle),))
    write_image(tmp_path / "out.tif", image)
    assert np.array_equal(read_image(tmp_path / "out.tif").pixels, PIXELS)
