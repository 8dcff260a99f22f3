"""What a file holds besides its image is named before the work, in one line; XMP does not promise it any more."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile
from PIL import Image as Pillow
from PIL.JpegImagePlugin import JpegImageFile

from srn_deploy.image import Image, read_image, write_image
from srn_deploy.image.containers import MetadataKind
from srn_deploy.image.containers.extended_xmp import joined, split
from srn_deploy.image.containers.ifd import longs, shorts, write_directory
from tests.commands import srn_deploy as run
from tests.test_containers import WHOLE, chunk, noise, saved, with_chunks
from tests.xmp_packets import as_attributes, as_elements, packet, value

JPEG, PNG, WEBP = WHOLE[".jpg"], WHOLE[".png"], WHOLE[".webp"]
VIDEO = struct.pack(">I4s4sI8s", 24, b"ftyp", b"mp42", 0, b"mp42isom") + bytes(4000)


def segment(marker: int, body: bytes) -> bytes:
    return bytes([0xFF, marker]) + struct.pack(">H", len(body) + 2) + body


def with_segments(*segments: bytes, behind: bytes = b"") -> bytes:
    """A JPEG with these segments at its beginning, and bytes behind its end."""
    return JPEG[:2] + b"".join(segments) + JPEG[2:] + behind


def xmp_segment(packet_of: bytes) -> bytes:
    return segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + packet_of)


def remark_of(folder: Path, data: bytes, name: str = "in.jpg") -> str:
    """The one remark that reading a file makes, without its path."""
    (remark,) = read_image(saved(folder, data, name)).remarks
    return remark.removeprefix(f"{folder / name}: ")


C2PA = segment(0xEB, b"JP\0\1\0\0\0\1" + b"\0\0\0\x20jumb" + b"c2pa" * 6)


@pytest.mark.parametrize(("data", "named"), [
    (with_segments(C2PA), "APP11 (C2PA content credentials), 44 bytes"),
    (with_segments(C2PA, C2PA), "APP11 (C2PA content credentials), 88 bytes"),
    (with_segments(segment(0xEB, b"JP\0\1\0\0\0\1" + b"\0\0\0\x10jumbxxxx")), "APP11 (JUMBF), 24 bytes"),
    (with_segments(segment(0xE1, b"FLIR\0\1\0\0" + b"\1" * 500)), "APP1 (thermal data of FLIR), 512 bytes"),
    (with_segments(segment(0xE3, b"\2" * 1000)), "APP3, 1,004 bytes"),
    (with_segments(segment(0xE7, b"MakerX\0\1\2")), "APP7 (MakerX), 13 bytes"),
    (with_segments(segment(0xE0, b"JFXX\0\x10" + bytes(20))), "APP0 (thumbnail), 30 bytes"),
    (with_segments(segment(0xE2, b"FPXR\0" + bytes(9))), "APP2 (FlashPix data), 18 bytes"),
    (with_segments(behind=JPEG), f"further image behind the first, {len(JPEG):,} bytes"),
    (with_segments(behind=bytes(50) + JPEG + b"\0\0" + JPEG),
     f"further image behind the first, {2 * len(JPEG):,} bytes"),
    (with_segments(xmp_segment(as_attributes({"hdrgm:Version": "1.0"})), behind=with_segments(
        xmp_segment(as_attributes({"hdrgm:GainMapMax": "2"})))), "gain map (the result is the SDR image), "),
    (with_segments(behind=VIDEO), f"video of a motion photo, {len(VIDEO):,} bytes"),
    (with_segments(behind=b"\0\0\x30\x0aMotionPhoto_Data" + VIDEO + b"SEFHxxxxSEFT"),
     "video of a motion photo, 4,056 bytes"),
    (with_segments(behind=b"appended by someone"), "bytes after the end of the JPEG, 19 bytes"),
    (with_segments(segment(0xE4, b"x" * 6), C2PA, behind=VIDEO),
     "APP4, 10 bytes; APP11 (C2PA content credentials), 44 bytes; video of a motion photo, 4,024 bytes"),
])
def test_a_part_of_a_jpeg_is_named_with_its_size(tmp_path: Path, data: bytes, named: str) -> None:
    assert remark_of(tmp_path, data).startswith(f"left behind: {named}")


@pytest.mark.parametrize("data", [
    JPEG, with_segments(segment(0xEE, b"Adobe\0\x64\0\0\0\0\1")),
    with_segments(segment(0xEC, b"Ducky\0\1\0\4\0\0\0\x3c\0")),
    with_segments(segment(0xE2, b"MPF\0" + bytes(20))), with_segments(segment(0xFE, b"a comment")),
    with_segments(behind=bytes(300)), with_segments(behind=b"\r\n")],
    ids=["plain", "Adobe", "quality", "index", "comment", "padding", "line end"])
def test_what_only_concerns_the_coding_needs_no_word(tmp_path: Path, data: bytes) -> None:
    assert read_image(saved(tmp_path, data, "in.jpg")).remarks == ()


def test_the_second_view_of_a_stereo_camera_is_named(tmp_path: Path) -> None:
    first, second = (Pillow.fromarray(noise(24, 32, 3)[::step]) for step in (1, -1))
    first.save(tmp_path / "in.jpg", format="MPO", save_all=True, append_images=[second])
    image = read_image(tmp_path / "in.jpg")
    assert image.pixels.shape == (24, 32, 3)
    assert "left behind: further image behind the first, " in image.remarks[0]


@pytest.mark.parametrize(("data", "named"), [
    (with_chunks(chunk(b"caBX", b"jumb" * 10)), "chunk caBX (C2PA content credentials), 40 bytes"),
    (with_chunks(chunk(b"prVt", b"x" * 10) + chunk(b"tIME", bytes([7, 209, 2, 3, 4, 5, 6]))),
     "chunk prVt, 10 bytes; chunk tIME (last change), 7 bytes"),
    (with_chunks(chunk(b"prVt", b"x") + chunk(b"prVt", b"")), "chunk prVt, 1 byte"),
    (PNG + b"an earlier state of the image", "bytes after the end of the PNG, 29 bytes"),
])
def test_a_part_of_a_png_is_named_with_its_size(tmp_path: Path, data: bytes, named: str) -> None:
    assert remark_of(tmp_path, data, "in.png") == f"left behind: {named}."


def test_the_light_of_a_screen_that_a_png_was_graded_on_stays_with_its_colours(tmp_path: Path) -> None:
    colours = chunk(b"cICP", bytes([9, 16, 0, 1])) + chunk(b"mDCV", bytes(24)) + chunk(b"cLLI", bytes(8))
    image = read_image(saved(tmp_path, with_chunks(colours)))
    assert (image.metadata, image.remarks) == (((MetadataKind.PNG_COLOUR, colours),), ())


def resource(number: int, data: bytes) -> bytes:
    """One of Photoshop's image resources, without a name."""
    return b"8BIM" + struct.pack(">H", number) + bytes(2) + struct.pack(">I", len(data)) + data + bytes(len(data) % 2)


