"""Images that are read by rows are those that are read whole, with the same metadata and the same errors."""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Iterator
from contextlib import closing
from math import inf
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image as PillowImage

from srn_deploy.errors import SrnDeployError, UnreadableImage
from srn_deploy.image import Image, read_image, write_image
from srn_deploy.image.bands import files, tiff_rows
from srn_deploy.image.bands.files import RowFile, row_file
from tests.banded import waves
from tests.picture_table import INFORMATION, KINDS, Information, Kind
from tests.test_image import chunk, png

HEIGHT, WIDTH = 77, 53


def opened(path: Path) -> RowFile | None:
    return row_file(path, lambda height, width: True, max_megapixels=inf)


def assert_rows_are_the_whole(path: Path) -> None:
    whole, found = read_image(path), opened(path)
    assert found is not None
    assert found.header.metadata == whole.metadata
    assert found.header.remarks == whole.remarks
    assert found.header.pixels.shape == whole.pixels.shape
    with closing(found.open()) as rows:
        for start, stop in ((0, 1), (1, 30), (28, 61), (61, whole.height), (0, whole.height), (40, 41)):
            colour, alpha = rows.read(start, stop)
            np.testing.assert_array_equal(colour, whole.pixels[start:stop])
            assert colour.dtype == whole.pixels.dtype
            assert (alpha is None) == (whole.alpha is None)
            if alpha is not None and whole.alpha is not None:
                np.testing.assert_array_equal(alpha, whole.alpha[start:stop])


@pytest.mark.parametrize("suffix", [".png", ".tif"])
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_rows_have_the_pixels_of_the_whole(tmp_path: Path, kind: Kind, suffix: str) -> None:
    write_image(path := tmp_path / f"in{suffix}", waves(HEIGHT, WIDTH, kind))
    assert_rows_are_the_whole(path)


@pytest.mark.parametrize("suffix", [".png", ".tif"])
@pytest.mark.parametrize("information", [each for each in INFORMATION if "orientation" not in each.name],
                         ids=lambda information: information.name)
def test_rows_have_the_metadata_of_the_whole(tmp_path: Path, information: Information, suffix: str) -> None:
    write_image(path := tmp_path / f"in{suffix}",
                Image(pixels=waves(HEIGHT, WIDTH, KINDS[2]).pixels, metadata=(information.make(KINDS[2]),)))
    assert_rows_are_the_whole(path)


