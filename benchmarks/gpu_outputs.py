"""What the GPU report has found so far, in one folder: every row is on disk as soon as it is known."""

from __future__ import annotations

import json
import os
import shutil
import tarfile
from pathlib import Path
from typing import Any

import msgspec

from benchmarks.gpu_plan import PartHistory
from srn_deploy.benchmark.environment import Environment, current_environment, with_gpu
from srn_deploy.benchmark.machine import gpu_state
from srn_deploy.errors import OptionError
from srn_deploy.system.atomic import replacing
from srn_deploy.system.cuda_driver import gpu_name, why_no_gpu
from srn_deploy.system.documents import decode_json, to_builtins
from srn_deploy.system.threads import usable_cores
from srn_deploy.training.run_folder import STATE_FILE

FOUND, RUN = "found.json", "run-"

WORK = "SRN_GPU_WORK"
"""Names the working folder to the processes of the parts."""

OUT = "SRN_GPU_OUT"
"""Names the folder of what was found to them."""


class PartOutcome(msgspec.Struct, kw_only=True):
    """What became of a part in all calls together."""

    rows: list[dict[str, Any]] = []
    obstacle: str = ""
    seconds: float = 0.0
    ended: bool = False
    """It ran to its end, or failed. False: it was cut off, or is running."""
    remaining_s: float | None = None

    @property
    def history(self) -> PartHistory:
        """For the plan."""
        return PartHistory(ended=self.ended, spent_s=self.seconds, remaining_s=self.remaining_s)


class Found(msgspec.Struct, kw_only=True):
    """`found.json`."""

    device: str
    reduced: bool
    """There was no GPU."""
    environment: Environment
    """Of the first call."""
    parts: dict[str, PartOutcome] = {}


def device_title() -> str:
    """What a report on this machine is about: its GPU, or the CPU and why there is no GPU."""
    reason = why_no_gpu()
    return f"the CPU, reduced ({reason})" if reason else gpu_name()


def read_found(folder: Path) -> Found:
    """What was found; raises OptionError where there is nothing, or it is damaged."""
    path = folder / FOUND
    if not path.is_file():
        raise OptionError(f"{folder} holds no {FOUND}.", remedy="Give the folder that a GPU report has written.")
    return decode_json(path.read_bytes(), Found, lambda fault: OptionError(
        f"{path} is not what a GPU report has found ({fault}).", remedy="Choose another --out."))


class Outputs:
    """The folder that is brought back: `found.json`, the record of the paper's protocol, and the trainings."""

    def __init__(self, folder: Path) -> None:
        """Begin, or go on with what the folder holds; raises OptionError for what another device has found."""
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        device = device_title()
        self._found = read_found(folder) if (folder / FOUND).is_file() else Found(
            device=device, reduced=bool(why_no_gpu()),
            environment=with_gpu(current_environment(threads=usable_cores()), gpu_state()))
        if self._found.device != device:
            raise OptionError(f"{folder / FOUND} is of {self._found.device}, and this is {device}.",
                              remedy="Times of two devices do not belong together: choose another --out.")
        self.parts = self._found.parts

    def begin(self, name: str) -> PartOutcome:
        """A part is about to run: what it found before counts until it finds more."""
        return self.parts.setdefault(name, PartOutcome())

    def save(self) -> None:
        """Write everything, whole or not at all."""
        with replacing(self.folder / FOUND) as temporary:
            temporary.write_text(json.dumps(to_builtins(self._found), indent=1) + "\n", encoding="utf-8")

    def histories(self) -> dict[str, PartHistory]:
        """For the plan."""
        return {name: part.history for name, part in self.parts.items()}


def take_over(earlier: Path, out: Path) -> None:
    """Copy what an earlier call brought back into the folder of this one; what is there already is kept."""
    if not earlier.is_dir():
        raise OptionError(f"{earlier} is not a folder.", remedy="Give the folder that an earlier call wrote.")
    out.mkdir(parents=True, exist_ok=True)
    for path in sorted(earlier.iterdir()):
        if path.is_file() and not (out / path.name).exists():
            shutil.copyfile(path, out / path.name)


def pack_run(run: Path, out: Path, *, finished: bool) -> None:
    """Put the folder of a training into an archive, whole or not at all; that of a finished one without its state."""
    with replacing(out / f"{RUN}{run.name}.tar") as temporary, tarfile.open(temporary, "w") as archive:
        for path in sorted(run.iterdir()):
            if path.is_file() and not path.name.startswith(".") and not (finished and path.name == STATE_FILE):
                archive.add(path, arcname=f"{run.name}/{path.name}")


def unpack_runs(out: Path, work: Path) -> None:
    """The folders of trainings as they were packed last, where this machine has not trained since."""
    work.mkdir(parents=True, exist_ok=True)
    for archive in sorted(out.glob(f"{RUN}*.tar")):
        if (work / archive.stem.removeprefix(RUN)).exists():
            continue
        try:
            with tarfile.open(archive) as packed:
                packed.extractall(work, filter="data")
        except (tarfile.TarError, OSError) as error:
            raise OptionError(f"{archive} cannot be unpacked ({error}).",
                              remedy="Remove it: that training then starts again.") from error


def folders() -> tuple[Path, Path]:
    """The working folder and that of what was found, of the process of a part; raises OptionError outside one."""
    named = os.environ.get(WORK), os.environ.get(OUT)
    if named[0] is None or named[1] is None:
        raise OptionError("A part with a working folder runs inside the report.",
                          remedy="Run python -m benchmarks.gpu_report --only NAME.")
    return Path(named[0]), Path(named[1])
