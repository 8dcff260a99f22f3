"""A graph of another tool goes the whole road: it is upscaled, exported, described, or refused with the reason."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import onnx
import pytest

from srn_deploy.benchmark.ways import Task, candidates_of
from srn_deploy.errors import GraphError, OptionError, UnprovenNetwork
from srn_deploy.external import is_external, with_spec
from srn_deploy.external.foreign_graph import prepare_graph
from srn_deploy.external.request import ExternalAnswer, ExternalRequest
from srn_deploy.external.store import KeptGraph
from srn_deploy.image import Image, read_image, write_image
from srn_deploy.registry.resolve import resolve_file
from srn_deploy.spec import ModelSpec, Precision
from tests.commands import srn_deploy
from tests.foreign_graphs import SCALE, Kind, written


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("other")
    write_image(place / "in.png", Image(pixels=np.random.default_rng(0).integers(0, 256, (50, 61, 3), dtype=np.uint8)))
    return place


@pytest.fixture(scope="module")
def exported(folder: Path) -> Path:
    other = written(Kind(value_range=255.0), folder)
    done = srn_deploy("export", other, "-o", folder / "mine.onnx",
                      environment={**os.environ, "SRN_CACHE": str(folder / "cache")})
    assert done.returncode == 0, done.stderr
    assert "value range 255" in done.stderr
    assert "Against the original: worst difference" in done.stderr
    return folder / "mine.onnx"


def test_what_was_found_out_stands_in_the_copy(exported: Path) -> None:
    assert not is_external(resolve_file(exported))
    spec = ModelSpec.from_json(onnx.load(exported).metadata_props[0].value)
    assert (spec.scale, spec.value_range, spec.origin) == (SCALE, 255.0, f"graph {_other(exported).name}")
    assert spec.recognised.startswith("value range 255 (by trying")


def _other(exported: Path) -> Path:
    [other] = [path for path in exported.parent.glob("*.onnx") if path != exported]
    return other


def test_upscale_takes_the_graph_as_it_is_and_gives_what_the_copy_gives(exported: Path, folder: Path) -> None:
    for model, name in ((exported, "a.png"), (_other(exported), "b.png")):
        done = srn_deploy("upscale", folder / "in.png", folder / name, "--model", model, "--guard", "off",
                          environment={**os.environ, "SRN_CACHE": str(folder / "cache")})
        assert done.returncode == 0, done.stderr
    images = [read_image(folder / name).as_rgb8() for name in ("a.png", "b.png")]
    assert images[0].shape == (50 * SCALE, 61 * SCALE, 3)
    np.testing.assert_array_equal(images[0], images[1])


def test_bench_times_the_graph_under_its_own_name(
        exported: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SRN_CACHE", str(folder / "cache"))
    task = Task(device="cpu", size=(24, 32), batches=(1,), every_way=False, precision=Precision.FP32)
    with ExitStack() as opened:
        found = next(candidates_of(str(_other(exported)), task, opened))
    assert (found.name, found.cost) == ("other, graph, resident, batch 1", None)


def test_other_weights_beside_the_same_graph_are_another_model(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[list[str]] = []
    other = written(Kind(), tmp_path)

    def remembered(request: ExternalRequest, identity: Sequence[str]) -> KeptGraph:
        seen.append(list(identity))
        return KeptGraph(path=other, answer=ExternalAnswer())

    monkeypatch.setattr("srn_deploy.external.store.kept_graph", remembered)
    onnx.save_model(onnx.load(other), other, save_as_external_data=True, location="other.data", size_threshold=0)
    with_spec(resolve_file(other))
    content = (tmp_path / "other.data").read_bytes()
    (tmp_path / "other.data").write_bytes(content[::-1])
    with_spec(resolve_file(other))
    assert seen[0] != seen[1]
    assert seen[0][0] == seen[1][0]


def request(path: Path, **known: object) -> ExternalRequest:
    return ExternalRequest(source=str(path), output="", **known)  # type: ignore[arg-type]  # its fields


def test_a_graph_that_restores_nothing_is_refused_unless_it_is_trusted(tmp_path: Path) -> None:
    other = written(Kind(value_range=255.0), tmp_path)
    model = onnx.load(other)
    for tensor in model.graph.initializer:
        if len(tensor.dims) == 1:
            array = onnx.numpy_helper.to_array(tensor)
            tensor.CopyFrom(onnx.numpy_helper.from_array(array + np.float32(40), tensor.name))
    onnx.save(model, other)
    with pytest.raises(UnprovenNetwork, match="does not super-resolve") as caught:
        prepare_graph(request(other))
    assert "--trust" in caught.value.remedy


@pytest.mark.parametrize(("settings", "message"), [
    ({"colour": "rgb"}, "has no option colour"), ({"scale": "two"}, "scale cannot be 'two'"),
    ({"scale": "3"}, "enlarges by 2, not by 3")])
def test_wrong_settings_of_a_graph_are_refused(tmp_path: Path, settings: dict[str, str], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        prepare_graph(request(written(Kind(), tmp_path), settings=settings))


def test_a_graph_with_two_outputs_is_refused(tmp_path: Path) -> None:
    other = written(Kind(), tmp_path)
    model = onnx.load(other)
    model.graph.node.append(onnx.helper.make_node("Identity", [model.graph.output[0].name], ["second"]))
    model.graph.output.append(onnx.helper.make_tensor_value_info("second", onnx.TensorProto.FLOAT, None))
    onnx.save(model, other)
    with pytest.raises(GraphError, match="2 outputs"):
        prepare_graph(request(other))
