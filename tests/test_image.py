"""Reading and writing image files: every kind of image, and every way in which it can fail."""

from __future__ import annotations

import base64
import io
import os
import struct
import threading
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from srn_deploy.errors import ImageError, OptionError, UnreadableImage, UnsupportedImage, UnwritableImage
from srn_deploy.image import Image, check_writable, read_image, write_image
from srn_deploy.image.containers import MetadataKind

SUFFIXES = (".png", ".jpg", ".webp")

GREY, RGB, PALETTE, GREY_ALPHA, RGBA = 0, 2, 3, 4, 6
"""PNG's colour types."""

CMYK_JPEG = base64.b85decode(
    "|JeWT01iQ9Z(?NtWB>pF0095n07C!+0s;d90s{jB0|WyD1O*5M1q1{I3I_)U2n-4g3=0Yi3k?nu5Dg9y4hstq77!5=6crT}3=bC=78Do~6crT"
    "zzyK5o00;mG1Va%3O%VWD5dcdO0RO}Q9{>OW1pxs80RaI300000000010s{mE1_uZU3Jd?l0JRVR0s#X90t5pE1q1{D00Dgg0s{a95d{(<F+m"
    "0sQDFxnaTGFvk)a49Lb1UWQqk}vGh%Xr2?`b$7#SKRCMPH<Dl|1VH#j*uLqtVJM@UIZQ&d$}S6EqEV`OD!XJ~0^b98lfcX)YvgM@{Khlq)al9"
    "QB`mY0~BnxdnmrKYE-sj9NGw6(UkxVgH*!^FkL$H>Xb($mz{*4NnC+Tr5k<mKk)=;`Y5^7Hid_V@Vt`v2Mh4g^C0O#oQ{O8@{r0R2;>{{Vs*{"
    "{YQw{{Xlr{@>Dn!3=-qwtw6c{{V06^-jP4*#")
"""8 x 8, red on the left and white on the right."""


def noise(height: int, width: int, channels: int, bits: int = 8) -> NDArray[Any]:
    kind = np.uint8 if bits == 8 else np.uint16
    return np.random.default_rng(0).integers(0, 2**bits, (height, width, channels), dtype=kind)


def saved(folder: Path, data: bytes, name: str = "in.png") -> Path:
    path = folder / name
    path.write_bytes(data)
    return path


def chunk(kind: bytes, body: bytes) -> bytes:
    """One PNG chunk with its checksum."""
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(rows: Sequence[bytes], width: int, *, depth: int, colour_type: int, extra: bytes = b"") -> bytes:
    """A PNG of unfiltered rows, with `extra` chunks before the pixels."""
    header = struct.pack(">IIBBBBB", width, len(rows), depth, colour_type, 0, 0, 0)
    pixels = zlib.compress(b"".join(b"\0" + row for row in rows))
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + extra + chunk(b"IDAT", pixels) + chunk(b"IEND", b""))


def png_of(pixels: NDArray[np.uint8] | NDArray[np.uint16], *, extra: bytes = b"") -> bytes:
    """A PNG of (H, W, 1 to 4) samples with 8 or 16 bits."""
    kinds = {1: GREY, 2: GREY_ALPHA, 3: RGB, 4: RGBA}
    rows = [row.astype(row.dtype.newbyteorder(">")).tobytes() for row in pixels]
    return png(rows, pixels.shape[1], depth=8 * pixels.itemsize, colour_type=kinds[pixels.shape[2]], extra=extra)


