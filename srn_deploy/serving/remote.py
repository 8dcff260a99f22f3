"""Files upscaled by a server: everything but the network happens here, and many requests are under way at once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from types import TracebackType
from typing import Self, Unpack

import numpy as np

from srn_deploy.errors import ModelNotServed, NoServer, OptionError
from srn_deploy.image import Effort, Image
from srn_deploy.image.reading import open_image
from srn_deploy.image.writing import EncodedImage, encode_image, store_image
from srn_deploy.inference.file_options import FileKeywords, FileOptions, refuse_ledger
from srn_deploy.inference.file_results import OF_ONE_IMAGE, disk_is_full, result_of, times_kept, warn_of_losses
from srn_deploy.inference.guard import Guard
from srn_deploy.inference.jobs import OnTimes, Outcome, check_result, clear_leftovers, not_timed, outcomes_of
from srn_deploy.inference.memory_budget import MemoryBudget
from srn_deploy.inference.memory_needs import bytes_held_whole
from srn_deploy.inference.pipeline import Pipeline
from srn_deploy.inference.plan import Job
from srn_deploy.inference.sizing import Upscaled, needs_network
from srn_deploy.inference.stages import Computed, Reserve, Sentences, Stages
from srn_deploy.inference.video_names import is_video_name
from srn_deploy.registry.shipped import default_model
from srn_deploy.serving.client import ServedModelClient
from srn_deploy.system.threads import threads_in_use
from srn_deploy.tiling.tiles import PixelArray

IN_FLIGHT = 8
"""Requests that are under way at once by default: while the server computes, others are read, sent and written."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Sent:
    """An image that is on its way to the server and back, or that needs no network."""

    image: Image
    answer: Future[tuple[PixelArray, Sentences]] | None


class RemoteUpscaler:
    """A model on a server, for files; use it as a context manager.

    address: as in grpc://localhost:8001. model: its name there; None: that of the default model. guard: what the server
    does about broken blocks; None leaves it to the server. Raises what `ServedModelClient` raises.
    """

    def __init__(self, address: str, model: str | None = None, *, guard: Guard | str | None = None) -> None:
        self._guard = None if guard is None else Guard.named(guard)
        self._client = ServedModelClient(address, default_model() if model is None else model)

    @property
    def scale(self) -> int:
        """Of the model."""
        return self._client.scale

    def upscale_jobs(self, planned: Iterable[Job], /, *, on_times: OnTimes = not_timed,
                     **options: Unpack[FileKeywords]) -> Iterator[Outcome]:
        """Upscale the jobs that `plan_jobs` made, as `Upscaler.upscale_jobs` does, and yield their outcomes.

        options: as there; jobs: requests that are under way at once. When the server is lost, the run ends: jobs that
        were not started have no outcome. Raises OptionError for videos, and for a ledger.
        """
        jobs, chosen = list(planned), FileOptions(**options)
        refuse_videos(jobs)
        refuse_ledger(chosen, "With a server")
        clear_leftovers(jobs)
        return self._outcomes(jobs, chosen, on_times)

    def _outcomes(self, jobs: list[Job], options: FileOptions, on_times: OnTimes) -> Iterator[Outcome]:
        in_flight, memory = options.jobs or IN_FLIGHT, MemoryBudget(options.most_bytes())
        requests = ThreadPoolExecutor(max_workers=in_flight, thread_name_prefix="request")
        files = _RemoteFiles(self._client, requests, self._guard, options)
        try:
            yield from outcomes_of(Pipeline(jobs, files.stages(in_flight), workers=threads_in_use(), memory=memory),
                                   on_times)
        finally:
            requests.shutdown(wait=False, cancel_futures=True)

    def close(self) -> None:
        """Close the connection."""
        self._client.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        self.close()


def refuse_videos(jobs: Iterable[Job]) -> None:
    """Raise OptionError where a job is a video."""
    for job in jobs:
        if is_video_name(job.source):
            raise OptionError(f"{job.source} is a video, and videos are not sent to a server.",
                              remedy="Upscale it without --server.")


class _RemoteFiles:
    """The stages of image files whose network runs on a server: a worker decodes an image and sends it off."""

    def __init__(self, client: ServedModelClient, requests: ThreadPoolExecutor, guard: Guard | None,
                 options: FileOptions) -> None:
        self._client, self._requests, self._guard, self._options = client, requests, guard, options
        self._effort = Effort.named(options.effort or Effort.NORMAL)

    def stages(self, in_flight: int) -> Stages[Job, Sent, Upscaled, EncodedImage]:
        return Stages(decode=self._decode, compute=self._compute, encode=self._encode,
                      encoded_bytes=lambda encoded: len(encoded.data),
                      store=lambda job, encoded: store_image(job.target, encoded) + times_kept(job),
                      is_error=lambda error: isinstance(error, OF_ONE_IMAGE), most_ahead=in_flight,
                      ends_run=lambda error: disk_is_full(error) or isinstance(error, NoServer | ModelNotServed))

    def _decode(self, job: Job, reserve: Reserve) -> Sent | None:
        undecoded = open_image(job.source, max_megapixels=self._options.max_megapixels, frame=job.wanted.frame)
        if not reserve(bytes_held_whole(undecoded.unpacked, job, self._client.scale)):
            return None
        image = undecoded.decoded()
        check_result(job, image, self._client.scale)
        if not needs_network(job.size, image.height, image.width, factor=self._client.scale):
            return Sent(image=image, answer=None)
        pixels = image.pixels if image.alpha is None else np.concatenate([image.pixels, image.alpha], axis=2)
        return Sent(image=image, answer=self._requests.submit(self._client.upscale, pixels, self._guard))

    def _compute(self, job: Job, sent: Sent) -> Computed[Upscaled]:
        """Waits for the answer, while others are under way."""
        image = sent.image
        findings: Sentences = ()
        warn_of_losses(job, image)
        colour, alpha = image.pixels, image.alpha
        if sent.answer is not None:
            colour, findings = sent.answer.result()
            if alpha is not None:
                colour, alpha = colour[..., :-1], colour[..., -1:]
        height, width = job.size.of(image.height, image.width, factor=self._client.scale)
        large = Upscaled(original=image, colour=colour, alpha=alpha, height=height, width=width)
        return result_of(job, image, large, findings)

    def _encode(self, job: Job, large: Upscaled) -> EncodedImage:
        return encode_image(job.target, large.finished(), quality=self._options.quality, effort=self._effort)
