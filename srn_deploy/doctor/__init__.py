"""What srn-deploy finds on this machine, what it lacks, and the commands that cure it.

Everything that loads a large library happens in a child process (`probe`), so that one that crashes or hangs is
itself a finding.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from srn_deploy.doctor import cures
from srn_deploy.doctor.children import Answer, ask
from srn_deploy.doctor.engines import library_finding, pycuda_finding
from srn_deploy.doctor.findings import Finding, Report, State
from srn_deploy.doctor.gpu import (
    GPU,
    cpu_finding,
    driver_findings,
    has_gpu,
    runtime_findings,
    torch_findings,
)
from srn_deploy.doctor.machine import (
    MACHINE,
    cache_finding,
    default_is_whole,
    engine_findings,
    machine_findings,
    model_findings,
    pulled_findings,
)
from srn_deploy.doctor.packages import (
    BASE,
    EXTRAS,
    FEATURES,
    ONNX_RUNTIME,
    OPENCV,
    Package,
    metadata_finding,
    module_finding,
    question_of,
    read_packages,
    twin_findings,
)
from srn_deploy.doctor.verdict import GRAPH_ON, judge

__all__ = ["Finding", "Report", "State", "examine"]

_ASKED_OTHERWISE = {"torch": "torch", "tensorrt-rtx": "tensorrt-rtx", "tensorrt": "tensorrt", "pycuda": "pycuda"}
"""Packages that more is asked of than to be imported, to the question."""


_ORDER = tuple(dict.fromkeys([MACHINE, FEATURES[BASE], GPU, *(FEATURES[extra] for extra in EXTRAS)]))
"""Of the features."""


def examine(device: str = "auto", *, timeout_s: float = 60.0) -> Report:
    """Look at everything. device: auto, cpu or cuda. timeout_s: after which a child that hangs is ended."""
    asked = ask({"packages": ("packages",)}, timeout_s)["packages"]
    packages = read_packages(asked)
    answers = ask(_questions(packages), timeout_s)
    findings = [*machine_findings(), metadata_finding(asked), *_package_findings(packages, answers),
                *model_findings(), *pulled_findings(), cache_finding(), *engine_findings(answers["engines"])]
    works, verdict = judge(device, answers, reads_pictures=_why_no_pictures(packages, answers),
                           model_is_whole=default_is_whole())
    return Report(device=device, works=works, verdict=verdict, findings=_by_feature(findings))


def _questions(packages: Sequence[Package]) -> dict[str, tuple[str, ...]]:
    """The slow ones first."""
    return {
        "torch": ("torch",), GRAPH_ON["cuda"]: ("graph", "cuda"), GRAPH_ON["cpu"]: ("graph", "cpu"),
        "tensorrt-rtx": ("engine_library", "tensorrt-rtx"), "tensorrt": ("engine_library", "tensorrt"),
        "driver": ("driver",), "libraries": ("cuda_libraries",), "pycuda": ("pycuda",), "engines": ("engines",),
        **{question_of(package): ("module", package.module) for package in packages
           if package.name not in _ASKED_OTHERWISE}}


def _package_findings(packages: Sequence[Package], answers: Mapping[str, Answer]) -> list[Finding]:
    """The packages in their order, and what is proved with them."""
    driver = answers["driver"]
    found = []
    for package in packages:
        found += _findings_of(package, answers, _extra_cure(package.extra, packages, driver))
    imported = [package for package in packages if package.name not in _ASKED_OTHERWISE]
    return [*driver_findings(driver), *found, *twin_findings(imported, answers)]


def _findings_of(package: Package, answers: Mapping[str, Answer], extra_cure: str) -> list[Finding]:
    if package.name == "torch":
        return torch_findings(answers["torch"], answers["driver"], package, extra_cure)
    if package.name in ("tensorrt-rtx", "tensorrt"):
        # The extra of TensorRT brings PyCUDA, which may not be possible to build here: the library goes alone.
        cure = extra_cure if package.name == "tensorrt-rtx" else cures.install(package.requirement)
        return [library_finding(package, answers[package.name], cure)]
    if package.name == "pycuda":
        return [pycuda_finding(package, answers["pycuda"])]
    found = [module_finding(package, answers[question_of(package)], extra_cure)]
    if package.name in ONNX_RUNTIME and answers[question_of(package)].ok:
        graphs = [answers[GRAPH_ON[device]] for device in ("cpu", "cuda")]
        found += [cpu_finding(graphs[0], package),
                  *runtime_findings(graphs[1], answers["libraries"], answers["driver"], package)]
    return found


def _extra_cure(extra: str, packages: Sequence[Package], driver: Answer) -> str:
    """Install the whole extra; PyTorch's without a GPU begins with its CPU build."""
    of_extra = [package for package in packages if package.extra == extra]
    command = cures.install_extra(extra, [package.requirement for package in of_extra])
    torch = next((package for package in of_extra if package.name == "torch" and not package.installed), None)
    if torch is None:
        return command
    first = cures.install_torch(torch.requirement, with_cuda=has_gpu(driver))
    return cures.after(first, command) if "--index-url" in first else command


def _why_no_pictures(packages: Sequence[Package], answers: Mapping[str, Answer]) -> str:
    """Of the packages that `upscale` reads and writes pictures with."""
    for package in packages:
        if (package.name in OPENCV or package.name == "numpy") and not answers[question_of(package)].ok:
            return f"{package.name}: {answers[question_of(package)].text}"
    return ""


def _by_feature(findings: Sequence[Finding]) -> list[Finding]:
    """Those of a feature together, in the order in which they stand."""
    return sorted(findings, key=lambda finding: _ORDER.index(finding.feature))
