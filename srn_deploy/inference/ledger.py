"""The ledger beside an output that several runs share: who does which file, and which are finished.

A folder of small files that are made exclusively, appended to by their maker and never renamed or locked, so that it
works on network file systems. One file is one claim of one result: NAME.1, and where the run that made it has died,
NAME.2 by the run that does it again. The last one counts.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import secrets
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from enum import Enum
from pathlib import Path
from types import TracebackType
from typing import Self

from srn_deploy.errors import DamagedLedger, LedgerError, OtherRun
from srn_deploy.inference.file_state import FileState, plain_text, state_of
from srn_deploy.inference.ledger_identity import LedgerIdentity
from srn_deploy.inference.plan import Job
from srn_deploy.inference.run_presence import LeaseTimes, Life, RunPresence
from srn_deploy.inference.shards import within
from srn_deploy.inference.stages import Sentences
from srn_deploy.system.documents import decode_json, read_json, to_builtins
from srn_deploy.system.folders import make_folder

FOLDER = ".srn-ledger"
"""Its name in a folder of results; beside a single result it is `.NAME.ledger`."""

_ABOUT, _RUNS, _CLAIMS = "run.json", "runs", "claims"

_FAILED = b"null\n"
"""The last line of a claim whose file could not be done, or whose result is to be made again."""

_HALF_WRITTEN_S = 2.0
"""For so long a file may be empty that another run is just writing."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class FinishedUnit:
    """The second line of a claim: the file was finished, and from what."""

    source: FileState
    losses: Sentences = ()
    findings: Sentences = ()


@dataclass(frozen=True, kw_only=True)
class UnitClaim:
    """The first line of a claim."""

    target: str
    """The result, relative to the output."""
    run: str
    worker: str
    """Which process of that run."""


class Standing(Enum):
    """How it stands with a file."""

    OURS = "this run does it"
    FINISHED = "it is finished"
    ELSEWHERE = "another run does it, or it failed there, or that run has died and it is not yet known"


@dataclass(frozen=True, kw_only=True)
class UnitState:
    """How it stands with a file, when this run asked for it."""

    standing: Standing
    run: str = ""
    """Which run has or had it; empty for this one that begins it, and where the claim cannot be read."""
    claim: Path | None = None
    finished: FinishedUnit | None = None


def ledger_folder(out: Path, *, is_single: bool) -> Path:
    """Where the ledger of an output is."""
    return out.with_name(f".{out.name}.ledger") if is_single else out / FOLDER