def exif(turn: int) -> bytes:
    """An EXIF block that holds nothing but an orientation."""
    return b"II*\0" + struct.pack("<IHHHIHH", 8, 1, 0x0112, 3, 1, turn, 0) + bytes(4)


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_a_png_of_any_kind_is_read_exactly(tmp_path: Path, channels: int, bits: int) -> None:
    stored = noise(7, 5, channels, bits)
    image = read_image(saved(tmp_path, png_of(stored)))
    colours = channels - (channels in (2, 4))
    assert np.array_equal(image.pixels, stored[..., :colours])
    assert (image.alpha is None) == (colours == channels)
    assert image.alpha is None or np.array_equal(image.alpha, stored[..., colours:])


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("alpha", [False, True])
@pytest.mark.parametrize("colours", [1, 3])
def test_a_png_is_written_and_read_back_exactly(tmp_path: Path, colours: int, alpha: bool, bits: int) -> None:
    pixels = noise(9, 8, colours + 1, bits)
    image = Image(pixels=pixels[..., :colours], alpha=pixels[..., colours:] if alpha else None)
    write_image(tmp_path / "out.png", image)
    back = read_image(tmp_path / "out.png")
    assert np.array_equal(back.pixels, np.broadcast_to(image.pixels, back.pixels.shape))
    assert back.pixels.dtype == pixels.dtype
    assert back.alpha is None if image.alpha is None else np.array_equal(np.asarray(back.alpha), image.alpha)


def test_lossless_webp_keeps_transparent_pixels_too(tmp_path: Path) -> None:
    pixels = noise(9, 8, 4)
    pixels[:4, :, 3] = 0
    write_image(tmp_path / "out.webp", Image(pixels=pixels[..., :3], alpha=pixels[..., 3:]))
    back = read_image(tmp_path / "out.webp")
    assert np.array_equal(back.pixels, pixels[..., :3])
    assert np.array_equal(np.asarray(back.alpha), pixels[..., 3:])


@pytest.mark.parametrize("depth", [1, 2, 4, 8])
def test_a_palette_png_is_read_as_its_colours(tmp_path: Path, depth: int) -> None:
    row = bytes([0b01_00_00_01]) if depth < 8 else bytes([0, 1])
    width = 8 // depth if depth < 8 else 2
    palette = chunk(b"PLTE", bytes([10, 20, 30, 40, 50, 60]))
    indices = {1: [0, 1, 0, 0, 0, 0, 0, 1], 2: [1, 0, 0, 1], 4: [4, 1], 8: [0, 1]}[depth]
    if depth == 4:
        palette = chunk(b"PLTE", bytes([10, 20, 30, 40, 50, 60] * 3))
    image = read_image(saved(tmp_path, png([row], width, depth=depth, colour_type=PALETTE, extra=palette)))
    colours = np.array([[10, 20, 30], [40, 50, 60]])
    assert image.pixels[0].tolist() == colours[[index % 2 for index in indices]].tolist()


def test_a_palette_png_keeps_its_transparent_entries(tmp_path: Path) -> None:
    extra = chunk(b"PLTE", bytes([10, 20, 30, 40, 50, 60])) + chunk(b"tRNS", bytes([128]))
    image = read_image(saved(tmp_path, png([bytes([0, 1])], 2, depth=8, colour_type=PALETTE, extra=extra)))
    assert image.alpha is not None
    assert image.alpha[0, :, 0].tolist() == [128, 255]


@pytest.mark.parametrize(("depth", "row", "key", "levels", "alpha"), [
    (1, bytes([0b01000000]), 1, [0, 255], [255, 0]),
    (4, bytes([0x7F]), 7, [119, 255], [0, 255]),
    (8, bytes([9, 200]), 200, [9, 200], [255, 0]),
    (16, bytes([1, 2, 3, 4]), 0x0304, [0x0102, 0x0304], [65535, 0]),
])
def test_the_transparent_level_of_a_grey_png_becomes_alpha(
        tmp_path: Path, depth: int, row: bytes, key: int, levels: list[int], alpha: list[int]) -> None:
    extra = chunk(b"tRNS", key.to_bytes(2, "big"))
    image = read_image(saved(tmp_path, png([row], 2, depth=depth, colour_type=GREY, extra=extra)))
    assert image.pixels[0, :, 0].tolist() == levels
    assert image.alpha is not None
    assert image.alpha[0, :, 0].tolist() == alpha


