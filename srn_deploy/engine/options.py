"""What an engine is asked to be; every field decides about the plan and stands in its identity."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from statistics import median
from typing import Self

from srn_deploy.contract import ModelSpec, Precision
from srn_deploy.errors import OptionError

Size = tuple[int, int]
"""(height, width) in LR pixels."""

_RANGE = re.compile(r"(\d+)x(\d+)(?:\.\.(\d+)x(\d+)(?:@(\d+)x(\d+))?)?", re.IGNORECASE)

MOST_PROFILES = 8
"""Each costs build time, and memory in every context."""

DEFAULT_LARGEST = (640, 640)
"""Holds most DIV2K x4 inputs whole; larger pictures are tiled into it."""

DEFAULT_OPTIMUM = (339, 510)
"""The size of nearly half of the DIV2K x4 test inputs."""


class HardwareCompatibility(StrEnum):
    """On which GPUs a TensorRT plan runs beside the one it was built on."""

    NONE = "none"
    AMPERE_PLUS = "ampere-plus"
    SAME_COMPUTE_CAPABILITY = "same-compute-capability"


@dataclass(frozen=True, kw_only=True)
class ShapeRange:
    """One optimisation profile: the pictures it takes, and those that it is tuned for."""

    smallest: Size
    largest: Size
    optimum: Size

    def __post_init__(self) -> None:
        sides = zip(self.smallest, self.optimum, self.largest, strict=True)
        if not all(1 <= low <= best <= high for low, best, high in sides):
            raise OptionError(f"Shapes {self} are inconsistent.",
                              remedy="Each side must grow from MIN over OPT to MAX, as in 64x64..640x640@339x510 "
                                     "(height x width).")

    def __str__(self) -> str:
        smallest, largest, optimum = (f"{height}x{width}" for height, width in
                                      (self.smallest, self.largest, self.optimum))
        return smallest if self.is_static else f"{smallest}..{largest}@{optimum}"

    @property
    def is_static(self) -> bool:
        """Whether it takes pictures of one size alone."""
        return self.smallest == self.largest

    @classmethod
    def parse(cls, text: str) -> Self:
        """HxW, MIN..MAX or MIN..MAX@OPT; without OPT it is tuned for MAX. Raises OptionError."""
        found = _RANGE.fullmatch(text.strip())
        if found is None:
            raise OptionError(f"Shapes {text!r} cannot be read.",
                              remedy="Write HxW for one size, or MIN..MAX@OPT, as in 64x64..640x640@339x510.")
        numbers = [int(number) for number in found.groups() if number is not None]
        sizes = list(zip(numbers[::2], numbers[1::2], strict=True))
        return cls(smallest=sizes[0], largest=sizes[min(1, len(sizes) - 1)], optimum=sizes[-1])

    @classmethod
    def fitting(cls, sizes: Sequence[Size]) -> Self:
        """The range that holds all sizes, tuned for their median; raises OptionError without one."""
        if not sizes:
            raise OptionError("There is no picture to fit shapes to.", remedy="Give a folder with pictures.")
        heights, widths = zip(*sizes, strict=True)
        return cls(smallest=(min(heights), min(widths)), largest=(max(heights), max(widths)),
                   optimum=(round(median(heights)), round(median(widths))))


def default_shapes(spec: ModelSpec) -> ShapeRange:
    """From the smallest picture that the network takes to a tile of ordinary size."""
    smallest = max(spec.min_side_px, 16)
    return ShapeRange(smallest=(smallest, smallest), largest=DEFAULT_LARGEST, optimum=DEFAULT_OPTIMUM)


@dataclass(frozen=True, kw_only=True)
class BuildOptions:
    """All that decides about a plan beside the graph, the library and the machine."""

    precision: Precision = Precision.FP32
    shapes: tuple[ShapeRange, ...]
    largest_batch: int = 1
    tf32: bool = False
    """Ten bits of fraction in FP32 convolutions: faster, and no longer FP32."""
    optimization_level: int = 3
    hardware_compatibility: HardwareCompatibility = HardwareCompatibility.NONE
    compute_capabilities: tuple[str, ...] = ()
    """Of TensorRT-RTX alone: the GPUs a plan is for, as in 8.9; empty is its own choice."""

    def __post_init__(self) -> None:
        if not 1 <= len(self.shapes) <= MOST_PROFILES:
            raise OptionError(f"An engine of {len(self.shapes)} shape ranges is not possible.",
                              remedy=f"Give one to {MOST_PROFILES}.")
        if not 1 <= self.largest_batch <= 256:
            raise OptionError(f"A batch of {self.largest_batch} is not possible.", remedy="Use 1 to 256.")
        if not 0 <= self.optimization_level <= 5:
            raise OptionError(f"Optimisation level {self.optimization_level} is not possible.", remedy="Use 0 to 5.")
        if wrong := [name for name in self.compute_capabilities if not re.fullmatch(r"\d+\.\d", name)]:
            raise OptionError(f"Compute capability {wrong[0]!r} cannot be read.", remedy="Write it as in 8.9.")

    def check_fits(self, spec: ModelSpec) -> None:
        """Raise OptionError for shapes that the network cannot take."""
        for shapes in self.shapes:
            if min(shapes.smallest) < spec.min_side_px:
                raise OptionError(f"Shapes {shapes} begin below {spec.min_side_px} px, the least the network takes.",
                                  remedy=f"Begin at {spec.min_side_px}x{spec.min_side_px}; smaller pictures are "
                                         "reflected up to it.")
