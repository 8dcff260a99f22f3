"""Files of other kinds are called what they are, whatever their names: content decides."""

from __future__ import annotations

import io
import struct
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image as Pillow

from srn_deploy.errors import ImageError, UnreadableImage, UnsupportedImage
from srn_deploy.image import Image, read_image, write_image
from tests.commands import srn_deploy as run
from tests.test_containers import WHOLE, chunk, noise, saved

PNG = WHOLE[".png"]
PHOTO = Pillow.fromarray(noise(16, 16, 3))


def by_pillow(form: str) -> bytes:
    """A small image in a format that is not read."""
    file = io.BytesIO()
    PHOTO.save(file, form)
    return file.getvalue()


def box(brand: bytes, *compatible: bytes) -> bytes:
    """The beginning of an ISO base media file."""
    brands = b"".join((brand, bytes(4), *compatible))
    return struct.pack(">I", 8 + len(brands)) + b"ftyp" + brands + bytes(200)


def jpeg_of_frame(marker: int) -> bytes:
    """A whole JPEG whose frame claims another process."""
    return WHOLE[".jpg"].replace(b"\xff\xc0", bytes([0xFF, marker]), 1)


NAMED: tuple[tuple[bytes, str], ...] = (
    (by_pillow("GIF"), "a GIF image"), (by_pillow("ICO"), "an icon"),
    (by_pillow("JPEG2000"), "a JPEG 2000 image"), (by_pillow("PPM"), "a Netpbm image"), (by_pillow("DDS"), "a DDS"),
    (by_pillow("PDF"), "a PDF document"), (by_pillow("SGI"), "an SGI image"), (by_pillow("EPS"), "a PostScript"),
    (box(b"mif1"), "a HEIF image"),
    (box(b"crx ", b"crx ", b"isom"), "a Canon raw file"), (box(b"isom", b"mp41"), "a video"),
    (box(b"qt  "), "a video"), (b"8BPS\0\1" + bytes(50), r"a Photoshop document"),
    (b"v/1\x01" + bytes(50), "an OpenEXR image"), (b"#?RADIANCE\nFORMAT=32-bit_rle_rgbe\n", "a Radiance HDR image"),
    (b"IIU\0" + bytes(50), "a Panasonic raw file"), (b"FUJIFILMCCD-RAW " + bytes(50), "a Fujifilm raw file"),
    (b"IIRO\x08\0\0\0" + bytes(50), "an Olympus raw file"), (b"PK\3\4" + bytes(50), "a ZIP archive"),
    (b"RIFF\x40\0\0\0AVI " + bytes(60), "a video"), (bytes(128) + b"DICM" + bytes(50), "a DICOM image"),
    (b"<!DOCTYPE html><html><body>404</body></html>", "a web page"),
    (b"\xef\xbb\xbf\n<!-- gone -->\n<HTML lang='en'>\n", "a web page"),
    (b'<?xml version="1.0"?>\n<svg xmlns="http://www.w3.org/2000/svg"/>', "an SVG drawing"),
    (b'{"error": "not found", "code": 404}', "a text file"), (b"the image was here yesterday", "a text file"),
    (b"BMW builds motor cycles as well as cars", "a text file"), ("größer als ein Bild".encode() * 900, "a text file"),
    ("a text of Windows".encode("utf-16"), "a text file"), (bytes(5000), "a file of zeros"),
    (b"\0\5\x16\7\0\2\0\0Mac OS X        " + bytes(50), "an AppleDouble file"),
    (b"version https://git-lfs.github.com/spec/v1\noid sha256:12\nsize 3\n", "a Git LFS pointer"),
    (PNG[:8] + chunk(b"CgBI", bytes(4)) + PNG[8:], "a PNG in Apple's own form"),
    (jpeg_of_frame(0xF7), "a JPEG-LS image"), (jpeg_of_frame(0xC3), "a lossless JPEG image"),
    (jpeg_of_frame(0xC5), "a hierarchical JPEG image"),
)


