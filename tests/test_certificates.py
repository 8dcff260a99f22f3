"""Certificates: near enough passes, too far does not, and what leaves FP16 is named."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from srn_deploy.architectures.activations import watched_peaks
from srn_deploy.architectures.checkpoint import save_checkpoint
from srn_deploy.backends.onnx_runtime import OnnxRuntimeBackend
from srn_deploy.cli import main
from srn_deploy.errors import NotCertified, OptionError
from srn_deploy.graph.export import ExportOptions
from srn_deploy.image import Image, write_image
from srn_deploy.registry.resolve import ModelKind, resolve
from srn_deploy.registry.shipped import default_model
from srn_deploy.spec import Form, Precision
from srn_deploy.verification.certificate import LARGEST_HALF, Certificate, Reference, certify
from srn_deploy.verification.export_proof import export_and_prove
from srn_deploy.verification.sample_images import originals, sample_images
from srn_deploy.verification.verify import CERTIFICATE_SUFFIX, verify
from tests.networks import seeded_network


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small seeded network."""
    path = tmp_path_factory.mktemp("checkpoint") / "tiny.safetensors"
    loaded = seeded_network(scale=2, channels=8, esa_channels=4, blocks=1)
    save_checkpoint(path, loaded.network, architecture="srn", options=loaded.spec.options,
                    value_range=loaded.spec.value_range)
    return path


@pytest.fixture
def graph(checkpoint: Path, tmp_path: Path) -> Path:
    return export_and_prove(checkpoint, tmp_path / "tiny.onnx").path


def certificate(**changes: Any) -> Certificate:
    """One that passes, but for the changes."""
    fields: dict[str, Any] = {
        "artefact_sha256": "a", "ran_on": "r", "gpu": "", "reference": "f", "precision": Precision.FP16, "pictures": 3,
        "psnr_db": 60.0, "worst_levels": 1.0, "psnr_loss_db": 0.0, "non_finite": 0, "largest_activation": 100.0,
        "largest_layer": "tail", "overflowing_layers": ()}
    return Certificate(**fields | changes)


@pytest.mark.parametrize(("change", "told"), [
    ({"psnr_db": 44.9}, "44.9 dB from the reference"),
    ({"psnr_db": 69.9, "precision": "fp32"}, "at least 70 dB are required"),
    ({"psnr_loss_db": 0.011}, "loses 0.011 dB"), ({"non_finite": 2}, "2 values of its output"),
    ({"psnr_db": math.nan}, "nan dB"),
    ({"psnr_db": 20.0, "overflowing_layers": ("body.1", "tail")}, "leave the range of FP16 in body.1, tail")])
def test_what_is_too_far_off_fails_and_says_why(change: dict[str, Any], told: str) -> None:
    assert certificate().failures == []
    assert certificate(psnr_db=None).failures == []
    assert told in "; ".join(certificate(**change).failures)


def test_the_headroom_is_that_of_half_precision() -> None:
    assert certificate(largest_activation=LARGEST_HALF / 8).headroom == pytest.approx(8)
    assert certificate(largest_activation=None).headroom is None


def test_a_graph_passes_against_its_checkpoint_and_its_certificate_is_written_next_to_it(
        checkpoint: Path, graph: Path) -> None:
    found = verify(str(graph), against=str(checkpoint), device="cpu")
    assert found.pictures == 3
    assert found.worst_levels <= 1
    kept = json.loads(graph.with_name(graph.name + CERTIFICATE_SUFFIX).read_text())
    assert kept["passed"]
    assert kept["artefact_sha256"] == found.artefact_sha256
    assert "PyTorch" in kept["reference"]
    assert "tiny.safetensors" in kept["reference"]


@pytest.mark.parametrize("options", [
    ExportOptions(precision=Precision.FP16), ExportOptions(form=Form.PORTABLE),
    ExportOptions(form=Form.PORTABLE, precision=Precision.FP16)], ids=["half", "portable", "portable half"])
def test_every_kind_of_graph_can_be_certified(checkpoint: Path, tmp_path: Path, options: ExportOptions) -> None:
    graph = export_and_prove(checkpoint, tmp_path / "other.onnx", options).path
    assert verify(str(graph), against=str(checkpoint), device="cpu").failures == []


def test_another_network_s_graph_fails_with_its_figures_written(graph: Path, tmp_path: Path) -> None:
    other = seeded_network(scale=2, channels=8, esa_channels=4, blocks=1, seed=5)
    save_checkpoint(tmp_path / "other.safetensors", other.network, architecture="srn", options=other.spec.options,
                    value_range=other.spec.value_range)
    with pytest.raises(NotCertified, match="dB from the reference"):
        verify(str(graph), against=str(tmp_path / "other.safetensors"), device="cpu")
    assert not json.loads(graph.with_name(graph.name + CERTIFICATE_SUFFIX).read_text())["passed"]


