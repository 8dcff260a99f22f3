"""A published model brought to this machine: fetched where it is not there, and checked."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from srn_deploy.errors import UnknownModel
from srn_deploy.registry.download import Pinned, fetch
from srn_deploy.registry.published import PublishedModel, published_models
from srn_deploy.registry.shipped import State, checked_pulled, shipped_models, state_of

OnModel = Callable[[PublishedModel], Callable[[int], None]]
"""Called before a file is fetched; gives what to call with the bytes that are there."""

Tell = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Pulled:
    """A model that is on this machine now."""

    name: str
    path: Path


def pull(names: Sequence[str], *, on_model: OnModel = lambda model: lambda done: None,
         tell: Tell = lambda line: None) -> Iterator[Pulled]:
    """Bring models here, in turn, and yield where each lies; those that are here already are told.

    Raises UnknownModel before anything is fetched, DownloadError for the first that cannot be; those before it stay.
    """
    published, shipped = published_models(), shipped_models()
    for name in names:
        if name not in published and name not in shipped:
            raise UnknownModel(f"There is no model {name!r} to pull.",
                               remedy=f"Known: {', '.join(published)}; `srn-deploy models` lists what they are.")
    for name in dict.fromkeys(names):
        if name in shipped:
            tell(f"{name} is shipped: there is nothing to pull")
            path = shipped[name].checkpoint.checked_path()
        else:
            path = _pulled(published[name], on_model, tell)
        yield Pulled(name=name, path=path)


def _pulled(model: PublishedModel, on_model: OnModel, tell: Tell) -> Path:
    state = state_of(model)
    if state is State.PULLED:
        tell(f"{model.name} is there already and whole")
        return model.path
    if state is State.DAMAGED:
        tell(f"{model.path} is not the file that the catalogue names; it is fetched again")
    source = Pinned(url=model.url, sha256=model.sha256, size_bytes=model.size_bytes)
    fetch(source, model.path, on_bytes=on_model(model), tell=tell)
    return checked_pulled(model)
