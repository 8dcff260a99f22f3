"""The precision on OpenVINO: BF16 where CPU and certificate allow it, else FP32, and always with the reason."""

from __future__ import annotations

import importlib.util
import json
import os
import re
from contextlib import ExitStack, closing
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import srn_deploy
from srn_deploy.architectures.checkpoint import save_checkpoint
from srn_deploy.backends import Backend, why_no_bf16
from srn_deploy.benchmark import steady_state
from srn_deploy.benchmark import ways as ways_module
from srn_deploy.benchmark.environment import Ceilings
from srn_deploy.benchmark.results import SteadyResults
from srn_deploy.benchmark.ways import Task, candidates_of
from srn_deploy.errors import MissingPackage, OptionError
from srn_deploy.graph.export import ExportOptions
from srn_deploy.image import Image, write_image
from srn_deploy.inference.upscale import upscale_rgb
from srn_deploy.open_model import open_model
from srn_deploy.spec import PixelType, Precision
from srn_deploy.system.cache import compiled_folder
from srn_deploy.tiling.windows import TileOptions
from srn_deploy.verification import cpu_precision
from srn_deploy.verification.certificate import Certificate
from srn_deploy.verification.export_proof import export_and_prove
from tests.commands import python
from tests.commands import srn_deploy as run_command
from tests.networks import large_picture, seeded_network
from tests.optional import needs_openvino

pytestmark = needs_openvino

OPTIONS: dict[str, Any] = {"scale": 2, "channels": 8, "esa_channels": 4, "blocks": 1}

PICTURE = large_picture(40, 51)

TASK = Task(device="cpu", size=(24, 32), batches=(1,), every_way=False)


@pytest.fixture(scope="module")
def graphs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One small network as graphs with pixels of 8 bits, with float pixels, and in FP16."""
    folder = tmp_path_factory.mktemp("graphs")
    checkpoint = folder / "net.safetensors"
    save_checkpoint(checkpoint, seeded_network(**OPTIONS).network, architecture="srn", options=OPTIONS, value_range=1.0)
    kinds = {"bytes": ExportOptions(), "float": ExportOptions(pixel_type=PixelType.FLOAT32),
             "half": ExportOptions(precision=Precision.FP16)}
    return {name: export_and_prove(checkpoint, folder / f"{name}.onnx", options).path
            for name, options in kinds.items()}


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SRN_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def bf16_cpu() -> None:
    """Skips where the CPU does not compute in BF16."""
    if reason := why_no_bf16():
        pytest.skip(reason)


def opened(graph: Path, precision: str = "auto", device: str = "openvino") -> Backend:
    return open_model(graph, device, precision=precision)


def as_float(backend: Backend) -> Any:
    """The same backend, given float pixels as if it computed in FP32: its results are then not rounded."""
    return SimpleNamespace(spec=replace(backend.spec, precision=Precision.FP32), limits=backend.limits, run=backend.run)


def certificate_with(psnr_db: float, loss_db: float = 0.0) -> Certificate:
    return Certificate(artefact_sha256="", ran_on="", gpu="", reference="", precision="bf16", pictures=3,
                       psnr_db=psnr_db, worst_levels=3.0, psnr_loss_db=loss_db, non_finite=0, largest_activation=None,
                       largest_layer="", overflowing_layers=())


@pytest.mark.usefixtures("bf16_cpu")
def test_auto_takes_bf16_with_a_certificate_that_is_made_once(graphs: dict[str, Path], monkeypatch: pytest.MonkeyPatch,
                                                              caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "srn_deploy")
    assert opened(graphs["bytes"]).spec.precision is Precision.BF16
    (file,) = compiled_folder().glob("*.certificate.json")
    assert json.loads(file.read_text())["certificate"]["passed"] is True
    monkeypatch.delattr(cpu_precision, "certificate_of")
    assert opened(graphs["bytes"]).spec.precision is Precision.BF16
    made, taken, again = caplog.messages
    assert made == "bytes.onnx is certified in BF16 before its first use."
    assert taken == again
    assert "in BF16 on the CPU (which computes in it; certified: " in taken
    assert re.search(r"\d\d\.\d dB from FP32, 0\.\d\d\d dB lost\)\.$", taken)


@pytest.mark.usefixtures("bf16_cpu")
def test_auto_takes_fp32_where_bf16_is_not_certified_and_remembers_it(
        graphs: dict[str, Path], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "srn_deploy")
    monkeypatch.setattr(cpu_precision, "certificate_of", lambda *given, **named: certificate_with(49.9))
    assert opened(graphs["bytes"]).spec.precision is Precision.FP32
    monkeypatch.delattr(cpu_precision, "certificate_of")
    assert opened(graphs["bytes"]).spec.precision is Precision.FP32
    assert caplog.messages[1] == caplog.messages[2]
    assert "in FP32 on the CPU (it is not certified in BF16: 49.9 dB from the reference, at least 50 dB" in \
        caplog.messages[1]


@pytest.mark.parametrize(("psnr_db", "loss_db", "passes"), [
    (50.0, 0.02, True), (49.9, 0.0, False), (60.0, 0.021, False), (float("nan"), 0.0, False)])
def test_bf16_must_be_50_db_from_fp32_and_lose_at_most_0_02_db(psnr_db: float, loss_db: float, passes: bool) -> None:
    assert (not certificate_with(psnr_db, loss_db).failures) is passes


@pytest.mark.usefixtures("bf16_cpu")
def test_bf16_that_was_asked_for_runs_without_a_certificate_and_the_log_warns(
        graphs: dict[str, Path], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(cpu_precision, "certificate_of", lambda *given, **named: certificate_with(40.0))
    assert opened(graphs["bytes"], "bf16").spec.precision is Precision.BF16
    (message,) = caplog.messages
    assert message == ("bytes.onnx is not certified in BF16: 40.0 dB from the reference, at least 50 dB are "
                       "required.")


@pytest.mark.usefixtures("bf16_cpu")
@pytest.mark.parametrize("content", ["", "{}", "another"])
def test_a_damaged_certificate_is_made_again(graphs: dict[str, Path], content: str,
                                             caplog: pytest.LogCaptureFixture) -> None:
    opened(graphs["bytes"])
    (file,) = compiled_folder().glob("*.certificate.json")
    whole = file.read_text()
    file.write_text(whole.replace('"graph_sha256": "', '"graph_sha256": "0') if content == "another" else content)
    opened(graphs["bytes"])
    assert file.read_text() == whole
    assert all(f"{file} is made again: it is damaged" in message for message in caplog.messages)
    assert len(caplog.messages) == bool(content)  # an empty file is none


@pytest.mark.usefixtures("bf16_cpu")
def test_auto_takes_bf16_as_the_device_where_it_is_asked_for(graphs: dict[str, Path]) -> None:
    assert opened(graphs["bytes"], "bf16", "auto").spec.precision is Precision.BF16


def test_a_cpu_without_bf16_gets_fp32_and_the_reason(graphs: dict[str, Path]) -> None:
    code = """
