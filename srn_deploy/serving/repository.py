"""A model repository as Triton reads it: a folder for each model, in it `config.pbtxt` and numbered versions.

A version that is there is never changed: another model, or the same one opened in another way, is the next version.
"""

from __future__ import annotations

import logging
import re
import secrets
import shutil
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from srn_deploy.backends.onnx_runtime import read_spec
from srn_deploy.engine.store import MANIFEST_SUFFIX, EngineStore
from srn_deploy.errors import OptionError
from srn_deploy.external import with_spec
from srn_deploy.registry.resolve import ModelKind, ResolvedModel, resolve
from srn_deploy.registry.shipped import default_model
from srn_deploy.serving.bare_models import BareModel, bare_engine, bare_graph
from srn_deploy.serving.model_config import bare_config, is_ours, upscaler_config
from srn_deploy.serving.options import ServeOptions
from srn_deploy.serving.served import DOCUMENT, ServedModel
from srn_deploy.spec import ModelSpec
from srn_deploy.system.atomic import TEMPORARY_MARK, replacing
from srn_deploy.system.folders import make_folder
from srn_deploy.system.hashing import sha256_of_file
from srn_deploy.system.installed import need_packages

CONFIG = "config.pbtxt"

MODEL_FILE = "model.py"
"""As Triton's Python backend wants it to be called."""

_MODEL_TEXT = '''"""Loaded by Triton's Python backend: srn-deploy upscales images of any size."""

try:
    from srn_deploy.serving.server_model import TritonPythonModel  # noqa: F401
except ModuleNotFoundError as error:
    if error.name != "srn_deploy":
        raise
    raise ImportError(
        "The Python of this server has no srn-deploy. Start the server with the folder bin of an environment that has "
        "it first in PATH, or write the repository with --environment.") from error
'''

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class WrittenModel:
    """A model of the repository."""

    name: str
    """By which clients ask for it."""
    folder: Path
    version: int
    """The newest one."""
    is_new: bool
    """Whether this version was written now."""


def write_repository(folder: Path, models: Sequence[str | None], options: ServeOptions | None = None,
                     ) -> list[WrittenModel]:
    """Write models into a model repository, which is made where it is missing.

    models: names or paths; None for the default model. Each is copied, so that the repository is whole. What the
    repository holds besides stays as it is. Raises OptionError for names that cannot be, folders that are not ours and
    a model whose earlier versions have another scale, UnsuitableServer where a bare model does not fit the server,
    MissingPackage, and what `resolve` and opening raise; then nothing is written.
    """
    chosen = options or ServeOptions()
    planned: list[tuple[str, Callable[[], WrittenModel]]] = []
    for model in models or [None]:
        resolved = with_spec(resolve(model, chosen.corrections))
        name = _name_of(model, resolved)
        planned += [(f"{name}{suffix}", write) for suffix, write in _writes(folder, name, resolved, chosen)]
    names = [name for name, _ in planned]
    for name in names:
        if names.count(name) > 1:
            raise OptionError(f"Two models are called {name}.", remedy="Rename one of the files.")
    try:
        return [write() for _, write in planned]
    except OSError as error:
        raise OptionError(f"{error.filename or folder} cannot be written: {error.strerror}.",
                          remedy="Check the folder and its permissions.") from error


def _writes(folder: Path, name: str, model: ResolvedModel,
            options: ServeOptions) -> list[tuple[str, Callable[[], WrittenModel]]]:
    """What there is to write for a model, by what follows its name; everything is checked before."""
    scale = _spec_of(model).scale
    served, config = ServedModel.of(model, scale, options), upscaler_config(name, scale, options)
    _refuse_others(folder / name)
    _refuse_other_scale(folder / name, served)
    found: list[tuple[str, Callable[[], WrittenModel]]] = [
        ("", lambda: _write_upscaler(folder / name, model, served, config))]
    bare = [bare_graph(model, options.onnxruntime)] if options.onnxruntime is not None else []
    bare += [bare_engine(model, options.tensorrt)] if options.tensorrt is not None else []
    for each in bare:
        place = folder / f"{name}{each.suffix}"
        _refuse_others(place)
        text = bare_config(place.name, each.platform, (each.inputs, each.outputs), options)
        found.append((each.suffix, lambda place=place, each=each, text=text:  # type: ignore[misc]
                      _write_bare(place, each, text)))
    return found


