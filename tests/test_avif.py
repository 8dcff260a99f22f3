"""AVIF: what comes in and goes out, what is found before decoding, and what damaged files give."""

from __future__ import annotations

import io
import re
import struct
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image as Pillow

from srn_deploy.errors import UnreadableImage, UnsupportedImage, UnwritableImage
from srn_deploy.image import Image, image_size, losses, read_image, write_image
from srn_deploy.image.containers import MetadataKind, unpack
from srn_deploy.image.containers.boxes import Damaged, boxes
from srn_deploy.image.containers.exif import orientation
from srn_deploy.image.containers.heif_items import read_items
from tests.commands import srn_deploy as run
from tests.test_containers import ALL_BLOCKS, chunk, exif, noise, saved
from tests.test_exif_travels import block as camera_block

SMOOTH = cv2.GaussianBlur(noise(40, 60, 3), (9, 9), 0).astype(np.uint8)


def by_pillow(pixels: Any = SMOOTH, **options: Any) -> bytes:
    buffer = io.BytesIO()
    Pillow.fromarray(pixels).save(buffer, "AVIF", **options)
    return buffer.getvalue()


def by_opencv(pixels: Any, *options: int) -> bytes:
    given = (cv2.IMWRITE_AVIF_QUALITY, 100, cv2.IMWRITE_AVIF_SPEED, 9, *options)
    return cv2.imencode(".avif", pixels, given)[1].tobytes()


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("has_alpha", [False, True])
def test_a_quality_of_100_is_exact(tmp_path: Path, channels: int, has_alpha: bool) -> None:
    pixels = noise(20, 30, channels)
    alpha = noise(20, 30, 1) if has_alpha else None
    write_image(tmp_path / "a.avif", Image(pixels=pixels, alpha=alpha), quality=100)
    back = read_image(tmp_path / "a.avif")
    np.testing.assert_array_equal(back.pixels, np.broadcast_to(pixels, back.pixels.shape))
    assert (back.alpha is None) is not has_alpha
    if alpha is not None:
        np.testing.assert_array_equal(back.alpha, alpha)


def test_colour_has_its_full_resolution(tmp_path: Path) -> None:
    stripes = np.zeros((32, 32, 3), np.uint8)
    stripes[:, ::2], stripes[:, 1::2] = (200, 60, 60), (60, 60, 200)
    write_image(tmp_path / "a.avif", Image(pixels=stripes))
    # Colour of half the resolution would be the mean of two stripes, 70 levels away.
    assert np.abs(read_image(tmp_path / "a.avif").pixels.astype(int) - stripes).max() < 20


def test_a_lower_quality_is_a_smaller_file(tmp_path: Path) -> None:
    sizes = []
    for quality in (30, None, 100):
        write_image(tmp_path / "a.avif", Image(pixels=SMOOTH), quality=quality)
        sizes.append((tmp_path / "a.avif").stat().st_size)
    assert sizes == sorted(set(sizes))


@pytest.mark.parametrize("quality", [None, 100])
def test_metadata_are_carried_byte_for_byte_and_found_by_others(tmp_path: Path, quality: int | None) -> None:
    blocks = ((MetadataKind.EXIF, camera_block()), *ALL_BLOCKS[1:])
    write_image(tmp_path / "a.avif", Image(pixels=SMOOTH, metadata=blocks), quality=quality)
    once = read_image(tmp_path / "a.avif")
    write_image(tmp_path / "b.avif", once, quality=quality)
    assert dict(read_image(tmp_path / "b.avif").metadata) == dict(once.metadata)
    assert {kind: once_block for kind, once_block in once.metadata if kind is not MetadataKind.RESOLUTION}.keys() == \
        dict(blocks).keys()
    with Pillow.open(tmp_path / "a.avif") as opened:
        assert opened.info["icc_profile"] == dict(blocks)[MetadataKind.ICC]
        assert opened.info["xmp"] == dict(once.metadata)[MetadataKind.XMP]
        assert opened.info["exif"] == dict(once.metadata)[MetadataKind.EXIF]
        opened.load()
    assert cv2.imread(str(tmp_path / "a.avif")) is not None


