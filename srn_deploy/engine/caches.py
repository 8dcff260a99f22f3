"""What the libraries learn and would learn again: timings of tactics, kernels finished for a GPU.

Kept in files beside the engines, shared by all processes under a lock. A cache that cannot be read or written
costs time and nothing else, so it never ends the work: that is logged.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

from srn_deploy.engine.library import Flavour, Library
from srn_deploy.engine.store import CACHE_SUFFIX
from srn_deploy.system.atomic import replacing
from srn_deploy.system.locks import lock_path, locked

_log = logging.getLogger(__name__)


class SharedFile:
    """A file that several processes read and add to."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self) -> bytes:
        """Its bytes; none where it is not there."""
        try:
            return self.path.read_bytes()
        except FileNotFoundError:
            return b""
        except OSError as error:
            _log.warning("%s cannot be read and is left out: %s", self.path, error.strerror)
            return b""

    def update(self, merged: Callable[[bytes], bytes]) -> None:
        """Under a lock, write what `merged` makes of the bytes that are there now."""
        lock = lock_path(self.path.parent, self.path.stem)
        try:
            with locked(lock, busy=f"Another process is writing {self.path.name}; waiting for it"):
                before = self.read()
                after = merged(before)
                if after != before:
                    with replacing(self.path) as temporary:
                        temporary.write_bytes(after)
        except OSError as error:
            _log.warning("%s cannot be written and is left out: %s", self.path, error.strerror or error)


def timing_file(folder: Path, library: Library) -> SharedFile | None:
    """The timings of one TensorRT on one GPU, for all engines; None for TensorRT-RTX, which times nothing."""
    if library.flavour is Flavour.TENSORRT_RTX:
        return None
    made_by = hashlib.sha256(f"{library.version}; {library.target(())}".encode()).hexdigest()[:16]
    return SharedFile(folder / f"timing-{made_by}{CACHE_SUFFIX}")


def runtime_file(plan: Path, gpu: str) -> SharedFile:
    """The kernels that TensorRT-RTX finished for one engine on one GPU."""
    return SharedFile(plan.with_name(f"{plan.stem}-{hashlib.sha256(gpu.encode()).hexdigest()[:8]}{CACHE_SUFFIX}"))


def begin_timing(config: Any, file: SharedFile) -> None:
    """Give a build the timings that are there; those of another device or version are refused: a fresh cache then."""
    cache = config.create_timing_cache(file.read())
    if cache is None or not config.set_timing_cache(cache, False):
        config.set_timing_cache(config.create_timing_cache(b""), False)


def keep_timing(config: Any, file: SharedFile) -> None:
    """Add what a build timed to what others have written meanwhile."""
    cache = config.get_timing_cache()

    def merged(before: bytes) -> bytes:
        other = config.create_timing_cache(before) if before else None
        if other is not None:
            cache.combine(other, False)
        return bytes(cache.serialize())

    if cache is not None:
        file.update(merged)
