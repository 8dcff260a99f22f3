"""Whether `upscale --device` would run, judged by probes that did the same."""

from __future__ import annotations

from collections.abc import Mapping

from srn_deploy.doctor.gpu import has_gpu
from srn_deploy.doctor.probe_reports import DriverReport, TorchReport
from srn_deploy.doctor.subprocesses import ProbeResult

GRAPH_ON = {"cpu": "graph on the CPU", "cuda": "graph on the GPU", "openvino": "graph on OpenVINO"}
"""Device to the probe that runs the tiny graph on it."""

_WAYS = {"ONNX Runtime on the GPU": GRAPH_ON["cuda"], "PyTorch on the GPU": "torch"}
"""What `--device auto` tries where there is a GPU, and the probe that tries it."""

_BY = {"cpu": "ONNX Runtime on the CPU", "cuda": "ONNX Runtime on the GPU", "openvino": "OpenVINO on the CPU"}


def judge(device: str, results: Mapping[str, ProbeResult], *, image_problem: str,
          model_is_whole: bool) -> tuple[bool, str]:
    """Whether `upscale` works on a device (auto, cpu, cuda or openvino), and what runs it or what prevents it.

    image_problem: why images cannot be read and written; empty where they can.
    """
    if image_problem:
        return False, f"images cannot be read: {image_problem}"
    if not model_is_whole:
        return False, "the default model is missing or damaged"
    if device in GRAPH_ON:
        return _on(device, results)
    return _automatic(results)


def _on(device: str, results: Mapping[str, ProbeResult]) -> tuple[bool, str]:
    graph = results[GRAPH_ON[device]]
    return (True, _BY[device]) if graph.ok else (False, f"{_BY[device]}: {graph.text}")


def _automatic(results: Mapping[str, ProbeResult]) -> tuple[bool, str]:
    """In the order of open_model: ONNX Runtime, then PyTorch on the GPU, then the CPU; foreign errors end it."""
    driver = results["driver"]
    if not driver.ok:
        return False, f"the NVIDIA driver: {driver.text}; use --device cpu"
    obstacles = [] if has_gpu(driver) else [driver.read(DriverReport).reason]
    for title, name in _WAYS.items() if has_gpu(driver) else ():
        result = results[name]
        obstacle = result.text or _why_not_torch(results) if name == "torch" else result.text
        if _stops(result):
            return False, f"{title}: {obstacle}; use --device cpu"
        before = f" ({'; '.join(obstacles)})" if obstacles else ""
        if not obstacle:
            return True, title + before
        obstacles.append(f"{title}: {obstacle}")
    works, verdict = _on("cpu", results)
    return works, f"{verdict} ({'; '.join(obstacles)})"


def _stops(result: ProbeResult) -> bool:
    """Whether `upscale` would fail here: it continues after a SrnDeployError, and where PyTorch is not installed."""
    return not result.ok and not result.remedy and result.missing_module != "torch"


def _why_not_torch(results: Mapping[str, ProbeResult]) -> str:
    """Why an installed PyTorch does not run the default model on the GPU; empty where it does."""
    torch, safetensors = results["torch"].read(TorchReport), results["import safetensors"]
    return (torch.reason if torch.cuda else "built for the CPU") or safetensors.text
