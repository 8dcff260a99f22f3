"""Downloads published models by name and checks them; models that are on this machine already are only checked."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from srn_deploy.errors import UnknownModel
from srn_deploy.registry.download import Pinned, fetch
from srn_deploy.registry.published import DownloadState, PublishedModel, published_models, state_of
from srn_deploy.registry.shipped import shipped_models

OnModel = Callable[[PublishedModel], Callable[[int], None]]
"""Called before a file is downloaded; returns what to call with the number of bytes received so far."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Pulled:
    """A model that is on this machine now."""

    name: str
    path: Path


def pull(names: Sequence[str], *, on_model: OnModel = lambda model: lambda done: None) -> Iterator[Pulled]:
    """Download models one after the other and yield the path of each; models that are here already are logged.

    Raises UnknownModel before anything is downloaded, and DownloadError for the first model that cannot be; those
    before it stay.
    """
    published, shipped = published_models(), shipped_models()
    for name in names:
        if name not in published and name not in shipped:
            raise UnknownModel(f"There is no model {name!r} to pull.",
                               remedy=f"Known: {', '.join(published)}; `srn-deploy models` lists what they are.")
    for name in dict.fromkeys(names):
        if name in shipped:
            _log.info("%s is shipped: there is nothing to pull.", name)
            path = shipped[name].checkpoint.checked_path()
        else:
            path = _pulled(published[name], on_model)
        yield Pulled(name=name, path=path)


def _pulled(model: PublishedModel, on_model: OnModel) -> Path:
    state = state_of(model)
    if state is DownloadState.PULLED:
        _log.info("%s is there already and whole.", model.name)
        return model.path
    if state is DownloadState.DAMAGED:
        _log.info("%s is not the file that the catalogue names; it is fetched again.", model.path)
    source = Pinned(url=model.url, sha256=model.sha256, size_bytes=model.size_bytes)
    fetch(source, model.path, on_bytes=on_model(model))
    return model.path
