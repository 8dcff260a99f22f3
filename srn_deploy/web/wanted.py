"""What a visitor chooses for a run, as the command line has it."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from enum import StrEnum

from srn_deploy.errors import OptionError
from srn_deploy.image.output_size import AS_THE_MODEL_GIVES, OutputSize, parse_box
from srn_deploy.inference.guard import Guard
from srn_deploy.system.written_formats import WRITTEN_FORMATS


class SizeKind(StrEnum):
    """How the size of results is chosen; the values are what the page shows."""

    MODEL = "As the model gives it"
    SCALE = "Factor"
    WIDTH = "Width in pixels"
    HEIGHT = "Height in pixels"
    FIT = "Inside a box, as in 1920x1080"
    MAX_SIDE = "Longer side at most, in pixels"


_OPTION = {SizeKind.SCALE: "--scale", SizeKind.WIDTH: "--width", SizeKind.HEIGHT: "--height", SizeKind.FIT: "--fit",
           SizeKind.MAX_SIDE: "--max-side"}


@dataclass(frozen=True, kw_only=True)
class Choice:
    """What a visitor chose; raises OptionError for a size that cannot be."""

    model: str
    size_kind: SizeKind = SizeKind.MODEL
    size_text: str = ""
    """The number or the box; nothing where the model decides."""
    format: str = ""
    """One of WRITTEN_FORMATS; empty: that of each picture."""
    guard: Guard = Guard.WARN

    def __post_init__(self) -> None:
        if self.format and self.format not in WRITTEN_FORMATS:
            raise OptionError(f"There is no format {self.format!r}.",
                              remedy=f"Choose one of {', '.join(WRITTEN_FORMATS)}.")
        _ = self.size

    @property
    def suffix(self) -> str | None:
        """Of every result; None leaves that of its picture."""
        return WRITTEN_FORMATS.get(self.format)

    @property
    def size(self) -> OutputSize:
        """Of the results."""
        kind, text = self.size_kind, self.size_text.strip()
        if kind is SizeKind.MODEL:
            return AS_THE_MODEL_GIVES
        if kind is SizeKind.FIT:
            return OutputSize(fit=parse_box(text))
        number = _number(text, kind)
        if kind is SizeKind.SCALE:
            return OutputSize(scale=number)
        if not number.is_integer():
            raise OptionError(f"{text} is not a whole number of pixels.", remedy="Leave out the fraction.")
        side = int(number)
        return (OutputSize(width=side) if kind is SizeKind.WIDTH else
                OutputSize(height=side) if kind is SizeKind.HEIGHT else OutputSize(max_side=side))

    def command(self, settings: tuple[str, ...] = ()) -> str:
        """The command line that makes the same files; settings: how the model was opened, as options."""
        words = ["srn-deploy", "upscale", "IN", "OUT", "--model", self.model, *settings]
        if self.size_kind is not SizeKind.MODEL:
            words += [_OPTION[self.size_kind], self.size_text.strip()]
        words += ["--format", self.format] if self.format else []
        return shlex.join([*words, "--guard", self.guard.value])


def _number(text: str, kind: SizeKind) -> float:
    try:
        return float(text)
    except ValueError as error:
        raise OptionError(f"{text!r} is not a number, which {kind.value!r} needs.",
                          remedy="Give one, or let the model decide.") from error