@pytest.mark.parametrize("turn", range(1, 9))
def test_the_turn_of_a_file_is_applied_once_whoever_wrote_it(tmp_path: Path, turn: int) -> None:
    marked = Pillow.Exif()
    marked[0x0112] = turn
    path = saved(tmp_path, by_pillow(exif=marked, quality=100, subsampling="4:4:4"), "in.avif")
    read = read_image(path)
    jpeg = Image(pixels=SMOOTH, metadata=((MetadataKind.EXIF, exif(turn)),))
    write_image(tmp_path / "in.png", jpeg)
    assert np.abs(read.pixels.astype(int) - read_image(tmp_path / "in.png").pixels).max() <= 3  # of RGB as YUV
    assert image_size(path) == read.pixels.shape[:2]
    assert orientation(dict(read.metadata).get(MetadataKind.EXIF, b"")) == 1
    write_image(tmp_path / "again.avif", jpeg, quality=100)
    np.testing.assert_array_equal(read_image(tmp_path / "again.avif").pixels, read_image(tmp_path / "in.png").pixels)


def test_an_orientation_in_exif_alone_is_not_applied_as_browsers_have_it(tmp_path: Path) -> None:
    write_image(tmp_path / "a.avif", Image(pixels=SMOOTH, metadata=((MetadataKind.EXIF, exif(1)),)))
    data = (tmp_path / "a.avif").read_bytes()
    assert data.count(exif(1)) == 1
    turned = saved(tmp_path, data.replace(exif(1), exif(6)), "b.avif")
    assert read_image(turned).pixels.shape == SMOOTH.shape
    assert dict(read_image(turned).metadata)[MetadataKind.EXIF] == exif(1)


@pytest.mark.parametrize("bits", [10, 12])
def test_more_than_8_bits_are_kept(tmp_path: Path, bits: int) -> None:
    levels = np.linspace(0, 2**bits - 1, 600).astype(np.uint16).reshape(20, 30, 1).repeat(3, axis=2)
    path = saved(tmp_path, by_opencv(levels, cv2.IMWRITE_AVIF_DEPTH, bits), "in.avif")
    pixels = read_image(path).pixels
    assert pixels.dtype == np.uint16
    np.testing.assert_array_equal(np.rint(pixels / 65535 * (2**bits - 1)), levels)
    with pytest.raises(UnsupportedImage, match="cannot hold the 16 bits"):
        write_image(tmp_path / "out.avif", read_image(path))


def test_grey_stays_grey(tmp_path: Path) -> None:
    assert read_image(saved(tmp_path, by_pillow(SMOOTH[..., 0]), "in.avif")).pixels.shape == (40, 60, 1)


def test_colours_beyond_srgb_become_a_cicp_chunk_and_are_reported_where_there_is_no_place(tmp_path: Path) -> None:
    data = by_pillow()
    at = data.index(b"nclx") + 4
    path = saved(tmp_path, data[:at] + struct.pack(">HH", 9, 16) + data[at + 4:], "in.avif")  # BT.2100 PQ
    image = read_image(path)
    assert dict(image.metadata)[MetadataKind.PNG_COLOUR] == chunk(b"cICP", bytes([9, 16, 0, 1]))
    assert losses(tmp_path / "out.png", image) == ()
    assert "PNG colour description" in losses(tmp_path / "out.avif", image)[0]
    assert MetadataKind.PNG_COLOUR not in dict(read_image(saved(tmp_path, data, "srgb.avif")).metadata)


def test_the_size_is_found_without_decoding(tmp_path: Path) -> None:
    data = by_pillow()
    pixels_at = data.index(b"mdat") + 4
    path = saved(tmp_path, data[:pixels_at] + bytes(len(data) - pixels_at), "in.avif")
    assert image_size(path) == (40, 60)
    with pytest.raises(UnreadableImage):
        read_image(path)


def test_a_claim_of_many_pixels_is_refused_by_the_header(tmp_path: Path) -> None:
    data = by_pillow()
    at = data.index(b"ispe") + 8
    path = saved(tmp_path, data[:at] + struct.pack(">II", 60_000, 60_000) + data[at + 8:], "in.avif")
    with pytest.raises(UnreadableImage, match="3600 megapixels"):
        read_image(path)


def test_every_truncation_is_an_error_with_its_remedy(tmp_path: Path) -> None:
    write_image(tmp_path / "whole.avif", Image(pixels=SMOOTH, metadata=ALL_BLOCKS))
    data = (tmp_path / "whole.avif").read_bytes()
    for length in range(16, len(data), 7):
        with pytest.raises(UnreadableImage, match=r"truncated or damaged AVIF|cannot be decoded"):
            read_image(saved(tmp_path, data[:length], "in.avif"))


