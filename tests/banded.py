"""Images made whole and by bands, to be compared."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from srn_deploy.image import Image, read_image
from srn_deploy.inference import large_results
from srn_deploy.inference.jobs import Outcome, run_jobs
from srn_deploy.inference.plan import Job
from srn_deploy.inference.result_options import AS_UPSCALED, ResultOptions
from srn_deploy.inference.setup import Setup
from tests.picture_table import Kind
from tests.test_guarded_upscaling import POISON


@dataclass(frozen=True)
class BothWays:
    """Upscales a file whole to `whole` and by bands to `bands`, and makes sure that it did."""

    folder: Path
    monkeypatch: pytest.MonkeyPatch
    caplog: pytest.LogCaptureFixture

    def __call__(self, source: Path, suffix: str, setup: Setup, wanted: ResultOptions = AS_UPSCALED, *,
                 says: str = "is written by bands") -> tuple[Outcome, Outcome]:
        """The two outcomes."""
        outcomes: list[Outcome] = []
        for name, limit in (("whole", math.inf), ("bands", 0)):
            self.monkeypatch.setattr(large_results, "LARGE_RESULT_BYTES", limit)
            with self.caplog.at_level("INFO"):
                self.caplog.clear()
                job = Job(source=source, target=self.folder / f"{name}{suffix}", wanted=wanted)
                outcomes += run_jobs([job], setup)
            assert (says in self.caplog.text) == (name == "bands")
        return outcomes[0], outcomes[1]


def waves(height: int, width: int, kind: Kind, *, poisoned: bool = False) -> Image:
    """A soft image of a kind, with places that make the fake network diverge if it is poisoned, and soft alpha."""
    rows, cols = np.mgrid[0:height, 0:width]
    wave = 100 + 40 * np.sin(rows / 17) + 40 * np.cos(cols / 23)
    colour = np.stack([wave, wave * 0.9, wave * 0.8], axis=2)[..., :kind.colours]
    if poisoned:
        for row, col in ((60, 20), (61, 100), (130, 70), (190, 30), (255, 0), (height - 10, width - 9)):
            colour[row:row + 22, col:col + 24] = [POISON, 190, 190][:kind.colours]
    alpha = np.clip(300 * np.sin(rows / 40) * np.cos(cols / 31), 0, 255)[..., None] if kind.alpha else None

    def levels(values: NDArray[Any]) -> NDArray[Any]:
        eight = values.astype(np.uint8)
        return eight.astype(np.uint16) * np.uint16(257) if kind.bits == 16 else eight

    return Image(pixels=levels(colour), alpha=None if alpha is None else levels(alpha))


def assert_same(first: Path, second: Path) -> None:
    """Pixels, alpha and metadata are equal to the bit."""
    one, other = read_image(first), read_image(second)
    np.testing.assert_array_equal(one.pixels, other.pixels)
    assert (one.alpha is None) == (other.alpha is None)
    if one.alpha is not None and other.alpha is not None:
        np.testing.assert_array_equal(one.alpha, other.alpha)
    assert one.metadata == other.metadata
