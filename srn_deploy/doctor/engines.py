"""What building and running engines takes: TensorRT-RTX, TensorRT, PyCUDA."""

from __future__ import annotations

from srn_deploy.doctor import cures
from srn_deploy.doctor.children import Answer
from srn_deploy.doctor.findings import Finding, State
from srn_deploy.doctor.packages import Package


def library_finding(package: Package, answer: Answer, extra_cure: str) -> Finding:
    """TensorRT or TensorRT-RTX by opening it, as building does; TensorRT is not loaded where it would crash.

    extra_cure: the command that installs its extra.
    """
    cure = cures.install(package.requirement)
    if answer.error == "MissingPackage" or (answer.error == "DeviceUnavailable" and not package.installed):
        return _finding(package, State.OPTIONAL, f"not installed; needed for {package.needed_for}", extra_cure)
    if answer.error == "DeviceUnavailable":
        return _untried_or_unfit(package, cure)
    if not answer.ok:
        return _finding(package, State.BROKEN, f"{package.installed}, loading it: {answer.text}".lstrip(", "),
                        cures.missing_library(answer.text) or
                        cures.install(package.requirement, options="--force-reinstall"))
    if package.installed and not package.fits:
        return _unfit(package, cure)
    return _finding(package, State.OK, f"{answer.told['version']}, loaded")


def pycuda_finding(package: Package, answer: Answer) -> Finding:
    """PyCUDA by a session on the GPU; what its build lacks here is told."""
    cure = cures.build_pycuda(package.requirement)
    if not package.installed:
        toolkit = cures.cuda_toolkit()
        headers = f"CUDA headers in {toolkit}" if toolkit else "no CUDA headers found; Debian has them in non-free"
        return _finding(package, State.OPTIONAL,
                        f"not installed; needed for {package.needed_for}; it is built from source ({headers})", cure)
    if not answer.ok:
        return _finding(package, State.BROKEN, f"{package.installed}: {answer.text}",
                        cures.build_pycuda(package.requirement, again=True))
    if not package.fits:
        return _unfit(package, cure)
    if answer.told["reason"]:
        return _finding(package, State.UNTRIED, f"{package.installed}: no GPU to try it on")
    return _finding(package, State.OK, f"{package.installed}, opened the GPU")


def _untried_or_unfit(package: Package, cure: str) -> Finding:
    if not package.fits:
        return _unfit(package, cure)
    return _finding(package, State.UNTRIED, f"{package.installed}: not loaded, without a driver it crashes")


def _unfit(package: Package, cure: str) -> Finding:
    return _finding(package, State.BROKEN, f"{package.installed} is installed, {package.requirement} is asked for",
                    cure)


def _finding(package: Package, state: State, detail: str, cure: str = "") -> Finding:
    return Finding(feature=package.feature, name=package.name, state=state, detail=detail, cure=cure)
