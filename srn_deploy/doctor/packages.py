"""Findings about the required packages: installed, of a supported version, importable, and only one per folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata

from srn_deploy.doctor import fixes
from srn_deploy.doctor.findings import Finding, Status
from srn_deploy.doctor.probe_reports import VersionReport
from srn_deploy.doctor.subprocesses import ProbeResult

DISTRIBUTION = "srn-deploy"

BASE = ""
"""Stands for the requirements without an extra, which are always installed."""

EXTRAS = (BASE, "torch", "openvino", "int8", "spandrel", "tensorrt-rtx", "tensorrt", "video", "heif", "jxl", "report",
          "triton", "web", "ray", "bench")
"""The extras for users; a package of several extras belongs to the first."""

FEATURES = {BASE: "Every command", "torch": "Export, training, checkpoints (PyTorch)",
            "openvino": "Faster on a CPU (OpenVINO)", "int8": "INT8 graphs (NNCF)",
            "spandrel": "Checkpoints of more networks (spandrel)",
            "tensorrt-rtx": "Engines (TensorRT-RTX, TensorRT)", "tensorrt": "Engines (TensorRT-RTX, TensorRT)",
            "video": "Videos (PyAV)", "heif": "Images of telephones, JPEG XL", "jxl": "Images of telephones, JPEG XL",
            "report": "Reports in one file", "triton": "Serving (Triton)", "web": "The local page (Gradio)",
            "ray": "Many machines (Ray)", "bench": "Records of benchmarks"}

OPENCV = ("opencv-python-headless", "opencv-python", "opencv-contrib-python", "opencv-contrib-python-headless")
ONNX_RUNTIME = ("onnxruntime-gpu", "onnxruntime", "onnxruntime-directml", "onnxruntime-openvino",
                "onnxruntime-training", "onnxruntime-qnn")
FAMILIES = (OPENCV, ONNX_RUNTIME)
"""Packages that write the same folder: only one of a family can be installed."""

_MODULES = {**dict.fromkeys(OPENCV, "cv2"), **dict.fromkeys(ONNX_RUNTIME, "onnxruntime"), "pillow": "PIL",
            "cuda-bindings": "cuda.bindings.driver", "nvidia-ml-py": "pynvml", "tensorrt-rtx": "tensorrt_rtx",
            "markdown-it-py": "markdown_it", "pillow-jxl-plugin": "pillow_jxl", "tritonclient": "tritonclient.grpc"}
"""Packages that are imported under another name than their own."""

_NEEDED_FOR = {
    "torch": "export, train, eval, bench --paper and model files that are checkpoints",
    "onnx": "export and build-engine", "onnxscript": "export", "safetensors": "checkpoints",
    "matplotlib": "bench --plot and the curve of train",
    "openvino": "--device openvino",
    "nncf": "export --int8", "spandrel": "checkpoints of networks that srn-deploy does not have itself",
    "tensorrt-rtx": "build-engine, without a GPU too", "tensorrt": "build-engine on the GPU that the engine is for",
    "pycuda": "running an engine", "cuda-bindings": "running an engine by CUDA graphs",
    "av": "upscale of videos (it is PyAV)", "ray": "upscale --ray",
    "pillow-heif": "reading HEIC", "pillow-jxl-plugin": "reading JPEG XL",
    "jinja2": "report", "markdown-it-py": "report", "gradio": "web",
    "tritonclient": "triton-repository and upscale --server",
    "nvidia-ml-py": "clocks and temperature of the GPU in records of bench",
}

_AT_LEAST = ("numpy", "opencv-python-headless", "onnxruntime-gpu")
"""What is examined where the metadata cannot be read."""


@dataclass(frozen=True, kw_only=True)
class Package:
    """One required package."""

    name: str
    extra: str
    requirement: str
    """In the form that pip takes."""
    installed: str
    """Its version; empty where it is not installed under this name."""
    fits: bool
    """Whether that version meets the requirement."""

    @property
    def module(self) -> str:
        """The name it is imported under."""
        return _MODULES.get(self.name, self.name.replace("-", "_"))

    @property
    def feature(self) -> str:
        """The feature that needs it."""
        return FEATURES[self.extra]

    @property
    def absent_state(self) -> Status:
        """State of the finding where it is not installed."""
        return Status.MISSING if self.extra == BASE else Status.OPTIONAL

    @property
    def needed_for(self) -> str:
        """What needs it, in words."""
        return _NEEDED_FOR.get(self.name, self.feature.lower() if self.extra == BASE else f"the extra {self.extra}")

    @property
    def family(self) -> list[str]:
        """The installed packages that write its folder."""
        names = next((names for names in FAMILIES if self.name in names), (self.name,))
        return [name for name in names if installed_version(name)]


@dataclass(frozen=True, kw_only=True)
class RequirementsReport:
    """What the probe of the requirements reports."""

    packages: list[Package]


def installed_version(name: str) -> str:
    """Version of an installed package; empty where it is not installed."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return ""


