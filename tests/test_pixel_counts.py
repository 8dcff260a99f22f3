"""What metadata count in pixels is counted in the pixels of the result, in EXIF and in XMP alike."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image as Pillow

from srn_deploy.image import Image, read_image, write_image
from srn_deploy.image.containers import MetadataKind
from srn_deploy.image.containers.pixel_map import PixelMap
from srn_deploy.image.containers.xmp_pixels import moved_xmp
from tests.commands import srn_deploy as run
from tests.test_containers import chunk, saved, with_chunks
from tests.test_exif_travels import EXIF_TAG, HOLDERS, INTEROPERABILITY, ORIENTATION
from tests.xmp_packets import as_attributes, as_elements, items, packet, sequence, value

HEIGHT, WIDTH = 32, 64
DOUBLED = PixelMap(height=HEIGHT, width=WIDTH, new_height=2 * HEIGHT, new_width=2 * WIDTH)
PIXEL_WIDTH, PIXEL_HEIGHT, SUBJECT_AREA, SUBJECT_LOCATION, FOCAL_X, FOCAL_Y = (
    0xA002, 0xA003, 0x9214, 0xA214, 0xA20E, 0xA20F)
FORMS = (as_attributes, as_elements)


def exif(turn: int = 1, endian: str = "<", area: tuple[int, ...] = (30, 10, 8, 4), width: int = WIDTH) -> bytes:
    """As a camera writes it."""
    block = Pillow.Exif()
    block.endian = endian
    block[ORIENTATION] = turn
    inner = block.get_ifd(EXIF_TAG)
    inner |= {PIXEL_WIDTH: width, PIXEL_HEIGHT: width * HEIGHT // WIDTH, SUBJECT_AREA: area,
              SUBJECT_LOCATION: (30, 10), FOCAL_X: 1000.0, FOCAL_Y: 500.0}
    inner[INTEROPERABILITY] = {1: "R98", 0x1001: width, 0x1002: width * HEIGHT // WIDTH}
    return block.tobytes().removeprefix(b"Exif\0\0")


def inner_of(path: Path) -> tuple[dict[int, object], dict[int, object]]:
    """EXIF's own directory and that of interoperability, as Pillow finds them."""
    with Pillow.open(path) as opened:
        found = opened.getexif()
        return dict(found.get_ifd(EXIF_TAG)), dict(found.get_ifd(INTEROPERABILITY))


def image(*blocks: tuple[MetadataKind, bytes]) -> Image:
    return Image(pixels=np.zeros((HEIGHT, WIDTH, 3), np.uint8), metadata=blocks)


def enlarged(source: Image, scale: int) -> Image:
    return source.enlarged(np.zeros((scale * source.height, scale * source.width, 3), np.uint8), None)


@pytest.mark.parametrize("endian", ["<", ">"])
@pytest.mark.parametrize("suffix", HOLDERS)
def test_every_field_of_exif_that_counts_pixels_grows(tmp_path: Path, suffix: str, endian: str) -> None:
    write_image(tmp_path / f"out{suffix}", enlarged(image((MetadataKind.EXIF, exif(endian=endian))), 4))
    inner, related = inner_of(tmp_path / f"out{suffix}")
    assert (inner[PIXEL_WIDTH], inner[PIXEL_HEIGHT]) == (256, 128)
    assert (related[0x1001], related[0x1002]) == (256, 128)
    assert (inner[SUBJECT_AREA], inner[SUBJECT_LOCATION]) == ((120, 40, 32, 16), (120, 40))
    assert (inner[FOCAL_X], inner[FOCAL_Y]) == (4000, 2000)


def test_the_fields_of_a_camera_grow_where_a_tiff_has_them_in_its_first_directory(tmp_path: Path) -> None:
    rational = (1000, 1)
    tifffile.imwrite(tmp_path / "in.tif", np.zeros((HEIGHT, WIDTH, 3), np.uint8), photometric="rgb", metadata=None,
                     extratags=[(0x920E, "2I", 1, rational, True), (0x920F, "2I", 1, rational, True),
                                (0x9214, "H", 2, (30, 10), True)])
    write_image(tmp_path / "out.tif", enlarged(read_image(tmp_path / "in.tif"), 2))
    with tifffile.TiffFile(tmp_path / "out.tif") as opened:
        found = opened.pages.first.tags
        assert (found[0x920E].value, found[0x920F].value, found[0x9214].value) == ((2000, 1), (2000, 1), (60, 20))


