"""Pixels per inch are the same before and after, whatever units the formats use."""

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
    """A resolution as metadata."""
    return ((MetadataKind.RESOLUTION, Resolution(x=Fraction(str(x)), y=Fraction(str(y)), unit=unit).block()),)


def carried(folder: Path, metadata: Metadata, *suffixes: str) -> Metadata:
    """The metadata that is left after a chain of formats."""
    for number, suffix in enumerate(suffixes):
        path = folder / f"{number}{suffix}"
        write_image(path, Image(pixels=PIXELS, metadata=metadata))
        metadata = read_image(path).metadata
    return metadata


@pytest.mark.parametrize("chain", list(itertools.product(HOLDERS, repeat=2)), ids="".join)
@pytest.mark.parametrize("metadata", [of(300, 300), of(72, 72), of(96, 96), of(150, 300), of(1200, 1200)])
def test_integers_per_inch_are_kept_exactly(tmp_path: Path, metadata: Metadata, chain: tuple[str, ...]) -> None:
    assert carried(tmp_path, metadata, *chain) == metadata


@pytest.mark.parametrize("suffix", HOLDERS)
def test_other_programs_find_the_resolution(tmp_path: Path, suffix: str) -> None:
    write_image(tmp_path / f"out{suffix}", Image(pixels=PIXELS, metadata=of(300, 150)))
    with Pillow.open(tmp_path / f"out{suffix}") as opened:
        # PNG and BMP hold integers per metre; half a pixel per metre is 0.0127 per inch.
        assert opened.info["dpi"] == pytest.approx((300, 150), abs=0.5 * 0.0254)


@pytest.mark.parametrize("suffix", HOLDERS)
def test_a_resolution_written_by_pillow_is_read(tmp_path: Path, suffix: str) -> None:
    Pillow.fromarray(PIXELS).save(tmp_path / f"in{suffix}", dpi=(300, 300))
    assert read_image(tmp_path / f"in{suffix}").metadata == of(300, 300)


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif"])
def test_the_aspect_ratio_of_a_pixel_alone_is_kept(tmp_path: Path, suffix: str) -> None:
    metadata = of(2, 1, Unit.NONE)
    assert carried(tmp_path, metadata, suffix) == metadata


@pytest.mark.parametrize(("suffix", "metadata", "reason"), [
    (".webp", of(300, 300), "WebP has no place for it"),
    (".bmp", of(2, 1, Unit.NONE), "no place for the shape of a pixel"),
    (".jpg", of(70_000, 70_000), "from 1 to 65535"),
    (".jpg", of("1/4", "1/4"), "from 1 to 65535"),
])
def test_a_resolution_that_a_format_cannot_hold_is_reported(suffix: str, metadata: Metadata, reason: str) -> None:
    (lost,) = losses(Path(f"out{suffix}"), Image(pixels=PIXELS, metadata=metadata))
    assert lost.startswith("The resolution is left behind: ")
    assert reason in lost


def test_centimetres_are_kept_by_formats_that_have_them(tmp_path: Path) -> None:
    metadata = of(100, 100, Unit.CM)
    assert carried(tmp_path, metadata, ".tif", ".jpg", ".tif") == metadata
    assert carried(tmp_path, metadata, ".png") == of(254, 254)  # the same size of a pixel


def test_a_fraction_is_kept_exactly_by_tiff_and_per_metre_by_png(tmp_path: Path) -> None:
    metadata = of("145/2", "145/2")
    assert carried(tmp_path, metadata, ".tif") == metadata
    assert carried(tmp_path, metadata, ".png") == of("2854/100", "2854/100", Unit.CM)


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif"])  # Pillow always writes a resolution into BMP
def test_square_pixels_of_unknown_size_are_not_metadata(tmp_path: Path, suffix: str) -> None:
    Pillow.fromarray(PIXELS).save(tmp_path / f"in{suffix}")
    assert read_image(tmp_path / f"in{suffix}").metadata == ()


def exif(dpi: int) -> bytes:
    block = Pillow.Exif()
    block[0x010F], block[0x011A], block[0x011B], block[0x0128] = "maker", float(dpi), float(dpi), 2
    return block.tobytes().removeprefix(b"Exif\0\0")


def test_a_resolution_given_only_in_exif_reaches_formats_without_exif(tmp_path: Path) -> None:
    metadata = ((MetadataKind.EXIF, exif(240)),)
    assert carried(tmp_path, metadata, ".webp", ".bmp") == of(240, 240)


def test_webp_loses_no_resolution_that_its_exif_repeats(tmp_path: Path) -> None:
    image = Image(pixels=PIXELS, metadata=((MetadataKind.EXIF, exif(240)), *of(240, 240)))
    assert losses(tmp_path / "out.webp", image) == ()
    other = Image(pixels=PIXELS, metadata=((MetadataKind.EXIF, exif(240)), *of(300, 300)))
    assert losses(tmp_path / "out.webp", other) == ("The resolution is left behind: WebP has no place for it.",)


def test_the_resolution_of_the_format_precedes_that_of_exif(tmp_path: Path) -> None:
    write_image(tmp_path / "out.tif", Image(pixels=PIXELS, metadata=((MetadataKind.EXIF, exif(240)), *of(300, 300))))
    assert dict(read_image(tmp_path / "out.tif").metadata)[MetadataKind.RESOLUTION] == of(300, 300)[0][1]


def test_exif_with_only_an_orientation_gives_no_resolution(tmp_path: Path) -> None:
    write_image(tmp_path / "out.png", Image(pixels=PIXELS, metadata=((MetadataKind.EXIF, exif_of_turn(1)),)))
    assert [kind for kind, _ in read_image(tmp_path / "out.png").metadata] == [MetadataKind.EXIF]


@given(st.integers(1, 2**31 - 1), st.integers(1, 2**31 - 1))
def test_integers_per_metre_are_kept_exactly(x: int, y: int) -> None:
    found = from_per_metre(x, y)
    assert found.per_metre() == (x, y)
    assert from_block(found.block()) == found
