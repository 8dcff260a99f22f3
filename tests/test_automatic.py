"""What `auto` takes on a CPU: OpenVINO in BF16 where the work ahead is worth its start, and always with the reason."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from srn_deploy import automatic, open_model
from srn_deploy.api import load_as
from srn_deploy.architectures.checkpoint import save_checkpoint
from srn_deploy.automatic import least_pixels, open_by_work
from srn_deploy.backends import why_no_bf16
from srn_deploy.image import Image, write_image
from srn_deploy.inference.plan import Job, PixelCounts
from srn_deploy.open_model import OpenRequest
from srn_deploy.registry.resolve import ModelKind, ResolvedModel, resolve, resolve_file
from srn_deploy.spec import Precision
from srn_deploy.system.threads import cpu_threads
from srn_deploy.verification.cpu_precision import has_certificate, open_certified
from srn_deploy.verification.export_proof import export_and_prove
from tests.commands import python
from tests.commands import srn_deploy as run_command
from tests.fakes import NearestBackend
from tests.networks import large_picture, seeded_network
from tests.optional import needs_openvino

ENOUGH = 10**15
"""Pixels that are worth any start."""

DIV2K_INPUT_PX = 510 * 339


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SRN_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def bf16(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A machine where OpenVINO computes in BF16 and a certificate is kept; the models that were opened there."""
    opened: list[str] = []

    def open_certified(model: ResolvedModel, why: str) -> tuple[Any, str]:
        opened.append(model.path.name)
        return NearestBackend(), f"OpenVINO ({why})"

    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object())
    monkeypatch.setattr(automatic, "cpu_features", lambda: {"BF16": True})
    monkeypatch.setattr(automatic, "why_no_bf16", lambda: "")
    monkeypatch.setattr(automatic, "has_certificate", lambda model: True)
    monkeypatch.setattr(automatic, "open_certified", open_certified)
    return opened


@pytest.mark.usefixtures("bf16")
def test_much_work_takes_openvino_and_says_why() -> None:
    found = open_by_work(resolve(), [ENOUGH])
    assert not isinstance(found, str)
    assert found[1].startswith("OpenVINO (faster from ")


