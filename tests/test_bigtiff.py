"""BigTIFF, the variant of TIFF for files beyond 4 GiB, read and written."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from PIL import Image as Pillow

from srn_deploy.errors import UnreadableImage
from srn_deploy.image import check_writable, read_image, tiff
from srn_deploy.image.containers import Container, MetadataKind, pack, unpack
from srn_deploy.image.containers.ifd import DIRECTORY8, LONG8, Entry, Tiff, long8s, longs, shorts, write_directory
from tests.test_containers import ALL_BLOCKS, XMP, profile
from tests.test_exif_travels import block, described
from tests.test_tiff import LAYOUTS, noise, samples, written


def big(colours: int, bits: int = 8, *, alpha: bool = False) -> tuple[bytes, NDArray[Any]]:
    """A BigTIFF as it is written for results beyond 4 GiB, and its samples."""
    pixels = noise(colours + alpha, bits)
    encoded = tiff.encode(pixels[..., :colours], pixels[..., colours:] if alpha else None, classic_limit_bytes=0)
    return encoded, pixels


@pytest.mark.parametrize("compression", [None, "zlib"])
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("layout", LAYOUTS, ids=["one strip", "tiles", "strips"])
@pytest.mark.parametrize("bits", [8, 16])
def test_strips_and_tiles_in_both_byte_orders_are_read(
        tmp_path: Path, bits: int, layout: dict[str, Any], order: Literal["<", ">"], compression: str | None) -> None:
    for channels in (1, 4):
        path = written(tmp_path / "in.tif", noise(channels, bits), bigtiff=True, byteorder=order,
                       compression=compression, **layout)
        assert path.read_bytes()[:4] in (b"II+\0", b"MM\0+")
        assert np.array_equal(samples(read_image(path)), noise(channels, bits))


@pytest.mark.parametrize("kind", [1, 5, 8, 32773])
def test_every_compression_of_the_classic_form_is_read(tmp_path: Path, kind: int) -> None:
    assert cv2.imwrite(str(tmp_path / "in.tif"), noise(3), [cv2.IMWRITE_TIFF_COMPRESSION, kind,
                                                           cv2.IMWRITE_TIFF_ROWSPERSTRIP, 5])
    (tmp_path / "big.tif").write_bytes(enlarged((tmp_path / "in.tif").read_bytes()))
    assert np.array_equal(read_image(tmp_path / "big.tif").pixels, read_image(tmp_path / "in.tif").pixels)


def enlarged(data: bytes) -> bytes:
    """The same little-endian TIFF with a directory of BigTIFF at its end."""
    classic = Tiff(data, "<")
    entries = [Entry(tag=entry.tag, kind=LONG8, stored=long8s(0, [value + 8 for value in entry.numbers("<")]).stored)
               if entry.tag == 273 else entry for entry in classic.directory(classic.first).entries.values()]
    body = data[8:] + bytes(len(data) % 2)
    at = 16 + len(body)
    return struct.pack("<4sHHQ", b"II+\0", 8, 0, at) + body + write_directory(entries, "<", at, is_big=True)


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("alpha", [False, True])
@pytest.mark.parametrize("colours", [1, 3])
def test_other_programs_read_a_big_result_exactly(tmp_path: Path, colours: int, alpha: bool, bits: int) -> None:
    encoded, expected = big(colours, bits, alpha=alpha)
    path = tmp_path / "out.tif"
    path.write_bytes(encoded)
    with tifffile.TiffFile(path) as opened:
        assert opened.is_bigtiff
        assert np.array_equal(np.atleast_3d(opened.asarray()), expected)
    assert np.array_equal(samples(read_image(path)), expected)
    if bits == 8:
        with Pillow.open(path) as image:
            assert np.array_equal(np.atleast_3d(np.asarray(image)), expected)
    if not alpha:
        decoded = np.atleast_3d(np.asarray(cv2.imread(str(path), cv2.IMREAD_UNCHANGED)))
        assert np.array_equal(decoded[..., ::-1], expected)


def test_metadata_is_put_into_a_big_result_and_found_by_others(tmp_path: Path) -> None:
    encoded, expected = big(3)
    blocks = ((MetadataKind.EXIF, block()), *ALL_BLOCKS[1:])
    whole = pack(Container.TIFF, encoded, blocks, height=37, width=53, has_alpha=False)
    (tmp_path / "out.tif").write_bytes(whole)
    assert described(tmp_path / "out.tif")["maker"] == "a maker with a long name"
    with tifffile.TiffFile(tmp_path / "out.tif") as opened:
        tags = opened.pages.first.tags
        assert (tags[700].value, tags[34675].value) == (XMP, profile())
        assert tags[34665].value["ISOSpeedRatings"] == 200
    image = read_image(tmp_path / "out.tif")
    found = dict(image.metadata)
    assert np.array_equal(image.pixels, expected)
    assert (found[MetadataKind.XMP], found[MetadataKind.ICC]) == (XMP, profile())
    assert MetadataKind.EXIF in found


def test_exif_in_a_big_file_reaches_the_other_formats(tmp_path: Path) -> None:
    pixels, blocks = big(3)[0], ((MetadataKind.EXIF, block(endian=">")),)
    whole = pack(Container.TIFF, pixels, blocks, height=37, width=53, has_alpha=False)
    exif = dict(unpack(whole, Path("in.tif")).metadata)[MetadataKind.EXIF]
    (tmp_path / "out.png").write_bytes(pack(
        Container.PNG, cv2.imencode(".png", noise(3))[1].tobytes(), ((MetadataKind.EXIF, exif),), height=37, width=53,
        has_alpha=False))
    found = described(tmp_path / "out.png")
    assert (found["maker"], found["inner"][0x8827]) == ("a maker with a long name", "200")
    assert found["gps"][1] == "N"


def test_a_file_below_the_limit_stays_a_classic_tiff() -> None:
    pixels = noise(3)
    packed_bytes = len(tiff.encode(pixels, None))
    assert tiff.encode(pixels, None)[:4] == b"II*\0"
    assert tiff.encode(pixels, None, classic_limit_bytes=packed_bytes)[:4] == b"II*\0"
    assert tiff.encode(pixels, None, classic_limit_bytes=packed_bytes // 2)[:4] == b"II+\0"


def test_a_result_of_more_than_four_gigabytes_may_be_written_as_tiff() -> None:
    check_writable(Path("out.tif"), height=40_000, width=50_000)


def test_every_truncation_of_a_big_file_is_refused() -> None:
    whole = pack(Container.TIFF, big(3)[0], ALL_BLOCKS, height=37, width=53, has_alpha=False)
    for length in range(4, len(whole) - len(profile()) - len(XMP), 3):
        with pytest.raises(UnreadableImage, match="truncated"):
            unpack(whole[:length], Path("cut.tif"))


def test_offsets_and_counts_beyond_the_file_are_damage(tmp_path: Path) -> None:
    huge = struct.pack("<4sHHQ", b"II+\0", 8, 0, 16) + struct.pack("<Q", 2**63) + bytes(100)
    for data in (huge, struct.pack("<4sHHQ", b"II+\0", 8, 0, 2**64 - 1) + bytes(100),
                 huge[:16] + write_directory([longs(256, [9]), longs(257, [9]), shorts(258, 8), shorts(262, 1),
                                              long8s(273, [2**64 - 2]), long8s(279, [2**63])], "<", 16, is_big=True)):
        (tmp_path / "in.tif").write_bytes(data)
        with pytest.raises(UnreadableImage):
            read_image(tmp_path / "in.tif")


def test_a_number_of_64_bits_becomes_one_of_32_where_it_fits() -> None:
    assert long8s(1, [7]).classic("<") == longs(1, [7])
    assert long8s(1, [2**32]).classic("<") is None
    pointer = Entry(tag=1, kind=DIRECTORY8, stored=struct.pack(">Q", 9)).classic(">")
    assert pointer is not None
    assert pointer.numbers(">") == (9,)