class Ledger:
    """The ledger of one output, of which this run is a part while it is open. Use it as a context manager.

    out: the folder of the results, or a single result. member_of: the run that this process works for, which another
    process keeps alive; empty for a run of its own. Raises OtherRun where it was begun with another identity,
    DamagedLedger where that cannot be read, LedgerError where it cannot be written.
    """

    def __init__(self, out: Path, identity: LedgerIdentity | None, *, is_single: bool = False,
                 times: LeaseTimes | None = None, member_of: str = "") -> None:
        self.folder, self._out, self._identity = ledger_folder(out, is_single=is_single), out, identity
        self._presence = RunPresence(self.folder / _RUNS, times or LeaseTimes())
        self.run, self._is_member = member_of or self._presence.run, bool(member_of)
        self._worker = secrets.token_hex(4)
        self._ours: dict[Path, tuple[Path, FileState | None]] = {}
        """Result to its claim, and to its source as it was then."""

    def __enter__(self) -> Self:
        with self._writing():
            make_folder(self.folder / _RUNS)
            make_folder(self.folder / _CLAIMS)
            if self._identity is not None:
                self._check_identity(self._identity)
            if not self._is_member:
                self._presence.open()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        if not self._is_member:
            self._presence.close()

    def is_alone(self) -> bool:
        """Whether no other run is at work or may be; a process that works for a run has others beside it."""
        return not self._is_member and all(self._presence.life_of(run) is Life.DEAD for run in self._presence.others())

    def claim(self, job: Job) -> UnitState:
        """Take a file for this process of this run, unless it is finished or another run has it."""
        number = 0
        with self._writing():
            while True:
                number += 1
                path = self._path(job, number)
                if self._make(path, job):
                    self._ours[job.target] = path, state_of(job.source)
                    return UnitState(standing=Standing.OURS)
                claim, finished, _ = self._read(path)
                if self._path(job, number + 1).exists():
                    continue
                if finished is not None and _still_holds(job, finished):
                    return UnitState(standing=Standing.FINISHED, run=claim.run if claim else "", finished=finished)
                if finished is not None:
                    continue
                if claim is not None and (claim.run, claim.worker) == (self.run, self._worker):
                    return UnitState(standing=Standing.OURS)
                if not self._is_left(path, claim):
                    return UnitState(standing=Standing.ELSEWHERE, run=claim.run if claim else "", claim=path)

    def attempts(self, job: Job) -> int:
        """How often processes of this run ended while they worked on a file. Claims nothing."""
        number = found = 0
        while True:
            number += 1
            claim, finished, has_ended = self._read(self._path(job, number))
            if finished is not None and _still_holds(job, finished):
                return 0
            if claim is None:
                return found
            found += claim.run == self.run and not has_ended

    def finish(self, job: Job, losses: Sentences = (), findings: Sentences = ()) -> None:
        """Note that the result of a file of ours is whole; what was lost and found is kept for whoever asks."""
        path, source = self._ours.pop(job.target)
        if source is None:  # a pipe, or gone: nothing to compare a later one with
            return
        done = FinishedUnit(source=source, losses=tuple(map(plain_text, losses)),
                            findings=tuple(map(plain_text, findings)))
        with self._writing(), path.open("ab") as file:
            file.write(json.dumps(to_builtins(done)).encode() + b"\n")

    def fail(self, job: Job) -> None:
        """Note that a file of ours could not be done; it stays claimed while this run is alive."""
        path, _ = self._ours.pop(job.target, (None, None))
        if path is not None:
            with self._writing(), path.open("ab") as file:
                file.write(_FAILED)

    def forget(self, jobs: Iterable[Job]) -> None:
        """Note that results that are finished are to be made again. The ledger need not be open for it."""
        for job in jobs:
            number = 1
            while self._path(job, number + 1).exists():
                number += 1
            if self._read(self._path(job, number))[1] is not None:
                with self._writing(), self._path(job, number).open("ab") as file:
                    file.write(_FAILED)

    def who(self, state: UnitState) -> str:
        """The run that has a file, in words."""
        return self._presence.named(state.run) if state.run else "another run"

    def life_of(self, state: UnitState) -> Life:
        """What is known of the run that has a file."""
        if state.run:
            return self._presence.life_of(state.run)
        return Life.DEAD if state.claim is None else self._presence.watched(state.claim)

    def _is_left(self, path: Path, claim: UnitClaim | None) -> bool:
        """Whether nobody works on a file that is claimed and not finished. A claim that cannot be read is watched."""
        if claim is None:
            return self._presence.watched(path) is Life.DEAD
        return claim.run == self.run or self._presence.life_of(claim.run) is Life.DEAD

    def _path(self, job: Job, number: int) -> Path:
        name = hashlib.sha256(os.fsencode(within(job.target, self._out).as_posix())).hexdigest()
        return self.folder / _CLAIMS / name[:2] / f"{name[2:34]}.{number}"

    def _make(self, path: Path, job: Job) -> bool:
        """Make a claim, exclusively; False where it exists."""
        target = plain_text(within(job.target, self._out).as_posix())
        claim = UnitClaim(target=target, run=self.run, worker=self._worker)
        line = json.dumps(to_builtins(claim)).encode() + b"\n"
        for is_last in (False, True):
            try:
                file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o666)
            except FileExistsError:
                return False
            except FileNotFoundError:
                if is_last:
                    raise
                make_folder(path.parent)
            else:
                break
        try:
            os.write(file, line)
        finally:
            os.close(file)
        return True

    def _read(self, path: Path) -> tuple[UnitClaim | None, FinishedUnit | None, bool]:
        """A claim, its end if the result is whole, and whether it ended in any way; None for what cannot be read."""
        claim, finished, rest = None, None, b""
        with suppress(OSError, LedgerError):
            first, _, rest = path.read_bytes().partition(b"\n")
            claim = decode_json(first, UnitClaim, self._damaged)
            if rest.endswith(b"\n") and not rest.endswith(_FAILED):
                finished = decode_json(rest.splitlines()[-1], FinishedUnit, self._damaged)
        return claim, finished, finished is not None or rest.endswith(_FAILED)

    def _check_identity(self, ours: LedgerIdentity) -> None:
        """Compare this run with the one that began the ledger; the first to come writes it."""
        path = self.folder / _ABOUT
        try:
            file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
        except FileExistsError:
            self._compare(path, ours)
            return
        with os.fdopen(file, "w", encoding="utf-8") as text:
            text.write(json.dumps(asdict(ours), indent=2) + "\n")

    def _compare(self, path: Path, ours: LedgerIdentity) -> None:
        deadline = time.monotonic() + _HALF_WRITTEN_S
        while True:
            try:
                there = read_json(path, LedgerIdentity, self._damaged)
                differences = list(there.differences(ours))
            except (DamagedLedger, json.JSONDecodeError) as error:
                if time.monotonic() >= deadline:
                    raise self._damaged(str(error).partition("\n")[0]) from error
                time.sleep(0.05)
                continue
            if not differences:
                return
            raise OtherRun(f"{self.folder} is the ledger of another run into this output: {'; '.join(differences)}.",
                           remedy="Give the same model and options in every run, choose another output, or delete that "
                                  "folder when no run is at work. Finished results stay.")

    def _damaged(self, reason: str) -> DamagedLedger:
        return DamagedLedger(f"The ledger {self.folder} is damaged: {reason}.",
                             remedy="Delete that folder when no run is at work, and run again with --skip-existing: "
                                    "finished results stay.")

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise LedgerError(f"The ledger {self.folder} cannot be written: {error.strerror}.",
                              remedy="Free space, or check the permissions of the output; what is finished stays."
                              ) from error


def _still_holds(job: Job, finished: FinishedUnit) -> bool:
    """Whether a result that was finished is there, and its source is the one it was made from."""
    target = state_of(job.target)
    return target is not None and target.bytes > 0 and state_of(job.source) == finished.source
