"""How far an artefact is from its reference, on images, and whether that is near enough.

Output images are compared: their PSNR in dB and their worst value. Where an original is known, what counts is how much
PSNR is lost against it. Values that leave the range of FP16 are looked for inside the FP32 reference and never in 8-bit
output, where a cast turns NaN into 0.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from srn_deploy.backends.protocol import Backend
from srn_deploy.engine.manifest import CertificateRecord
from srn_deploy.errors import OptionError
from srn_deploy.image.bicubic import resize_uint8
from srn_deploy.image.pixels import Rgb8
from srn_deploy.inference.upscale import takes, upscale_rgb
from srn_deploy.quality.metrics import psnr_y
from srn_deploy.spec import Precision
from srn_deploy.system.documents import to_builtins
from srn_deploy.tiling.shapes import Limits
from srn_deploy.tiling.tiles import reflected
from srn_deploy.tiling.windows import WHOLE_IMAGE
from srn_deploy.verification.agreement import LEAST_PSNR_DB

_FLOAT = np.dtype(np.float32)

LARGEST_HALF = 65504.0
"""The largest finite value of FP16."""

MOST_LOSS_DB = {Precision.FP32: 0.01, Precision.FP16: 0.01, Precision.BF16: 0.02, Precision.INT8: 0.2}
"""How much PSNR against the original may be lost: a tenth of what the paper's tables call a difference, and a fifth in
BF16, which rounds more coarsely than FP16. INT8 is never taken without being asked for or measured by `tune`."""


@dataclass(frozen=True, kw_only=True)
class Certificate:
    """What a comparison found; `failures` holds it to its bounds."""

    artefact_sha256: str
    ran_on: str
    gpu: str
    """Name and compute capability of the GPU it ran on; empty for the CPU."""
    reference: str
    precision: str
    pictures: int
    psnr_db: float | None
    """PSNR against the reference over all values; None when nothing differs."""
    worst_levels: float
    psnr_loss_db: float
    """The reference's PSNR against the original minus the artefact's, averaged over the images."""
    non_finite: int
    """How many values of the artefact's output are not finite; 8-bit output cannot show them and has 0."""
    largest_activation: float | None
    """Inside the FP32 reference; None where that cannot be measured, the largest double where it is infinite."""
    largest_layer: str
    overflowing_layers: tuple[str, ...]
    """Layers in which the reference's values leave the range of FP16."""

    @property
    def headroom(self) -> float | None:
        """How many times the largest activation fits into the range of FP16; None where it is unknown."""
        return None if not self.largest_activation else LARGEST_HALF / self.largest_activation

    @property
    def failures(self) -> list[str]:
        """Why the artefact does not pass, as sentences; empty when it does."""
        reasons, least, most = [], LEAST_PSNR_DB[Precision(self.precision)], MOST_LOSS_DB[Precision(self.precision)]
        if self.psnr_db is not None and not self.psnr_db >= least:
            reasons.append(f"{self.psnr_db:.1f} dB from the reference, at least {least:g} dB are required")
        if not self.psnr_loss_db <= most:
            reasons.append(f"it loses {self.psnr_loss_db:.3f} dB against the originals, at most {most:g} dB are "
                           "allowed")
        if self.non_finite:
            reasons.append(f"{self.non_finite} values of its output are not finite")
        if reasons and self.overflowing_layers:
            reasons.append(f"values leave the range of FP16 in {', '.join(self.overflowing_layers[:5])}")
        return reasons

    def as_record(self) -> CertificateRecord:
        """All fields, the headroom and whether it passed, as they are kept in files."""
        return CertificateRecord(**asdict(self), headroom=self.headroom, passed=not self.failures,
                                 failures=tuple(self.failures))

    def as_json(self) -> dict[str, Any]:
        """The record as plain values."""
        values: dict[str, Any] = to_builtins(self.as_record())
        return values


@dataclass(frozen=True, kw_only=True, eq=False)
class Reference:
    """What an artefact is compared with: an open backend that computes in FP32. Whoever opened it closes it."""

    backend: Backend
    name: str
    """What it is, for people who read the certificate."""
    peaks: Mapping[str, float] = field(default_factory=dict)
    """Layer to largest absolute activation; filled while images run, empty where it cannot be measured."""


