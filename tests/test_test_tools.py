"""The tools of the tests themselves: commands in forked processes, exports shared by a whole run, Ctrl-C."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from srn_deploy.graph.export import ExportOptions, export_graph
from srn_deploy.spec import PixelType
from tests import commands
from tests.networks import seeded_network

SMALL: dict[str, Any] = {"scale": 2, "channels": 8, "blocks": 1}


def test_a_command_has_its_own_folder_environment_streams_and_exit_code(tmp_path: Path) -> None:
    code = "import os, sys; print(os.getcwd(), sorted(os.environ)); print(sys.argv[1], file=sys.stderr); sys.exit(3)"
    done = commands.python(code, "word", cwd=tmp_path, environment={"ONLY": "this"})
    assert (done.returncode, done.stderr) == (3, "word\n")
    assert done.stdout == f"{tmp_path} ['ONLY']\n"


@pytest.mark.parametrize(("code", "status", "end"), [
    ("1 / 0", 1, "ZeroDivisionError: division by zero\n"), ("raise SystemExit('no')", 1, "no\n"),
    ("import warnings; warnings.warn('w')", 1, "UserWarning: w\n"),
    ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", -signal.SIGKILL, "")])
def test_code_that_fails_ends_as_it_would_in_a_fresh_interpreter(code: str, status: int, end: str) -> None:
    done = commands.python(code)
    fresh = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == fresh.returncode == status
    assert done.stderr.endswith(end)
    assert fresh.stderr.endswith(end)


def test_a_command_that_takes_too_long_is_killed() -> None:
    with pytest.raises(subprocess.TimeoutExpired):
        commands.python("import time; time.sleep(60)", timeout=0.2)


def test_a_network_is_exported_once_and_each_change_makes_another_graph(monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = seeded_network("edsr", **SMALL)
    first = export_graph(loaded, ExportOptions())
    assert export_graph(loaded, ExportOptions()) == first
    assert export_graph(loaded, ExportOptions(pixel_type=PixelType.FLOAT32)) != first
    other = seeded_network("edsr", **SMALL, seed=1)
    assert export_graph(other, ExportOptions()).graph.initializer != first.graph.initializer


@pytest.mark.skipif(sys.platform == "win32", reason="signals are those of POSIX")
def test_where_ctrl_c_is_ignored_the_processes_of_tests_take_it_all_the_same(repository: Path) -> None:
    """So it is in the background of a shell and under nohup."""
    inherited = "import signal; print(signal.getsignal(signal.SIGINT) is signal.SIG_IGN)"
    code = (f"import subprocess, sys; import tests.conftest; "
            f"subprocess.run([sys.executable, '-S', '-c', {inherited!r}], check=True)")
    script = 'trap "" INT; exec "$0" -c "$1"'
    done = subprocess.run(["/bin/sh", "-c", script, sys.executable, code], cwd=repository, capture_output=True,
                          text=True, check=True)
    assert done.stdout == "False\n"
