"""A measurement with its circumstances: JSON that is whole, medians with their spread, tables, warnings."""

from __future__ import annotations

import json
import os
import platform
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any, Self

from srn_deploy.errors import OptionError
from srn_deploy.system.atomic import replacing
from srn_deploy.system.cuda_driver import why_no_gpu
from srn_deploy.system.threads import usable_cores

FORMAT_VERSION = 1

WIDE_SPREAD = 0.10
"""From here on a series is called noisy; pyperf warns at the same tenth, of the standard deviation."""

FEW_SAMPLES = 5
"""Below this the quartiles are little more than single runs."""

_DISTRIBUTIONS = {
    "srn-deploy": ("srn-deploy",),
    "numpy": ("numpy",),
    "onnxruntime": ("onnxruntime-gpu", "onnxruntime"),
    "torch": ("torch",),
    "opencv": ("opencv-python-headless", "opencv-python"),
}
"""Library to the names under which it may be installed."""


@dataclass(frozen=True, kw_only=True)
class Record:
    """What was measured, and under which circumstances. Units stand in the names of the results."""

    kind: str
    """Which benchmark: tells a reader which results to expect."""
    title: str
    circumstances: Mapping[str, Any]
    results: Mapping[str, Any]

    def as_json(self) -> dict[str, Any]:
        """What `load` reads back."""
        return {"format_version": FORMAT_VERSION, **asdict(self)}

    def save(self, path: Path) -> None:
        """Write JSON, whole or not at all; raises OptionError for values JSON lacks and for a bad path."""
        try:
            text = json.dumps(self.as_json(), indent=2, allow_nan=False)
        except (TypeError, ValueError) as error:
            raise OptionError(f"The record {self.title!r} cannot be kept: {error}.",
                              remedy="Keep finite numbers, texts, lists and mappings; None for what there is not.",
                              ) from error
        try:
            with replacing(path) as temporary:
                temporary.write_text(text + "\n", encoding="utf-8")
        except OSError as error:
            raise OptionError(f"{path} cannot be written: {error.strerror}.",
                              remedy="Check the folder, its permissions and the free space.") from error

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read a record back; raises OptionError for a file that is missing, damaged or of another version."""
        try:
            data: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            version = data.pop("format_version")
            record = cls(**{field.name: data.pop(field.name) for field in fields(cls)})
        except OSError as error:
            raise OptionError(f"{path} cannot be read: {error.strerror}.",
                              remedy="Measure it: benchmarks/README.md names the command.") from error
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise OptionError(f"{path} is no record ({type(error).__name__}: {error}).",
                              remedy="Measure it again: benchmarks/README.md names the command.") from error
        if version != FORMAT_VERSION:
            raise OptionError(f"{path} has format version {version}, this program reads {FORMAT_VERSION}.",
                              remedy="Measure it again with this version of srn-deploy.")
        return record


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
    # A single sample is its own quartiles; statistics.quantiles wants two.
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
    told = []
    for name, samples in series.items():
        if len(samples) < FEW_SAMPLES:
            told.append(f"{name}: only {len(samples)} of the {FEW_SAMPLES} samples that a median wants; measure more.")
        told += noise({name: samples})
    return told


def noise(series: Mapping[str, Sequence[float]]) -> list[str]:
    """Which series spread widely, as sentences that say what to do."""
    spreads = {name: summarise(samples).spread for name, samples in series.items()}
    return [f"{name}: the quartiles lie {spread:.0%} of the median apart; end other programs, measure more samples, "
            "and compare ratios of pairs rather than single times."
            for name, spread in spreads.items() if spread > WIDE_SPREAD]


def circumstances(*, threads: int) -> dict[str, Any]:
    """What a measurement depends on, and nothing that tells whose machine it was.

    threads: how many the measured program was given. memory_gib and load_1min are None where the system
    does not tell; load_1min counts what else was running, so ask before measuring.
    """
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "cpu": _cpu_name(),
        "logical_cores": usable_cores(),
        "threads": threads,
        "memory_gib": _memory_gib(),
        "load_1min": round(os.getloadavg()[0], 1) if hasattr(os, "getloadavg") else None,
        "gpu": f"none: {reason}" if (reason := why_no_gpu()) else "present",
        "system": _system_name(),
        "python": platform.python_version(),
        "versions": {library: version for library, names in _DISTRIBUTIONS.items() if (version := _version(names))},
    }


def markdown_table(rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table whose first row is its head; raises OptionError for rows of unequal length."""
    if not rows or any(len(row) != len(rows[0]) for row in rows):
        raise OptionError("A table needs a head and rows of its length.", remedy="Give every row as many cells.")
    head, *body = ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows]
    return "\n".join([head, "|" + "---|" * len(rows[0]), *body])


def _version(names: Sequence[str]) -> str | None:
    for name in names:
        try:
            return metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return None


def _cpu_name() -> str:
    """The model as the system tells it; the kind of processor where it does not."""
    listing = Path("/proc/cpuinfo")
    lines = listing.read_text(encoding="utf-8").splitlines() if listing.is_file() else []
    told = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return told[0] if told else platform.processor() or platform.machine()


def _memory_gib() -> int | None:
    if not hasattr(os, "sysconf"):
        return None
    return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30)


def _system_name() -> str:
    """The distribution on Linux, without the kernel's build: that can name its maker."""
    try:
        return f"{platform.freedesktop_os_release()['PRETTY_NAME']} ({platform.machine()})"
    except (OSError, KeyError):
        return f"{platform.system()} ({platform.machine()})"
