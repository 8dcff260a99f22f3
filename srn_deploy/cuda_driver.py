"""Is there an NVIDIA driver with a GPU? Asked before any library that would crash or fall silent without one."""

from __future__ import annotations

import ctypes
import sys
from typing import Any

_LIBRARY = "nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1"

# cuDeviceGetAttribute: CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR and _MINOR.
_CAPABILITY_ATTRIBUTES = (75, 76)


def why_no_gpu() -> str:
    """Why no NVIDIA GPU can be used on this machine; empty when one can."""
    try:
        driver = ctypes.CDLL(_LIBRARY)
    except OSError:
        return f"no NVIDIA driver ({_LIBRARY}) on this machine"
    if status := driver.cuInit(0):
        return f"the NVIDIA driver does not start (cuInit gave {status})"
    count = ctypes.c_int(0)
    driver.cuDeviceGetCount(ctypes.byref(count))
    return "" if count.value else "the NVIDIA driver sees no GPU"


def gpu_name(index: int = 0) -> str:
    """Name and compute capability of a GPU, as in `NVIDIA H200 9.0`; only where `why_no_gpu` is empty."""
    driver: Any = ctypes.CDLL(_LIBRARY)
    driver.cuInit(0)
    device, name = ctypes.c_int(0), ctypes.create_string_buffer(256)
    driver.cuDeviceGet(ctypes.byref(device), index)
    driver.cuDeviceGetName(name, len(name), device)
    numbers = []
    for attribute in _CAPABILITY_ATTRIBUTES:
        number = ctypes.c_int(0)
        driver.cuDeviceGetAttribute(ctypes.byref(number), attribute, device)
        numbers.append(str(number.value))
    return f"{name.value.decode()} {'.'.join(numbers)}"


def free_gpu_bytes(index: int = 0) -> int:
    """Memory that is free on a GPU now; only where `why_no_gpu` is empty. 0 where the driver does not tell.

    Asked in the primary context, which PyTorch, ONNX Runtime and PyCUDA share.
    """
    driver: Any = ctypes.CDLL(_LIBRARY)
    driver.cuInit(0)
    device, context = ctypes.c_int(0), ctypes.c_void_p()
    free, total = ctypes.c_size_t(0), ctypes.c_size_t(0)
    driver.cuDeviceGet(ctypes.byref(device), index)
    if driver.cuDevicePrimaryCtxRetain(ctypes.byref(context), device):
        return 0
    try:
        driver.cuCtxPushCurrent_v2(context)
        driver.cuMemGetInfo_v2(ctypes.byref(free), ctypes.byref(total))
        driver.cuCtxPopCurrent_v2(ctypes.byref(context))
    finally:
        driver.cuDevicePrimaryCtxRelease_v2(device)
    return free.value
