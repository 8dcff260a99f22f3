"""The cache of engines: a plan and its manifest beside it, whole or absent; one build at a time for each."""

from __future__ import annotations

import hashlib
import json
import re
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from srn_deploy.engine.identity import Identity
from srn_deploy.engine.options import HardwareCompatibility
from srn_deploy.errors import DamagedEngine, EngineError, OptionError
from srn_deploy.spec import ENGINE_SUFFIX, ModelSpec
from srn_deploy.system.atomic import TEMPORARY_MARK, replacing
from srn_deploy.system.cache import engines_folder
from srn_deploy.system.locks import is_locked, lock_path, locked

MANIFEST_SUFFIX = ".json"
MANIFEST_VERSION = 1

CACHE_SUFFIX = ".cache"
"""Of what the libraries learn (`caches`)."""


OLD_SECONDS = 3600
"""A temporary file of this age belongs to nobody who is still writing."""

_ENGINE_NAME = re.compile(r".+-(fp16|fp32)-[0-9a-f]{16}")
_CACHE_NAME = re.compile(r"timing-[0-9a-f]{16}|.+-(fp16|fp32)-[0-9a-f]{16}-[0-9a-f]{8}")


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """What stands beside a plan."""

    name: str
    """Of the model."""
    identity: dict[str, Any]
    spec: dict[str, Any]
    """Of the graph that was built; its precision is the plan's."""
    engine_sha256: str
    engine_bytes: int
    build_seconds: float
    convolutions: dict[str, int]
    """Type to how many compute in it, as the parsed network has them."""
    certificate: dict[str, Any] | None = None
    """None: not yet certified."""


@dataclass(frozen=True, kw_only=True)
class StoredEngine:
    """A plan in the cache."""

    path: Path
    manifest: Manifest

    @property
    def spec(self) -> ModelSpec:
        """Of the graph that was built; its precision is the plan's."""
        return ModelSpec.from_json(json.dumps(self.manifest.spec))

    @property
    def certification(self) -> str:
        """For people: whether it is certified."""
        certificate = self.manifest.certificate
        if certificate is None:
            return "not yet certified"
        return "certified" if certificate["passed"] else "failed its certificate"

    def plan(self) -> bytes:
        """The bytes, to be deserialised: checked first, because a plan is executable code. Raises DamagedEngine."""
        try:
            plan = self.path.read_bytes()
        except OSError as error:
            raise DamagedEngine(f"{self.path} cannot be read: {error.strerror}.",
                                remedy="Build it again with `srn-deploy build-engine`.") from error
        if hashlib.sha256(plan).hexdigest() != self.manifest.engine_sha256:
            raise DamagedEngine(f"{self.path} is not the file that its manifest names; it was not loaded.",
                                remedy="Delete it and build it again with `srn-deploy build-engine`.")
        return plan


