"""A series of samples in one number with its spread, and when it deserves less trust."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from srn_deploy.errors import OptionError

WIDE_SPREAD = 0.10
"""From here on a series is called noisy; pyperf warns at the same tenth, of the standard deviation."""

FEW_SAMPLES = 5
"""Below this the quartiles are little more than single runs."""


@dataclass(frozen=True, kw_only=True)
class Summary:
    """A series of samples in one unit: its median, and how far the samples lie apart."""

    samples: int
    median: float
    lower_quartile: float
    upper_quartile: float
    minimum: float
    maximum: float

    @property
    def spread(self) -> float:
        """From quartile to quartile, as a share of the median: one outlier does not decide it."""
        return (self.upper_quartile - self.lower_quartile) / self.median if self.median else 0.0


def summarise(samples: Sequence[float]) -> Summary:
    """Median, quartiles and extremes of a series; raises OptionError for an empty one."""
    if not samples:
        raise OptionError("There is no sample to summarise.", remedy="Measure at least once.")
    # A single sample is its own quartiles; statistics.quantiles needs two.
    lower, median, upper = statistics.quantiles([*samples, *samples[:len(samples) == 1]], n=4, method="inclusive")
    return Summary(samples=len(samples), median=median, lower_quartile=lower, upper_quartile=upper,
                   minimum=min(samples), maximum=max(samples))


def paired_ratios(numerators: Sequence[float], denominators: Sequence[float]) -> list[float]:
    """Ratio of each pair of two series measured in turn (A B A B), so that a drift of the machine cancels.

    Raises OptionError for series of unequal length.
    """
    if len(numerators) != len(denominators):
        raise OptionError(f"{len(numerators)} and {len(denominators)} samples do not make pairs.",
                          remedy="Measure both in turn, equally often.")
    return [above / below for above, below in zip(numerators, denominators, strict=True)]


def doubts(series: Mapping[str, Sequence[float]]) -> list[str]:
    """Why the figures of some named series deserve less trust, as sentences that say what to do; usually none."""
    sentences = []
    for name, samples in series.items():
        if len(samples) < FEW_SAMPLES:
            sentences.append(f"{name}: only {len(samples)} of the {FEW_SAMPLES} samples that a median needs; "
                             "measure more.")
        sentences += noise({name: samples})
    return sentences


def noise(series: Mapping[str, Sequence[float]]) -> list[str]:
    """Which series spread widely, as sentences that say what to do."""
    spreads = {name: summarise(samples).spread for name, samples in series.items()}
    return [f"{name}: the quartiles lie {spread:.0%} of the median apart; end other programs, measure more samples, "
            "and compare ratios of pairs rather than single times."
            for name, spread in spreads.items() if spread > WIDE_SPREAD]
