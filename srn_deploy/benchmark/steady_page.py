"""A steady-state record as a table."""

from __future__ import annotations

from srn_deploy.benchmark.environment import Ceilings
from srn_deploy.benchmark.records import Record
from srn_deploy.benchmark.results import CandidateResult, SteadyResults
from srn_deploy.benchmark.tables import Table, markdown_table

HEAD = ("candidate", "median, ms", "p90", "p99", "images/s", "times as fast as the first, for each image",
        "process peak, MiB",
        "of compute", "of memory")


def table(record: Record) -> Table:
    """One row for each candidate, in the order in which they ran."""
    candidates = record.results_as(SteadyResults).candidates
    return [HEAD, *(_row(name, candidate) for name, candidate in candidates.items())]


def page(record: Record) -> str:
    """The table as Markdown, with what to be careful about."""
    return "\n\n".join([*preface(record), markdown_table(table(record))]) + "\n"


def preface(record: Record) -> list[str]:
    """The paragraphs before the table: a heading, the measured ceilings and what to be careful about."""
    return [f"# {record.title}", ceilings_line(record),
            *(f"Caution: {caution}" for caution in record.results_as(SteadyResults).cautions)]


def ceilings_line(record: Record) -> str:
    """The most that the machine was seen to do, as one sentence."""
    ceilings = record.environment.ceilings
    return f"Ceilings measured here: {_in_words(ceilings)}." if ceilings is not None and ceilings.are_known else \
        "The machine's ceilings were not measured."


def _in_words(ceilings: Ceilings) -> str:
    narrow = "".join(f" ({rate:.0f} in {name.upper()})" for name, rate in ceilings.narrow_gflops.items())
    return f"{ceilings.gflops:.0f} GFLOP/s{narrow}, {ceilings.gbytes_per_s:.1f} GB/s"


def _row(name: str, candidate: CandidateResult) -> tuple[str, ...]:
    ratio = candidate.ratio_to_baseline
    return (name, f"{candidate.median_ms:.2f}", f"{candidate.p90_ms:.2f}", f"{candidate.p99_ms:.2f}",
            f"{candidate.pictures_per_s:.2f}",
            f"{ratio.median:.2f} ({ratio.lower_quartile:.2f}–{ratio.upper_quartile:.2f})",
            "–" if candidate.peak_mib is None else f"{candidate.peak_mib:.0f}",
            *("–" if share is None else f"{share:.0%}"
              for share in (candidate.share_of_compute, candidate.share_of_memory)))
