"""Passes that are timed in turn, A B C A B C …, so that a drift of the machine meets all of them alike."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from srn_deploy.benchmark.records import FEW_SAMPLES, noise, summarise

Pass = Callable[[], float]
"""Runs once and returns its milliseconds."""

STABLE_SPREAD = 0.05
"""Warm enough is when the last passes lie as near to one another as this share of their median."""

STABLE_PASSES = 5

MOST_WARM_UPS = 50
MOST_WARM_UP_SECONDS = 10.0


def wall_clock(step: Callable[[], object]) -> Pass:
    """Of a step that waits for its device."""
    def run() -> float:
        began = time.perf_counter()
        step()
        return (time.perf_counter() - began) * 1000

    return run


def warm_up(run: Pass) -> list[float]:
    """Run until the last passes are alike, or long enough; what they took."""
    samples: list[float] = []
    began = time.perf_counter()
    while len(samples) < MOST_WARM_UPS and time.perf_counter() - began < MOST_WARM_UP_SECONDS:
        samples.append(run())
        last = samples[-STABLE_PASSES:]
        if len(last) == STABLE_PASSES and max(last) - min(last) < STABLE_SPREAD * float(np.median(last)):
            break
    return samples


def alternated(contestants: Mapping[str, Pass], rounds: int, *,
               after_round: Callable[[], None] = lambda: None) -> dict[str, list[float]]:
    """Milliseconds of each contestant, one after the other in every round; after_round: while all is still warm."""
    samples: dict[str, list[float]] = {name: [] for name in contestants}
    for _ in range(rounds):
        for name, run in contestants.items():
            samples[name].append(run())
        after_round()
    return samples


def statistics_of(samples: Sequence[float]) -> dict[str, float]:
    """Median, mean, p90 and p99 in milliseconds, and the spread of the quartiles as a share of the median."""
    summary = summarise(samples)
    p90, p99 = (float(value) for value in np.percentile(samples, (90, 99)))
    return {"median_ms": summary.median, "mean_ms": float(np.mean(samples)), "p90_ms": p90, "p99_ms": p99,
            "spread": summary.spread}


def ratios(samples: Sequence[float], to: Sequence[float]) -> dict[str, float]:
    """How many times as fast as another contestant, pair by pair: median and quartiles."""
    summary = summarise([theirs / ours for ours, theirs in zip(samples, to, strict=True)])
    return {"median": summary.median, "lower_quartile": summary.lower_quartile,
            "upper_quartile": summary.upper_quartile}


def cautions(samples: Mapping[str, Sequence[float]], machine: Mapping[str, Any]) -> list[str]:
    """Sentences on noise and throttling, each with what to do; usually none."""
    rounds = min((len(series) for series in samples.values()), default=FEW_SAMPLES)
    told = [] if rounds >= FEW_SAMPLES else [
        f"Only {rounds} rounds of the {FEW_SAMPLES} that a median wants; give more --rounds."]
    told += noise(samples)
    if reasons := machine.get("gpu_throttled_by"):
        told.append(f"The GPU was throttled ({', '.join(reasons)}): let it cool down, or lock its clocks with "
                    "nvidia-smi -lgc, and measure again.")
    return told
