"""Everything that a machine with a GPU can prove: one record and one table.

    python -m benchmarks.gpu_report [--records FOLDER] [--minutes 9]

Each section uses what is installed (PyTorch, ONNX Runtime with CUDA, PyCUDA, TensorRT, TensorRT-RTX) and says
what is missing. Each runs in a process of its own: one that fails or crashes is recorded with its reason and with
what it had measured, and the others go on. Without a GPU the same sections run in a reduced form on the CPU, so that
the report itself is known to work before the day it counts.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import gpu_sections
from benchmarks.gpu_table import report_table
from benchmarks.inputs import BENCHMARKS, RECORDS
from srn_deploy.benchmark.environment import current_environment
from srn_deploy.benchmark.records import Record
from srn_deploy.errors import SrnDeployError
from srn_deploy.system.cuda_driver import gpu_name, why_no_gpu
from srn_deploy.system.threads import usable_cores

Section = Callable[[gpu_sections.Scale], Iterator[dict[str, Any]]]

SECTIONS: dict[str, Section] = {
    "memory and copies (PyCUDA)": gpu_sections.copies,
    "PyTorch": gpu_sections.pytorch,
    "ONNX Runtime": gpu_sections.onnx_runtime,
    "TensorRT": gpu_sections.tensorrt,
    "TensorRT-RTX": gpu_sections.tensorrt_rtx,
    "tests/gpu": gpu_sections.tests,
}
"""In the order of what matters: where time runs out the last ones are left."""

MOST_SECONDS = 240.0
"""For one section."""


@dataclass(frozen=True)
class SectionOutcome:
    """What became of a section."""

    rows: list[dict[str, Any]]
    obstacle: str
    seconds: float

    def as_json(self) -> dict[str, Any]:
        """For the record."""
        return {"rows": self.rows, "obstacle": self.obstacle, "seconds": round(self.seconds, 1)}


RunSection = Callable[[str, float], SectionOutcome]
"""A section's name and the seconds it may take."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the arguments, run the sections, print the table, write the record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=Path, default=RECORDS, help="folder of the record")
    parser.add_argument("--minutes", type=float, default=9.0, help="for everything together")
    parser.add_argument("--section", choices=list(SECTIONS), help="run this one alone and print its rows as JSON lines")
    options = parser.parse_args(arguments)
    if options.section:
        print_rows(SECTIONS[options.section])
        return
    path = options.records / ("gpu-report-cpu.json" if why_no_gpu() else f"gpu-report-{_file_name(gpu_name())}.json")
    record = report(options.minutes * 60, keep=lambda record: record.save(path))
    print(f"{record.title}\n\n{report_table(record.results)}")
    print(f"{path} written.")


def report(budget_seconds: float, names: Sequence[str] = tuple(SECTIONS), *, run: RunSection | None = None,
           keep: Callable[[Record], None] = lambda record: None) -> Record:
    """Run sections one after the other, each in a process of its own; `keep` gets the record after each."""
    reason, began = why_no_gpu(), time.monotonic()
    environment = current_environment(threads=usable_cores())
    device = f"the CPU, reduced ({reason})" if reason else gpu_name()
    results: dict[str, Any] = {}
    record = Record(kind="gpu-report", title=f"What works on {device}", environment=environment,
                    results={"device": device, "reduced": bool(reason), "sections": results})
    for name in names:
        left = budget_seconds - (time.monotonic() - began)
        became = SectionOutcome([], "not begun: the time was up", 0.0) if left <= 0 else \
            (run or in_a_process)(name, min(left, MOST_SECONDS))
        results[name] = became.as_json()
        print(f"{name}: {became.obstacle or 'done'} ({became.seconds:.1f} s)", flush=True)
        keep(record)
    return record


def in_a_process(name: str, seconds: float, *, command: Sequence[str] = ()) -> SectionOutcome:
    """What a section printed before it ended, however it ended: a crash costs no other section."""
    began = time.monotonic()
    started = command or (sys.executable, "-m", "benchmarks.gpu_report", "--section", name)
    with tempfile.TemporaryFile("w+", encoding="utf-8") as lines:
        try:
            code = subprocess.run(started, cwd=BENCHMARKS.parent, stdout=lines, stderr=subprocess.DEVNULL,
                                  check=False, timeout=seconds).returncode
            obstacle = "" if code == 0 else f"the process ended with {code}"
        except subprocess.TimeoutExpired:
            obstacle = f"ended after {seconds:.0f} s"
        lines.seek(0)
        rows = [json.loads(line) for line in lines if line.startswith("{")]
    obstacles = [row["obstacle"] for row in rows if set(row) == {"obstacle"}]
    return SectionOutcome([row for row in rows if set(row) != {"obstacle"}], (obstacles or [obstacle])[0],
                          time.monotonic() - began)


def print_rows(section: Section) -> None:
    """Each row as it comes; what stands in the way as the last one."""
    scale = gpu_sections.REDUCED if why_no_gpu() else gpu_sections.FULL
    try:
        for row in section(scale):
            print(json.dumps(row), flush=True)
    except SrnDeployError as error:
        print(json.dumps({"obstacle": f"{type(error).__name__}: {error.message}"}), flush=True)
    except Exception as error:  # noqa: BLE001  # a foreign error is a result here
        print(json.dumps({"obstacle": f"{type(error).__name__}: {str(error)[:300]}"}), flush=True)


def _file_name(device: str) -> str:
    return "".join(letter if letter.isalnum() else "-" for letter in device.lower())


if __name__ == "__main__":
    main()
