"""Which files are read and where their results are written, planned and checked before any work."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import NoneType

from srn_deploy.errors import ImageError, OptionError, UnreadableImage, UnwritableImage
from srn_deploy.image import FORMATS, container_of, files, find_images, image_size, is_image_name, without_debris
from srn_deploy.image.output_size import OutputSize
from srn_deploy.inference.naming import NamePattern, expanded
from srn_deploy.inference.result_options import AS_UPSCALED, ResultOptions
from srn_deploy.inference.video_names import is_video_name, with_written_suffix
from srn_deploy.system.arguments import as_path, check_kind
from srn_deploy.system.folders import why_not_writable

_PATTERN_CHARACTERS = frozenset("*?[")

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Job:
    """One image or video to read and the file to write."""

    source: Path
    target: Path
    wanted: ResultOptions = AS_UPSCALED

    @property
    def size(self) -> OutputSize:
        """What is asked for as the size of the result."""
        return self.wanted.size


def plan_jobs(sources: str | Path | Iterable[str | Path], target: str | Path, suffix: str | None = None, *,
              wanted: ResultOptions = AS_UPSCALED, name: str | None = None, factor: int | None = None) -> list[Job]:
    """One job for each file that is named, and for each image and video of a folder; the tree of folders is kept.

    One file is written to the path `target`, or into it where it is a folder or ends in a slash; the images of one
    folder into `target`. Of several sources each keeps its name in the folder `target`, as `cp` has it. Missing folders
    are made when something is written. A source that does not exist and has `*`, `?` or `[` is a pattern. Where
    `wanted` names a frame, GIF and other animations of a folder are among its images.

    suffix: replaces that of every image, as in ".png"; the name of a single target file is kept. name: what each
    result in a folder is called, as in "{stem}_x{scale}{suffix}" (`NamePattern`); factor: that of the model, for
    {scale}.

    Raises OptionError where sources and target do not fit together, UnreadableImage where there is nothing to read,
    and UnwritableImage where a result would overwrite a source or another result, cannot have a folder, or has no
    image suffix.
    """
    several = sources if isinstance(sources, Iterable) and not isinstance(sources, str | Path) else [sources]
    named = list(expanded(as_path(each, "source") for each in several))
    as_path(target, "target")
    if not named:
        raise OptionError("There is nothing to upscale.", remedy="Give at least one file or folder.")
    check_kind(suffix, (str, NoneType), "suffix", remedy='Give one as in ".png".')
    check_kind(wanted, ResultOptions, "wanted", remedy="Give ResultOptions(size=..., keep_times=...).")
    pattern = None if name is None else NamePattern(name)
    if pattern is not None and pattern.needs_model(wanted.size) and factor is None:
        raise OptionError(f"The name {name!r} has {{scale}}, and no factor is given.", remedy="Give that of the model.")
    if suffix is not None:
        container_of(Path(f"any{suffix}"))
    try:
        also = is_video_name if wanted.frame is None else _is_video_or_animation
        jobs = _with_suffix(_planned(named, target, also), Path(target), suffix)
        if len(jobs) == 1 and jobs[0].target == Path(target):
            if not is_video_name(jobs[0].source):  # of videos the run says which containers are written
                container_of(jobs[0].target)
            _refuse_two_names(jobs[0].target, pattern)
        jobs = [replace(job, wanted=wanted) for job in jobs]
        if pattern is not None:
            jobs = _named(jobs, pattern, 0 if factor is None else factor)
        check_targets(jobs)
    except OSError as error:  # names that are too long
        raise OptionError(f"{error.filename}: {error.strerror}.", remedy="Check the path.") from error
    return jobs


def renamed(jobs: Iterable[Job], pattern: NamePattern, factor: int) -> list[Job]:
    """The jobs with the names that a pattern gives their results, in the same folders; factor: of the model.

    Raises UnwritableImage as `plan_jobs` does.
    """
    new = _named(jobs, pattern, factor)
    check_targets(new)
    return new


def _named(jobs: Iterable[Job], pattern: NamePattern, factor: int) -> list[Job]:
    return [replace(job, target=pattern.filled(job.source, job.target, job.size, factor)) for job in jobs]


def check_targets(jobs: Sequence[Job]) -> None:
    """Raise UnwritableImage if a result would overwrite an image to be read, or another result, or has no folder."""
    _refuse_overwriting(jobs)
    _refuse_shared_targets(jobs)


@dataclass(frozen=True)
class PixelCounts:
    """Pixels of each source, from its header, read when they are asked for."""

    jobs: Sequence[Job]

    def __iter__(self) -> Iterator[int]:
        """What cannot be read yet, such as a pipe, counts as nothing."""
        for job in self.jobs:
            try:
                height, width = image_size(job.source) if job.source.is_file() else (0, 0)
            except (ImageError, OSError):  # the run reports it
                continue
            yield height * width


def _planned(named: Sequence[Path], target: str | Path, also: Callable[[Path], bool]) -> list[Job]:
    """also: which files of a folder are upscaled beside images, by their names."""
    into = Path(target)
    for source in named:
        _check_exists(source)
    if len(named) == 1 and not named[0].is_dir() and not (into.is_dir() or _is_named_as_folder(target)):
        return [Job(source=named[0], target=into)]
    _check_is_for_folder(target, named)
    if len(named) == 1:
        return list(_of_folder(named[0], into, into, also) if named[0].is_dir() else _of_file(named[0], into))
    jobs = [job for source in _distinct(named, into) for job in (
        _of_folder(source, into / _name(source), into, also) if source.is_dir() else _of_file(source, into))]
    if not jobs:
        raise UnreadableImage(f"None of the {len(named)} inputs is or contains an image.",
                              remedy=f"Give files or folders of {FORMATS}.")
    return jobs


def _refuse_two_names(target: Path, pattern: NamePattern | None) -> None:
    if pattern is not None:
        raise OptionError(f"{target} is the name of a file, and {pattern.text!r} another one.",
                          remedy=f"Give a folder as the output, such as {target.parent}{os.sep}, or no pattern.")


def _is_named_as_folder(target: str | Path) -> bool:
    return os.path.basename(os.fspath(target)) in ("", os.curdir, os.pardir)  # noqa: PTH119  # Path drops the slash


def _check_exists(source: Path) -> None:
    if not source.exists():
        is_pattern = _PATTERN_CHARACTERS & set(source.name) and not os.path.islink(source)  # noqa: PTH114
        raise UnreadableImage(f"{source} does not exist.",
                              remedy="No file matches this pattern." if is_pattern else "Check the path.")


def _check_is_for_folder(target: str | Path, named: Sequence[Path]) -> None:
    """Refuse a target that is a file, or has the name of one: a new folder of that name would be a surprise."""
    into = Path(target)
    if len(named) > 1:
        what = f"There are {len(named)} inputs"
    else:
        what = f"{named[0]} is a folder" if named[0].is_dir() else f"{into}{os.sep} would be a folder"
    if into.exists() and not into.is_dir():
        raise OptionError(f"{what}, and {into} is a file.",
                          remedy="Give a folder as the output, last; one that does not exist is made.")
    kind = "an image" if is_image_name(into) else "a video" if is_video_name(into) else ""
    if kind and not (into.is_dir() or _is_named_as_folder(target)):
        raise OptionError(f"{what}, and {into} is the name of {kind}.",
                          remedy=f"Give a folder as the output, or {into}{os.sep} if that is to be its name.")


def _distinct(named: Sequence[Path], into: Path) -> Iterator[Path]:
    """The sources without those given twice, without the folder of the results and without what macOS leaves."""
    known: set[str] = set()
    for source in without_debris(named):
        place = os.path.abspath(source)  # noqa: PTH100  # links stay: they have names of their own
        if os.path.realpath(source) == os.path.realpath(into):
            _log.info("%s is the folder of the results: what it holds is not read", source)
        elif place in known:
            _log.info("%s is given more than once and upscaled once", source)
        else:
            known.add(place)
            yield source


def _name(source: Path) -> str:
    """The last part of a path, also of `..` and `photos/.`."""
    return os.path.basename(os.path.abspath(source))  # noqa: PTH100, PTH119  # as named, links not followed


def _of_file(source: Path, into: Path) -> Iterator[Job]:
    yield Job(source=source, target=into / source.name)


def _is_video_or_animation(path: Path) -> bool:
    return is_video_name(path) or files.is_animation_name(path)


def _of_folder(source: Path, into: Path, results: Path, also: Callable[[Path], bool]) -> Iterator[Job]:
    """Jobs for the files of a folder; results: of an earlier run too, which are not inputs where they lie inside."""
    found = find_images(source, without=results, also=also)
    if not found and into == results:
        raise UnreadableImage(f"{source} contains no image.", remedy=f"Give a folder with files of {FORMATS}.")
    if not found:
        _log.warning("Left out: %s contains no image", source)
    for path in found:
        yield Job(source=path, target=into / path.relative_to(source))


def _with_written_suffix(job: Job) -> Path:
    """The target of a job of a folder, in a format that is written."""
    return with_written_suffix(job.target) if is_video_name(job.source) else files.with_written_suffix(job.target)


def _with_suffix(jobs: list[Job], target: Path, suffix: str | None) -> list[Job]:
    jobs = [replace(job, target=_with_written_suffix(job)) if job.target != target else job for job in jobs]
    single = [job.target for job in jobs if job.target == target and target.suffix and not is_video_name(job.source)]
    if single and suffix is not None and container_of(single[0]) is not container_of(Path(f"any{suffix}")):
        raise OptionError(f"{target} is not a {suffix} file, as --format requires.",
                          remedy="Leave --format out, or the suffix of the output.")
    if suffix is None:
        return jobs
    return [job if job.target in single or is_video_name(job.source) else
            replace(job, target=job.target.with_suffix(suffix)) for job in jobs]


def _refuse_overwriting(jobs: Sequence[Job]) -> None:
    """Raise UnwritableImage if a result would overwrite an image to be read, or has no folder to lie in."""
    originals = {os.path.realpath(job.source) for job in jobs}
    for job in jobs:
        if os.path.realpath(job.target) in originals:
            raise UnwritableImage(f"{job.target} is one of the images to be read and would be overwritten.",
                                  remedy="Choose another output.")
    for folder in dict.fromkeys(Path(os.path.realpath(job.target)).parent for job in jobs):
        if reason := why_not_writable(folder):
            raise UnwritableImage(f"Nothing can be written into {folder}: {reason}.", remedy="Choose another output.")


def _refuse_shared_targets(jobs: Sequence[Job]) -> None:
    """Raise UnwritableImage if one result would overwrite another."""
    first: dict[str, Path] = {}
    for job in jobs:
        other = first.setdefault(os.path.realpath(job.target), job.source)
        if other != job.source:
            raise UnwritableImage(f"{other} and {job.source} would both become {job.target}.",
                                  remedy="Give them different names, or upscale them into different folders.")
