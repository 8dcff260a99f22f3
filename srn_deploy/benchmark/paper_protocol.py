"""The paper's timing, run: every network of its tables in turn on the same inputs, with fresh weights.

Time does not depend on the weights; quality does, so nothing here yields a PSNR.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import nn

from srn_deploy.architectures import ARCHITECTURES
from srn_deploy.architectures.complexity import count
from srn_deploy.backends.pytorch_clock import elapsed_ms
from srn_deploy.benchmark.contestants import cautions
from srn_deploy.benchmark.inputs import Inputs, Pixels
from srn_deploy.benchmark.machine import PeakMemory, gpu_state, throttling
from srn_deploy.benchmark.paper import PROTOCOL, Row, noise, paper_rows
from srn_deploy.benchmark.records import FEW_SAMPLES, Record, circumstances
from srn_deploy.errors import DeviceUnavailable
from srn_deploy.system.threads import usable_cores

OnPass = Callable[[int, int], None]
"""Called with (passes done, passes in all)."""

KIND = "bench-paper"


@dataclass
class _Timed:
    """One network and what its passes took."""

    row: Row
    module: nn.Module
    samples_ms: list[float]
    peak_mib: float | None = None


def run_paper(inputs: Inputs, device: str = "cpu", *, on_pass: OnPass = lambda done, total: None) -> Record:
    """Time all networks of Tables 1 to 5 on all inputs, one after the other on each; raises DeviceUnavailable."""
    if device == "cuda" and not torch.cuda.is_available():
        raise DeviceUnavailable("PyTorch sees no GPU.", remedy="Use --device cpu, or install PyTorch's CUDA build.")
    told = circumstances(threads=torch.get_num_threads() if device == "cpu" else usable_cores()) | gpu_state()
    rows = {row.network: row for row in paper_rows() if row.is_runnable}
    labels: dict[str, str] = {}
    networks: dict[str, Any] = {}
    states: list[dict[str, Any]] = []
    done = 0
    total = len(rows) * len(inputs.pictures)
    with _authors_settings():
        for scale in sorted({row.scale for row in rows.values()}, reverse=True):
            pictures, labels[f"x{scale}"] = inputs.at_scale(scale)
            timed = [_Timed(row, _built(row, device), []) for row in rows.values() if row.scale == scale]
            for picture in pictures:
                for one in timed:
                    one.samples_ms.append(_timed_pass(one, picture, device))
                    done += 1
                    on_pass(done, total)
                states.append(gpu_state())
            networks |= {one.row.network: _told(one) for one in timed}
    samples = {f"{rows[key].model} x{rows[key].scale}": network["samples_ms"] for key, network in networks.items()}
    return Record(kind=KIND, title=f"The paper's tables on {told['gpu'] if device == 'cuda' else told['cpu']}",
                  circumstances=told, results={
                      "protocol": PROTOCOL, "device": device, "inputs": labels, "networks": networks,
                      "cautions": [*cautions({}, {"gpu_throttled_by": throttling(states)}), *noise(networks),
                                   *_few(samples)]})


def _few(samples: Mapping[str, Sequence[float]]) -> list[str]:
    count_of = len(next(iter(samples.values()), ()))
    if count_of >= FEW_SAMPLES:
        return []
    return [f"Only {count_of} inputs: without warm-up the first one weighs heavily; measure more."]


@contextmanager
def _authors_settings() -> Iterator[None]:
    """cuDNN's defaults, which the authors' script leaves alone."""
    before = torch.backends.cudnn.benchmark
    torch.backends.cudnn.benchmark = False
    try:
        yield
    finally:
        torch.backends.cudnn.benchmark = before


def _built(row: Row, device: str) -> nn.Module:
    torch.manual_seed(0)
    return ARCHITECTURES[str(row.architecture)].build(row.options).eval().requires_grad_(False).to(device)


def _timed_pass(one: _Timed, picture: Pixels, device: str) -> float:
    """Milliseconds of one forward pass on a picture that lies on the device already."""
    value_range = ARCHITECTURES[str(one.row.architecture)].describe(one.row.options).value_range
    rgb = torch.from_numpy(picture.copy()).permute(2, 0, 1)[None].to(device).float() * (value_range / 255.0)
    held_bytes = torch.cuda.memory_allocated() - _weight_bytes(one.module) if device == "cuda" else 0
    peak = PeakMemory()
    peak.begin()
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
    with torch.inference_mode():
        milliseconds = elapsed_ms(lambda: one.module(rgb), device)
    used = (torch.cuda.max_memory_allocated() - held_bytes) / 2**20 if device == "cuda" else peak.mebibytes()
    one.peak_mib = used if one.peak_mib is None or used is None else max(one.peak_mib, used)
    return milliseconds


def _weight_bytes(module: nn.Module) -> int:
    return sum(parameter.numel() * parameter.element_size() for parameter in module.parameters())


def _told(one: _Timed) -> dict[str, Any]:
    """For the record; counted at 256 x 256 as the challenge does."""
    return {"architecture": one.row.architecture, "options": dict(one.row.options), "scale": one.row.scale,
            "samples_ms": one.samples_ms, "peak_mib": one.peak_mib, **asdict(count(one.module.to("cpu")))}
