"""The part of the page about videos: what it says, and its table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from srn_deploy.benchmark.summary import summarise
from srn_deploy.benchmark.tables import markdown_table

INTRODUCTION = """## Videos

A clip with sound that is drawn for it, from file to file: read, decoded, through the network, encoded and joined. The
share of the network is that of the wall clock in which it computes; the rest is what the frames wait for besides. The
offset says how far any frame has moved against any packet of the sound, at most, in samples of the sound; MKV has
milliseconds, of which one is 48 samples. Each cell is the median, and in brackets the minimum and the maximum.

Measure: `python -m benchmarks.video` on a machine that does nothing else."""


def video_tables(results: Mapping[str, Any]) -> list[str]:
    """One row for each encoder."""
    rows = [("encoder", "frames/s", "share of the network, %", "sound against picture, samples", "written, MiB")]
    for row in results["rows"]:
        rates = [results["frames"] / seconds for seconds in row["seconds"]]
        shares = [100 * network / seconds for network, seconds in zip(row["network_seconds"], row["seconds"],
                                                                      strict=True)]
        rows.append((row["encoder"], _spread(rates, 2), _spread(shares, 0), f"{row['offset_samples']:g}",
                     f"{row['bytes'] / 2**20:.1f}"))
    sentence = (f"`{results['model']}` on {results['backend']} in {results['precision'].upper()}, {results['frames']} "
                f"frames of {results['width']} × {results['height']} px with sound of {results['sample_rate']} Hz; "
                f"{results['rounds']} rounds in turn; PyAV {results['pyav']}.")
    return [sentence, markdown_table(rows)]


def _spread(samples: Sequence[float], digits: int) -> str:
    summary = summarise(samples)
    return f"{summary.median:.{digits}f} ({summary.minimum:.{digits}f} … {summary.maximum:.{digits}f})"
