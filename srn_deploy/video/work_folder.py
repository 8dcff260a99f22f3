"""The folder beside the target where finished segments wait: what run it belongs to, and which are there."""

from __future__ import annotations

import json
import logging
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from srn_deploy.errors import OtherVideoRun
from srn_deploy.system.atomic import replacing, sweep
from srn_deploy.system.documents import read_json, to_builtins
from srn_deploy.system.folders import make_folder
from srn_deploy.system.held_folder import HeldFolder
from srn_deploy.video.library import writing

_PLAN = "plan.json"

_REMEDY = "Give the same command as then to go on with it, or delete that folder to begin again."

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class RunIdentity:
    """All that decides what a run makes of a video: segments of runs that differ in it are never joined."""

    source_sha256: str
    """Of the packets of the video streams."""
    model: str
    """The spec of the model, as JSON."""
    backend: str
    tiles: str
    guard: str
    encodings: tuple[str, ...]
    """Of each stream: encoder, layout, colour, size and options."""
    program: str
    """Versions of this program, of PyAV and of FFmpeg's libraries."""


@dataclass(frozen=True, kw_only=True)
class StoredPlan:
    """What the folder says of the run that began it."""

    identity: RunIdentity
    threads: int
    """Of its encoders: x264 and others write other packets with other numbers of threads."""


def work_folder_of(target: Path) -> Path:
    """Where the segments of a target wait."""
    return target.with_name(f".{target.name}.segments")


def segment_path(target: Path, stream: int, number: int) -> Path:
    """Where one segment of a target waits."""
    return work_folder_of(target) / f"{stream}-{number:06}.segment"


def stored_plan(target: Path) -> StoredPlan:
    """What the folder of a target says of the run that began it; raises OtherVideoRun where it cannot be read."""
    path = work_folder_of(target) / _PLAN
    return read_json(path, StoredPlan, lambda reason: _damaged(path, reason))


def clear_segments(target: Path) -> None:
    """Remove the segments of a target, after they were joined."""
    for path in _segments(target):
        with suppress(OSError):
            path.unlink()


@contextmanager
def held_for_workers(target: Path) -> Iterator[None]:
    """Hold the folder of a target while other processes write its segments, each as a WorkFolder that is shared.

    Raises OtherVideoRun where another process holds it.
    """
    folder, held = work_folder_of(target), _hold(target)
    with writing(target):
        make_folder(folder)
        held.acquire()
    try:
        sweep(folder)
        if not _segments(target):
            with writing(target):
                (folder / _PLAN).unlink(missing_ok=True)
        yield
    finally:
        _let_go(target, held)


def join_work(target: Path, identity: RunIdentity, threads: int) -> int:
    """Begin to write segments of a target that another process holds for its workers; returns the threads of encoders.

    The first to come says what is made. Raises OtherVideoRun where that is something else.
    """
    path, plan = work_folder_of(target) / _PLAN, StoredPlan(identity=identity, threads=threads)
    own = path.with_name(f"{_PLAN}.{secrets.token_hex(4)}")
    with writing(target):
        own.write_text(json.dumps(to_builtins(plan)) + "\n", encoding="utf-8")
        try:
            os.link(own, path)  # whole, and by one of them
        except FileExistsError:
            pass
        except OSError:  # a disk without hard links: of those that come at once the last one's stays
            if not path.exists():
                own.replace(path)
        finally:
            own.unlink(missing_ok=True)
    found = stored_plan(target)
    _compare(target, found.identity, identity)
    return found.threads


class WorkFolder:
    """The folder of one target, held by this process while it is open. Use it as a context manager.

    threads: that encoders would take; while it is open, those of the run that began the work.
    """

    def __init__(self, target: Path, identity: RunIdentity, threads: int) -> None:
        self._target, self._identity, self.threads = target, identity, threads
        self.path = work_folder_of(target)
        self._held = _hold(target)

    def __enter__(self) -> Self:
        with writing(self._target):
            make_folder(self.path)
            self._held.acquire()
        try:
            self._check_identity()
        except BaseException:
            self._held.release()
            raise
        sweep(self.path)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        _let_go(self._target, self._held)

    def clear(self) -> None:
        """Remove the segments, after they were joined."""
        clear_segments(self._target)

    def _check_identity(self) -> None:
        if _segments(self._target):
            found = stored_plan(self._target)
            _compare(self._target, found.identity, self._identity)
            self.threads = found.threads
            return
        plan = StoredPlan(identity=self._identity, threads=self.threads)
        with writing(self._target), replacing(self.path / _PLAN) as temporary:
            temporary.write_text(json.dumps(to_builtins(plan)) + "\n", encoding="utf-8")


def _hold(target: Path) -> HeldFolder:
    return HeldFolder(work_folder_of(target), lambda holder: OtherVideoRun(
        f"{target} is being written by {holder}.", remedy="Let it finish, or choose another output."))


def _let_go(target: Path, held: HeldFolder) -> None:
    held.release()
    if not _segments(target):  # nothing is finished: nothing is left behind
        shutil.rmtree(work_folder_of(target), ignore_errors=True)


def _segments(target: Path) -> list[Path]:
    return sorted(work_folder_of(target).glob("[0-9]*.segment"))  # not those that are being written


def _damaged(path: Path, reason: str) -> OtherVideoRun:
    return OtherVideoRun(f"{path} is damaged: {reason}.", remedy=_REMEDY)


def _compare(target: Path, found: RunIdentity, ours: RunIdentity) -> None:
    """Raise OtherVideoRun where a folder is that of another run."""
    names = {"source_sha256": "another video", "model": "another model", "backend": "another device or precision",
             "tiles": "other tiles", "guard": "another guard", "encodings": "another codec or other options",
             "program": "another version of a program"}
    differing = [told for name, told in names.items() if getattr(found, name) != getattr(ours, name)]
    if differing:
        raise OtherVideoRun(f"{work_folder_of(target)} holds {len(_segments(target))} finished segments of an earlier "
                            f"run with {' and '.join(differing)}.", remedy=_REMEDY)
