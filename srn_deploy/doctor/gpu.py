"""Findings about the NVIDIA GPU: driver, memory, CUDA libraries, and the runtimes that compute on it."""

from __future__ import annotations

from srn_deploy.doctor import fixes
from srn_deploy.doctor.findings import Finding, Status
from srn_deploy.doctor.machine import RUN_BYTES
from srn_deploy.doctor.packages import BASE, FEATURES, ONNX_RUNTIME, Package, installed_version
from srn_deploy.doctor.probe_reports import CudaLibrariesReport, DriverReport, GpuReport, TorchReport
from srn_deploy.doctor.subprocesses import ProbeResult

GPU = "NVIDIA GPU"

_RUNTIME = "ONNX Runtime"


def has_gpu(driver: ProbeResult) -> bool:
    """Whether the driver works and sees a GPU."""
    return driver.ok and not driver.read(DriverReport).reason


def driver_findings(driver: ProbeResult) -> list[Finding]:
    """Findings for the driver, and for each GPU with its free memory."""
    if not driver.ok:
        return [_gpu("driver", Status.BROKEN, f"querying the NVIDIA driver: {driver.text}",
                     "Reboot, and check what nvidia-smi says.")]
    report = driver.read(DriverReport)
    reason = report.reason
    if reason.startswith("no NVIDIA driver"):
        return [_gpu("driver", Status.OPTIONAL, f"{reason}; needed for --device cuda", fixes.install_driver())]
    if reason:
        return [_gpu("driver", Status.BROKEN, reason,
                     "Check what nvidia-smi says; reboot after an update of the driver. In a container: --gpus all.")]
    detail = f"{report.version or 'version unknown'}, for CUDA up to {report.cuda}"
    return [_gpu("driver", Status.OK, detail),
            *(_memory(f"GPU {index}", gpu) for index, gpu in enumerate(report.gpus))]


def _memory(name: str, gpu: GpuReport) -> Finding:
    if not gpu.free_bytes:
        return _gpu(name, Status.WARNING, f"{gpu.name}; its driver does not report its free memory",
                    "Check what nvidia-smi says: another program may have exclusive use of the GPU.")
    detail = f"{gpu.name}, {gpu.free_bytes / 2**30:.1f} GiB free"
    if gpu.free_bytes >= RUN_BYTES:
        return _gpu(name, Status.OK, detail)
    return _gpu(name, Status.WARNING, f"{detail}; a run needs about 1 GiB",
                "End other programs on the GPU (nvidia-smi lists them), or give upscale a smaller --tile.")


def cpu_finding(graph: ProbeResult, runtime: Package) -> Finding:
    """The finding for ONNX Runtime's CPU provider, from running the tiny graph."""
    version = _version(runtime)
    if graph.ok:
        return Finding(feature=FEATURES[BASE], name=_RUNTIME, state=Status.OK,
                       detail=f"{version}, ran a tiny graph on the CPU")
    return Finding(feature=FEATURES[BASE], name=_RUNTIME, state=Status.BROKEN,
                   detail=f"{version}, running a tiny graph on the CPU: {graph.text}",
                   fix=fixes.reinstall(runtime.requirement))


def runtime_findings(graph: ProbeResult, libraries: ProbeResult, driver: ProbeResult,
                     runtime: Package) -> list[Finding]:
    """Findings for the libraries that ONNX Runtime's CUDA provider loads, and for the provider, from the tiny graph."""
    with_libraries = _with_libraries(runtime)
    found = _libraries(graph, libraries, driver, runtime, with_libraries)
    name, version = f"{_RUNTIME} on CUDA", _version(runtime)
    if graph.ok:
        return [*found, _gpu(name, Status.OK, f"{version}, ran a tiny graph on the GPU")]
    if not has_gpu(driver) and not graph.crashed:
        return [*found, _gpu(name, Status.UNTRIED, f"{version}: no GPU to try it on")]
    return [*found, _gpu(name, Status.BROKEN, f"{version}, running a tiny graph on the GPU: {graph.text}",
                        _runtime_fix(graph, libraries, driver, runtime, with_libraries))]


def _runtime_fix(graph: ProbeResult, libraries: ProbeResult, driver: ProbeResult, runtime: Package,
                 with_libraries: str) -> str:
    """What is certain to be wrong comes first: the build, the driver, the libraries."""
    build = libraries.read(CudaLibrariesReport) if libraries.ok else None
    if build and not build.cuda:
        return _gpu_build(runtime)
    newest = driver.read(DriverReport).cuda if has_gpu(driver) else ""
    if build and newest and _major(newest) < _major(build.cuda):
        return (f"Update the NVIDIA driver: it supports CUDA up to {newest}, but this ONNX Runtime is built for "
                f"{build.cuda}.")
    if build and build.missing:
        return with_libraries
    return graph.remedy or fixes.reinstall(runtime.requirement)