def _write_upscaler(place: Path, model: ResolvedModel, served: ServedModel, config: str) -> WrittenModel:
    def fill(version: Path) -> None:
        shutil.copyfile(model.path, version / served.file)
        if model.kind is ModelKind.ENGINE:
            manifest = model.path.with_suffix(MANIFEST_SUFFIX)
            shutil.copyfile(manifest, version / manifest.name)
        (version / MODEL_FILE).write_text(_MODEL_TEXT, encoding="utf-8")
        (version / DOCUMENT).write_text(served.as_json(), encoding="utf-8")

    def is_same(version: Path) -> bool:
        document = version / DOCUMENT
        return document.is_file() and document.read_text(encoding="utf-8") == served.as_json()

    return _write_version(place, config, is_same, fill)


def _write_bare(place: Path, bare: BareModel, config: str) -> WrittenModel:
    return _write_version(
        place, config, lambda version: sha256_of_file(version / bare.file) == sha256_of_file(bare.source),
        lambda version: void(shutil.copyfile(bare.source, version / bare.file)))


def _write_version(place: Path, config: str, is_same: Callable[[Path], bool],
                   fill: Callable[[Path], None]) -> WrittenModel:
    """Write the next version whole or not at all, and then the configuration, by which the server sees it."""
    latest = max(_versions(place), default=0)
    is_new = not (latest and is_same(place / str(latest)))
    if is_new:
        latest += 1
        make_folder(place)
        unfinished = place / f"{TEMPORARY_MARK}{secrets.token_hex(6)}"
        with ExitStack() as stack:
            stack.callback(shutil.rmtree, unfinished, ignore_errors=True)
            unfinished.mkdir()
            fill(unfinished)
            unfinished.rename(place / str(latest))
    with replacing(place / CONFIG) as temporary:
        temporary.write_text(config, encoding="utf-8")
    _log.info("%s, version %d: %s.", place, latest, "written" if is_new else "is there already")
    return WrittenModel(name=place.name, folder=place, version=latest, is_new=is_new)


def _versions(place: Path) -> list[int]:
    if not place.is_dir():
        return []
    return [int(path.name) for path in place.iterdir() if path.name.isascii() and path.name.isdecimal()]


def _refuse_others(place: Path) -> None:
    if place.exists() and not is_ours(place / CONFIG):
        raise OptionError(f"{place} was not written by srn-deploy.",
                          remedy="Give another folder, or rename the model's file.")


def _refuse_other_scale(place: Path, served: ServedModel) -> None:
    """All versions of a model share its configuration, which says its scale."""
    for version in _versions(place):
        earlier = ServedModel.read(place / str(version)).scale
        if earlier != served.scale:
            raise OptionError(f"{place} enlarges {earlier} times, and {served.file} {served.scale} times.",
                              remedy="Rename the model's file: it is served under its own name.")


def _name_of(model: str | None, resolved: ResolvedModel) -> str:
    """The name as it was given, of a file without its suffix."""
    if resolved.shipped is not None and (model is None or not Path(model).is_file()):
        name = resolved.shipped.name
    elif resolved.published is not None:
        name = resolved.published.name
    else:
        name = Path(default_model() if model is None else model).stem
    if not _NAME.fullmatch(name):
        raise OptionError(f"{name!r} cannot be the name of a model on a server.",
                          remedy="Rename the file: letters, digits, dots, dashes and underscores.")
    return name


def _spec_of(model: ResolvedModel) -> ModelSpec:
    if model.kind is ModelKind.ENGINE:
        return EngineStore(model.path.parent).open(model.path).spec
    if model.kind is ModelKind.GRAPH:
        return read_spec(model.path, model.sha256)
    need_packages(("torch",), f"Reading a checkpoint ({model.path.name})")
    from srn_deploy.architectures.recognition.recognise import load_resolved

    return load_resolved(model).spec


def void(value: object) -> None:
    """Forget a result."""
