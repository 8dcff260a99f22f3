"""What was measured for one model on one machine, kept as a file in the cache.

A file that is damaged, or was measured with other versions, only costs speed: it is ignored with a sentence.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from srn_deploy.engine.caches import SharedFile
from srn_deploy.errors import OptionError, SrnDeployError
from srn_deploy.registry.resolve import ResolvedModel
from srn_deploy.spec import Corrections, Precision
from srn_deploy.system.cache import VARIABLE, tuned_folder
from srn_deploy.system.cpu_features import cpu_name
from srn_deploy.system.cuda_driver import gpu_name, why_no_gpu
from srn_deploy.system.documents import decode_json, key_of, to_builtins
from srn_deploy.system.folders import why_not_writable
from srn_deploy.system.installed import installed_versions
from srn_deploy.system.threads import threads_in_use
from srn_deploy.tiling.windows import ONE_BY_ONE, ImageBatching, TileOptions

TUNED_SUFFIX = ".tuned.json"

LIBRARIES = ("srn-deploy", "onnxruntime", "openvino", "torch", "tensorrt-rtx", "tensorrt")
"""Their versions decide how fast a way is."""

_LONGEST_STEM = 64

_ANOTHER_FOLDER = f"Name a folder that you may write to in the variable {VARIABLE}."

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Machine:
    """What a choice holds for."""

    cpu: str
    gpu: str
    """Name and compute capability; empty without a GPU that works."""
    threads: int
    """CPU threads that were in use: asked for, or the cores that the process may use."""


@dataclass(frozen=True, kw_only=True)
class WayToRun:
    """How a model is run: which artefact, where, in which precision, in which tiles."""

    device: str
    """cpu, cuda or openvino."""
    precision: Precision
    of_checkpoint: bool = False
    """PyTorch runs the checkpoint behind the model."""
    engine: str = ""
    """The name of its file in the cache of engines; empty for other ways."""
    tile: int | Literal["auto"] | None = "auto"
    """As in TileOptions."""
    tiles_per_batch: int = 1
    threads: int = 0
    """CPU threads; 0 leaves the number to what is in use."""
    images_per_batch: int = 1
    """Images of one size, each a single window, that are run at once, where one has at most batched_px pixels."""
    batched_px: int = 0

    @property
    def batching(self) -> ImageBatching:
        """How many images are run at once."""
        if self.images_per_batch < 2 or self.batched_px < 1:
            return ONE_BY_ONE
        return ImageBatching(images=self.images_per_batch, largest_px=self.batched_px)

    def tiled(self, given: TileOptions | None) -> TileOptions | None:
        """The tiles that were asked for; those of this way where nothing was."""
        chosen = given or TileOptions()
        if chosen.tile != "auto" or chosen.activation_bytes is not None or chosen.tiles_per_batch != 1:
            return given
        return replace(chosen, tile=self.tile, tiles_per_batch=self.tiles_per_batch)

    def settings(self) -> str:
        """Tiles, threads and batches in words, where they are not the defaults: "tiles of 256 px, 4 at once"."""
        words = [] if self.tile == "auto" else [f"tiles of {self.tile} px" if self.tile else "the whole image"]
        words += [f"{self.tiles_per_batch} at once"] if self.tiles_per_batch > 1 else []
        words += [f"{self.threads} thread{'s' if self.threads > 1 else ''}"] if self.threads else []
        if self.images_per_batch > 1:
            words.append(f"images of up to {self.batched_px:,} px by {self.images_per_batch}")
        return ", ".join(words)


@dataclass(frozen=True, kw_only=True)
class MeasuredWay:
    """A way and how fast it was."""

    title: str
    """What runs it, as "OpenVINO 2026.4.1 in BF16 on the CPU"."""
    way: WayToRun
    seconds_per_megapixel: float
    """Of input, from file to file without the start of the process."""


@dataclass(frozen=True, kw_only=True)
class Tuned:
    """Everything that was measured for one model on one machine."""

    version: Literal[1] = 1
    model: str
    """As it is named to tune it again: the name of a shipped model, or a path."""
    sha256: str
    corrections: Corrections
    machine: Machine
    versions: Mapping[str, str]
    date: str
    """UTC, as 2026-01-31."""
    images: str
    """What was upscaled, in words."""
    ways: tuple[MeasuredWay, ...]
    """The fastest first; at least one."""

    @property
    def key(self) -> _Key:
        """What it holds for."""
        return _Key(self.sha256, self.corrections, self.machine)

    def why_outdated(self) -> str:
        """How the installed libraries differ from those it was measured with; empty where they do not."""
        missing, now = "not installed", installed_versions(LIBRARIES)
        return ", ".join(f"{name} was {self.versions.get(name, missing)} and is {now.get(name, missing)}"
                         for name in LIBRARIES if self.versions.get(name) != now.get(name))


@dataclass(frozen=True)
class _Key:
    sha256: str
    corrections: Corrections
    machine: Machine


def this_machine() -> Machine:
    """This one, with the threads that are in use now."""
    return Machine(cpu=cpu_name(), gpu="" if why_no_gpu() else gpu_name(), threads=threads_in_use())


def check_can_be_kept() -> None:
    """Raise OptionError where there is no cache to write to, before anything is measured."""
    try:
        reason = why_not_writable(tuned_folder())
    except OSError as error:  # a name that is too long
        reason = error.strerror or str(error)
    if reason:
        raise OptionError(f"What is tuned cannot be kept: {reason}.", remedy=_ANOTHER_FOLDER)


def keep(tuned: Tuned, stem: str) -> Path:
    """Write what was measured, in place of what was kept before; raises OptionError where there is no cache."""
    path = _path(stem, tuned.key)
    text = json.dumps(to_builtins(tuned), indent=2) + "\n"
    SharedFile(path).update(lambda before: text.encode())
    if not path.is_file():
        raise OptionError(f"{path} cannot be written, so nothing is kept.", remedy=_ANOTHER_FOLDER)
    return path


def find(model: ResolvedModel) -> Tuned | None:
    """What was measured for a model on this machine; None where nothing was, or where it no longer holds.

    What is damaged or outdated is logged as a warning.
    """
    try:
        if not any(tuned_folder().glob(f"*{TUNED_SUFFIX}")):
            return None
        key = _Key(model.sha256, model.corrections, this_machine())
        path = _path(model.path.stem, key)
        tuned = read(path) if path.is_file() else None
    except (OSError, OptionError) as error:
        _log.warning("What was tuned is ignored: %s", error.message if isinstance(error, OptionError) else error)
        return None
    if tuned is not None and tuned.key != key:
        _log.warning("What was tuned is ignored: %s is damaged (it is that of another model).", path)
        return None
    if tuned is not None and (reason := tuned.why_outdated()):
        _log.warning("What was tuned is ignored, because it is outdated: %s. Tune it again: srn-deploy tune %s", reason,
                     tuned.model)
        return None
    return tuned


def read(path: Path) -> Tuned:
    """What a file keeps; raises OptionError where it is damaged."""
    def damaged(reason: str) -> OptionError:
        return OptionError(f"{path} is damaged ({reason}).", remedy="Tune it again, or: srn-deploy tune --forget")

    try:
        tuned = decode_json(path.read_bytes(), Tuned, lambda reason: OptionError(reason, remedy="Remove it."))
    except OSError as error:
        raise damaged(error.strerror or str(error)) from error
    except SrnDeployError as error:
        raise damaged(error.message.rstrip(".")) from error
    if not tuned.ways:
        raise damaged("it holds no way")
    return tuned


def kept_files() -> list[Path]:
    """Every file of something that was tuned, damaged ones included, sorted by name."""
    return sorted(tuned_folder().glob(f"*{TUNED_SUFFIX}"))


def forget(model: ResolvedModel | None = None) -> Iterator[Path]:
    """Remove what was measured for a model on any machine, or for every model; yields what was removed."""
    for path in kept_files():
        if model is None or _is_of(path, model):
            path.unlink(missing_ok=True)
            yield path


def _is_of(path: Path, model: ResolvedModel) -> bool:
    try:
        return read(path).sha256 == model.sha256
    except OptionError:
        return _stem_of(path) == model.path.stem[:_LONGEST_STEM]


def _path(stem: str, key: _Key) -> Path:
    return tuned_folder() / f"{stem[:_LONGEST_STEM]}-{key_of(key)}{TUNED_SUFFIX}"


def _stem_of(path: Path) -> str:
    return path.name.removesuffix(TUNED_SUFFIX).rpartition("-")[0]
