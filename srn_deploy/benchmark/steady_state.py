"""Steady state: every way to run some models, warmed up and then timed in turn within a budget of time."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from enum import StrEnum

import msgspec

from srn_deploy.benchmark.candidates import (
    MOST_WARM_UP_SECONDS,
    cautions,
    ratios,
    rounds_of,
    statistics_of,
    warm_up,
)
from srn_deploy.benchmark.environment import Ceilings, Environment, GpuState, current_environment, with_gpu
from srn_deploy.benchmark.machine import PeakMemory, ceilings, gpu_state, throttling
from srn_deploy.benchmark.records import Record
from srn_deploy.benchmark.results import CandidateResult, SteadyResults
from srn_deploy.benchmark.summary import FEW_SAMPLES
from srn_deploy.benchmark.ways import Candidate, Task, candidates_of
from srn_deploy.errors import DeviceUnavailable, OptionError
from srn_deploy.registry.resolve import Model, ResolvedModel
from srn_deploy.registry.shipped import default_model
from srn_deploy.spec import Precision
from srn_deploy.system.cuda_driver import why_no_gpu
from srn_deploy.system.documents import to_builtins
from srn_deploy.system.threads import threads_in_use
from srn_deploy.tiling.shapes import Size

KIND = "bench-steady"

DEFAULT_SIZE = (339, 510)
"""Of nearly half of DIV2K's x4 test inputs."""

DEFAULT_BUDGET_S = 60.0

MOST_ROUNDS = 50
"""More change a median little; on a fast GPU the budget would allow thousands."""

WARM_UP_SHARE = 0.4
"""Of the time that is left when warming up begins, less that of the fewest rounds."""

BEYOND_CEILINGS = """: more than the measured ceilings. Other programs were running when those were measured, or the
library computes in a narrower type: do not trust the shares."""

_log = logging.getLogger(__name__)


class Stage(StrEnum):
    """What a benchmark is doing."""

    PREPARING = "preparing"
    WARMING_UP = "warming up"
    MEASURING = "measuring"


@dataclass(frozen=True, kw_only=True)
class Step:
    """How far a benchmark is; reported before each step of a stage and at the end of the stage."""

    stage: Stage
    what: str = ""
    """The way or the candidate; empty for a round, which runs them all."""
    done: int
    total: int | None
    """None while it is not known."""


