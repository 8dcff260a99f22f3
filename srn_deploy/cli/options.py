"""Options that several commands share."""

from __future__ import annotations

import csv
import functools
import io
import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import click

from srn_deploy.cli import values
from srn_deploy.system.folders import why_no_file, why_not_writable
from srn_deploy.system.installed import need_packages
from srn_deploy.system.threads import MOST_THREADS

device = click.option("--device", type=click.Choice(["auto", "cpu", "cuda", "openvino"]), default="auto",
                      show_default=True,
                      help="Where to run; auto takes an engine in the cache, else a GPU that works, else the CPU, and "
                           "says which and why; upscale takes OpenVINO there for much work. openvino runs a graph on "
                           "the CPU by OpenVINO.")

precision = click.option("--precision", type=click.Choice(["auto", "fp32", "bf16", "int8"]), default="auto",
                         show_default=True,
                         help="What the network computes in; bf16 and int8 run on OpenVINO, int8 for INT8 graphs. auto "
                              "takes BF16 with --device openvino where the CPU computes in it and the model is "
                              "certified in it, and says so.")

lr_pattern = click.option("--lr-pattern", metavar="PATTERN", callback=values.lr_pattern,
                          help="Path of the small image of an original, for names that are not recognised, as in "
                               "{folder}/{stem}_small; {scale} is that of the model.")

as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")

threads = click.option("--threads", type=click.IntRange(min=1, max=MOST_THREADS), metavar="N",
                       help="CPU threads.  [default: $OMP_NUM_THREADS, else the cores that the process may use]")


class _Path(click.Path):
    """A path that is not empty: a variable that is not set would be the current folder."""

    def __init__(self) -> None:
        super().__init__(path_type=Path)

    def convert(self, value: Any, parameter: click.Parameter | None, context: click.Context | None) -> Any:
        """The path; raises BadParameter, which is wrong usage."""
        if value == "":
            self.fail("it is empty; the current folder is a dot.", parameter, context)
        return super().convert(value, parameter, context)


FILE = _Path()


class _Output(_Path):
    """A file or folder for results, refused before the work where something is in its way; missing folders are made."""

    def __init__(self, why_not: Callable[[Path], str]) -> None:
        super().__init__()
        self._why_not = why_not

    def convert(self, value: Any, parameter: click.Parameter | None, context: click.Context | None) -> Any:
        """The path; raises BadParameter, which is wrong usage."""
        path = Path(os.fsdecode(super().convert(value, parameter, context)))
        try:
            reason = "" if path == STDOUT else self._why_not(path)
        except (OSError, ValueError) as error:  # a name that is too long, or with a NUL
            reason = str(error)
        if reason:
            self.fail(f"{path} cannot be written: {reason}.", parameter, context)
        return path


STDOUT = Path("-")

OUTPUT, OUTPUT_FOLDER = _Output(why_no_file), _Output(why_not_writable)


def corrections(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add --set, --value-range, --weights, --network and --trust, which the command receives as one `corrections`."""
    @functools.wraps(command)
    def corrected(*args: Any, settings: tuple[str, ...], value_range: float | None, weights: str | None, trust: bool,
                  network: str | None, **others: Any) -> Any:
        from srn_deploy.spec import Corrections

        given = Corrections.parse(settings, value_range, weights=weights, network=network, trust=trust)
        return command(*args, corrections=given, **others)

    chosen = weights(corrected)
    described = click.option("--set", "settings", multiple=True, metavar="NAME=VALUE", callback=values.settings,
                             help="Correct an option of the network, e.g. residual=true, or give an argument of the "
                                  "class of --network; may be repeated.")(
        click.option("--trust", is_flag=True,
                     help="Use a checkpoint that does not super-resolve a trial image, with what you give and the "
                          "published defaults.")(click.option(
                "--network", metavar="FILE.py:CLASS", callback=values.network_class,
                help="The class of a network that is not built in, also as package.module:CLASS. This executes that "
                     "file: name only code that you trust.")(chosen)))
    return click.option("--value-range", type=values.PositiveNumber(most=65535), metavar="NUMBER",
                        help="The range the weights were trained in, 1 or 255; by default found by trying.")(described)


def _checked_for_videos(context: click.Context, parameter: click.Parameter, given: Any) -> Any:
    """One option of videos as it is, checked by itself, so that an error names it."""
    from srn_deploy.video.options import VideoOptions

    with values.wrong_usage():
        VideoOptions.parse(None, given if parameter.name == "crf" else None,
                           given if parameter.name == "encoder_option" else ())
    return given



def video(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add how videos are written, which the command receives as one `video`."""
    @functools.wraps(command)
    def with_options(*args: Any, codec: str | None, crf: float | None, encoder_option: tuple[str, ...],
                     keep_partial: bool, **others: Any) -> Any:
        from srn_deploy.video.options import VideoOptions

        with values.wrong_usage():
            given = VideoOptions.parse(codec, crf, encoder_option, keep_partial=keep_partial)
        return command(*args, video=given, **others)

    for option in (
            click.option("--keep-partial", is_flag=True,
                         help="After Ctrl-C, write what is finished of a video beside OUT, as one that plays."),
            click.option("--encoder-option", multiple=True, metavar="KEY=VALUE", callback=_checked_for_videos,
                         help="An option of the encoder of videos, e.g. preset=slow; may be repeated."),
            click.option("--crf", type=float, metavar="NUMBER", callback=_checked_for_videos,
                         help="Constant quality of videos, 0 is the best.  [default: that of the encoder in "
                              "docs/video.md]"),
            click.option("--codec", metavar="NAME",
                         help="Encoder of videos, as FFmpeg calls it: libx264, libx265, libsvtav1, libvpx-vp9, "
                              "prores_ks, ffv1, hevc_nvenc, ...  [default: by the suffix of OUT and the frames]")):
        with_options = option(with_options)
    return with_options


weights = click.option("--weights", metavar="NAME",
                       help="Which weights to take from a checkpoint that has several sets.  [default: averaged ones]")


def write_text(path: Path, text: str) -> None:
    """Write a result to a file, completely or not at all; raises OptionError."""
    from srn_deploy.errors import OptionError
    from srn_deploy.system.atomic import replacing

    try:
        with replacing(path) as temporary:
            temporary.write_text(text, encoding="utf-8")
    except OSError as error:
        raise OptionError(f"{path} cannot be written: {error.strerror}.",
                          remedy="Check the folder and its permissions.") from error


def as_csv(rows: Iterable[Sequence[object]]) -> str:
    """Rows as CSV."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()


def need_torch(what: str) -> None:
    """Raise MissingPackage, before anything is imported, if a package of the torch extra is not installed."""
    need_packages(("torch", "onnx", "onnxscript", "safetensors"), what, extra="torch")


def need_plots(wanted: bool) -> None:
    """Raise MissingPackage if a plot is wanted and cannot be drawn."""
    if wanted:
        need_packages(("matplotlib",), "Drawing a plot", extra="torch")


def need_engine_packages(what: str) -> None:
    """Raise MissingPackage for what building an engine needs besides TensorRT itself."""
    need_packages(("onnx",), what, extra="tensorrt-rtx")


def need_triton(what: str) -> None:
    """Raise MissingPackage, before anything is imported, if a package of the triton extra is not installed."""
    need_packages(("tritonclient", "grpc"), what, extra="triton")

