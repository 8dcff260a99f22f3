"""What a version of a served model is: the document beside its file, and how the model is opened from both."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import repeat
from pathlib import Path

from srn_deploy.api import Upscaler, load_as
from srn_deploy.errors import OptionError
from srn_deploy.open_model import OpenRequest
from srn_deploy.registry.resolve import ModelKind, ResolvedModel
from srn_deploy.serving.options import ServeOptions
from srn_deploy.spec import Corrections, Scalar
from srn_deploy.system.documents import read_json, to_builtins
from srn_deploy.system.threads import cpu_threads, usable_cores
from srn_deploy.tiling.windows import TileOptions

DOCUMENT = "served.json"

_MUCH_WORK_PX = 10**9
"""Pixels of one of the images ahead: a server runs for long, so what starts late and saves time is taken."""


@dataclass(frozen=True, kw_only=True)
class ServedModel:
    """`served.json`, in the folder of a version."""

    file: str
    """The model, in the same folder."""
    sha256: str
    scale: int
    device: str = "auto"
    precision: str = "auto"
    guard: str = "warn"
    tile: int | str | None = "auto"
    halo: int | None = None
    max_megapixels: float
    instances: int = 1
    """Copies on one machine, on all its GPUs together, which share its threads."""
    threads: int | None = None
    options: Mapping[str, Scalar] = field(default_factory=dict)
    """Corrections of a checkpoint, as `--set` gives them."""
    value_range: float | None = None
    weights: str | None = None
    trust: bool = False

    @classmethod
    def of(cls, model: ResolvedModel, scale: int, options: ServeOptions) -> ServedModel:
        """The document for a model that is served in this way."""
        given = model.corrections if model.kind is ModelKind.CHECKPOINT else Corrections()
        return cls(file=model.path.name, sha256=model.sha256, scale=scale, device=options.device,
                   precision=options.precision, guard=options.guard.value, tile=options.tiles.tile,
                   halo=options.tiles.halo, max_megapixels=options.max_megapixels,
                   instances=options.instances.copies, threads=options.instances.threads, options=dict(given.options),
                   value_range=given.value_range, weights=given.weights, trust=given.trust)

    @classmethod
    def read(cls, folder: Path) -> ServedModel:
        """The document in the folder of a version; raises OptionError where there is none that can be read."""
        path = folder / DOCUMENT
        return read_json(path, cls, lambda reason: OptionError(
            f"{path} does not say what is served there ({reason}).",
            remedy="Write the repository again with `srn-deploy triton-repository`."))

    def as_json(self) -> str:
        """The text of the document."""
        return json.dumps(to_builtins(self), indent=2, sort_keys=True) + "\n"

    def open(self, folder: Path) -> Upscaler:
        """Open the model in the folder of a version; the caller closes it. Raises what `srn_deploy.load` raises."""
        corrections = Corrections(options=self.options, value_range=self.value_range, weights=self.weights,
                                  trust=self.trust)
        request = OpenRequest(device=self.device, precision=self.precision, corrections=corrections,
                              pixels=repeat(_MUCH_WORK_PX))
        with ExitStack() as stack:
            if self.threads is not None or self.instances > 1:
                stack.enter_context(cpu_threads(self.threads or max(1, usable_cores() // self.instances)))
            return load_as(folder / self.file, request, TileOptions(tile=self.tile, halo=self.halo), guard=self.guard)
