"""The Python interface: open a model once, then upscale arrays and files with it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from types import NoneType, TracebackType
from typing import Self, TypedDict, Unpack, cast

from srn_deploy.backends import Backend
from srn_deploy.image.output_size import AS_THE_MODEL_GIVES, OutputSize
from srn_deploy.image.pillow_images import ImageLike, like, pixels_of
from srn_deploy.inference.file_options import FileKeywords, FileOptions
from srn_deploy.inference.guard import Guard
from srn_deploy.inference.jobs import OnTimes, Outcome, not_timed, run_jobs
from srn_deploy.inference.ledger import Ledger
from srn_deploy.inference.plan import Job, plan_jobs
from srn_deploy.inference.result_options import ResultOptions
from srn_deploy.inference.setup import Fp32Fallback, Setup
from srn_deploy.inference.shards import is_single
from srn_deploy.inference.shared_run import identity_of, run_claimed, run_shared
from srn_deploy.inference.sizing import upscale_array
from srn_deploy.inference.upscale import OnTile, no_progress
from srn_deploy.inference.video_names import is_video_name
from srn_deploy.open_model import OpenRequest, open_with_fallback
from srn_deploy.spec import AS_RECOGNISED, Corrections, ModelSpec
from srn_deploy.system.arguments import as_path, check_callable, check_kind
from srn_deploy.tiling.windows import ONE_BY_ONE, ImageBatching, TileOptions
from srn_deploy.video.files import need_video_packages
from srn_deploy.video.options import OnFrame, VideoOptions, ignore_frame

_log = logging.getLogger(__name__)


class JobKeywords(FileKeywords, total=False):
    """Options of `Upscaler.upscale_jobs`."""

    video: VideoOptions | None
    on_frame: OnFrame


class ResultKeywords(TypedDict, total=False):
    """What is wanted of each result: the fields of ResultOptions, and the pattern of its name."""

    size: OutputSize
    keep_times: bool
    frame: int | None
    name: str | None


class UpscaleKeywords(JobKeywords, ResultKeywords, total=False):
    """Options of `Upscaler.upscale_files`."""


class Upscaler:
    """An opened model, how it is tiled, and what is done about broken blocks; use it as a context manager.

    It owns its backend and its FP32 fallback and closes both. The fallback runs images of 16 bits where the backend
    takes 8 or computes in BF16, and runs blocks again that broke in FP16 or BF16. batching: how many images of one size
    are run at once where there are many files; by default none waits for another.
    """

    def __init__(self, backend: Backend, tiles: TileOptions | None = None, *, guard: Guard | str = Guard.WARN,
                 fallback: Fp32Fallback | None = None, batching: ImageBatching = ONE_BY_ONE) -> None:
        if not hasattr(backend, "spec"):
            check_kind(backend, (), "A backend", remedy="Open a model with srn_deploy.load or srn_deploy.open_backend.")
        check_kind(fallback, (Fp32Fallback, NoneType), "fallback", remedy="Give an Fp32Fallback, or None.")
        check_kind(batching, ImageBatching, "batching", remedy="Give an ImageBatching, or leave it out.")
        _check_tiles(tiles)
        self._setup = Setup(backend, tiles=tiles or TileOptions(), guard=Guard.named(guard), batching=batching,
                            fallback=fallback or Fp32Fallback())

    @property
    def spec(self) -> ModelSpec:
        """What the model is: its network, its scale, its form."""
        return self._setup.backend.spec

    @property
    def scale(self) -> int:
        """How many times larger its results are."""
        return self.spec.scale

    @property
    def setup(self) -> Setup:
        """What it upscales with; it stays the Upscaler's, which closes it."""
        return self._setup

    def upscale(self, image: ImageLike, *, size: OutputSize = AS_THE_MODEL_GIVES,
                on_tile: OnTile = no_progress) -> ImageLike:
        """Upscale one image by the model's scale, or to a size.

        image: (H, W) or (H, W, 1) grey, (H, W, 3) RGB or (H, W, 4) RGBA; uint8 in 0..255 with every model, uint16 in
        0..65535 and float32 in 0..1 with shipped models, checkpoints, and graphs that exchange float pixels. It is not
        changed. Pillow images are taken too: L, RGB, RGBA and I;16 as they are, palettes as RGB or RGBA, bilevel ones
        as L, LA as RGBA. size: as in OutputSize(width=1600); the model's result is reduced to it, and an image that is
        no smaller is reduced without the model. on_tile: called with (tiles done, total tiles).

        Returns a fresh array of the same dtype and channels, scale times as high and wide without a size; for a Pillow
        image another one, with the same colour profile. What the guard finds is logged as a warning. Raises OptionError
        for what is not an image and for values that are not finite, UnsuitableBatch for other shapes and dtypes,
        UnwritableImage for a size that is more than the model gives, TilingError where the image cannot be tiled as
        asked, and another BackendError where the model cannot run it.
        """
        check_callable(on_tile, "on_tile")
        check_kind(size, OutputSize, "size", remedy="Give srn_deploy.OutputSize(width=...).")
        large, findings = upscale_array(pixels_of(image), replace(self._setup, on_tile=on_tile), size)
        for sentence in findings:
            _log.warning("%s", sentence)
        return cast(ImageLike, like(image, large))

    def upscale_files(self, source: str | Path | Iterable[str | Path], target: str | Path, *, suffix: str | None = None,
                      on_tile: OnTile = no_progress, on_times: OnTimes = not_timed,
                      **options: Unpack[UpscaleKeywords]) -> Iterator[Outcome]:
        """Upscale a file, several, or all of a folder, images and videos; yield an Outcome for each as it is finished.

        target: a file, or a folder: one that exists, ends in a slash, or is for several sources, each of which keeps
        its name in it. Missing folders are made. suffix: replaces that of every target, as in ".png".

        size: of each result, as in OutputSize(width=1600). keep_times: each result has the modification time of its
        source. frame: which frame of an animation, or page of a TIFF, is upscaled, from 1; then the animations of a
        folder are taken too. name: what results in a folder are called, as in "{stem}_x{scale}{suffix}". The other
        options, and what is yielded, are those of `upscale_jobs`.

        Raises OptionError, UnreadableImage or UnwritableImage at once where the paths do not fit together, and
        OptionError for values that cannot work; no source is ever overwritten.
        """
        wanted = ResultOptions(size=options.pop("size", AS_THE_MODEL_GIVES), frame=options.pop("frame", None),
                               keep_times=options.pop("keep_times", False))
        planned = plan_jobs(source, target, suffix, wanted=wanted, name=options.pop("name", None),
                            factor=self.spec.scale)
        return self.upscale_jobs(planned, on_tile=on_tile, on_times=on_times, **cast(JobKeywords, options))

    def upscale_jobs(self, planned: Iterable[Job], /, *, on_tile: OnTile = no_progress, on_times: OnTimes = not_timed,
                     video: VideoOptions | None = None, on_frame: OnFrame = ignore_frame,
                     **options: Unpack[FileKeywords]) -> Iterator[Outcome]:
        """Upscale the jobs that `plan_jobs` made, or those of them that `pending` leaves, and yield their outcomes.

        An Outcome has its job (source and target) and either an error or what was lost and found on the way; an error
        of one image does not stop the others. Targets appear complete or not at all. Losses are logged as warnings
        before the network runs on the image, findings of the guard afterwards.

        on_tile: called with (tiles done, total tiles) of the current image. on_times: called with a StageTimes when the
        images are done, those between two videos each time: how long they were decoded, computed, encoded and stored,
        and what the network waited for. video: how videos are written. on_frame: called with (frames done, frames) of
        the current video. The options are the fields of FileOptions:

        quality: of JPEG and WebP, 1..100. effort: fast, normal or small, for PNG and lossless WebP. max_megapixels:
        larger images are refused before they are decoded. jobs: how many images are decoded and encoded at once; by
        default as many as there are CPU threads. memory: what the images on their way may take, in bytes or as in "4G";
        by default half of what is free. ledger: of an output that other runs share, open; see `ledger`.

        Raises OptionError for values that cannot work, and MissingPackage at once where a job is a video and PyAV is
        not installed.
        """
        given = _checked_jobs(planned)
        check_callable(on_tile, "on_tile")
        check_callable(on_times, "on_times")
        chosen = FileOptions(**options)
        check_kind(video, (VideoOptions, NoneType), "video", remedy="Give a VideoOptions, or None.")
        check_callable(on_frame, "on_frame")
        setup = replace(self._setup, on_tile=on_tile)

        def pictures(some: Sequence[Job]) -> Iterator[Outcome]:
            return run_jobs(some, setup, chosen, on_times)

        def one_video(job: Job) -> Outcome:
            from srn_deploy.video.jobs import run_video  # here, because images do without PyAV

            return run_video(job, replace(setup, on_tile=no_progress), video or VideoOptions(),
                             max_megapixels=chosen.max_megapixels, on_frame=on_frame)

        return _in_order(given, pictures, one_video, chosen.ledger)

    def ledger(self, planned: Iterable[Job], target: str | Path, *, video: VideoOptions | None = None,
               **options: Unpack[FileKeywords]) -> Ledger:
        """The ledger of an output that several runs share, on this or other machines, each with the same call.

        Open it as a context manager and give it to `upscale_jobs`: each file is then done by one of the runs that are
        alive, what a run leaves that dies is done by another, and what is finished is not done again, until its
        source changes or its result is gone. target: what the jobs were planned for. The options are those of
        `upscale_jobs`, which have to be the same in every run.

        Opening it raises OtherRun where they, the model or the version of srn-deploy are not the same, DamagedLedger
        where it cannot be read, and LedgerError where it cannot be written.
        """
        jobs, out = _checked_jobs(planned), as_path(target, "target")
        check_kind(video, (VideoOptions, NoneType), "video", remedy="Give a VideoOptions, or None.")
        return Ledger(out, identity_of(jobs, self._setup, FileOptions(**options), video or VideoOptions()),
                      is_single=is_single(jobs, out))

    def close(self) -> None:
        """Free the backend and the FP32 fallback."""
        try:
            self._setup.backend.close()
        finally:
            self._setup.fallback.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        self.close()