def test_of_photoshops_resources_those_that_count_pixels_are_left_behind(tmp_path: Path) -> None:
    iptc, url = resource(1028, b"\x1c\2\x78\0\6barley"), resource(1035, b"example.org")
    body = b"Photoshop 3.0\0" + iptc + resource(1050, bytes(30)) + url + resource(1060, b"<x/>")
    image = read_image(saved(tmp_path, with_segments(segment(0xED, body)), "in.jpg"))
    assert image.remarks[0].endswith("left behind: Photoshop's slices, 42 bytes; Photoshop's copy of XMP, 16 bytes.")
    assert dict(image.metadata)[MetadataKind.JPEG_NOTES] == segment(0xED, b"Photoshop 3.0\0" + iptc + url)


@pytest.mark.parametrize("body", [resource(1028, b"a caption"), resource(1050, bytes(30))[:-4], b"8BIM"])
def test_resources_that_stay_valid_or_go_on_in_another_segment_keep_every_byte(tmp_path: Path, body: bytes) -> None:
    whole = segment(0xED, b"Photoshop 3.0\0" + body)
    image = read_image(saved(tmp_path, with_segments(whole), "in.jpg"))
    assert (image.metadata, image.remarks) == (((MetadataKind.JPEG_NOTES, whole),), ())


