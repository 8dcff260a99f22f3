"""Candidates that are timed in turn, A B C A B C …, so that a drift of the machine affects all of them alike."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice

import numpy as np

from srn_deploy.benchmark.environment import GpuState
from srn_deploy.benchmark.results import Ratio, SampleStatistics
from srn_deploy.benchmark.summary import FEW_SAMPLES, noise, summarise

Pass = Callable[[], float]
"""Runs once and returns its milliseconds."""

STABLE_SPREAD = 0.05
"""A candidate is warm when its last passes lie within this share of their median."""

STABLE_PASSES = 5

MOST_WARM_UPS = 50
MOST_WARM_UP_SECONDS = 10.0


def wall_clock(step: Callable[[], object]) -> Pass:
    """Time a step that waits for its device."""
    def run() -> float:
        began = time.perf_counter()
        step()
        return (time.perf_counter() - began) * 1000

    return run


def warm_up(run: Pass, *, most_seconds: float = MOST_WARM_UP_SECONDS) -> list[float]:
    """Run at least once, until the last passes are alike or the time is over; returns the milliseconds of each."""
    samples: list[float] = []
    began = time.perf_counter()
    while len(samples) < MOST_WARM_UPS:
        samples.append(run())
        last = samples[-STABLE_PASSES:]
        if len(last) == STABLE_PASSES and max(last) - min(last) < STABLE_SPREAD * float(np.median(last)):
            break
        if time.perf_counter() - began >= most_seconds:
            break
    return samples


def rounds_of(candidates: Mapping[str, Pass]) -> Iterator[dict[str, float]]:
    """Endless rounds: the milliseconds of each candidate, run one after the other."""
    while True:
        yield {name: run() for name, run in candidates.items()}


def alternated(candidates: Mapping[str, Pass], rounds: int) -> dict[str, list[float]]:
    """Run all candidates in turn, this many rounds; returns the milliseconds of each."""
    samples: dict[str, list[float]] = {name: [] for name in candidates}
    for one in islice(rounds_of(candidates), rounds):
        for name, milliseconds in one.items():
            samples[name].append(milliseconds)
    return samples


def statistics_of(samples: Sequence[float]) -> SampleStatistics:
    """Median, mean, p90 and p99 in milliseconds, and the spread of the quartiles as a share of the median."""
    summary = summarise(samples)
    p90, p99 = (float(value) for value in np.percentile(samples, (90, 99)))
    return SampleStatistics(median_ms=summary.median, mean_ms=float(np.mean(samples)), p90_ms=p90, p99_ms=p99,
                            spread=summary.spread)


def ratios(samples: Sequence[float], to: Sequence[float]) -> Ratio:
    """How many times as fast as another candidate, pair by pair: median and quartiles."""
    summary = summarise([others / own for own, others in zip(samples, to, strict=True)])
    return Ratio(median=summary.median, lower_quartile=summary.lower_quartile, upper_quartile=summary.upper_quartile)


def cautions(samples: Mapping[str, Sequence[float]], gpu: GpuState) -> list[str]:
    """Sentences on few rounds, noise and throttling, each with what to do; usually none."""
    rounds = min((len(series) for series in samples.values()), default=FEW_SAMPLES)
    sentences = [] if rounds >= FEW_SAMPLES else [
        f"Only {rounds} rounds of the {FEW_SAMPLES} that a median needs; give more --rounds."]
    sentences += noise(samples)
    if gpu.gpu_throttled_by:
        sentences.append(f"The GPU was throttled ({', '.join(gpu.gpu_throttled_by)}): let it cool down, or lock its "
                         "clocks with nvidia-smi -lgc, and measure again.")
    return sentences
