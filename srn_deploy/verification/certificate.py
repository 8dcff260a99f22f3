"""How far an artefact is from its reference, on pictures, and whether that is near enough.

What is compared are pictures: dB and the worst value. Where an original is known, what counts is how much
PSNR is lost against it. Numbers that leave FP16 are looked for inside the FP32 reference, never in 8-bit
output, where a cast turns NaN into 0.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from srn_deploy.backends.protocol import Backend
from srn_deploy.engine.manifest import CertificateRecord
from srn_deploy.errors import OptionError
from srn_deploy.image.bicubic import resize_uint8
from srn_deploy.inference.upscale import upscale_rgb
from srn_deploy.quality.metrics import psnr_y
from srn_deploy.spec import PixelType, Precision
from srn_deploy.system.documents import to_builtins
from srn_deploy.tiling.shapes import Limits
from srn_deploy.tiling.tiles import reflected
from srn_deploy.tiling.windows import TileOptions
from srn_deploy.verification.agreement import LEAST_PSNR_DB

Pixels = NDArray[np.uint8]

LARGEST_HALF = 65504.0
"""The end of FP16."""

WHOLE = TileOptions(tile=None)

MOST_LOSS_DB = 0.01
"""Of PSNR against the original: a tenth of what the paper's tables call a difference."""


@dataclass(frozen=True, kw_only=True)
class Certificate:
    """What was found, and the bounds it was held to."""

    artefact_sha256: str
    ran_on: str
    gpu: str
    """Name and compute capability of what it ran on; empty for the CPU."""
    reference: str
    precision: str
    pictures: int
    psnr_db: float | None
    """Against the reference over all values; None when nothing differs."""
    worst_levels: float
    psnr_loss_db: float
    """Mean over the pictures of the reference's PSNR against the original less the artefact's."""
    non_finite: int
    """Values of the artefact's output that are none; of 8-bit output nothing can be told: 0."""
    largest_activation: float | None
    """Inside the FP32 reference; None where it cannot be looked into, infinite ones as the largest double."""
    largest_layer: str
    overflowing_layers: tuple[str, ...]
    """Where the reference's values leave FP16."""

    @property
    def headroom(self) -> float | None:
        """How many times larger FP16 is than the largest activation."""
        return None if not self.largest_activation else LARGEST_HALF / self.largest_activation

    @property
    def failures(self) -> list[str]:
        """Why the artefact does not pass, as sentences; empty when it does."""
        told, least = [], LEAST_PSNR_DB[Precision(self.precision)]
        if self.psnr_db is not None and not self.psnr_db >= least:
            told.append(f"{self.psnr_db:.1f} dB from the reference, {least:g} are asked for")
        if not self.psnr_loss_db <= MOST_LOSS_DB:
            told.append(f"it loses {self.psnr_loss_db:.3f} dB against the originals, {MOST_LOSS_DB:g} are allowed")
        if self.non_finite:
            told.append(f"{self.non_finite} values of its output are no numbers")
        if told and self.overflowing_layers:
            told.append(f"values leave FP16 in {', '.join(self.overflowing_layers[:5])}")
        return told

    def as_record(self) -> CertificateRecord:
        """All fields, the headroom and whether it passed, as they are kept in files."""
        return CertificateRecord(**asdict(self), headroom=self.headroom, passed=not self.failures,
                                 failures=tuple(self.failures))

    def as_json(self) -> dict[str, Any]:
        """The record as plain values."""
        values: dict[str, Any] = to_builtins(self.as_record())
        return values