def _major(version: str) -> int:
    return int(version.partition(".")[0])


def _gpu_build(runtime: Package) -> str:
    """Replace the build without CUDA by the one with it: both write the same folder."""
    _, _, bounds = runtime.requirement.partition(runtime.name)
    return fixes.replace_packages(_installed_runtimes() or [runtime.name], f"onnxruntime-gpu{bounds}")


def _libraries(graph: ProbeResult, libraries: ProbeResult, driver: ProbeResult, runtime: Package,
               fix: str) -> list[Finding]:
    name = "CUDA libraries"
    if not libraries.ok:
        return [_gpu(name, Status.UNTRIED, f"not checked: ONNX Runtime cannot be imported ({libraries.text})")]
    report = libraries.read(CudaLibrariesReport)
    cuda, missing = report.cuda, report.missing
    if not cuda:
        return [_gpu(name, Status.OPTIONAL, f"{runtime.module} {_version(runtime)} is built without CUDA",
                     _gpu_build(runtime))]
    if not report.names:
        return [_gpu(name, Status.UNTRIED, f"for CUDA {cuda}: not checked on this system")]
    if not missing:
        return [_gpu(name, Status.OK, f"all that ONNX Runtime needs of CUDA {cuda}")]
    detail = f"for CUDA {cuda}, not found: {', '.join(missing)}"
    if graph.ok:
        return [_gpu(name, Status.OK, f"{detail}; the tiny graph ran without them")]
    state = Status.BROKEN if has_gpu(driver) else Status.OPTIONAL
    return [_gpu(name, state, f"{detail}; needed for --device cuda", fix)]


def _with_libraries(runtime: Package) -> str:
    """Install the libraries, which are extras of ONNX Runtime."""
    _, _, bounds = runtime.requirement.partition(runtime.name)
    return fixes.install(f"onnxruntime-gpu[cuda,cudnn]{bounds}")


def _installed_runtimes() -> list[str]:
    return [name for name in ONNX_RUNTIME if installed_version(name)]


def _version(runtime: Package) -> str:
    names = _installed_runtimes()
    return runtime.installed or (f"{installed_version(names[0])} of {names[0]}" if names else "not installed")


def torch_findings(torch: ProbeResult, driver: ProbeResult, package: Package, extra_fix: str) -> list[Finding]:
    """Findings for PyTorch's version and build and, where there is a GPU, whether it computes on it."""
    by_hand = fixes.install_torch(package.requirement, with_cuda=has_gpu(driver))
    if torch.error == "ModuleNotFoundError" and torch.missing_module == "torch" and not package.installed:
        return [_torch(Status.OPTIONAL, f"not installed; needed for {package.needed_for}", extra_fix)]
    if not torch.ok:
        fix = fixes.missing_library(torch.text) or f"{by_hand} --force-reinstall"
        return [_torch(Status.BROKEN, f"{package.installed}: importing it fails: {torch.text}".lstrip(": "), fix)]
    report = torch.read(TorchReport)
    version, cuda = report.version, report.cuda
    build = f"{version}, built for CUDA {cuda}" if cuda else f"{version}, built for the CPU"
    if package.installed and not package.fits:
        return [_torch(Status.BROKEN, f"{build}; {package.requirement} is required", by_hand)]
    return [_torch(Status.OK, build), *_torch_on_gpu(report, driver, package)]


def _torch_on_gpu(torch: TorchReport, driver: ProbeResult, package: Package) -> list[Finding]:
    name = "PyTorch on CUDA"
    if not has_gpu(driver):
        return []
    with_cuda = fixes.install(package.requirement, options="--force-reinstall")
    if not torch.cuda:
        return [_gpu(name, Status.OPTIONAL, "built for the CPU; a CUDA build is needed to train on the GPU", with_cuda)]
    if torch.reason:
        return [_gpu(name, Status.BROKEN, f"a convolution on the GPU: {torch.reason}",
                     f"Install a build for CUDA {driver.read(DriverReport).cuda} or older "
                     "(https://pytorch.org/get-started/locally), or update the driver.")]
    return [_gpu(name, Status.OK, "ran a convolution on the GPU")]


def _torch(state: Status, detail: str, fix: str = "") -> Finding:
    return Finding(feature=FEATURES["torch"], name="torch", state=state, detail=detail, fix=fix)


def _gpu(name: str, state: Status, detail: str, fix: str = "") -> Finding:
    return Finding(feature=GPU, name=name, state=state, detail=detail, fix=fix)
