"""What images are upscaled with: the opened model, its tiles, its guard, and the same model in FP32."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import copy_context
from dataclasses import KW_ONLY, dataclass, field
from typing import Any

import numpy as np

from srn_deploy.backends.protocol import Backend
from srn_deploy.inference.guard import Guard, Verdict
from srn_deploy.inference.upscale import OnTile, check_takes, no_progress, takes
from srn_deploy.system.threads import threads_in_use
from srn_deploy.tiling.windows import ONE_BY_ONE, ImageBatching, TileOptions

OnVerdict = Callable[[Verdict], None]
"""Called with the guard's verdict on the blocks of an image, or of the rows of it that are done, before any repair."""


def ignore_verdict(verdict: Verdict) -> None:
    """The OnVerdict of those who do not draw it."""


class Fp32Fallback:
    """The same model in FP32 with float pixels, opened when it is first needed; whoever makes it closes it.

    It runs images of 16 bits where the model takes 8 or computes in BF16, and runs blocks again that broke in FP16 or
    BF16. Without `open_model` there is none.
    """

    def __init__(self, open_model: Callable[[], Backend] | None = None) -> None:
        self._open_model = open_model
        self._context = copy_context()
        self._backend: Backend | None = None

    def __bool__(self) -> bool:
        return self._open_model is not None

    def opened(self) -> Backend | None:
        """The backend, which is opened on the first call; None where there is none."""
        if self._backend is None and self._open_model is not None:
            self._backend = self._context.run(self._open_model)  # with the number of threads of that time
        return self._backend

    def close(self) -> None:
        """Free the backend if it was opened."""
        if self._backend is not None:
            self._backend.close()
            self._backend = None


@dataclass(frozen=True, eq=False)
class Setup:
    """What stays the same from one image to the next. It owns nothing: whoever makes it closes what it holds."""

    backend: Backend
    _: KW_ONLY
    tiles: TileOptions = field(default_factory=TileOptions)
    batching: ImageBatching = ONE_BY_ONE
    guard: Guard = Guard.WARN
    fallback: Fp32Fallback = field(default_factory=Fp32Fallback)
    on_tile: OnTile = no_progress
    on_verdict: OnVerdict = ignore_verdict
    threads: int = field(default_factory=threads_in_use)
    """CPU threads, which the codecs follow too."""

    def backend_for(self, dtype: np.dtype[Any]) -> Backend:
        """The backend, or the FP32 fallback where only that keeps all bits; raises UnsuitableBatch if neither does."""
        if not takes(dtype, self.backend.spec):
            precise = self.fallback.opened()
            if precise is not None and takes(dtype, precise.spec):
                return precise
        check_takes(dtype, self.backend.spec)
        return self.backend
