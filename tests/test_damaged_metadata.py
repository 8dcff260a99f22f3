"""Profiles and XMP that are damaged inside intact chunks are ignored with a remark; other metadata is kept."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest

from srn_deploy.image import Image, read_image, write_image
from srn_deploy.image.containers import MetadataKind
from srn_deploy.image.containers.png import MAX_INFLATED_BYTES
from tests.test_containers import XMP, chunk, noise, profile, saved, with_chunks

CICP = chunk(b"cICP", bytes([9, 16, 0, 1]))
GAMMA = chunk(b"gAMA", bytes([0, 1, 0x86, 0xA0]))


def of_profile(packed: bytes) -> bytes:
    """The chunk of a deflated profile."""
    return chunk(b"iCCP", b"ICC\0\0" + packed)


def of_xmp(packed: bytes) -> bytes:
    """The chunk of a deflated XMP packet."""
    return chunk(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + packed)


def with_too_large_a_length() -> bytes:
    return struct.pack(">I", 601) + profile()[4:]


def without_signature() -> bytes:
    return profile().replace(b"acsp", b"none")


def test_next_to_a_profile_cicp_is_kept_and_lower_ranking_chunks_are_not(tmp_path: Path) -> None:
    once = read_image(saved(tmp_path, with_chunks(CICP + of_profile(zlib.compress(profile())) + GAMMA)))
    assert dict(once.metadata) == {MetadataKind.ICC: profile(), MetadataKind.PNG_COLOUR: CICP}
    assert write_image(tmp_path / "out.png", once) == ()
    assert dict(read_image(tmp_path / "out.png").metadata) == dict(once.metadata)


def test_losing_cicp_next_to_a_profile_is_reported(tmp_path: Path) -> None:
    once = read_image(saved(tmp_path, with_chunks(CICP + of_profile(zlib.compress(profile())))))
    (lost,) = write_image(tmp_path / "out.jpg", once)
    assert "PNG colour description is left behind" in lost


@pytest.mark.parametrize(("damaged", "name"), [
    (of_profile(zlib.compress(profile())[:-9]), "iCCP"),
    (of_profile(b"no stream"), "iCCP"),
    (of_profile(zlib.compress(bytes(600))), "iCCP"),
    (of_profile(zlib.compress(with_too_large_a_length())), "iCCP"),
    (of_profile(zlib.compress(without_signature())), "iCCP"),
    (of_xmp(zlib.compress(XMP)[:-9]), "iTXt"),
    (of_xmp(b"no stream"), "iTXt"),
    (of_xmp(zlib.compress(bytes(MAX_INFLATED_BYTES) + XMP)), "iTXt"),
])
def test_damage_inside_an_intact_chunk_is_reported_and_ignored(tmp_path: Path, damaged: bytes, name: str) -> None:
    path = saved(tmp_path, with_chunks(damaged))
    image = read_image(path)
    assert image.metadata == ()
    assert image.remarks == (f"{path}: the damaged chunk {name} of the PNG is ignored.",)


def test_if_the_profile_is_damaged_the_other_colour_chunks_count(tmp_path: Path) -> None:
    image = read_image(saved(tmp_path, with_chunks(of_profile(zlib.compress(without_signature())) + GAMMA)))
    assert image.metadata == ((MetadataKind.PNG_COLOUR, GAMMA),)


@pytest.mark.parametrize(("suffix", "name"), [(".jpg", "JPEG"), (".webp", "WebP"), (".tif", "TIFF"), (".bmp", "BMP")])
@pytest.mark.parametrize("damage", [with_too_large_a_length, without_signature])
def test_a_damaged_profile_is_reported_and_ignored_in_every_format(
        tmp_path: Path, suffix: str, name: str, damage: Callable[[], bytes]) -> None:
    path = tmp_path / f"in{suffix}"
    write_image(path, Image(pixels=noise(8, 8, 3), metadata=((MetadataKind.ICC, profile()),)))
    whole = path.read_bytes()
    assert profile() in whole
    path.write_bytes(whole.replace(profile(), damage()))
    image = read_image(path)
    assert dict(image.metadata).get(MetadataKind.ICC) is None
    assert image.remarks == (f"{path}: the damaged colour profile of the {name} is ignored.",)


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp", ".tif", ".bmp"])
def test_a_profile_that_is_padded_is_kept(tmp_path: Path, suffix: str) -> None:
    padded = profile() + bytes(4)
    write_image(tmp_path / f"in{suffix}", Image(pixels=noise(8, 8, 3), metadata=((MetadataKind.ICC, padded),)))
    image = read_image(tmp_path / f"in{suffix}")
    assert (dict(image.metadata)[MetadataKind.ICC], image.remarks) == (padded, ())
