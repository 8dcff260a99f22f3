"""Which cluster a run uses and how it is divided among workers, and what the workers do."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from types import NoneType

from srn_deploy.errors import OptionError
from srn_deploy.inference.guard import Guard
from srn_deploy.spec import AS_RECOGNISED, Corrections
from srn_deploy.system.arguments import check_kind
from srn_deploy.system.installed import need_packages
from srn_deploy.system.threads import check_threads
from srn_deploy.tiling.windows import TileOptions
from srn_deploy.video.options import VideoOptions

LOCAL, AUTO = "local", "auto"

MOST_WORKERS = 100_000
"""More than any cluster has cores."""

_HOST_AND_PORT = re.compile(r"(?:[\w.-]+|\[[0-9A-Fa-f:.%]+\]):\d{1,5}", re.ASCII)
_REMEDY = "Use local, auto or the address of the head node, as in 10.0.0.1:6379."


def checked_address(address: str) -> str:
    """The address of a cluster; raises OptionError for one that Ray would not take or that does not serve here."""
    check_kind(address, str, "The address of a Ray cluster", remedy=_REMEDY)
    if address.startswith("ray://"):
        raise OptionError(f"{address} is an address for Ray Client, through which workers cannot be used here.",
                          remedy="Give the address of the head node, as in 10.0.0.1:6379, from a machine of the "
                                 "cluster, or run the command there by `ray job submit`.")
    if address not in (LOCAL, AUTO) and not _HOST_AND_PORT.fullmatch(address):
        raise OptionError(f"{address!r} is no address of a Ray cluster.", remedy=_REMEDY)
    return address


@dataclass(frozen=True, kw_only=True)
class RayOptions:
    """Which cluster, and how many workers; raises OptionError for values that cannot work."""

    address: str = LOCAL
    """local starts Ray on this machine for the run; auto takes the cluster that this machine belongs to, or that
    RAY_ADDRESS names; else HOST:PORT of the head node. A program that has called `ray.init` keeps its cluster."""
    workers: int | None = None
    """How many; None: one for each GPU, on clusters without one for each group of cores."""
    cpus: int | None = None
    """CPU threads of each worker, which Ray counts; None: the cores of the smallest node, but at most 8, on nodes with
    GPUs divided among these."""
    gpus: int | None = None
    """GPUs of each worker, 0 or 1; None: 1 where the cluster has GPUs and the device may be one."""

    def __post_init__(self) -> None:
        checked_address(self.address)
        check_threads(self.cpus)
        for name, least, most in (("workers", 1, MOST_WORKERS), ("gpus", 0, 1)):
            value = getattr(self, name)
            check_kind(value, (int, NoneType), name, remedy=f"Give a number from {least}, or None.")
            if value is not None and not least <= value <= most:
                raise OptionError(f"{value} {name} are not possible.", remedy=f"Give {least} to {most}.")


@dataclass(frozen=True, kw_only=True)
class ClusterWork:
    """What every worker opens, as `srn_deploy.load` has it; raises OptionError for values of wrong types.

    A model that is a file is read by every worker from that path: it lies on a file system that all of them see.
    """

    model: str | Path | None = None
    device: str = "auto"
    precision: str = "auto"
    corrections: Corrections = AS_RECOGNISED
    tiles: TileOptions | None = None
    guard: Guard | str = Guard.WARN
    video: VideoOptions | None = None

    def __post_init__(self) -> None:
        check_kind(self.model, (str, Path, NoneType), "model", remedy="Give a name or a path, or None.")
        check_kind(self.corrections, Corrections, "corrections", remedy="Give srn_deploy.Corrections(options=...).")
        check_kind(self.tiles, (TileOptions, NoneType), "tiles", remedy="Give srn_deploy.TileOptions(tile=...).")
        check_kind(self.video, (VideoOptions, NoneType), "video", remedy="Give a VideoOptions, or None.")
        for name in ("device", "precision"):
            check_kind(getattr(self, name), str, name, remedy='Give "auto" to leave it to each machine.')
        Guard.named(self.guard)


def need_ray_packages() -> None:
    """Raise MissingPackage, before anything is imported, where Ray is not installed with what Ray Data needs."""
    need_packages(("ray", "pyarrow", "pandas"), "Upscaling on a Ray cluster", extra="ray", named={"ray": "Ray"})
