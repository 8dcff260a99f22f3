"""Where the time of a run over files went: what each stage took, and what the network waited for."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum

BUSY_SHARE = 0.5
"""A network that runs for more of the time than this is what a run waits for."""


class PipelineStage(StrEnum):
    """What is done to an image, one after the other."""

    DECODE = "decode"
    NETWORK = "network"
    ENCODE = "encode"
    STORE = "store"


class Wait(StrEnum):
    """What the network waits for."""

    DECODERS = "decoders"
    ENCODERS = "encoders"
    DISK = "the disk"
    MEMORY = "memory"


@dataclass(frozen=True, kw_only=True)
class Bottleneck:
    """What a run waited for most."""

    wait: Wait | None
    """None: for the network itself."""
    share: float
    """0..1: of the time, how long the network waited for it; for None, how long it ran."""


@dataclass(kw_only=True)
class StageTimes:
    """Seconds of one run. A stage that runs on several threads at once can take more than the run did."""

    workers: int
    """Threads that decoded and encoded."""
    elapsed_s: float = 0.0
    images: int = 0
    """That have an outcome."""
    spent_s: dict[PipelineStage, float] = field(default_factory=lambda: dict.fromkeys(PipelineStage, 0.0))
    waited_s: dict[Wait, float] = field(default_factory=lambda: dict.fromkeys(Wait, 0.0))

    @classmethod
    def total(cls, runs: Iterable[StageTimes]) -> StageTimes:
        """Of several runs, one after the other."""
        total = cls(workers=0)
        for run in runs:
            total.workers = max(total.workers, run.workers)
            total.elapsed_s += run.elapsed_s
            total.images += run.images
            for stage in PipelineStage:
                total.spent_s[stage] += run.spent_s[stage]
            for wait in Wait:
                total.waited_s[wait] += run.waited_s[wait]
        return total

    def bottleneck(self) -> Bottleneck | None:
        """What would have to be faster for the run to be; None before anything took time."""
        if self.elapsed_s <= 0:
            return None
        most = max(self.waited_s, key=lambda wait: self.waited_s[wait])
        ran, waited = self.spent_s[PipelineStage.NETWORK] / self.elapsed_s, self.waited_s[most] / self.elapsed_s
        if ran >= BUSY_SHARE or ran >= waited:
            return Bottleneck(wait=None, share=min(1.0, ran))
        return Bottleneck(wait=most, share=min(1.0, waited))
