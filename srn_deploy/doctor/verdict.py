"""Whether `upscale --device` would run, by the way it goes: the answers of the children that did the same."""

from __future__ import annotations

from collections.abc import Mapping

from srn_deploy.doctor.children import Answer
from srn_deploy.doctor.gpu import has_gpu

GRAPH_ON = {"cpu": "graph on the CPU", "cuda": "graph on the GPU"}
"""Device to the question that runs the tiny graph on it."""

_WAYS = {"ONNX Runtime on the GPU": GRAPH_ON["cuda"], "PyTorch on the GPU": "torch"}
"""Of `--device auto` where there is a GPU, to the question that tries it."""

_BY = {"cpu": "ONNX Runtime on the CPU", "cuda": "ONNX Runtime on the GPU"}


def judge(device: str, answers: Mapping[str, Answer], *, reads_pictures: str, model_is_whole: bool) -> tuple[bool, str]:
    """Whether it works, and what runs or what is in the way.

    reads_pictures: why pictures cannot be read and written; empty where they can.
    """
    if reads_pictures:
        return False, f"pictures cannot be read: {reads_pictures}"
    if not model_is_whole:
        return False, "the default model is not whole"
    if device in GRAPH_ON:
        return _on(device, answers)
    return _automatic(answers)


def _on(device: str, answers: Mapping[str, Answer]) -> tuple[bool, str]:
    graph = answers[GRAPH_ON[device]]
    return (True, _BY[device]) if graph.ok else (False, f"{_BY[device]}: {graph.text}")


def _automatic(answers: Mapping[str, Answer]) -> tuple[bool, str]:
    """As open_model goes on: ONNX Runtime, then PyTorch on the GPU, then the CPU; what is no error of ours ends it."""
    driver = answers["driver"]
    if not driver.ok:
        return False, f"the NVIDIA driver: {driver.text}; use --device cpu"
    obstacles = [] if has_gpu(driver) else [driver.told["reason"]]
    for title, question in _WAYS.items() if has_gpu(driver) else ():
        answer = answers[question]
        obstacle = answer.text or _why_not_torch(answers) if question == "torch" else answer.text
        if _stops(answer):
            return False, f"{title}: {obstacle}; use --device cpu"
        told = f" ({'; '.join(obstacles)})" if obstacles else ""
        if not obstacle:
            return True, title + told
        obstacles.append(f"{title}: {obstacle}")
    works, told = _on("cpu", answers)
    return works, f"{told} ({'; '.join(obstacles)})"


def _stops(answer: Answer) -> bool:
    """Whether `upscale` would end here: it goes on after an error of ours, and where there is no PyTorch."""
    return not answer.ok and not answer.remedy and answer.lacking != "torch"


def _why_not_torch(answers: Mapping[str, Answer]) -> str:
    """Why an installed PyTorch does not run the default model on the GPU; empty where it does."""
    told, safetensors = answers["torch"].told, answers["import safetensors"]
    if not told["cuda"]:
        return "a build for the CPU"
    return str(told["reason"]) or safetensors.text
