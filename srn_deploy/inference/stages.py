"""What a pipeline does with each task, in four stages, and what comes of it."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

AnyTask = TypeVar("AnyTask")
AnyDecoded = TypeVar("AnyDecoded")
Large = TypeVar("Large")
Encoded = TypeVar("Encoded")

Sentences = tuple[str, ...]
Reserve = Callable[[int], bool]
"""Asks for bytes; False: not now."""


@dataclass(frozen=True, kw_only=True)
class Computed(Generic[Large]):
    """What the network made of an image."""

    large: Large | None
    """None where it has been written already."""
    large_bytes: int = 0
    """What it takes until it is encoded."""
    losses: Sentences = ()
    findings: Sentences = ()


@dataclass(frozen=True)
class Group:
    """Tasks with equal groups may be computed together."""

    key: Hashable
    most: int
    """Of them, at once."""


@dataclass(frozen=True, kw_only=True)
class Grouping(Generic[AnyTask, AnyDecoded, Large]):
    """How several tasks are computed together, where the network gains by it."""

    most: int
    """Of any group: so many are decoded ahead."""
    group_of: Callable[[AnyTask, AnyDecoded], Group | None]
    """On a worker; None: it is computed alone. An exception is the end of that task alone."""
    compute: Callable[[Sequence[tuple[AnyTask, AnyDecoded]]], Sequence[Computed[Large] | Exception]]
    """On the consumer's thread, for two or more tasks of one group: what became of each."""


@dataclass(frozen=True, kw_only=True)
class Stages(Generic[AnyTask, AnyDecoded, Large, Encoded]):
    """What is done with each task; any exception of a stage is the end of that task alone."""

    decode: Callable[[AnyTask, Reserve], AnyDecoded | None]
    """On a worker. It asks for the memory of the task before it takes it, and returns None where there is none now:
    then it is called again."""
    compute: Callable[[AnyTask, AnyDecoded], Computed[Large]]
    """On the consumer's thread. Exceptions that `is_error` does not know end the run."""
    encode: Callable[[AnyTask, Large], Encoded]
    """On a worker."""
    encoded_bytes: Callable[[Encoded], int]
    store: Callable[[AnyTask, Encoded], Sentences]
    """On a thread that only writes; returns what was lost."""
    is_error: Callable[[Exception], bool]
    """Whether an exception says something about the task; all others are raised."""
    ends_run: Callable[[Exception], bool]
    """Whether tasks that were not started would fail with this error too."""
    most_ahead: int = 0
    """So many tasks are decoded ahead at least, because the network works on all of them."""
    grouping: Grouping[AnyTask, AnyDecoded, Large] | None = None
    """None: every task is computed alone."""


@dataclass(frozen=True, kw_only=True)
class Finished(Generic[AnyTask]):
    """The end of a task."""

    task: AnyTask
    error: Exception | None = None
    losses: Sentences = ()
    findings: Sentences = ()
