"""Caches of the runtimes: the timings of tactics of TensorRT, the kernels that TensorRT-RTX compiles for a GPU.

They are kept in files next to the engines, shared by all processes under a lock. A cache that cannot be read or
written only costs time, so it is logged as a warning and never ends the work.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

from srn_deploy.engine.library import Library, Runtime
from srn_deploy.engine.store import CACHE_SUFFIX
from srn_deploy.system.atomic import replacing
from srn_deploy.system.locks import lock_path, locked

_log = logging.getLogger(__name__)


class SharedFile:
    """A cache file that several processes read and add to."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self) -> bytes:
        """The content; empty where there is no such file or it cannot be read."""
        try:
            return self.path.read_bytes()
        except FileNotFoundError:
            return b""
        except OSError as error:
            _log.warning("%s cannot be read and is ignored: %s", self.path, error.strerror)
            return b""

    def update(self, merged: Callable[[bytes], bytes]) -> None:
        """Under a lock, replace the content by what `merged` makes of it."""
        lock = lock_path(self.path.parent, self.path.stem)
        try:
            with locked(lock, busy=f"Another process is writing {self.path.name}; waiting for it"):
                before = self.read()
                after = merged(before)
                if after != before:
                    with replacing(self.path) as temporary:
                        temporary.write_bytes(after)
        except OSError as error:
            _log.warning("%s cannot be written and is not kept: %s", self.path, error.strerror or error)


def timing_file(folder: Path, library: Library) -> SharedFile | None:
    """The timing cache of one version of TensorRT on one GPU; None for TensorRT-RTX, which has no timing cache."""
    if library.runtime is Runtime.TENSORRT_RTX:
        return None
    key = hashlib.sha256(f"{library.version}; {library.target(())}".encode()).hexdigest()[:16]
    return SharedFile(folder / f"timing-{key}{CACHE_SUFFIX}")


def kernel_file(plan: Path, gpu: str) -> SharedFile:
    """The kernels that TensorRT-RTX compiled for one engine on one GPU."""
    return SharedFile(plan.with_name(f"{plan.stem}-{hashlib.sha256(gpu.encode()).hexdigest()[:8]}{CACHE_SUFFIX}"))


def begin_timing(config: Any, file: SharedFile) -> None:
    """Give a build the kept timings. TensorRT refuses those of another GPU or version; then it starts empty."""
    cache = config.create_timing_cache(file.read())
    if cache is None or not config.set_timing_cache(cache, False):
        config.set_timing_cache(config.create_timing_cache(b""), False)


def keep_timing(config: Any, file: SharedFile) -> None:
    """Add the timings of a build to those that other processes have written in the meantime."""
    cache = config.get_timing_cache()

    def merged(before: bytes) -> bytes:
        other = config.create_timing_cache(before) if before else None
        if other is not None:
            cache.combine(other, False)
        return bytes(cache.serialize())

    if cache is not None:
        file.update(merged)
