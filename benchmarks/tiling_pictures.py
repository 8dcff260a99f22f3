"""The drawings of docs/tiling.md."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import BoundaryNorm, ListedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import NDArray
from PIL import Image as PillowImage
from PIL.PngImagePlugin import PngInfo

from benchmarks.inputs import BENCHMARKS
from benchmarks.plots import COLOURS, digest
from srn_deploy.benchmark.records import Record
from srn_deploy.grid import ESA_GRID
from srn_deploy.image import read_image
from srn_deploy.tiling.interpolation import window_matrix
from srn_deploy.tiling.tiles import Tile

DOTS_PER_INCH = 100
COLOUR_COUNT = 96
FONT_POINTS = 13

EXAMPLE_WINDOW = (42, 114)
"""Rows of the small drawn picture: a window that starts at 6 x 7 and owns few enough cells to be seen."""

NEIGHBOURS = (1, 30)
"""Row and column of the first of two cells that are shown."""

BOUNDS = (0, 1, 2, 4, 8, 16, 32, 64, 128)
SHADES = ("#ffffff", "#d6e6f4", "#fee8a8", "#fdbf6f", "#f98b3c", "#e2402b", "#a3123a", "#4a0a3a")
"""White: equal. Pale blue: one level, a rounding. Then ever warmer and darker."""


def draw_cells(record: Record, png: Path) -> None:
    """The grid of cells over the small drawn picture, and a window's rows of the whole picture's matrix."""
    picture = read_image(BENCHMARKS / "pictures/demo.png").as_rgb8()
    figure = Figure(figsize=(12.0, 5.6), layout="constrained")
    over, matrix = figure.subplots(1, 2, width_ratios=(1.25, 1))
    _draw_grid(over, picture)
    _draw_matrix(matrix, picture.shape[0])
    _save(figure, record, png)


def _draw_grid(axes: Axes, picture: NDArray[np.uint8]) -> None:
    height, width = picture.shape[:2]
    start, stop = EXAMPLE_WINDOW
    axes.imshow(picture, extent=(0, width, height, 0), alpha=0.55)
    for line in range(ESA_GRID.cells(width) + 1):
        axes.axvline(ESA_GRID.cell_px * line, color="0.25", linewidth=0.5, alpha=0.6)
    for line in range(ESA_GRID.cells(height) + 1):
        axes.axhline(ESA_GRID.cell_px * line, color="0.25", linewidth=0.5, alpha=0.6)
    axes.add_patch(Rectangle((start, start), stop - start, stop - start, fill=False, linewidth=3.5,
                             edgecolor=COLOURS["global"]))
    axes.annotate(f"a window: starts at 6 × {start // ESA_GRID.cell_px}", (start, start), xytext=(0, 6),
                  textcoords="offset points", fontsize=FONT_POINTS, color="white", weight="bold",
                  bbox={"facecolor": COLOURS["global"], "edgecolor": "none", "pad": 3})
    row, col = NEIGHBOURS
    top, sees_px = ESA_GRID.cell_px * row, ESA_GRID.first_cell_px
    for each in (col, col + 1):
        axes.add_patch(Rectangle((ESA_GRID.cell_px * each, top), sees_px, sees_px, linewidth=2.5,
                                 edgecolor=COLOURS["naive"], facecolor=f"{COLOURS['naive']}55"))
    axes.annotate("two cells:\n15 px wide, 6 px apart", (ESA_GRID.cell_px * col, top + sees_px / 2), xytext=(-8, 0),
                  textcoords="offset points", ha="right", va="center", fontsize=FONT_POINTS, color="white",
                  weight="bold",
                  bbox={"facecolor": COLOURS["naive"], "edgecolor": "none", "pad": 3})
    axes.set_title(f"{width} × {height} px have {ESA_GRID.cells(width)} × {ESA_GRID.cells(height)} cells",
                   fontsize=FONT_POINTS + 2)
    axes.set_xticks(range(0, width + 1, 60))
    axes.set_yticks(range(0, height + 1, 40))
    axes.tick_params(labelsize=FONT_POINTS)


def _draw_matrix(axes: Axes, side_px: int) -> None:
    start, stop = EXAMPLE_WINDOW
    first, owned = start // ESA_GRID.cell_px, ESA_GRID.cells(stop - start)
    whole = window_matrix(ESA_GRID, side_px, 0, side_px)
    axes.imshow(whole, cmap="Greys", aspect="auto", extent=(0, whole.shape[1], side_px, 0), interpolation="nearest")
    axes.axhspan(start, stop, color=COLOURS["global"], alpha=0.15)
    axes.add_patch(Rectangle((first, start), owned, stop - start, fill=False, linewidth=3.5,
                             edgecolor=COLOURS["global"]))
    axes.annotate(f"the window's rows, and the\n{owned} cells that it owns", (whole.shape[1] - 0.5, start - 4),
                  ha="right", fontsize=FONT_POINTS, color=COLOURS["global"], weight="bold")
    axes.set_title(f"the matrix of {side_px} rows over {whole.shape[1]} cells", fontsize=FONT_POINTS + 2)
    axes.set_xlabel("cell", fontsize=FONT_POINTS)
    axes.set_ylabel("row of the picture", fontsize=FONT_POINTS)
    axes.tick_params(labelsize=FONT_POINTS)


def draw_shift(record: Record, windows: Sequence[tuple[range, Sequence[float]]], png: Path) -> None:
    """How far beside the right place naive tiles read their attention map, over one side of the picture."""
    figure = Figure(figsize=(12.0, 4.2), layout="constrained")
    axes = figure.subplots()
    for number, (pixels, shifts) in enumerate(windows):
        axes.plot(pixels, shifts, color=COLOURS["naive"], linewidth=3, label=None if number else "naive tiles")
        if number:
            axes.axvline(pixels[0], color="0.5", linestyle=":", linewidth=1.5)
    axes.axhline(0, color=COLOURS["global"], linewidth=3, label="exact tiles: always the right place")
    axes.set_xlim(0, windows[-1][0][-1] + 1)
    axes.set_xlabel("column of the picture, px; dotted: where two tiles meet", fontsize=FONT_POINTS)
    axes.set_ylabel("px beside the right place", fontsize=FONT_POINTS)
    axes.set_title("Where a tile reads the attention map, against the whole picture", fontsize=FONT_POINTS + 2)
    axes.tick_params(labelsize=FONT_POINTS)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.25)
    axes.legend(fontsize=FONT_POINTS, loc="lower right", framealpha=1)
    _save(figure, record, png)


def draw_difference(record: Record, tiles: Sequence[Tile], differences: Mapping[str, NDArray[np.float64]],
                    png: Path) -> None:
    """Maps of the difference to the whole picture, one for each way, on one scale in 8-bit levels.

    Each point is the worst value of a square of pixels, so that a single pixel is still seen.
    """
    square_px = 2 * int(record.results["scale"])
    figure = Figure(figsize=(12.0, 5.2), layout="constrained")
    norm = BoundaryNorm(BOUNDS, len(SHADES))
    panels = figure.subplots(1, 2, sharey=True)
    for axes, (way, title) in zip(panels, (("naive", "naive tiles"), ("global", "exact tiles")), strict=True):
        worst = _pooled(differences[way], square_px)
        drawn = axes.imshow(worst, cmap=ListedColormap(SHADES), norm=norm, interpolation="nearest")
        _draw_cuts(axes, tiles, record.results["scale"] / square_px)
        axes.set_title(f"{title}: worst value {record.results[way]['worst_levels']:.0f}", fontsize=FONT_POINTS + 2)
        axes.set_xticks([])
        axes.set_yticks([])
    bar = figure.colorbar(drawn, ax=panels, orientation="horizontal", fraction=0.06, pad=0.03, aspect=50)
    bar.set_ticks([(low + high) / 2 for low, high in pairwise(BOUNDS)],
                  labels=["0", "1", *(f"{low}…{high - 1}" for low, high in pairwise(BOUNDS[2:]))])
    bar.ax.tick_params(labelsize=FONT_POINTS, length=0)
    bar.set_label("difference to the whole picture, in levels of 0…255", fontsize=FONT_POINTS)
    _save(figure, record, png)


def _pooled(levels: NDArray[np.float64], square_px: int) -> NDArray[np.float64]:
    """The worst value of each square; what is left over at the right and the bottom is not drawn."""
    height, width = levels.shape[0] // square_px, levels.shape[1] // square_px
    whole = levels[:height * square_px, :width * square_px]
    pooled: NDArray[np.float64] = whole.reshape(height, square_px, width, square_px).max(axis=(1, 3))
    return pooled


def _draw_cuts(axes: Axes, tiles: Sequence[Tile], points_per_px: float) -> None:
    """Where tiles meet."""
    for tile in tiles:
        if tile.rows.core_start:
            axes.axhline(tile.rows.core_start * points_per_px - 0.5, color="0.45", linewidth=0.7)
        if tile.cols.core_start:
            axes.axvline(tile.cols.core_start * points_per_px - 0.5, color="0.45", linewidth=0.7)


def _save(figure: Figure, record: Record, png: Path) -> None:
    """In few colours, which keeps the file small, with the digest of the record it belongs to."""
    drawn, told = io.BytesIO(), PngInfo()
    FigureCanvasAgg(figure).print_figure(drawn, dpi=DOTS_PER_INCH)
    told.add_text("Source", digest([record]))
    with PillowImage.open(drawn) as picture:
        few = picture.convert("RGB").quantize(COLOUR_COUNT, dither=PillowImage.Dither.NONE)
        few.save(png, optimize=True, pnginfo=told)