@pytest.mark.parametrize(("area", "grown"), [((30, 10), (60, 20)), ((30, 10, 6), (60, 20, 12)),
                                             ((40_000, 10), (80_000, 20)), ((40_000, 10, 8, 4), (80_000, 20, 16, 8))])
def test_a_point_a_circle_and_numbers_beyond_16_bits_grow(
        tmp_path: Path, area: tuple[int, ...], grown: tuple[int, ...]) -> None:
    write_image(tmp_path / "out.jpg", enlarged(image((MetadataKind.EXIF, exif(area=area))), 2))
    assert inner_of(tmp_path / "out.jpg")[0][SUBJECT_AREA] == grown


def test_numbers_counted_in_a_larger_version_of_the_image_are_brought_to_the_size_of_the_result(tmp_path: Path) -> None:
    # Another program made the image four times smaller and left EXIF as it was.
    write_image(tmp_path / "out.jpg", enlarged(image((MetadataKind.EXIF, exif(width=4 * WIDTH))), 2))
    inner, _ = inner_of(tmp_path / "out.jpg")
    assert (inner[PIXEL_WIDTH], inner[PIXEL_HEIGHT]) == (128, 64)
    assert inner[SUBJECT_AREA] == (15, 5, 4, 2)


@pytest.mark.parametrize("turn", range(1, 9))
def test_the_subject_is_where_it_was_after_turning_and_enlarging(tmp_path: Path, turn: int) -> None:
    pixels = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    pixels[10, 30] = 255
    xmp = packet(elements=sequence("exif:SubjectLocation", 30, 10))
    stored = Image(pixels=pixels, metadata=((MetadataKind.EXIF, exif(turn)), (MetadataKind.XMP, xmp)))
    write_image(tmp_path / "in.png", stored)
    upright = read_image(tmp_path / "in.png")
    assert np.argwhere(upright.pixels[..., 0]).shape == (1, 2)
    large = upright.enlarged(upright.pixels.repeat(3, axis=0).repeat(3, axis=1), None)
    write_image(tmp_path / "out.png", large)
    x, y = (int(one) for one in items(dict(large.metadata)[MetadataKind.XMP], "exif:SubjectLocation"))
    assert large.pixels[y, x].tolist() == [255, 255, 255]
    assert inner_of(tmp_path / "out.png")[0][SUBJECT_LOCATION] == (x, y)


def test_a_quarter_turn_exchanges_what_is_counted_along_the_sides(tmp_path: Path) -> None:
    write_image(tmp_path / "in.jpg", image((MetadataKind.EXIF, exif(6)), (MetadataKind.XMP, as_attributes({
        "exif:FocalPlaneXResolution": "1000/1", "exif:FocalPlaneYResolution": "500/1", "tiff:ImageWidth": "64",
        "tiff:ImageLength": "32"}))))
    large = enlarged(read_image(tmp_path / "in.jpg"), 2)
    write_image(tmp_path / "out.jpg", large)
    inner, _ = inner_of(tmp_path / "out.jpg")
    assert (inner[FOCAL_X], inner[FOCAL_Y]) == (1000, 2000)
    assert inner[SUBJECT_AREA] == (2 * (HEIGHT - 1 - 10), 60, 8, 16)
    xmp = dict(large.metadata)[MetadataKind.XMP]
    assert (value(xmp, "exif:FocalPlaneXResolution"), value(xmp, "exif:FocalPlaneYResolution")) == ("1000/1", "2000/1")
    assert (value(xmp, "tiff:ImageWidth"), value(xmp, "tiff:ImageLength")) == ("64", "128")


PANO = {"GPano:ProjectionType": "equirectangular", "GPano:FullPanoWidthPixels": "64",
        "GPano:FullPanoHeightPixels": "32",
        "GPano:CroppedAreaImageWidthPixels": "64", "GPano:CroppedAreaImageHeightPixels": "32",
        "GPano:CroppedAreaLeftPixels": "0", "GPano:CroppedAreaTopPixels": "3"}


