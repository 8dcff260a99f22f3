"""The study of the checkpoints of challenges as tables and a plot, from its records."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from benchmarks.plots import DOTS_PER_INCH, SIZE_INCHES, digest
from benchmarks.zoo_results import EXACT, LOCAL, WHOLE, Case, Results, Row
from srn_deploy.benchmark.records import Record
from srn_deploy.benchmark.tables import markdown_table
from srn_deploy.errors import OptionError
from srn_deploy.system.documents import convert

PLOT = "zoo.png"

SAME_DB = 0.05
"""Two ways to compute one network differ by less on Set5; another value range, slope or dilation by more."""

ONE_LEVEL = 1.0

NO_DIFFERENCE = 1e-5
"""Where the plot shows a network whose tiles do not differ at all, on its logarithmic axis."""

COLOURS = {EXACT: "#1b7abf", LOCAL: "#4d9221"}

INTRODUCTION = """## Networks of other authors

Every checkpoint of a challenge's repository with its authors' own class, as `--network FILE.py:CLASS` takes it
([how](../docs/networks.md#a-class-of-your-own)): nothing is said of the network but its class and the arguments that
the authors' script gives. *Range*: found by trying, against what the script declares. *Set5*: PSNR on Y of the exported
graph, beside what the authors' code gives in the declared range. *Tiles*: a photograph in tiles of 96 px, with the halo
that was found, against the whole image; the worst value before it is rounded, of 255. *Engine*: FP16, built by
TensorRT-RTX; its convolutions, all of them in half precision where nothing else is said.

Measure: `python -m benchmarks.zoo_study DIR --reference FILE`, where DIR is a clone of ofsoundof/NTIRE2022_ESR."""

_HEAD = ("checkpoint", "range (declared)", "Set5, dB", "authors, dB", "way of tiling", "halo, px", "worst tile, levels",
         "engine")


def zoo_tables(results: Mapping[str, Any]) -> list[str]:
    """A summary, the networks whose graph was proved, and the others with their reasons."""
    found = _results(results)
    proved = [(row, row.case) for row in found.rows if row.case is not None and not row.case.refusal]
    refused = [(row.name, row.case.refusal if row.case is not None else row.ended) for row in found.rows
               if row.case is None or row.case.refusal]
    parts = [_summary(found, proved), markdown_table([_HEAD, *(_cells(row, case) for row, case in proved)])]
    if refused:
        parts.append(markdown_table([("refused", "reason"), *((name, reason) for name, reason in refused)]))
    return parts


def draw_zoo(record: Record, png: Path) -> None:
    """The worst tile of every network that is tiled, by its way of tiling."""
    rows = [(row.name, row.case) for row in _results(record.results).rows
            if row.case is not None and row.case.worst_tile_levels is not None]
    rows.sort(key=lambda row: (row[1].tiling, row[1].worst_tile_levels))
    figure = Figure(figsize=SIZE_INCHES, layout="constrained")
    canvas = FigureCanvasAgg(figure)
    axes = figure.subplots()
    for tiling, colour in COLOURS.items():
        chosen = [(place, max(case.worst_tile_levels or 0.0, NO_DIFFERENCE)) for place, (_, case) in enumerate(rows)
                  if case.tiling == tiling]
        axes.scatter([place for place, _ in chosen], [levels for _, levels in chosen], color=colour, label=tiling)
    axes.set(title="Tiles against the whole image", ylabel="worst value, levels of 0…255; lower is closer")
    axes.set_yscale("log")
    axes.axhline(ONE_LEVEL, color="0.35", linestyle=":", linewidth=1.2)
    axes.set_xticks(range(len(rows)), [Path(name).stem for name, _ in rows], rotation=90, fontsize=7)
    axes.legend(fontsize=9, frameon=False)
    canvas.print_figure(png, dpi=DOTS_PER_INCH, metadata={"Source": digest([record])})


def silently_wrong(row: Row, case: Case) -> bool:
    """Whether the graph gives neither the authors' figure nor that of their network in the other range."""
    figures = [figure for figure in (row.authors_db, row.authors_other_db) if figure is not None]
    if case.psnr_db is None or not figures:
        return False
    return all(abs(case.psnr_db - figure) > SAME_DB for figure in figures)


def _results(results: Mapping[str, Any]) -> Results:
    return convert(dict(results), Results, lambda fault: OptionError(
        f"The record of the study is damaged ({fault}).", remedy="Measure it again."))


def _summary(found: Results, proved: Sequence[tuple[Row, Case]]) -> str:
    total, cases = len(found.rows), [case for _, case in proved]
    unfinished = sum(row.case is None for row in found.rows)
    known = [row for row, case in proved if case.psnr_db is not None and row.authors_db is not None]
    wrong = [row.name for row, case in proved if silently_wrong(row, case)]
    names = f" ({', '.join(wrong)})" if wrong else ""
    ways = Counter(case.tiling for case in cases)
    engines = sum(set(case.convolutions) == {"HALF"} for case in cases)
    tiled = "; ".join(f"{ways[way]} {way}{_within(cases, way)}" for way in (EXACT, LOCAL, WHOLE) if ways[way])
    absent = f" Absent from the clone: {', '.join(found.absent)}." if found.absent else ""
    ended = f", {unfinished} not finished" if unfinished else ""
    right = sum(case.value_range == row.declared_range for row, case in proved)
    return (f"`{found.repository}` at {found.revision[:7]}: of {total} checkpoints {len(proved)} are exported and "
            f"proved, {total - len(proved) - unfinished} refused{ended}.{absent} The range found is the declared one "
            f"for {right}. Proved networks that do not give their authors' figure on Set5: {len(wrong)} of "
            f"{len(known)}{names}. By their way of tiling: {tiled or 'none'}. An FP16 engine with all convolutions in "
            f"half precision is built for {engines}.")


def _within(cases: Sequence[Case], way: str) -> str:
    levels = [case.worst_tile_levels for case in cases if case.tiling == way and case.worst_tile_levels is not None]
    return f" ({sum(one <= ONE_LEVEL for one in levels)} of {len(levels)} within one level)" if levels else ""


def _cells(row: Row, case: Case) -> tuple[str, ...]:
    sides = f", sides a multiple of {case.size_multiple_px}" if case.size_multiple_px > 1 else ""
    grids = f" of {' and '.join(case.grids)}" if case.grids else ""
    tiles = "–" if case.worst_tile_levels is None else f"{case.worst_tile_levels:.2g}"
    mark = "**" if silently_wrong(row, case) else ""
    return (row.name, f"{case.value_range:g} ({row.declared_range:g})", f"{mark}{_decibels(case.psnr_db)}{mark}",
            _decibels(row.authors_db), f"{case.tiling}{grids}{sides}", str(case.halo_px), tiles, _engine(case))


def _engine(case: Case) -> str:
    if not case.convolutions:
        return f"none: {case.engine_refusal}"
    total = sum(case.convolutions.values())
    return str(total) if set(case.convolutions) == {"HALF"} else f"{case.convolutions.get('HALF', 0)} of {total} HALF"


def _decibels(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"
