"""Complete and broken files, and the metadata that must survive every conversion."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from srn_deploy.errors import ImageError, UnreadableImage, UnsupportedImage
from srn_deploy.image import Image, losses, read_image, write_image
from srn_deploy.image.containers import MetadataKind, unpack

SUFFIXES = (".png", ".jpg", ".webp")
WITH_ALPHA = (".png", ".webp", ".tif")

XMP = (b"<x:xmpmeta xmlns:x='adobe:ns:meta/'><rdf:RDF xmlns:rdf='http://www.w3.org/1999/02/22-rdf-syntax-ns#'>"
       b"<rdf:Description xmlns:tiff='http://ns.adobe.com/tiff/1.0/' tiff:Orientation='1'/></rdf:RDF></x:xmpmeta>")


def noise(height: int, width: int, channels: int) -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (height, width, channels), dtype=np.uint8)


def saved(folder: Path, data: bytes, name: str = "in.png") -> Path:
    path = folder / name
    path.write_bytes(data)
    return path


WHOLE = {suffix: cv2.imencode(suffix, cv2.GaussianBlur(noise(20, 30, 3), (5, 5), 0))[1].tobytes()
         for suffix in (*SUFFIXES, ".tif", ".bmp")}
PNG_HEADER_END = 33


def chunk(kind: bytes, body: bytes) -> bytes:
    """One PNG chunk with its checksum."""
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def exif(turn: int) -> bytes:
    """An EXIF block that holds nothing but an orientation."""
    return b"II*\0" + struct.pack("<IHHHIHH", 8, 1, 0x0112, 3, 1, turn, 0) + bytes(4)


def with_chunks(chunks: bytes) -> bytes:
    """A PNG with these chunks after its header."""
    return WHOLE[".png"][:PNG_HEADER_END] + chunks + WHOLE[".png"][PNG_HEADER_END:]


def profile(space: bytes = b"RGB ", size: int = 600) -> bytes:
    """A profile of `size` bytes that readers accept: a header and one tag of noise."""
    noise = np.random.default_rng(0).bytes(size - 144 - 8)  # libpng rejects what compresses too well
    tag = b"text\0\0\0\0" + noise
    header = struct.pack(">I4sI4s4s4s", size, b"none", 0x02400000, b"mntr", space, b"XYZ ")
    header += struct.pack(">6H4s", 2026, 1, 1, 0, 0, 0, b"acsp") + bytes(24)
    header += struct.pack(">I3I", 0, 0xF6D6, 0x10000, 0xD32D)  # perceptual; the D50 white of every profile
    return header.ljust(128, b"\0") + struct.pack(">I4sII", 1, b"cprt", 144, len(tag)) + tag


ALL_BLOCKS = ((MetadataKind.EXIF, exif(1)), (MetadataKind.XMP, XMP), (MetadataKind.ICC, profile()))


@pytest.mark.parametrize(("first", "second", "alpha"), [
    *((first, second, False) for first in (*SUFFIXES, ".tif") for second in (*SUFFIXES, ".tif")),
    *((first, second, True) for first in WITH_ALPHA for second in WITH_ALPHA)])
def test_metadata_survives_every_conversion(tmp_path: Path, first: str, second: str, alpha: bool) -> None:
    image = Image(pixels=noise(8, 9, 3), alpha=noise(8, 9, 1) if alpha else None, metadata=ALL_BLOCKS)
    assert write_image(tmp_path / f"a{first}", image) == ()
    once = read_image(tmp_path / f"a{first}")
    assert write_image(tmp_path / f"b{second}", once) == ()
    found = dict(read_image(tmp_path / f"b{second}").metadata)
    assert found.keys() - {MetadataKind.EXIF} == {MetadataKind.XMP, MetadataKind.ICC}
    assert (found[MetadataKind.XMP], found[MetadataKind.ICC]) == (XMP, profile())
    # TIFF has its own tags for EXIF, and means an orientation of 1 if there is none.
    assert found.get(MetadataKind.EXIF, exif(1)) == exif(1)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_other_programs_find_the_metadata(tmp_path: Path, suffix: str) -> None:
    write_image(tmp_path / f"out{suffix}", Image(pixels=noise(8, 9, 3), metadata=ALL_BLOCKS))
    data = np.frombuffer((tmp_path / f"out{suffix}").read_bytes(), np.uint8)
    decoded, kinds, blocks = cv2.imdecodeWithMetadata(data, cv2.IMREAD_UNCHANGED)
    seen = {int(kind): np.asarray(block).tobytes() for kind, block in zip(kinds, blocks, strict=True)}
    assert decoded.shape == (8, 9, 3)
    assert seen[cv2.IMAGE_METADATA_EXIF] == exif(1)
    assert seen[cv2.IMAGE_METADATA_ICCP] == profile()
    assert XMP in seen[cv2.IMAGE_METADATA_XMP]  # OpenCV does not remove JPEG's mark and PNG's zero byte


def test_metadata_of_other_programs_is_read_without_its_marks(tmp_path: Path) -> None:
    blocks = [np.frombuffer(block, np.uint8) for block in (exif(1), profile())]
    _, data = cv2.imencodeWithMetadata(".jpg", noise(8, 9, 3),
                                       [cv2.IMAGE_METADATA_EXIF, cv2.IMAGE_METADATA_ICCP], blocks)
    found = dict(read_image(saved(tmp_path, data.tobytes(), "in.jpg")).metadata)
    assert found == {MetadataKind.EXIF: exif(1), MetadataKind.ICC: profile()}


@pytest.mark.parametrize(("suffix", "grey", "block", "reason"), [
    (".png", False, (MetadataKind.ICC, profile(b"CMYK")), "describes CMYK, the pixels are stored as RGB"),
    (".png", True, (MetadataKind.ICC, profile(b"RGB ")), "describes RGB, the pixels are stored as GRAY"),
    (".webp", True, (MetadataKind.ICC, profile(b"GRAY")), "describes GRAY, the pixels are stored as RGB"),
    (".jpg", False, (MetadataKind.EXIF, exif(1) + bytes(70000)), "more than a JPEG segment holds"),
    (".jpg", False, (MetadataKind.XMP, XMP + b" " * 70000), "more than a JPEG segment holds"),
    (".webp", False, (MetadataKind.PNG_COLOUR, chunk(b"gAMA", bytes([0, 1, 0x86, 0xA0]))), "WebP has no place for it"),
    (".png", False, (MetadataKind.EXTENDED_XMP, b"\xff\xe1"), "PNG has no place for it"),
])
def test_metadata_that_a_file_cannot_hold_is_reported_in_a_sentence(
        tmp_path: Path, suffix: str, grey: bool, block: tuple[MetadataKind, bytes], reason: str) -> None:
    image = Image(pixels=noise(8, 8, 1 if grey else 3), metadata=(block, (MetadataKind.XMP, XMP)))
    lost = write_image(tmp_path / f"out{suffix}", image)
    assert len(lost) == 1
    assert lost[0].startswith(f"The {block[0]} is left behind: ")
    assert reason in lost[0]
    assert losses(tmp_path / f"out{suffix}", image) == lost
    assert read_image(tmp_path / f"out{suffix}").metadata == ((MetadataKind.XMP, XMP),)


def test_a_long_profile_is_spread_over_jpeg_segments(tmp_path: Path) -> None:
    long = profile(size=200_000)
    assert write_image(tmp_path / "out.jpg", Image(pixels=noise(8, 8, 3), metadata=((MetadataKind.ICC, long),))) == ()
    assert read_image(tmp_path / "out.jpg").metadata == ((MetadataKind.ICC, long),)


def test_a_png_keeps_its_colour_chunks_and_losing_sRGB_is_not_reported(tmp_path: Path) -> None:  # noqa: N802
    chunks = chunk(b"sRGB", b"\0") + chunk(b"gAMA", (45455).to_bytes(4, "big"))
    image = read_image(saved(tmp_path, with_chunks(chunks)))
    write_image(tmp_path / "out.png", image)
    assert read_image(tmp_path / "out.png").metadata == ((MetadataKind.PNG_COLOUR, chunks),)
    assert losses(tmp_path / "out.jpg", image) == ()


@pytest.mark.parametrize("suffix", WHOLE)
def test_every_truncation_is_refused(suffix: str) -> None:
    for length in range(len(WHOLE[suffix])):
        with pytest.raises(UnreadableImage, match=r"truncated|empty|not a PNG"):
            unpack(WHOLE[suffix][:length], Path("cut"))


@pytest.mark.parametrize("suffix", WHOLE)
def test_damaged_bytes_give_an_image_or_an_image_error(tmp_path: Path, suffix: str) -> None:
    random = np.random.default_rng(1)
    ends: set[type] = set()
    for _ in range(150):
        damaged = bytearray(WHOLE[suffix])
        for at in random.integers(0, len(damaged), random.integers(1, 4)):
            damaged[at] ^= 1 << random.integers(8)
        try:
            ends.add(type(read_image(saved(tmp_path, bytes(damaged), f"bad{suffix}"))))
        except ImageError as error:
            ends.add(type(error))
    assert ends <= {Image, UnreadableImage, UnsupportedImage}
    assert UnreadableImage in ends


def test_a_flipped_bit_in_a_png_is_always_noticed(tmp_path: Path) -> None:
    for at in range(8, len(WHOLE[".png"]), 7):
        damaged = bytearray(WHOLE[".png"])
        damaged[at] ^= 1
        with pytest.raises(UnreadableImage):
            read_image(saved(tmp_path, bytes(damaged)))


def test_the_end_of_a_thumbnail_is_not_taken_for_the_end_of_the_image(tmp_path: Path) -> None:
    write_image(tmp_path / "in.jpg", Image(pixels=noise(16, 16, 3),
                                           metadata=((MetadataKind.EXIF, exif(1) + WHOLE[".jpg"]),)))
    data = (tmp_path / "in.jpg").read_bytes()
    with pytest.raises(UnreadableImage, match="truncated"):
        read_image(saved(tmp_path, data[:-40], "cut.jpg"))


def test_bytes_after_the_end_of_an_image_are_ignored(tmp_path: Path) -> None:
    for suffix, data in WHOLE.items():
        whole = read_image(saved(tmp_path, data, f"a{suffix}"))
        assert np.array_equal(read_image(saved(tmp_path, data + b"trailer", f"b{suffix}")).pixels, whole.pixels)


@pytest.mark.parametrize("data", [
    b"", b"text, not pixels", b"\x89PNG\r\n\x1a\n" + chunk(b"IEND", b"")])
def test_a_file_that_is_not_an_image_is_refused_with_a_remedy(tmp_path: Path, data: bytes) -> None:
    with pytest.raises(UnreadableImage, match=r"in\.png is") as caught:
        read_image(saved(tmp_path, data))
    assert "complete PNG, JPEG, WebP, TIFF, AVIF or BMP" in caught.value.remedy


def test_animations_are_refused_because_all_frames_but_one_would_be_lost(tmp_path: Path) -> None:
    animated = with_chunks(chunk(b"acTL", bytes([0, 0, 0, 2, 0, 0, 0, 0])))
    with pytest.raises(UnsupportedImage, match="animation"):
        read_image(saved(tmp_path, animated))
    animation = cv2.Animation()
    animation.frames = [noise(8, 8, 4), 255 - noise(8, 8, 4)]
    animation.durations = [100, 100]
    assert cv2.imwriteanimation(str(tmp_path / "in.webp"), animation)
    with pytest.raises(UnsupportedImage, match="animation"):
        read_image(tmp_path / "in.webp")