@pytest.mark.parametrize("form", FORMS)
def test_sizes_and_panoramas_in_xmp_grow(form: Callable[[dict[str, str]], bytes]) -> None:
    before = {**PANO, "tiff:ImageWidth": "64", "tiff:ImageLength": "32", "exif:PixelXDimension": "64",
              "exif:PixelYDimension": "32", "exif:FocalPlaneXResolution": "72.50",
              "exif:FocalPlaneYResolution": "145/2"}
    after = before | {
        "GPano:FullPanoWidthPixels": "128", "GPano:FullPanoHeightPixels": "64", "GPano:CroppedAreaTopPixels": "6",
        "GPano:CroppedAreaImageWidthPixels": "128", "GPano:CroppedAreaImageHeightPixels": "64",
        "tiff:ImageWidth": "128", "tiff:ImageLength": "64", "exif:PixelXDimension": "128", "exif:PixelYDimension": "64",
        "exif:FocalPlaneXResolution": "145.00", "exif:FocalPlaneYResolution": "145/1"}
    assert moved_xmp(form(before), DOUBLED) == (form(after), ())


def test_a_property_is_known_by_its_namespace_and_not_by_its_prefix() -> None:
    renamed = as_attributes({"tiff:ImageWidth": "64"}).replace(b"tiff:", b"t:").replace(b"xmlns:tiff", b"xmlns:t")
    foreign = as_attributes({"tiff:ImageWidth": "64"}).replace(b"http://ns.adobe.com/tiff/1.0/", b"http://example.org/")
    assert moved_xmp(renamed, DOUBLED)[0] == renamed.replace(b'"64"', b'"128"')
    assert moved_xmp(foreign, DOUBLED)[0] == foreign


def test_a_panorama_that_was_made_smaller_before_is_brought_to_the_size_of_the_result() -> None:
    quarter = {name: str(4 * int(one)) if one.isdigit() else one for name, one in PANO.items()}
    moved, _ = moved_xmp(as_attributes(quarter), DOUBLED)
    assert value(moved, "GPano:CroppedAreaImageWidthPixels") == "128"
    assert value(moved, "GPano:FullPanoHeightPixels") == "64"


def test_the_panorama_of_an_image_that_is_turned_is_left_out_and_named(tmp_path: Path) -> None:
    write_image(tmp_path / "in.jpg", image((MetadataKind.EXIF, exif(3)), (MetadataKind.XMP, as_attributes(PANO))))
    found = read_image(tmp_path / "in.jpg")
    assert value(dict(found.metadata)[MetadataKind.XMP], "GPano:FullPanoWidthPixels") is None
    assert "left behind: GPano of an image that is turned" in found.remarks[0]


@pytest.mark.parametrize(("units", "width"), [("0", "128"), ("1", "64")])
def test_a_crop_grows_where_it_is_counted_in_pixels(units: str, width: str) -> None:
    before = as_attributes({"crs:CropUnits": units, "crs:CropWidth": "64", "crs:CropHeight": "32"})
    assert value(moved_xmp(before, DOUBLED)[0], "crs:CropWidth") == width


def test_the_resolution_keeps_its_number_and_turns_with_the_image(tmp_path: Path) -> None:
    block = Pillow.Exif()
    block[ORIENTATION], block[0x011A], block[0x011B], block[0x0128] = 6, 300.0, 150.0, 2
    write_image(tmp_path / "in.tif", image((MetadataKind.EXIF, block.tobytes().removeprefix(b"Exif\0\0"))))
    write_image(tmp_path / "out.png", enlarged(read_image(tmp_path / "in.tif"), 2))
    with Pillow.open(tmp_path / "out.png") as opened:
        assert opened.info["dpi"] == pytest.approx((150, 300), abs=0.02)


@pytest.mark.parametrize("number", ["", "wide", "64px", ".", "1/0", "9" * 50])
def test_a_count_that_is_no_number_is_left_out_and_named(tmp_path: Path, number: str) -> None:
    write_image(tmp_path / "in.png", image((MetadataKind.XMP, as_attributes({"GPano:FullPanoWidthPixels": number}))))
    found = read_image(tmp_path / "in.png")
    assert b"FullPanoWidthPixels" not in dict(found.metadata)[MetadataKind.XMP]
    assert "left behind: XMP GPano:FullPanoWidthPixels, which is not a number" in found.remarks[0]


def test_a_packet_without_counts_keeps_every_byte(tmp_path: Path) -> None:
    plain = packet('dc:format = "image/jpeg"', "<dc:title>a &amp; b > c</dc:title>\r\n<!-- kept -->")
    write_image(tmp_path / "in.jpg", image((MetadataKind.XMP, plain)))
    large = enlarged(read_image(tmp_path / "in.jpg"), 2)
    write_image(tmp_path / "out.jpg", large)
    assert dict(read_image(tmp_path / "out.jpg").metadata)[MetadataKind.XMP] == plain


