"""Everything that a machine with a GPU can prove, in under ten minutes: one record and one table.

    python -m benchmarks.gpu_report [--records FOLDER] [--minutes 9]

Each section uses what is installed (PyTorch, ONNX Runtime with CUDA, PyCUDA, TensorRT, TensorRT-RTX) and says
what is missing. A section that fails is recorded with its reason, and the others go on. Without a GPU the same
sections run in a reduced form on the CPU, so that the report itself is known to work before the day it counts.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import gpu_sections
from benchmarks.gpu_table import report_table
from benchmarks.inputs import RECORDS
from srn_deploy.cuda_driver import gpu_name, why_no_gpu
from srn_deploy.errors import SrnDeployError
from srn_deploy.records import Record, circumstances, usable_cores

Section = Callable[[gpu_sections.Scale], list[dict[str, Any]]]

SECTIONS: dict[str, Section] = {
    "memory and copies (PyCUDA)": gpu_sections.copies,
    "PyTorch": gpu_sections.pytorch,
    "ONNX Runtime": gpu_sections.onnx_runtime,
    "TensorRT": gpu_sections.tensorrt,
    "TensorRT-RTX": gpu_sections.tensorrt_rtx,
    "tests/gpu": gpu_sections.tests,
}
"""In the order of what matters: where time runs out the last ones are left."""


@dataclass(frozen=True)
class Told:
    """What became of a section."""

    rows: list[dict[str, Any]]
    obstacle: str
    seconds: float

    def as_json(self) -> dict[str, Any]:
        """For the record."""
        return {"rows": self.rows, "obstacle": self.obstacle, "seconds": round(self.seconds, 1)}


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the arguments, run the sections, print the table, write the record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=Path, default=RECORDS, help="folder of the record")
    parser.add_argument("--minutes", type=float, default=9.0, help="after this no section is begun")
    options = parser.parse_args(arguments)
    path = options.records / ("gpu-report-cpu.json" if why_no_gpu() else f"gpu-report-{_file_name(gpu_name())}.json")
    record = report(options.minutes * 60, keep=lambda record: record.save(path))
    print(f"{record.title}\n\n{report_table(record.results)}")
    print(f"{path} written.")


def report(budget_seconds: float, sections: dict[str, Section] = SECTIONS, *,
           keep: Callable[[Record], None] = lambda record: None) -> Record:
    """Run all sections, each protected from the others' errors; `keep` gets the record after each, for crashes."""
    reason, began = why_no_gpu(), time.monotonic()
    scale = gpu_sections.REDUCED if reason else gpu_sections.FULL
    told = circumstances(threads=usable_cores())
    device = f"the CPU, reduced ({reason})" if reason else gpu_name()
    results: dict[str, Any] = {}
    record = Record(kind="gpu-report", title=f"What works on {device}", circumstances=told,
                    results={"device": device, "reduced": bool(reason), "sections": results})
    for name, section in sections.items():
        left = budget_seconds - (time.monotonic() - began)
        results[name] = (_run(section, scale) if left > 0 else Told([], "not begun: the time was up", 0.0)).as_json()
        print(f"{name}: {results[name]['obstacle'] or 'done'} ({results[name]['seconds']} s)", flush=True)
        keep(record)
    return record


def _run(section: Section, scale: gpu_sections.Scale) -> Told:
    began = time.monotonic()
    try:
        return Told(section(scale), "", time.monotonic() - began)
    except SrnDeployError as error:
        return Told([], f"{type(error).__name__}: {error.message}", time.monotonic() - began)
    except Exception as error:  # noqa: BLE001  # a foreign error must not cost the sections after it
        return Told([], f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"[:300],
                    time.monotonic() - began)


def _file_name(device: str) -> str:
    return "".join(letter if letter.isalnum() else "-" for letter in device.lower())


if __name__ == "__main__":
    main()
