"""Whether `upscale --device` would run, by the way it goes: the answers of the children that did the same."""

from __future__ import annotations

from collections.abc import Mapping

from srn_deploy.doctor.children import Answer
from srn_deploy.doctor.gpu import has_gpu

GRAPH_ON = {"cpu": "graph on the CPU", "cuda": "graph on the GPU"}
"""Device to the question that runs the tiny graph on it."""

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
    """As open_model goes on: ONNX Runtime, then PyTorch on the GPU, then the CPU. A crash on the way ends it."""
    obstacles = []
    driver, torch = answers["driver"], answers["torch"]
    if driver.died:
        return False, f"the NVIDIA driver: {driver.text}"
    if not has_gpu(driver):
        obstacles.append(driver.told["reason"] if driver.ok else driver.text)
    else:
        works, told = _on("cuda", answers)
        if works:
            return works, told
        obstacles.append(told)
        if not answers[GRAPH_ON["cuda"]].died:
            if torch.ok and torch.told["cuda"] and not torch.told["reason"]:
                return True, f"PyTorch on the GPU ({told})"
            crashed = torch
        else:
            crashed = answers[GRAPH_ON["cuda"]]
        if crashed.died:
            return False, f"{'; '.join(obstacles)}; use --device cpu" if crashed is not torch else \
                f"PyTorch on the GPU: {torch.text}; use --device cpu"
    works, told = _on("cpu", answers)
    return works, f"{told} ({'; '.join(obstacles)})"
