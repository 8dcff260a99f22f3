"""XMP packets are changed in single values, whatever their form and encoding; what is not XML is refused."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from srn_deploy.image.containers import xmp
from srn_deploy.image.containers.pixel_map import PixelMap
from srn_deploy.image.containers.xmp import Edit, Property, edited
from srn_deploy.image.containers.xmp_pixels import moved_xmp, upright_xmp, without_extension, without_lost_parts
from tests.xmp_packets import as_attributes, as_elements, packet, sequence

FULL = packet('tiff:ImageWidth="64" GPano:FullPanoWidthPixels = \'64\' hdrgm:Version="1.0"',
              sequence("exif:SubjectArea", 3, 4) + '<mwg-rs:Area stArea:x="1" stArea:y="2" stArea:unit="pixel"/>')
MAP = PixelMap(height=32, width=64, new_height=64, new_width=128)


def widths_of_nine(found: list[Property]) -> Iterator[Edit]:
    for one in found:
        if one.name == "tiff:ImageWidth":
            yield Edit(one.values[0].start, one.values[0].end, "9")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"])
@pytest.mark.parametrize("form", [as_attributes, as_elements])
def test_a_value_is_changed_in_every_encoding(form: object, encoding: str) -> None:
    assert callable(form)
    plain = form({"tiff:ImageWidth": "64", "dc:title": "ä > &lt; 漢"}).decode()
    changed = edited(plain.encode(encoding), widths_of_nine)
    assert changed is not None
    assert changed.decode(encoding) == plain.replace("64", "9", 1)


def test_without_edits_the_very_bytes_are_returned() -> None:
    assert edited(FULL, lambda found: []) is FULL


ATTACK = b'<!DOCTYPE x [<!ENTITY a "64"><!ENTITY b "' + b"&a;" * 50 + b'">]>'


@pytest.mark.parametrize("damaged", [
    ATTACK + as_elements({"tiff:ImageWidth": "&b;"}), FULL[:-60], b"", b"<a>", b"tiff:ImageWidth=64",
    b"<a>" * 100_000, b"<a" + b" b='1'" * 2 + b"/>", "<é/>".encode("latin-1")],
    ids=["entities", "cut", "empty", "open", "text", "deep", "twice", "latin"])
def test_what_is_not_well_formed_or_out_of_bounds_is_refused(damaged: bytes) -> None:
    assert edited(damaged, lambda found: []) is None


def test_the_number_of_elements_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(xmp, "_MOST_ELEMENTS", 10)
    assert edited(b"<r>" + b"<a/>" * 9 + b"</r>", lambda found: []) is not None
    assert edited(b"<r>" + b"<a/>" * 10 + b"</r>", lambda found: []) is None


def test_an_edit_within_what_is_taken_out_is_dropped() -> None:
    def change(found: list[Property]) -> list[Edit]:
        return [*widths_of_nine(found), *(Edit(one.start, one.end, "") for one in found if one.name.endswith(":title"))]

    nested = as_elements({"dc:title": "<tiff:ImageWidth>1</tiff:ImageWidth>", "tiff:ImageWidth": "1"})
    changed = edited(nested, change)
    assert changed == nested.replace(b"<dc:title><tiff:ImageWidth>1</tiff:ImageWidth></dc:title>", b"").replace(
        b">1<", b">9<")


@given(st.binary(max_size=40), st.integers(0, len(FULL)), st.integers(0, 12))
def test_damaged_packets_never_raise(noise: bytes, at: int, cut: int) -> None:
    damaged = FULL[:at] + noise + FULL[at + cut:]
    for turn in (1, 6):
        moved_xmp(damaged, PixelMap(height=3, width=4, new_height=6, new_width=8, turn=turn))
    cleaned, _ = without_lost_parts(damaged)
    upright_xmp(cleaned)
    without_extension(damaged)
    moved_xmp(cleaned, MAP)


def test_a_damaged_packet_that_may_count_pixels_is_left_behind_and_another_one_kept() -> None:
    counting = as_attributes({"tiff:ImageWidth": "64"})[:-40].replace(b"</rdf:RDF>", b"")
    assert without_lost_parts(counting) == (b"", (("XMP that is damaged", len(counting)),))
    assert without_lost_parts(b"<a>no end") == (b"<a>no end", ())