def filtered(rows: np.ndarray[Any, Any], pixel_bytes: int) -> Iterator[bytes]:
    """Rows of bytes with a different PNG filter each, filtered the slow way of the specification."""
    above = [0] * rows.shape[1]
    for number, row in enumerate(rows.tolist()):
        kind, stored = number % 5, []
        for at, value in enumerate(row):
            left, corner = (row[at - pixel_bytes], above[at - pixel_bytes]) if at >= pixel_bytes else (0, 0)
            paeth = min((left, above[at], corner), key=lambda near: abs(left + above[at] - corner - near))
            stored.append((value - (0, left, above[at], (left + above[at]) // 2, paeth)[kind]) % 256)
        yield bytes([kind, *stored])
        above = row


@pytest.mark.parametrize(("depth", "colour_type", "samples"), [
    (1, 0, 1), (2, 0, 1), (4, 0, 1), (8, 0, 1), (16, 0, 1), (8, 2, 3), (16, 2, 3), (1, 3, 1), (4, 3, 1), (8, 3, 1),
    (8, 4, 2), (16, 4, 2), (8, 6, 4), (16, 6, 4)])
@pytest.mark.parametrize("transparent", [False, True])
def test_a_png_of_any_kind_and_filter_is_read_by_rows(tmp_path: Path, depth: int, colour_type: int, samples: int,
                                                      transparent: bool) -> None:
    row_bytes = (WIDTH * depth * samples + 7) // 8
    rows = np.random.default_rng(depth + colour_type).integers(0, 256, (HEIGHT, row_bytes))
    extra = chunk(b"PLTE", bytes(range(3 * 2**depth))) if colour_type == 3 and depth < 8 else \
        chunk(b"PLTE", bytes(range(256)) * 3) if colour_type == 3 else b""
    if transparent:
        key = {0: struct.pack(">H", 1), 2: struct.pack(">3H", *rows[0, :3]), 3: b"\x80\x10"}.get(colour_type)
        extra += b"" if key is None else chunk(b"tRNS", key)
    path = tmp_path / "in.png"
    head = struct.pack(">IIBBBBB", WIDTH, HEIGHT, depth, colour_type, 0, 0, 0)
    packed = zlib.compress(b"".join(filtered(rows, max(1, depth * samples // 8))))
    pieces = b"".join(chunk(b"IDAT", packed[at:at + 999]) for at in range(0, len(packed), 999))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + extra + pieces + chunk(b"IEND", b""))
    assert_rows_are_the_whole(path)


@pytest.mark.parametrize("compression", [None, "lzw", "deflate", "packbits", "jpeg"])
@pytest.mark.parametrize("options", [{}, {"rowsperstrip": 7}, {"rowsperstrip": 20}, {"tile": (16, 32)},
                                     {"planarconfig": "separate", "rowsperstrip": 9}, {"bigtiff": True},
                                     {"byteorder": ">"}, {"predictor": True}],
                         ids=["plain", "7 rows", "20 rows", "tiles", "planes", "big", "big-endian", "predictor"])
def test_a_tiff_of_strips_tiles_or_planes_is_read_by_rows(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch, compression: str | None, options: dict[str, Any]) -> None:
    if ("predictor" in options and compression not in ("lzw", "deflate")) or (compression and not _can(compression)):
        pytest.skip("tifffile does not write it")
    monkeypatch.setattr(tiff_rows, "_CUT_BYTES", WIDTH * 3 * 4)
    pixels = waves(HEIGHT, WIDTH, KINDS[2]).pixels
    is_planar = "planarconfig" in options
    stored = np.ascontiguousarray(pixels.transpose(2, 0, 1)) if is_planar else pixels
    tifffile.imwrite(path := tmp_path / "in.tif", stored, photometric="rgb",
                      compression=compression, metadata=None, **options)
    assert_rows_are_the_whole(path)


def _can(compression: str) -> bool:
    """Whether tifffile writes it here: LZW, PackBits and JPEG need another package."""
    try:
        tifffile.TIFF.COMPRESSORS[tifffile.COMPRESSION[compression.upper() if compression != "deflate" else
                                                       "ADOBE_DEFLATE"]]
    except (KeyError, ImportError):
        return False
    return True


@pytest.mark.parametrize("mode", ["1", "L", "P", "I;16", "RGB", "RGBA", "LA"])
@pytest.mark.parametrize("compression", ["raw", "tiff_lzw", "tiff_adobe_deflate", "packbits", "jpeg", "group4"])
def test_what_pillow_writes_is_read_by_rows(tmp_path: Path, mode: str, compression: str) -> None:
    picture = PillowImage.fromarray(waves(HEIGHT, WIDTH, KINDS[2]).as_rgb8()).convert(mode if mode != "I;16" else "L")
    if (compression == "group4") != (mode == "1") or (compression == "jpeg" and mode not in ("L", "RGB")):
        pytest.skip("there is no such TIFF")
    picture = picture.convert("I;16") if mode == "I;16" else picture
    picture.save(path := tmp_path / "in.tif", compression=compression)
    assert_rows_are_the_whole(path)


def test_an_interlaced_png_is_not_read_by_rows(tmp_path: Path) -> None:
    path = tmp_path / "in.png"
    head = struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 1)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"\0\7"))
                     + chunk(b"IEND", b""))
    assert read_image(path).pixels.item() == 7
    assert opened(path) is None


@pytest.mark.parametrize("suffix", [".jpg", ".webp", ".bmp"])
def test_other_formats_are_not_read_by_rows(tmp_path: Path, suffix: str) -> None:
    write_image(path := tmp_path / f"in{suffix}", waves(HEIGHT, WIDTH, KINDS[2]))
    assert opened(path) is None


def test_a_turned_image_and_one_of_very_large_strips_are_not_read_by_rows(tmp_path: Path,
                                                                          monkeypatch: pytest.MonkeyPatch) -> None:
    turned = next(each for each in INFORMATION if "orientation" in each.name).make(KINDS[2])
    for suffix in (".png", ".tif"):
        write_image(path := tmp_path / f"in{suffix}",
                    Image(pixels=waves(HEIGHT, WIDTH, KINDS[2]).pixels, metadata=(turned,)))
        assert opened(path) is None
    write_image(path, waves(HEIGHT, WIDTH, KINDS[2]))
    monkeypatch.setattr(tiff_rows, "LARGEST_PART_BYTES", HEIGHT * WIDTH * 3 - 1)
    assert opened(path) is None


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_a_damaged_file_has_the_error_of_the_whole(tmp_path: Path, suffix: str) -> None:
    write_image(path := tmp_path / f"in{suffix}", waves(HEIGHT, WIDTH, KINDS[2]))
    data = path.read_bytes()
    third = len(data) // 3
    found = None
    for damaged in (data[:-20], data[:len(data) // 2], data[:30], data[:third] + b"????" + data[third + 4:]):
        path.write_bytes(damaged)
        with pytest.raises(SrnDeployError) as whole:
            read_image(path)
        with pytest.raises(type(whole.value)) as by_rows:
            if (found := opened(path)) is None:  # a TIFF without its directory: read_image says so
                read_image(path)
            else:
                with closing(found.open()) as rows:
                    rows.read(0, HEIGHT)
        assert by_rows.value.message == whole.value.message
    assert found is not None or suffix == ".png"


def test_a_png_with_too_few_pixels_is_damaged(tmp_path: Path) -> None:
    rows = [bytes([0, *range(WIDTH)])] * HEIGHT
    path = tmp_path / "in.png"
    path.write_bytes(png([row[1:] for row in rows], WIDTH, depth=8, colour_type=0))
    data = bytearray(path.read_bytes())
    data[20:24] = struct.pack(">I", HEIGHT + 1)
    data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
    path.write_bytes(data)
    found = opened(path)
    assert found is not None
    with closing(found.open()) as opened_rows, pytest.raises(UnreadableImage, match="fewer pixels"):
        opened_rows.read(0, HEIGHT + 1)


@pytest.mark.parametrize("suffix", [".png", ".tif"])
@pytest.mark.parametrize(("change", "says"), [
    (lambda path: path.unlink(), "was removed or renamed while it was read"),
    (lambda path: path.write_bytes(path.read_bytes() + b"more"), "grew by 4 bytes while it was read"),
    (lambda path: os.truncate(path, 100), "shrank by .* bytes while it was read"),
    (lambda path: os.utime(path, ns=(0, 0)), "was changed while it was read")],
    ids=["vanishes", "grows", "shrinks", "changes"])
def test_a_file_that_changes_while_it_is_read_is_named_with_what_happened(tmp_path: Path, suffix: str, change: Any,
                                                                          says: str) -> None:
    write_image(path := tmp_path / f"in{suffix}", waves(HEIGHT, WIDTH, KINDS[2]))
    found = opened(path)
    assert found is not None
    with closing(found.open()) as rows:
        rows.read(0, 10)
        change(path)
        with pytest.raises(UnreadableImage, match=says):
            rows.read(10, HEIGHT)
    with pytest.raises(UnreadableImage, match=says):
        found.open()


def test_files_that_are_not_wanted_are_not_looked_at_further(tmp_path: Path) -> None:
    write_image(path := tmp_path / "in.tif", waves(HEIGHT, WIDTH, KINDS[2]))
    asked: list[tuple[int, int]] = []

    def no(height: int, width: int) -> bool:
        asked.append((height, width))
        return False

    assert files.row_file(path, no, max_megapixels=inf) is None
    assert asked == [(HEIGHT, WIDTH)]


def test_the_limit_of_megapixels_holds(tmp_path: Path) -> None:
    write_image(path := tmp_path / "in.tif", waves(HEIGHT, WIDTH, KINDS[2]))
    with pytest.raises(UnreadableImage, match="megapixels"):
        row_file(path, lambda height, width: True, max_megapixels=0.001)
