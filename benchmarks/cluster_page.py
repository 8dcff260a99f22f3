"""The page section of the benchmark of Ray."""

from __future__ import annotations

from collections.abc import Mapping
from statistics import median
from typing import Any

from srn_deploy.benchmark.tables import markdown_table

REQUIRED_SHARE = 0.95
"""Of the pictures per second of a single process."""

INTRODUCTION = """## One worker on Ray

What it costs that files are handed out by Ray and claimed in a ledger: one worker with all threads against a single
process with as many, in turn. Pictures per second from the first result to the last; what passes before the first, in
which workers start and open their model, is in a column of its own. The cluster runs already.

Measure: `python -m benchmarks.cluster` on a machine that does nothing else."""


def cluster_tables(results: Mapping[str, Any]) -> list[str]:
    """Both ways, and their share pair by pair."""
    shares = results["shares"]
    rows = [("way", "pictures/s, median", "until the first result, s"),
            *((title, f"{median(results['rates'][way]):.2f}", f"{median(results['until_first_s'][way]):.1f}")
              for way, title in (("alone", "a single process"), ("on_ray", "one worker on Ray")))]
    verdict = [("share (lowest … highest)", "required", "met"),
               (f"{100 * median(shares):.1f} % ({100 * min(shares):.1f} … {100 * max(shares):.1f})",
                f"at least {100 * REQUIRED_SHARE:.0f} %", "yes" if median(shares) >= REQUIRED_SHARE else "no")]
    sentence = (f"`{results['model']}` (graph sha256 {results['sha256'][:12]}…), {results['pictures']} pictures of "
                f"{results['side_px']} × {results['side_px']} px in a pass, {results['pairs']} pairs, "
                f"{results['threads']} threads, Ray {results['ray']}.")
    return [sentence, markdown_table(rows), markdown_table(verdict)]
