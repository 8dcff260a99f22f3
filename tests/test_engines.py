"""Engines built by TensorRT-RTX, which needs no GPU for that: their contents, and that none is built twice."""

from __future__ import annotations

import hashlib
import logging
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import onnx
import pytest

from srn_deploy.engine import build as build_module
from srn_deploy.engine.build import GraphToBuild, build_engine, read_graph
from srn_deploy.engine.library import Library, Runtime, open_library
from srn_deploy.engine.monitor import Phase
from srn_deploy.engine.options import BuildOptions, HardwareCompatibility
from srn_deploy.engine.store import EngineStore
from srn_deploy.engine_request import EngineRequest, request_engine
from srn_deploy.errors import (
    DamagedEngine,
    DeviceUnavailable,
    EngineError,
    EngineNotBuilt,
    GraphWithoutSpec,
    MissingPackage,
    NotHalfPrecision,
    OptionError,
)
from srn_deploy.graph.export import ExportOptions, export_graph
from srn_deploy.graph.onnx_file import save_graph, spec_of
from srn_deploy.registry.resolve import resolve
from srn_deploy.registry.shipped import shipped_models
from srn_deploy.spec import Form, Precision
from srn_deploy.tiling.shapes import ShapeRange
from tests.networks import seeded_network
from tests.optional import TENSORRT_RTX

SMALL = ShapeRange(smallest=(16, 18), largest=(64, 72), optimum=(32, 36))


@pytest.fixture(scope="module")
def library() -> Library:
    pytest.importorskip("tensorrt_rtx", reason=TENSORRT_RTX)
    return open_library("tensorrt-rtx")