def test_without_a_reference_that_is_known_the_error_names_the_option(graph: Path) -> None:
    with pytest.raises(OptionError) as caught:
        verify(str(graph), device="cpu")
    assert "--against" in caught.value.remedy


def test_a_shipped_graph_finds_the_checkpoint_it_was_made_from(tmp_path: Path) -> None:
    copy = tmp_path / "copy.onnx"
    shutil.copyfile(resolve().path, copy)
    found = verify(str(copy), device="cpu")
    assert resolve(wanted=ModelKind.CHECKPOINT).path.name in found.reference
    assert found.headroom is not None
    assert found.headroom > 10  # trained on 0..1: far from the end of FP16


def test_without_torch_the_reference_is_the_shipped_graph(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    copy = tmp_path / "copy.onnx"
    shutil.copyfile(resolve().path, copy)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    found = verify(str(copy), device="cpu")
    assert found.reference == f"the FP32 graph {resolve().path.name} on ONNX Runtime's CPU provider"
    assert found.psnr_db is None
    assert found.headroom is None


def test_a_half_precision_graph_or_one_of_another_scale_is_no_reference(
        checkpoint: Path, graph: Path, tmp_path: Path) -> None:
    half = export_and_prove(checkpoint, tmp_path / "half.onnx", ExportOptions(precision=Precision.FP16)).path
    with pytest.raises(OptionError, match="cannot be the reference"):
        verify(str(graph), against=str(half), device="cpu")
    with pytest.raises(OptionError, match="of x2, its reference of x4"):
        verify(str(graph), against=default_model(), device="cpu")


def test_images_of_a_folder_are_taken_and_none_is_an_error(checkpoint: Path, graph: Path, tmp_path: Path) -> None:
    (tmp_path / "pictures").mkdir()
    with pytest.raises(OptionError, match="no image"):
        verify(str(graph), against=str(checkpoint), images=tmp_path / "pictures", device="cpu")
    write_image(tmp_path / "pictures/one.png", Image(pixels=next(originals())))
    assert verify(str(graph), against=str(checkpoint), images=tmp_path / "pictures", device="cpu").pictures == 1


def test_peaks_are_those_of_every_layer_and_a_layer_that_overflows_is_named(checkpoint: Path, graph: Path) -> None:
    network = seeded_network(scale=2, channels=8, esa_channels=4, blocks=1).network
    with watched_peaks(network) as peaks, torch.inference_mode():
        output = network(torch.rand(1, 3, 20, 20) * 1e6)
    assert peaks["shuffle"] == float(output.abs().max())
    assert set(peaks) >= {"head", "tail", "recon_trunk.0.conv1", "recon_trunk.0.ESA.conv4"}
    before = dict(peaks)
    network(torch.rand(1, 3, 20, 20) * 1e8)
    assert peaks == before  # the hooks are gone
    backend = OnnxRuntimeBackend(graph)
    reference = Reference(backend=backend, name="", peaks=peaks)
    found = certify(backend, reference, sample_images(), artefact_sha256="", ran_on="")
    backend.close()
    assert "tail" in found.overflowing_layers
    assert found.psnr_db is None
    assert found.largest_activation == max(peaks.values())


def test_values_that_are_no_numbers_are_counted_and_fail(checkpoint: Path, tmp_path: Path) -> None:
    graph = export_and_prove(checkpoint, tmp_path / "portable.onnx", ExportOptions(form=Form.PORTABLE)).path
    reference = OnnxRuntimeBackend(graph)

    class Broken:
        spec, limits = reference.spec, reference.limits

        def run(self, batch: Any, geometry: Any = None) -> Any:
            result = reference.run(batch, geometry).copy()
            result[0, :2, 3] = np.nan
            return result

    found = certify(Broken(), Reference(backend=reference, name="", peaks={"tail": math.nan}),  # type: ignore[arg-type]
                    sample_images(), artefact_sha256="", ran_on="")
    reference.close()
    assert found.non_finite == 3 * 2 * 3
    assert found.failures
    assert found.overflowing_layers == ("tail",)
    json.dumps(found.as_json(), allow_nan=False)


def test_the_command_prints_figures_and_fails_with_exit_code_1(checkpoint: Path, graph: Path) -> None:
    good = CliRunner().invoke(main, ["verify", str(graph), "--against", str(checkpoint), "--device", "cpu"])
    assert good.exit_code == 0
    assert "on 3 images" in good.stdout
    assert "largest activation" in good.stdout
    as_json = CliRunner().invoke(main, ["verify", str(graph), "--against", str(checkpoint), "--device", "cpu",
                                        "--json"])
    assert json.loads(as_json.stdout)["passed"]
    bad = CliRunner().invoke(main, ["verify", str(graph), "--device", "cpu"])
    assert bad.exit_code == 1