def _checked_jobs(planned: Iterable[Job]) -> list[Job]:
    given = list(planned) if isinstance(planned, Iterable) else [planned]
    for job in given:
        check_kind(job, Job, "A job", remedy="Give what plan_jobs returned.")
    return given


def _in_order(jobs: Sequence[Job], pictures: Callable[[Sequence[Job]], Iterator[Outcome]],
              one_video: Callable[[Job], Outcome], ledger: Ledger | None) -> Iterator[Outcome]:
    """The outcomes of images and videos; raises MissingPackage at once where there are videos and no PyAV."""
    if any(is_video_name(job.source) for job in jobs):
        need_video_packages()
    if ledger is None:
        return _mixed(jobs, pictures, one_video)
    return run_shared(jobs, lambda some: _mixed(some, pictures, lambda job: run_claimed(job, ledger, one_video)),
                      ledger)


def _mixed(jobs: Sequence[Job], pictures: Callable[[Sequence[Job]], Iterator[Outcome]],
           one_video: Callable[[Job], Outcome]) -> Iterator[Outcome]:
    if not any(is_video_name(job.source) for job in jobs):
        return pictures(jobs)
    from srn_deploy.video.jobs import run_mixed  # here, because images do without PyAV

    return run_mixed(jobs, pictures, one_video)


