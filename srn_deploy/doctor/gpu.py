"""The NVIDIA GPU: its driver, its memory, the CUDA libraries, and the runtimes that compute on it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from srn_deploy.doctor import cures
from srn_deploy.doctor.children import Answer
from srn_deploy.doctor.findings import Finding, State
from srn_deploy.doctor.machine import RUN_BYTES
from srn_deploy.doctor.packages import BASE, FEATURES, ONNX_RUNTIME, Package, installed_version

GPU = "NVIDIA GPU"

_RUNTIME = "ONNX Runtime"


def has_gpu(driver: Answer) -> bool:
    """Whether the driver answered and sees a GPU."""
    return driver.ok and not driver.told["reason"]


def driver_findings(driver: Answer) -> list[Finding]:
    """The driver, and each GPU with its free memory."""
    if not driver.ok:
        return [_gpu("driver", State.BROKEN, f"asking the NVIDIA driver: {driver.text}",
                     "Reboot, and look at what nvidia-smi says.")]
    reason = driver.told["reason"]
    if reason.startswith("no NVIDIA driver"):
        return [_gpu("driver", State.OPTIONAL, f"{reason}; needed for --device cuda", cures.install_driver())]
    if reason:
        return [_gpu("driver", State.BROKEN, reason,
                     "Look at what nvidia-smi says; after an update of the driver reboot. In a container: --gpus all.")]
    told = f"{driver.told['version'] or 'there'}, for CUDA up to {driver.told['cuda']}"
    return [_gpu("driver", State.OK, told),
            *(_memory(f"GPU {index}", gpu) for index, gpu in enumerate(driver.told["gpus"]))]


def _memory(name: str, gpu: Mapping[str, Any]) -> Finding:
    free_bytes = gpu["free_bytes"]
    if not free_bytes:
        return _gpu(name, State.WARNING, f"{gpu['name']}; its driver does not tell its free memory",
                    "Look at what nvidia-smi says: another program may hold the GPU alone.")
    detail = f"{gpu['name']}, {free_bytes / 2**30:.1f} GiB free"
    if free_bytes >= RUN_BYTES:
        return _gpu(name, State.OK, detail)
    return _gpu(name, State.WARNING, f"{detail}; a run takes about 1 GiB",
                "End other programs on the GPU (nvidia-smi lists them), or give upscale a smaller --tile.")


def cpu_finding(graph: Answer, runtime: Package) -> Finding:
    """The tiny graph on ONNX Runtime's CPU provider."""
    version = _version(runtime)
    if graph.ok:
        return Finding(feature=FEATURES[BASE], name=_RUNTIME, state=State.OK,
                       detail=f"{version}, ran a tiny graph on the CPU")
    return Finding(feature=FEATURES[BASE], name=_RUNTIME, state=State.BROKEN,
                   detail=f"{version}, running a tiny graph on the CPU: {graph.text}",
                   cure=cures.reinstall(runtime.requirement))


def runtime_findings(graph: Answer, libraries: Answer, driver: Answer, runtime: Package) -> list[Finding]:
    """ONNX Runtime's CUDA provider by running the tiny graph, and the libraries it loads."""
    with_libraries = _with_libraries(runtime)
    told = _libraries(graph, libraries, driver, runtime, with_libraries)
    name, version = f"{_RUNTIME} on CUDA", _version(runtime)
    if graph.ok:
        return [*told, _gpu(name, State.OK, f"{version}, ran a tiny graph on the GPU")]
    if not has_gpu(driver) and not graph.died:
        return [*told, _gpu(name, State.UNTRIED, f"{version}: no GPU to try it on")]
    return [*told, _gpu(name, State.BROKEN, f"{version}, running a tiny graph on the GPU: {graph.text}",
                        _runtime_cure(graph, libraries, driver, runtime, with_libraries))]


def _runtime_cure(graph: Answer, libraries: Answer, driver: Answer, runtime: Package, with_libraries: str) -> str:
    """What is certain to be wrong goes first: the build, the driver, the libraries."""
    if libraries.ok and not libraries.told["cuda"]:
        return _gpu_build(runtime)
    if libraries.ok and has_gpu(driver) and _major(driver.told["cuda"]) < _major(libraries.told["cuda"]):
        return (f"Update the NVIDIA driver: it knows CUDA up to {driver.told['cuda']}, and this ONNX Runtime is built "
                f"for {libraries.told['cuda']}.")
    if libraries.ok and libraries.told["missing"]:
        return with_libraries
    return graph.remedy or cures.reinstall(runtime.requirement)


