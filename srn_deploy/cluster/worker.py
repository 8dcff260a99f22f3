"""A worker: the same code as on a single machine, for one batch of files after another."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from srn_deploy.api import Upscaler, load_as
from srn_deploy.cluster.openings import noted_opening, openings_folder
from srn_deploy.cluster.parts import MOST_ATTEMPTS, HowToMake, PartsOfFiles, tried_together, worker_ended
from srn_deploy.cluster.reports import (
    Assignment,
    ToldError,
    UnitReport,
    finished_here,
    on_this_machine,
)
from srn_deploy.errors import SrnDeployError, UnsuitableWorker
from srn_deploy.inference.jobs import Outcome
from srn_deploy.inference.ledger import Ledger, Standing, ledger_folder
from srn_deploy.inference.plan import Job
from srn_deploy.inference.shared_run import identity_of
from srn_deploy.open_model import OpenRequest
from srn_deploy.system.installed import own_version
from srn_deploy.system.threads import cpu_threads, usable_cores
from srn_deploy.video.options import VideoOptions

UNIT, SOURCE, TARGET, PART, REPORT = "unit", "source", "target", "part", "report"
"""Columns of the rows."""


class UpscaleWorker:
    """Opens the model once and does batches of rows; it never raises, so that its process stays with its model."""

    def __init__(self, assignment: Assignment) -> None:
        self._assignment = assignment
        self._open = ExitStack()
        self._refusal: SrnDeployError | None = None
        self._threads = cpu_threads(assignment.cpus)  # Ray sets OMP_NUM_THREADS, to one where no CPU is asked for
        folder = openings_folder(ledger_folder(assignment.out, is_single=assignment.is_single), assignment.run)
        try:
            with noted_opening(folder, _lasting_name()):
                self._upscaler, self._ledger = self._opened()
        except SrnDeployError as error:
            self._open.close()
            self._refusal = error
        else:
            self._parts = PartsOfFiles(HowToMake(
                setup=self._upscaler.setup, files=assignment.files, video=assignment.work.video or VideoOptions(),
                ledger=self._ledger))

    def __call__(self, rows: Mapping[str, Any]) -> dict[str, list[Any]]:
        """rows: columns `unit` (a number), `source` and `target` (paths as bytes) and `part`, names of parts of one
        file, or empty. Returns `unit` and `report`."""
        jobs = [Job(source=Path(os.fsdecode(source)), target=Path(os.fsdecode(target)),
                    wanted=self._assignment.wanted)
                for source, target in zip(rows[SOURCE], rows[TARGET], strict=True)]
        keys = [(job.target, str(part)) for job, part in zip(jobs, rows[PART], strict=True)]
        reports = {}
        try:
            for key, outcome in self._outcomes(jobs, [part for _, part in keys]):
                reports[key] = UnitReport.of(outcome)
        except SrnDeployError as error:  # of no file alone
            reports[keys[-1]] = UnitReport(error=ToldError.of(on_this_machine(error)), ends_run=True)
        done = [(int(unit), reports[key].to_json()) for unit, key in zip(rows[UNIT], keys, strict=True)
                if key in reports]  # a full disk ends a batch early
        return {UNIT: [unit for unit, _ in done], REPORT: [report for _, report in done]}

    def close(self) -> None:
        """Free the model."""
        self._open.close()

    def _opened(self) -> tuple[Upscaler, Ledger]:
        given = self._assignment
        here = own_version()
        if here != given.version:
            raise UnsuitableWorker(f"srn-deploy is there in version {here}, and the run was started by "
                                   f"version {given.version}.",
                                   remedy="Install the same version on every machine; what is finished stays.")
        work = given.work
        request = OpenRequest(device=work.device, precision=work.precision, corrections=work.corrections,
                              pixels=(given.pixels,))
        with self._threads:
            upscaler = self._open.enter_context(load_as(work.model, request, work.tiles, guard=work.guard))
        identity = identity_of([Job(source=given.out, target=given.out, wanted=given.wanted)], upscaler.setup,
                               given.files, work.video or VideoOptions())
        ledger = Ledger(given.out, identity, is_single=given.is_single, member_of=given.run)
        return upscaler, self._open.enter_context(ledger)

    def _outcomes(self, jobs: Sequence[Job], parts: Sequence[str]) -> Iterator[tuple[tuple[Path, str], Outcome]]:
        """What became of the rows, each with its target and its part."""
        if self._refusal is not None:
            raise self._refusal
        if parts[0]:
            yield from (((jobs[0].target, part), outcome) for part, outcome in self._parts.made(jobs[0], parts))
        else:
            yield from (((outcome.job.target, ""), outcome) for outcome in self._whole(jobs))

    def _whole(self, jobs: Sequence[Job]) -> Iterator[Outcome]:
        """Files during which a process of this run ended come last and one by one, so that one of them alone is
        counted when it happens again."""
        for some, ended in tried_together(jobs, self._ledger.attempts):
            if ended >= MOST_ATTEMPTS:
                yield Outcome(job=some[0], error=worker_ended(str(some[0].source), "it", ended))
            else:
                yield from self._upscaled(some)

    def _upscaled(self, jobs: Iterable[Job]) -> Iterator[Outcome]:
        given = self._assignment
        options = given.files.as_keywords()
        options["ledger"] = self._ledger
        options["jobs"] = given.files.jobs or given.cpus
        options["memory"] = self._memory()
        for outcome in self._upscaler.upscale_jobs(jobs, video=given.work.video, **options):
            state = outcome.elsewhere
            if outcome.error is not None:
                self._ledger.fail(outcome.job)  # or it would count as what ended this process
            if state is not None and state.standing is Standing.FINISHED and state.run == self._ledger.run \
                    and state.finished is not None:
                yield finished_here(outcome.job, state.finished)
            else:
                yield outcome

    def _memory(self) -> int | str | None:
        """What was asked for, or the part of this worker of what one process would take, as there are others here."""
        files = self._assignment.files
        if files.memory is not None or (most := files.most_bytes()) is None:
            return files.memory
        return max(1, most // max(1, usable_cores() // self._assignment.cpus))


def _lasting_name() -> str:
    """Of this worker, also after Ray has started its process again; empty where it does not run on Ray."""
    if (ray := sys.modules.get("ray")) is None or not ray.is_initialized():
        return ""
    return str(ray.get_runtime_context().get_actor_id() or "")