class EngineStore:
    """One folder of engines."""

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder or engines_folder()

    def find(self, name: str, identity: Identity) -> StoredEngine | None:
        """The engine of an identity, if it is there and whole; a damaged one counts as absent."""
        path = self._path(name, identity)
        try:
            engine = self.open(path)
            engine.plan()
        except EngineError:
            return None
        return engine

    def open(self, path: Path) -> StoredEngine:
        """An engine by its file, by its manifest alone; raises DamagedEngine for one that makes no sense."""
        manifest_path = path.with_suffix(MANIFEST_SUFFIX)
        try:
            manifest = _read_manifest(manifest_path.read_text(encoding="utf-8"))
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError, OptionError) as error:
            raise DamagedEngine(f"{path} has no manifest beside it that can be read ({type(error).__name__}).",
                                remedy="Build it again with `srn-deploy build-engine`.") from error
        return StoredEngine(path=path, manifest=manifest)

    def save(self, name: str, identity: Identity, plan: bytes, *, spec: ModelSpec, build_seconds: float,
             convolutions: dict[str, int]) -> StoredEngine:
        """Write plan and manifest; the manifest last, so that a plan without one is never used."""
        path = self._path(name, identity)
        manifest = Manifest(name=name, identity=asdict(identity), spec=json.loads(spec.to_json()),
                            engine_sha256=hashlib.sha256(plan).hexdigest(), engine_bytes=len(plan),
                            build_seconds=round(build_seconds, 3), convolutions=convolutions)
        try:
            path.with_suffix(MANIFEST_SUFFIX).unlink(missing_ok=True)
            with replacing(path) as temporary:
                temporary.write_bytes(plan)
        except OSError as error:
            raise _not_written(path, error) from error
        _write_manifest(path, manifest)
        return self.open(path)

    def certified(self, engine: StoredEngine, certificate: dict[str, Any]) -> StoredEngine:
        """The same engine with its certificate in the manifest, whether it passed or not."""
        _write_manifest(engine.path, replace(engine.manifest, certificate=certificate))
        return self.open(engine.path)

    def engines(self) -> list[StoredEngine]:
        """Every engine with a readable manifest, by file name."""
        found = []
        for path in sorted(self.folder.glob(f"*{ENGINE_SUFFIX}")):
            try:
                found.append(self.open(path))
            except EngineError:
                continue
        return found

    def why_anew(self, name: str, identity: Identity) -> str:
        """Why no stored engine will do: how the nearest of the same model differs."""
        told = [identity.differences(engine.manifest.identity) for engine in self.engines()
                if engine.manifest.name == name]
        if not told:
            return "there is none of this model"
        nearest = min(told, key=len)
        return "; ".join(nearest) if nearest else "the stored one is damaged"

    def prune(self, *, everything: bool = False) -> list[Path]:
        """Remove what no build would find again: damaged, half-written and, if asked, all engines; their paths.

        Files of other names and engines that are being built now are left alone.
        """
        engines, manifests = (
            sorted(path for path in self.folder.glob(f"*{suffix}") if _ENGINE_NAME.fullmatch(path.stem))
            for suffix in (ENGINE_SUFFIX, MANIFEST_SUFFIX))
        removed = [path for path in engines if everything or not self._is_whole(path)]
        removed += [path for path in manifests if not path.with_suffix(ENGINE_SUFFIX).exists()]
        removed = [path for path in removed if not is_locked(lock_path(self.folder, path.stem))]
        removed += sorted(path for path in self.folder.glob(f"{TEMPORARY_MARK}*")
                          if time.time() - path.stat().st_mtime > OLD_SECONDS)
        if everything:
            removed += sorted(path for path in self.folder.glob(f"*{CACHE_SUFFIX}") if _CACHE_NAME.fullmatch(path.stem))
        for path in removed:
            path.unlink(missing_ok=True)
            if path.suffix == ENGINE_SUFFIX:
                path.with_suffix(MANIFEST_SUFFIX).unlink(missing_ok=True)
        return removed

    @contextmanager
    def locked(self, name: str, identity: Identity) -> Iterator[None]:
        """Only one process at a time builds an identity; others wait here and find it built. Raises EngineError."""
        lock = lock_path(self.folder, self._path(name, identity).stem)
        with ExitStack() as stack:
            try:
                stack.enter_context(locked(lock, busy=f"Another process is building {name}; waiting for it"))
            except OSError as error:
                raise EngineError(f"{self.folder} cannot be used: {error.strerror or error}.",
                                  remedy="Name a folder that you may write to in the variable SRN_CACHE.") from error
            yield

    def _is_whole(self, path: Path) -> bool:
        try:
            self.open(path).plan()
        except EngineError:
            return False
        return True

    def _path(self, name: str, identity: Identity) -> Path:
        return self.folder / f"{name}-{identity.options.precision}-{identity.key}{ENGINE_SUFFIX}"


def _write_manifest(path: Path, manifest: Manifest) -> None:
    """Beside a plan; raises EngineError."""
    target = path.with_suffix(MANIFEST_SUFFIX)
    try:
        with replacing(target) as temporary:
            temporary.write_text(json.dumps({"version": MANIFEST_VERSION, **asdict(manifest)}, indent=2) + "\n",
                                 encoding="utf-8")
    except OSError as error:
        raise _not_written(target, error) from error


def _not_written(path: Path, error: OSError) -> EngineError:
    return EngineError(f"{path} cannot be written: {error.strerror}.",
                       remedy="Check the folder, its permissions and the free space, or name another one in the "
                              "variable SRN_CACHE.")


def _read_manifest(text: str) -> Manifest:
    """Raises ValueError, KeyError, TypeError or OptionError for text that is none."""
    fields = json.loads(text)
    if (version := fields.pop("version")) != MANIFEST_VERSION:
        raise ValueError(version)
    manifest = Manifest(**fields)
    identity = manifest.identity
    if not {"flavour", "version", "target", "options", "graph_sha256"} <= identity.keys() or \
            not {"shapes", "hardware_compatibility"} <= identity["options"].keys():
        raise ValueError("identity")
    HardwareCompatibility(identity["options"]["hardware_compatibility"])
    if manifest.certificate is not None:
        manifest.certificate["passed"]
    ModelSpec.from_json(json.dumps(manifest.spec))
    return manifest