def certify(candidate: Backend, reference: Backend, originals: Iterable[Pixels], *, artefact_sha256: str, ran_on: str,
            reference_name: str, peaks: Mapping[str, float], gpu: str = "") -> Certificate:
    """Compare two backends on uint8 originals (H, W, 3), made small by bicubic; raises OptionError without one.

    peaks: layer to largest activation of the reference; it is read after the pictures have run.
    """
    scale, found = candidate.spec.scale, _Found()
    if reference.spec.scale != scale:
        raise OptionError(f"The artefact is of x{scale}, its reference of x{reference.spec.scale}.",
                          remedy="Name the checkpoint that it was made from.")
    for original in originals:
        height, width = _size_taken(candidate.limits, *(side // scale for side in original.shape[:2]))
        grown: Pixels = reflected(original, height * scale, width * scale).astype(np.uint8)
        hr = grown[:height * scale, :width * scale]
        lr = resize_uint8(hr, height, width)
        ours, theirs = _run(candidate, lr), _run(reference, lr)
        if candidate.spec.pixel_type is PixelType.UINT8:
            theirs = _levels(theirs).astype(np.float64)  # or the rounding alone would be 59 dB
        found.add(ours, theirs, hr, border_px=scale)
    if not found.pictures:
        raise OptionError("There is no picture to certify on.", remedy="Give a folder with pictures.")
    layer = max(peaks, key=lambda name: _ordered(peaks[name]), default="")
    return Certificate(
        artefact_sha256=artefact_sha256, ran_on=ran_on, gpu=gpu, reference=reference_name,
        precision=candidate.spec.precision, pictures=found.pictures, psnr_db=found.psnr_db,
        worst_levels=found.worst, psnr_loss_db=found.loss / found.pictures, non_finite=found.non_finite,
        largest_activation=_ordered(peaks[layer]) if layer else None, largest_layer=layer,
        overflowing_layers=tuple(name for name, peak in peaks.items() if not peak <= LARGEST_HALF))


def _size_taken(limits: Limits, height: int, width: int) -> tuple[int, int]:
    """The size itself, or for an engine the nearest that it takes whole: a certificate is about no tiles."""
    sizes = [(min(max(height, shapes.smallest[0]), shapes.largest[0]),
              min(max(width, shapes.smallest[1]), shapes.largest[1])) for shapes in limits.shapes]
    return min(sizes, key=lambda size: abs(size[0] - height) + abs(size[1] - width), default=(height, width))


@dataclass
class _Found:
    """Sums over the pictures."""

    pictures: int = 0
    squares: float = 0.0
    values: int = 0
    worst: float = 0.0
    loss: float = 0.0
    non_finite: int = 0

    def add(self, ours: NDArray[np.float64], theirs: NDArray[np.float64], hr: Pixels, *, border_px: int) -> None:
        """Two results (H, W, 3) in levels of 0..255."""
        self.non_finite += int(np.count_nonzero(~np.isfinite(ours)))
        difference = np.nan_to_num(ours, nan=1e9, posinf=1e9, neginf=-1e9) - theirs
        self.pictures += 1
        self.squares += float(np.square(difference).sum())
        self.values += difference.size
        self.worst = max(self.worst, float(np.abs(difference).max()))
        before, after = (psnr_y(_levels(picture), hr, border_px=border_px) for picture in (theirs, ours))
        self.loss += before - after if math.isfinite(before - after) else 0.0

    @property
    def psnr_db(self) -> float | None:
        return 10 * math.log10(255.0**2 * self.values / self.squares) if self.squares else None


def _run(backend: Backend, lr: Pixels) -> NDArray[np.float64]:
    """One whole picture, in levels of 0..255; float artefacts keep their fractions."""
    if backend.spec.pixel_type is PixelType.UINT8:
        return upscale_rgb(lr, backend, WHOLE).astype(np.float64)
    values = lr.astype(np.float32) / np.float32(255)
    return upscale_rgb(values, backend, WHOLE).astype(np.float64) * 255


def _levels(picture: NDArray[np.float64]) -> Pixels:
    return np.clip(np.rint(np.nan_to_num(picture)), 0, 255).astype(np.uint8)


def _ordered(peak: float) -> float:
    """A peak that JSON can hold: what is infinite or no number is the largest double."""
    return peak if math.isfinite(peak) else float(np.finfo(np.float64).max)
