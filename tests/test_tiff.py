"""TIFF of every kind, against what tifffile, Pillow and OpenCV write and read."""

from __future__ import annotations

import contextlib
import itertools
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from PIL import Image as Pillow

from srn_deploy.errors import UnreadableImage, UnsupportedImage, UnwritableImage
from srn_deploy.image import Image, Pixels, check_writable, read_image, write_image
from srn_deploy.image.containers.ifd import longs, shorts, write_directory

HEIGHT, WIDTH = 37, 53
"""Not multiples of any tile or strip below."""
ALPHA = {2: ["unassalpha"], 4: ["unassalpha"]}
LAYOUTS: tuple[dict[str, Any], ...] = ({}, {"tile": (16, 32)}, {"rowsperstrip": 5})
MAX_LEVELS = {8: 255, 16: 65535}


def noise(channels: int, bits: int = 8) -> NDArray[Any]:
    kind = np.uint8 if bits == 8 else np.uint16
    return np.random.default_rng(channels).integers(0, 2**bits, (HEIGHT, WIDTH, channels), dtype=kind)


def samples(image: Image) -> NDArray[Any]:
    """Colour and alpha as the channels of one array."""
    return image.pixels if image.alpha is None else np.concatenate([image.pixels, image.alpha], axis=2)


def written(path: Path, pixels: Pixels, **chosen: Any) -> Path:
    """A TIFF written by tifffile."""
    channels = pixels.shape[2]
    options: dict[str, Any] = {"photometric": "minisblack" if channels < 3 else "rgb", "metadata": None,
                               "planarconfig": None if channels == 1 else "contig", "extrasamples": ALPHA.get(channels)}
    tifffile.imwrite(path, pixels if channels > 1 else pixels[..., 0], **{**options, **chosen})
    return path


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_every_layout_is_read_exactly(tmp_path: Path, channels: int, bits: int) -> None:
    pixels = noise(channels, bits)
    for layout, order, packing in itertools.product(LAYOUTS, "<>", ((None, False), ("zlib", False), ("zlib", True))):
        path = written(tmp_path / "in.tif", pixels, byteorder=order, compression=packing[0], predictor=packing[1],
                       **layout)
        image = read_image(path)
        assert np.array_equal(samples(image), pixels), (layout, order, packing)
        assert image.remarks == ()


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("compression", [1, 5, 8, 32773, 32946])
def test_a_tiff_compressed_by_opencv_is_read_exactly(tmp_path: Path, compression: int, bits: int) -> None:
    pixels = noise(3, bits)
    assert cv2.imwrite(str(tmp_path / "in.tif"), pixels[..., ::-1], [cv2.IMWRITE_TIFF_COMPRESSION, compression])
    assert np.array_equal(read_image(tmp_path / "in.tif").pixels, pixels)


@pytest.mark.parametrize("compression", ["raw", "tiff_lzw", "tiff_adobe_deflate", "packbits"])
@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "I;16"])
def test_a_tiff_written_by_pillow_is_read_exactly(tmp_path: Path, mode: str, compression: str) -> None:
    source = Pillow.fromarray(noise(3))
    page = Pillow.fromarray(noise(1, 16)[..., 0]) if mode == "I;16" else source.convert(mode)
    page.save(tmp_path / "in.tif", compression=compression)
    expected = np.atleast_3d(np.asarray(page.convert({"1": "L", "P": "RGB"}.get(mode, mode))))
    assert np.array_equal(samples(read_image(tmp_path / "in.tif")), expected)


@pytest.mark.parametrize("compression", ["group3", "group4", "tiff_ccitt"])
def test_facsimile_is_read_exactly(tmp_path: Path, compression: str) -> None:
    page = Pillow.fromarray(noise(1)[..., 0]).convert("1")
    page.save(tmp_path / "in.tif", compression=compression)
    assert np.array_equal(read_image(tmp_path / "in.tif").pixels[..., 0], np.asarray(page.convert("L")))


