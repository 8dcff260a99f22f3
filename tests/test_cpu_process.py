"""The benchmark of BF16 and INT8 on a CPU: what runs, in which order, what is recorded, what is required."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks import cpu_process
from benchmarks.cpu_page import AUTO, PLAIN, SCRIPT, cpu_tables
from benchmarks.whole_process import ProcessRun
from srn_deploy.backends import why_no_bf16
from srn_deploy.benchmark.records import Record
from srn_deploy.image import Image, find_images, write_image
from srn_deploy.registry.shipped import shipped_models
from tests.optional import needs_openvino


class Machine:
    """Runs commands without running them: results are black, and each takes what the program takes."""

    def __init__(self) -> None:
        self.commands: list[list[str]] = []
        self.caches: set[str] = set()

    def run(self, command: Sequence[str | Path], *, threads: int) -> ProcessRun:
        words = list(map(str, command))
        self.commands.append(words)
        self.caches.add(os.environ["SRN_CACHE"])
        is_script = "eager_script.py" in words[1]
        source, target = map(Path, words[3:5] if is_script else words[4:6])
        for image in find_images(source) if source.is_dir() else [source]:
            write_image(target / image.name if source.is_dir() else target, Image(pixels=np.zeros((4, 4, 3), np.uint8)))
        seconds = 6.0 if is_script else 1.0 if words[-1] == "auto" or "auto" in words else 2.0
        return ProcessRun(seconds=seconds, cpu_seconds=seconds, peak_bytes=2**28)


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    made = Machine()
    monkeypatch.setattr(cpu_process, "run_process", made.run)
    return made


def measured(tmp_path: Path, *arguments: str) -> dict[str, Any]:
    cpu_process.main([*arguments, "--records", str(tmp_path)])
    return dict(Record.load(tmp_path / "cpu-process.json").results)


def test_three_programs_run_in_turn_on_an_image_and_the_first_round_does_not_count(
        machine: Machine, tmp_path: Path) -> None:
    results = measured(tmp_path, "--only", "image", "--sizes", "24x32", "--pairs", "2")
    (found,) = results["processes"]
    assert {program: columns["seconds"] for program, columns in found["programs"].items()} == {
        AUTO: [1.0, 1.0], PLAIN: [2.0, 2.0], SCRIPT: [6.0, 6.0]}
    kinds = ["script" if "eager_script.py" in words[1] else words[-1] for words in machine.commands]
    assert kinds == ["auto", "cpu", "script"] * 3
    assert found["what"] == "32 x 24 px"


def test_nothing_that_was_tuned_or_built_before_takes_part(machine: Machine, tmp_path: Path,
                                                           monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SRN_CACHE", "before")
    measured(tmp_path, "--only", "image", "--sizes", "24x32", "--pairs", "1")
    (own,) = machine.caches
    assert own != "before"
    assert not Path(own).exists()
    assert os.environ["SRN_CACHE"] == "before"


def test_a_folder_is_upscaled_to_png_by_both_devices(machine: Machine, tmp_path: Path) -> None:
    images = tmp_path / "images"
    images.mkdir()
    for name in "a.png", "b.png":
        write_image(images / name, Image(pixels=np.zeros((4, 4, 3), np.uint8)))
    results = measured(tmp_path, "--only", "folder", "--images", str(images), "--folder-pairs", "1")
    (found,) = results["processes"]
    assert (found["images"], list(found["programs"])) == (2, [AUTO, PLAIN])
    first, *others = machine.commands
    assert first[-1] == "openvino"
    assert all(words[-2:] == ["--format", "png"] for words in others)


@needs_openvino
def test_a_network_alone_runs_in_every_precision_in_turn(tmp_path: Path) -> None:
    results = measured(tmp_path, "--only", "network", "--networks", "srn-s-b6-x2", "--network-size", "24x32",
                       "--rounds", "2")
    (found,) = results["networks"]
    assert list(found["ms"]) == ["ONNX Runtime FP32", "OpenVINO FP32",
                                 *([] if why_no_bf16() else ["OpenVINO BF16"]), "OpenVINO INT8"]
    assert {len(samples) for samples in found["ms"].values()} == {2}


@pytest.mark.parametrize("given", ["srn-s-b6-x2", "=x", "srn-s-b6-x2=absent.onnx"])
def test_a_graph_in_int8_that_is_not_there_is_wrong_usage(given: str) -> None:
    with pytest.raises(SystemExit):
        cpu_process.main(["--int8", given])


def programs(auto: float, plain: float, script: float, memory: float = 1.0) -> dict[str, Any]:
    return {name: {"seconds": [seconds] * 5, "peak_bytes": [share * 2**28] * 5} for name, seconds, share in (
        (AUTO, auto, memory), (PLAIN, plain, 1.0), (SCRIPT, script, 1.0))}


def page_of(what: str, found: dict[str, Any], images: int = 1) -> str:
    return "\n".join(cpu_tables({"model": "x", "networks": [], "processes": [
        {"what": what, "images": images, "worst_levels": 2, "programs": found}]}))


@pytest.mark.parametrize(("found", "met"), [
    (programs(1.0, 1.7, 6.0), True), (programs(1.0, 1.69, 6.0), False), (programs(1.0, 1.7, 5.9), False),
    (programs(1.0, 1.7, 6.0, memory=1.1), False)])
def test_what_is_required_of_a_large_image_is_shown_as_met_or_not(found: dict[str, Any], met: bool) -> None:
    assert ("**no**" not in page_of("2000 x 1500 px", found)) is met


@pytest.mark.parametrize(("auto", "met"), [(1.0, True), (1.01, True), (1.03, False)])
def test_a_small_image_may_not_be_slower_than_the_noise_explains(auto: float, met: bool) -> None:
    assert ("**no**" not in page_of("510 x 339 px", programs(auto, 1.0, 4.0))) is met


@pytest.mark.parametrize(("plain", "met"), [(1.9, True), (1.8, False)])
def test_a_folder_must_be_nearly_twice_as_fast(plain: float, met: bool) -> None:
    assert ("**no**" not in page_of("100 images", programs(1.0, plain, 9.0), images=100)) is met


@pytest.mark.parametrize(("bf16", "int8", "met"), [(50.0, 33.0, True), (51.0, 33.0, False), (50.0, 34.0, False)])
def test_a_network_must_be_twice_as_fast_in_bf16_and_three_times_in_int8(bf16: float, int8: float, met: bool) -> None:
    times = {"ONNX Runtime FP32": [100.0] * 5, "OpenVINO BF16": [bf16] * 5, "OpenVINO INT8": [int8] * 5}
    page = "\n".join(cpu_tables({"model": "x", "processes": [], "networks": [
        {"network": "x", "what": "24 x 32 px", "ms": times}]}))
    assert ("**no**" not in page) is met


@pytest.mark.parametrize(("sha256", "is_said"), [("of weights that are gone", True), (None, False)])
def test_a_network_that_was_trained_again_since_is_named(sha256: str | None, is_said: bool) -> None:
    name, model = next(iter(shipped_models().items()))
    network = {"network": name, "sha256": sha256 or model.graph.sha256, "what": "24 x 32 px",
               "ms": {"ONNX Runtime FP32": [100.0] * 5}}
    page = "\n".join(cpu_tables({"model": name, "processes": [], "networks": [network]}))
    assert (f"Trained again since this was measured: `{name}`." in page) is is_said