import logging, sys
from srn_deploy.open_model import open_model
logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout)
print(open_model(sys.argv[1], "openvino").spec.precision)
try:
    open_model(sys.argv[1], "openvino", precision="bf16")
except Exception as error:
    print(type(error).__name__, error)
"""
    done = python(code, graphs["bytes"], environment={**os.environ, "ONEDNN_MAX_CPU_ISA": "AVX2"})
    taken, precision, refused, _ = done.stdout.splitlines()
    assert "in FP32 on the CPU (the CPU does not compute in BF16: " in taken
    assert precision == "fp32"
    assert refused.startswith("DeviceUnavailable BF16 is not possible here: the CPU does not compute in BF16: ")


def test_auto_keeps_the_precision_of_a_graph_in_fp16(graphs: dict[str, Path], monkeypatch: pytest.MonkeyPatch,
                                                     caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr("srn_deploy.backends.open_vino.why_no_bf16", lambda: "")
    caplog.set_level("INFO", "srn_deploy")
    assert opened(graphs["half"]).spec.precision is Precision.FP16
    assert "computes in FP16; BF16 cannot be made of it)" in caplog.messages[-1]


@pytest.mark.parametrize(("kind", "device", "precision", "problem"), [
    ("half", "openvino", "bf16", "BF16 cannot be made of it"), ("half", "openvino", "fp32", "computes in FP16"),
    ("half", "cpu", "fp32", "half.onnx computes in FP16, not in FP32"),
    ("bytes", "cpu", "bf16", "BF16 is not computed with --device cpu"),
    ("bytes", "cuda", "bf16", "BF16 is not computed with --device cuda"),
    ("bytes", "openvino", "int8", "bytes.onnx has no INT8 graph"), ("bytes", "cpu", "int4", "no precision 'int4'")])
def test_a_precision_that_is_not_there_is_refused(graphs: dict[str, Path], kind: str, device: str, precision: str,
                                                  problem: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("srn_deploy.backends.open_vino.why_no_bf16", lambda: "")
    with pytest.raises(OptionError, match=problem):
        opened(graphs[kind], precision, device)


def test_fp32_is_what_a_checkpoint_and_a_graph_have_on_a_cpu(graphs: dict[str, Path]) -> None:
    for path in graphs["bytes"], graphs["bytes"].with_name("net.safetensors"):
        assert opened(path, "fp32", "cpu").spec.precision is Precision.FP32


@pytest.mark.usefixtures("bf16_cpu")
def test_tiles_are_as_close_to_the_whole_image_as_bf16_is_to_fp32(graphs: dict[str, Path]) -> None:
    picture = large_picture(163, 190)
    with closing(opened(graphs["float"], "bf16")) as half, closing(opened(graphs["float"], "fp32")) as full:
        exact, whole = (upscale_rgb(picture, as_float(backend), TileOptions(tile=None)) for backend in (full, half))
        tiled = upscale_rgb(picture, as_float(half), TileOptions(tile=32))
    cost, between = np.abs(whole - exact), np.abs(tiled - whole)
    assert cost.max() > 0
    assert np.square(between).mean() <= np.square(cost).mean()
    assert between.max() <= 2 * cost.max()  # either may be off by the cost, in opposite directions


@pytest.mark.usefixtures("bf16_cpu")
@pytest.mark.parametrize("dtype", ["uint16", "float32"])
def test_pixels_of_more_than_8_bits_run_in_fp32(graphs: dict[str, Path], dtype: str) -> None:
    picture = PICTURE if dtype == "float32" else (PICTURE * 65535).astype(np.uint16)
    with srn_deploy.load(graphs["float"], device="openvino", precision="bf16") as ours:
        upscaled = ours.upscale(picture)
    with srn_deploy.load(graphs["float"], device="openvino", precision="fp32") as full:
        np.testing.assert_array_equal(upscaled, full.upscale(picture))


@pytest.mark.usefixtures("bf16_cpu")
def test_the_default_model_upscales_16_bits_in_fp32(tmp_path: Path) -> None:
    write_image(tmp_path / "in.png", Image(pixels=(PICTURE * 65535).astype(np.uint16)))
    done = run_command("upscale", tmp_path / "in.png", tmp_path / "out.png", "--precision", "bf16")
    assert done.returncode == 0, done.stderr
    assert "in BF16 on the CPU (asked for; " in done.stderr
    assert "In FP32 with float pixels: OpenVINO" in done.stderr


@pytest.mark.usefixtures("bf16_cpu")
def test_a_record_of_eval_has_the_precision(graphs: dict[str, Path], tmp_path: Path) -> None:
    write_image(tmp_path / "hr.png", Image(pixels=(large_picture(80, 80) * 255).astype(np.uint8)))
    done = run_command("eval", graphs["bytes"], "--hr", tmp_path / "hr.png", "--precision", "bf16", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["results"]["spec"]["precision"] == "bf16"


def ways(graph: Path, task: Task) -> set[str]:
    """What bench would measure of a graph, without its name."""
    with ExitStack() as stack:
        return {one.name.split(", ")[1] for one in candidates_of(str(graph), task, stack)}


def test_bench_measures_openvino_in_each_precision_that_the_cpu_has(graphs: dict[str, Path]) -> None:
    wanted = {"OpenVINO FP32"} if why_no_bf16() else {"OpenVINO FP32", "OpenVINO BF16"}
    assert ways(graphs["bytes"], TASK) == {"graph", *wanted}
    assert ways(graphs["bytes"], replace(TASK, device="openvino")) == wanted
    assert ways(graphs["bytes"], replace(TASK, precision=Precision.FP32)) == {"graph", "OpenVINO FP32"}


def test_bench_does_without_openvino_where_it_is_not_installed(graphs: dict[str, Path],
                                                               monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert ways(graphs["bytes"], TASK) == {"graph"}
    with pytest.raises(MissingPackage, match=r"pip install '\.\[openvino\]'"):
        ways(graphs["bytes"], replace(TASK, device="openvino"))


def test_bench_says_why_bf16_is_left_out_where_it_was_asked_for(graphs: dict[str, Path],
                                                                monkeypatch: pytest.MonkeyPatch,
                                                                caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr("srn_deploy.backends.open_vino.why_no_bf16", lambda: "the CPU is too old")
    assert ways(graphs["bytes"], replace(TASK, precision=Precision.BF16)) == set()
    assert caplog.messages == ["bytes, OpenVINO BF16 is left out: BF16 is not possible here: the CPU is too old."]


@pytest.mark.usefixtures("bf16_cpu")
@pytest.mark.parametrize("narrow", [{}, {"bf16": 4e3}])
def test_bf16_is_measured_against_its_own_ceiling_or_none(graphs: dict[str, Path], narrow: dict[str, float],
                                                          monkeypatch: pytest.MonkeyPatch) -> None:
    limits = Ceilings(gflops=1e3, gbytes_per_s=1e3, narrow_gflops=narrow)
    monkeypatch.setattr(steady_state, "ceilings", lambda device, precisions: limits)
    record = steady_state.run_steady([str(graphs["bytes"])], steady_state.Plan(size=(24, 32), rounds=1))
    rows = {name: row for name, row in record.results_as(SteadyResults).candidates.items() if "resident" in name}
    assert len(rows) == 3
    for name, row in rows.items():
        flops_per_s = row.pictures_per_s * cost_of(graphs["bytes"], (24, 32)) / 1e9
        ceiling = 1e3 if "BF16" not in name else narrow.get("bf16")
        assert row.share_of_compute == (None if ceiling is None else pytest.approx(flops_per_s / ceiling))


def cost_of(graph: Path, size: tuple[int, int]) -> int:
    """Operations of one pass."""
    with closing(opened(graph, "fp32")) as backend:
        cost = ways_module._cost(backend, size)
    assert cost is not None
    return cost.flops