OnStep = Callable[[Step], None]


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is measured, and for how long."""

    size: Size = DEFAULT_SIZE
    batches: tuple[int, ...] = (1,)
    device: str = "cpu"
    rounds: int | None = None
    """None: as many as the budget allows, at least FEW_SAMPLES and at most MOST_ROUNDS."""
    budget_s: float = DEFAULT_BUDGET_S
    """For everything, preparation included; where even the fewest rounds take longer, they are run all the same."""
    precision: Precision | None = None
    """Only ways that compute in it; None: in any precision."""
    every_way: bool = False
    """On a CPU too, the portable graph and FP16 graphs."""


@dataclass
class _Budget:
    """Decides how long to warm up and how many rounds to run."""

    plan: Plan
    began: float = field(default_factory=time.monotonic)
    reserved_s: float = 0.0
    """For what follows the rounds."""
    round_s: float = 0.0
    """The last round took this long."""

    @property
    def left_s(self) -> float:
        return self.plan.budget_s - self.reserved_s - (time.monotonic() - self.began)

    def warm_up_seconds(self, candidates: Sequence[Candidate]) -> float:
        """For each of the candidates."""
        if self.plan.rounds is not None:
            return MOST_WARM_UP_SECONDS
        fewest_rounds_s = FEW_SAMPLES * sum(one.first_ms for one in candidates) / 1000
        return min(MOST_WARM_UP_SECONDS, max(0.0, self.left_s - fewest_rounds_s) * WARM_UP_SHARE / len(candidates))

    def rounds(self, done: int) -> int:
        """How many rounds there will be, judged after some of them."""
        if self.plan.rounds is not None:
            return self.plan.rounds
        fitting = int(max(0.0, self.left_s) / self.round_s) if self.round_s else 0
        return min(MOST_ROUNDS, max(FEW_SAMPLES, done + fitting))


@dataclass
class _Measured:
    """What the rounds yielded."""

    samples: dict[str, list[float]]
    states: list[GpuState] = field(default_factory=list)
    interrupted: bool = False


def run_steady(models: Sequence[Model], plan: Plan, *,
               on_step: OnStep = lambda step: None) -> Record:
    """Measure every way to run the models on the device; a way that fails is left out, and the log says why.

    After Ctrl-C the complete rounds are kept if there are at least FEW_SAMPLES of them, and the results say that the
    run was interrupted; otherwise KeyboardInterrupt is raised. Raises DeviceUnavailable where no way is left.
    """
    if plan.device == "cuda" and (reason := why_no_gpu()):
        raise DeviceUnavailable(f"There is no way to run anything on {plan.device}: {reason}.",
                                remedy="Use --device cpu, or install the NVIDIA driver.")
    budget = _Budget(plan)
    environment = with_gpu(current_environment(threads=threads_in_use()), gpu_state())
    with ExitStack() as opened:
        candidates = list(_prepared(models, plan, opened, on_step))
        began = time.monotonic()
        precisions = {one.precision.value for one in candidates}
        limits = ceilings(plan.device, precisions)
        budget.reserved_s = time.monotonic() - began
        peaks = dict(_warmed(candidates, budget, on_step))
        measured = _measure(candidates, budget, on_step)
        try:
            limits = limits if measured.interrupted else limits.larger(ceilings(plan.device, precisions))
        except KeyboardInterrupt:
            measured.interrupted = True
    after = msgspec.structs.replace(measured.states[-1], gpu_throttled_by=throttling(measured.states))
    return _record(candidates, measured, peaks, plan,
                   msgspec.structs.replace(environment, after=after, ceilings=limits))


def _prepared(models: Sequence[Model], plan: Plan, opened: ExitStack,
              on_step: OnStep) -> Iterator[Candidate]:
    """Every candidate, opened; names are checked at the end."""
    task = Task(device=plan.device, size=plan.size, batches=plan.batches, every_way=plan.every_way,
                precision=plan.precision)
    ways: list[str] = []

    def on_way(name: str) -> None:
        on_step(Step(stage=Stage.PREPARING, what=name, done=len(ways), total=None))
        ways.append(name)

    names: list[str] = []
    for model in models:
        for one in candidates_of(model, task, opened, on_way):
            names.append(one.name)
            yield one
    on_step(Step(stage=Stage.PREPARING, done=len(ways), total=len(ways)))
    if len(set(names)) != len(names):
        raise OptionError(f"Two candidates are called {max(names, key=names.count)!r}.",
                          remedy="Give each model once, and files of different names.")
    if not names:
        named = " or ".join(model.path.name if isinstance(model, ResolvedModel) else str(model or default_model())
                            for model in models)
        precision = "" if plan.precision is None else f" in {plan.precision.upper()}"
        raise DeviceUnavailable(f"There is no way to run {named} on {plan.device}{precision}.",
                                remedy="The lines above say why; try --device cpu, and any precision.")


def _warmed(candidates: Sequence[Candidate], budget: _Budget,
            on_step: OnStep) -> Iterator[tuple[str, float | None]]:
    """Run each until it is stable; its name and the peak memory of the process meanwhile, in MiB."""
    seconds = budget.warm_up_seconds(candidates)
    for done, one in enumerate(candidates):
        on_step(Step(stage=Stage.WARMING_UP, what=one.name, done=done, total=len(candidates)))
        peak = PeakMemory()
        peak.begin()
        warm_up(one.run, most_seconds=seconds)
        yield one.name, peak.mebibytes()
    on_step(Step(stage=Stage.WARMING_UP, done=len(candidates), total=len(candidates)))


def _measure(candidates: Sequence[Candidate], budget: _Budget, on_step: OnStep) -> _Measured:
    """Complete rounds, until the plan or the budget ends them, or Ctrl-C once there are enough."""
    measured = _Measured({one.name: [] for one in candidates})
    rounds, done = rounds_of({one.name: one.run for one in candidates}), 0
    try:
        while done < (total := budget.rounds(done)) or done == 0:
            on_step(Step(stage=Stage.MEASURING, done=done, total=total))
            began = time.monotonic()
            one_round, state = next(rounds), gpu_state()
            budget.round_s = time.monotonic() - began
            measured.states.append(state)
            for name, milliseconds in one_round.items():
                measured.samples[name].append(milliseconds)
            done += 1
    except KeyboardInterrupt:
        done = min(map(len, measured.samples.values()))
        if done < FEW_SAMPLES:
            raise
        measured.interrupted = True
        del measured.states[done:]
        for series in measured.samples.values():
            del series[done:]
    on_step(Step(stage=Stage.MEASURING, done=done, total=done))
    if budget.left_s < 0 and budget.plan.rounds is None and not measured.interrupted:
        _log.info("%d rounds, the fewest that a median needs, took longer than the budget of %g s", done,
                  budget.plan.budget_s)
    return measured


def _record(candidates: Sequence[Candidate], measured: _Measured, peaks: Mapping[str, float | None], plan: Plan,
            environment: Environment) -> Record:
    first = candidates[0]
    baseline = [sample / first.pictures for sample in measured.samples[first.name]]
    limits = environment.ceilings or Ceilings()
    rows = {one.name: _result(one, measured.samples[one.name], baseline, plan.size, limits) for one in candidates}
    rows = {name: msgspec.structs.replace(row, peak_mib=peaks[name]) for name, row in rows.items()}
    after = environment.after or GpuState(gpu=environment.gpu)
    stopped = [f"Interrupted after {len(baseline)} rounds."] if measured.interrupted else []
    results = SteadyResults(device=plan.device, size=plan.size, baseline=first.name, candidates=rows,
                            cautions=[*stopped, *cautions(measured.samples, after), *beyond_ceilings(rows)],
                            interrupted=measured.interrupted)
    return Record(kind=KIND, title=f"Steady state at {plan.size[0]} x {plan.size[1]} px on "
                                   f"{environment.gpu if plan.device == 'cuda' else environment.cpu}",
                  environment=environment, results=to_builtins(results))


def _result(one: Candidate, samples: Sequence[float], baseline: Sequence[float], size: Size,
            limits: Ceilings) -> CandidateResult:
    figures = statistics_of(samples)
    seconds = figures.median_ms / 1000
    compute, memory = None, None
    if one.cost is not None and limits.are_known:
        if ceiling := limits.of(one.precision.value):
            compute = one.cost.flops * one.pictures / seconds / 1e9 / ceiling
        memory = one.cost.moved_bytes * one.pictures / seconds / 1e9 / limits.gbytes_per_s
    return CandidateResult(
        **msgspec.structs.asdict(figures), share_of_compute=compute, share_of_memory=memory,
        ratio_to_baseline=ratios([sample / one.pictures for sample in samples], baseline),
        pictures_per_s=one.pictures / seconds, input_megapixels_per_s=one.pictures * size[0] * size[1] / seconds / 1e6,
        peak_mib=None, library=one.library, precision=one.precision.value, form=one.form.value,
        samples_ms=list(samples))


def beyond_ceilings(rows: Mapping[str, CandidateResult]) -> list[str]:
    """A sentence about shares above the whole: the ceiling was measured too low."""
    beyond = [name for name, row in rows.items()
              if max(row.share_of_compute or 0.0, row.share_of_memory or 0.0) > 1]
    return [", ".join(beyond) + BEYOND_CEILINGS] if beyond else []
