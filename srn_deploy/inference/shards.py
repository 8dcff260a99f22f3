"""Which part of the files of a run is done here, where several machines divide them beforehand."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from srn_deploy.errors import OptionError
from srn_deploy.inference.plan import Job
from srn_deploy.system.arguments import check_kind

MOST_SHARDS = 1_000_000
"""More than one for each file that a run has."""

_FORM = re.compile(r"(\d{1,9})/(\d{1,9})", re.ASCII)
_REMEDY = "Write it as in 2/8, the second of eight; they are counted from 1."


@dataclass(frozen=True)
class Shard:
    """One of `count` parts of all files, counted from 1. Raises OptionError for one that there is not.

    A file belongs to a part by the SHA-256 of its path relative to the folder it is in, so that every run on every
    machine finds the same parts, the parts together are the whole, and a new file moves no other one.
    """

    number: int
    count: int

    def __post_init__(self) -> None:
        check_kind(self.number, int, "number", remedy=_REMEDY)
        check_kind(self.count, int, "count", remedy=_REMEDY)
        if not 1 <= self.number <= self.count <= MOST_SHARDS:
            raise OptionError(f"There is no shard {self}.", remedy=_REMEDY)

    @classmethod
    def parse(cls, text: str) -> Self:
        """From text as in "2/8"; raises OptionError."""
        check_kind(text, str, "A shard", remedy=_REMEDY)
        found = _FORM.fullmatch(text)
        if found is None:
            raise OptionError(f"{text!r} is no shard.", remedy=_REMEDY)
        return cls(int(found[1]), int(found[2]))

    def __str__(self) -> str:
        return f"{self.number}/{self.count}"

    def has(self, name: str) -> bool:
        """Whether a file is in this part; name: its relative path with slashes."""
        digest = hashlib.sha256(os.fsencode(name)).digest()
        return int.from_bytes(digest[:8]) % self.count == self.number - 1

    def of(self, jobs: Iterable[Job], out: str | Path) -> list[Job]:
        """Those of the jobs that belong to this part, in their order; out: the folder or file that they were planned
        for."""
        return [job for job in jobs if self.has(path_within(job, Path(out)))]


def path_within(job: Job, out: Path) -> str:
    """The path of a source relative to the folder it was found in, with slashes.

    It is that of its result in the folder `out`, with the name of the source: formats and patterns of names change
    nothing.
    """
    return (within(job.target, out).parent / job.source.name).as_posix()


def within(target: Path, out: Path) -> Path:
    """The path of a result relative to the folder `out`, or its name where `out` is the result itself."""
    return target.relative_to(out) if target != out and target.is_relative_to(out) else Path(target.name)


def is_single(jobs: Sequence[Job], out: Path) -> bool:
    """Whether the one result is written to the path `out` itself."""
    return len(jobs) == 1 and jobs[0].target == out
