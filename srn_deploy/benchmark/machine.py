"""The machine a benchmark runs on: the state of its GPU, the most it can do, and the memory of this process."""

from __future__ import annotations

import importlib.util
import logging
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from pathlib import Path

import msgspec
import numpy as np

from srn_deploy.backends import openvino_product
from srn_deploy.benchmark.environment import NARROW, Ceilings, GpuState
from srn_deploy.errors import BackendError
from srn_deploy.system.cuda_driver import gpu_name, why_no_gpu
from srn_deploy.system.threads import fitting_threads

THROTTLE_REASONS = {0x4: "power cap", 0x8: "hardware slowdown", 0x20: "software thermal slowdown",
                    0x40: "hardware thermal slowdown", 0x80: "power brake"}
"""Bits of NVML's clocks event reasons that mean the GPU was held back."""

_log = logging.getLogger(__name__)

_PROBES = 5
_MATRIX_SIDE = 2048
_COPIED_BYTES = 2**28


def gpu_state() -> GpuState:
    """Name, clocks, temperature, throttling and driver of the first GPU; without nvidia-ml-py the name alone."""
    if reason := why_no_gpu():
        return GpuState(gpu=f"none: {reason}")
    named = GpuState(gpu=gpu_name())
    if importlib.util.find_spec("pynvml") is None:
        return msgspec.structs.replace(named, gpu_state="not known: pip install nvidia-ml-py")
    import pynvml

    try:
        pynvml.nvmlInit()
        handle = pynvml.nvmlDeviceGetHandleByIndex(0)
        held_back = int(pynvml.nvmlDeviceGetCurrentClocksEventReasons(handle))
        state = GpuState(
            gpu=named.gpu, driver=str(pynvml.nvmlSystemGetDriverVersion()),
            sm_clock_mhz=int(pynvml.nvmlDeviceGetClockInfo(handle, pynvml.NVML_CLOCK_SM)),
            memory_clock_mhz=int(pynvml.nvmlDeviceGetClockInfo(handle, pynvml.NVML_CLOCK_MEM)),
            temperature_c=int(pynvml.nvmlDeviceGetTemperature(handle, pynvml.NVML_TEMPERATURE_GPU)),
            gpu_throttled_by=[name for bit, name in THROTTLE_REASONS.items() if held_back & bit])
        pynvml.nvmlShutdown()
    except pynvml.NVMLError as error:
        return msgspec.structs.replace(named, gpu_state=f"not known: {error}")
    return state


def throttling(states: Iterable[GpuState]) -> list[str]:
    """Everything that held the GPU back in any of some states."""
    return sorted({reason for state in states for reason in state.gpu_throttled_by or ()})


def ceilings(device: str, precisions: Collection[str] = ()) -> Ceilings:
    """GFLOP/s of a large matrix product and GB/s of a large copy, the best of a few.

    No network exceeds them on a machine that does nothing else. A busy machine shows too little, so take the larger
    of two measurements. On the CPU in float32, and of precisions also in bf16 and int8, by the fastest library that is
    installed; on a GPU, through PyTorch, in float16, and unknown without PyTorch.
    """
    if device == "cuda":
        return _gpu_ceilings() if importlib.util.find_spec("torch") is not None else Ceilings()
    block = np.ones(_COPIED_BYTES, np.uint8)
    other = np.empty_like(block)
    narrow = {name: rate for name in NARROW if name in precisions and (rate := _cpu_gflops(_narrow_products(name)))}
    return Ceilings(gflops=_cpu_gflops(_float_products()), narrow_gflops=narrow,
                    gbytes_per_s=2 * _COPIED_BYTES / _fastest(lambda: np.copyto(other, block)) / 1e9)


def _cpu_gflops(products: Iterable[Callable[[], object]]) -> float:
    """Of the fastest product of matrices of _MATRIX_SIDE; 0 without any."""
    return max((2 * _MATRIX_SIDE**3 / _fastest(product) / 1e9 for product in products), default=0.0)


def _float_products() -> Iterator[Callable[[], object]]:
    matrix = np.ones((_MATRIX_SIDE, _MATRIX_SIDE), np.float32)
    yield lambda: matrix @ matrix
    if importlib.util.find_spec("torch") is not None:
        yield _torch_product("float32")


def _narrow_products(precision: str) -> Iterator[Callable[[], object]]:
    if precision == "bf16" and importlib.util.find_spec("torch") is not None:
        yield _torch_product("bfloat16")
    if importlib.util.find_spec("openvino") is not None:
        try:
            yield openvino_product(precision, _MATRIX_SIDE)
        except BackendError as error:
            _log.warning("The ceiling in %s is measured without OpenVINO: %s", precision.upper(), error.message)


def _torch_product(dtype: str) -> Callable[[], object]:
    import torch

    torch.set_num_threads(fitting_threads(torch.get_num_threads()))
    matrix = torch.ones(_MATRIX_SIDE, _MATRIX_SIDE, dtype=getattr(torch, dtype))

    def product() -> None:
        with torch.inference_mode():
            torch.mm(matrix, matrix)

    return product


def _gpu_ceilings() -> Ceilings:
    import torch

    side = 4 * _MATRIX_SIDE
    matrix = torch.ones(side, side, device="cuda", dtype=torch.float16)
    block = torch.ones(_COPIED_BYTES, device="cuda", dtype=torch.uint8)
    other = torch.empty_like(block)

    def synchronised(work: Callable[[], object]) -> Callable[[], object]:
        def run() -> None:
            work()
            torch.cuda.synchronize()

        return run

    return Ceilings(gflops=2 * side**3 / _fastest(synchronised(lambda: matrix @ matrix)) / 1e9,
                    gbytes_per_s=2 * _COPIED_BYTES / _fastest(synchronised(lambda: other.copy_(block))) / 1e9)


def _fastest(work: Callable[[], object]) -> float:
    """Seconds, after one run to warm up."""
    work()
    seconds = []
    for _ in range(_PROBES):
        began = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - began)
    return min(seconds)


class PeakMemory:
    """The largest resident set of this process since `begin`, where the system reports it (Linux)."""

    _RESET = Path("/proc/self/clear_refs")
    _STATUS = Path("/proc/self/status")

    def begin(self) -> None:
        """Forget peaks before this."""
        try:
            self._RESET.write_text("5", encoding="ascii")
        except OSError:
            self._is_known = False
        else:
            self._is_known = True

    def mebibytes(self) -> float | None:
        """None where the system does not report it."""
        if not self._is_known:
            return None
        lines = self._STATUS.read_text(encoding="ascii").splitlines()
        peaks = [line.split()[1] for line in lines if line.startswith("VmHWM")]
        return int(peaks[0]) / 1024 if peaks else None
