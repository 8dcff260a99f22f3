"""What results are called: patterns such as `{stem}_x{scale}{suffix}`; and which files a pattern of inputs matches."""

from __future__ import annotations

import glob
import os
import string
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from srn_deploy.errors import OptionError
from srn_deploy.image.output_size import OutputSize
from srn_deploy.system.arguments import check_kind

_STEM, _SCALE, _SUFFIX = "stem", "scale", "suffix"
_FIELDS = (_STEM, _SCALE, _SUFFIX)
_REMEDY = ("Write it as in {stem}_x{scale}{suffix}: {stem} is the name of the image without its suffix, {scale} the "
           "factor of its size, {suffix} that of the result with its dot.")
_NOT_IN_NAMES = frozenset('/\\\0' + ('<>:"|?*' if os.name == "nt" else ""))


@dataclass(frozen=True)
class NamePattern:
    """The name of a result with fields for what differs; raises OptionError for one that cannot be filled in.

    It names a file in the folder of the results and nothing else: it has no slash, and ends in `{suffix}`, because the
    suffix says the format.
    """

    text: str

    def __post_init__(self) -> None:
        check_kind(self.text, str, "name", remedy=_REMEDY)
        try:
            parts = list(string.Formatter().parse(self.text))
        except ValueError as error:
            raise OptionError(f"The name {self.text!r} cannot be read: {error}.", remedy=_REMEDY) from error
        for _, field, form, conversion in parts:
            if field is not None and (field not in _FIELDS or form or conversion):
                raise OptionError(f"The name {self.text!r} has the field {{{field}}}, which there is not, or in a form "
                                  "that there is not.", remedy=_REMEDY)
        if wrong := sorted(_NOT_IN_NAMES & set(self.text)):
            raise OptionError(f"The name {self.text!r} would leave the folder of the results, or is none: it has "
                              f"{wrong[0]!r}.", remedy="Name the folder as OUT, and the file alone in the pattern.")
        if not parts or parts[-1][1] != _SUFFIX or [part[1] for part in parts].count(_SUFFIX) > 1:
            raise OptionError(f"The name {self.text!r} does not end in {{suffix}}, which says the format.",
                              remedy=f"{_REMEDY} --format changes the suffix.")
        if len(parts) == 1 and not parts[0][0]:
            raise OptionError(f"The name {self.text!r} is a suffix alone.", remedy=_REMEDY)

    @property
    def has_scale(self) -> bool:
        """Whether the factor is part of the name."""
        return any(field == _SCALE for _, field, _, _ in string.Formatter().parse(self.text))

    def needs_model(self, size: OutputSize) -> bool:
        """Whether only the model says the factor; raises OptionError where it differs from image to image."""
        if not self.has_scale:
            return False
        if not (size.is_free or size == OutputSize(scale=size.scale)):
            raise OptionError(f"The name {self.text!r} has {{scale}}, which differs from image to image where a side "
                              "is asked for.", remedy="Leave {scale} out, or ask for a factor.")
        return size.scale is None

    def filled(self, source: Path, target: Path, size: OutputSize, factor: int) -> Path:
        """The path of a result in the folder and with the suffix of `target`; factor: of the model."""
        scale = factor if size.scale is None else size.scale
        return target.with_name(self.text.format(stem=source.stem, scale=f"{scale:g}", suffix=target.suffix))


def expanded(named: Iterable[Path]) -> Iterator[Path]:
    """Paths with those that are patterns, as a shell writes them, replaced by what they match, sorted.

    A file that exists is no pattern, whatever its name; a pattern that matches nothing stays. `**` stands for any
    number of folders. What is hidden is not matched.
    """
    for path in named:
        matches = [] if os.path.lexists(path) else sorted(glob.glob(str(path), recursive=True))  # noqa: PTH207  # hidden
        yield from map(Path, matches) if matches else (path,)
