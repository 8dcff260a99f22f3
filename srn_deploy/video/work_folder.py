"""The folder beside the target where finished segments wait: what run it belongs to, and which are there."""

from __future__ import annotations

import json
import logging
import shutil
from contextlib import suppress
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


class WorkFolder:
    """The folder of one target, held by this process while it is open. Use it as a context manager.

    threads: that encoders would take; while it is open, those of the run that began the work.
    """

    def __init__(self, target: Path, identity: RunIdentity, threads: int) -> None:
        self._target, self._identity, self.threads = target, identity, threads
        self.path = work_folder_of(target)
        self._held = HeldFolder(self.path, lambda holder: OtherVideoRun(
            f"{target} is being written by {holder}.", remedy="Let it finish, or choose another output."))

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
        self._held.release()
        if not self._segments():  # nothing is finished: nothing is left behind
            shutil.rmtree(self.path, ignore_errors=True)

    def segment(self, stream: int, number: int) -> Path:
        """The path of one segment."""
        return self.path / f"{stream}-{number:06}.segment"

    def clear(self) -> None:
        """Remove the segments, after they were joined."""
        for path in self._segments():
            with suppress(OSError):
                path.unlink()

    def _check_identity(self) -> None:
        if self._segments():
            found = read_json(self.path / _PLAN, StoredPlan, self._damaged)
            if found.identity != self._identity:
                raise self._of_another_run(found.identity)
            self.threads = found.threads
            return
        plan = StoredPlan(identity=self._identity, threads=self.threads)
        with writing(self._target), replacing(self.path / _PLAN) as temporary:
            temporary.write_text(json.dumps(to_builtins(plan)) + "\n", encoding="utf-8")

    def _segments(self) -> list[Path]:
        return sorted(self.path.glob("[0-9]*.segment"))  # not those that are being written

    def _damaged(self, reason: str) -> OtherVideoRun:
        return OtherVideoRun(f"{self.path / _PLAN} is damaged: {reason}.", remedy=self._remedy())

    def _of_another_run(self, found: RunIdentity) -> OtherVideoRun:
        names = {"source_sha256": "another video", "model": "another model", "backend": "another device or precision",
                 "tiles": "other tiles", "guard": "another guard", "encodings": "another codec or other options",
                 "program": "another version of a program"}
        differing = [told for name, told in names.items() if getattr(found, name) != getattr(self._identity, name)]
        return OtherVideoRun(f"{self.path} holds {len(self._segments())} finished segments of an earlier run with "
                             f"{' and '.join(differing)}.", remedy=self._remedy())

    def _remedy(self) -> str:
        return "Give the same command as then to go on with it, or delete that folder to begin again."