def test_a_chunk_of_a_webp_that_is_not_known_and_bytes_behind_are_named(tmp_path: Path) -> None:
    body = WEBP[8:] + b"C2PA" + struct.pack("<I", 6) + b"jumbxx"
    data = b"RIFF" + struct.pack("<I", len(body)) + body + b"behind"
    assert remark_of(tmp_path, data, "in.webp") == (
        "left behind: chunk C2PA, 6 bytes; bytes after the end of the WebP, 6 bytes.")


def test_bytes_behind_a_bmp_are_named(tmp_path: Path) -> None:
    data = WHOLE[".bmp"] + b"behind"
    assert remark_of(tmp_path, data, "in.bmp") == "left behind: bytes after the end of the BMP, 6 bytes."


def test_smaller_copies_masks_and_directories_of_a_tiff_are_named(tmp_path: Path) -> None:
    with tifffile.TiffWriter(tmp_path / "in.tif") as writer:
        writer.write(noise(16, 16, 3), photometric="rgb", metadata=None, subifds=1)
        writer.write(noise(8, 8, 3), photometric="rgb", metadata=None)
        writer.write(noise(8, 8, 3), photometric="rgb", metadata=None, subfiletype=1)
        writer.write(np.zeros((16, 16), bool), photometric=4, metadata=None, subfiletype=4)
    (remark,) = read_image(tmp_path / "in.tif").remarks
    assert "left behind: smaller copy, 192 bytes; transparency mask, 32 bytes; further image, 192 bytes." in remark


@pytest.mark.parametrize(("chosen", "name"), [
    ({"metadata": {"axes": "YXS"}, "ome": True}, "OME-XML description"),
    ({"metadata": {}}, "description of the array's shape"),
    ({"metadata": None, "extratags": [(42112, "s", 0, '<Item name="PIXEL_STEP" domain="GEOLOCATION">1</Item>', True)]},
     "GDAL's geolocation"),
    ({"metadata": None, "extratags": [(52545, "B", 4, b"jumb", True)]}, "C2PA content credentials")])
def test_a_description_of_a_tiff_that_repeats_its_size_is_left_behind_and_named(
        tmp_path: Path, chosen: dict[str, object], name: str) -> None:
    tifffile.imwrite(tmp_path / "in.tif", noise(8, 9, 3), photometric="rgb", **chosen)  # type: ignore[arg-type]
    image = read_image(tmp_path / "in.tif")
    assert f"left behind: {name}, " in image.remarks[0]
    write_image(tmp_path / "out.tif", image.enlarged(noise(16, 18, 3), None))
    assert tifffile.imread(tmp_path / "out.tif").shape == (16, 18, 3)


def test_a_description_in_words_is_kept(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "in.tif", noise(8, 9, 3), photometric="rgb", metadata=None, description="a barn")
    write_image(tmp_path / "out.tif", read_image(tmp_path / "in.tif"))
    with tifffile.TiffFile(tmp_path / "out.tif") as opened:
        assert opened.pages.first.description == "a barn"


def test_many_parts_are_named_in_a_line_of_bounded_length(tmp_path: Path) -> None:
    chunks = b"".join(chunk(b"pr" + bytes([65 + number]) + b"t", b"x") for number in range(20))
    assert remark_of(tmp_path, with_chunks(chunks), "in.png").endswith("; 8 further parts.")


