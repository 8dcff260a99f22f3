"""Time and peak memory of a whole process, as the operating system accounts for it when the process ends.

Run as a file it is the launcher: a process as small as Python can be. Linux counts towards a child's
peak what its parent held when it was started, so a large parent must not start it itself.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

RSS_UNIT_BYTES = 1 if sys.platform == "darwin" else 1024
"""Of ru_maxrss, see getrusage(2) of either system."""


@dataclass(frozen=True, kw_only=True)
class ProcessRun:
    """One process from its start to its end."""

    seconds: float
    """Wall clock."""
    cpu_seconds: float
    """User and system time of all its threads."""
    peak_bytes: int
    """The largest resident set it ever had."""


def run_process(command: Sequence[str | Path], *, threads: int) -> ProcessRun:
    """Run a command that must succeed, with its libraries held to a number of threads.

    Raises SrnDeployError with what the command said when it fails.
    """
    from srn_deploy.errors import SrnDeployError  # here, because the launcher sees no library but Python's own

    limits = {"OMP_NUM_THREADS": str(threads), "OPENBLAS_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads)}
    with tempfile.TemporaryDirectory() as folder:
        result = Path(folder) / "result.json"
        launcher = [sys.executable, "-I", "-S", __file__, str(result)]
        ended = subprocess.run([*launcher, *map(str, command)], env={**os.environ, **limits}, capture_output=True,
                               text=True, check=False)
        if ended.returncode:
            raise SrnDeployError(f"A measured command failed: {' '.join(map(str, command))}\n{ended.stderr.strip()}",
                                 remedy="Run it by itself and mend what it says.")
        return ProcessRun(**json.loads(result.read_text()))


def launch(result: Path, command: Sequence[str]) -> int:
    """Run the command, write its figures, return its exit code. Unix only: Windows has no wait4."""
    began = time.perf_counter()
    identity = os.posix_spawnp(command[0], list(command), os.environ)
    _, status, usage = os.wait4(identity, 0)
    seconds = time.perf_counter() - began
    figures: Mapping[str, float] = {"seconds": seconds, "cpu_seconds": usage.ru_utime + usage.ru_stime,
                                    "peak_bytes": usage.ru_maxrss * RSS_UNIT_BYTES}
    result.write_text(json.dumps(figures))
    return os.waitstatus_to_exitcode(status)


if __name__ == "__main__":
    sys.exit(launch(Path(sys.argv[1]), sys.argv[2:]))
