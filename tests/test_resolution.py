"""Pixels per inch: the same before and after, whatever the formats count on."""

from __future__ import annotations

import itertools
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image as Pillow

from srn_deploy.image import Image, losses, read_image, write_image
from srn_deploy.image.containers import Metadata, MetadataKind
from srn_deploy.image.containers.resolution import Resolution, Unit, from_block, from_per_metre
from tests.test_containers import exif as exif_of_turn

HOLDERS = (".png", ".jpg", ".tif", ".bmp")
PIXELS = np.zeros((9, 11, 3), np.uint8)


def of(x: object, y: object, unit: Unit = Unit.INCH) -> Metadata:
    """One block."""
    return ((MetadataKind.RESOLUTION, Resolution(x=Fraction(str(x)), y=Fraction(str(y)), unit=unit).block()),)


def carried(folder: Path, metadata: Metadata, *suffixes: str) -> Metadata:
    """What is left behind a chain of formats."""
    for number, suffix in enumerate(suffixes):
        path = folder / f"{number}{suffix}"
        write_image(path, Image(pixels=PIXELS, metadata=metadata))
        metadata = read_image(path).metadata
    return metadata


@pytest.mark.parametrize("chain", list(itertools.product(HOLDERS, repeat=2)), ids="".join)
@pytest.mark.parametrize("metadata", [of(300, 300), of(72, 72), of(96, 96), of(150, 300), of(1200, 1200)])
def test_whole_dots_per_inch_stay_what_they_are(tmp_path: Path, metadata: Metadata, chain: tuple[str, ...]) -> None:
    assert carried(tmp_path, metadata, *chain) == metadata


@pytest.mark.parametrize("suffix", HOLDERS)
def test_other_readers_see_it(tmp_path: Path, suffix: str) -> None:
    write_image(tmp_path / f"out{suffix}", Image(pixels=PIXELS, metadata=of(300, 150)))
    with Pillow.open(tmp_path / f"out{suffix}") as opened:
        # PNG and BMP count whole dots on the metre, of which half a one is 0.0127 on the inch.
        assert opened.info["dpi"] == pytest.approx((300, 150), abs=0.5 * 0.0254)


@pytest.mark.parametrize("suffix", HOLDERS)
def test_what_pillow_writes_is_understood(tmp_path: Path, suffix: str) -> None:
    Pillow.fromarray(PIXELS).save(tmp_path / f"in{suffix}", dpi=(300, 300))
    assert read_image(tmp_path / f"in{suffix}").metadata == of(300, 300)


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif"])
def test_the_shape_of_a_pixel_alone_is_kept(tmp_path: Path, suffix: str) -> None:
    metadata = of(2, 1, Unit.NONE)
    assert carried(tmp_path, metadata, suffix) == metadata


@pytest.mark.parametrize(("suffix", "metadata", "reason"), [
    (".webp", of(300, 300), "WebP has no place for it"),
    (".bmp", of(2, 1, Unit.NONE), "no place for the shape of a pixel"),
    (".jpg", of(70_000, 70_000), "from 1 to 65535"),
    (".jpg", of("1/4", "1/4"), "from 1 to 65535"),
])
def test_what_a_format_cannot_tell_is_told(suffix: str, metadata: Metadata, reason: str) -> None:
    (told,) = losses(Path(f"out{suffix}"), Image(pixels=PIXELS, metadata=metadata))
    assert told.startswith("The resolution is left behind: ")
    assert reason in told


def test_centimetres_stay_centimetres_where_the_format_has_them(tmp_path: Path) -> None:
    metadata = of(100, 100, Unit.CM)
    assert carried(tmp_path, metadata, ".tif", ".jpg", ".tif") == metadata
    assert carried(tmp_path, metadata, ".png") == of(254, 254)  # the same length of a pixel


def test_a_fraction_is_kept_exactly_by_tiff_and_to_the_metre_by_png(tmp_path: Path) -> None:
    metadata = of("145/2", "145/2")
    assert carried(tmp_path, metadata, ".tif") == metadata
    assert carried(tmp_path, metadata, ".png") == of("2854/100", "2854/100", Unit.CM)


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif"])  # Pillow always writes a resolution into BMP
def test_square_pixels_of_no_size_are_nothing_to_carry(tmp_path: Path, suffix: str) -> None:
    Pillow.fromarray(PIXELS).save(tmp_path / f"in{suffix}")
    assert read_image(tmp_path / f"in{suffix}").metadata == ()


def exif(dpi: int) -> bytes:
    block = Pillow.Exif()
    block[0x010F], block[0x011A], block[0x011B], block[0x0128] = "maker", float(dpi), float(dpi), 2
    return block.tobytes().removeprefix(b"Exif\0\0")


def test_a_resolution_that_only_exif_tells_reaches_formats_without_exif(tmp_path: Path) -> None:
    metadata = ((MetadataKind.EXIF, exif(240)),)
    assert carried(tmp_path, metadata, ".webp", ".bmp") == of(240, 240)


def test_webp_loses_nothing_where_its_exif_says_the_same(tmp_path: Path) -> None:
    image = Image(pixels=PIXELS, metadata=((MetadataKind.EXIF, exif(240)), *of(240, 240)))
    assert losses(tmp_path / "out.webp", image) == ()
    other = Image(pixels=PIXELS, metadata=((MetadataKind.EXIF, exif(240)), *of(300, 300)))
    assert losses(tmp_path / "out.webp", other) == ("The resolution is left behind: WebP has no place for it.",)


def test_the_formats_own_word_goes_before_exif(tmp_path: Path) -> None:
    write_image(tmp_path / "out.tif", Image(pixels=PIXELS, metadata=((MetadataKind.EXIF, exif(240)), *of(300, 300))))
    assert dict(read_image(tmp_path / "out.tif").metadata)[MetadataKind.RESOLUTION] == of(300, 300)[0][1]


def test_an_orientation_alone_says_nothing_of_the_resolution(tmp_path: Path) -> None:
    write_image(tmp_path / "out.png", Image(pixels=PIXELS, metadata=((MetadataKind.EXIF, exif_of_turn(1)),)))
    assert [kind for kind, _ in read_image(tmp_path / "out.png").metadata] == [MetadataKind.EXIF]


@given(st.integers(1, 2**31 - 1), st.integers(1, 2**31 - 1))
def test_whole_numbers_per_metre_come_back(x: int, y: int) -> None:
    found = from_per_metre(x, y)
    assert found.per_metre() == (x, y)
    assert from_block(found.block()) == found
