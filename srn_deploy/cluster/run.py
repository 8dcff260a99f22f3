"""The run that hands out files: rows of paths to workers, and what they answer as outcomes."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

from srn_deploy.cluster.connection import WorkerShape, connected, worker_shape
from srn_deploy.cluster.joining import DividedFiles, HowToJoin
from srn_deploy.cluster.openings import forget_openings, openings_folder
from srn_deploy.cluster.options import ClusterWork, RayOptions, need_ray_packages
from srn_deploy.cluster.parts import MOST_ATTEMPTS
from srn_deploy.cluster.reports import Assignment, read_report
from srn_deploy.cluster.units import WorkUnit, batches_of, divided
from srn_deploy.cluster.worker import PART, REPORT, SOURCE, TARGET, UNIT, UpscaleWorker
from srn_deploy.errors import OptionError, UnsuitableWorker, WorkerFailed
from srn_deploy.inference.file_options import FileKeywords, FileOptions, refuse_ledger
from srn_deploy.inference.jobs import Outcome, clear_leftovers
from srn_deploy.inference.ledger import Ledger
from srn_deploy.inference.plan import Job, PixelCounts, plan_jobs
from srn_deploy.inference.shards import is_single
from srn_deploy.inference.video_names import is_video_name
from srn_deploy.system.arguments import as_path, check_kind
from srn_deploy.system.installed import own_version
from srn_deploy.system.quiet import quiet
from srn_deploy.video.files import need_video_packages
from srn_deploy.video.options import VideoOptions

if TYPE_CHECKING:
    from ray.data import Dataset

MOST_PIXELS = 10**9
"""Of the images that are looked at for `auto` to choose by the work ahead."""

FEWEST_RESTARTS, MOST_RESTARTS = 20, 1000
"""Of the process of a worker, whatever ends it: one that ends at once each time is not started without end."""

_CAUSE = re.compile(r"^\w[\w.]*(?:Error|Exception|Exit): .+$", re.M)
"""The first in a chain of tracebacks is where it began."""

_NOT_INSTALLED = "No module named 'srn_deploy"

_log = logging.getLogger(__name__)


def upscale_files(source: str | Path | Iterable[str | Path], target: str | Path, ray: RayOptions | None = None,
                  work: ClusterWork | None = None, *, suffix: str | None = None,
                  **options: Unpack[FileKeywords]) -> Iterator[Outcome]:
    """Upscale a file, several, or all of a folder on a Ray cluster; yield an Outcome for each as batches are finished.

    All machines see source and target under the same paths. ray: which cluster; by default one that is started on this
    machine. work: the model and how it is opened. target, suffix, the options, what is yielded and what is raised at
    once are as those of `Upscaler.upscale_files`; of the options `memory` is for each worker, and `jobs` by default
    its CPU threads.

    Files are claimed in the ledger of the output, as `Upscaler.ledger` has it, so that what is finished is not done
    again: by a worker that takes over from one that died, by another run, or by the next one. A file during which
    processes end again and again has an outcome with WorkerFailed. A file that is large beside the others is divided
    among workers, by segments of a video or bands of an image, and joined by this process.

    Raises OptionError for jobs that do not all want the same, and for a ledger; MissingPackage without Ray; while it
    runs ClusterUnreachable, WorkerFailed where processes end while they open the model, and the error of a worker that
    can do no file: it cannot open the model, UnsuitableWorker where it has another version, OtherRun and DamagedLedger.
    """
    return upscale_jobs(plan_jobs(source, target, suffix), target, ray, work, **options)


def upscale_jobs(planned: Iterable[Job], target: str | Path, ray: RayOptions | None = None,
                 work: ClusterWork | None = None, **options: Unpack[FileKeywords]) -> Iterator[Outcome]:
    """As `upscale_files`, for the jobs that `plan_jobs` made for this target."""
    jobs, out = list(planned), as_path(target, "target").absolute()
    ray, work = ray or RayOptions(), work or ClusterWork()
    for job in jobs:
        check_kind(job, Job, "A job", remedy="Give what plan_jobs returned.")
    check_kind(ray, RayOptions, "ray", remedy="Give a RayOptions(address=...).")
    check_kind(work, ClusterWork, "work", remedy="Give a ClusterWork(model=...).")
    if len({job.wanted for job in jobs}) > 1:
        raise OptionError("The jobs of a run on a cluster all want the same size, frame and times.",
                          remedy="Give those that want the same in one call each.")
    files = FileOptions(**options)
    refuse_ledger(files, "On a Ray cluster")
    need_ray_packages()
    if any(is_video_name(job.source) for job in jobs):
        need_video_packages()
    return _run(jobs, out, ray, work, files)


def _run(jobs: Sequence[Job], out: Path, ray: RayOptions, work: ClusterWork, files: FileOptions) -> Iterator[Outcome]:
    if not jobs:
        return
    places = [replace(job, source=job.source.absolute(), target=job.target.absolute()) for job in jobs]
    single = is_single(places, out)
    how = HowToJoin(files=files, video=work.video or VideoOptions(), ledger=Ledger(out, None, is_single=single))
    with how.ledger as ledger, connected(ray):
        clear_leftovers(jobs, ledger)
        shape = worker_shape(ray, may_use_gpu=work.device in ("auto", "cuda"))
        _log.info("%d worker%s on Ray, each with %d CPU thread%s%s.", shape.workers, "s"[shape.workers == 1:],
                  shape.cpus, "s"[shape.cpus == 1:], " and a GPU" if shape.gpus else "")
        assignment = Assignment(
            version=own_version(), run=ledger.run, out=out, is_single=single, wanted=jobs[0].wanted,
            work=_with_place(work), files=files, cpus=shape.cpus,
            pixels=_pixels(places) if work.device == "auto" else 0)
        names = divided(places, shape.workers, max_megapixels=files.max_megapixels)
        with DividedFiles(places, names, how) as shared:
            try:
                yield from map(_logged, _outcomes(jobs, places, shared, assignment, shape))
            except KeyboardInterrupt:
                if how.video.keep_partial:
                    shared.write_beginnings()
                raise
            finally:
                forget_openings(openings_folder(ledger.folder, ledger.run))
        clear_leftovers(jobs, ledger)  # of processes that ended in this run


def _outcomes(jobs: Sequence[Job], places: Sequence[Job], shared: DividedFiles, assignment: Assignment,
              shape: WorkerShape) -> Iterator[Outcome]:
    """What became of each job; places: the same with whole paths."""
    settled = set[int]()
    for number, outcome in shared.begin():
        settled.add(number)
        yield replace(outcome, job=jobs[number])
    batches = list(batches_of(places, shape.workers, {**shared.names, **dict.fromkeys(settled, ())}))
    if not batches:
        return
    units = [unit for batch in batches for unit in batch]
    with _answers(_dataset(places, batches, assignment, shape)) as rows:
        for row in rows:
            report, unit = read_report(row[REPORT]), units[row[UNIT]]
            if report.error is not None and report.ends_run:
                raise report.error.as_error()
            if not unit.part:
                yield report.outcome(jobs[unit.job])
            elif ended := shared.end_part(unit.job, unit.part, report.outcome(jobs[unit.job]).error):
                yield replace(ended, job=jobs[unit.job])


def _logged(outcome: Outcome) -> Outcome:
    """The same; what was lost and found is logged."""
    for sentence in (*outcome.losses, *outcome.findings):
        _log.warning("%s%s", "" if str(outcome.job.source) in sentence else f"{outcome.job.source}: ", sentence)
    return outcome


def _with_place(work: ClusterWork) -> ClusterWork:
    """The work with the whole path of a model that is a file: workers have other current folders."""
    if work.model is None or not os.path.exists(work.model):  # noqa: PTH110  # names that are too long
        return work
    return replace(work, model=str(Path(work.model).absolute()))


def _pixels(jobs: Sequence[Job]) -> int:
    total, videos = 0, [job.source for job in jobs if is_video_name(job.source)]
    counts: Iterable[int] = PixelCounts([job for job in jobs if not is_video_name(job.source)])
    if videos:
        from srn_deploy.video.scan import pixel_counts  # here, because images do without PyAV

        counts = chain(counts, pixel_counts(videos))
    for pixels in counts:
        total += pixels
        if total >= MOST_PIXELS:
            break
    return total


def _dataset(jobs: Sequence[Job], batches: Sequence[Sequence[WorkUnit]], assignment: Assignment,
             shape: WorkerShape) -> Dataset:
    """Rows of paths and names, a block for each batch, through the workers."""
    import pyarrow
    import ray

    tables, first = [], 0
    for batch in batches:
        tables.append(pyarrow.table({
            UNIT: pyarrow.array(range(first, first + len(batch)), pyarrow.int64()),
            SOURCE: pyarrow.array([os.fsencode(jobs[unit.job].source) for unit in batch], pyarrow.binary()),
            TARGET: pyarrow.array([os.fsencode(jobs[unit.job].target) for unit in batch], pyarrow.binary()),
            PART: pyarrow.array([unit.part for unit in batch], pyarrow.string())}))
        first += len(batch)
    with quiet("ray.data"):  # its defaults warn of themselves
        rows = ray.data.from_arrow(tables)
        rows.context.enable_progress_bars = False
        return rows.map_batches(
            UpscaleWorker, batch_size=None, fn_constructor_args=(assignment,), num_cpus=shape.cpus,
            num_gpus=shape.gpus, max_restarts=min(FEWEST_RESTARTS + MOST_ATTEMPTS * first, MOST_RESTARTS),
            compute=ray.data.ActorPoolStrategy(size=min(shape.workers, len(tables))))


@contextmanager
def _answers(rows: Dataset) -> Iterator[Iterator[dict[str, Any]]]:
    """The rows that workers answer with; what Ray raises is an error of the tree."""
    import ray

    try:
        yield iter(rows.iter_rows())
    except ray.exceptions.RayError as error:
        raise _failure(error) from error


def _failure(error: Exception) -> WorkerFailed | UnsuitableWorker:
    said = str(error)
    if _NOT_INSTALLED in said:
        return UnsuitableWorker("srn-deploy is not installed on a machine of the cluster.",
                                remedy="Install it, in the same version, on every machine; what is finished stays.")
    cause = _CAUSE.search(said)
    reason = cause[0] if cause else said.strip().partition("\n")[0] or type(error).__name__
    return WorkerFailed(f"The run on the Ray cluster ended: {reason.rstrip('.')}.",
                        remedy="The logs of Ray, in /tmp/ray/session_latest/logs of the machine, say more. The same "
                               "command goes on with what is left; what is finished stays.")
