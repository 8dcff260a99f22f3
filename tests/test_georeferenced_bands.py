"""What a GeoTIFF says of the place of its pixels, and all other tags, are written by bands as whole."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from srn_deploy.image.output_size import OutputSize
from srn_deploy.inference.result_options import ResultOptions
from srn_deploy.inference.setup import Setup
from srn_deploy.tiling.windows import TileOptions
from tests.banded import BothWays, assert_same
from tests.fakes import NearestBackend
from tests.test_georeference import (
    AREA,
    PIXEL_SCALE,
    POINT,
    RPC,
    SCALE,
    SLANTED,
    TIE,
    TIE_POINTS,
    TRANSFORMATION,
    TagValue,
    corners,
    doubles,
    keys,
    written,
)

OF_STORAGE = {256, 257, 273, 278, 279}
"""Sizes and places of strips: they say how the pixels lie in the file."""

PLACES = {"scale": (doubles(PIXEL_SCALE, *SCALE), doubles(TIE_POINTS, *TIE)),
          "matrix": (doubles(TRANSFORMATION, *SLANTED),),
          "rpc": (doubles(RPC, *(float(number) for number in range(1, 93))),)}


def text(tag: int, value: str) -> tuple[Any, ...]:
    return tag, "s", 0, value, True


OTHERS = (doubles(34736, 6378137.0, 298.25), text(34737, "WGS 84|"), text(42112, "<GDALMetadata/>"),
          text(42113, "-9999"), text(50000, "of nobody's"), (50001, "H", 3, (1, 2, 3), True))
"""Parameters of the keys, what GDAL writes, and private tags."""


def tags_of(path: Path) -> dict[int, Any]:
    with tifffile.TiffFile(path) as opened:
        return {tag.code: tag.value for tag in opened.pages.first.tags if tag.code not in OF_STORAGE}


@pytest.mark.parametrize("size", [OutputSize(), OutputSize(scale=1.5), OutputSize(width=20)], ids=repr)
@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize("raster_type", [AREA, POINT])
@pytest.mark.parametrize("place", PLACES)
def test_every_tag_is_that_of_the_whole(tmp_path: Path, run_both: BothWays, place: str, raster_type: int, big: bool,
                                        size: OutputSize) -> None:
    tags: tuple[TagValue, ...] = (*PLACES[place], *OTHERS)
    source = written(tmp_path, *tags, keys(raster_type), big=big)
    run_both(source, ".tif", Setup(NearestBackend(), tiles=TileOptions(tile=32, halo=0)), ResultOptions(size=size))
    whole, bands = tags_of(tmp_path / "whole.tif"), tags_of(tmp_path / "bands.tif")
    assert bands.keys() == whole.keys()
    for tag, value in whole.items():
        np.testing.assert_array_equal(bands[tag], value, err_msg=str(tag))
    assert bands.keys() >= {tag[0] for tag in tags}
    assert bands[50000] == "of nobody's"
    assert_same(tmp_path / "whole.tif", tmp_path / "bands.tif")
    if place != "rpc":
        np.testing.assert_allclose(corners(tmp_path / "bands.tif"), corners(source), atol=1e-6)


def test_the_world_file_of_a_huge_picture_is_that_of_the_whole(tmp_path: Path, run_both: BothWays) -> None:
    source = written(tmp_path)
    (tmp_path / "in.tfw").write_text("3.0\n0.0\n0.0\n-3.0\n100.5\n200.5\n")
    run_both(source, ".tif", Setup(NearestBackend()), ResultOptions(size=OutputSize(scale=1.5)))
    assert (tmp_path / "bands.tfw").read_text() == (tmp_path / "whole.tfw").read_text()
