"""What a worker is told and what it answers, as JSON: that is all that passes between machines besides paths."""

from __future__ import annotations

import json
import platform
from dataclasses import dataclass
from pathlib import Path

from srn_deploy.cluster.options import ClusterWork
from srn_deploy.errors import SrnDeployError, WorkerFailed, error_named
from srn_deploy.inference.file_options import FileOptions
from srn_deploy.inference.file_state import plain_text
from srn_deploy.inference.jobs import Outcome
from srn_deploy.inference.ledger import FinishedUnit, Standing, UnitState
from srn_deploy.inference.plan import Job
from srn_deploy.inference.result_options import ResultOptions
from srn_deploy.inference.stages import Sentences
from srn_deploy.system.documents import decode_json, to_builtins


@dataclass(frozen=True, kw_only=True)
class Assignment:
    """The same for all workers of a run."""

    version: str
    """Of srn-deploy, where the run was started."""
    run: str
    """In the ledger."""
    out: Path
    is_single: bool
    wanted: ResultOptions
    work: ClusterWork
    files: FileOptions
    pixels: int
    """Of all images, up to some bound, so that every worker opens the model as one machine would."""
    cpus: int


@dataclass(frozen=True, kw_only=True)
class ToldError:
    """An error of the tree."""

    name: str
    message: str
    remedy: str

    @classmethod
    def of(cls, error: SrnDeployError) -> ToldError:
        return cls(name=type(error).__name__, message=plain_text(error.message), remedy=plain_text(error.remedy))

    def as_error(self) -> SrnDeployError:
        """The error again."""
        return error_named(self.name, self.message, self.remedy)


@dataclass(frozen=True, kw_only=True)
class UnitReport:
    """What became of a file on a worker."""

    error: ToldError | None = None
    losses: Sentences = ()
    findings: Sentences = ()
    standing: Standing | None = None
    """Of a file that was finished before this run, or that another run has."""
    run: str = ""
    """Which other run."""
    ends_run: bool = False
    """The error is not that of this file: this worker can do none."""

    @classmethod
    def of(cls, outcome: Outcome) -> UnitReport:
        state = outcome.elsewhere
        return cls(error=None if outcome.error is None else ToldError.of(outcome.error),
                   losses=tuple(map(plain_text, outcome.losses)), findings=tuple(map(plain_text, outcome.findings)),
                   standing=None if state is None else state.standing, run=state.run if state else "")

    def outcome(self, job: Job) -> Outcome:
        """The outcome of a job, where it is one."""
        state = None if self.standing is None else UnitState(standing=self.standing, run=self.run)
        return Outcome(job=job, error=None if self.error is None else self.error.as_error(), losses=self.losses,
                       findings=self.findings, elsewhere=state)

    def to_json(self) -> str:
        return json.dumps(to_builtins(self))


def read_report(text: str) -> UnitReport:
    """A report of a worker; raises WorkerFailed for text that is none."""
    return decode_json(text, UnitReport, lambda reason: WorkerFailed(
        f"A worker answered what is not understood: {reason}.",
        remedy="Install the same version of srn-deploy on every machine."))


def finished_here(job: Job, finished: FinishedUnit) -> Outcome:
    """The outcome of a file that a process of this run has finished before it ended."""
    return Outcome(job=job, losses=finished.losses, findings=finished.findings)


def on_this_machine(error: SrnDeployError) -> SrnDeployError:
    """The error of a worker, with its machine."""
    return type(error)(f"On {platform.node()}: {error.message}", remedy=error.remedy)
