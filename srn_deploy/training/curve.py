"""A plot of a run: loss and validation PSNR over the steps."""

from __future__ import annotations

import csv
import math
from collections.abc import Sequence
from pathlib import Path

from srn_deploy.errors import TrainingError, missing_package
from srn_deploy.system.atomic import replacing

SIZE_INCHES = (8.0, 6.0)
DOTS_PER_INCH = 120


def draw_curve(log: Path, png: Path, *, title: str = "") -> None:
    """Plot a run's log.csv as a PNG of 960 x 720 px; a column `recipe`, if there is one, divides it into stages.

    Raises MissingPackage without matplotlib, TrainingError for a log without a row.
    """
    try:
        # Figure and canvas directly: pyplot keeps figures and a backend for the whole process.
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ModuleNotFoundError as error:
        raise missing_package("matplotlib", "A curve") from error
    stages = _stages(log)
    figure = Figure(figsize=SIZE_INCHES, layout="constrained")
    canvas = FigureCanvasAgg(figure)
    loss_axes, psnr_axes = figure.subplots(2, 1, sharex=True)
    for name, (steps, losses, psnrs) in stages.items():
        loss_axes.plot(steps, losses, marker=".", label=name, color=None if len(stages) > 1 else "tab:blue")
        psnr_axes.plot(steps, psnrs, marker=".", color=None if len(stages) > 1 else "tab:orange")
    if len(stages) > 1:
        loss_axes.legend(frameon=False, fontsize=9)
    points = [point for steps, _, psnrs in stages.values() for point in zip(steps, psnrs, strict=True)]
    loss_axes.set(ylabel="training loss (0..1)", title=title)
    psnr_axes.set(ylabel="validation PSNR on Y (dB)", ylim=_limits([psnrs for *_, psnrs in stages.values()]),
                  xlabel="step (at step {}: {:.2f} dB, at step {}: {:.2f} dB)".format(*points[0], *points[-1]))
    for axes in (loss_axes, psnr_axes):
        axes.grid(alpha=0.3)
    with replacing(png) as temporary:
        canvas.print_figure(temporary, dpi=DOTS_PER_INCH)


def _stages(log: Path) -> dict[str, tuple[list[int], list[float], list[float]]]:
    """Steps, losses and PSNRs of a log by stage; a log without stages has one with an empty name."""
    with log.open(newline="") as file:
        rows = list(csv.DictReader(file))
    if not rows:
        raise TrainingError(f"{log} has no row to plot.", remedy="Train until the first validation.")
    stages: dict[str, tuple[list[int], list[float], list[float]]] = {}
    for row in rows:
        steps, losses, psnrs = stages.setdefault(row.get("recipe", ""), ([], [], []))
        steps.append(int(row["step"]))
        losses.append(float(row["loss"]))
        psnrs.append(float(row["validation_psnr_y_db"]))
    return stages


def _limits(stages: Sequence[Sequence[float]]) -> tuple[float, float]:
    """Range of the axis in dB, without the first value of each stage: it would squeeze all others into one line."""
    shown = [psnr for psnrs in stages for psnr in (psnrs[1:] if len(psnrs) > 2 else psnrs) if math.isfinite(psnr)]
    if not shown:
        return 0.0, 1.0
    margin = max(0.05 * (max(shown) - min(shown)), 0.05)
    return min(shown) - margin, max(shown) + margin
