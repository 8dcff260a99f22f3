"""Engines, built for real by TensorRT-RTX, which needs no GPU for it: what they are, and that one build is enough."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import onnx
import pytest

from srn_deploy.engine import build as build_module
from srn_deploy.engine.build import Source, build_engine, read_source
from srn_deploy.engine.library import Flavour, Library, open_library
from srn_deploy.engine.monitor import Phase
from srn_deploy.engine.options import BuildOptions, HardwareCompatibility, default_shapes
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
from srn_deploy.image import Image, read_image, write_image
from srn_deploy.registry.shipped import find_graph, shipped_models
from srn_deploy.spec import Form, Precision
from srn_deploy.tiling.shapes import ShapeRange
from tests.networks import seeded_network

SMALL = ShapeRange(smallest=(16, 18), largest=(64, 72), optimum=(32, 36))


@pytest.fixture(scope="module")
def library() -> Library:
    pytest.importorskip("tensorrt_rtx")
    return open_library("tensorrt-rtx")


@pytest.fixture
def store(tmp_path: Path) -> EngineStore:
    return EngineStore(tmp_path / "engines")


def source_of(form: Form = Form.DEPLOY, **options: Any) -> Source:
    """The graph of a small seeded network."""
    loaded = seeded_network(scale=2, channels=8, esa_channels=4, blocks=1, **options)
    graph = export_graph(loaded, ExportOptions(form=form))
    return Source(name="tiny", data=graph.SerializeToString(), spec=spec_of(graph, "tiny"))


@pytest.fixture(scope="module")
def tiny() -> Source:
    return source_of()


def options(**changes: Any) -> BuildOptions:
    return BuildOptions(**{"precision": Precision.FP16, "shapes": (SMALL,), **changes})


@pytest.mark.parametrize("precision", list(Precision))
@pytest.mark.parametrize("form", [Form.DEPLOY, Form.PORTABLE])
@pytest.mark.parametrize("shapes", [SMALL, ShapeRange.parse("48x57")], ids=["dynamic", "static"])
def test_every_kind_of_graph_becomes_an_engine_that_computes_in_what_was_asked(
        library: Library, store: EngineStore, form: Form, precision: Precision, shapes: ShapeRange) -> None:
    source = source_of(form)
    built = build_engine(source, options(precision=precision, shapes=(shapes,), largest_batch=2), library, store)
    kind = {Precision.FP16: "HALF", Precision.FP32: "FLOAT"}[precision]
    assert set(built.manifest.convolutions) == {kind}
    assert len(built.plan()) == built.manifest.engine_bytes > 10_000
    assert built.manifest.spec["precision"] == precision
    assert built.manifest.certificate is None


@pytest.mark.parametrize("kwargs", [{"attention": "none"}, {"attention": "old"}, {"last_conv": True}])
def test_every_network_of_the_family_can_be_built(library: Library, store: EngineStore, kwargs: dict[str, Any]) -> None:
    built = build_engine(source_of(**kwargs), options(), library, store)
    assert set(built.manifest.convolutions) == {"HALF"}


@pytest.mark.parametrize("name", sorted(shipped_models()))
def test_the_shipped_models_can_be_built_in_half_precision(library: Library, store: EngineStore, name: str) -> None:
    pytest.importorskip("tensorrt_rtx")
    built = request_engine(name, EngineRequest(precision=Precision.FP16, runtime="tensorrt-rtx"), store)
    assert set(built.manifest.convolutions) == {"HALF"}


def test_the_published_checkpoint_is_exported_and_built_and_all_its_26_convolutions_are_half(
        library: Library, store: EngineStore, data: Path) -> None:
    checkpoint = data / "checkpoints/wnxbwyc__SRN/team25_srn.pt"
    built = request_engine(str(checkpoint), EngineRequest(precision=Precision.FP16, runtime="tensorrt-rtx"), store)
    assert built.manifest.convolutions == {"HALF": 26}
    assert built.manifest.name == "team25_srn"


def test_an_engine_that_is_there_is_not_built_again_and_another_one_says_why(
        library: Library, store: EngineStore, tiny: Source, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    first = build_engine(tiny, options(), library, store, tell=told.append)
    with monkeypatch.context() as patch:
        patch.setattr(build_module, "_built", lambda *_: pytest.fail("it was built again"))
        again = build_engine(tiny, options(), library, store, tell=told.append)
    assert again == first
    build_engine(tiny, options(optimization_level=2), library, store, tell=told.append)
    assert told == ["Building: there is none of this model.", f"Already built: {first.path}",
                    "Building: options.optimization_level: 3 -> 2."]


def test_one_changed_byte_is_refused_before_loading_and_built_anew(
        library: Library, store: EngineStore, tiny: Source) -> None:
    built = build_engine(tiny, options(), library, store)
    plan = bytearray(built.path.read_bytes())
    plan[len(plan) // 2] ^= 1
    built.path.write_bytes(plan)
    with pytest.raises(DamagedEngine, match="was not loaded"):
        built.plan()
    told: list[str] = []
    build_engine(tiny, options(), library, store, tell=told.append)
    assert told == ["Building: the stored one is damaged."]
    assert store.open(built.path).plan()


TWIN = """
import sys
from pathlib import Path
from srn_deploy.engine.build import build_engine, read_source
from srn_deploy.engine.library import open_library
from srn_deploy.engine.options import BuildOptions
from srn_deploy.tiling.shapes import ShapeRange
from srn_deploy.engine.store import EngineStore
source, library = read_source(Path(sys.argv[1])), open_library("tensorrt-rtx")
sys.stdin.readline()
build_engine(source, BuildOptions(shapes=(ShapeRange.parse("48x48"),)), library, EngineStore(Path(sys.argv[2])),
             tell=lambda line: print(line.split(":")[0]))
