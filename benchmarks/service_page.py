"""The part of the page about Triton's server: what it says, and its tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from srn_deploy.benchmark.summary import summarise
from srn_deploy.benchmark.tables import markdown_table

INTRODUCTION = """## A server against a local run

The same pictures through [Triton's server](../docs/serving.md) on the same machine and through `Upscaler` in the
process itself, with as many threads for the network. A folder goes from PNG files to PNG files, with many requests
under way at once; a single picture goes from array to array, one after the other, so that what the way there and back
takes is seen alone. The ways take turns. The share is that of the local speed which the server reaches. Processor time
is that of the client, the server and its model together. *With a limit* is the same model served with
`triton-repository --queue`: Triton's queue with limits gives out the next request when another arrives or half a second
later, not when the model is free. Each cell is the median, and in brackets the minimum and the maximum.

Measure: `python -m benchmarks.service` on a machine that does nothing else."""


def service_tables(results: Mapping[str, Any]) -> list[str]:
    """Pictures per second of folders, and milliseconds for one picture."""
    folders = [("picture, px", "pictures", "local, pictures/s", "server, pictures/s", "share of the local speed",
                "share, with a limit", "processor time a picture, local, ms", "with a server, ms")]
    for row in results["folders"]:
        count = row["pictures"]
        rates = {way: [count / seconds for seconds in row[f"{way}_s"]] for way in ("here", "there")}
        costs = {way: [1000 * seconds / count for seconds in row[f"{way}_cpu_s"]] for way in ("here", "there")}
        folders.append((_size(row), str(count), _spread(rates["here"], 2), _spread(rates["there"], 2),
                        _spread(_shares(row), 2), _spread(_shares(row, "queued"), 2), _spread(costs["here"], 0),
                        _spread(costs["there"], 0)))
    singles = [("picture, px", "local, ms", "server, ms", "share of the local speed")]
    for row in results["singles"]:
        times = {where: [1000 * seconds for seconds in row[f"{where}_s"]] for where in ("here", "there")}
        singles.append((_size(row), _spread(times["here"], 1), _spread(times["there"], 1), _spread(_shares(row), 2)))
    sentence = (f"`{results['model']}`, `--device {results['device']}`, {results['threads']} threads; folders: "
                f"{results['rounds']} rounds of passes, {results['in_flight']} requests under way; the limit: "
                f"{results['queue']} requests.")
    return [sentence, markdown_table(folders), "One picture after the other:", markdown_table(singles)]


def _shares(row: Mapping[str, Any], way: str = "there") -> list[float]:
    return [here / there for here, there in zip(row["here_s"], row[f"{way}_s"], strict=True)]


def _size(row: Mapping[str, Any]) -> str:
    return f"{row['width_px']} × {row['height_px']}"


def _spread(samples: Sequence[float], digits: int) -> str:
    summary = summarise(samples)
    return f"{summary.median:.{digits}f} ({summary.minimum:.{digits}f} … {summary.maximum:.{digits}f})"
