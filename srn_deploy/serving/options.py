"""How models are served by Triton, as `srn-deploy triton-repository` is asked to."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

from srn_deploy.errors import OptionError
from srn_deploy.image import check_megapixels
from srn_deploy.inference.guard import Guard
from srn_deploy.spec import AS_RECOGNISED, Corrections
from srn_deploy.system.threads import check_threads
from srn_deploy.tiling.windows import TileOptions

MOST_MEGAPIXELS = 16.0
"""Of an image by default. Four times as large, with alpha and 16 bits, it is just what a gRPC message holds."""

MOST_INSTANCES = 64

MOST_VERSIONS = 1000

_VERSION = re.compile(r"\d+(\.\d+){1,4}")


def parsed_version(text: str) -> tuple[int, ...]:
    """The version of a library as numbers, as in "1.22.0"; raises OptionError."""
    if not _VERSION.fullmatch(text):
        raise OptionError(f"{text!r} is not a version.", remedy="Write it as in 1.22.0.")
    return tuple(int(number) for number in text.split("."))


@dataclass(frozen=True, kw_only=True)
class InstanceOptions:
    """Where copies of a model run. Raises OptionError for values that cannot work."""

    gpus: tuple[int, ...] = ()
    """Their numbers, as the server counts them; empty: on the CPU."""
    count: int = 1
    """Copies on each GPU, or on the CPU."""
    threads: int | None = None
    """CPU threads of each copy; None: all that the server may use, divided by the copies."""

    @property
    def copies(self) -> int:
        """On all devices together."""
        return self.count * max(1, len(self.gpus))

    def __post_init__(self) -> None:
        _check_count("instances", self.count, MOST_INSTANCES)
        check_threads(self.threads)
        if len(set(self.gpus)) != len(self.gpus) or any(number < 0 for number in self.gpus):
            raise OptionError(f"GPUs {', '.join(map(str, self.gpus))} are not possible.",
                              remedy="Give each number once, from 0 on.")


@dataclass(frozen=True, kw_only=True)
class QueueOptions:
    """What becomes of requests that have to wait. Raises OptionError for values that cannot work.

    By default all wait as long as it takes. A limit has a price: Triton's queue with limits hands out the next request
    when another comes or half a second later, and not when the model is free.
    """

    most_waiting: int | None = None
    """More requests are refused at once; None: none is."""
    most_wait_s: float | None = None
    """A request that waited longer is refused; None: none is."""

    @property
    def is_limited(self) -> bool:
        """Whether a request can be refused because of the queue."""
        return self.most_waiting is not None or self.most_wait_s is not None

    def __post_init__(self) -> None:
        if self.most_waiting is not None:
            _check_count("waiting requests", self.most_waiting, 100_000)
        if self.most_wait_s is not None and not 0 < self.most_wait_s <= 86_400:
            raise OptionError(f"A wait of {self.most_wait_s} s is not possible.",
                              remedy="Give seconds, more than 0 and at most a day.")


@dataclass(frozen=True, kw_only=True)
class ServeOptions:
    """The options of `srn-deploy triton-repository`. Raises OptionError for values that cannot work."""

    device: str = "auto"
    precision: str = "auto"
    corrections: Corrections = AS_RECOGNISED
    tiles: TileOptions = field(default_factory=TileOptions)
    guard: Guard = Guard.WARN
    """Where a request does not say."""
    max_megapixels: float = MOST_MEGAPIXELS
    """Larger images are refused."""
    instances: InstanceOptions = field(default_factory=InstanceOptions)
    queue: QueueOptions = field(default_factory=QueueOptions)
    versions: int = 1
    """How many of the newest versions of a model the server keeps ready."""
    environment: Path | None = None
    """The Python environment with srn-deploy in which the server runs the model; None: the first one in its PATH."""
    onnxruntime: str | None = None
    """The version of the server's ONNX Runtime backend, to serve the bare deploy graph too."""
    tensorrt: str | None = None
    """The version of TensorRT in the server's TensorRT backend, to serve the bare engine too."""

    def __post_init__(self) -> None:
        check_megapixels(self.max_megapixels)
        _check_count("versions", self.versions, MOST_VERSIONS)
        for version in (self.onnxruntime, self.tensorrt):
            if version is not None:
                parsed_version(version)
        if self.corrections.network is not None:
            raise OptionError("A network of your own class is not served as a checkpoint.",
                              remedy="Make a graph of it with `srn-deploy export --network`, and serve that.")


def _check_count(name: str, count: int, most: int) -> None:
    if not 1 <= count <= most:
        raise OptionError(f"{count} {name} are not possible.", remedy=f"Give 1 to {most}.")
