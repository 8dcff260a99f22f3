"""Records of what a GPU report has found."""

from __future__ import annotations

from pathlib import Path

from benchmarks.gpu_outputs import Found, read_found
from benchmarks.gpu_paper import RECORD
from srn_deploy.benchmark.records import Record
from srn_deploy.errors import OptionError
from srn_deploy.system.documents import to_builtins

KIND = "gpu-report"


def record_of(found: Found) -> Record:
    """The record of a report."""
    sections = {name: {"rows": part.rows, "obstacle": part.obstacle, "seconds": round(part.seconds, 1)}
                for name, part in found.parts.items()}
    return Record(kind=KIND, title=f"What works on {found.device}", environment=found.environment,
                  results={"device": found.device, "reduced": found.reduced, "sections": to_builtins(sections)})


def collect(folder: Path, records: Path) -> list[Path]:
    """Write the records of a folder that a report brought back among the project's; returns their paths.

    Raises OptionError where there is none, or a reduced report was made, which proves nothing about a GPU.
    """
    found = read_found(folder)
    if found.reduced:
        raise OptionError("The report was made without a GPU: its times say nothing.", remedy="Run it on a GPU.")
    name = "".join(letter if letter.isalnum() else "-" for letter in found.device.lower())
    written = [records / f"gpu-report-{name}.json"]
    record_of(found).save(written[0])
    if (folder / RECORD).is_file():
        written.append(records / f"paper-{name}.json")
        Record.load(folder / RECORD).save(written[1])
    return written