def load(model: str | Path | None = None, *, device: str = "auto", precision: str = "auto",
         corrections: Corrections = AS_RECOGNISED, tiles: TileOptions | None = None,
         guard: Guard | str = Guard.WARN) -> Upscaler:
    """Open a shipped or downloaded model by name, a checkpoint, graph or engine by path, or the default model.

    device: "auto", "cpu", "cuda" or "openvino"; auto also finds engines that were built from the model. precision:
    "auto", "fp32", "bf16", which OpenVINO computes, or "int8" for INT8 graphs; see `open_model`. What `srn-deploy tune`
    found for the model on this machine is used where the device is "auto". Pixels of 16 bits always run in FP32.
    corrections: what a checkpoint does not say about itself, as in Corrections(options={"scale": 4}). guard: what to do
    about blocks that do not resemble the input: "off", "warn" or "repair". What was opened, and why, is logged at level
    INFO. It runs on as many CPU threads as `cpu_threads` says.

    The caller closes the Upscaler. Raises UnknownModel, OptionError for options that cannot work, and a
    CheckpointError, GraphError, EngineError or BackendError where the model cannot be opened.
    """
    return load_as(model, OpenRequest(device=device, precision=precision, corrections=corrections), tiles, guard=guard)


def load_as(model: str | Path | None, request: OpenRequest, tiles: TileOptions | None = None, *,
            guard: Guard | str = Guard.WARN) -> Upscaler:
    """As `load`, with a request that may say what work is ahead."""
    chosen = Guard.named(guard)
    _check_tiles(tiles)
    opened = open_with_fallback(model, request)
    if opened.tuned is not None:
        tiles = opened.tuned.tiled(tiles)
    return Upscaler(opened.backend, tiles, guard=chosen, fallback=opened.fallback,
                    batching=ONE_BY_ONE if opened.tuned is None else opened.tuned.batching)


def _check_tiles(tiles: TileOptions | None) -> None:
    check_kind(tiles, (TileOptions, NoneType), "tiles", remedy="Give srn_deploy.TileOptions(tile=...).")