@pytest.mark.parametrize("bits", [2, 4])
def test_grey_of_fewer_bits_is_scaled_to_the_full_range(tmp_path: Path, bits: int) -> None:
    levels = (noise(1)[..., 0] >> (8 - bits)).astype(np.uint8)
    rows = np.packbits(np.unpackbits(levels[..., None], axis=2)[..., 8 - bits:].reshape(HEIGHT, -1), axis=1).tobytes()
    entries = [longs(256, [WIDTH]), longs(257, [HEIGHT]), shorts(258, bits), shorts(259, 1), shorts(262, 1),
               longs(273, [8]), shorts(277, 1), longs(278, [HEIGHT]), longs(279, [len(rows)])]
    at = 8 + len(rows) + len(rows) % 2
    whole = b"II*\0" + at.to_bytes(4, "little") + rows.ljust(at - 8, b"\0") + write_directory(entries, "<", at)
    (tmp_path / "in.tif").write_bytes(whole)
    read = read_image(tmp_path / "in.tif").pixels[..., 0]
    assert np.array_equal(read, levels * (255 // (2**bits - 1)))
    with Pillow.open(tmp_path / "in.tif") as opened:
        assert np.array_equal(np.asarray(opened), read)


@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_jpeg_within_tiff_is_read_as_pillow_reads_it(tmp_path: Path, mode: str) -> None:
    smooth = cv2.GaussianBlur(noise(3), (9, 9), 0)
    Pillow.fromarray(smooth).convert(mode).save(tmp_path / "in.tif", compression="jpeg", quality=90)
    with Pillow.open(tmp_path / "in.tif") as opened:
        expected = np.atleast_3d(np.asarray(opened)).astype(int)
    # Two builds of libjpeg-turbo round alike; any two decoders may differ by one level.
    assert np.abs(read_image(tmp_path / "in.tif").pixels.astype(int) - expected).max() <= 1


@pytest.mark.parametrize("bits", [8, 16])
def test_separate_planes_are_combined(tmp_path: Path, bits: int) -> None:
    pixels = noise(3, bits)
    for layout in LAYOUTS:
        tifffile.imwrite(tmp_path / "in.tif", np.moveaxis(pixels, 2, 0).copy(), photometric="rgb", metadata=None,
                         planarconfig="separate", **layout)
        assert np.array_equal(read_image(tmp_path / "in.tif").pixels, pixels)


@pytest.mark.parametrize("bits", [8, 16])
def test_white_is_zero_is_inverted(tmp_path: Path, bits: int) -> None:
    pixels = noise(1, bits)
    path = written(tmp_path / "in.tif", pixels, photometric="miniswhite")
    assert np.array_equal(read_image(path).pixels, MAX_LEVELS[bits] - pixels)


def test_associated_alpha_is_divided_out_of_the_colour(tmp_path: Path) -> None:
    multiplied = np.array([[[100, 50, 25, 128], [9, 9, 9, 0], [200, 0, 255, 255]]], np.uint8)
    image = read_image(written(tmp_path / "in.tif", multiplied, extrasamples=["assocalpha"]))
    assert image.pixels.tolist() == [[[199, 100, 50], [0, 0, 0], [200, 0, 255]]]
    assert image.alpha is not None
    assert image.alpha[..., 0].tolist() == [[128, 0, 255]]


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("compression", [1, 5])
def test_an_unspecified_channel_is_taken_as_transparency_with_a_remark(
        tmp_path: Path, compression: int, bits: int) -> None:
    pixels = noise(4, bits)
    assert cv2.imwrite(str(tmp_path / "in.tif"), pixels[..., [2, 1, 0, 3]],
                       [cv2.IMWRITE_TIFF_COMPRESSION, compression])
    image = read_image(tmp_path / "in.tif")
    assert np.array_equal(samples(image), pixels)
    assert "taken as transparency" in "".join(image.remarks)


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("alpha", [False, True])
@pytest.mark.parametrize("colours", [1, 3])
def test_other_programs_read_exactly_what_was_written(tmp_path: Path, colours: int, alpha: bool, bits: int) -> None:
    pixels = noise(colours + 1, bits)
    image = Image(pixels=pixels[..., :colours], alpha=pixels[..., colours:] if alpha else None)
    assert write_image(tmp_path / "out.tif", image) == ()
    expected = samples(image)
    assert np.array_equal(np.atleast_3d(tifffile.imread(tmp_path / "out.tif")), expected)
    assert np.array_equal(samples(read_image(tmp_path / "out.tif")), expected)
    if bits == 8:  # Pillow truncates 16 bits of colour to 8
        with Pillow.open(tmp_path / "out.tif") as opened:
            assert np.array_equal(np.atleast_3d(np.asarray(opened)), expected)
    if not alpha:
        unchanged = np.atleast_3d(np.asarray(cv2.imread(str(tmp_path / "out.tif"), cv2.IMREAD_UNCHANGED)))
        assert np.array_equal(unchanged[..., ::-1], expected)


def test_an_image_of_many_strips_is_written_and_read(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (700, 900, 3), dtype=np.uint8)  # more than one strip of 1 MiB
    write_image(tmp_path / "out.tif", Image(pixels=pixels))
    assert np.array_equal(tifffile.imread(tmp_path / "out.tif"), pixels)


@pytest.mark.parametrize(("chosen", "words"), [
    ({"pixels": np.zeros((8, 8), np.float32)}, "floating-point"),
    ({"pixels": np.zeros((8, 8), np.int16)}, "signed"),
    ({"pixels": np.zeros((8, 8), np.uint32)}, "32 bits"),
    ({"pixels": np.zeros((8, 8, 3), np.uint8), "photometric": "cielab"}, "CIELAB"),
    ({"pixels": np.zeros((8, 8, 5), np.uint8), "photometric": "rgb", "extrasamples": [0, 2]}, "5 samples"),
    ({"pixels": np.zeros((8, 8), np.uint8), "compression": "lzma"}, "LZMA"),
    ({"pixels": np.zeros((2, 8, 8), np.uint8), "photometric": "minisblack"}, "several pages"),
])
def test_an_unsupported_variant_is_refused_by_its_name(tmp_path: Path, chosen: dict[str, Any], words: str) -> None:
    tifffile.imwrite(tmp_path / "in.tif", chosen.pop("pixels"), metadata=None, **chosen)
    with pytest.raises(UnsupportedImage, match=words):
        read_image(tmp_path / "in.tif")


def test_more_than_four_gigabytes_are_refused_in_advance_where_the_format_cannot_hold_them() -> None:
    check_writable(Path("out.bmp"), height=30_000, width=44_000)
    with pytest.raises(UnwritableImage, match=r"6\.0 GB"):
        check_writable(Path("out.bmp"), height=40_000, width=50_000)


def test_a_jpeg_in_a_tiff_that_claims_to_be_larger_is_refused_without_being_decoded(tmp_path: Path) -> None:
    Pillow.fromarray(noise(3)).save(tmp_path / "in.tif", compression="jpeg")
    data = bytearray((tmp_path / "in.tif").read_bytes())
    frame = data.index(b"\xff\xc0")
    data[frame + 5:frame + 9] = b"\xff\xdc\xff\xdc"
    (tmp_path / "in.tif").write_bytes(data)
    with pytest.raises(UnreadableImage, match="a different size"):
        read_image(tmp_path / "in.tif")


def test_a_wrong_checksum_of_deflate_is_noticed(tmp_path: Path) -> None:
    path = written(tmp_path / "in.tif", noise(3), compression="zlib")
    with tifffile.TiffFile(path) as tiff:
        page = tiff.pages[0]
        end = page.dataoffsets[-1] + page.databytecounts[-1]
    data = bytearray(path.read_bytes())
    data[end - 1] ^= 1
    path.write_bytes(data)
    with pytest.raises(UnreadableImage, match="damaged TIFF"):
        read_image(path)


def test_photoshop_and_iptc_blocks_are_lost_with_a_remark(tmp_path: Path) -> None:
    tags = [(33723, "B", 4, b"IPTC", True), (37724, "B", 4, b"8BIM", True)]
    tifffile.imwrite(tmp_path / "in.tif", np.zeros((8, 8), np.uint8), metadata=None, extratags=tags)
    assert [remark.partition(": ")[2] for remark in read_image(tmp_path / "in.tif").remarks] == [
        "left behind: IPTC block, 4 bytes; Photoshop's layers, 4 bytes."]


def test_a_thumbnail_does_not_count_as_a_page(tmp_path: Path) -> None:
    with tifffile.TiffWriter(tmp_path / "in.tif") as writer:
        writer.write(noise(3), photometric="rgb", metadata=None)
        writer.write(noise(3)[:8, :8], photometric="rgb", metadata=None, subfiletype=1)
    assert np.array_equal(read_image(tmp_path / "in.tif").pixels, noise(3))


@pytest.mark.parametrize("compression", [1, 5, 8, 32773])
def test_damaged_bytes_give_an_image_or_an_image_error_and_print_nothing(
        tmp_path: Path, compression: int, capfd: pytest.CaptureFixture[str]) -> None:
    assert cv2.imwrite(str(tmp_path / "in.tif"), noise(3), [cv2.IMWRITE_TIFF_COMPRESSION, compression])
    whole, random = (tmp_path / "in.tif").read_bytes(), np.random.default_rng(1)
    for _ in range(120):
        damaged = bytearray(whole)
        for at in random.integers(0, len(damaged), random.integers(1, 6)):
            damaged[at] ^= 1 << random.integers(8)
        (tmp_path / "bad.tif").write_bytes(damaged)
        with contextlib.suppress(UnreadableImage, UnsupportedImage):
            read_image(tmp_path / "bad.tif")
    assert capfd.readouterr() == ("", "")
