"""`srn-deploy upscale`."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from srn_deploy.cli import file_options, options, result_options, server_option, sharing_options, values
from srn_deploy.system.written_formats import WRITTEN_FORMATS

if TYPE_CHECKING:
    from srn_deploy.cli.running import WayToStart
    from srn_deploy.cli.sharing_options import Sharing
    from srn_deploy.inference.file_options import FileOptions
    from srn_deploy.inference.plan import Job
    from srn_deploy.inference.result_options import ResultOptions
    from srn_deploy.spec import Corrections
    from srn_deploy.video.options import VideoOptions

SUFFIXES = WRITTEN_FORMATS | {"jpg": WRITTEN_FORMATS["jpeg"], "tif": WRITTEN_FORMATS["tiff"]}
"""What --format writes, by the name of the format, or its short name."""

_log = logging.getLogger(__name__)


def _two_at_least(context: click.Context, parameter: click.Parameter, paths: tuple[str, ...]) -> tuple[str, ...]:
    if len(paths) == 1:
        raise click.UsageError("Missing argument 'OUT': a file, or a folder, which is made.")
    if "" in paths:
        raise click.BadParameter("a path is empty; the current folder is a dot.")
    return paths


@click.command(short_help="Upscale images and videos: one, several, or a folder.")
@click.argument("paths", metavar="IN... OUT", nargs=-1, required=True, callback=_two_at_least)
@click.option("--model", help="A model's name, or a checkpoint, graph or engine file.  "
                                 "[default: the shipped default]")
@result_options.results
@options.device
@options.precision
@click.option("--tile", default="auto", show_default=True, metavar="auto|none|N", callback=values.tile_side,
              help="Side of a tile in input pixels; none runs the whole image at once.")
@click.option("--halo", type=click.IntRange(min=0), help="Context around a tile.  [default: measured for the network]")
@file_options.files
@click.option("--guard", type=click.Choice(["off", "warn", "repair"]), default="warn", show_default=True,
              help="What to do about blocks that do not resemble the input, because the network broke there.")
@options.video
@click.option("--format", "suffix", type=click.Choice(list(SUFFIXES), case_sensitive=False),
              callback=lambda *given: SUFFIXES.get(given[2]),
              help="Format of every image; it changes their suffixes.")
@options.threads
@options.corrections
@click.option("--skip-existing", is_flag=True,
              help="Skip images whose output exists: resumes a folder. Outputs that are outdated are named: older than "
                   "the image, of another size than this run gives, or not whole.")
@click.option("--update", is_flag=True, help="As --skip-existing, and replace outdated outputs.")
@sharing_options.sharing
@server_option.server
@options.as_json
def upscale(paths: tuple[str, ...], model: str | None, device: str, precision: str, tile: int | str | None,
            halo: int | None, guard: str, suffix: str | None, skip_existing: bool, update: bool, threads: int | None,
            corrections: Corrections, wanted: ResultOptions, name: str | None, files: FileOptions, video: VideoOptions,
            sharing: Sharing, server: str | None, as_json: bool) -> None:
    """Upscale images and videos: one, several, or all of a folder (the tree is kept).

    OUT is a file, or a folder: one that exists, ends in a slash, or is for several INs, each of which keeps its name in
    it. It is made where it is missing. PNG, JPEG, WebP, TIFF, AVIF and BMP; the suffix of OUT or --format chooses the
    format. Originals are never overwritten. Of a video (MKV, MP4, MOV, WebM, TS, AVI) every frame is upscaled and all
    else is copied; a run that was stopped goes on where it was when the same command is given again.
    """
    from srn_deploy.cli import running
    from srn_deploy.cli.progress import UpscaleRun, show, stopped
    from srn_deploy.cluster.options import ClusterWork
    from srn_deploy.inference.earlier_results import pending
    from srn_deploy.inference.jobs import clear_leftovers
    from srn_deploy.inference.plan import plan_jobs
    from srn_deploy.tiling.windows import TileOptions

    work = ClusterWork(model=model, device=device, precision=precision, corrections=corrections,
                       tiles=TileOptions(tile=tile, halo=halo), guard=guard, video=video)
    whole = plan_jobs(paths[:-1], paths[-1], suffix, wanted=wanted, name=name, factor=0)
    planned = sharing.part_of(whole, paths[-1])
    if not planned and not as_json:
        return
    _check_packages(planned, sharing)
    if not sharing.is_shared:
        clear_leftovers(planned)  # here too: a folder may be finished except for them
    kept = skip_existing or update
    missing = pending(planned)
    pixels = _pixels(whole if sharing.is_shared else missing if skip_existing and not update else planned)
    given = running.Wanted(work=work, threads=threads, files=files, sharing=sharing, server=server, out=paths[-1])
    try:
        with running.opened(given, planned, pixels) as way:
            planned, missing = _with_factor(planned, missing, name, way)
            jobs = planned
            if kept and missing != planned:
                jobs = _left_to_do(planned, way.factor(), update=update)
                if update and sharing.is_shared:
                    sharing.make_again(jobs, planned, paths[-1])
            if not jobs and not as_json:
                return
            _warn_of_what_does_nothing(jobs, files)
            show(UpscaleRun(start=way.start(jobs), is_here=way.is_here, jobs=jobs, files=files,
                            skipped=len(planned) - len(jobs), resume=_how_to_resume(
                                sharing, update=update, all_are_ours=kept or missing == planned)), as_json=as_json)
    except KeyboardInterrupt:  # while the model is opened: `show` ends otherwise
        raise stopped(0, len(missing if kept else planned), _how_to_resume(
            sharing, update=update, all_are_ours=kept or missing == planned)) from None


def _check_packages(planned: list[Job], sharing: Sharing) -> None:
    """Raise MissingPackage, before a model is opened, where there are videos and PyAV is missing, or for Ray."""
    from srn_deploy.cluster.options import need_ray_packages
    from srn_deploy.inference.video_names import is_video_name
    from srn_deploy.video.files import need_video_packages

    if any(is_video_name(job.source) for job in planned):
        need_video_packages()
    if sharing.ray is not None:
        need_ray_packages()



def _warn_of_what_does_nothing(jobs: list[Job], files: FileOptions) -> None:
    from srn_deploy.inference.jobs import formats_without_effort, formats_without_quality

    if files.quality is not None and (lossless := formats_without_quality(jobs)):
        _log.warning("--quality does nothing to %s, written without loss.", ", ".join(lossless))
    if files.effort is not None and (others := formats_without_effort(jobs, files.quality)):
        _log.warning("--effort does nothing to %s.", ", ".join(others))


def _how_to_resume(sharing: Sharing, *, update: bool, all_are_ours: bool) -> str:
    if sharing.is_shared:
        return "Continue with the same command."
    if all_are_ours:
        return f"Continue with {'--update' if update else '--skip-existing'}."
    return "Some outputs existed before this run: run it again without --skip-existing."


def _with_factor(planned: list[Job], missing: list[Job], name: str | None,
                 way: WayToStart) -> tuple[list[Job], list[Job]]:
    """The jobs, and those without an output, under the names that only the factor of the model completes."""
    from srn_deploy.inference.earlier_results import pending
    from srn_deploy.inference.naming import NamePattern
    from srn_deploy.inference.plan import renamed

    if name is None or not planned or not NamePattern(name).needs_model(planned[0].wanted.size):
        return planned, missing
    named = renamed(planned, NamePattern(name), way.factor())
    return named, pending(named)


def _pixels(jobs: list[Job]) -> Iterator[int]:
    """Pixels of each image and of each frame of a video, from headers, read when they are asked for."""
    from srn_deploy.inference.plan import PixelCounts
    from srn_deploy.inference.video_names import is_video_name

    videos = [job.source for job in jobs if is_video_name(job.source)]
    yield from PixelCounts([job for job in jobs if not is_video_name(job.source)])
    if videos:
        from srn_deploy.video.scan import pixel_counts

        yield from pixel_counts(videos)


def _left_to_do(planned: list[Job], scale: int, *, update: bool) -> list[Job]:
    """Say which outputs are outdated; the jobs without an output, and with `update` those of outdated ones."""
    from srn_deploy.inference.earlier_results import compare_with_sources

    found = compare_with_sources(planned, scale)
    for sentence in found.sentences():
        if update:
            _log.info("%s: replaced", sentence)
        else:
            _log.warning("%s. Replace with --update", sentence)
    jobs = found.to_do(planned) if update else list(found.missing)
    if not jobs:
        outdated = f", {len(found.outdated)} of them outdated" if found.outdated else ""
        click.echo(f"Nothing to do: {len(planned)} of {len(planned)} outputs exist{outdated}.", err=True)
    return jobs
