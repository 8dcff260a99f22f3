"""How `upscale` does its jobs: with a model in this process, on a server, or on a Ray cluster."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from srn_deploy.api import Upscaler, load_as
from srn_deploy.cli import server_option
from srn_deploy.cli.progress import Display
from srn_deploy.cli.sharing_options import Sharing
from srn_deploy.cluster import ClusterWork, RayOptions, upscale_jobs
from srn_deploy.describe import described
from srn_deploy.inference.file_options import FileOptions
from srn_deploy.inference.jobs import OnTimes, Outcome
from srn_deploy.inference.plan import Job
from srn_deploy.open_model import OpenRequest
from srn_deploy.system.threads import cpu_threads

if TYPE_CHECKING:
    from srn_deploy.serving.remote import RemoteUpscaler

Start = Callable[[Display, OnTimes], Iterator[Outcome]]


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What is wanted of a run, besides its jobs."""

    work: ClusterWork
    threads: int | None
    files: FileOptions
    sharing: Sharing
    server: str | None
    out: str


@dataclass(frozen=True, kw_only=True)
class WayToStart:
    """A way in which jobs can be done, ready to start."""

    factor: Callable[[], int]
    """That of the model; on a cluster it is read when it is asked for."""
    start: Callable[[Sequence[Job]], Start]
    is_here: bool = True
    """Whether the network runs in this process."""


@contextmanager
def opened(wanted: Wanted, planned: Sequence[Job], pixels: Iterator[int]) -> Iterator[WayToStart]:
    """The way that was asked for, with the model and, where runs share their output, the ledger open.

    pixels: of the work ahead, where a model is opened here.
    """
    if wanted.sharing.ray is not None:
        yield _on_ray(wanted, wanted.sharing.ray)
        return
    work = wanted.work
    if wanted.server is not None:
        with server_option.connected(wanted.server, None if work.model is None else str(work.model), planned) as remote:
            yield _on_server(remote, wanted)
        return
    request = OpenRequest(device=work.device, precision=work.precision, corrections=work.corrections, pixels=pixels)
    with cpu_threads(wanted.threads):
        upscaler = load_as(work.model, request, work.tiles, guard=work.guard)
    with upscaler:
        if not wanted.sharing.is_shared:
            yield _here(upscaler, wanted, wanted.files)
            return
        with upscaler.ledger(planned, wanted.out, video=work.video, **wanted.files.as_keywords()) as ledger:
            yield _here(upscaler, wanted, replace(wanted.files, ledger=ledger))


def _here(upscaler: Upscaler, wanted: Wanted, files: FileOptions) -> WayToStart:
    def start(jobs: Sequence[Job]) -> Start:
        return lambda display, on_times: upscaler.upscale_jobs(
            jobs, on_tile=display.on_tile, on_times=on_times, video=wanted.work.video, on_frame=display.on_frame,
            **files.as_keywords())

    return WayToStart(factor=lambda: upscaler.spec.scale, start=start)


def _on_server(remote: RemoteUpscaler, wanted: Wanted) -> WayToStart:
    def start(jobs: Sequence[Job]) -> Start:
        return lambda display, on_times: remote.upscale_jobs(jobs, on_times=on_times, **wanted.files.as_keywords())

    return WayToStart(factor=lambda: remote.scale, start=start, is_here=False)


def _on_ray(wanted: Wanted, address: str) -> WayToStart:
    ray = RayOptions(address=address, workers=wanted.sharing.workers, cpus=wanted.threads)

    def factor() -> int:
        model = wanted.work.model
        return int(described(None if model is None else str(model), wanted.work.corrections)["scale"])

    def start(jobs: Sequence[Job]) -> Start:
        return lambda display, on_times: upscale_jobs(jobs, wanted.out, ray, wanted.work,
                                                      **wanted.files.as_keywords())

    return WayToStart(factor=factor, start=start, is_here=False)
