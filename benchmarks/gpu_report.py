"""Everything that a machine with a GPU can prove, in the minutes that there are, most valuable first.

    python -m benchmarks.gpu_report --minutes 25 [--out FOLDER] [--earlier FOLDER]

It prints a plan, then runs the parts of `gpu_parts`, each in a process of its own: one that fails or crashes is
recorded with its reason and with what it had measured, and the others go on. Every row is written to FOLDER/found.json
as it comes, and a training's state is packed every two minutes, so that a call which is cut off brings back what it
had. A further call does what is missing, trainings from where they were; on a new machine give it with --earlier the
folder that the last one brought back. Without a GPU the same parts run in a reduced form on the CPU. See
docs/benchmarks.md.

    python -m benchmarks.gpu_report --collect FOLDER

makes records of what a folder holds; `python -m benchmarks.render` shows them.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from benchmarks import gpu_sections
from benchmarks.gpu_outputs import OUT, WORK, Outputs, take_over, unpack_runs
from benchmarks.gpu_parts import BY_NAME, PARTS
from benchmarks.gpu_plan import PartCost, PlannedPart, plan, plan_table
from benchmarks.gpu_process import PartProcess, StopRequest, print_row, stop_requests
from benchmarks.gpu_records import collect
from benchmarks.gpu_table import report_table
from benchmarks.gpu_training import DATA
from benchmarks.inputs import BENCHMARKS, RECORDS
from srn_deploy.errors import SrnDeployError
from srn_deploy.system.cuda_driver import why_no_gpu

DEFAULT_OUT = BENCHMARKS.parent / "build/gpu-report"

CUT_OFF = "cut off"

RunPart = Callable[[str, float, StopRequest], None]
"""Runs a part by its name for at most some seconds, or until it is to stop."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Read the arguments, plan, run, print the table; returns the exit code."""
    options = _parser().parse_args(arguments)
    if options.part:
        return print_rows(options.part)
    if options.collect:
        for path in collect(options.collect, options.records):
            print(f"{path} written.")
        return 0
    out, work = options.out.absolute(), options.work.absolute()
    if options.earlier:
        take_over(options.earlier, out)
    outputs = Outputs(out)
    unpack_runs(out, work)
    os.environ.update({OUT: str(out), WORK: str(work)})
    if options.data:
        os.environ[DATA] = os.pathsep.join(str(path.absolute()) for path in options.data)
    costs = [part.cost for part in PARTS if not options.only or part.name in options.only]
    print(plan_table(plan(costs, outputs.histories(), 60 * options.minutes), outputs.histories()), flush=True)
    if options.plan:
        return 0
    return report(outputs, costs, 60 * options.minutes)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu_report", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    out = os.environ.get("OUT")
    parser.add_argument("--minutes", type=float, default=9.0, help="for everything in this call")
    parser.add_argument("--out", type=Path, default=Path(out) if out else DEFAULT_OUT,
                        help="folder of what is found; default: $OUT, else build/gpu-report")
    parser.add_argument("--earlier", type=Path, metavar="FOLDER", help="go on with what an earlier call brought back")
    parser.add_argument("--work", type=Path, default=BENCHMARKS.parent / "build/gpu-work",
                        help="working folder, which need not be brought back")
    parser.add_argument("--data", type=Path, action="append", help="folder of training images; may be repeated")
    parser.add_argument("--only", action="append", choices=list(BY_NAME), help="run this part; may be repeated")
    parser.add_argument("--plan", action="store_true", help="print the plan and do nothing")
    parser.add_argument("--records", type=Path, default=RECORDS, help="folder of the records")
    parser.add_argument("--collect", type=Path, metavar="FOLDER", help="make records of what a folder holds")
    parser.add_argument("--part", choices=list(BY_NAME), help="run this one in this process and print its rows as JSON")
    return parser


def report(outputs: Outputs, costs: Sequence[PartCost], budget_s: float, run: RunPart | None = None) -> int:
    """Run what fits into the budget, and plan anew after each part; returns 0, or 128 and the signal that ended it."""
    deadline, tried = time.monotonic() + budget_s, set[str]()
    run_part = run or (lambda name, seconds, stop: run_in_a_process(outputs, name, seconds, stop))
    with stop_requests() as stop:
        while stop.number is None and (part := _next(outputs, [cost for cost in costs if cost.name not in tried],
                                                     deadline - time.monotonic())) is not None:
            tried.add(part.name)
            print(f"{part.name}: begun, up to {part.seconds:.0f} s", flush=True)
            run_part(part.name, part.seconds, stop)
            became = outputs.parts[part.name]
            print(f"{part.name}: {became.obstacle or 'done'} ({became.seconds:.1f} s)", flush=True)
    outputs.save()
    print(report_table({"sections": {name: {"rows": part.rows, "obstacle": part.obstacle}
                                     for name, part in outputs.parts.items()}}))
    if stop.number is None:
        return 0
    print(f"Ended by signal {stop.number}: what was found is in {outputs.folder}.", flush=True)
    return 128 + stop.number


def _next(outputs: Outputs, costs: Sequence[PartCost], left_s: float) -> PlannedPart | None:
    return next((part for part in plan(costs, outputs.histories(), left_s) if part.seconds), None)


def run_in_a_process(outputs: Outputs, name: str, seconds: float, stop: StopRequest, *,
                     command: Sequence[str] = ()) -> None:
    """Run a part for at most some seconds; its rows are written as they come, however its process ends.

    A part that ends by itself is finished; one whose process fails is recorded with its last words, and is not run
    again; one that is cut off is gone on with by a later call.
    """
    part, rows = outputs.begin(name), list[dict[str, Any]]()

    def on_row(row: dict[str, Any]) -> None:
        if set(row) == {"remaining_s"}:
            part.remaining_s = row["remaining_s"]
        elif set(row) == {"obstacle"}:
            part.obstacle = row["obstacle"]
        else:
            rows.append(row)
            if len(rows) >= len(part.rows):  # what an earlier call found is kept until this one has as much
                part.rows = rows
        outputs.save()

    part.obstacle = CUT_OFF  # until it is known better: whatever ends this process now
    process = PartProcess(command or (sys.executable, "-m", "benchmarks.gpu_report", "--part", name),
                          BENCHMARKS.parent)
    ended = process.run(seconds, on_row, stop)
    part.seconds += process.seconds
    part.ended = ended.code is not None
    if part.ended and part.obstacle == CUT_OFF:
        part.obstacle = "" if ended.code == 0 else f"the process ended with {ended.code}: {ended.last_words}"
    elif not part.ended:
        part.obstacle = f"{CUT_OFF} after {process.seconds:.0f} s"
    outputs.save()


def print_rows(name: str) -> int:
    """Each row of a part as it comes; what stands in the way as the last one."""
    scale = gpu_sections.REDUCED if why_no_gpu() else gpu_sections.FULL
    try:
        for row in BY_NAME[name].run(scale):
            print_row(row)
    except SrnDeployError as error:
        print_row({"obstacle": f"{type(error).__name__}: {error.message}"})
    except Exception as error:  # noqa: BLE001  # a foreign error is a result here
        print_row({"obstacle": f"{type(error).__name__}: {str(error)[:300]}"})
    return 0


if __name__ == "__main__":
    sys.exit(main())
