"""`build-engine --fit`: shapes are taken from the sizes of the images of a folder."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from srn_deploy.engine.options import default_shapes
from srn_deploy.engine_request import EngineRequest
from srn_deploy.errors import OptionError
from srn_deploy.image import Image, read_image, write_image
from srn_deploy.tiling.shapes import ShapeRange
from tests.fakes import NEAREST

SPEC = replace(NEAREST, min_side_px=15)


def test_shapes_are_fitted_to_the_images_of_a_folder_and_small_ones_reflected(tmp_path: Path) -> None:
    picture = read_image(Path(__file__).parent.parent / "benchmarks/pictures/demo.png").as_rgb8()
    for name, height, width in (("a", 40, 60), ("b", 10, 30), ("c", 50, 20)):
        write_image(tmp_path / f"{name}.png", Image(pixels=picture[:height, :width].copy()))
    chosen = EngineRequest(fit=tmp_path).options(SPEC)
    assert chosen.shapes == (ShapeRange(smallest=(15, 20), largest=(50, 60), optimum=(40, 30)),)
    with pytest.raises(OptionError, match="not both"):
        EngineRequest(fit=tmp_path, shapes=("48x48",)).options(SPEC)
    assert EngineRequest().options(SPEC).shapes == (default_shapes(SPEC),)


ONE_SIZE = ShapeRange.of_one((48, 64))


def test_an_engine_of_a_graph_for_one_size_is_built_for_that_size() -> None:
    assert EngineRequest().options(SPEC, ONE_SIZE).shapes == (ONE_SIZE,)
    assert EngineRequest(shapes=("48x64",)).options(SPEC, ONE_SIZE).shapes == (ONE_SIZE,)


def test_other_shapes_of_a_graph_for_one_size_are_refused_before_the_build() -> None:
    with pytest.raises(OptionError, match="takes images of 48x64"):
        EngineRequest(shapes=("64x64..128x128",)).options(SPEC, ONE_SIZE)