def test_little_work_leaves_openvino_alone_and_says_from_where_on_it_is_taken(
        bf16: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(automatic, "why_no_bf16")  # importing OpenVINO takes time
    assert open_by_work(resolve(), [1000]) == \
        f"OpenVINO in BF16 is taken from {least_pixels(resolve(), is_certified=True) / 1e6:.1f} megapixels of images on"
    assert bf16 == []


@pytest.mark.usefixtures("bf16")
@pytest.mark.parametrize("model", ["srn-s-b4-x4", "srn-s-b6-x4", "srn-s-b6-x2"])
def test_one_small_image_stays_with_onnx_runtime_and_a_large_one_or_a_folder_does_not(model: str) -> None:
    with cpu_threads(2):
        assert isinstance(open_by_work(resolve(model), [DIV2K_INPUT_PX]), str)
        assert not isinstance(open_by_work(resolve(model), [2000 * 1500]), str)
        assert not isinstance(open_by_work(resolve(model), [DIV2K_INPUT_PX] * 100), str)


def test_a_certificate_is_made_only_for_work_that_pays_for_it(bf16: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(automatic, "has_certificate", lambda model: False)
    certified, uncertified = (least_pixels(resolve(), is_certified=known) for known in (True, False))
    assert certified < uncertified
    assert str(open_by_work(resolve(), [uncertified - 1])).startswith("OpenVINO in BF16 needs a certificate, which is ")
    assert bf16 == []
    open_by_work(resolve(), [uncertified])
    assert len(bf16) == 1


def test_larger_networks_and_fewer_threads_need_fewer_pixels() -> None:
    with cpu_threads(8):
        small, large = (least_pixels(resolve(name), is_certified=True) for name in ("srn-s-b4-x4", "srn-s-b6-x4"))
    with cpu_threads(2):
        assert least_pixels(resolve("srn-s-b4-x4"), is_certified=True) < small
    assert large < small


@pytest.mark.usefixtures("bf16")
def test_headers_are_read_only_until_there_is_enough() -> None:
    def sizes() -> Iterator[int]:
        yield from (1, ENOUGH)
        pytest.fail("one header too many")

    open_by_work(resolve(), sizes())


@pytest.mark.usefixtures("bf16")
@pytest.mark.parametrize(("name", "value", "reason"), [
    ("cpu_features", lambda: {"BF16": False}, "in FP32, because the CPU has no BF16"),
    ("why_no_bf16", lambda: "it is capped", "in FP32, because it is capped"),
    ("open_certified", lambda model, why: "it is not certified", "in FP32, because it is not certified")])
def test_what_speaks_against_bf16_is_the_reason(name: str, value: Any, reason: str,
                                                monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(automatic, name, value)
    assert open_by_work(resolve(), [ENOUGH]) == reason


def test_without_openvino_and_for_other_models_nothing_is_said(bf16: list[str],
                                                               monkeypatch: pytest.MonkeyPatch) -> None:
    assert open_by_work(resolve("srn-s-b4-x4", wanted=ModelKind.CHECKPOINT), [ENOUGH]) == ""
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert open_by_work(resolve(), [ENOUGH]) == ""
    assert bf16 == []


@pytest.mark.parametrize("asked", [{"device": "cpu"}, {"precision": "fp32"}, {"pixels": None}])
def test_what_is_asked_for_and_work_that_is_not_known_leave_all_as_it_was(
        asked: dict[str, Any], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.delattr(open_model, "open_by_work")
    caplog.set_level("INFO", "srn_deploy")
    with load_as(None, OpenRequest(**{"pixels": [ENOUGH], **asked})):
        assert caplog.messages[0].startswith("ONNX Runtime on the CPU (")


def test_pixels_come_from_headers_and_what_has_none_counts_as_nothing(tmp_path: Path) -> None:
    write_image(tmp_path / "good.png", Image(pixels=np.zeros((7, 5, 3), np.uint8)))
    (tmp_path / "bad.png").write_bytes(b"no image")
    os.mkfifo(tmp_path / "pipe.png")  # reading it would wait for ever, or take what the run needs
    jobs = [Job(source=tmp_path / name, target=tmp_path / "out.png") for name in ("bad.png", "pipe.png", "good.png")]
    assert sum(PixelCounts(jobs)) == 35


@pytest.fixture(scope="module")
def graph(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A graph with 8-bit pixels that is not shipped."""
    folder = tmp_path_factory.mktemp("graph")
    options: dict[str, Any] = {"scale": 2, "channels": 8, "esa_channels": 4, "blocks": 1}
    save_checkpoint(folder / "net.safetensors", seeded_network(**options).network, architecture="srn", options=options,
                    value_range=1.0)
    return export_and_prove(folder / "net.safetensors", folder / "net.onnx").path


@needs_openvino
def test_the_command_says_why_it_stays_with_onnx_runtime(graph: Path, tmp_path: Path) -> None:
    write_image(tmp_path / "in.png", Image(pixels=(large_picture(24, 24) * 255).astype(np.uint8)))
    done = run_command("upscale", tmp_path / "in.png", tmp_path / "out.png", "--model", graph)
    assert done.stderr.startswith("ONNX Runtime on the CPU (")
    assert "in BF16 is taken from" in done.stderr or "in FP32, because the CPU has no BF16" in done.stderr


@needs_openvino
def test_bf16_that_auto_took_has_the_graph_in_fp32_as_its_fallback(graph: Path) -> None:
    if reason := why_no_bf16():
        pytest.skip(reason)
    with load_as(graph, OpenRequest(pixels=[ENOUGH])) as upscaler:
        assert upscaler.spec.precision is Precision.BF16
        fallback = upscaler._setup.fallback.opened()
        assert fallback is not None
        assert fallback.spec.precision is Precision.FP32


@needs_openvino
def test_a_cpu_whose_instructions_are_capped_stays_in_fp32_and_says_so(graph: Path) -> None:
    code = """
import sys
from srn_deploy.automatic import open_by_work
from srn_deploy.registry.resolve import resolve_file
print(open_by_work(resolve_file(sys.argv[1]), [10**15]))
"""
    done = python(code, graph, environment={**os.environ, "ONEDNN_MAX_CPU_ISA": "AVX2"})
    assert done.stdout.startswith("in FP32, because the CPU ")


@needs_openvino
def test_a_certificate_that_is_kept_is_found_without_opening_the_graph(graph: Path) -> None:
    model = resolve_file(graph)
    if reason := why_no_bf16():
        pytest.skip(reason)
    assert not has_certificate(model)
    opened = open_certified(model)
    assert not isinstance(opened, str)
    with closing(opened[0]):
        assert has_certificate(model)
