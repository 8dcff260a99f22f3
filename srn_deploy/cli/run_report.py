"""What a run over images says at its end: where its time went, in a sentence and as JSON."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from srn_deploy.image import WITH_EFFORT, WITH_QUALITY, Effort, container_of, is_image_name
from srn_deploy.image.containers import Container
from srn_deploy.inference.file_options import FileOptions
from srn_deploy.inference.jobs import Outcome
from srn_deploy.inference.ledger import Standing
from srn_deploy.inference.plan import Job
from srn_deploy.inference.stage_times import StageTimes, Wait
from srn_deploy.system.threads import usable_cores

DIGITS = 3
"""Of seconds."""


@dataclass(kw_only=True)
class Counts:
    """How many files ended how."""

    written: int = 0
    failed: int = 0
    finished: int = 0
    """Before this run, or by another that shares the output."""
    elsewhere: int = 0
    """That another run has."""

    @property
    def all(self) -> int:
        """Those that have an outcome."""
        return self.written + self.failed + self.finished + self.elsewhere

    def add(self, outcome: Outcome) -> None:
        """Count one file."""
        if outcome.elsewhere is not None:
            is_finished = outcome.elsewhere.standing is Standing.FINISHED
            self.finished += is_finished
            self.elsewhere += not is_finished
        else:
            self.failed += outcome.error is not None
            self.written += outcome.error is None


def bottleneck_sentence(times: StageTimes, jobs: Iterable[Job], files: FileOptions) -> str:
    """What the run waited for, with figures, and what would make it faster; empty where nothing took time."""
    found = times.bottleneck()
    if found is None:
        return ""
    if found.wait is None:
        return f"The network ran {100 * found.share:.0f} % of the time."
    formats = {container_of(job.target) for job in jobs if is_image_name(job.target)}
    advice = _advice(found.wait, formats, files, times.workers)
    waited = f"The network waited {100 * found.share:.0f} % of the time for {found.wait}"
    return f"{waited}: try {advice}." if advice else f"{waited}."


def _advice(wait: Wait, formats: Collection[Container], files: FileOptions, workers: int) -> str:
    if wait is Wait.MEMORY:
        return "more --memory"
    if wait is Wait.DISK:
        return ""
    more = [f"--jobs {usable_cores()}"] if workers < usable_cores() else []
    if wait is Wait.ENCODERS:
        has_effort = WITH_EFFORT & set(formats) - (WITH_QUALITY if files.quality is not None else set())
        more += ["--format jpeg"] if set(formats) - {Container.JPEG} else []
        more += ["--effort fast"] if has_effort and files.effort != Effort.FAST else []
    return ", or ".join(more)


def run_as_json(outcomes: Sequence[Outcome], times: StageTimes) -> dict[str, Any]:
    """What became of each file, and the seconds of the stages of images."""
    files = [{"source": str(each.job.source), "target": str(each.job.target), "losses": each.losses,
               "findings": each.findings, "elsewhere": each.elsewhere and each.elsewhere.standing.name.lower(),
               "error": None if each.error is None else
               {"message": each.error.message, "remedy": each.error.remedy}} for each in outcomes]
    found = times.bottleneck()
    waited_for = None if found is None else {"waited_for": found.wait and found.wait.name.lower(),
                                             "share": round(found.share, DIGITS)}
    return {"files": files, "jobs": times.workers, "elapsed_s": round(times.elapsed_s, DIGITS),
            "stages_s": {stage.value: round(spent, DIGITS) for stage, spent in times.spent_s.items()},
            "network_waited_s": {wait.name.lower(): round(waited, DIGITS) for wait, waited in times.waited_s.items()},
            "bottleneck": waited_for}