@pytest.mark.parametrize(("data", "name"), NAMED, ids=[f"{number}: {name}" for number, (_, name) in enumerate(NAMED)])
def test_a_file_is_called_what_it_is_and_neither_truncated_nor_damaged(tmp_path: Path, data: bytes, name: str) -> None:
    with pytest.raises(ImageError, match=rf"in\.jpg is {name}") as caught:
        read_image(saved(tmp_path, data, "in.jpg"))
    assert "truncated" not in str(caught.value)
    assert "damaged" not in str(caught.value)
    assert caught.value.remedy


def test_an_image_of_another_format_is_unsupported_and_what_is_no_image_unreadable(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedImage, match=r"a JPEG 2000 image, named \.jpg") as caught:
        read_image(saved(tmp_path, by_pillow("JPEG2000"), "phone.jpg"))
    assert "save it as PNG" in caught.value.remedy
    with pytest.raises(UnreadableImage, match="a web page"):
        read_image(saved(tmp_path, b"<html><body>404</body></html>", "page.jpg"))


def test_a_suffix_that_fits_is_not_remarked_upon(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedImage, match=r"is a GIF image\."):
        read_image(saved(tmp_path, by_pillow("GIF"), "in.gif"))


@pytest.mark.parametrize("suffix", WHOLE)
def test_an_image_under_the_name_of_another_format_is_read(tmp_path: Path, suffix: str) -> None:
    other = ".png" if suffix == ".jpg" else ".jpg"
    assert read_image(saved(tmp_path, WHOLE[suffix], f"in{other}")).pixels.shape == (20, 30, 3)


def raw(**chosen: object) -> dict[str, object]:
    return {"photometric": "rgb", "metadata": None, **chosen}


@pytest.mark.parametrize("chosen", [
    raw(extratags=[(50706, "B", 4, (1, 4, 0, 0), True)]), raw(photometric=32803, data=np.zeros((8, 8), np.uint16))],
    ids=["DNG", "colour filter array"])
def test_a_raw_file_like_a_tiff_is_called_raw(tmp_path: Path, chosen: dict[str, object]) -> None:
    pixels = chosen.pop("data", np.zeros((8, 8, 3), np.uint8))
    tifffile.imwrite(tmp_path / "in.tif", pixels, **chosen)  # type: ignore[arg-type]
    with pytest.raises(UnsupportedImage, match="is a raw file of a camera") as caught:
        read_image(tmp_path / "in.tif")
    assert "raw converter" in caught.value.remedy


def test_a_raw_file_whose_first_directory_is_a_small_preview_is_called_raw(tmp_path: Path) -> None:
    with tifffile.TiffWriter(tmp_path / "in.nef") as writer:
        writer.write(noise(8, 8, 3), photometric="rgb", metadata=None, subifds=1, subfiletype=1)
        writer.write(np.zeros((16, 16), np.uint16), photometric=32803, metadata=None)
    with pytest.raises(UnsupportedImage, match="is a raw file of a camera"):
        read_image(tmp_path / "in.nef")


def test_the_command_names_the_file_and_the_cure_and_writes_nothing(tmp_path: Path) -> None:
    saved(tmp_path, by_pillow("JPEG2000"), "phone.jpg")
    done = run("upscale", "phone.jpg", "out.png", cwd=tmp_path)
    assert done.returncode == 1
    assert "Error: phone.jpg is a JPEG 2000 image, named .jpg.\n" in done.stderr
    assert "save it as PNG" in done.stderr
    assert not (tmp_path / "out.png").exists()


def test_a_text_that_is_cut_within_a_letter_is_still_text(tmp_path: Path) -> None:
    with pytest.raises(UnreadableImage, match="a text file"):
        read_image(saved(tmp_path, b"x" + "ä".encode() * 5000, "in.png"))


def test_a_written_image_is_never_taken_for_another_kind(tmp_path: Path) -> None:
    for suffix in WHOLE:
        for level in (0, 32, 65, 255):
            write_image(tmp_path / f"in{suffix}", Image(pixels=np.full((9, 9, 3), level, np.uint8)))
            assert read_image(tmp_path / f"in{suffix}").height == 9
