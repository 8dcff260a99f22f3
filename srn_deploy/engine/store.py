"""The store of engines: each plan with its manifest, whole or absent; one process at a time builds an engine."""

from __future__ import annotations

import hashlib
import json
import re
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from msgspec.structs import replace

from srn_deploy.engine.identity import Identity
from srn_deploy.engine.manifest import CertificateRecord, Manifest, manifest_as_json, manifest_from_json
from srn_deploy.errors import DamagedEngine, EngineError, OptionError
from srn_deploy.spec import ENGINE_SUFFIX, ModelSpec
from srn_deploy.system.atomic import TEMPORARY_MARK, replacing
from srn_deploy.system.cache import engines_folder
from srn_deploy.system.locks import is_locked, lock_path, locked

MANIFEST_SUFFIX = ".json"

CACHE_SUFFIX = ".cache"
"""Of the files in which the runtimes keep what they have timed or compiled (`caches`)."""

OLD_SECONDS = 3600
"""A temporary file that was not written to for this long has no living writer."""

_ENGINE_NAME = re.compile(r".+-(fp16|fp32)-[0-9a-f]{16}")
_CACHE_NAME = re.compile(r"timing-[0-9a-f]{16}|.+-(fp16|fp32)-[0-9a-f]{16}-[0-9a-f]{8}")


@dataclass(frozen=True, kw_only=True)
class StoredEngine:
    """A plan in the store, and what its manifest says of it."""

    path: Path
    manifest: Manifest

    @property
    def spec(self) -> ModelSpec:
        """Of the graph that was built; its precision is the plan's."""
        return self.manifest.spec

    @property
    def certification(self) -> str:
        """Whether it is certified, in words."""
        certificate = self.manifest.certificate
        if certificate is None:
            return "not yet certified"
        return "certified" if certificate.passed else "failed its certificate"

    def plan(self) -> bytes:
        """The bytes of the plan, checked against the manifest because a plan is executable code.

        Raises DamagedEngine.
        """
        try:
            plan = self.path.read_bytes()
        except OSError as error:
            raise DamagedEngine(f"{self.path} cannot be read: {error.strerror}.", remedy=_BUILD_AGAIN) from error
        if hashlib.sha256(plan).hexdigest() != self.manifest.engine_sha256:
            raise DamagedEngine(f"{self.path} is not the file that its manifest describes; it was not loaded.",
                                remedy="Delete it and build it again with `srn-deploy build-engine`.")
        return plan


_BUILD_AGAIN = "Build it again with `srn-deploy build-engine`."


class EngineStore:
    """A folder of engines; by default that of the cache."""

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder or engines_folder()

    def find(self, name: str, identity: Identity) -> StoredEngine | None:
        """The engine of an identity if it is in the store and whole; a damaged one counts as absent."""
        path = self._path(name, identity)
        try:
            engine = self.open(path)
            engine.plan()
        except EngineError:
            return None
        return engine

    def open(self, path: Path) -> StoredEngine:
        """An engine by the path of its plan. Only the manifest is read; raises DamagedEngine where it is not valid."""
        def damaged(reason: str) -> DamagedEngine:
            return DamagedEngine(f"{path} has no valid manifest next to it ({reason}).", remedy=_BUILD_AGAIN)

        try:
            manifest = manifest_from_json(path.with_suffix(MANIFEST_SUFFIX).read_bytes(), damaged)
        except (OSError, ValueError, OptionError) as error:  # ValueError: a NUL in the path
            raise damaged(_reason(error)) from error
        return StoredEngine(path=path, manifest=manifest)

    def save(self, name: str, identity: Identity, plan: bytes, *, spec: ModelSpec, build_seconds: float,
             convolutions: dict[str, int]) -> StoredEngine:
        """Write plan and manifest; the manifest last, because a plan without one is never used. Raises EngineError."""
        path = self._path(name, identity)
        manifest = Manifest(name=name, identity=identity, spec=spec, engine_sha256=hashlib.sha256(plan).hexdigest(),
                            engine_bytes=len(plan), build_seconds=round(build_seconds, 3), convolutions=convolutions)
        try:
            path.with_suffix(MANIFEST_SUFFIX).unlink(missing_ok=True)
            with replacing(path) as temporary:
                temporary.write_bytes(plan)
        except OSError as error:
            raise _not_written(path, error) from error
        _write_manifest(path, manifest)
        return StoredEngine(path=path, manifest=manifest)

    def certified(self, engine: StoredEngine, certificate: CertificateRecord) -> StoredEngine:
        """Write a certificate, passed or not, into the manifest; returns the engine with it. Raises EngineError."""
        _write_manifest(engine.path, replace(engine.manifest, certificate=certificate))
        return self.open(engine.path)

    def engines(self) -> list[StoredEngine]:
        """Every engine with a valid manifest, sorted by file name."""
        found = []
        for path in sorted(self.folder.glob(f"*{ENGINE_SUFFIX}")):
            try:
                found.append(self.open(path))
            except EngineError:
                continue
        return found

    def why_not_found(self, name: str, identity: Identity) -> str:
        """Why no stored engine will do: how the one of this model with the fewest differences differs."""
        differences = [identity.differences(engine.manifest.identity) for engine in self.engines()
                       if engine.manifest.name == name]
        if not differences:
            return "there is no engine of this model"
        fewest = min(differences, key=len)
        return "; ".join(fewest) if fewest else "the stored one is damaged"

    def prune(self, *, everything: bool = False) -> list[Path]:
        """Remove damaged and half-written engines, or every engine and cache; returns the removed paths.

        Files whose names are not those of engines, and engines that are being built now, stay.
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
        """Hold the lock of an identity: one process builds, others wait and find it built. Raises EngineError."""
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
    """Write the manifest of the plan at `path`; raises EngineError."""
    target = path.with_suffix(MANIFEST_SUFFIX)
    try:
        with replacing(target) as temporary:
            temporary.write_text(json.dumps(manifest_as_json(manifest), indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        raise _not_written(target, error) from error


def _not_written(path: Path, error: OSError) -> EngineError:
    return EngineError(f"{path} cannot be written: {error.strerror}.",
                       remedy="Check the folder, its permissions and the free space, or name another one in the "
                              "variable SRN_CACHE.")


def _reason(error: Exception) -> str:
    """One line without a full stop."""
    if isinstance(error, OptionError):
        return error.message.rstrip(".")
    return getattr(error, "strerror", None) or str(error)
