"""Draw what the guard does, for docs/guard.md: a drawn picture under noise, through the published SRN checkpoint.

    python -m benchmarks.explain_guard

The checkpoint is not part of the project: SRN_DATA names the folder of the real data.
"""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

from benchmarks.guard_study import OFFICIAL, PUBLISHED
from benchmarks.inputs import BENCHMARKS, data_path
from srn_deploy.backends import open_backend
from srn_deploy.image import read_image
from srn_deploy.image.bicubic import resize_uint8
from srn_deploy.inference.arrays import upscale_guarded
from srn_deploy.inference.guard import Guard, Verdict, inspect
from srn_deploy.inference.setup import Setup

PICTURE = BENCHMARKS.parent / "docs/pictures/guard.jpg"

SIZE_INCHES, DOTS_PER_INCH, JPEG_QUALITY = (10.0, 7.6), 100, 80
SIGMAS = (0.0, 55.0)
"""Noise at the left and at the right border, in levels: it grows in between."""

Pixels = NDArray[np.uint8]


def noisy_scene() -> Pixels:
    """A part of the drawn demo picture, with noise that grows from left to right."""
    clean = read_image(BENCHMARKS / "pictures/demo.png").as_rgb8()[20:140, 60:220]
    sigma = np.linspace(*SIGMAS, clean.shape[1])[None, :, None]
    noise = np.random.default_rng(5).normal(0, 1, clean.shape) * sigma
    return np.clip(np.rint(clean + noise), 0, 255).astype(np.uint8)


def draw(checkpoint: Path, picture: Path) -> str:
    """Four panels: the input, the network's output, what is flagged, what is repaired; returns what was found."""
    lr = noisy_scene()
    with closing(open_backend(checkpoint, "cpu")) as backend:
        scale = backend.spec.scale
        raw, _ = upscale_guarded(lr, Setup(backend, guard=Guard.OFF))
        repaired, findings = upscale_guarded(lr, Setup(backend, guard=Guard.REPAIR))
    verdict = inspect(lr, raw, scale)
    figure = Figure(figsize=SIZE_INCHES, layout="constrained")
    canvas = FigureCanvasAgg(figure)
    panels = figure.subplots(2, 2)
    titles = ("input, noise grows to the right; bicubic", "--guard off: the network's output",
              f"--guard warn: {verdict.share:.0%} of the blocks are flagged", "--guard repair")
    height, width = lr.shape[:2]
    for axes, title, pixels in zip(panels.flat, titles, (resize_uint8(lr, height * scale, width * scale), raw, raw,
                                                         repaired), strict=True):
        axes.imshow(pixels, interpolation="nearest")
        axes.set_title(title, fontsize=11)
        axes.set_axis_off()
    _outline(panels[1, 0], verdict, scale)
    canvas.print_figure(picture, dpi=DOTS_PER_INCH, pil_kwargs={"quality": JPEG_QUALITY})
    return findings.sentence()


def _outline(axes: Axes, verdict: Verdict, scale: int) -> None:
    """Lines around flagged blocks, and a veil over the others."""
    mask = np.kron(verdict.mask(), np.ones((scale, scale), bool))
    axes.imshow(np.dstack([np.ones((*mask.shape, 3)), np.where(mask, 0.0, 0.6)]), interpolation="nearest")
    axes.contour(mask, levels=[0.5], colors="#d95f02", linewidths=1.6)


def main() -> None:
    """Draw the picture and say what was found."""
    print(draw(data_path(f"checkpoints/{PUBLISHED[OFFICIAL]}"), PICTURE))


if __name__ == "__main__":
    main()
