"""The options of a build. Every field affects the plan and is part of the engine's identity."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, fields
from enum import StrEnum

from srn_deploy.errors import OptionError
from srn_deploy.spec import ModelSpec, Precision
from srn_deploy.tiling.shapes import ShapeRange

MOST_PROFILES = 8
"""Each profile costs build time, and memory in every execution context."""

DEFAULT_LARGEST = (640, 640)
"""Height and width: most DIV2K x4 inputs fit whole; larger images are tiled."""

DEFAULT_OPTIMUM = (339, 510)
"""Height and width of nearly half of the DIV2K x4 test inputs."""


class HardwareCompatibility(StrEnum):
    """On which GPUs a TensorRT plan runs besides the one it was built on."""

    NONE = "none"
    AMPERE_PLUS = "ampere-plus"
    SAME_COMPUTE_CAPABILITY = "same-compute-capability"


def default_shapes(spec: ModelSpec) -> ShapeRange:
    """From the smallest image that the network takes to a tile of ordinary size."""
    return ShapeRange(smallest=(spec.min_side_px, spec.min_side_px), largest=DEFAULT_LARGEST, optimum=DEFAULT_OPTIMUM)


def check_compute_capabilities(names: Iterable[str]) -> None:
    """Raise OptionError unless each is written as in 8.9."""
    if wrong := [name for name in names if not re.fullmatch(r"\d+\.\d", name)]:
        raise OptionError(f"Compute capability {wrong[0]!r} cannot be read.", remedy="Write it as in 8.9.")


@dataclass(frozen=True, kw_only=True)
class BuildOptions:
    """Everything that affects a plan besides the graph, the runtime and the machine. Raises OptionError."""

    precision: Precision = Precision.FP32
    shapes: tuple[ShapeRange, ...]
    largest_batch: int = 1
    tf32: bool = False
    """Whether FP32 convolutions may keep ten bits of the fraction: faster, but not FP32 any more."""
    optimization_level: int = 3
    """From 0, the fastest build, to 5, the longest search."""
    hardware_compatibility: HardwareCompatibility = HardwareCompatibility.NONE
    """For TensorRT only."""
    compute_capabilities: tuple[str, ...] = ()
    """For TensorRT-RTX only: the GPUs that the plan is for, as in 8.9; empty leaves the choice to the runtime."""

    def __post_init__(self) -> None:
        for field in fields(self):  # msgspec leaves defaults out of what it decodes, and then out of what it encodes
            object.__setattr__(self, field.name, getattr(self, field.name))
        object.__setattr__(self, "compute_capabilities", _sorted(self.compute_capabilities))
        if self.precision is Precision.BF16:
            raise OptionError("No engine is built in bf16.", remedy="Use FP32, FP16, or INT8 for an INT8 graph.")
        if not 1 <= len(self.shapes) <= MOST_PROFILES:
            raise OptionError(f"An engine with {len(self.shapes)} shape ranges is not possible.",
                              remedy=f"Give one to {MOST_PROFILES}.")
        if not 1 <= self.largest_batch <= 256:
            raise OptionError(f"A batch of {self.largest_batch} is not possible.", remedy="Use 1 to 256.")
        if not 0 <= self.optimization_level <= 5:
            raise OptionError(f"Optimisation level {self.optimization_level} is not possible.", remedy="Use 0 to 5.")
        check_compute_capabilities(self.compute_capabilities)

    def check_fits(self, spec: ModelSpec) -> None:
        """Raise OptionError for shapes that the network cannot take."""
        for shapes in self.shapes:
            if min(shapes.smallest) < spec.min_side_px:
                raise OptionError(f"Shapes {shapes} begin below {spec.min_side_px} px, the least the network takes.",
                                  remedy=f"Begin at {spec.min_side_px}x{spec.min_side_px}; smaller images are "
                                         "reflected up to it.")


def _sorted(capabilities: tuple[str, ...]) -> tuple[str, ...]:
    """Without repetitions, the oldest first: the order in which they were given does not make another engine."""
    return tuple(sorted(set(capabilities), key=lambda name: (name.rjust(8), name)))