@pytest.mark.parametrize("meddle", [b"meta", b"pitm", b"iloc", b"iinf", b"iprp", b"ipco", b"ipma", b"ispe"])
def test_a_file_without_one_of_its_parts_is_damaged(tmp_path: Path, meddle: bytes) -> None:
    path = saved(tmp_path, by_pillow().replace(meddle, b"free", 1), "in.avif")
    with pytest.raises(UnreadableImage, match="truncated or damaged AVIF"):
        read_image(path)


def test_a_sequence_is_refused_by_name(tmp_path: Path) -> None:
    frames = [Pillow.fromarray(SMOOTH[::step]) for step in (1, 1, 1)]
    frames[0].save(tmp_path / "in.avif", save_all=True, append_images=frames[1:])
    with pytest.raises(UnsupportedImage, match="an animation"):
        read_image(tmp_path / "in.avif")


def test_further_images_are_named_as_left_behind(tmp_path: Path) -> None:
    alpha = np.dstack([SMOOTH, SMOOTH[..., :1]])
    data = by_pillow(alpha, quality=90)
    assert unpack(data, Path("in.avif")).left_behind == ()
    other = data.replace(b"urn:mpeg:mpegB:cicp:systems:auxiliary:alpha", b"urn:mpeg:mpegB:cicp:systems:auxiliary:depth")
    assert other != data
    (part,) = unpack(other, Path("in.avif")).left_behind
    assert part.name == "depth map"
    assert part.size_bytes > 0
    assert unpack(data + struct.pack(">I", 20) + b"uuid" + bytes(12), Path("in.avif")).left_behind[0].name == \
        "box uuid (of another standard, such as content credentials)"


def test_a_size_beyond_the_format_is_refused_before_the_work(tmp_path: Path) -> None:
    for shape in ((1, 32_769, 1), (16_385, 16_384, 1)):
        with pytest.raises(UnwritableImage, match=r"more than"):
            write_image(tmp_path / "a.avif", Image(pixels=np.broadcast_to(np.uint8(0), shape)))


def test_the_command_writes_avif_in_the_size_and_with_the_metadata(tmp_path: Path) -> None:
    write_image(tmp_path / "in.png", Image(pixels=SMOOTH, metadata=((MetadataKind.EXIF, camera_block()),)))
    ended = run("upscale", "in.png", "out.avif", "--scale", "1.5", "--quality", "80", "--device", "cpu", cwd=tmp_path)
    assert ended.returncode == 0, ended.stderr
    with Pillow.open(tmp_path / "out.avif") as opened:
        assert (opened.format, opened.size) == ("AVIF", (90, 60))
        inner = opened.getexif().get_ifd(0x8769)
        assert {inner[tag] for tag in (0xA002, 0xA003) if tag in inner} <= {90, 60}
    ended = run("upscale", "out.avif", "back.png", "--scale", "1", "--device", "cpu", cwd=tmp_path)
    assert ended.returncode == 0, ended.stderr
    assert read_image(tmp_path / "back.png").pixels.shape == (60, 90, 3)


@pytest.mark.parametrize("data", [b"\0\0\0\x04free", b"\0\0\0\x09free", b"\0\0\0\1free" + bytes(8), b"\0\0\0"])
def test_a_box_that_is_not_whole_is_damage(data: bytes) -> None:
    with pytest.raises(Damaged):
        list(boxes(data, 0, len(data)))


def test_boxes_of_every_form_of_length_are_read() -> None:
    data = b"\0\0\0\x09freeA" + b"\0\0\0\1skip" + (17).to_bytes(8, "big") + b"B" + b"\0\0\0\0mdatCC"
    assert [(one.kind, data[one.content:one.end]) for one in boxes(data, 0, len(data))] == [
        (b"free", b"A"), (b"skip", b"B"), (b"mdat", b"CC")]


def test_counts_that_are_not_there_do_not_keep_anybody_busy() -> None:
    data = by_pillow()
    place = re.search(rb"iloc.{6}(..)", data, re.DOTALL)
    assert place is not None
    with pytest.raises(Damaged):
        read_items(data[:place.start(1)] + b"\xff\xff" + data[place.end(1):])