def test_exif_and_xmp_of_one_upscaled_file_say_the_size_that_it_has(tmp_path: Path) -> None:
    xmp = as_elements({"exif:PixelXDimension": "64", "exif:PixelYDimension": "32", "tiff:ImageWidth": "999"})
    write_image(tmp_path / "in.jpg", image((MetadataKind.EXIF, exif(5)), (MetadataKind.XMP, xmp)))
    done = run("upscale", "in.jpg", "out.jpg", "--model", "srn-s-b6-x2", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    found = dict(read_image(tmp_path / "out.jpg").metadata)[MetadataKind.XMP]
    inner, related = inner_of(tmp_path / "out.jpg")
    assert read_image(tmp_path / "out.jpg").pixels.shape[:2] == (128, 64)
    assert (inner[PIXEL_WIDTH], inner[PIXEL_HEIGHT], related[0x1001]) == (64, 128, 64)
    assert [value(found, name) for name in ("exif:PixelXDimension", "exif:PixelYDimension", "tiff:ImageWidth")] == [
        "64", "128", "64"]


def test_the_position_of_a_png_grows_and_the_scale_of_its_pixels_shrinks(tmp_path: Path) -> None:
    chunks = chunk(b"oFFs", struct.pack(">iiB", -10, 20, 0)) + chunk(b"sCAL", b"\0010.5\0001")
    image_of = read_image(saved(tmp_path, with_chunks(chunks)))
    assert image_of.remarks == ()
    write_image(tmp_path / "out.png", enlarged(image_of, 4))
    expected = chunk(b"oFFs", struct.pack(">iiB", -40, 80, 0)) + chunk(b"sCAL", b"\0010.125\0000.25")
    assert dict(read_image(tmp_path / "out.png").metadata) == {MetadataKind.PNG_PLACE: expected}


def test_a_position_in_micrometres_stays(tmp_path: Path) -> None:
    chunks = chunk(b"oFFs", struct.pack(">iiB", -10, 20, 1))
    large = enlarged(read_image(saved(tmp_path, with_chunks(chunks))), 4)
    assert large.metadata == ((MetadataKind.PNG_PLACE, chunks),)


def raw_profile(name: bytes, data: bytes, *, packed: bool = True) -> bytes:
    """A text chunk as ImageMagick writes it."""
    digits = data.hex().encode()
    lines = b"\n".join(digits[at:at + 72] for at in range(0, len(digits), 72))
    text = b"\n%s\n%8d\n%s\n" % (name, len(data), lines)
    keyword = b"Raw profile type " + name + b"\0"
    return chunk(b"zTXt", keyword + b"\0" + zlib.compress(text)) if packed else chunk(b"tEXt", keyword + text)


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("name", [b"exif", b"APP1"])
def test_exif_that_a_png_keeps_as_text_is_read_and_grows(tmp_path: Path, name: bytes, packed: bool) -> None:
    chunks = raw_profile(name, b"Exif\0\0" + exif(width=30), packed=packed)
    write_image(tmp_path / "out.png", enlarged(read_image(saved(tmp_path, with_chunks(chunks))), 2))
    assert b"Raw profile" not in (tmp_path / "out.png").read_bytes()
    assert inner_of(tmp_path / "out.png")[0][SUBJECT_AREA] == (60, 20, 16, 8)


def test_xmp_as_text_is_read_and_a_repetition_of_exif_dropped(tmp_path: Path) -> None:
    xmp = as_attributes({"exif:PixelXDimension": "30"})
    chunks = raw_profile(b"xmp", xmp) + chunk(b"eXIf", exif()) + raw_profile(b"exif", exif(3))
    found = read_image(saved(tmp_path, with_chunks(chunks)))
    assert dict(found.metadata) == {MetadataKind.EXIF: exif(), MetadataKind.XMP: xmp}


@pytest.mark.parametrize("damaged", [b"", b"\nexif\n 3\nxyz\n", b"\nexif\n 3\nabc\n"])
def test_a_damaged_profile_in_text_is_kept_as_text(tmp_path: Path, damaged: bytes) -> None:
    chunks = chunk(b"tEXt", b"Raw profile type exif\0" + damaged)
    assert read_image(saved(tmp_path, with_chunks(chunks))).metadata == ((MetadataKind.PNG_TEXT, chunks),)
