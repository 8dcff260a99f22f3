"""The examination: every probe is run, and what they report becomes findings and a verdict."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from srn_deploy.doctor import fixes
from srn_deploy.doctor.conflicts import disagreements
from srn_deploy.doctor.engines import library_finding, pycuda_finding
from srn_deploy.doctor.findings import DoctorReport, Finding
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
    conflict_findings,
    import_probe,
    metadata_finding,
    module_finding,
    read_packages,
)
from srn_deploy.doctor.processor import openvino_finding, processor_finding
from srn_deploy.doctor.subprocesses import ProbeResult, run_probes
from srn_deploy.doctor.tuned import tuned_findings
from srn_deploy.doctor.verdict import GRAPH_ON, judge
from srn_deploy.errors import OptionError
from srn_deploy.system.arguments import check_kind, shown

_OWN_PROBES = {"torch": "torch", "tensorrt-rtx": "tensorrt-rtx", "tensorrt": "tensorrt", "pycuda": "pycuda",
               "openvino": GRAPH_ON["openvino"]}
"""Packages for which importing is not enough, and the names of their probes."""

_ORDER = tuple(dict.fromkeys([MACHINE, FEATURES[BASE], GPU, *(FEATURES[extra] for extra in EXTRAS)]))
"""Order of the features in the report."""


def examine(device: str = "auto", *, timeout_s: float = 60.0) -> DoctorReport:
    """Examine the machine and the installation.

    device: the device that the verdict is about: auto, cpu, cuda or openvino. timeout_s: seconds after which a library
    that hangs is stopped. Raises nothing for what is missing or broken: that is what the report is for. Raises
    OptionError for an unknown device and for a time that is not above 0.
    """
    if not isinstance(device, str) or device not in ("auto", *GRAPH_ON):
        raise OptionError(f"There is no device {shown(device)}.", remedy=f"Use one of auto, {', '.join(GRAPH_ON)}.")
    check_kind(timeout_s, (int, float), "timeout_s", remedy="Give a number of seconds.")
    if not timeout_s > 0:  # NaN is not a time either
        raise OptionError(f"Libraries cannot be given {timeout_s} seconds.", remedy="Give a number above 0.")
    requirements = run_probes({"packages": ("packages",)}, timeout_s)["packages"]
    packages = read_packages(requirements)
    results = run_probes(_probes(packages), timeout_s)
    findings = [*machine_findings(), processor_finding(), metadata_finding(requirements),
                *_package_findings(packages, results), *disagreements(results["conflicts"]), *model_findings(),
                *pulled_findings(), *tuned_findings(), cache_finding(), *engine_findings(results["engines"])]
    works, verdict = judge(device, results, image_problem=_why_no_images(packages, results),
                           model_is_whole=default_is_whole())
    return DoctorReport(device=device, works=works, verdict=verdict, findings=_by_feature(findings))


def _probes(packages: Sequence[Package]) -> dict[str, tuple[str, ...]]:
    """Every probe by name, with its arguments; the slow ones come first."""
    return {
        "torch": ("torch",), GRAPH_ON["openvino"]: ("openvino_graph",),
        GRAPH_ON["cuda"]: ("graph", "cuda"), GRAPH_ON["cpu"]: ("graph", "cpu"),
        "tensorrt-rtx": ("engine_library", "tensorrt-rtx"), "tensorrt": ("engine_library", "tensorrt"),
        "driver": ("driver",), "libraries": ("cuda_libraries",), "pycuda": ("pycuda",), "engines": ("engines",),
        "conflicts": ("conflicts",),
        **{import_probe(package): ("module", package.module) for package in packages
           if package.name not in _OWN_PROBES}}


def _package_findings(packages: Sequence[Package], results: Mapping[str, ProbeResult]) -> list[Finding]:
    """Findings of the packages in their order, and of what was run with them."""
    driver = results["driver"]
    found = []
    for package in packages:
        found += _findings_of(package, results, _extra_fix(package.extra, packages, driver))
    imported = [package for package in packages if package.name not in _OWN_PROBES]
    return [*driver_findings(driver), *found, *conflict_findings(imported, results)]


def _findings_of(package: Package, results: Mapping[str, ProbeResult], extra_fix: str) -> list[Finding]:
    if package.name == "torch":
        return torch_findings(results["torch"], results["driver"], package, extra_fix)
    if package.name in ("tensorrt-rtx", "tensorrt"):
        # The extra of TensorRT contains PyCUDA, which may not build here, so only the library is installed.
        fix = extra_fix if package.name == "tensorrt-rtx" else fixes.install(package.requirement)
        return [library_finding(package, results[package.name], fix)]
    if package.name == "openvino":
        return [openvino_finding(package, results[GRAPH_ON["openvino"]], extra_fix)]
    if package.name == "pycuda":
        return [pycuda_finding(package, results["pycuda"])]
    found = [module_finding(package, results[import_probe(package)], extra_fix)]
    if package.name in ONNX_RUNTIME and results[import_probe(package)].ok:
        graphs = [results[GRAPH_ON[device]] for device in ("cpu", "cuda")]
        found += [cpu_finding(graphs[0], package),
                  *runtime_findings(graphs[1], results["libraries"], results["driver"], package)]
    return found


def _extra_fix(extra: str, packages: Sequence[Package], driver: ProbeResult) -> str:
    """The command that installs a whole extra; without a GPU, PyTorch's CPU build is installed first."""
    of_extra = [package for package in packages if package.extra == extra]
    command = fixes.install_extra(extra, [package.requirement for package in of_extra])
    torch = next((package for package in of_extra if package.name == "torch" and not package.installed), None)
    if torch is None:
        return command
    first = fixes.install_torch(torch.requirement, with_cuda=has_gpu(driver))
    return fixes.after(first, command) if "--index-url" in first else command


def _why_no_images(packages: Sequence[Package], results: Mapping[str, ProbeResult]) -> str:
    """Why `upscale` cannot read and write images; empty where it can."""
    for package in packages:
        if (package.name in OPENCV or package.name == "numpy") and not results[import_probe(package)].ok:
            return f"{package.name}: {results[import_probe(package)].text}"
    return ""


def _by_feature(findings: Sequence[Finding]) -> list[Finding]:
    """Sort findings by feature; within a feature the order stays."""
    return sorted(findings, key=lambda finding: _ORDER.index(finding.feature))
