"""What the doctor says about the CPU and about OpenVINO on it."""

from __future__ import annotations

from pathlib import Path

import pytest

from srn_deploy.doctor import processor
from srn_deploy.doctor.findings import Status
from srn_deploy.doctor.processor import openvino_finding, processor_finding
from srn_deploy.doctor.subprocesses import ProbeResult, run_probes
from srn_deploy.doctor.verdict import judge
from srn_deploy.system.cpu_features import cpu_features, why_int8_is_worse_here
from tests.optional import needs_openvino
from tests.probe_results import CRASHED, package

NOT_THERE = ProbeResult(error="MissingPackage", text="Running a graph on OpenVINO needs openvino")

OPENVINO = package("openvino", "openvino>=2026.4,<2027", extra="openvino", installed="2026.4.1")


def has(**features: bool) -> dict[str, bool]:
    return {"BF16": False, "VNNI": False, "AMX": False} | features


def x86_with(monkeypatch: pytest.MonkeyPatch, features: dict[str, bool] | None) -> None:
    monkeypatch.setattr(processor, "cpu_features", lambda: features)
    monkeypatch.setattr("platform.machine", lambda: "x86_64")


@pytest.mark.parametrize(("line", "found"), [
    ("flags\t\t: fpu avx512_bf16 avx512_vnni", has(BF16=True, VNNI=True)),
    ("flags : avx_vnni", has(VNNI=True)), ("flags : amx_bf16 amx_int8 avx512_bf16", has(BF16=True, AMX=True)),
    ("flags : fpu sse2", has()), ("Features\t: fp asimd bf16 i8mm", has(BF16=True)), ("model name : x", None)])
def test_the_features_of_a_cpu_are_those_that_linux_lists(tmp_path: Path, line: str,
                                                          found: dict[str, bool] | None) -> None:
    (tmp_path / "cpuinfo").write_text(f"processor\t: 0\n{line}\n")
    assert cpu_features(tmp_path / "cpuinfo") == found


def test_without_a_list_of_features_nothing_is_claimed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert cpu_features(tmp_path / "absent") is None
    x86_with(monkeypatch, None)
    assert processor_finding().state is Status.UNTRIED


def test_the_cpu_is_described(monkeypatch: pytest.MonkeyPatch) -> None:
    x86_with(monkeypatch, has(BF16=True, VNNI=True))
    assert processor_finding().detail == "has BF16, has VNNI, has no AMX"


@pytest.mark.parametrize(("features", "gain"), [
    (has(BF16=True), "which is up to twice as fast on this CPU: it has BF16"),
    (has(), "it gains little on this CPU, which has no BF16"), (None, "needed for --device openvino")])
def test_the_install_line_of_openvino_says_what_it_brings(monkeypatch: pytest.MonkeyPatch,
                                                          features: dict[str, bool] | None, gain: str) -> None:
    x86_with(monkeypatch, features)
    absent = package("openvino", "openvino>=2026.4,<2027", extra="openvino")
    finding = openvino_finding(absent, NOT_THERE, "pip install '.[openvino]'")
    assert (finding.state, finding.fix) == (Status.OPTIONAL, "pip install '.[openvino]'")
    assert finding.detail.endswith(gain)


@pytest.mark.parametrize(("reason", "detail"), [
    ("", "the CPU computes in BF16"), ("the CPU is too old", "in FP32 alone: the CPU is too old")])
def test_openvino_that_runs_says_what_it_computes_in(reason: str, detail: str) -> None:
    finding = openvino_finding(OPENVINO, ProbeResult(reported={"no_bf16": reason}), "")
    assert (finding.state, finding.detail) == (Status.OK, f"2026.4.1, ran a tiny graph; {detail}")


def test_openvino_that_fails_is_broken_with_its_fix() -> None:
    finding = openvino_finding(OPENVINO, CRASHED, "")
    assert finding.state is Status.BROKEN
    assert "SIGSEGV" in finding.detail
    assert "install --force-reinstall" in finding.fix


def test_a_version_that_is_not_supported_is_broken() -> None:
    old = package("openvino", "openvino>=2026.4,<2027", extra="openvino", installed="2025.1", fits=False)
    finding = openvino_finding(old, ProbeResult(reported={"no_bf16": ""}), "")
    assert finding.detail == "2025.1 is installed, openvino>=2026.4,<2027 is required"


@pytest.mark.parametrize(("result", "verdict"), [
    (ProbeResult(reported={"no_bf16": ""}), (True, "OpenVINO on the CPU")),
    (NOT_THERE, (False, "OpenVINO on the CPU: Running a graph on OpenVINO needs openvino"))])
def test_the_verdict_on_openvino_is_that_of_its_graph(result: ProbeResult, verdict: tuple[bool, str]) -> None:
    assert judge("openvino", {"graph on OpenVINO": result}, image_problem="", model_is_whole=True) == verdict


@needs_openvino
def test_the_tiny_graph_runs_on_openvino_and_nothing_stays_in_the_cache(tmp_path: Path,
                                                                        monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SRN_CACHE", str(tmp_path))
    result = run_probes({"it": ("openvino_graph",)}, timeout_s=120)["it"]
    assert result.ok, result.text
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("features", "says"), [(None, ""), ({"VNNI": True}, ""), ({"VNNI": False}, "no VNNI")])
def test_a_cpu_that_is_known_to_lack_vnni_is_named_where_int8_loses_too_much(
        monkeypatch: pytest.MonkeyPatch, features: dict[str, bool] | None, says: str) -> None:
    monkeypatch.setattr("srn_deploy.system.cpu_features.cpu_features", lambda: features)
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    assert says in why_int8_is_worse_here()
    assert bool(why_int8_is_worse_here()) is bool(says)


def test_int8_loses_no_more_on_arm_which_has_other_instructions_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("srn_deploy.system.cpu_features.cpu_features", lambda: {"VNNI": False})
    monkeypatch.setattr("platform.machine", lambda: "aarch64")
    assert why_int8_is_worse_here() == ""
