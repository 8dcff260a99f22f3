"""A result does not contradict itself where its file said something twice or in a second notation."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image as Pillow
from PIL.PngImagePlugin import PngInfo

from srn_deploy.image import Image, read_image, write_image
from srn_deploy.image.containers import MetadataKind
from srn_deploy.image.containers.pixel_map import PixelMap
from srn_deploy.image.containers.xmp_pixels import moved_xmp, without_lost_parts
from tests.test_containers import chunk, saved, with_chunks
from tests.xmp_packets import as_attributes, as_elements, value

MAP = PixelMap(height=32, width=64, new_height=64, new_width=256)
DJI = {"drone-dji:CalibratedFocalLength": "3666.666504", "drone-dji:CalibratedOpticalCenterX": "2736.000000",
       "drone-dji:CalibratedOpticalCenterY": "1824.000000", "drone-dji:RelativeAltitude": "+30.10",
       "drone-dji:DewarpData": "2018-09-04;3660.5,3650.5,-5.25,2.0,-0.27,0.11,0.001,-0.002,-0.03"}


def segment(body: bytes) -> bytes:
    return b"\xff\xe1" + (len(body) + 2).to_bytes(2, "big") + body


def exif(turn: int, maker: str) -> bytes:
    fields = Pillow.Exif()
    fields[0x0112], fields[0x010F] = turn, maker
    return fields.tobytes()


def jpeg(path: Path, *segments: bytes) -> Path:
    """A JPEG of 20 x 12 px with these segments."""
    stored = io.BytesIO()
    Pillow.new("RGB", (20, 12)).save(stored, "JPEG")
    path.write_bytes(stored.getvalue()[:2] + b"".join(segments) + stored.getvalue()[2:])
    return path


def enlarged(image: Image) -> Image:
    return image.enlarged(np.zeros((2 * image.height, 2 * image.width, 3), np.uint8), None)


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".tif"])
def test_of_two_blocks_of_exif_the_first_counts_and_is_written_and_the_other_is_named(
        tmp_path: Path, suffix: str) -> None:
    image = read_image(jpeg(tmp_path / "in.jpg", segment(exif(6, "first")), segment(exif(1, "second"))))
    assert (image.height, image.width) == (20, 12)
    assert "left behind: further EXIF, " in image.remarks[0]
    write_image(tmp_path / f"out{suffix}", image)
    with Pillow.open(tmp_path / f"out{suffix}") as written:
        assert written.getexif()[0x010F] == "first"
    assert (tmp_path / f"out{suffix}").read_bytes().count(b"second") == 0


@pytest.mark.parametrize(("before", "after"), [((), 6), ((segment(exif(6, "maker")),), 1)])
def test_an_orientation_that_only_xmp_gives_is_neither_applied_nor_taken_out(
        tmp_path: Path, before: tuple[bytes, ...], after: int) -> None:
    packet = as_attributes({"tiff:Orientation": "6"})
    image = read_image(jpeg(tmp_path / "in.jpg", *before, segment(b"http://ns.adobe.com/xap/1.0/\0" + packet)))
    assert image.height == (20 if before else 12)
    assert b'tiff:Orientation="%d"' % after in dict(image.metadata)[MetadataKind.XMP]


def test_texts_of_a_png_that_count_its_old_pixels_are_left_behind_and_others_kept(tmp_path: Path) -> None:
    texts = PngInfo()
    for keyword in ("exif:PixelXDimension", "Thumb::Image::Width", "Comment"):
        texts.add_text(keyword, "20")
    texts.add_itxt("exif:SubjectArea", "1, 2, 3, 4")
    texts.add_text("tiff:ImageWidth", "20", zip=True)
    Pillow.new("RGB", (20, 12)).save(tmp_path / "in.png", pnginfo=texts)
    image = read_image(tmp_path / "in.png")
    assert all(f"text {name}, " in image.remarks[0] for name in (
        "exif:PixelXDimension", "Thumb::Image::Width", "exif:SubjectArea", "tiff:ImageWidth"))
    write_image(tmp_path / "out.png", enlarged(image))
    with Pillow.open(tmp_path / "out.png") as written:
        assert written.info == {"Comment": "20"}


def test_a_place_in_a_png_that_is_no_number_is_named_before_the_work(tmp_path: Path) -> None:
    saved(tmp_path, with_chunks(chunk(b"sCAL", b"\1wide\0high")), "in.png")
    assert "left behind: chunk sCAL, 10 bytes" in read_image(tmp_path / "in.png").remarks[0]


@pytest.mark.parametrize("form", [as_attributes, as_elements])
def test_the_calibration_of_a_drone_s_camera_grows_with_the_image(
        form: Callable[[dict[str, str]], bytes]) -> None:
    moved, left = moved_xmp(form(DJI), MAP)
    assert {name: value(moved, name) for name in DJI} == {
        "drone-dji:CalibratedFocalLength": "14666.666016", "drone-dji:CalibratedOpticalCenterX": "10944.000000",
        "drone-dji:CalibratedOpticalCenterY": "3648.000000", "drone-dji:RelativeAltitude": "+30.10",
        "drone-dji:DewarpData": "2018-09-04;14642.0,7301.0,-21.00,4.0,-0.27,0.11,0.001,-0.002,-0.03"}
    assert left == ()


def test_the_calibration_of_a_turned_image_and_one_of_another_form_are_left_out_and_named() -> None:
    turned = PixelMap(height=32, width=64, new_height=64, new_width=32, turn=6)
    moved, left = moved_xmp(as_attributes(DJI), turned)
    assert (b"Calibrated" in moved, b"Dewarp" in moved, b"+30.10" in moved) == (False, False, True)
    assert {part.name for part in left} == {"drone-dji of an image that is turned"}
    cleaned, left = without_lost_parts(as_attributes({"drone-dji:DewarpData": "version 2"}))
    assert b"Dewarp" not in cleaned
    assert [part.name for part in left] == ["XMP drone-dji:DewarpData in another form"]


@pytest.mark.parametrize(("kind", "values"), [(tifffile.DATATYPE.DOUBLE, (10.0, 5.0, 0.0)),
                                              (tifffile.DATATYPE.FLOAT, (10.0, 5.0, 0.0))])
def test_a_pixel_scale_is_read_in_both_types_of_floating_point(
        tmp_path: Path, kind: int, values: tuple[float, ...]) -> None:
    pixels = np.zeros((12, 20, 3), np.uint8)
    tifffile.imwrite(tmp_path / "in.tif", pixels, extratags=[(33550, kind, 3, values, True)], metadata=None)
    write_image(tmp_path / "out.tif", enlarged(read_image(tmp_path / "in.tif")))
    with tifffile.TiffFile(tmp_path / "out.tif") as written:
        assert written.pages.first.tags[33550].value == (5.0, 2.5, 0.0)


@pytest.mark.parametrize(("tag", "values", "named"), [
    (33550, (10.0,), "tag 33550 (GeoTIFF, of another form), 8 bytes"),
    (34264, (1.0,) * 12, "tag 34264 (GeoTIFF, of another form), 96 bytes"),
    (50720, (4000.0, 3000.0), "tag 50720 (in pixels of the sensor), 16 bytes")])
def test_a_tag_that_counts_pixels_and_cannot_be_brought_to_a_result_is_left_behind(
        tmp_path: Path, tag: int, values: tuple[float, ...], named: str) -> None:
    tags = [(tag, tifffile.DATATYPE.DOUBLE, len(values), values, True), (271, 2, 0, "a maker", True)]
    tifffile.imwrite(tmp_path / "in.tif", np.zeros((12, 20, 3), np.uint8), extratags=tags, metadata=None)
    image = read_image(tmp_path / "in.tif")
    assert image.remarks[0].endswith(f"left behind: {named}.")
    write_image(tmp_path / "out.jpg", image)
    with Pillow.open(tmp_path / "out.jpg") as written:
        assert (written.getexif()[271], tag in written.getexif()) == ("a maker", False)
