"""A run that shares its output with others, from the first file to the last that a dead run has left."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence

from srn_deploy.errors import SrnDeployError
from srn_deploy.inference.file_options import FileOptions
from srn_deploy.inference.jobs import Outcome
from srn_deploy.inference.ledger import Ledger, Standing, UnitState
from srn_deploy.inference.ledger_identity import LedgerIdentity
from srn_deploy.inference.plan import Job
from srn_deploy.inference.result_options import AS_UPSCALED
from srn_deploy.inference.run_presence import Life
from srn_deploy.inference.setup import Setup
from srn_deploy.inference.sharing import DoneElsewhere, claimed
from srn_deploy.system.installed import own_version

POLL_S = 0.5
"""Between two looks at runs of which it is not known whether they are alive."""

_log = logging.getLogger(__name__)


def identity_of(jobs: Sequence[Job], setup: Setup, options: FileOptions, video: object) -> LedgerIdentity:
    """What has to be the same in all runs into one output; video: how videos are written, which can be shown."""
    wanted = jobs[0].wanted if jobs else AS_UPSCALED
    results = {"size": wanted.size, "frame": wanted.frame, "keep_times": wanted.keep_times, "tiles": setup.tiles,
               "guard": setup.guard, "quality": options.quality, "effort": options.effort, "video": video}
    return LedgerIdentity(version=own_version(),
                          model=setup.backend.spec.to_json(),
                          options={name: str(value) for name, value in results.items()})


def run_claimed(job: Job, ledger: Ledger, work: Callable[[Job], Outcome]) -> Outcome:
    """Do one file as a whole, such as a video, if it is this run that does it."""
    try:
        claimed(job, ledger)
        outcome = work(job)
        if outcome.error is None:
            ledger.finish(job, outcome.losses, outcome.findings)
    except DoneElsewhere as left:
        return Outcome(job=job, elsewhere=left.state)
    except SrnDeployError as error:
        return Outcome(job=job, error=error)
    return outcome


def run_shared(jobs: Sequence[Job], once: Callable[[Sequence[Job]], Iterator[Outcome]],
               ledger: Ledger) -> Iterator[Outcome]:
    """Yield the outcomes of jobs that `once` claims; those that other runs have come last.

    At the end it waits until it is known of those runs whether they are alive, a minute at most. What a dead one has
    left is done here, what is finished or with a live one has an outcome that says so.
    """
    left = list(jobs)
    while left:
        elsewhere, done = list[tuple[Job, UnitState]](), 0
        for outcome in once(left):
            done += 1
            if outcome.elsewhere is not None and outcome.elsewhere.standing is Standing.ELSEWHERE:
                elsewhere.append((outcome.job, outcome.elsewhere))
            else:
                yield outcome
        if done < len(left):  # the disk is full
            return
        left = []
        for job, state in elsewhere:
            if _life_in_the_end(state, ledger) is Life.DEAD:
                left.append(job)
            else:
                yield Outcome(job=job, elsewhere=state)


def _life_in_the_end(state: UnitState, ledger: Ledger) -> Life:
    """Whether the run that has a file is alive, waiting until that is known."""
    life = ledger.life_of(state)
    if life is Life.UNKNOWN:
        _log.info("Waiting until it is known whether %s is at work, which has files that are not finished.",
                  ledger.who(state))
    while life is Life.UNKNOWN:
        time.sleep(POLL_S)
        life = ledger.life_of(state)
    return life
