"""The stages of a run that shares its output: a file is claimed before it is read, and noted when it is written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from srn_deploy.inference.ledger import Ledger, Standing, UnitState
from srn_deploy.inference.plan import Job
from srn_deploy.inference.stages import AnyDecoded, Computed, Encoded, Large, Reserve, Sentences, Stages


class DoneElsewhere(Exception):
    """A file is finished, or another run has it; nothing was done here."""

    def __init__(self, state: UnitState) -> None:
        super().__init__(state.standing.value)
        self.state = state


def claimed(job: Job, ledger: Ledger) -> None:
    """Claim a file; raises DoneElsewhere where it is not this run that does it, and LedgerError."""
    state = ledger.claim(job)
    if state.standing is not Standing.OURS:
        raise DoneElsewhere(state)


def shared_stages(stages: Stages[Job, AnyDecoded, Large, Encoded],
                  ledger: Ledger) -> Stages[Job, AnyDecoded, Large, Encoded]:
    """The stages with their claims. What was lost and found until a result is written is noted with it."""
    said: dict[Job, tuple[Sentences, Sentences]] = {}

    def decode(job: Job, reserve: Reserve) -> AnyDecoded | None:
        claimed(job, ledger)
        return stages.decode(job, reserve)

    def noted(job: Job, computed: Computed[Large] | Exception) -> None:
        if isinstance(computed, Exception):
            return
        if computed.large is None:
            ledger.finish(job, computed.losses, computed.findings)
        else:
            said[job] = computed.losses, computed.findings

    def compute(job: Job, decoded: AnyDecoded) -> Computed[Large]:
        computed = stages.compute(job, decoded)
        noted(job, computed)
        return computed

    def store(job: Job, encoded: Encoded) -> Sentences:
        more = stages.store(job, encoded)
        losses, findings = said.pop(job, ((), ()))
        ledger.finish(job, losses + more, findings)
        return more

    def compute_alike(work: Sequence[tuple[Job, AnyDecoded]]) -> Sequence[Computed[Large] | Exception]:
        assert stages.grouping is not None
        every = stages.grouping.compute(work)
        for (job, _), computed in zip(work, every, strict=True):
            noted(job, computed)
        return every

    grouping = None if stages.grouping is None else replace(stages.grouping, compute=compute_alike)
    return replace(stages, decode=decode, compute=compute, store=store, grouping=grouping)
