"""Files upscaled by a server: everything but the network happens here, and many requests are under way at once."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Self, Unpack

import numpy as np

from srn_deploy.errors import ModelNotServed, NoServer, OptionError
from srn_deploy.image import Effort, Image
from srn_deploy.image.output_size import OutputSize
from srn_deploy.image.reading import open_image
from srn_deploy.image.writing import EncodedImage, encode_image, store_image
from srn_deploy.inference.file_options import FileKeywords, FileOptions
from srn_deploy.inference.file_results import OF_ONE_IMAGE, disk_is_full, result_of, times_kept, warn_of_losses
from srn_deploy.inference.guard import Guard
from srn_deploy.inference.jobs import OnTimes, Outcome, check_result, clear_leftovers, not_timed, outcomes_of
from srn_deploy.inference.memory_budget import MemoryBudget
from srn_deploy.inference.memory_needs import bytes_held_whole
from srn_deploy.inference.pipeline import Pipeline
from srn_deploy.inference.plan import Job
from srn_deploy.inference.sizing import Upscaled, needs_network
from srn_deploy.inference.stage_times import PipelineStage, StageTimes
from srn_deploy.inference.stages import Computed, Reserve, Sentences, Stages
from srn_deploy.inference.video_names import is_video_name
from srn_deploy.registry.shipped import default_model
from srn_deploy.serving.client import ServedModelClient

IN_FLIGHT = 8
"""Requests that are under way at once by default: while the server computes, others are read, sent and written."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Received:
    """An image, and what the server made of it."""

    image: Image
    large: Upscaled
    findings: Sentences


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
        were not started have no outcome. Raises OptionError for videos.
        """
        jobs, chosen = list(planned), FileOptions(**options)
        refuse_videos(jobs)
        clear_leftovers(jobs)
        memory = MemoryBudget(chosen.most_bytes())
        files = _RemoteFiles(self._client, self._guard, chosen)
        pipeline = Pipeline(jobs, files.stages(), workers=chosen.jobs or IN_FLIGHT, memory=memory)
        return outcomes_of(pipeline, lambda times: on_times(files.with_requests(times)))

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
    """The stages of image files whose network runs on a server: a worker decodes an image and has it upscaled."""

    def __init__(self, client: ServedModelClient, guard: Guard | None, options: FileOptions) -> None:
        self._client, self._guard, self._options = client, guard, options
        self._effort = Effort.named(options.effort or Effort.NORMAL)
        self._lock, self._requests_s = threading.Lock(), 0.0

    def stages(self) -> Stages[Job, Received, Upscaled, EncodedImage]:
        return Stages(decode=self._decode, compute=self._compute, encode=self._encode,
                      encoded_bytes=lambda encoded: len(encoded.data),
                      store=lambda job, encoded: store_image(job.target, encoded) + times_kept(job),
                      is_error=lambda error: isinstance(error, OF_ONE_IMAGE),
                      ends_run=lambda error: disk_is_full(error) or isinstance(error, NoServer | ModelNotServed))

    def with_requests(self, times: StageTimes) -> StageTimes:
        """The times with those of requests as the network's, which the pipeline counts as decoding."""
        times.spent_s[PipelineStage.DECODE] -= self._requests_s
        times.spent_s[PipelineStage.NETWORK] += self._requests_s
        return times

    def _decode(self, job: Job, reserve: Reserve) -> Received | None:
        undecoded = open_image(job.source, max_megapixels=self._options.max_megapixels, frame=job.wanted.frame)
        if not reserve(bytes_held_whole(undecoded.unpacked, job, self._client.scale)):
            return None
        image = undecoded.decoded()
        check_result(job, image, self._client.scale)
        large, findings = self._upscaled(image, job.size)
        return Received(image=image, large=large, findings=findings)

    def _upscaled(self, image: Image, size: OutputSize) -> tuple[Upscaled, Sentences]:
        factor = self._client.scale
        height, width = size.of(image.height, image.width, factor=factor)
        colour, alpha = image.pixels, image.alpha
        findings: Sentences = ()
        if needs_network(size, image.height, image.width, factor=factor):
            began = time.monotonic()
            sent = colour if alpha is None else np.concatenate([colour, alpha], axis=2)
            received, findings = self._client.upscale(sent, self._guard)
            if alpha is None:
                colour = received
            else:
                colour, alpha = received[..., :-1], received[..., -1:]
            with self._lock:
                self._requests_s += time.monotonic() - began
        return Upscaled(original=image, colour=colour, alpha=alpha, height=height, width=width), findings

    def _compute(self, job: Job, received: Received) -> Computed[Upscaled]:
        warn_of_losses(job, received.image)
        return result_of(job, received.image, received.large, received.findings)

    def _encode(self, job: Job, large: Upscaled) -> EncodedImage:
        return encode_image(job.target, large.finished(), quality=self._options.quality, effort=self._effort)
