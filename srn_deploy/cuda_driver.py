"""Is there an NVIDIA driver with a GPU? Asked before any library that would crash or fall silent without one."""

from __future__ import annotations

import ctypes
import sys

_LIBRARY = "nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1"


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
