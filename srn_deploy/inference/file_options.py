"""How the files of a run are read and written, and how much of the machine that may take."""

from __future__ import annotations

from dataclasses import dataclass
from types import NoneType
from typing import TypedDict

from srn_deploy.errors import OptionError
from srn_deploy.image import MAX_MEGAPIXELS, Effort, check_megapixels, check_quality
from srn_deploy.inference.ledger import Ledger
from srn_deploy.inference.memory_budget import SHARE_OF_FREE
from srn_deploy.system.arguments import check_kind
from srn_deploy.system.memory import available_bytes, parsed_size
from srn_deploy.system.threads import check_threads


class FileKeywords(TypedDict, total=False):
    """The fields of FileOptions, as keywords of the functions that take them."""

    quality: int | None
    effort: Effort | str | None
    max_megapixels: float
    jobs: int | None
    memory: int | str | None
    ledger: Ledger | None


@dataclass(frozen=True, kw_only=True)
class FileOptions:
    """Raises OptionError for values that cannot work."""

    quality: int | None = None
    """Of JPEG (default 95) and WebP (default lossless), 1..100."""
    effort: Effort | str | None = None
    """Of PNG and lossless WebP: fast, normal (the default) or small."""
    max_megapixels: float = MAX_MEGAPIXELS
    """Larger images are refused before they are decoded."""
    jobs: int | None = None
    """Images that are decoded and encoded at once, each on a thread; None: one for each CPU thread in use."""
    memory: int | str | None = None
    """What images take at most between their files, in bytes or as in "4G"; None: half of what is free at the start.
    An image that takes more is upscaled while there is no other. The network's own memory is not part of it."""
    ledger: Ledger | None = None
    """Of an output that other runs share: files are done that no other run has, and that are not finished."""

    def __post_init__(self) -> None:
        check_quality(self.quality)
        check_kind(self.effort, (str, NoneType), "effort", remedy=f"Use {', '.join(Effort)}.")
        Effort.named(self.effort or Effort.NORMAL)
        check_megapixels(self.max_megapixels)
        check_threads(self.jobs)
        check_kind(self.memory, (int, str, NoneType), "memory", remedy='Give bytes, or text as in "4G".')
        check_kind(self.ledger, (Ledger, NoneType), "ledger", remedy="Give that of Upscaler.ledger, or None.")
        if self.memory is not None and self.most_bytes() == 0:
            raise OptionError(f"A memory of {self.memory} bytes is not possible.", remedy="Give at least one byte.")

    def as_keywords(self) -> FileKeywords:
        """The same as keywords."""
        return FileKeywords(quality=self.quality, effort=self.effort, max_megapixels=self.max_megapixels,
                            jobs=self.jobs, memory=self.memory, ledger=self.ledger)

    def most_bytes(self) -> int | None:
        """What `memory` says in bytes, or its default; None where the system does not say what is free."""
        if isinstance(self.memory, str):
            return parsed_size(self.memory)
        if self.memory is not None:
            return max(0, self.memory)
        free_bytes = available_bytes()
        return None if free_bytes is None else free_bytes // SHARE_OF_FREE


def refuse_ledger(options: FileOptions, where: str) -> None:
    """Raise OptionError for options with a ledger where no model that is opened here does the files.

    where: as in "On a Ray cluster".
    """
    if options.ledger is not None:
        raise OptionError(f"{where} no ledger can be given.",
                          remedy="Leave it out: that of Upscaler.ledger is for Upscaler.upscale_jobs.")
