"""Two records of the same benchmark: which changes are real."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from srn_deploy.benchmark.environment import differences
from srn_deploy.benchmark.records import Record
from srn_deploy.benchmark.results import TimedResults
from srn_deploy.benchmark.summary import FEW_SAMPLES
from srn_deploy.errors import OptionError

RESAMPLES = 2000
CONFIDENCE = 0.95

SMALLEST_CHANGE = 0.02
"""A convention: a smaller change is not worth acting upon, however certain it is."""


@dataclass(frozen=True, kw_only=True)
class Change:
    """Of one candidate: the time after, divided by the time before."""

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
        """As one phrase: no real change, or how many times as fast or as slow."""
        if not self.is_real:
            return "no real change"
        return f"{self.ratio:.2f} times as slow" if self.ratio > 1 else f"{1 / self.ratio:.2f} times as fast"


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """All changes, and what differs besides the code."""

    changes: tuple[Change, ...]
    only_before: tuple[str, ...]
    only_after: tuple[str, ...]
    environment: tuple[str, ...]
    """What differs in it, as `name: before -> after`."""


def compare(before: Record, after: Record) -> Comparison:
    """Compare candidates of the same names; raises OptionError for records of different tasks or without samples."""
    if before.kind != after.kind:
        raise OptionError(f"A record of {before.kind} and one of {after.kind} cannot be compared.",
                          remedy="Compare two records of one benchmark.")
    first, second = _timed(before), _timed(after)
    for name, ours, theirs in (("size", first.size, second.size), ("device", first.device, second.device),
                               ("inputs", first.inputs, second.inputs)):
        if ours != theirs:
            raise OptionError(f"The records differ in {name}: {ours} and {theirs}.",
                              remedy="Compare records of one task.")
    samples_before, samples_after = _samples(before, first), _samples(after, second)
    if not samples_before.keys() & samples_after.keys():
        raise OptionError("The records have no candidate in common.", remedy="Measure the same candidates twice.")
    changes = tuple(_change(name, samples, samples_after[name]) for name, samples in samples_before.items()
                    if name in samples_after)
    return Comparison(changes=changes, only_before=tuple(name for name in samples_before if name not in samples_after),
                      only_after=tuple(name for name in samples_after if name not in samples_before),
                      environment=tuple(differences(before.environment, after.environment)))


def _timed(record: Record) -> TimedResults:
    try:
        return record.results_as(TimedResults)
    except OptionError as error:
        raise _without_samples(record) from error


def _samples(record: Record, timed: TimedResults) -> Mapping[str, Sequence[float]]:
    if not timed.series:
        raise _without_samples(record)
    return timed.series


def _without_samples(record: Record) -> OptionError:
    return OptionError(f"The record {record.title!r} holds no samples.",
                       remedy="Give records that `srn-deploy bench --save FILE` wrote.")


def _change(name: str, before: Sequence[float], after: Sequence[float]) -> Change:
    """Medians of resampled series; the seed is fixed, so that the same records give the same answer."""
    random = np.random.default_rng(0)
    medians = [np.median(random.choice(np.asarray(series), (RESAMPLES, len(series))), axis=1)
               for series in (before, after)]
    low, high = np.quantile(medians[1] / medians[0], ((1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2))
    return Change(name=name, samples=min(len(before), len(after)), low=float(low), high=float(high),
                  ratio=float(np.median(after) / np.median(before)))
