"""The plots of the benchmarks, drawn from records."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from itertools import cycle
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from srn_deploy.benchmark.records import Record

SIZE_INCHES = (10.0, 4.6)
DOTS_PER_INCH = 120

COLOURS = {"naive": "#d95f02", "global": "#1b7abf"}
TITLES = {"naive": "naive tiles", "global": "global geometry"}
MARKERS = ("o", "s", "^", "D", "v")


def digest(records: Sequence[Record]) -> str:
    """Of the records a plot is drawn from; stands in the plot, so that a stale one is found."""
    kept = [{name: value for name, value in record.as_json().items() if name != "format_version"} for record in records]
    return hashlib.sha256(json.dumps(kept, sort_keys=True).encode()).hexdigest()


def is_stale(plot: Path, records: Sequence[Record]) -> bool:
    """True unless the plot was drawn from exactly these records; it carries their digest."""
    return digest(records).encode() not in plot.read_bytes()


def draw_tiling(records: Sequence[Record], png: Path) -> None:
    """dB and the worst value over the halo, one marker for each checkpoint, as a PNG of 1200 x 552 px."""
    figure = Figure(figsize=SIZE_INCHES, layout="constrained")
    canvas = FigureCanvasAgg(figure)
    decibels, worst = figure.subplots(1, 2)
    for axes, value in ((decibels, "psnr_db"), (worst, "worst_levels")):
        _draw_lines(axes, records, value)
        _halo_axis(axes, records)
    decibels.set(title="Closeness to the whole picture", ylabel="dB, higher is closer")
    worst.set(title="Worst value of all pictures", ylabel="levels of 0…255, lower is closer")
    worst.set_yscale("log")
    worst.yaxis.set_major_formatter(FuncFormatter(lambda level, _: f"{level:g}"))
    worst.axhline(1.0, color="0.35", linestyle=":", linewidth=1.2)
    worst.annotate("one 8-bit level: the promise", (0.02, 1.0), xycoords=("axes fraction", "data"),
                   xytext=(0, 3), textcoords="offset points", color="0.35", fontsize=9)
    decibels.legend(loc="upper left", fontsize=9, frameon=False)
    canvas.print_figure(png, dpi=DOTS_PER_INCH, metadata={"Source": digest(records)})


def _draw_lines(axes: Axes, records: Sequence[Record], value: str) -> None:
    for record, marker in zip(records, cycle(MARKERS), strict=False):  # one of them is endless
        for way in ("global", "naive"):
            points = [(row["halo_px"], row[f"{way}_float"][value]) for row in record.results["rows"]
                      if row[f"{way}_float"]["worst_levels"]]  # without any difference both axes have no place for it
            axes.plot([halo for halo, _ in points], [height for _, height in points], marker=marker, markersize=6,
                      color=COLOURS[way], linewidth=2, label=f"{TITLES[way]}, {record.results['checkpoint']}")
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)


def _halo_axis(axes: Axes, records: Sequence[Record]) -> None:
    halos: set[Any] = {row["halo_px"] for record in records for row in record.results["rows"]}
    axes.set_xscale("log", base=2)
    axes.xaxis.set_major_locator(FixedLocator(sorted(halos)))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda halo, _: f"{halo:g}"))
    axes.set_xlabel("halo around tiles of "
                    f"{' / '.join(sorted({str(r.results['tile_px']) for r in records}))} px, LR pixels")
