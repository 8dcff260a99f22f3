"""The Python face: open a model once, upscale arrays and files with it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray

from srn_deploy.backends import Backend
from srn_deploy.image import MAX_MEGAPIXELS
from srn_deploy.inference.guard import Guard
from srn_deploy.inference.guarded import Companion, upscale_array
from srn_deploy.inference.jobs import OnWarning, Outcome, plan_jobs, run_jobs
from srn_deploy.inference.upscale import OnTile
from srn_deploy.open_model import companion_of, open_model
from srn_deploy.spec import AS_RECOGNISED, Corrections, ModelSpec
from srn_deploy.tiling.windows import TileOptions

_log = logging.getLogger(__name__)


class Upscaler:
    """One opened backend, how to tile on it and what to do about broken blocks; a context manager that closes it.

    companion: runs what the backend would cut to 8 bits, and again what broke in FP16.
    """

    def __init__(self, backend: Backend, tiles: TileOptions | None = None, *, guard: Guard | str = Guard.WARN,
                 companion: Companion | None = None) -> None:
        self._backend, self._tiles = backend, tiles or TileOptions()
        self._guard, self._companion = Guard.named(guard), companion or Companion()

    @property
    def spec(self) -> ModelSpec:
        """What the model is: its scale, its network, its form."""
        return self._backend.spec

    def upscale(self, image: NDArray[np.generic], *, on_tile: OnTile = lambda done, total: None) -> NDArray[np.generic]:
        """Upscale (H, W), (H, W, 1), (H, W, 3) or (H, W, 4) to scale times the height and width.

        uint8 in 0..255 on every model; uint16 in 0..65535 and float32 in 0..1 on shipped models, checkpoints, and
        graphs that exchange float. The result has the dtype of the input and is a fresh array. What the guard finds
        is logged as a warning. Raises a BackendError or TilingError.
        """
        large, damage = upscale_array(image, self._backend, self._tiles, on_tile, guard=self._guard,
                                      companion=self._companion)
        for sentence in damage:
            _log.warning("%s", sentence)
        return large

    def upscale_files(self, source: str | Path, target: str | Path, *, quality: int | None = None,
                      suffix: str | None = None, max_megapixels: float = MAX_MEGAPIXELS,
                      on_tile: OnTile = lambda done, total: None,
                      on_warning: OnWarning = lambda job, sentence: None) -> Iterator[Outcome]:
        """Upscale a picture file, or every picture of a folder, and yield what became of each.

        An outcome has its job (source and target), its error if there was one, what of the source the target's
        format could not hold, and what the guard found. Targets appear whole or not at all; no source is overwritten.
        suffix: what every target gets instead of its own, as in ".png". max_megapixels: larger pictures are refused
        before they are decoded. on_warning: told of each loss before the network runs on its picture.
        """
        return run_jobs(plan_jobs(Path(source), Path(target), suffix), self._backend, self._tiles, on_tile,
                        quality=quality, guard=self._guard, companion=self._companion, max_megapixels=max_megapixels,
                        on_warning=on_warning)

    def close(self) -> None:
        """Free the backend."""
        self._backend.close()
        self._companion.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        self.close()


def load(model: str | Path | None = None, *, device: str = "auto", tiles: TileOptions | None = None,
         guard: Guard | str = Guard.WARN, corrections: Corrections = AS_RECOGNISED,
         tell: Callable[[str], None] = _log.info) -> Upscaler:
    """Open a shipped model by name, any checkpoint, graph or engine by path, or the default model.

    device: "auto", "cpu" or "cuda"; auto also finds engines that were built of it. guard: "off", "warn" or "repair"
    blocks that do not resemble the input. corrections: what a checkpoint does not say of itself, as in
    Corrections(options={"scale": 4}); they are refused for graphs and engines. tell receives sentences on what was
    taken and why.
    """
    chosen = Guard.named(guard)
    return Upscaler(open_model(model, device, corrections=corrections, tell=tell), tiles, guard=chosen,
                    companion=companion_of(model, device, corrections=corrections, tell=tell))
