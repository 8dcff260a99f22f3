"""Milliseconds of a pass in PyTorch: between two events on a GPU, by the clock on the CPU."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import torch


def elapsed_ms(work: Callable[[], object], device: torch.device | str) -> float:
    """Run once and wait for it."""
    if torch.device(device).type == "cpu":
        began = time.perf_counter()
        work()
        return (time.perf_counter() - began) * 1000
    events: list[Any] = [torch.cuda.Event(enable_timing=True) for _ in range(2)]  # type: ignore[no-untyped-call]
    torch.cuda.synchronize(device)  # what was begun before is not part of it
    events[0].record()
    work()
    events[1].record()
    events[1].synchronize()
    return float(events[0].elapsed_time(events[1]))
