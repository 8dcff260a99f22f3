"""The paper's Figure 1 with measured times: PSNR against time; the area of a point shows the parameters."""

from __future__ import annotations

from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.transforms import Bbox

from srn_deploy.benchmark.paper import OURS, paper_rows
from srn_deploy.benchmark.records import Record
from srn_deploy.benchmark.results import PaperResults
from srn_deploy.errors import OptionError
from srn_deploy.system.atomic import replacing

AREA_PER_KILOPARAMETER = 0.9
"""In square points: the smallest network is still visible, and the largest hides no other."""

PLACES = (((18, 0), "left"), ((-18, 0), "right"), ((0, 22), "center"), ((0, -22), "center"))
"""Offsets of a label from its point, in points, and its alignment."""


def check_plot(path: Path) -> None:
    """Raise OptionError unless the path ends in .png or .svg."""
    if path.suffix.lower() not in (".png", ".svg"):
        raise OptionError(f"{path} is not a name for a plot.", remedy="Name a .png or .svg file.")


def draw_figure_1(record: Record, path: Path, *, source: str = "") -> None:
    """PNG or SVG, by the suffix: the x4 rows of Table 1, PSNR on Urban100 as quoted, time as measured.

    source: kept in the file, to find out later what it was drawn from.
    """
    check_plot(path)
    figure = Figure(figsize=(8.0, 5.2), layout="constrained")
    axes = figure.subplots()
    results, points = record.results_as(PaperResults), list[tuple[str, float, float]]()
    for row in paper_rows():
        network = results.networks.get(row.network)
        psnr_db = row.quoted.quality["Urban100"].psnr_y_db if row.table == "table1" else None
        if row.scale != 4 or network is None or psnr_db is None:
            continue
        kiloparameters = network.parameters / 1000
        axes.scatter(network.mean_ms, psnr_db, s=max(kiloparameters * AREA_PER_KILOPARAMETER, 20.0), alpha=0.65,
                     color="#d95f02" if row.model in OURS else "#1b7abf", edgecolors="white")
        points.append((f"{row.model}, {kiloparameters:,.0f}K", network.mean_ms, psnr_db))
    axes.set(xscale="log", xlabel=f"milliseconds per picture, mean, measured\n({results.inputs['x4']})",
             ylabel="PSNR on Urban100 ×4, dB, quoted from the paper", title=record.title)
    axes.margins(x=0.2, y=0.16)
    axes.grid(alpha=0.3)
    _label(figure, axes, points)
    try:
        with replacing(path) as temporary:
            figure.savefig(temporary, format=path.suffix[1:].lower(), dpi=120, metadata={"Source": source})
    except OSError as error:
        raise OptionError(f"{path} cannot be written: {error.strerror}.", remedy="Check the folder.") from error


def _label(figure: Figure, axes: Axes, points: list[tuple[str, float, float]]) -> None:
    """Next to, above or below each point: the first place that no other label takes."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()  # type: ignore[no-untyped-call]
    renderer = canvas.get_renderer()  # type: ignore[no-untyped-call]
    taken: list[Bbox] = []
    for text, x, y in sorted(points, key=lambda point: -point[2]):
        places = (PLACES[1], PLACES[3], PLACES[2], PLACES[0]) if text.startswith("SRN") else PLACES
        for offset, horizontal in places:
            label = axes.annotate(text, (x, y), xytext=offset, textcoords="offset points", ha=horizontal, va="center",
                                  fontsize=8)
            box = label.get_window_extent(renderer)
            if not box.count_overlaps(taken):
                break
            if (offset, horizontal) != places[-1]:
                label.remove()
        taken.append(box)
