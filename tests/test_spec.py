"""A spec survives its journey."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from srn_deploy.errors import OptionError
from srn_deploy.grid import ESA_GRID
from srn_deploy.spec import Colour, Form, ModelSpec, PixelType, Precision

SPEC = ModelSpec(architecture="srn", options={"scale": 4, "attention": "new", "residual": False}, scale=4,
                 value_range=255.0, min_side_px=15, alignment_px=6, halo_px=48, grids=(ESA_GRID,), colour=Colour.RGB,
                 form=Form.DEPLOY, pixel_type=PixelType.UINT8, precision=Precision.FP16, source_sha256="ab" * 32,
                 licence="MIT", recognised="value range 255 (by trying: 31.0 dB against 22.8)")


def test_a_spec_survives_json() -> None:
    assert ModelSpec.from_json(SPEC.to_json()) == SPEC


def test_a_spec_of_the_first_files_is_read() -> None:
    told = json.loads(SPEC.to_json())
    del told["pools_whole_picture"], told["recognised"]
    assert ModelSpec.from_json(json.dumps(told)) == replace(SPEC, recognised="")


def test_a_spec_in_which_nothing_was_found_by_trying_is_written_as_before() -> None:
    assert "recognised" not in json.loads(replace(SPEC, recognised="").to_json())


def test_enums_come_back_as_enums() -> None:
    assert ModelSpec.from_json(SPEC.to_json()).form is Form.DEPLOY


@pytest.mark.parametrize("text", ["", "{}", "[]", "no json", '{"version": 99}', json.dumps({"version": 1, "scale": 4}),
                                  SPEC.to_json().replace("deploy", "unheard-of")])
def test_what_is_no_spec_is_an_error_with_a_remedy(text: str) -> None:
    with pytest.raises(OptionError, match="xport"):
        ModelSpec.from_json(text)


@pytest.mark.parametrize("wrong", [{"scale": 0}, {"value_range": 0.0}])
def test_an_impossible_spec_is_refused_when_made(wrong: dict[str, Any]) -> None:
    with pytest.raises(OptionError):
        replace(SPEC, **wrong)


def test_what_the_first_versions_could_say_is_written_as_they_did() -> None:
    written = json.loads(SPEC.to_json())
    assert (written["has_esa"], "grids" in written) == (True, False)
    other = replace(SPEC, grids=(replace(ESA_GRID, cell_px=4),))
    written = json.loads(other.to_json())
    assert ("has_esa" in written, [grid["cell_px"] for grid in written["grids"]]) == (False, [4])
    assert ModelSpec.from_json(other.to_json()) == other