@pytest.mark.parametrize("bits", [8, 16])
def test_the_transparent_colour_of_an_rgb_png_becomes_alpha(tmp_path: Path, bits: int) -> None:
    pixels: NDArray[Any] = np.array([[[1, 2, 3], [4, 5, 6]]], np.uint8 if bits == 8 else np.uint16)
    extra = chunk(b"tRNS", bytes([0, 4, 0, 5, 0, 6]))
    image = read_image(saved(tmp_path, png_of(pixels, extra=extra)))
    assert np.array_equal(image.pixels, pixels)
    assert image.alpha is not None
    assert image.alpha[0, :, 0].tolist() == [2**bits - 1, 0]


def test_a_grey_jpeg_stays_grey(tmp_path: Path) -> None:
    write_image(tmp_path / "grey.jpg", Image(pixels=np.full((16, 16, 1), 77, np.uint8)))
    assert read_image(tmp_path / "grey.jpg").pixels.tolist() == np.full((16, 16, 1), 77).tolist()


def test_a_cmyk_jpeg_is_read_as_rgb(tmp_path: Path) -> None:
    pixels = read_image(saved(tmp_path, CMYK_JPEG, "cmyk.jpg")).pixels.astype(int)
    # JPEG rounding in 8 x 8 blocks: a few levels.
    assert np.abs(pixels[:, :3] - [255, 0, 0]).max() <= 8
    assert np.abs(pixels[:, 5:] - 255).max() <= 8


def test_a_jpeg_is_written_with_full_colour_resolution(tmp_path: Path) -> None:
    pixels = np.zeros((16, 16, 3), np.uint8)
    pixels[:, ::2, 0] = 255  # red columns one pixel wide, which halved colour resolution would mix
    write_image(tmp_path / "out.jpg", Image(pixels=pixels))
    # Quality 95 changes such an extreme pattern by a few levels; halved colour resolution by more than 100.
    assert np.abs(read_image(tmp_path / "out.jpg").pixels.astype(int) - pixels).max() <= 16


def test_as_rgb8_repeats_grey_and_rounds_16_bit() -> None:
    grey = Image(pixels=np.array([[[0], [128], [129], [65535]]], np.uint16))
    assert grey.as_rgb8().tolist() == [[[0] * 3, [0] * 3, [1] * 3, [255] * 3]]


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("turn", range(1, 9))
def test_an_image_is_turned_upright_exactly_once(tmp_path: Path, turn: int, suffix: str) -> None:
    pixels = np.zeros((16, 24, 3), np.uint8)
    pixels[:8, :8], pixels[:8, 16:], pixels[8:, :8] = 255, 160, 80
    first, second = tmp_path / f"first{suffix}", tmp_path / f"second{suffix}"
    write_image(first, Image(pixels=pixels, metadata=((MetadataKind.EXIF, exif(turn)),)))
    image = read_image(first)
    write_image(second, image)
    # OpenCV applies the orientation only when asked for colour: an independent reference for both files.
    assert np.array_equal(image.pixels, np.asarray(cv2.imread(str(first), cv2.IMREAD_COLOR_RGB)))
    # A second pass through JPEG changes a pixel by a level or two, a second rotation by 80 or more.
    assert np.abs(np.asarray(cv2.imread(str(second), cv2.IMREAD_COLOR_RGB)).astype(int) - image.pixels).max() <= 4
    assert read_image(second).pixels.shape == image.pixels.shape == ((16, 24, 3) if turn < 5 else (24, 16, 3))


@pytest.mark.parametrize("name", ["missing.png", "folder.png", "file.png/in.png", "x" * 300 + ".png", "nul\0.png"])
def test_a_path_that_cannot_be_read_is_refused_with_a_remedy(tmp_path: Path, name: str) -> None:
    (tmp_path / "folder.png").mkdir()
    saved(tmp_path, b"", "file.png")
    with pytest.raises(UnreadableImage, match="cannot be read"):
        read_image(tmp_path / name)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root can read every file")
def test_a_file_without_read_permission_is_refused(tmp_path: Path) -> None:
    path = saved(tmp_path, png_of(noise(20, 30, 3)))
    path.chmod(0)
    with pytest.raises(UnreadableImage, match="Permission denied"):
        read_image(path)


