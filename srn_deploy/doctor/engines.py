"""Findings about building and running engines: TensorRT-RTX, TensorRT and PyCUDA."""

from __future__ import annotations

from srn_deploy.doctor import fixes
from srn_deploy.doctor.findings import Finding, Status
from srn_deploy.doctor.packages import Package
from srn_deploy.doctor.probe_reports import PycudaReport, VersionReport
from srn_deploy.doctor.subprocesses import ProbeResult


def library_finding(package: Package, result: ProbeResult, extra_fix: str) -> Finding:
    """The finding for TensorRT or TensorRT-RTX, from opening it as building does; not loaded where it would crash.

    extra_fix: the command that installs its extra.
    """
    fix = fixes.install(package.requirement)
    if result.error == "MissingPackage" or (result.error == "DeviceUnavailable" and not package.installed):
        return _finding(package, Status.OPTIONAL, f"not installed; needed for {package.needed_for}", extra_fix)
    if result.error == "DeviceUnavailable":
        return _untried_or_unfit(package, fix)
    if not result.ok:
        return _finding(package, Status.BROKEN, f"{package.installed}, loading it: {result.text}".lstrip(", "),
                        fixes.missing_library(result.text) or
                        fixes.install(package.requirement, options="--force-reinstall"))
    if package.installed and not package.fits:
        return _unfit(package, fix)
    return _finding(package, Status.OK, f"{result.read(VersionReport).version}, loaded")


def pycuda_finding(package: Package, result: ProbeResult) -> Finding:
    """The finding for PyCUDA, from opening the GPU with it; names what its build would need here."""
    fix = fixes.build_pycuda(package.requirement)
    if not package.installed:
        toolkit = fixes.cuda_toolkit()
        headers = f"CUDA headers in {toolkit}" if toolkit else "no CUDA headers found; Debian has them in non-free"
        return _finding(package, Status.OPTIONAL,
                        f"not installed; needed for {package.needed_for}; it is built from source ({headers})", fix)
    if not result.ok:
        return _finding(package, Status.BROKEN, f"{package.installed}: {result.text}",
                        fixes.build_pycuda(package.requirement, again=True))
    if not package.fits:
        return _unfit(package, fix)
    if result.read(PycudaReport).reason:
        return _finding(package, Status.UNTRIED, f"{package.installed}: no GPU to try it on")
    return _finding(package, Status.OK, f"{package.installed}, opened the GPU")


def _untried_or_unfit(package: Package, fix: str) -> Finding:
    if not package.fits:
        return _unfit(package, fix)
    return _finding(package, Status.UNTRIED, f"{package.installed}: not loaded, because it crashes without a driver")


def _unfit(package: Package, fix: str) -> Finding:
    return _finding(package, Status.BROKEN, f"{package.installed} is installed, {package.requirement} is required",
                    fix)


def _finding(package: Package, state: Status, detail: str, fix: str = "") -> Finding:
    return Finding(feature=package.feature, name=package.name, state=state, detail=detail, fix=fix)
