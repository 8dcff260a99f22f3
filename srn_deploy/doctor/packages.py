"""The packages that srn-deploy asks for: there, of a version that fits, importable, and only one to a folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata

from srn_deploy.doctor import cures
from srn_deploy.doctor.children import Answer
from srn_deploy.doctor.findings import Finding, State

DISTRIBUTION = "srn-deploy"

BASE = ""
"""The extra of what is always installed."""

EXTRAS = (BASE, "torch", "tensorrt-rtx", "tensorrt", "bench")
"""Those that are for users; a package that several ask for belongs to the first."""

FEATURES = {BASE: "Every command", "torch": "Export, training, checkpoints (PyTorch)",
            "tensorrt-rtx": "Engines (TensorRT-RTX, TensorRT)", "tensorrt": "Engines (TensorRT-RTX, TensorRT)",
            "bench": "Records of benchmarks"}

OPENCV = ("opencv-python-headless", "opencv-python", "opencv-contrib-python", "opencv-contrib-python-headless")
ONNX_RUNTIME = ("onnxruntime-gpu", "onnxruntime", "onnxruntime-directml", "onnxruntime-openvino",
                "onnxruntime-training", "onnxruntime-qnn")
FAMILIES = (OPENCV, ONNX_RUNTIME)
"""Packages that write the same folder: one of a family at a time."""

_MODULES = {**dict.fromkeys(OPENCV, "cv2"), **dict.fromkeys(ONNX_RUNTIME, "onnxruntime"), "pillow": "PIL",
            "cuda-bindings": "cuda.bindings.driver", "nvidia-ml-py": "pynvml", "tensorrt-rtx": "tensorrt_rtx"}
"""Where a package is imported under another name than its own."""

_NEEDED_FOR = {
    "torch": "export, train, eval, bench --paper and model files that are checkpoints",
    "onnx": "export and build-engine", "onnxscript": "export", "safetensors": "checkpoints",
    "matplotlib": "bench --plot and the curve of train", "filelock": "build-engine",
    "tensorrt-rtx": "build-engine, without a GPU too", "tensorrt": "build-engine on the GPU that the engine is for",
    "pycuda": "running an engine", "cuda-bindings": "running an engine by CUDA graphs",
    "nvidia-ml-py": "clocks and temperature of the GPU in records of bench",
}

_AT_LEAST = ("numpy", "opencv-python-headless", "onnxruntime-gpu")
"""What is looked at where the metadata tells nothing."""


@dataclass(frozen=True, kw_only=True)
class Package:
    """One package that is asked for."""

    name: str
    extra: str
    requirement: str
    """As pip takes it."""
    installed: str
    """Its version; empty where it is not installed under this name."""
    fits: bool
    """Whether that version is one that is asked for."""

    @property
    def module(self) -> str:
        """As it is imported."""
        return _MODULES.get(self.name, self.name.replace("-", "_"))

    @property
    def feature(self) -> str:
        """What it serves."""
        return FEATURES[self.extra]

    @property
    def absent_state(self) -> State:
        """How it stands where it is not there."""
        return State.MISSING if self.extra == BASE else State.OPTIONAL

    @property
    def needed_for(self) -> str:
        """For people."""
        return _NEEDED_FOR.get(self.name, self.feature.lower() if self.extra == BASE else f"the extra {self.extra}")

    @property
    def family(self) -> list[str]:
        """The packages that are installed and write its folder."""
        names = next((names for names in FAMILIES if self.name in names), (self.name,))
        return [name for name in names if installed_version(name)]


def installed_version(name: str) -> str:
    """Empty where it is not installed."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return ""


def read_packages(answer: Answer) -> list[Package]:
    """What the metadata asks for; where it cannot be read, the few that nothing runs without."""
    if answer.ok:
        return [Package(**package) for package in answer.told["packages"]]
    return [Package(name=name, extra=BASE, requirement=name, installed=installed_version(name), fits=True)
            for name in _AT_LEAST]


def metadata_finding(answer: Answer) -> Finding:
    """Whether it can be known what is asked for."""
    if answer.ok:
        place = f", runs from the checkout {cures.CHECKOUT}" if cures.CHECKOUT else ""
        return Finding(feature=FEATURES[BASE], name=DISTRIBUTION, state=State.OK,
                       detail=(installed_version(DISTRIBUTION) or "not installed") + place)
    cure = cures.install_itself() if answer.error == "PackageNotFoundError" else cures.install("packaging>=24.0")
    return Finding(feature=FEATURES[BASE], name=DISTRIBUTION, state=State.BROKEN, cure=cure,
                   detail=f"What it asks for cannot be read ({answer.text}); versions are not compared.")


def module_finding(package: Package, answer: Answer, extra_cure: str) -> Finding:
    """One package by the import of its module. extra_cure: the command that installs its extra."""
    if answer.error == "ModuleNotFoundError" and _names(answer.lacking, package.module) and not package.installed:
        cure = extra_cure if package.extra != BASE else cures.install(package.requirement)
        return _finding(package, package.absent_state, f"not installed; needed for {package.needed_for}", cure)
    if not answer.ok:
        return _finding(package, State.BROKEN, f"{package.installed}: importing it fails: {answer.text}".lstrip(": "),
                        _import_cure(package, answer))
    version = package.installed or str(answer.told["version"])
    if package.installed and not package.fits:
        return _finding(package, State.BROKEN, f"{version} is installed, {package.requirement} is asked for",
                        cures.install(package.requirement))
    others = ", ".join(package.family) if not package.installed else ""
    return _finding(package, State.OK, f"{version} (of {others})" if others else version or "there")


def twin_findings(packages: Sequence[Package], answers: Mapping[str, Answer]) -> list[Finding]:
    """Families of which more than one package is installed; removing one damages the other, so both go."""
    found = []
    for package in packages:
        names = package.family
        if len(names) > 1:
            works = answers[question_of(package)].ok
            told = " and ".join(f"{name} {installed_version(name)}" for name in names)
            found.append(Finding(
                feature=package.feature, name=package.module, state=State.WARNING if works else State.BROKEN,
                detail=f"{told} write the same folder: which files are whose is chance",
                cure=cures.replace(names, package.requirement)))
    return found


def question_of(package: Package) -> str:
    """Under which the answer to its import stands."""
    return f"import {package.module}"


def _import_cure(package: Package, answer: Answer) -> str:
    """A library of the system, both wheels of a folder, what it depends on, or the package itself."""
    if len(package.family) > 1 or (package.name in OPENCV and package.family != [package.name]):
        return cures.replace(package.family or [package.name], package.requirement)
    if by_system := cures.missing_library(answer.text):
        return by_system
    if answer.error == "ModuleNotFoundError":
        return cures.install(package.requirement, options="--force-reinstall")
    return cures.reinstall(package.requirement)


def _names(lacking: str, module: str) -> bool:
    """Whether the module that was not found is this one or what it lies in."""
    return bool(lacking) and f"{module}.".startswith(f"{lacking}.")


def _finding(package: Package, state: State, detail: str, cure: str = "") -> Finding:
    return Finding(feature=package.feature, name=package.name, state=state, detail=detail, cure=cure)