def _major(version: str) -> int:
    return int(version.partition(".")[0])


def _gpu_build(runtime: Package) -> str:
    """In the place of the build without CUDA: both own one folder."""
    _, _, bounds = runtime.requirement.partition(runtime.name)
    return cures.replace(_installed_runtimes() or [runtime.name], f"onnxruntime-gpu{bounds}")


def _libraries(graph: Answer, libraries: Answer, driver: Answer, runtime: Package, cure: str) -> list[Finding]:
    name = "CUDA libraries"
    if not libraries.ok:
        return [_gpu(name, State.UNTRIED, f"not looked for: ONNX Runtime cannot be asked ({libraries.text})")]
    cuda, missing = libraries.told["cuda"], libraries.told["missing"]
    if not cuda:
        return [_gpu(name, State.OPTIONAL, f"{runtime.module} {_version(runtime)} is built without CUDA",
                     _gpu_build(runtime))]
    if not libraries.told["names"]:
        return [_gpu(name, State.UNTRIED, f"for CUDA {cuda}: not looked for on this system")]
    if not missing:
        return [_gpu(name, State.OK, f"all that ONNX Runtime asks for, of CUDA {cuda}")]
    detail = f"for CUDA {cuda}, not found: {', '.join(missing)}"
    if graph.ok:
        return [_gpu(name, State.OK, f"{detail}; the tiny graph ran without")]
    state = State.BROKEN if has_gpu(driver) else State.OPTIONAL
    return [_gpu(name, state, f"{detail}; needed for --device cuda", cure)]


def _with_libraries(runtime: Package) -> str:
    """ONNX Runtime brings them by its extras."""
    _, _, bounds = runtime.requirement.partition(runtime.name)
    return cures.install(f"onnxruntime-gpu[cuda,cudnn]{bounds}")


def _installed_runtimes() -> list[str]:
    return [name for name in ONNX_RUNTIME if installed_version(name)]


def _version(runtime: Package) -> str:
    names = _installed_runtimes()
    return runtime.installed or (f"{installed_version(names[0])} of {names[0]}" if names else "not installed")


def torch_findings(torch: Answer, driver: Answer, package: Package, extra_cure: str) -> list[Finding]:
    """PyTorch: its version and build, and where there is a GPU whether it computes on it."""
    by_hand = cures.install_torch(package.requirement, with_cuda=has_gpu(driver))
    if torch.error == "ModuleNotFoundError" and torch.lacking == "torch" and not package.installed:
        return [_torch(State.OPTIONAL, f"not installed; needed for {package.needed_for}", extra_cure)]
    if not torch.ok:
        cure = cures.missing_library(torch.text) or f"{by_hand} --force-reinstall"
        return [_torch(State.BROKEN, f"{package.installed}: importing it fails: {torch.text}".lstrip(": "), cure)]
    version, cuda = torch.told["version"], torch.told["cuda"]
    build = f"{version}, built for CUDA {cuda}" if cuda else f"{version}, a build for the CPU"
    if package.installed and not package.fits:
        return [_torch(State.BROKEN, f"{build}; {package.requirement} is asked for", by_hand)]
    return [_torch(State.OK, build), *_torch_on_gpu(torch, driver, package)]


def _torch_on_gpu(torch: Answer, driver: Answer, package: Package) -> list[Finding]:
    name = "PyTorch on CUDA"
    if not has_gpu(driver):
        return []
    with_cuda = cures.install(package.requirement, options="--force-reinstall")
    if not torch.told["cuda"]:
        return [_gpu(name, State.OPTIONAL, "a build for the CPU; needed to train on the GPU", with_cuda)]
    if reason := torch.told["reason"]:
        return [_gpu(name, State.BROKEN, f"a convolution on the GPU: {reason}",
                     f"Take a build for CUDA {driver.told['cuda']} or older (https://pytorch.org/get-started/locally), "
                     "or update the driver.")]
    return [_gpu(name, State.OK, "ran a convolution on the GPU")]


def _torch(state: State, detail: str, cure: str = "") -> Finding:
    return Finding(feature=FEATURES["torch"], name="torch", state=state, detail=detail, cure=cure)


def _gpu(name: str, state: State, detail: str, cure: str = "") -> Finding:
    return Finding(feature=GPU, name=name, state=state, detail=detail, cure=cure)
