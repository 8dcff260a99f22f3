"""Questions to the NVIDIA driver, asked before any library that crashes or fails silently without a GPU."""

from __future__ import annotations

import ctypes
import sys
from typing import Any

_LIBRARY = "nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1"

# cuDeviceGetAttribute: CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR and _MINOR.
_CAPABILITY_ATTRIBUTES = (75, 76)

_MANAGEMENT = "nvml.dll" if sys.platform == "win32" else "libnvidia-ml.so.1"


def why_no_gpu() -> str:
    """Why no NVIDIA GPU can be used on this machine, as a clause; empty when one can."""
    try:
        driver = ctypes.CDLL(_LIBRARY)
    except OSError:
        return f"no NVIDIA driver ({_LIBRARY}) on this machine"
    if status := driver.cuInit(0):
        return f"the NVIDIA driver does not start (cuInit gave {status})"
    count = ctypes.c_int(0)
    driver.cuDeviceGetCount(ctypes.byref(count))
    return "" if count.value else "the NVIDIA driver finds no GPU"


def gpu_count() -> int:
    """How many GPUs the driver finds; only where `why_no_gpu` is empty."""
    driver, _ = _device(0)
    count = ctypes.c_int(0)
    driver.cuDeviceGetCount(ctypes.byref(count))
    return count.value


def newest_cuda() -> str:
    """The newest CUDA version that the driver supports, as in 13.0; only where `why_no_gpu` is empty."""
    driver, _ = _device(0)
    number = ctypes.c_int(0)
    driver.cuDriverGetVersion(ctypes.byref(number))
    return f"{number.value // 1000}.{number.value % 1000 // 10}"


def driver_version() -> str:
    """The version that `nvidia-smi` shows, from the management library; empty where that does not report it."""
    text = ctypes.create_string_buffer(96)
    try:
        management = ctypes.CDLL(_MANAGEMENT)
    except OSError:
        return ""
    if management.nvmlInit_v2() or management.nvmlSystemGetDriverVersion(text, len(text)):
        return ""
    management.nvmlShutdown()
    return text.value.decode(errors="replace")


def gpu_name(index: int = 0) -> str:
    """Name and compute capability of a GPU, as in `NVIDIA H200 9.0`; only where `why_no_gpu` is empty."""
    driver, device = _device(index)
    name = ctypes.create_string_buffer(256)
    driver.cuDeviceGetName(name, len(name), device)
    return f"{name.value.decode()} {'.'.join(map(str, compute_capability(index)))}"


def compute_capability(index: int = 0) -> tuple[int, int]:
    """Major and minor compute capability, as in (9, 0); only where `why_no_gpu` is empty."""
    driver, device = _device(index)
    numbers = [ctypes.c_int(0), ctypes.c_int(0)]
    for number, attribute in zip(numbers, _CAPABILITY_ATTRIBUTES, strict=True):
        driver.cuDeviceGetAttribute(ctypes.byref(number), attribute, device)
    return numbers[0].value, numbers[1].value


def _device(index: int) -> tuple[Any, ctypes.c_int]:
    driver, device = ctypes.CDLL(_LIBRARY), ctypes.c_int(0)
    driver.cuInit(0)
    driver.cuDeviceGet(ctypes.byref(device), index)
    return driver, device


def free_gpu_bytes(index: int = 0) -> int:
    """Free memory of a GPU, or 0 where the driver does not report it; only where `why_no_gpu` is empty.

    Measured in the primary context, which PyTorch, ONNX Runtime and PyCUDA share.
    """
    driver, device = _device(index)
    context, free, total = ctypes.c_void_p(), ctypes.c_size_t(0), ctypes.c_size_t(0)
    if driver.cuDevicePrimaryCtxRetain(ctypes.byref(context), device):
        return 0
    try:
        driver.cuCtxPushCurrent_v2(context)
        driver.cuMemGetInfo_v2(ctypes.byref(free), ctypes.byref(total))
        driver.cuCtxPopCurrent_v2(ctypes.byref(context))
    finally:
        driver.cuDevicePrimaryCtxRelease_v2(device)
    return free.value