def test_images_without_number_behind_a_jpeg_take_no_time(tmp_path: Path) -> None:
    remark = remark_of(tmp_path, with_segments(behind=b"\xff\xd8\xff\xd9" * 300_000))
    assert remark == ("left behind: further image behind the first, 200 bytes; bytes after the end of the JPEG, "
                      "1,199,800 bytes.")


def test_directories_without_number_in_a_tiff_take_no_time(tmp_path: Path) -> None:
    entries = [longs(256, [8]), longs(257, [8]), shorts(258, 8), shorts(262, 1), longs(273, [8]), longs(279, [64]),
               longs(330, range(20_000, 50_000))]
    directory = write_directory(entries, "<", 72)
    data = b"II*\0" + struct.pack("<I", 72) + bytes(64) + directory
    data += struct.pack("<H10x", 4000) * ((60_000 - len(data)) // 12 + 6000)  # each is the beginning of a long one
    assert remark_of(tmp_path, data, "many.tif") == "left behind: further image, 0 bytes."


PROMISES = {
    "hdrgm:Version": "1.0", "GCamera:MotionPhoto": "1", "GCamera:MotionPhotoVersion": "1", "GCamera:MicroVideo": "1",
    "GCamera:MicroVideoOffset": "4024", "dcterms:provenance": "self#jumbf=c2pa/urn:uuid:1"}
DIRECTORY = ("<Container:Directory><rdf:Seq><rdf:li rdf:parseType='Resource'><Container:Item Item:Semantic='Primary'/>"
             "</rdf:li><rdf:li rdf:parseType='Resource'><Container:Item Item:Semantic='GainMap' Item:Length='9'/>"
             "</rdf:li></rdf:Seq></Container:Directory>")


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".tif"])
@pytest.mark.parametrize("form", [as_attributes, as_elements])
def test_xmp_promises_no_part_that_is_not_in_the_file(
        tmp_path: Path, form: Callable[[dict[str, str]], bytes], suffix: str) -> None:
    promising = form({**PROMISES, "dc:format": "image/jpeg"})
    source = saved(tmp_path, with_segments(xmp_segment(promising), behind=VIDEO), "in.jpg")
    write_image(tmp_path / f"out{suffix}", read_image(source))
    found = dict(read_image(tmp_path / f"out{suffix}").metadata)[MetadataKind.XMP]
    assert [name for name in PROMISES if value(found, name)] == []
    assert b"hdr-gain-map" not in found
    assert value(found, "dc:format") == "image/jpeg"


def test_the_list_of_parts_is_taken_out_of_xmp_as_a_whole(tmp_path: Path) -> None:
    source = saved(tmp_path, with_segments(xmp_segment(packet("tiff:Make='x'", DIRECTORY)), behind=JPEG), "in.jpg")
    found = dict(read_image(source).metadata)[MetadataKind.XMP]
    assert b"Container" not in found
    assert b"GainMap" not in found
    assert b"tiff:Make='x'" in found


def test_a_source_of_an_image_that_is_no_credential_is_kept(tmp_path: Path) -> None:
    xmp = as_attributes({"dcterms:provenance": "the archive of the town"})
    source = saved(tmp_path, with_segments(xmp_segment(xmp)), "in.jpg")
    assert dict(read_image(source).metadata)[MetadataKind.XMP] == xmp


EXTENSION = as_elements({"GDepth:Data": "A" * 70_000, "exif:PixelXDimension": "30"})


def with_extension(folder: Path) -> Path:
    """A JPEG with two segments of extended XMP."""
    name = split(EXTENSION)[4 + 35:][:32].decode()
    main = as_attributes({"xmpNote:HasExtendedXMP": name, "GDepth:Format": "RangeInverse", "dc:format": "image/jpeg"})
    return saved(folder, with_segments(xmp_segment(main), split(EXTENSION)), "in.jpg")