@pytest.mark.parametrize("name", ["with space.png", "zeilen\numbruch.png", "ümlaut-画像.png", "100%s{}.PNG", "-o.png"])
def test_unusual_file_names_are_read_and_written(tmp_path: Path, name: str) -> None:
    write_image(tmp_path / name, read_image(saved(tmp_path, png_of(noise(20, 30, 3)))))
    assert np.array_equal(read_image(tmp_path / name).pixels, noise(20, 30, 3))


@pytest.mark.parametrize(("name", "wanted", "error", "text"), [
    ("out.gif", {}, UnwritableImage, r"\.gif"),
    ("out", {}, UnwritableImage, "suffix"),
    ("folder.png", {}, UnwritableImage, "is a folder"),
    ("out.webp", {"width": 16384}, UnwritableImage, "16383"),
    ("out.jpg", {"height": 65501}, UnwritableImage, "65500"),
    ("out.png", {"width": 1_000_001}, UnwritableImage, "1000000"),
    ("out.JPEG", {"has_alpha": True}, UnsupportedImage, "transparency"),
    ("out.jpg", {"bits": 16}, UnsupportedImage, "16 bits"),
    ("out.webp", {"bits": 16}, UnsupportedImage, "16 bits"),
])
def test_an_image_that_a_format_cannot_hold_is_refused_in_advance(
        tmp_path: Path, name: str, wanted: dict[str, int], error: type[ImageError], text: str) -> None:
    (tmp_path / "folder.png").mkdir()
    with pytest.raises(error, match=text):
        check_writable(tmp_path / name, **{"height": 8, "width": 8, **wanted})  # type: ignore[arg-type]


@pytest.mark.parametrize(("suffix", "side"), [(".webp", 16383), (".jpg", 65500), (".png", 1_000_000)])
def test_the_longest_side_of_each_format_can_be_written_and_read(tmp_path: Path, suffix: str, side: int) -> None:
    write_image(tmp_path / f"long{suffix}", Image(pixels=np.zeros((1, side, 1), np.uint8)))
    assert read_image(tmp_path / f"long{suffix}").width == side


@pytest.mark.parametrize("quality", [0, -1, 101])
def test_an_impossible_quality_is_refused(tmp_path: Path, quality: int) -> None:
    with pytest.raises(OptionError, match=str(quality)):
        write_image(tmp_path / "out.jpg", Image(pixels=noise(8, 8, 3)), quality=quality)


def test_a_lower_quality_makes_a_smaller_file(tmp_path: Path) -> None:
    for suffix in (".jpg", ".webp"):
        for name, quality in (("good", 90), ("poor", 20)):
            write_image(tmp_path / f"{name}{suffix}", Image(pixels=noise(64, 64, 3)), quality=quality)
        assert (tmp_path / f"poor{suffix}").stat().st_size < (tmp_path / f"good{suffix}").stat().st_size


def test_an_interrupted_write_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def half(path: Path, data: bytes) -> int:
        with io.FileIO(path, "w") as file:
            file.write(data[:len(data) // 2])
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "write_bytes", half)
    with pytest.raises(KeyboardInterrupt):
        write_image(tmp_path / "out.png", Image(pixels=noise(8, 8, 3)))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["file.png/out.png", "x" * 300 + ".png", "nul\0.png"])
def test_a_path_that_cannot_be_written_is_refused_with_a_remedy(tmp_path: Path, name: str) -> None:
    saved(tmp_path, b"", "file.png")
    with pytest.raises(UnwritableImage, match="cannot be written"):
        write_image(tmp_path / name, Image(pixels=noise(8, 8, 3)))


def test_broken_files_print_nothing_and_restore_the_log_level_of_opencv(
        tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    level = cv2.utils.logging.getLogLevel()
    whole = cv2.imencode(".webp", noise(20, 30, 3))[1].tobytes()
    path = saved(tmp_path, whole[:24] + bytes(len(whole) - 24), "bad.webp")

    def read_many() -> None:
        for _ in range(50):
            with pytest.raises(UnreadableImage):
                read_image(path)

    threads = [threading.Thread(target=read_many) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert cv2.utils.logging.getLogLevel() == level
    assert capfd.readouterr() == ("", "")
