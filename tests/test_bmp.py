"""BMP of every kind, byte by byte, compared with how OpenCV and Pillow read the same files."""

from __future__ import annotations

import contextlib
import struct
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image as Pillow

from srn_deploy.errors import UnreadableImage, UnsupportedImage
from srn_deploy.image import Image, Pixels, losses, read_image, write_image
from srn_deploy.image.containers import MetadataKind
from tests.test_containers import profile

WIDTH, HEIGHT = 9, 3
RED, GREEN, BLUE, ALPHA = 0xFF0000, 0xFF00, 0xFF, 0xFF000000
RANDOM = np.random.default_rng(0)


def bmp(depth: int, data: bytes, *, height: int = HEIGHT, compression: int = 0, colours: int = 0, masks: bytes = b"",
        size: int = 40, extra: bytes = b"") -> bytes:
    """A file of a header that ends in `extra`, masks, a palette of arbitrary colours, and rows."""
    palette = b"".join(bytes([i * 7 % 256, i * 13 % 256, i * 29 % 256, 0]) for i in range(colours))
    at = 14 + size + len(masks) + len(palette)
    head = struct.pack("<2sIII", b"BM", at + len(data), 0, at)
    return head + struct.pack("<IiiHHIIiiII", size, WIDTH, height, 1, depth, compression, len(data), 2835, 2835,
                              colours, 0) + extra + masks + palette + data


def saved(folder: Path, data: bytes) -> Path:
    path = folder / "in.bmp"
    path.write_bytes(data)
    return path


def seen_by_opencv(path: Path) -> Pixels:
    return np.asarray(cv2.imread(str(path), cv2.IMREAD_COLOR_RGB))


V4_ALPHA = struct.pack("<IIII", RED, GREEN, BLUE, ALPHA) + b"BGRs" + bytes(48)

KINDS = {
    "1 bit": bmp(1, RANDOM.bytes(4 * HEIGHT), colours=2),
    "4 bits": bmp(4, RANDOM.bytes(8 * HEIGHT), colours=16),
    "8 bits": bmp(8, RANDOM.bytes(12 * HEIGHT), colours=256),
    "24 bits": bmp(24, RANDOM.bytes(28 * HEIGHT)),
    "24 bits from the top": bmp(24, RANDOM.bytes(28 * HEIGHT), height=-HEIGHT),
    "32 bits, the last 8 unused": bmp(32, RANDOM.bytes(36 * HEIGHT)),
    "32 bits in masks without alpha": bmp(32, RANDOM.bytes(36 * HEIGHT), compression=3,
                                          masks=struct.pack("<III", RED, GREEN, BLUE)),
    "runs of 8 bits": bmp(8, bytes([9, 5, 0, 0, 4, 7, 5, 8, 0, 0, 0, 9, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 0, 1]),
                          compression=1, colours=256),
    "runs of 4 bits": bmp(4, bytes([9, 0x51, 0, 0, 4, 0x17, 5, 0x28, 0, 0, 9, 0x33, 0, 1]), compression=2, colours=16),
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_read_as_opencv_reads_it(tmp_path: Path, kind: str) -> None:
    path = saved(tmp_path, KINDS[kind])
    image = read_image(path)
    assert image.alpha is None
    assert np.array_equal(np.broadcast_to(image.pixels, (HEIGHT, WIDTH, 3)), seen_by_opencv(path))


@pytest.mark.parametrize("masks", [b"", struct.pack("<III", 0xF800, 0x07E0, 0x1F)], ids=["5-5-5", "5-6-5"])
def test_sixteen_bits_per_pixel_are_scaled_to_the_full_range(tmp_path: Path, masks: bytes) -> None:
    words = np.random.default_rng(1).integers(0, 2**16, (HEIGHT, 10), dtype=np.uint16)
    words[0, :2] = 0, 0xFFFF
    path = saved(tmp_path, bmp(16, words.tobytes(), compression=3 if masks else 0, masks=masks))
    pixels = read_image(path).pixels
    assert pixels[-1, :2].tolist() == [[0, 0, 0], [255, 255, 255]]
    # OpenCV leaves the lowest 2 or 3 bits empty.
    assert np.array_equal(pixels >> 3, seen_by_opencv(path) >> 3)


def test_an_alpha_mask_is_read_as_alpha(tmp_path: Path) -> None:
    rows = RANDOM.bytes(36 * HEIGHT)
    image = read_image(saved(tmp_path, bmp(32, rows, compression=3, size=108, extra=V4_ALPHA)))
    expected = np.frombuffer(rows, np.uint8).reshape(HEIGHT, WIDTH, 4)[::-1]
    assert image.alpha is not None
    assert np.array_equal(image.alpha[..., 0], expected[..., 3])
    assert np.array_equal(image.pixels, expected[..., 2::-1])


def test_a_palette_of_greys_is_read_as_grey(tmp_path: Path) -> None:
    grey = np.random.default_rng(0).integers(0, 256, (7, 5), dtype=np.uint8)
    assert cv2.imwrite(str(tmp_path / "in.bmp"), grey)
    assert np.array_equal(read_image(tmp_path / "in.bmp").pixels[..., 0], grey)


@pytest.mark.parametrize("alpha", [False, True])
@pytest.mark.parametrize("colours", [1, 3])
@pytest.mark.parametrize("width", [4, 5, 6, 7])  # rows are padded to a multiple of 4 bytes
def test_other_programs_read_exactly_what_was_written(tmp_path: Path, width: int, colours: int, alpha: bool) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (5, width, 4), dtype=np.uint8)
    image = Image(pixels=noise[..., :colours], alpha=noise[..., 3:] if alpha else None)
    assert write_image(tmp_path / "out.bmp", image) == ()
    rgb = np.broadcast_to(image.pixels, (5, width, 3))
    for back in (read_image(tmp_path / "out.bmp").pixels, seen_by_opencv(tmp_path / "out.bmp")):
        assert np.array_equal(np.broadcast_to(back, rgb.shape), rgb)
    with Pillow.open(tmp_path / "out.bmp") as opened:
        assert np.array_equal(np.asarray(opened.convert("RGBA"))[..., :3], rgb)
        assert opened.mode == ("RGBA" if alpha else "L" if colours == 1 else "RGB")
        if alpha:
            assert np.array_equal(np.asarray(opened)[..., 3], noise[..., 3])