def test_an_extension_of_xmp_that_is_left_behind_is_not_referred_to(tmp_path: Path) -> None:
    lost = write_image(tmp_path / "out.png", read_image(with_extension(tmp_path)))
    assert lost == ("The extended XMP is left behind: PNG has no place for it.",)
    found = dict(read_image(tmp_path / "out.png").metadata)[MetadataKind.XMP]
    assert value(found, "dc:format") == "image/jpeg"
    assert value(found, "xmpNote:HasExtendedXMP") is None
    assert value(found, "GDepth:Format") is None


def test_an_extension_of_xmp_that_changes_is_found_by_its_new_digest(tmp_path: Path) -> None:
    source = read_image(with_extension(tmp_path))
    large = source.enlarged(np.zeros((40, 60, 3), np.uint8), None)
    assert write_image(tmp_path / "out.jpg", large) == ()
    with Pillow.open(tmp_path / "out.jpg") as opened:
        assert isinstance(opened, JpegImageFile)
        segments = [body for name, body in opened.applist if body.startswith(b"http://ns.adobe.com/xmp/extension/\0")]
    found = dict(read_image(tmp_path / "out.jpg").metadata)
    assert len(segments) == 2
    assert {body[35:67].decode() for body in segments} == {value(found[MetadataKind.XMP], "xmpNote:HasExtendedXMP")}
    assert value(joined(found[MetadataKind.EXTENDED_XMP]), "exif:PixelXDimension") == "60"


def test_an_extension_of_xmp_that_does_not_change_keeps_every_byte(tmp_path: Path) -> None:
    source = read_image(with_extension(tmp_path))
    write_image(tmp_path / "out.jpg", source)
    assert dict(read_image(tmp_path / "out.jpg").metadata) == dict(source.metadata)


def test_xmp_that_is_damaged_and_may_count_pixels_is_left_behind_and_named(tmp_path: Path) -> None:
    cut = as_attributes({"tiff:ImageWidth": "30"})[:-80]
    image = read_image(saved(tmp_path, with_segments(xmp_segment(cut)), "in.jpg"))
    assert image.metadata == ()
    assert f"left behind: XMP that is damaged, {len(cut)} bytes" in image.remarks[0]


def test_a_place_on_earth_is_reported_as_lost_where_only_exif_has_it(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "in.tif", noise(8, 8, 3), photometric="rgb", metadata=None, extratags=[
        (33550, "d", 3, (1.0, 1.0, 0.0), True), (33922, "d", 6, (0.0, 0, 0, 5, 6, 0), True)])
    (lost,) = write_image(tmp_path / "out.png", read_image(tmp_path / "in.tif"))
    assert "georeference" in lost
    assert write_image(tmp_path / "out.tif", read_image(tmp_path / "in.tif")) == ()


def test_the_command_gives_one_line_for_each_image_before_its_result(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for name in ("a.jpg", "b.jpg"):
        saved(tmp_path / "in", with_segments(C2PA, segment(0xE4, b"x"), behind=VIDEO), name)
    write_image(tmp_path / "in/plain.png", Image(pixels=noise(9, 9, 3)))
    done = run("upscale", "in", "out", "--model", "srn-s-b6-x2", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    lines = [line for line in done.stderr.splitlines() if line.startswith("Warning")]
    assert [line.partition(": left behind")[0] for line in lines] == ["Warning: in/a.jpg", "Warning: in/b.jpg"]


def test_opencv_finds_nothing_of_the_second_image_in_the_result(tmp_path: Path) -> None:
    write_image(tmp_path / "out.jpg", read_image(saved(tmp_path, with_segments(behind=JPEG), "in.jpg")))
    assert (tmp_path / "out.jpg").read_bytes().count(b"\xff\xd8\xff") == 1
    assert cv2.imread(str(tmp_path / "out.jpg")) is not None