def certify(candidate: Backend, reference: Reference, originals: Iterable[Rgb8], *, artefact_sha256: str,
            ran_on: str, gpu: str = "") -> Certificate:
    """Compare an artefact with its reference on originals that are made small by bicubic interpolation.

    originals: RGB (H, W, 3) in 0..255. ran_on, gpu: what the artefact runs on, for the certificate. Raises OptionError
    where both have different scales, or without an original.
    """
    scale, found = candidate.spec.scale, _Found()
    if reference.backend.spec.scale != scale:
        raise OptionError(f"The artefact is of x{scale}, its reference of x{reference.backend.spec.scale}.",
                          remedy="Name the checkpoint that it was made from.")
    for original in originals:
        height, width = _size_taken(candidate.limits, *(side // scale for side in original.shape[:2]))
        grown: Rgb8 = reflected(original, height * scale, width * scale).astype(np.uint8)
        hr = grown[:height * scale, :width * scale]
        lr = resize_uint8(hr, height, width)
        ours, theirs = _run(candidate, lr), _run(reference.backend, lr)
        if not takes(_FLOAT, candidate.spec):
            theirs = _levels(theirs).astype(np.float64)  # or the rounding alone would be 59 dB
        found.add(ours, theirs, hr, border_px=scale)
    if not found.pictures:
        raise OptionError("There is no image to certify on.", remedy="Give a folder with images.")
    peaks = reference.peaks
    layer = max(peaks, key=lambda name: _ordered(peaks[name]), default="")
    return Certificate(
        artefact_sha256=artefact_sha256, ran_on=ran_on, gpu=gpu, reference=reference.name,
        precision=candidate.spec.precision, pictures=found.pictures, psnr_db=found.psnr_db,
        worst_levels=found.worst, psnr_loss_db=found.loss / found.pictures, non_finite=found.non_finite,
        largest_activation=_ordered(peaks[layer]) if layer else None, largest_layer=layer,
        overflowing_layers=tuple(name for name, peak in peaks.items() if not peak <= LARGEST_HALF))


def _size_taken(limits: Limits, height: int, width: int) -> tuple[int, int]:
    """The size itself, or the nearest that an engine takes whole: certificates are made without tiles."""
    sizes = [(min(max(height, shapes.smallest[0]), shapes.largest[0]),
              min(max(width, shapes.smallest[1]), shapes.largest[1])) for shapes in limits.shapes]
    return min(sizes, key=lambda size: abs(size[0] - height) + abs(size[1] - width), default=(height, width))


@dataclass
class _Found:
    """Sums over all images."""

    pictures: int = 0
    squares: float = 0.0
    values: int = 0
    worst: float = 0.0
    loss: float = 0.0
    non_finite: int = 0

    def add(self, ours: NDArray[np.float64], theirs: NDArray[np.float64], hr: Rgb8, *, border_px: int) -> None:
        """Add one image: both results and the original, (H, W, 3) in levels of 0..255."""
        self.non_finite += int(np.count_nonzero(~np.isfinite(ours)))
        difference = np.nan_to_num(ours, nan=1e9, posinf=1e9, neginf=-1e9) - theirs
        self.pictures += 1
        self.squares += float(np.square(difference).sum())
        self.values += difference.size
        self.worst = max(self.worst, float(np.abs(difference).max()))
        before, after = (psnr_y(_levels(image), hr, border_px=border_px) for image in (theirs, ours))
        self.loss += before - after if math.isfinite(before - after) else 0.0

    @property
    def psnr_db(self) -> float | None:
        return 10 * math.log10(255.0**2 * self.values / self.squares) if self.squares else None


def _run(backend: Backend, lr: Rgb8) -> NDArray[np.float64]:
    """One image, untiled, in levels of 0..255; an artefact for more than 8 bits keeps its fractions."""
    if not takes(_FLOAT, backend.spec):
        return upscale_rgb(lr, backend, WHOLE_IMAGE).astype(np.float64)
    values = lr.astype(np.float32) / np.float32(255)
    return upscale_rgb(values, backend, WHOLE_IMAGE).astype(np.float64) * 255


def _levels(image: NDArray[np.float64]) -> Rgb8:
    return np.clip(np.rint(np.nan_to_num(image)), 0, 255).astype(np.uint8)


def _ordered(peak: float) -> float:
    """A peak that JSON can hold: infinity and NaN become the largest double."""
    return peak if math.isfinite(peak) else float(np.finfo(np.float64).max)
