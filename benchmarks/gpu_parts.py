"""The parts of the GPU report, most valuable first, with what each is expected to take on a present-day GPU."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from benchmarks import gpu_paper, gpu_sections, gpu_training, gpu_upscale
from benchmarks.gpu_plan import PartCost
from benchmarks.gpu_sections import Rows, Scale
from benchmarks.gpu_training import AROUND_S, TRAININGS, Training

LEAST_TRAINING_S = 75.0
"""Below this a call only starts and stops."""


@dataclass(frozen=True, kw_only=True)
class Part:
    """One thing to measure, in a process of its own."""

    cost: PartCost
    run: Callable[[Scale], Rows]

    @property
    def name(self) -> str:
        """By which it is planned, kept and asked for."""
        return self.cost.name


def _whole(name: str, estimate_s: float, run: Callable[[Scale], Rows]) -> Part:
    return Part(cost=PartCost(name=name, estimate_s=estimate_s), run=run)


def _training(training: Training) -> Part:
    cost = PartCost(name=f"train {training.recipe}", estimate_s=60 * training.minutes + AROUND_S,
                    least_s=LEAST_TRAINING_S)
    return Part(cost=cost, run=partial(gpu_training.trained, training))


PARTS: tuple[Part, ...] = (
    _whole("memory and copies (PyCUDA)", 15, gpu_sections.copies),
    _whole("PyTorch", 100, gpu_sections.pytorch),
    _whole("paper", 180, gpu_paper.paper),
    _whole("TensorRT-RTX", 90, gpu_sections.tensorrt_rtx),
    _whole("TensorRT", 150, gpu_sections.tensorrt),
    _whole("tests/gpu", 240, gpu_sections.tests),
    _whole("ONNX Runtime", 30, gpu_sections.onnx_runtime),
    _whole("throughput of training", 60, gpu_training.throughput),
    _training(TRAININGS[0]),
    _whole("upscale, end to end", 60, gpu_upscale.end_to_end),
    *map(_training, TRAININGS[1:]),
)
"""What was never run on a GPU and the paper's claim come first, trainings take the rest of the time; one that begins
with another's weights comes after it."""

BY_NAME = {part.name: part for part in PARTS}
