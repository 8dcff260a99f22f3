"""Measures how large the values inside a network become, because FP16 ends at 65504."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn


@contextmanager
def watched_peaks(network: nn.Module) -> Iterator[dict[str, float]]:
    """Record the largest absolute output of every layer while the `with` block runs.

    Yields a mapping from layer name to that value, which grows with each run of the network; a NaN stays NaN.
    """
    peaks: dict[str, float] = {}
    handles = [module.register_forward_hook(_hook(peaks, name)) for name, module in network.named_modules()
               if not list(module.children())]
    try:
        yield peaks
    finally:
        for handle in handles:
            handle.remove()


def _hook(peaks: dict[str, float], name: str) -> Any:
    def keep(module: nn.Module, inputs: object, output: Tensor) -> None:
        peak = float(output.detach().abs().max()) if torch.is_tensor(output) and output.numel() else 0.0
        known = peaks.get(name, 0.0)
        peaks[name] = peak if not peak <= known else known  # a NaN is not smaller than anything

    return keep
