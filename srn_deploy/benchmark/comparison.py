"""Two records of the same benchmark: which changes are real."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from srn_deploy.benchmark.records import FEW_SAMPLES, Record
from srn_deploy.errors import OptionError

RESAMPLES = 2000
CONFIDENCE = 0.95

SMALLEST_CHANGE = 0.02
"""A convention: less is nothing to act upon, however sure."""


@dataclass(frozen=True, kw_only=True)
class Change:
    """Of one contestant, as time after over time before."""

    name: str
    samples: int
    """Of the shorter series."""
    ratio: float
    low: float
    high: float
    """The bootstrap interval of the ratio of medians."""

    @property
    def is_real(self) -> bool:
        """Whether the whole interval lies beyond the smallest change that counts; few samples prove nothing."""
        return self.samples >= FEW_SAMPLES and (self.low > 1 + SMALLEST_CHANGE or self.high < 1 / (1 + SMALLEST_CHANGE))

    @property
    def verdict(self) -> str:
        """For people."""
        if not self.is_real:
            return "no real change"
        return f"{self.ratio:.2f} times as slow" if self.ratio > 1 else f"{1 / self.ratio:.2f} times as fast"


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """All changes, and what differs beside the code."""

    changes: tuple[Change, ...]
    only_before: tuple[str, ...]
    only_after: tuple[str, ...]
    circumstances: tuple[str, ...]


def compare(before: Record, after: Record) -> Comparison:
    """Compare contestants of the same names; raises OptionError for records of different kinds or without samples."""
    if before.kind != after.kind:
        raise OptionError(f"A record of {before.kind} and one of {after.kind} cannot be compared.",
                          remedy="Compare two records of one benchmark.")
    for name in ("size", "device", "inputs"):
        if before.results.get(name) != after.results.get(name):
            told = f"{before.results.get(name)} and {after.results.get(name)}"
            raise OptionError(f"The records differ in {name}: {told}.", remedy="Compare records of one task.")
    ours, theirs = _samples(before), _samples(after)
    if not ours.keys() & theirs.keys():
        raise OptionError("The records have no contestant in common.", remedy="Measure the same contestants twice.")
    changes = tuple(_change(name, ours[name], theirs[name]) for name in ours if name in theirs)
    return Comparison(changes=changes, only_before=tuple(name for name in ours if name not in theirs),
                      only_after=tuple(name for name in theirs if name not in ours),
                      circumstances=tuple(_differences(before.circumstances, after.circumstances)))


def _samples(record: Record) -> Mapping[str, Sequence[float]]:
    try:
        found = record.results.get("contestants") or record.results.get("networks") or {}
        samples = {name: [float(sample) for sample in told["samples_ms"]] for name, told in found.items()
                   if told.get("samples_ms")}
    except (AttributeError, KeyError, TypeError, ValueError):
        samples = {}
    if not samples:
        raise OptionError(f"The record {record.title!r} holds no samples.",
                          remedy="Give records that `srn-deploy bench --save FILE` wrote.")
    return samples


def _change(name: str, before: Sequence[float], after: Sequence[float]) -> Change:
    """Medians of resampled series; the seed is fixed, so that the same records give the same answer."""
    random = np.random.default_rng(0)
    medians = [np.median(random.choice(np.asarray(series), (RESAMPLES, len(series))), axis=1)
               for series in (before, after)]
    low, high = np.quantile(medians[1] / medians[0], ((1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2))
    return Change(name=name, samples=min(len(before), len(after)), low=float(low), high=float(high),
                  ratio=float(np.median(after) / np.median(before)))


def _differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """Circumstances that are not the same, apart from the day and the load."""
    ignored = {"date", "load_1min", "after", "ceilings"}
    names = [name for name in {**before, **after} if name not in ignored and before.get(name) != after.get(name)]
    return [f"{name}: {before.get(name)} -> {after.get(name)}" for name in names]
