"""The C interface of a driver with one GPU, for what is asked before any library is loaded."""

# ruff: noqa: N802  # the driver's own names

from __future__ import annotations

from typing import Any


class FakeLibcuda:
    """The driver's C interface, as far as cuda_driver asks it: one GPU of a name and compute capability."""

    def __init__(self, name: str = "Fake GPU", capability: tuple[int, int] = (8, 9), count: int = 1) -> None:
        self.name, self.capability, self.count = name, capability, count

    def cuInit(self, flags: int) -> int:
        return 0

    def cuDeviceGetCount(self, count: Any) -> int:
        count._obj.value = self.count
        return 0

    def cuDeviceGet(self, device: Any, index: int) -> int:
        return 0

    def cuDeviceGetName(self, name: Any, length: int, device: Any) -> int:
        name.value = self.name.encode()
        return 0

    def cuDeviceGetAttribute(self, number: Any, attribute: int, device: Any) -> int:
        number._obj.value = self.capability[attribute - 75]
        return 0