def read_packages(result: ProbeResult) -> list[Package]:
    """The required packages; where the metadata cannot be read, the few that nothing runs without."""
    if result.ok:
        return result.read(RequirementsReport).packages
    return [Package(name=name, extra=BASE, requirement=name, installed=installed_version(name), fits=True)
            for name in _AT_LEAST]


def metadata_finding(result: ProbeResult) -> Finding:
    """The finding for srn-deploy itself: whether its requirements can be read."""
    if result.ok:
        place = f", runs from the checkout {fixes.CHECKOUT}" if fixes.CHECKOUT else ""
        return Finding(feature=FEATURES[BASE], name=DISTRIBUTION, state=Status.OK,
                       detail=(installed_version(DISTRIBUTION) or "not installed") + place)
    fix = fixes.install_itself() if result.error == "PackageNotFoundError" else fixes.install("packaging>=24.0")
    return Finding(feature=FEATURES[BASE], name=DISTRIBUTION, state=Status.BROKEN, fix=fix,
                   detail=f"Its requirements cannot be read ({result.text}), so versions are not checked.")


def module_finding(package: Package, result: ProbeResult, extra_fix: str) -> Finding:
    """The finding for one package, from importing its module. extra_fix: the command that installs its extra."""
    missing = result.error == "ModuleNotFoundError" and _is_in(result.missing_module, package.module)
    if missing and not package.installed:
        fix = extra_fix if package.extra != BASE else fixes.install(package.requirement)
        return _finding(package, package.absent_state, f"not installed; needed for {package.needed_for}", fix)
    if not result.ok:
        return _finding(package, Status.BROKEN, f"{package.installed}: importing it fails: {result.text}".lstrip(": "),
                        _import_fix(package, result))
    version = package.installed or result.read(VersionReport).version
    if package.installed and not package.fits:
        return _finding(package, Status.BROKEN, f"{version} is installed, {package.requirement} is required",
                        fixes.install(package.requirement))
    others = ", ".join(package.family) if not package.installed else ""
    return _finding(package, Status.OK, f"{version} (of {others})" if others else version or "installed")


def conflict_findings(packages: Sequence[Package], results: Mapping[str, ProbeResult]) -> list[Finding]:
    """Findings for packages that write the same folder; removing one damages the other, so all are replaced."""
    found = []
    for package in packages:
        names = package.family
        if len(names) > 1:
            works = results[import_probe(package)].ok
            installed = " and ".join(f"{name} {installed_version(name)}" for name in names)
            found.append(Finding(
                feature=package.feature, name=package.module, state=Status.WARNING if works else Status.BROKEN,
                detail=f"{installed} write the same folder and overwrite each other's files",
                fix=fixes.replace_packages(names, package.requirement)))
    return found


def import_probe(package: Package) -> str:
    """Name of the probe that imports the package."""
    return f"import {package.module}"


def _import_fix(package: Package, result: ProbeResult) -> str:
    """Install what is at fault: a system library, a package of the same folder, a dependency, or the package."""
    if len(package.family) > 1 or (package.name in OPENCV and package.family != [package.name]):
        return fixes.replace_packages(package.family or [package.name], package.requirement)
    if by_system := fixes.missing_library(result.text):
        return by_system
    if result.error == "ModuleNotFoundError":
        return fixes.install(package.requirement, options="--force-reinstall")
    return fixes.reinstall(package.requirement)


def _is_in(missing_module: str, module: str) -> bool:
    """Whether the module that was not found is this one or a package that contains it."""
    return bool(missing_module) and f"{module}.".startswith(f"{missing_module}.")


def _finding(package: Package, state: Status, detail: str, fix: str = "") -> Finding:
    return Finding(feature=package.feature, name=package.name, state=state, detail=detail, fix=fix)
