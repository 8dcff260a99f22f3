"""The one model that is loaded: opened once, kept for the next run, and closed when another one is wanted."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import ExitStack

from srn_deploy.errors import UnknownModel
from srn_deploy.inference.guard import Guard
from srn_deploy.inference.setup import Setup
from srn_deploy.open_model import Opened, OpenRequest, open_with_fallback
from srn_deploy.registry.published import DownloadState, published_models, state_of
from srn_deploy.registry.shipped import default_model, shipped_models
from srn_deploy.system.cuda_driver import why_no_gpu
from srn_deploy.tiling.windows import TileOptions

OpenModel = Callable[[str, OpenRequest], Opened]


def offered_models(named: tuple[str, ...] = ()) -> dict[str, str]:
    """What the page shows to what is opened: models named on the command line, then shipped, then pulled ones."""
    shipped = shipped_models()
    first = default_model()
    names = [first, *(name for name in shipped if name != first)]
    offered = {os.path.basename(name): name for name in named}  # noqa: PTH119  # a name, or a path of any kind
    offered |= {f"{name} (x{shipped[name].scale})": name for name in names}
    return offered | {f"{model.name} (x{model.scale})": model.name
                      for model in published_models().values() if state_of(model) is DownloadState.PULLED}


class OneModel:
    """Holds the model of the last run. One thread uses it at a time; whoever makes it closes it.

    offered: the names that may be opened, as `offered_models` gives them; nothing else is ever opened.
    """

    def __init__(self, offered: dict[str, str], request: OpenRequest,
                 open_model: OpenModel = open_with_fallback) -> None:
        self.offered = offered
        self._request, self._open_model = request, open_model
        self._name: str | None = None
        self._opened: Opened | None = None

    def check(self, name: str) -> None:
        """Raise UnknownModel for a name that is not offered."""
        if name not in self.offered.values():
            raise UnknownModel(f"{name} is not one of the models of this page.",
                               remedy="Choose one of the list, or start the page with --model.")

    def opened(self, name: str) -> Opened:
        """The model, which is opened unless it was the last one; raises what `open_with_fallback` raises."""
        self.check(name)
        if self._opened is None or name != self._name:
            self.close()
            self._opened, self._name = self._open_model(name, self._request), name
        return self._opened

    def setup(self, name: str, guard: Guard) -> Setup:
        """What pictures are upscaled with."""
        opened = self.opened(name)
        tiles = TileOptions() if opened.tuned is None else opened.tuned.tiled(None)
        return Setup(opened.backend, tiles=tiles or TileOptions(), guard=guard, fallback=opened.fallback)

    def settings(self, name: str) -> tuple[str, ...]:
        """How the model was opened, as options of the command line: there `auto` also looks at how much is to do."""
        opened, device, precision = self.opened(name), self._request.device, self._request.precision
        if device == "auto" and opened.tuned is not None and not opened.tuned.engine:
            return _options(opened.tuned.device, opened.tuned.precision.value, opened.tuned.tile)
        if device == "auto" and precision == "auto" and why_no_gpu():
            device = "cpu"
        return _options(device, precision, "auto")

    def close(self) -> None:
        """Free the model and its FP32 fallback."""
        opened, self._opened, self._name = self._opened, None, None
        if opened is not None:
            with ExitStack() as stack:
                stack.callback(opened.fallback.close)
                stack.callback(opened.backend.close)


def _options(device: str, precision: str, tile: int | str | None) -> tuple[str, ...]:
    given = {"--device": device, "--precision": precision, "--tile": "none" if tile is None else str(tile)}
    return tuple(word for name, value in given.items() if value != "auto" for word in (name, value))
