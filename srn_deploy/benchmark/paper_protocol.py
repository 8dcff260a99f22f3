"""The paper's timing, run: every network of its tables in turn on the same inputs, with fresh weights.

Time does not depend on the weights; quality does, so nothing here yields a PSNR.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field

import torch
from torch import nn

from srn_deploy.architectures import ARCHITECTURES
from srn_deploy.architectures.complexity import count
from srn_deploy.backends.pytorch_clock import elapsed_ms
from srn_deploy.benchmark.candidates import cautions
from srn_deploy.benchmark.environment import GpuState, current_environment, with_gpu
from srn_deploy.benchmark.inputs import InputPixels, Inputs
from srn_deploy.benchmark.machine import PeakMemory, gpu_state, throttling
from srn_deploy.benchmark.paper import PROTOCOL, Row, noise, paper_rows, peer_rows
from srn_deploy.benchmark.records import Record
from srn_deploy.benchmark.results import NetworkResult, PaperResults
from srn_deploy.benchmark.summary import FEW_SAMPLES
from srn_deploy.errors import DeviceUnavailable
from srn_deploy.system.documents import to_builtins
from srn_deploy.system.threads import fitting_threads, usable_cores

OnPass = Callable[[int, int], None]
"""Called with (passes done, total passes)."""

KIND = "bench-paper"


@dataclass
class _TimedNetwork:
    """One network and what its passes took."""

    row: Row
    module: nn.Module
    samples_ms: list[float] = field(default_factory=list)
    peak_mib: float | None = None


@dataclass
class _Run:
    """What was timed so far."""

    device: str
    on_pass: OnPass
    total: int
    """Passes in all."""
    done: int = 0
    networks: dict[str, NetworkResult] = field(default_factory=dict)
    labels: dict[str, str] = field(default_factory=dict)
    states: list[GpuState] = field(default_factory=list)
    interrupted: bool = False


def run_paper(inputs: Inputs, device: str = "cpu", *, peers: bool = False, rows: Sequence[Row] | None = None,
              on_pass: OnPass = lambda done, total: None) -> Record:
    """Time all networks of Tables 1 to 5 on all inputs, one after the other on each; raises DeviceUnavailable.

    peers: the networks of `peer_rows` too. rows: the networks of these alone.

    After Ctrl-C the networks are kept that have run on at least FEW_SAMPLES inputs, and the results say that the run
    was interrupted; where there are none, KeyboardInterrupt is raised.
    """
    if device == "cuda" and not torch.cuda.is_available():
        raise DeviceUnavailable("PyTorch sees no GPU.", remedy="Use --device cpu, or install PyTorch's CUDA build.")
    torch.set_num_threads(fitting_threads(torch.get_num_threads()))
    threads = torch.get_num_threads() if device == "cpu" else usable_cores()
    environment = with_gpu(current_environment(threads=threads), gpu_state())
    wanted = [*paper_rows(), *(peer_rows() if peers else ())] if rows is None else rows
    runnable = {row.network: row for row in wanted if row.is_runnable}
    run = _Run(device, on_pass, total=len(runnable) * len(inputs.pictures))
    with _authors_settings():
        for scale in sorted({row.scale for row in runnable.values()}, reverse=True):
            _time_scale([row for row in runnable.values() if row.scale == scale], inputs, run)
            if run.interrupted:
                break
    results = PaperResults(
        protocol=PROTOCOL, device=device, inputs=run.labels, networks=run.networks,
        cautions=[*_stopped(run), *cautions({}, GpuState(gpu="", gpu_throttled_by=throttling(run.states))),
                  *noise(run.networks), *_few(run.networks.values())],
        interrupted=run.interrupted)
    return Record(kind=KIND, title=f"The paper's tables on {environment.gpu if device == 'cuda' else environment.cpu}",
                  environment=environment, results=to_builtins(results))


def _time_scale(rows: Sequence[Row], inputs: Inputs, run: _Run) -> None:
    """Time all networks of one scale; after Ctrl-C only the inputs count that all of them have run on."""
    scale = rows[0].scale
    pictures, label = inputs.at_scale(scale)
    timed = [_TimedNetwork(row, _built(row, run.device)) for row in rows]
    try:
        for picture in pictures:
            for one in timed:
                one.samples_ms.append(_timed_pass(one, picture, run.device))
                run.done += 1
                run.on_pass(run.done, run.total)
            run.states.append(gpu_state())
    except KeyboardInterrupt:
        complete = min(len(one.samples_ms) for one in timed)
        if complete < FEW_SAMPLES and not run.networks:
            raise
        run.interrupted = True
        if complete < FEW_SAMPLES:
            return
        for one in timed:
            del one.samples_ms[complete:]
    run.labels[f"x{scale}"] = label
    run.networks |= {one.row.network: _result(one) for one in timed}


def _stopped(run: _Run) -> list[str]:
    return [f"Interrupted after {run.done} of {run.total} passes."] if run.interrupted else []


def _few(networks: Iterable[NetworkResult]) -> list[str]:
    fewest = min(len(network.samples_ms) for network in networks)
    if fewest >= FEW_SAMPLES:
        return []
    return [f"Only {fewest} inputs: without warm-up the first one weighs heavily; measure more."]


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


def _timed_pass(one: _TimedNetwork, picture: InputPixels, device: str) -> float:
    """Milliseconds of one forward pass on an image that lies on the device already."""
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


def _result(one: _TimedNetwork) -> NetworkResult:
    return NetworkResult(
        architecture=str(one.row.architecture), options=dict(one.row.options), scale=one.row.scale,
        samples_ms=one.samples_ms, peak_mib=one.peak_mib, **asdict(count(one.module.to("cpu"))))
