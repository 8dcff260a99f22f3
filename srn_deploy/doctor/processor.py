"""Findings about the CPU and about OpenVINO, which is faster on some."""

from __future__ import annotations

import platform

from srn_deploy.doctor import fixes
from srn_deploy.doctor.findings import Finding, Status
from srn_deploy.doctor.machine import MACHINE
from srn_deploy.doctor.packages import Package
from srn_deploy.doctor.probe_reports import OpenVinoReport
from srn_deploy.doctor.subprocesses import ProbeResult
from srn_deploy.system.cpu_features import X86, cpu_features


def processor_finding() -> Finding:
    """The finding for what the CPU computes fast."""
    features = cpu_features()
    if features is None:
        return Finding(feature=MACHINE, name="CPU", state=Status.UNTRIED,
                       detail="the system does not report whether it has BF16, VNNI or AMX")
    words = [f"{'has' if there else 'has no'} {feature}" for feature, there in features.items()]
    return Finding(feature=MACHINE, name="CPU", state=Status.OK, detail=", ".join(words))


def openvino_finding(package: Package, graph: ProbeResult, extra_fix: str) -> Finding:
    """The finding for OpenVINO, from running the tiny graph. extra_fix: the command that installs its extra."""
    if not package.installed and graph.error == "MissingPackage":
        return _finding(package, Status.OPTIONAL, f"not installed; needed for {package.needed_for}{_gain()}", extra_fix)
    version = package.installed or "version unknown"
    if not graph.ok:
        return _finding(package, Status.BROKEN, f"{version}, running a tiny graph: {graph.text}",
                        fixes.missing_library(graph.text) or fixes.reinstall(package.requirement))
    if package.installed and not package.fits:
        return _finding(package, Status.BROKEN, f"{version} is installed, {package.requirement} is required",
                        fixes.install(package.requirement))
    missing = graph.read(OpenVinoReport).no_bf16
    return _finding(package, Status.OK, f"{version}, ran a tiny graph; "
                    + (f"in FP32 alone: {missing}" if missing else "the CPU computes in BF16"))


def _gain() -> str:
    """What OpenVINO would bring on this CPU; empty where that is not known."""
    features = cpu_features()
    if features is None or platform.machine() not in X86:
        return ""
    return ", which is up to twice as fast on this CPU: it has BF16" if features["BF16"] else \
        "; it gains little on this CPU, which has no BF16"


def _finding(package: Package, state: Status, detail: str, fix: str = "") -> Finding:
    return Finding(feature=package.feature, name=package.name, state=state, detail=detail, fix=fix)
