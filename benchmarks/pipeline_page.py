"""The page section of the pipeline benchmark."""

from __future__ import annotations

from collections.abc import Mapping
from statistics import median
from typing import Any

from srn_deploy.benchmark.tables import markdown_table

REQUIRED_SHARE = 0.92
"""Of the pictures per second that the codecs alone reach."""

INTRODUCTION = """## Many files

How much of the machine a run over many files uses, with a network that costs nothing, so that only decoders and
encoders count. Alone: the same calls that decode and encode, without writing anything, on as many threads. The last row
has stages that only sleep, which any number of processors can do. Passes in turn; each figure is the median, and the
share is taken pair by pair.

Measure: `python -m benchmarks.pipeline` on a machine that does nothing else."""


def pipeline_tables(results: Mapping[str, Any]) -> list[str]:
    """Pictures per second of each format."""
    head = ("stages", "alone, pictures/s", "whole run, pictures/s", "share (lowest … highest)",
            f"at least {100 * REQUIRED_SHARE:.0f} %")
    rows = [_row(row) for row in (*results["formats"], results["sleepers"])]
    counts = ", ".join(f"{row['pictures']} {row['name']}" for row in results["formats"])
    files = "in memory" if results["in_memory"] else "on the disk"
    sentence = (f"{results['width_px']} × {results['height_px']} px to four times that, on {results['threads']} "
                f"threads; pictures in a pass: {counts}; {results['pairs']} pairs of passes; files {files}.")
    return [sentence, markdown_table([head, *rows])]


def _row(row: Mapping[str, Any]) -> tuple[str, ...]:
    shares = row["shares"]
    return (row["name"], f"{row['pictures'] / median(row['alone_s']):.1f}",
            f"{row['pictures'] / median(row['whole_s']):.1f}",
            f"{100 * median(shares):.0f} % ({100 * min(shares):.0f} … {100 * max(shares):.0f})",
            "yes" if median(shares) >= REQUIRED_SHARE else "no")
