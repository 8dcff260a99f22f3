"""Which way to run a model is the fastest here: all of them in turn, then tiles, batches and threads of the best.

Each stage times its candidates from file to file by the runner of `upscale`, A B C A B C …, and the next one starts
from what was the fastest. Several images at once are timed from pixels to pixels. A way that its certificate refuses is
left out.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from statistics import median

from srn_deploy.backends import Backend
from srn_deploy.benchmark.candidates import Pass, wall_clock
from srn_deploy.benchmark.tuning_images import batching_sentence, black_images, run_at_once, sizes_at_once
from srn_deploy.benchmark.tuning_work import Work
from srn_deploy.benchmark.ways import Task, run_files, ways_of
from srn_deploy.errors import DeviceUnavailable, OptionError, SrnDeployError
from srn_deploy.inference.guard import Guard
from srn_deploy.inference.setup import Setup
from srn_deploy.registry.resolve import ModelKind, ResolvedModel
from srn_deploy.system.cuda_driver import why_no_gpu
from srn_deploy.system.installed import installed_versions
from srn_deploy.system.threads import are_asked_for, threads_in_use
from srn_deploy.tiling.shapes import Size
from srn_deploy.tiling.windows import TileOptions, choose_tile_px, is_tileable
from srn_deploy.tuning.choice import LIBRARIES, MeasuredWay, Tuned, WayToRun, this_machine
from srn_deploy.tuning.opening import open_way

DEFAULT_BUDGET_S = 60.0

WAYS_UNTIL, TILES_UNTIL, BATCHES_UNTIL, IMAGES_UNTIL = 0.45, 0.65, 0.75, 0.85
"""Shares of the budget after which a stage ends; that of the threads has the rest."""

MOST_ROUNDS = 20

MOST_WAYS_IN_TILES, NEARLY_AS_FAST = 2, 1.5
"""So many of the fastest ways are tried in tiles of several sides, if they take at most so many times as long."""

NO_DIFFERENCE = 1.03
"""A candidate that is less than this much faster does not displace one before it."""

HOPELESS, HOPELESS_MS = 3.0, 2000.0
"""A way whose first pass took so many times as long as that of another, and so long, is not timed again."""

SIDES_PX = (192, 256, 384, 512, 768)
BATCHES = (2, 4)


@dataclass(frozen=True, kw_only=True)
class WayRow:
    """How far one candidate is."""

    title: str
    settings: str
    """Tiles, batch and threads in words; empty for the defaults."""
    seconds_per_megapixel: float | None = None
    """None before it ran, and where it failed."""
    rounds: int = 0


_log = logging.getLogger(__name__)

OnRows = Callable[[str, Sequence[WayRow]], None]
"""Called with the name of the stage and its candidates, each time that one of them ran."""


@dataclass(kw_only=True)
class TimedWay:
    """One candidate."""

    title: str
    backend: Backend
    way: WayToRun
    run: Pass
    megapixels: float
    """Of what a pass upscales."""
    samples: list[float] = field(default_factory=list)
    """Milliseconds in the present stage."""
    is_warm: bool = False
    is_left_out: bool = False
    """It failed on these images."""

    @property
    def milliseconds(self) -> float:
        """The median."""
        return median(self.samples)

    def row(self) -> WayRow:
        """For the table."""
        speed = self.milliseconds / 1000 / self.megapixels if self.samples else None
        return WayRow(title=self.title, settings=self.way.settings(), seconds_per_megapixel=speed,
                   rounds=len(self.samples))


@dataclass(kw_only=True)
class _Tuning:
    """What the stages share."""

    model: ResolvedModel
    work: Work
    budget_s: float
    on_rows: OnRows
    opened: ExitStack
    began: float
    """Of the monotonic clock."""

    def seconds_left(self, share: float) -> float:
        """Until a share of the budget is spent."""
        return self.began + share * self.budget_s - time.monotonic()

    def trial(self, way: WayToRun, opened: tuple[Backend, str] | None = None) -> TimedWay:
        """A candidate; opened: its backend and title where it is open already."""
        if opened is None:
            opened = open_way(self.model, way)
            self.opened.callback(opened[0].close)
        backend, title = opened
        return TimedWay(title=title, backend=backend, way=replace(way, precision=backend.spec.precision),
                        run=wall_clock(partial(run_files, self.work.jobs, _setup(backend, way))),
                        megapixels=self.work.megapixels)

    def race(self, stage: str, trials: list[TimedWay], until: float, *, all_once: bool = False) -> list[TimedWay]:
        """Time candidates in turn until a share of the budget is spent; those that ran, the best first.

        all_once: each runs once, however long that takes; otherwise only the first is sure to.
        """
        for one in trials:
            one.samples.clear()
        for one in trials:
            if one is trials[0] or all_once or self.seconds_left(until) > 0:
                self._pass(one, stage, trials)
        running = _without_hopeless([one for one in trials if one.samples])
        for _ in range(MOST_ROUNDS):
            for one in running:
                if self.seconds_left(until) < one.milliseconds / 1000:
                    return _best_first(trials)
                self._pass(one, stage, trials)
        return _best_first(trials)

    def _pass(self, one: TimedWay, stage: str, trials: list[TimedWay]) -> None:
        """Run one candidate; its first pass is forgotten as soon as there is another."""
        try:
            milliseconds = one.run()
        except SrnDeployError as error:
            _log.warning("%s is left out: %s", one.title, error.message)
            one.is_left_out = True
            one.samples.clear()
        else:
            if not one.is_warm and one.samples:
                one.samples.clear()
                one.is_warm = True
            one.samples.append(milliseconds)
        self.on_rows(stage, [each.row() for each in trials])


def tune(model: ResolvedModel, work: Work, *, budget_s: float = DEFAULT_BUDGET_S,
         on_rows: OnRows = lambda stage, rows: None) -> Tuned:
    """Measure every way to run a model here; nothing is kept.

    Raises OptionError for an engine, DeviceUnavailable where no way runs, and KeyboardInterrupt.
    """
    if model.kind is ModelKind.ENGINE:
        raise OptionError(f"{model.path.name} is an engine: there is one way to run it.",
                          remedy="Tune the model that it was built from; its engines take part.")
    if model.kind is ModelKind.CHECKPOINT:
        _log.info("PyTorch alone runs a checkpoint; export it to a graph to measure ONNX Runtime and OpenVINO too")
    with ExitStack() as opened:
        tuning = _Tuning(model=model, work=work, budget_s=budget_s, on_rows=on_rows, opened=opened,
                         began=time.monotonic())
        best = tuning.race("ways", list(_ways(tuning)), WAYS_UNTIL, all_once=True)
        if not best:
            raise DeviceUnavailable(f"There is no way to run {model.path.name} here.",
                                    remedy="srn-deploy doctor says what is missing.")
        near = [one for one in best[:MOST_WAYS_IN_TILES] if one.milliseconds <= NEARLY_AS_FAST * best[0].milliseconds]
        tiled = [trial for one in near for trial in _in_tiles(tuning, one)]
        fastest = _next(tuning, "tiles", [*near, *tiled] if tiled else best[:1], TILES_UNTIL)
        fastest = _next(tuning, "batches", [fastest, *_in_batches(tuning, fastest)], BATCHES_UNTIL)
        fastest = _with_images_at_once(tuning, fastest)
        fastest = _next(tuning, "threads", [fastest, *_on_threads(tuning, fastest)], 1.0)
        ways = [fastest, *(one for one in best if one.title != fastest.title)]
        return _tuned(model, work, ways)


def _next(tuning: _Tuning, stage: str, trials: list[TimedWay], until: float) -> TimedWay:
    """The best of a stage. One candidate alone is not timed again, and nothing is where the time is over."""
    if len(trials) == 1 or tuning.seconds_left(until) <= 0:
        return trials[0]
    return (tuning.race(stage, trials, until) or trials)[0]


def _ways(tuning: _Tuning) -> Iterator[TimedWay]:
    """All ways that `auto` can open again; what is not certified or cannot be opened is logged."""
    device = "cpu" if why_no_gpu() else "cuda"
    task = Task(device=device, size=tuning.work.size, batches=(1,), every_way=False)
    for way in ways_of(tuning.model, task, tuning.opened):
        if way.reopens is None:
            continue
        try:
            yield tuning.trial(way.reopens)
        except SrnDeployError as error:
            _log.warning("%s is left out: %s", way.name, error.message)


def _in_tiles(tuning: _Tuning, one: TimedWay) -> Iterator[TimedWay]:
    """In tiles of several sides, where the network is the same in tiles."""
    spec, largest = one.backend.spec, max(tuning.work.size)
    if is_tileable(spec) and not spec.pools_whole_picture:
        for side in SIDES_PX:
            if side < largest:
                yield tuning.trial(replace(one.way, tile=side), (one.backend, one.title))


def _in_batches(tuning: _Tuning, one: TimedWay) -> Iterator[TimedWay]:
    """With several tiles at once, where there are several."""
    tiles = one.way.tiled(None) or TileOptions()
    side = choose_tile_px(one.backend.spec, one.backend.limits, *tuning.work.size, tiles)
    if side is not None and side < max(tuning.work.size):
        for count in BATCHES:
            yield tuning.trial(replace(one.way, tiles_per_batch=count), (one.backend, one.title))


def _with_images_at_once(tuning: _Tuning, one: TimedWay) -> TimedWay:
    """The same with several images at once, up to the largest size at which that gains."""
    found = sizes_at_once(tuning.work, one.backend, one.way.tiled(None) or TileOptions())
    for size, counts in (listed := list(found)):
        trials = [_at_once(one, size, count) for count in (1, *counts)]
        best = _next(tuning, "images at once", trials, IMAGES_UNTIL)
        _log.info("%s", batching_sentence(size, best.way.images_per_batch, {
            trial.way.images_per_batch: trial.milliseconds for trial in trials if trial.samples}))
        if best.way.images_per_batch > 1:
            together = tuning.trial(best.way, (one.backend, one.title))
            return (tuning.race("images at once", [together], IMAGES_UNTIL) or [one])[0]
        if tuning.seconds_left(IMAGES_UNTIL) <= 0:
            break
    if not listed:
        _log.info("Images are run one by one: these need tiles, or %s takes one at a time", one.title)
    return one


def _at_once(one: TimedWay, size: Size, count: int) -> TimedWay:
    """A candidate that runs so many images at once; its milliseconds are those of one."""
    px = size[0] * size[1]
    way = replace(one.way, images_per_batch=count, batched_px=px if count > 1 else 0)
    clock = wall_clock(partial(run_at_once, black_images(size, count), _setup(one.backend, way)))
    return TimedWay(title=one.title, backend=one.backend, way=way, run=lambda: clock() / count, megapixels=px / 1e6)


def _setup(backend: Backend, way: WayToRun) -> Setup:
    """What a candidate runs with; without the guard, which costs all of them the same."""
    return Setup(backend, tiles=way.tiled(None) or TileOptions(), batching=way.batching, guard=Guard.OFF)


def _on_threads(tuning: _Tuning, one: TimedWay) -> Iterator[TimedWay]:
    """On other numbers of CPU threads, where none is asked for; PyTorch has one number for the whole process."""
    count = threads_in_use()
    if one.way.device == "cuda" or one.way.of_checkpoint or are_asked_for():
        return
    for threads in sorted({count, count // 2} if count >= 4 else {count // 2}, reverse=True):
        if threads > 0:
            yield tuning.trial(replace(one.way, threads=threads))


def _without_hopeless(trials: list[TimedWay]) -> list[TimedWay]:
    fastest = min((one.milliseconds for one in trials), default=0.0)
    return [one for one in trials if one.milliseconds <= max(HOPELESS * fastest, HOPELESS_MS)]


def _best_first(trials: list[TimedWay]) -> list[TimedWay]:
    """Those that ran, by their medians; of those that do not differ from the fastest, the first one stands first."""
    ran = [one for one in trials if one.samples]
    ordered = sorted(ran, key=lambda one: one.milliseconds)
    alike = [one for one in ran if one.milliseconds <= NO_DIFFERENCE * ordered[0].milliseconds] if ran else []
    return [*alike[:1], *(one for one in ordered if one is not alike[0])] if alike else []


def _tuned(model: ResolvedModel, work: Work, trials: Sequence[TimedWay]) -> Tuned:
    ways = tuple(MeasuredWay(title=one.title, way=one.way,
                             seconds_per_megapixel=one.milliseconds / 1000 / work.megapixels) for one in trials)
    shipped = model.shipped if model.kind is ModelKind.GRAPH else None  # its name means its graph
    named = str(model.path.absolute()) if shipped is None else shipped.name
    return Tuned(model=named, sha256=model.sha256, corrections=model.corrections, machine=this_machine(),
                 versions=installed_versions(LIBRARIES), date=datetime.now(UTC).date().isoformat(),
                 images=work.label, ways=ways)
