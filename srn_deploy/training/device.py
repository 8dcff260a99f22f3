"""The device of a run, its number type, and the error for a full memory."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from srn_deploy.backends.pytorch import is_out_of_memory
from srn_deploy.errors import DeviceUnavailable, OptionError, OutOfMemory


def choose_device(name: str) -> torch.device:
    """The device for `auto`, `cpu`, `cuda` or `cuda:N`; only `auto` chooses.

    Raises OptionError for another name, DeviceUnavailable where PyTorch does not see that GPU.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    kind, _, number = name.partition(":")
    if kind not in ("cpu", "cuda") or (number and not (kind == "cuda" and number.isdecimal())):
        raise OptionError(f"There is no device {name!r}.", remedy="Use auto, cpu or cuda.")
    if kind == "cuda" and int(number or 0) >= torch.cuda.device_count():
        raise DeviceUnavailable(f"Device {name} was requested, but PyTorch {torch.__version__} sees "
                                f"{torch.cuda.device_count()} CUDA devices.",
                                remedy="Use --device cpu, or install a driver and a CUDA build of PyTorch.")
    return torch.device(name)


def has_fast_bfloat16(device: torch.device) -> bool:
    """Whether bfloat16 autocast is faster: on GPUs that compute in it, and CPUs with instructions for it."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    capabilities = torch.cpu.get_capabilities()
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))


@contextmanager
def memory_errors_translated() -> Iterator[None]:
    """Raise OutOfMemory instead of PyTorch's own error."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        raise OutOfMemory("The device's memory does not hold all images, one batch and its activations.",
                          remedy="Make batch or hr_patch_px smaller in a copy of the recipe.") from error
