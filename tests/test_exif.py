"""The orientation in EXIF and XMP, in damaged blocks too."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from srn_deploy.image.containers.exif import orientation, upright
from srn_deploy.image.containers.xmp_pixels import upright_xmp


def exif(turn: int, order: str = "<") -> bytes:
    """An EXIF block with an ImageWidth and an Orientation."""
    mark = b"II*\0" if order == "<" else b"MM\0*"
    entries = struct.pack(order + "HHII", 0x0100, 4, 1, 640) + struct.pack(order + "HHIHH", 0x0112, 3, 1, turn, 0)
    return mark + struct.pack(order + "IH", 8, 2) + entries + bytes(4)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("turn", range(1, 9))
def test_the_orientation_is_read_in_both_byte_orders(turn: int, order: str) -> None:
    assert orientation(exif(turn, order)) == turn


@pytest.mark.parametrize("order", ["<", ">"])
def test_upright_changes_the_orientation_and_nothing_else(order: str) -> None:
    assert upright(exif(6, order)) == exif(1, order)


@pytest.mark.parametrize("turn", [0, 9, 65535])
def test_an_impossible_orientation_counts_as_upright(turn: int) -> None:
    assert orientation(exif(turn)) == 1


@given(st.binary(max_size=64), st.integers(0, 60))
def test_damaged_blocks_never_raise_and_keep_their_length(noise: bytes, cut: int) -> None:
    for block in (noise, exif(6)[:cut] + noise, b"II*\0\x08\0\0\0" + noise, b"MM\0*\0\0\0\x08" + noise):
        assert 1 <= orientation(block) <= 8
        assert len(upright(block)) == len(block)


@pytest.mark.parametrize(("packet", "turned"), [
    (b'<rdf:Description tiff:Orientation="6"/>', b'<rdf:Description tiff:Orientation="1"/>'),
    (b"<rdf:Description tiff:Orientation = '8'/>", b"<rdf:Description tiff:Orientation = '1'/>"),
    (b"<tiff:Orientation>3</tiff:Orientation>", b"<tiff:Orientation>1</tiff:Orientation>"),
    (b"<tiff:Make>6</tiff:Make>", b"<tiff:Make>6</tiff:Make>"),
])
def test_an_xmp_packet_is_turned_upright_as_an_attribute_or_an_element(packet: bytes, turned: bytes) -> None:
    assert upright_xmp(packet) == turned
