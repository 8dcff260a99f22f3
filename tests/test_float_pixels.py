"""A graph of 8-bit pixels as one of float pixels: the same network, without its rounding."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import numpy as np
import onnx
import pytest

from srn_deploy.backends.onnx_runtime import OnnxRuntimeBackend
from srn_deploy.errors import GraphError
from srn_deploy.graph.float_pixels import with_float_pixels
from srn_deploy.graph.onnx_file import save_graph, spec_of, stamped
from srn_deploy.registry.shipped import ShippedModel, default_model, shipped_models
from srn_deploy.spec import PixelType
from srn_deploy.verification.sample_images import sample_images

ROUNDING = 1e-4
"""Of 0..1: the values are multiplied by 255 and back, and float32 adds in another order."""


@pytest.fixture(scope="module")
def shipped() -> ShippedModel:
    """The default model, whose graph was exported with either kind of pixels."""
    return shipped_models()[default_model()]


def test_it_is_the_graph_that_an_export_with_float_pixels_gives(shipped: ShippedModel, tmp_path: Path) -> None:
    save_graph(with_float_pixels(onnx.load(shipped.graph.checked_path())), tmp_path / "float.onnx")
    image = next(sample_images())[None].astype(np.float32) / np.float32(255)
    with closing(OnnxRuntimeBackend(tmp_path / "float.onnx")) as made, \
            closing(OnnxRuntimeBackend(shipped.float_graph.checked_path())) as exported:
        assert np.abs(made.run(image) - exported.run(image)).max() <= ROUNDING


def test_the_given_graph_is_not_changed_and_the_copy_says_what_it_takes(shipped: ShippedModel) -> None:
    graph = onnx.load(shipped.graph.checked_path())
    before = graph.SerializeToString()
    assert spec_of(with_float_pixels(graph), "copy").pixel_type is PixelType.FLOAT32
    assert graph.SerializeToString() == before


def test_a_graph_with_float_pixels_stays_as_it_is(shipped: ShippedModel) -> None:
    graph = onnx.load(shipped.float_graph.checked_path())
    assert with_float_pixels(graph) is graph


def test_a_graph_of_another_form_is_an_error(shipped: ShippedModel) -> None:
    graph = onnx.load(shipped.graph.checked_path())
    del graph.graph.node[0]
    with pytest.raises(GraphError, match="does not begin and end as a deploy graph"):
        with_float_pixels(stamped(graph, spec_of(graph, "graph")))
