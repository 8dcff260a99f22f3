"""The GPU report as a table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from srn_deploy.benchmark.tables import markdown_table


def report_table(results: Mapping[str, Any]) -> str:
    """All rows of all sections, and what stood in the way of the others."""
    rows = [("section", "what", "result")]
    for name, section in results["sections"].items():
        rows += [(name, str(row["what"]), _result(row)) for row in section["rows"]]
        if section["obstacle"]:
            rows.append((name, "–", section["obstacle"]))
    return markdown_table(rows)


def _result(row: Mapping[str, Any]) -> str:
    """A time as its median and quartiles; everything else by name."""
    if "median_ms" in row:
        times = f"{row['median_ms']:.3f} ms ({row['lower_quartile_ms']:.3f}–{row['upper_quartile_ms']:.3f})"
        first, share = row.get("mean_without_warm_up_ms"), row.get("share_of_compute")
        times = times if first is None else f"{times}; mean without warm-up {first:.3f} ms"
        return times if share is None else f"{times}; {100 * share:.1f} % of the highest rate of FP16 products"
    return ", ".join(f"{name} {value:.4g}" if isinstance(value, float) else f"{name} {value}"
                     for name, value in row.items() if name != "what")
