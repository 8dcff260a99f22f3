"""Options for how files are read and written, which a command receives as one `files`."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import click

from srn_deploy.cli import values
from srn_deploy.system.threads import MOST_THREADS

EFFORTS = ("fast", "normal", "small")
"""`image.effort` has the same; importing it would load numpy for the help text."""


def files(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add --quality, --effort, --max-megapixels, --jobs and --memory."""
    @functools.wraps(command)
    def with_files(*args: Any, quality: int | None, effort: str | None, max_megapixels: float | None, jobs: int | None,
                   memory: int | None, **others: Any) -> Any:
        from srn_deploy.image import MAX_MEGAPIXELS
        from srn_deploy.inference.file_options import FileOptions

        given = FileOptions(quality=quality, effort=effort, max_megapixels=max_megapixels or MAX_MEGAPIXELS, jobs=jobs,
                            memory=memory)
        return command(*args, files=given, **others)

    for option in reversed((
            click.option("--quality", type=click.IntRange(1, 100),
                         help="Of JPEG (default 95), WebP (default lossless) and AVIF (default 95; 100 is lossless)."),
            click.option("--effort", type=click.Choice(EFFORTS),
                         help="Time for a smaller file of the same pixels, of PNG and lossless WebP.  "
                              "[default: normal]"),
            click.option("--max-megapixels", type=values.PositiveNumber(), metavar="NUMBER",
                         help="Refuse larger images before decoding them.  [default: 200]"),
            click.option("--jobs", type=click.IntRange(min=1, max=MOST_THREADS), metavar="N",
                         help="Images that are decoded and encoded at once.  [default: one for each CPU thread]"),
            click.option("--memory", metavar="SIZE", callback=values.size,
                         help="What images may take on their way from file to file, as in 4G; one that takes more is "
                              "upscaled while there is no other, and one whose bands take more is refused. The "
                              "network's memory is not part of it.  "
                              "[default: half of what is free]"))):
        with_files = option(with_files)
    return with_files