@pytest.fixture
def said(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    """What the package logs, from INFO on."""
    caplog.set_level(logging.INFO, "srn_deploy")
    return caplog


@pytest.fixture
def store(tmp_path: Path) -> EngineStore:
    return EngineStore(tmp_path / "engines")


def graph_of(form: Form = Form.DEPLOY, **options: Any) -> GraphToBuild:
    """The graph of a small seeded network."""
    loaded = seeded_network(scale=2, channels=8, esa_channels=4, blocks=1, **options)
    graph = export_graph(loaded, ExportOptions(form=form))
    data = graph.SerializeToString()
    return GraphToBuild(name="tiny", data=data, sha256=hashlib.sha256(data).hexdigest(), spec=spec_of(graph, "tiny"))


@pytest.fixture(scope="module")
def tiny() -> GraphToBuild:
    return graph_of()


def options(**changes: Any) -> BuildOptions:
    return BuildOptions(**{"precision": Precision.FP16, "shapes": (SMALL,), **changes})


@pytest.mark.parametrize("precision", [Precision.FP32, Precision.FP16])
@pytest.mark.parametrize("form", [Form.DEPLOY, Form.PORTABLE])
@pytest.mark.parametrize("shapes", [SMALL, ShapeRange.parse("48x57")], ids=["dynamic", "static"])
def test_every_kind_of_graph_is_built_in_the_requested_precision(
        library: Library, store: EngineStore, form: Form, precision: Precision, shapes: ShapeRange) -> None:
    graph = graph_of(form)
    built = build_engine(graph, options(precision=precision, shapes=(shapes,), largest_batch=2), library, store)
    kind = {Precision.FP16: "HALF", Precision.FP32: "FLOAT"}[precision]
    assert set(built.manifest.convolutions) == {kind}
    assert len(built.plan()) == built.manifest.engine_bytes > 10_000
    assert built.spec.precision is precision
    assert built.manifest.certificate is None


@pytest.mark.parametrize("kwargs", [{"attention": "none"}, {"attention": "old"}, {"last_conv": True}])
def test_every_network_of_the_family_can_be_built(library: Library, store: EngineStore, kwargs: dict[str, Any]) -> None:
    built = build_engine(graph_of(**kwargs), options(), library, store)
    assert set(built.manifest.convolutions) == {"HALF"}


@pytest.mark.parametrize("name", sorted(shipped_models()))
def test_the_shipped_models_can_be_built_in_half_precision(library: Library, store: EngineStore, name: str) -> None:
    pytest.importorskip("tensorrt_rtx", reason=TENSORRT_RTX)
    built = request_engine(name, EngineRequest(precision=Precision.FP16, runtime="tensorrt-rtx"), store)
    assert set(built.manifest.convolutions) == {"HALF"}


def test_the_published_checkpoint_is_exported_and_built_and_all_its_26_convolutions_are_half(
        library: Library, store: EngineStore, data: Path) -> None:
    checkpoint = data / "checkpoints/wnxbwyc__SRN/team25_srn.pt"
    built = request_engine(str(checkpoint), EngineRequest(precision=Precision.FP16, runtime="tensorrt-rtx"), store)
    assert built.manifest.convolutions == {"HALF": 26}
    assert built.manifest.name == "team25_srn"


def test_an_engine_that_is_there_is_not_built_again_and_another_one_says_why(
        library: Library, store: EngineStore, tiny: GraphToBuild, monkeypatch: pytest.MonkeyPatch,
        said: pytest.LogCaptureFixture) -> None:
    first = build_engine(tiny, options(), library, store)
    with monkeypatch.context() as patch:
        patch.setattr(build_module, "_built", lambda *_: pytest.fail("it was built again"))
        again = build_engine(tiny, options(), library, store)
    assert again == first
    build_engine(tiny, options(optimization_level=2), library, store)
    assert said.messages == ["Building: there is no engine of this model.", f"{first.path} is already built.",
                             "Building: options.optimization_level: 3 -> 2."]


def test_a_plan_with_one_changed_byte_is_not_loaded_but_built_again(
        library: Library, store: EngineStore, tiny: GraphToBuild, said: pytest.LogCaptureFixture) -> None:
    built = build_engine(tiny, options(), library, store)
    plan = bytearray(built.path.read_bytes())
    plan[len(plan) // 2] ^= 1
    built.path.write_bytes(plan)
    with pytest.raises(DamagedEngine, match="was not loaded"):
        built.plan()
    build_engine(tiny, options(), library, store)
    assert said.messages[-1] == "Building: the stored one is damaged."
    assert store.open(built.path).plan()


BUILDER = """
import logging, sys
from pathlib import Path
from srn_deploy.engine.build import build_engine, read_graph
from srn_deploy.engine.library import open_library
from srn_deploy.engine.options import BuildOptions
from srn_deploy.tiling.shapes import ShapeRange
from srn_deploy.engine.store import EngineStore
logging.basicConfig(stream=sys.stdout, level=logging.INFO, format="%(message)s")
graph, library = read_graph(Path(sys.argv[1])), open_library("tensorrt-rtx")
sys.stdin.readline()
build_engine(graph, BuildOptions(shapes=(ShapeRange.parse("48x48"),)), library, EngineStore(Path(sys.argv[2])))
"""


def test_two_processes_that_want_the_same_engine_build_one(
        library: Library, store: EngineStore, tmp_path: Path) -> None:
    graph = onnx.load_from_string(graph_of().data)
    save_graph(graph, tmp_path / "tiny.onnx")
    command = [sys.executable, "-c", BUILDER, str(tmp_path / "tiny.onnx"), str(store.folder)]
    builders = [subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    for builder in builders:
        assert builder.stdin is not None
        builder.stdin.write("go\n")
        builder.stdin.flush()
    said = sorted(builder.communicate()[0].splitlines()[-1] for builder in builders)
    assert [line.endswith("is already built.") for line in said] == [True, False]  # "/" sorts before "B"
    assert said[1].startswith("Building:")
    assert len(store.engines()) == 1


def test_ctrl_c_ends_the_build_and_leaves_nothing(library: Library, store: EngineStore, tiny: GraphToBuild) -> None:
    def pressed(phase: Phase) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build_engine(tiny, options(), library, store, on_phase=pressed)
    assert [path.name for path in store.folder.iterdir()] == [".locks"]


def test_the_phases_of_a_build_are_reported_and_the_outermost_ends_at_its_last_step(
        library: Library, store: EngineStore, tiny: GraphToBuild) -> None:
    seen: list[Phase] = []
    build_engine(tiny, options(), library, store, on_phase=seen.append)
    outermost = [phase for phase in seen if phase.parent is None]
    assert [phase.step for phase in outermost] == sorted(phase.step for phase in outermost)
    assert outermost[-1].step == outermost[-1].steps > 1
    assert {phase.parent for phase in seen} > {None, outermost[0].name} - {None}


def test_a_graph_whose_convolutions_stay_in_fp32_is_refused_as_an_fp16_engine(
        library: Library, store: EngineStore, tiny: GraphToBuild, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build_module, "_in_precision", lambda graph, precision: (graph.data, graph.spec))
    with pytest.raises(NotHalfPrecision, match="FLOAT"):
        build_engine(tiny, options(), library, store)
    assert store.engines() == []


def test_an_fp32_engine_cannot_be_built_from_an_fp16_graph(
        library: Library, store: EngineStore, tiny: GraphToBuild) -> None:
    data, spec = build_module._in_precision(tiny, Precision.FP16)
    half = GraphToBuild(name="half", data=data, sha256=hashlib.sha256(data).hexdigest(), spec=spec)
    with pytest.raises(OptionError, match="computes in FP16 already"):
        build_engine(half, options(precision=Precision.FP32), library, store)
    assert EngineRequest().options(spec).precision is Precision.FP16
    assert set(build_engine(half, options(), library, store).manifest.convolutions) == {"HALF"}


def test_files_that_are_not_graphs_are_refused(tmp_path: Path) -> None:
    for name, content in (("empty.onnx", b""), ("noise.onnx", bytes(range(256)))):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(EngineNotBuilt, match=name):
            read_graph(tmp_path / name)
    with pytest.raises(EngineNotBuilt, match="cannot be read"):
        read_graph(tmp_path / "absent.onnx")


def test_a_graph_without_a_spec_is_refused(tmp_path: Path) -> None:
    node = onnx.helper.make_node("Identity", ["a"], ["b"])
    value = [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1]) for name in "ab"]
    onnx.save(onnx.helper.make_model(onnx.helper.make_graph([node], "g", value[:1], value[1:])), tmp_path / "bare.onnx")
    with pytest.raises(GraphWithoutSpec):
        read_graph(tmp_path / "bare.onnx")


def test_shapes_below_what_the_network_takes_are_refused(
        library: Library, store: EngineStore, tiny: GraphToBuild) -> None:
    with pytest.raises(OptionError, match="below 15 px"):
        build_engine(tiny, options(shapes=(ShapeRange.parse("14x14..64x64"),)), library, store)


def test_options_that_a_runtime_does_not_have_are_refused(
        library: Library, store: EngineStore, tiny: GraphToBuild) -> None:
    with pytest.raises(OptionError, match=r"cannot build for compute capability 1\.0") as caught:
        build_engine(tiny, options(compute_capabilities=("1.0",)), library, store)
    assert "8.9" in caught.value.remedy
    with pytest.raises(OptionError, match="hardware compatibility"):
        build_engine(tiny, options(hardware_compatibility=HardwareCompatibility.AMPERE_PLUS), library, store)
    with pytest.raises(OptionError, match="TensorRT builds for the GPU"):
        build_engine(tiny, options(compute_capabilities=("8.9",)), Library(runtime=Runtime.TENSORRT, trt=library.trt),
                     store)


def test_an_engine_can_be_built_for_named_gpus(library: Library, store: EngineStore, tiny: GraphToBuild) -> None:
    built = build_engine(tiny, options(compute_capabilities=("8.9", "12.0")), library, store)
    assert built.manifest.identity.target == "8.9, 12.0"


def test_without_a_driver_tensorrt_is_not_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("srn_deploy.engine.library.why_no_gpu", lambda: "no NVIDIA driver")
    with pytest.raises(DeviceUnavailable, match="no NVIDIA driver") as caught:
        open_library("tensorrt")
    assert "--runtime tensorrt-rtx" in caught.value.remedy


def test_without_the_library_the_error_names_the_pip_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tensorrt_rtx", None)
    with pytest.raises((MissingPackage, EngineNotBuilt), match="tensorrt-rtx") as caught:
        open_library("tensorrt-rtx")
    assert "'.[tensorrt-rtx]'" in caught.value.remedy
    with pytest.raises(OptionError, match="no runtime 'cuda'"):
        open_library("cuda")


def test_a_version_that_is_not_supported_is_refused(monkeypatch: pytest.MonkeyPatch, library: Library) -> None:
    monkeypatch.setattr(library.trt, "__version__", "2.0.0")
    with pytest.raises(EngineNotBuilt, match=r"tensorrt-rtx 2\.0\.0 is not supported"):
        open_library("tensorrt-rtx")


def test_pruning_removes_damaged_and_half_written_engines(
        library: Library, store: EngineStore, tiny: GraphToBuild) -> None:
    kept = build_engine(tiny, options(), library, store)
    damaged = build_engine(tiny, options(tf32=True), library, store)
    damaged.path.write_bytes(b"broken")
    orphan, part = store.folder / "tiny-fp16-0123456789abcdef.json", store.folder / ".srn-part-0123.engine"
    orphan.write_text("{}")
    part.touch()
    os.utime(part, (0, 0))
    written = store.folder / ".srn-part-4567.engine"  # by another process, now
    written.touch()
    removed = store.prune()
    assert {path.name for path in removed} == {damaged.path.name, orphan.name, part.name}
    assert [engine.path for engine in store.engines()] == [kept.path]
    assert store.prune(everything=True) == [kept.path]
    assert {path.name for path in store.folder.iterdir()} == {".locks", written.name}


def test_a_folder_that_cannot_be_made_is_an_error_with_the_variable_to_set(
        library: Library, tmp_path: Path, tiny: GraphToBuild) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(EngineError, match="cannot be used") as caught:
        build_engine(tiny, options(), library, EngineStore(tmp_path / "file"))
    assert "SRN_CACHE" in caught.value.remedy


def test_the_default_model_is_what_is_built_without_a_name(library: Library, store: EngineStore) -> None:
    built = request_engine(None, EngineRequest(shapes=("48x48",), runtime="tensorrt-rtx"), store)
    assert built.manifest.name == resolve().path.stem