"""


def test_two_processes_that_want_the_same_engine_build_one(
        library: Library, store: EngineStore, tmp_path: Path) -> None:
    graph = onnx.load_from_string(source_of().data)
    save_graph(graph, tmp_path / "tiny.onnx")
    command = [sys.executable, "-c", TWIN, str(tmp_path / "tiny.onnx"), str(store.folder)]
    twins = [subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    for twin in twins:
        assert twin.stdin is not None
        twin.stdin.write("go\n")
        twin.stdin.flush()
    said = sorted(twin.communicate()[0].strip() for twin in twins)
    assert said == ["Already built", "Building"]
    assert len(store.engines()) == 1


def test_ctrl_c_ends_the_build_and_leaves_nothing(library: Library, store: EngineStore, tiny: Source) -> None:
    def pressed(phase: Phase) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build_engine(tiny, options(), library, store, on_phase=pressed)
    assert [path.name for path in store.folder.iterdir()] == [".locks"]


def test_the_phases_of_a_build_are_told_and_the_outermost_ends_at_its_end(
        library: Library, store: EngineStore, tiny: Source) -> None:
    told: list[Phase] = []
    build_engine(tiny, options(), library, store, on_phase=told.append)
    outermost = [phase for phase in told if phase.parent is None]
    assert [phase.step for phase in outermost] == sorted(phase.step for phase in outermost)
    assert outermost[-1].step == outermost[-1].steps > 1
    assert {phase.parent for phase in told} > {None, outermost[0].name} - {None}


def test_a_graph_whose_convolutions_stay_in_single_precision_is_no_half_precision_engine(
        library: Library, store: EngineStore, tiny: Source, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build_module, "_in_precision", lambda source, precision: (source.data, source.spec))
    with pytest.raises(NotHalfPrecision, match="FLOAT"):
        build_engine(tiny, options(), library, store)
    assert store.engines() == []


def test_single_precision_cannot_be_made_of_a_half_precision_graph(
        library: Library, store: EngineStore, tiny: Source) -> None:
    data, spec = build_module._in_precision(tiny, Precision.FP16)
    half = Source(name="half", data=data, spec=spec)
    with pytest.raises(OptionError, match="computes in FP16 already"):
        build_engine(half, options(precision=Precision.FP32), library, store)
    assert EngineRequest().options(spec).precision is Precision.FP16
    assert set(build_engine(half, options(), library, store).manifest.convolutions) == {"HALF"}


def test_files_that_are_no_graph_are_refused(tmp_path: Path) -> None:
    for name, content in (("empty.onnx", b""), ("noise.onnx", bytes(range(256)))):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(EngineNotBuilt, match=name):
            read_source(tmp_path / name)
    with pytest.raises(EngineNotBuilt, match="cannot be read"):
        read_source(tmp_path / "absent.onnx")


def test_a_graph_without_a_spec_is_refused(tmp_path: Path) -> None:
    node = onnx.helper.make_node("Identity", ["a"], ["b"])
    value = [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1]) for name in "ab"]
    onnx.save(onnx.helper.make_model(onnx.helper.make_graph([node], "g", value[:1], value[1:])), tmp_path / "bare.onnx")
    with pytest.raises(GraphWithoutSpec):
        read_source(tmp_path / "bare.onnx")


def test_shapes_below_what_the_network_takes_are_refused(library: Library, store: EngineStore, tiny: Source) -> None:
    with pytest.raises(OptionError, match="below 15 px"):
        build_engine(tiny, options(shapes=(ShapeRange.parse("14x14..64x64"),)), library, store)


def test_what_the_library_cannot_be_asked_is_refused(library: Library, store: EngineStore, tiny: Source) -> None:
    with pytest.raises(OptionError, match=r"cannot build for compute capability 1\.0") as caught:
        build_engine(tiny, options(compute_capabilities=("1.0",)), library, store)
    assert "8.9" in caught.value.remedy
    with pytest.raises(OptionError, match="hardware compatibility"):
        build_engine(tiny, options(hardware_compatibility=HardwareCompatibility.AMPERE_PLUS), library, store)
    with pytest.raises(OptionError, match="TensorRT builds for the GPU"):
        build_engine(tiny, options(compute_capabilities=("8.9",)), Library(flavour=Flavour.TENSORRT, trt=library.trt),
                     store)


def test_an_engine_can_be_built_for_named_gpus(library: Library, store: EngineStore, tiny: Source) -> None:
    built = build_engine(tiny, options(compute_capabilities=("8.9", "12.0")), library, store)
    assert built.manifest.identity["target"] == "8.9, 12.0"


def test_without_a_driver_tensorrt_says_so_before_it_is_touched(monkeypatch: pytest.MonkeyPatch) -> None:
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


def test_shapes_are_fitted_to_the_pictures_of_a_folder_and_small_ones_reflected(tmp_path: Path, tiny: Source) -> None:
    picture = read_image(Path(__file__).parent.parent / "benchmarks/pictures/demo.png").as_rgb8()
    for name, height, width in (("a", 40, 60), ("b", 10, 30), ("c", 50, 20)):
        write_image(tmp_path / f"{name}.png", Image(pixels=picture[:height, :width].copy()))
    chosen = EngineRequest(fit=tmp_path).options(tiny.spec)
    assert chosen.shapes == (ShapeRange(smallest=(15, 20), largest=(50, 60), optimum=(40, 30)),)
    with pytest.raises(OptionError, match="not both"):
        EngineRequest(fit=tmp_path, shapes=("48x48",)).options(tiny.spec)
    assert EngineRequest().options(tiny.spec).shapes == (default_shapes(tiny.spec),)


def test_pruning_removes_what_no_build_would_find_again(library: Library, store: EngineStore, tiny: Source) -> None:
    kept = build_engine(tiny, options(), library, store)
    damaged = build_engine(tiny, options(tf32=True), library, store)
    damaged.path.write_bytes(b"broken")
    orphan, part = store.folder / "tiny-fp16-0123456789abcdef.json", store.folder / ".srn-part-0123.engine"
    orphan.write_text("{}")
    part.touch()
    os.utime(part, (0, 0))
    written = store.folder / ".srn-part-4567.engine"  # by somebody, now
    written.touch()
    removed = store.prune()
    assert {path.name for path in removed} == {damaged.path.name, orphan.name, part.name}
    assert [engine.path for engine in store.engines()] == [kept.path]
    assert store.prune(everything=True) == [kept.path]
    assert {path.name for path in store.folder.iterdir()} == {".locks", written.name}


def test_a_folder_that_cannot_be_made_is_an_error_with_the_variable_to_set(
        library: Library, tmp_path: Path, tiny: Source) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(EngineError, match="cannot be used") as caught:
        build_engine(tiny, options(), library, EngineStore(tmp_path / "file"))
    assert "SRN_CACHE" in caught.value.remedy


def test_the_default_model_is_what_is_built_without_a_name(library: Library, store: EngineStore) -> None:
    built = request_engine(None, EngineRequest(shapes=("48x48",), runtime="tensorrt-rtx"), store)
    assert built.manifest.name == find_graph(None).stem
