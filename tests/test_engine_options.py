"""The options of a build, and what makes two engines the same."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from typing import Any

import msgspec
import pytest

from srn_deploy.engine.identity import Identity
from srn_deploy.engine.library import Runtime
from srn_deploy.engine.options import BuildOptions, HardwareCompatibility
from srn_deploy.errors import OptionError
from srn_deploy.spec import Precision
from srn_deploy.tiling.shapes import ShapeRange

SMALL = ShapeRange(smallest=(16, 18), largest=(64, 72), optimum=(32, 36))


def options(**changes: Any) -> BuildOptions:
    return BuildOptions(**{"precision": Precision.FP16, "shapes": (SMALL,), **changes})


def test_shapes_are_read_as_they_are_printed() -> None:
    for text in ("64x64..640x640@339x510", "96x128"):
        assert str(ShapeRange.parse(text)) == text
    assert ShapeRange.parse("16x20..32x40") == ShapeRange(smallest=(16, 20), largest=(32, 40), optimum=(32, 40))
    assert ShapeRange.parse("96x128").is_static


@pytest.mark.parametrize("text", ["64", "64x", "64x64..", "a", "64x64@32x32", "64x64..32x32", "0x4..8x8",
                                  "8x8..16x16@24x8"])
def test_invalid_shapes_are_refused_with_an_example(text: str) -> None:
    with pytest.raises(OptionError) as caught:
        ShapeRange.parse(text)
    assert "339x510" in caught.value.remedy


def test_fitted_shapes_take_every_image_and_are_tuned_for_the_median() -> None:
    assert ShapeRange.fitting([(20, 90), (40, 30), (30, 60)]) == ShapeRange(
        smallest=(20, 30), largest=(40, 90), optimum=(30, 60))
    with pytest.raises(OptionError, match="no image"):
        ShapeRange.fitting([])


@pytest.mark.parametrize("change", [
    {"shapes": ()}, {"largest_batch": 0}, {"optimization_level": 6}, {"compute_capabilities": ("89",)}])
def test_invalid_options_are_refused_when_they_are_made(change: dict[str, Any]) -> None:
    with pytest.raises(OptionError):
        options(**change)


def identity(**changes: Any) -> Identity:
    return Identity(**{"graph_sha256": "a", "options": options(), "runtime": Runtime.TENSORRT, "version": "1",
                       "srn_deploy": "0", "target": "t", **changes})


def test_every_field_of_the_options_changes_the_identity() -> None:
    option_changes: dict[str, Any] = {
        "precision": Precision.FP32, "shapes": (SMALL, SMALL), "largest_batch": 2, "tf32": True,
        "optimization_level": 4, "hardware_compatibility": HardwareCompatibility.AMPERE_PLUS,
        "compute_capabilities": ("8.9",)}
    assert set(option_changes) == {field.name for field in fields(BuildOptions)}
    changes: dict[str, Any] = {"graph_sha256": "b", "runtime": Runtime.TENSORRT_RTX, "version": "2", "srn_deploy": "1",
                               "target": "u"}
    assert {*changes, "options"} == set(Identity.__struct_fields__)
    keys = {identity(options=replace(options(), **{name: value})).key for name, value in option_changes.items()}
    keys |= {identity(**{name: value}).key for name, value in changes.items()}
    assert len(keys - {identity().key}) == len(option_changes) + len(changes)


def test_the_key_of_an_identity_is_that_of_engines_built_by_earlier_versions() -> None:
    assert identity().key == "cf355ee1d60bb33e"
    assert json.loads(msgspec.json.encode(identity()))["flavour"] == "tensorrt"


def test_what_differs_from_a_stored_engine_is_named_field_by_field() -> None:
    assert identity().differences(identity()) == []
    assert identity(version="2").differences(identity()) == ['version: "1" -> "2"']
    assert identity(options=options(tf32=True)).differences(identity()) == ["options.tf32: false -> true"]
