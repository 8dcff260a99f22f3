"""Regions in XMP, such as faces, lie where they lay after the image was enlarged or turned."""

from __future__ import annotations

import pytest

from srn_deploy.image.containers.pixel_map import PixelMap
from srn_deploy.image.containers.xmp_pixels import moved_xmp
from tests.test_pixel_counts import DOUBLED, HEIGHT, WIDTH
from tests.xmp_packets import packet, value

AREA = '<mwg-rs:Area stArea:x="{}" stArea:y="{}" stArea:w="{}" stArea:h="{}" stArea:unit="{}"/>'
LONG_AREA = ("<mwg-rs:Area rdf:parseType='Resource'><stArea:x>{}</stArea:x><stArea:y>{}</stArea:y>"
             "<stArea:w>{}</stArea:w><stArea:h>{}</stArea:h><stArea:unit>{}</stArea:unit></mwg-rs:Area>")
APPLIED = '<mwg-rs:AppliedToDimensions stDim:w="{}" stDim:h="{}" stDim:unit="pixel"/>'


@pytest.mark.parametrize("form", [AREA, LONG_AREA])
def test_a_region_in_pixels_grows_and_one_in_shares_stays(form: str) -> None:
    before = packet(elements=APPLIED.format(64, 32) + form.format(20, 10.5, 8, 4, "pixel")
                    + form.format(0.25, 0.5, 0.1, 0.2, "normalized"))
    after = packet(elements=APPLIED.format(128, 64) + form.format(40, 21.0, 16, 8, "pixel")
                   + form.format(0.25, 0.5, 0.1, 0.2, "normalized"))
    assert moved_xmp(before, DOUBLED) == (after, ())


@pytest.mark.parametrize("form", [AREA, LONG_AREA])
def test_a_region_turns_with_its_image(form: str) -> None:
    quarter = PixelMap(height=HEIGHT, width=WIDTH, new_height=WIDTH, new_width=HEIGHT, turn=6)
    before = packet(elements=APPLIED.format(64, 32) + form.format("0.25", "0.40", "0.10", "0.20", "normalized")
                    + form.format(20, 10, 8, 4, "pixel"))
    after = packet(elements=APPLIED.format(32, 64) + form.format("0.60", "0.25", "0.20", "0.10", "normalized")
                   + form.format(22, 20, 4, 8, "pixel"))
    assert moved_xmp(before, quarter) == (after, ())


@pytest.mark.parametrize(("x", "turned"), [(".25", "0.75"), ("2.5e-1", "0.75"), ("0.2500000000000000000000000", "0.75"),
                                           ("+0.25", "0.75")])
def test_a_share_is_understood_in_every_notation(x: str, turned: str) -> None:
    half = PixelMap(height=HEIGHT, width=WIDTH, new_height=HEIGHT, new_width=WIDTH, turn=3)
    moved, _ = moved_xmp(packet(elements=AREA.format(x, "0.5", "0.1", "0.1", "normalized")), half)
    assert float(str(value(moved, "stArea:x"))) == float(turned)


IPTC = ("<Iptc4xmpExt:ImageRegion><rdf:Bag><rdf:li rdf:parseType='Resource'><Iptc4xmpExt:RegionBoundary "
        "rdf:parseType='Resource'><Iptc4xmpExt:rbShape>polygon</Iptc4xmpExt:rbShape><Iptc4xmpExt:rbUnit>{unit}"
        "</Iptc4xmpExt:rbUnit><Iptc4xmpExt:rbVertices><rdf:Seq><rdf:li rdf:parseType='Resource'><Iptc4xmpExt:rbX>{x}"
        "</Iptc4xmpExt:rbX><Iptc4xmpExt:rbY>{y}</Iptc4xmpExt:rbY></rdf:li></rdf:Seq></Iptc4xmpExt:rbVertices>"
        "</Iptc4xmpExt:RegionBoundary></rdf:li><rdf:li><rdf:Description><Iptc4xmpExt:RegionBoundary "
        "Iptc4xmpExt:rbUnit='{unit}' Iptc4xmpExt:rbX='{x}' Iptc4xmpExt:rbW='{y}'/></rdf:Description></rdf:li></rdf:Bag>"
        "</Iptc4xmpExt:ImageRegion>")


def test_regions_of_the_iptc_in_pixels_grow_and_relative_ones_stay() -> None:
    moved, _ = moved_xmp(packet(elements=IPTC.format(unit="pixel", x=10, y=20)), DOUBLED)
    assert moved == packet(elements=IPTC.format(unit="pixel", x=20, y=40))
    relative = packet(elements=IPTC.format(unit="relative", x=0.1, y=0.2))
    assert moved_xmp(relative, DOUBLED) == (relative, ())


def test_regions_of_the_iptc_in_an_image_that_is_turned_are_left_out_and_named() -> None:
    half = PixelMap(height=HEIGHT, width=WIDTH, new_height=HEIGHT, new_width=WIDTH, turn=3)
    moved, (left,) = moved_xmp(packet(elements=IPTC.format(unit="pixel", x=1, y=2)), half)
    assert b"rbX" not in moved
    assert left.name == "Iptc4xmpExt:ImageRegion of an image that is turned"


def test_a_region_of_microsoft_turns_with_its_image() -> None:
    half = PixelMap(height=HEIGHT, width=WIDTH, new_height=HEIGHT, new_width=WIDTH, turn=3)
    before = packet(attributes='MPReg:Rectangle="0.10, 0.20, 0.30, 0.40"')
    assert value(moved_xmp(before, half)[0], "MPReg:Rectangle") == "0.60, 0.40, 0.30, 0.40"
