"""Timing of PyTorch code: between two events on a GPU, by the wall clock on the CPU."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import torch


def elapsed_ms(work: Callable[[], object], device: torch.device | str) -> float:
    """Run `work` once, wait until the device has finished it, and return the milliseconds it took."""
    if torch.device(device).type == "cpu":
        began = time.perf_counter()
        work()
        return (time.perf_counter() - began) * 1000
    events: list[Any] = [torch.cuda.Event(enable_timing=True) for _ in range(2)]  # type: ignore[no-untyped-call]
    torch.cuda.synchronize(device)  # so that earlier work is not timed
    events[0].record()
    work()
    events[1].record()
    events[1].synchronize()
    return float(events[0].elapsed_time(events[1]))
