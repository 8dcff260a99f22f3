"""A network in PyTorch as it can be timed: the authors' way, FP16 channels last, that in a CUDA graph, and compiled."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from srn_deploy.architectures import ARCHITECTURES
from srn_deploy.architectures.complexity import count
from srn_deploy.backends.pytorch_clock import elapsed_ms
from srn_deploy.benchmark.paper import paper_rows


def networks() -> dict[str, tuple[str, dict[str, Any]]]:
    """Ours and the peers of Table 1 at x4, with fresh weights: time does not depend on them. Ours first."""
    rows = [row for row in paper_rows() if row.table == "table1" and row.scale == 4 and row.is_runnable]
    rows.sort(key=lambda row: (not row.model.startswith("SRN"), row.model != "RLFN"))
    return {"SRN-S, 4 blocks": ("srn", {"scale": 4, "blocks": 4, "last_conv": False}),
            **{row.model: (str(row.architecture), dict(row.options)) for row in rows}}


COMPILED = ("SRN-S, 4 blocks", "SRN-S", "SRN", "RLFN")
"""Networks for which torch.compile is worth the half minute that it takes."""


def ways(architecture: str, options: dict[str, Any], size: tuple[int, int], *, on_gpu: bool,
         compiled: bool = False) -> dict[str, Callable[[], float]]:
    """Name to a pass that returns its milliseconds: device events on a GPU, the clock elsewhere."""
    torch.manual_seed(0)
    device = torch.device("cuda" if on_gpu else "cpu")
    network = ARCHITECTURES[architecture].build(options).eval().requires_grad_(False).to(device)
    rgb = torch.rand(1, 3, *size, device=device) * ARCHITECTURES[architecture].describe(options).value_range
    found = {"FP32 eager, as the authors ran it": _timed(network, rgb)}
    if on_gpu:
        half = ARCHITECTURES[architecture].build(options).eval().requires_grad_(False).to(device).half()
        half.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        half_rgb = rgb.half().contiguous(memory_format=torch.channels_last)
        found["FP16 channels last"] = _timed(half, half_rgb)
        found["FP16 channels last, CUDA graph"] = _graphed(half, half_rgb)
        if compiled:
            found["FP16 channels last, torch.compile"] = _timed(torch.compile(half), half_rgb)
    return found


def roofline(architecture: str, options: dict[str, Any], size: tuple[int, int], milliseconds: float,
             gflops: float) -> float:
    """The share of the highest rate of FP16 products that a pass over one image of (height, width) reaches."""
    with torch.device("meta"):
        network = ARCHITECTURES[architecture].build(options)
    operations = 2 * count(network, height=size[0], width=size[1]).flops  # a multiplication and an addition
    return operations / (milliseconds / 1e3) / (gflops * 1e9)


def _timed(network: Callable[[Tensor], object], rgb: Tensor) -> Callable[[], float]:
    @torch.inference_mode()
    def run() -> float:
        return elapsed_ms(lambda: network(rgb), rgb.device)

    return run


def _graphed(network: nn.Module, rgb: Tensor) -> Callable[[], float]:
    """Warmed up on a stream of its own, as PyTorch asks for, then captured."""
    side = torch.cuda.Stream()  # type: ignore[no-untyped-call]  # PyTorch's own has no annotations
    with torch.inference_mode(), torch.cuda.stream(side):
        for _ in range(3):
            network(rgb)
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.inference_mode(), torch.cuda.graph(graph):
        network(rgb)

    def run() -> float:
        return elapsed_ms(graph.replay, rgb.device)

    return run
