"""Stored engines: what is refused before loading, what --device auto takes, certificates."""

from __future__ import annotations

import dataclasses
import json
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from click.testing import CliRunner
from msgspec import convert, structs

from srn_deploy.backends import open_backend
from srn_deploy.backends.onnx_runtime import OnnxRuntimeBackend
from srn_deploy.cli import main
from srn_deploy.engine import library
from srn_deploy.engine.manifest import CertificateRecord
from srn_deploy.engine.options import HardwareCompatibility
from srn_deploy.engine.store import EngineStore
from srn_deploy.errors import (
    DamagedEngine,
    DeviceUnavailable,
    EngineError,
    ForeignEngine,
    MissingPackage,
    NotCertified,
)
from srn_deploy.graph.onnx_file import half_precision_copy, save_graph
from srn_deploy.image import read_image
from srn_deploy.inference.upscale import upscale_rgb
from srn_deploy.open_model import open_model
from srn_deploy.registry.resolve import resolve
from srn_deploy.spec import ModelSpec, PixelType, Precision
from srn_deploy.tiling.shapes import ShapeRange
from srn_deploy.verification import sample_images
from tests.fake_machine import Machine, computing, stored
from tests.optional import TENSORRT_RTX


@pytest.fixture
def said(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    """What the library logs."""
    caplog.set_level("INFO", "srn_deploy")
    return caplog


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    return Machine(monkeypatch)


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> EngineStore:
    monkeypatch.setenv("SRN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(sample_images, "ORIGINAL_SHAPES", ((192, 256),))  # certificates of one small image: faster
    return EngineStore()


@pytest.fixture(scope="module")
def graph() -> Path:
    return resolve().path


@pytest.fixture(scope="module")
def spec(graph: Path) -> ModelSpec:
    backend = OnnxRuntimeBackend(graph)
    backend.close()
    return backend.spec


def test_an_engine_is_refused_without_a_driver_before_anything_is_loaded(
        store: EngineStore, graph: Path, spec: ModelSpec, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("tensorrt", "tensorrt_rtx", "pycuda"):
        monkeypatch.setitem(sys.modules, module, None)
    engine = stored(store, graph, spec)
    for device in ("auto", "cuda", "cpu"):
        with pytest.raises(DeviceUnavailable, match="on a GPU only") as caught:
            open_backend(engine.path, device)
        assert "graph or the checkpoint" in caught.value.remedy


def test_without_gpu_library_or_pycuda_the_error_says_what_to_install(
        store: EngineStore, graph: Path, spec: ModelSpec, machine: Machine) -> None:
    engine = stored(store, graph, spec)
    machine.monkeypatch.setitem(sys.modules, "pycuda", None)
    with pytest.raises(MissingPackage, match="needs PyCUDA") as caught:
        open_backend(engine.path)
    assert "g++" in caught.value.remedy
    machine.monkeypatch.setitem(sys.modules, "tensorrt", None)
    with pytest.raises(MissingPackage, match="Running an engine needs tensorrt") as caught:
        open_backend(engine.path)
    assert "pip install '.[tensorrt]'" in caught.value.remedy
    machine.libcuda.count = 0
    with pytest.raises(DeviceUnavailable, match="the NVIDIA driver finds no GPU"):
        open_backend(engine.path)


def test_a_pycuda_built_for_another_driver_has_to_be_built_again(
        store: EngineStore, graph: Path, spec: ModelSpec, machine: Machine) -> None:
    machine.module("pycuda")
    machine.monkeypatch.setitem(sys.modules, "pycuda.driver", None)
    machine.module("pycuda", __getattr__=lambda name: (_ for _ in ()).throw(ImportError("libcurand.so.9 is missing")))
    with pytest.raises(DeviceUnavailable, match=r"PyCUDA cannot be loaded") as caught:
        open_backend(stored(store, graph, spec).path)
    assert "--no-binary pycuda" in caught.value.remedy


@pytest.mark.parametrize(("made", "message"), [
    ({"version": "10.16.1"}, r"built by tensorrt 10\.16\.1; here is 11\.4\.0"),
    ({"target": "Other GPU 8.9; Linux x86_64"}, "built for Other GPU 8.9; Linux x86_64; here is Fake GPU 8.9"),
    ({"target": "Fake GPU 8.9; Windows AMD64"}, "built for Fake GPU 8.9; Windows AMD64"),
    ({"target": "Other GPU 8.6; Linux x86_64",
      "hardware_compatibility": HardwareCompatibility.SAME_COMPUTE_CAPABILITY}, "built for Other GPU 8.6")])
def test_a_plan_of_another_version_gpu_or_system_is_not_loaded(
        store: EngineStore, graph: Path, spec: ModelSpec, machine: Machine, made: dict[str, Any], message: str) -> None:
    with pytest.raises(ForeignEngine, match=message) as caught:
        open_backend(stored(store, graph, spec, **made).path)
    assert "srn-deploy build-engine" in caught.value.remedy


@pytest.mark.parametrize(("level", "gpu"), [(HardwareCompatibility.AMPERE_PLUS, "Other GPU 8.0"),
                                            (HardwareCompatibility.SAME_COMPUTE_CAPABILITY, "Other GPU 8.9")])
def test_a_plan_that_was_built_for_more_gpus_runs_on_them(
        store: EngineStore, graph: Path, spec: ModelSpec, machine: Machine, level: HardwareCompatibility,
        gpu: str) -> None:
    machine.runs(computing(machine.gpu, graph))
    engine = stored(store, graph, spec, target=f"{gpu}; Linux x86_64", hardware_compatibility=level)
    open_backend(engine.path).close()


def test_one_changed_byte_is_refused_before_deserialising(
        store: EngineStore, graph: Path, spec: ModelSpec, machine: Machine) -> None:
    machine.runs(computing(machine.gpu, graph), Runtime=None)  # calling it would be a TypeError
    engine = stored(store, graph, spec)
    engine.path.write_bytes(b"A plan")
    with pytest.raises(DamagedEngine, match="it was not loaded"):
        open_backend(engine.path)
    machine.libcuda.count = 0  # the same error where it could not run anyway
    with pytest.raises(DamagedEngine, match="it was not loaded"):
        open_backend(engine.path)


def test_a_plan_that_the_library_refuses_is_reported_and_the_context_released(
        store: EngineStore, graph: Path, spec: ModelSpec, machine: Machine) -> None:
    with pytest.raises(EngineError, match=r"cannot load .*: magic tag does not match"):
        open_backend(stored(store, graph, spec).path)
    assert machine.gpu.stack == 0


def test_tensorrt_rtx_checks_that_a_plan_is_valid_on_this_gpu(
        store: EngineStore, graph: Path, spec: ModelSpec, machine: Machine) -> None:
    rtx = pytest.importorskip("tensorrt_rtx", reason=TENSORRT_RTX)

    class Runtime:
        def __init__(self, logger: Any) -> None:
            pass

        def get_engine_validity(self, plan: bytes) -> tuple[Any, int]:
            return rtx.EngineValidity.INVALID, 2 | 4

    machine.runs(None, "tensorrt_rtx", __version__="1.7.1", Runtime=Runtime, EngineValidity=rtx.EngineValidity,
                 EngineInvalidityDiagnostics=rtx.EngineInvalidityDiagnostics)
    engine = stored(store, graph, spec, runtime=library.Runtime.TENSORRT_RTX, version="1.7.1", target="8.6")
    with pytest.raises(ForeignEngine, match=r"Fake GPU 8\.9: UNSUPPORTED_CC, OLD_CUDA_DRIVER"):
        open_backend(engine.path)


def test_auto_takes_the_engine_of_the_cache_certifies_it_once_and_tiles_exactly(
        store: EngineStore, graph: Path, spec: ModelSpec, machine: Machine, repository: Path,
        said: pytest.LogCaptureFixture) -> None:
    engine = stored(store, graph, spec)
    machine.runs(computing(machine.gpu, graph))
    with closing(open_model()) as backend, closing(OnnxRuntimeBackend(graph)) as whole:
        assert backend.spec.precision is Precision.FP16
        picture = read_image(repository / "benchmarks/pictures/demo.png").as_rgb8()[:100, :340]
        tiled, expected = (upscale_rgb(picture, one) for one in (backend, whole))
        assert np.abs(tiled.astype(int) - expected).max() <= 1
    assert said.messages == [
        f"{engine.path.name} is certified before its first use.",
        f"TensorRT 11.4.0 in FP16 ({engine.path.name}) on the GPU (an engine of it is in the cache)."]
    certificate = store.open(engine.path).manifest.certificate
    assert certificate is not None
    assert certificate.passed
    assert certificate.psnr_db is not None
    assert certificate.psnr_db > 80  # ONNX Runtime against PyTorch
    assert certificate.reference.startswith("PyTorch")
    open_model().close()
    assert len(said.messages) == 3


def test_an_engine_that_fails_its_certificate_is_skipped_by_auto_and_refused_by_name(
        store: EngineStore, graph: Path, spec: ModelSpec, machine: Machine,
        said: pytest.LogCaptureFixture) -> None:
    engine = stored(store, graph, spec)
    machine.runs(computing(machine.gpu, graph, change=9))
    open_model().close()
    assert "differs from its reference: " in said.messages[-1]
    assert "PyTorch" in said.messages[-1]
    assert "ONNX Runtime on the CPU" in said.messages[-1]
    with pytest.raises(NotCertified, match="dB from the reference"):
        open_model(engine.path)
    assert machine.gpu.stack == 0
    assert machine.gpu.used_bytes == 0


def test_auto_without_an_engine_says_why_and_what_else_was_not_possible(
        store: EngineStore, graph: Path, machine: Machine,
        said: pytest.LogCaptureFixture) -> None:
    open_model().close()
    assert said.messages[-1].startswith("ONNX Runtime on the CPU (no engine of it is in the cache; ONNX Runtime ")
    assert "cannot use a GPU" in said.messages[-1]


def test_a_certificate_of_another_plan_or_gpu_is_made_again(
        store: EngineStore, graph: Path, spec: ModelSpec, machine: Machine,
        said: pytest.LogCaptureFixture) -> None:
    engine = stored(store, graph, spec)
    machine.runs(computing(machine.gpu, graph))
    open_model().close()
    stored(store, graph, spec)  # built again, with a new manifest
    kept = store.open(engine.path).manifest
    passed = CertificateRecord(artefact_sha256="another", gpu="Fake GPU 8.9", passed=True, failures=())
    store.certified(engine, passed)
    open_model().close()
    store.certified(engine, structs.replace(passed, artefact_sha256=kept.engine_sha256, gpu="Other"))
    open_model().close()
    assert sum("is certified before its first use" in line for line in said.messages) == 3


@pytest.mark.parametrize("change", [
    {"shapes": (ShapeRange.parse("120x160"),)}, {"pixel_type": PixelType.FLOAT32}], ids=["static", "float pixels"])
def test_auto_skips_engines_that_do_not_take_every_image(
        store: EngineStore, graph: Path, spec: ModelSpec, machine: Machine, change: dict[str, Any],
        said: pytest.LogCaptureFixture) -> None:
    kind = {"pixel_type": change.pop("pixel_type", spec.pixel_type)}
    stored(store, graph, dataclasses.replace(spec, **kind), **change)
    open_model().close()
    assert "no engine of it is in the cache" in said.messages[-1]


def test_an_fp16_graph_is_certified_against_the_checkpoint_that_its_spec_names(
        store: EngineStore, graph: Path, spec: ModelSpec, machine: Machine, tmp_path: Path,
        said: pytest.LogCaptureFixture) -> None:
    half = tmp_path / "half.onnx"
    save_graph(half_precision_copy(onnx.load(graph)), half)
    stored(store, half, spec)
    machine.runs(computing(machine.gpu, graph, change=9))
    open_model(half).close()
    assert "differs from its reference: " in said.messages[-1]


def test_info_describes_an_engine_by_its_manifest(store: EngineStore, graph: Path, spec: ModelSpec) -> None:
    ended = CliRunner().invoke(main, ["info", str(stored(store, graph, spec).path)])
    assert "not yet certified" in ended.stdout
    assert "tensorrt 11.4.0" in ended.stdout


def test_verify_certifies_an_engine_in_its_manifest(
        store: EngineStore, graph: Path, spec: ModelSpec, machine: Machine) -> None:
    engine = stored(store, graph, spec)
    machine.runs(computing(machine.gpu, graph))
    ended = CliRunner().invoke(main, ["verify", str(engine.path), "--json"])
    assert ended.exit_code == 0, ended.output
    assert convert(json.loads(ended.stdout), CertificateRecord) == store.open(engine.path).manifest.certificate
    assert "certified" in CliRunner().invoke(main, ["engines", "list"]).stdout


def test_an_engine_without_a_gpu_ends_upscale_with_exit_code_1(
        store: EngineStore, graph: Path, spec: ModelSpec, repository: Path, tmp_path: Path) -> None:
    engine = stored(store, graph, spec)
    ended = CliRunner().invoke(main, ["upscale", str(repository / "benchmarks/pictures/demo.png"),
                                      str(tmp_path / "out.png"), "--model", str(engine.path)])
    assert ended.exit_code == 1
    assert "An engine runs on a GPU only: no NVIDIA driver" in ended.stderr
    assert not (tmp_path / "out.png").exists()
