"""The run that hands out files: rows of paths to workers, and what they answer as outcomes."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import chain, islice
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

from srn_deploy.cluster.connection import WorkerShape, connected, worker_shape
from srn_deploy.cluster.options import ClusterWork, RayOptions, need_ray_packages
from srn_deploy.cluster.reports import Assignment, read_report
from srn_deploy.cluster.worker import REPORT, SOURCE, TARGET, UNIT, UpscaleWorker
from srn_deploy.errors import UnsuitableWorker, WorkerFailed
from srn_deploy.inference.file_options import FileKeywords, FileOptions
from srn_deploy.inference.jobs import Outcome, clear_leftovers
from srn_deploy.inference.ledger import Ledger
from srn_deploy.inference.plan import Job, PixelCounts, plan_jobs
from srn_deploy.inference.result_options import AS_UPSCALED
from srn_deploy.inference.shards import is_single
from srn_deploy.inference.video_names import is_video_name
from srn_deploy.system.arguments import as_path, check_kind
from srn_deploy.system.installed import installed_versions
from srn_deploy.system.quiet import quiet
from srn_deploy.video.files import need_video_packages

if TYPE_CHECKING:
    from ray.data import Dataset

MOST_IN_BATCH = 32
"""Images that a worker is given at once: enough for the next to be decoded while the network runs."""

BATCHES_OF_WORKER = 4
"""At least, so that the last batches of slow and fast workers end at about the same time."""

MOST_PIXELS = 10**9
"""Of the images that are looked at for `auto` to choose by the work ahead."""

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
    processes end again and again has an outcome with WorkerFailed. Raises MissingPackage without Ray, while it runs
    ClusterUnreachable, and the error of a worker that can do no file: it cannot open the model, UnsuitableWorker where
    it has another version, OtherRun and DamagedLedger.
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
    files = FileOptions(**options)
    need_ray_packages()
    if any(is_video_name(job.source) for job in jobs):
        need_video_packages()
    return _run(jobs, out, ray, work, files)


def _run(jobs: Sequence[Job], out: Path, ray: RayOptions, work: ClusterWork, files: FileOptions) -> Iterator[Outcome]:
    if not jobs:
        return
    places = [replace(job, source=job.source.absolute(), target=job.target.absolute()) for job in jobs]
    single = is_single(places, out)
    with Ledger(out, None, is_single=single) as ledger, connected(ray):
        _clear_leftovers(jobs, ledger)
        shape = worker_shape(ray, may_use_gpu=work.device in ("auto", "cuda"))
        _log.info("%d worker%s on Ray, each with %d CPU thread%s%s.", shape.workers, "s"[shape.workers == 1:],
                  shape.cpus, "s"[shape.cpus == 1:], " and a GPU" if shape.gpus else "")
        assignment = Assignment(
            version=installed_versions(("srn-deploy",)).get("srn-deploy", ""), run=ledger.run, out=out,
            is_single=single, wanted=jobs[0].wanted if jobs else AS_UPSCALED, work=_with_place(work), files=files,
            pixels=_pixels(places), cpus=shape.cpus)
        with _answers(_dataset(places, assignment, shape)) as rows:
            for row in rows:
                report = read_report(row[REPORT])
                if report.error is not None and report.ends_run:
                    raise report.error.as_error()
                outcome = report.outcome(jobs[row[UNIT]])
                for sentence in (*outcome.losses, *outcome.findings):
                    _log.warning("%s%s", "" if str(outcome.job.source) in sentence else f"{outcome.job.source}: ",
                                 sentence)
                yield outcome
        _clear_leftovers(jobs, ledger)  # of processes that ended in this run


def _clear_leftovers(jobs: Sequence[Job], ledger: Ledger) -> None:
    if ledger.is_alone():  # where a disk has no locks, files that others write look like leftovers
        clear_leftovers(jobs)


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


def batches_of(jobs: Sequence[Job], workers: int) -> Iterator[list[int]]:
    """The numbers of the jobs as they are handed out: each video alone, and images by the batch."""
    most = max(1, min(MOST_IN_BATCH, ceil(len(jobs) / (workers * BATCHES_OF_WORKER))))
    yield from ([number] for number, job in enumerate(jobs) if is_video_name(job.source))
    images = iter([number for number, job in enumerate(jobs) if not is_video_name(job.source)])
    while batch := list(islice(images, most)):
        yield batch


def _dataset(jobs: Sequence[Job], assignment: Assignment, shape: WorkerShape) -> Dataset:
    """Rows of paths, a block for each batch, through the workers."""
    import pyarrow
    import ray

    tables = [pyarrow.table({
        UNIT: pyarrow.array(batch, pyarrow.int64()),
        SOURCE: pyarrow.array([os.fsencode(jobs[number].source) for number in batch], pyarrow.binary()),
        TARGET: pyarrow.array([os.fsencode(jobs[number].target) for number in batch], pyarrow.binary())})
        for batch in batches_of(jobs, shape.workers)]
    with quiet("ray.data"):  # its defaults warn of themselves
        rows = ray.data.from_arrow(tables)
        rows.context.enable_progress_bars = False
        return rows.map_batches(
            UpscaleWorker, batch_size=None, fn_constructor_args=(assignment,), num_cpus=shape.cpus,
            num_gpus=shape.gpus, compute=ray.data.ActorPoolStrategy(size=min(shape.workers, len(tables))))


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
