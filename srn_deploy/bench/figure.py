"""The paper's Figure 1 with our times: PSNR against time, the area of a point its parameters."""

from __future__ import annotations

from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from srn_deploy.atomic import replacing
from srn_deploy.bench.paper import paper_rows
from srn_deploy.errors import OptionError
from srn_deploy.records import Record

AREA_PER_KILOPARAMETER = 0.9
"""Square points: the smallest network is still seen, the largest hides nobody."""

OURS = ("SRN", "SRN-S")


def draw_figure_1(record: Record, path: Path) -> None:
    """PNG or SVG, by the suffix: the x4 rows of Table 1, PSNR on Urban100 as quoted, time as measured."""
    if path.suffix.lower() not in (".png", ".svg"):
        raise OptionError(f"{path} is no name for a plot.", remedy="Name a .png or .svg file.")
    figure = Figure(figsize=(8.0, 5.2), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    networks = record.results["networks"]
    for row in paper_rows():
        if row.table != "table1" or row.scale != 4 or row.network not in networks:
            continue
        samples = networks[row.network]["samples_ms"]
        mean_ms, psnr_db = sum(samples) / len(samples), row.quoted["quality"]["Urban100"]["psnr_y_db"]
        kiloparameters = networks[row.network]["parameters"] / 1000
        axes.scatter(mean_ms, psnr_db, s=max(kiloparameters * AREA_PER_KILOPARAMETER, 20.0), alpha=0.65,
                     color="#d95f02" if row.model in OURS else "#1b7abf", edgecolors="white")
        axes.annotate(f"{row.model}\n{kiloparameters:,.0f}K", (mean_ms, psnr_db), xytext=(0, 16),
                      textcoords="offset points", ha="center", fontsize=8)
    axes.set(xscale="log", xlabel=f"milliseconds per picture, mean, measured ({record.results['inputs']['x4']})",
             ylabel="PSNR on Urban100 ×4, dB, quoted from the paper", title=record.title)
    axes.margins(x=0.12, y=0.16)
    axes.grid(alpha=0.3)
    try:
        with replacing(path) as temporary:
            figure.savefig(temporary, format=path.suffix[1:].lower(), dpi=120)
    except OSError as error:
        raise OptionError(f"{path} cannot be written: {error.strerror}.", remedy="Check the folder.") from error
