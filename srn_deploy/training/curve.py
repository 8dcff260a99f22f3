"""The course of a run as a picture: loss and validation PSNR over the steps."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

from srn_deploy.atomic import replacing
from srn_deploy.errors import TrainingError, missing_package

SIZE_INCHES = (8.0, 6.0)
DOTS_PER_INCH = 120


def draw_curve(log: Path, png: Path, *, title: str = "") -> None:
    """Draw a run's log.csv as a PNG of 960 x 720 px.

    Raises MissingPackage without matplotlib and TrainingError for a log without a row.
    """
    try:
        # Figure and canvas by hand: pyplot keeps figures and a backend for the whole process.
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ModuleNotFoundError as error:
        raise missing_package("matplotlib", "A curve") from error
    steps, losses, psnrs = _columns(log)
    figure = Figure(figsize=SIZE_INCHES, layout="constrained")
    canvas = FigureCanvasAgg(figure)
    loss_axes, psnr_axes = figure.subplots(2, 1, sharex=True)
    loss_axes.plot(steps, losses, marker=".", color="tab:blue")
    loss_axes.set(ylabel="training loss (0..1)", title=title)
    psnr_axes.plot(steps, psnrs, marker=".", color="tab:orange")
    psnr_axes.set(ylabel="validation PSNR on Y (dB)", ylim=_limits(psnrs),
                  xlabel=f"step (at step {steps[0]}: {psnrs[0]:.2f} dB, at step {steps[-1]}: {psnrs[-1]:.2f} dB)")
    for axes in (loss_axes, psnr_axes):
        axes.grid(alpha=0.3)
    with replacing(png) as temporary:
        canvas.print_figure(temporary, dpi=DOTS_PER_INCH)


def _columns(log: Path) -> tuple[list[int], list[float], list[float]]:
    """Steps, losses and PSNRs of a log."""
    with log.open(newline="") as file:
        rows = list(csv.DictReader(file))
    if not rows:
        raise TrainingError(f"{log} has no row to draw.", remedy="Train until the first validation.")
    return ([int(row["step"]) for row in rows], [float(row["loss"]) for row in rows],
            [float(row["validation_psnr_y_db"]) for row in rows])


def _limits(psnrs: Sequence[float]) -> tuple[float, float]:
    """Range in dB without the untrained start, which would press all the rest into one line."""
    shown = psnrs[1:] if len(psnrs) > 2 else psnrs
    margin = max(0.05 * (max(shown) - min(shown)), 0.05)
    return min(shown) - margin, max(shown) + margin