def test_a_profile_is_stored_where_the_header_says(tmp_path: Path) -> None:
    image = Image(pixels=np.zeros((4, 5, 3), np.uint8), metadata=((MetadataKind.ICC, profile()),))
    assert write_image(tmp_path / "out.bmp", image) == ()
    data = (tmp_path / "out.bmp").read_bytes()
    # BITMAPV5HEADER: the colour space at 56, and at 112 the offset of the profile, counted from the header.
    assert data[14 + 56:14 + 60] == b"DEBM"
    at, length = struct.unpack_from("<II", data, 14 + 112)
    assert data[14 + at:14 + at + length] == profile()
    assert struct.unpack_from("<I", data, 2)[0] == len(data)
    assert dict(read_image(tmp_path / "out.bmp").metadata) == {MetadataKind.ICC: profile()}


def test_exif_and_xmp_are_reported_as_lost() -> None:
    blocks = ((MetadataKind.EXIF, b"II*\0\x08\0\0\0\0\0\0\0\0\0"), (MetadataKind.XMP, b"<x/>"))
    lost = losses(Path("out.bmp"), Image(pixels=np.zeros((4, 5, 3), np.uint8), metadata=blocks))
    assert lost == tuple(f"The {name} is left behind: BMP has no place for it." for name in ("EXIF", "XMP"))


@pytest.mark.parametrize(("data", "error"), [
    (b"BM", UnreadableImage), (KINDS["24 bits"][:60], UnreadableImage), (KINDS["24 bits"][:-1], UnreadableImage),
    (bmp(24, bytes(84), height=0), UnreadableImage), (bmp(24, bytes(84), size=41), UnreadableImage),
    (bmp(32, bytes(200), compression=4), UnsupportedImage), (bmp(5, bytes(200)), UnsupportedImage)])
def test_a_file_that_is_not_a_complete_bmp_is_refused(tmp_path: Path, data: bytes, error: type[Exception]) -> None:
    with pytest.raises(error, match=r"in\.bmp is a"):
        read_image(saved(tmp_path, data))


@pytest.mark.parametrize("kind", KINDS)
def test_damaged_bytes_give_an_image_or_an_image_error_and_print_nothing(
        tmp_path: Path, kind: str, capfd: pytest.CaptureFixture[str]) -> None:
    random = np.random.default_rng(1)
    for _ in range(60):
        damaged = bytearray(KINDS[kind])
        for at in random.integers(0, len(damaged), random.integers(1, 6)):
            damaged[at] ^= 1 << random.integers(8)
        with contextlib.suppress(UnreadableImage, UnsupportedImage):
            read_image(saved(tmp_path, bytes(damaged)))
    assert capfd.readouterr() == ("", "")
