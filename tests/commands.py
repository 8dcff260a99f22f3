"""srn-deploy and Python code in processes of their own, as cheaply as the platform allows."""

from __future__ import annotations

import functools
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

from filelock import FileLock

from tests.command_server import CLIENT
from tests.run_folder import open_lifeline, run_folder

REPOSITORY = Path(__file__).resolve().parent.parent

FORKS = sys.platform == "linux"
"""Whether processes are forked from a server; elsewhere libraries do not outlive a fork."""

START_LIMIT_S = 60


def srn_deploy(*arguments: str | Path, cwd: Path | None = None, environment: Mapping[str, str] | None = None,
               timeout: float = 120) -> subprocess.CompletedProcess[str]:
    """srn-deploy with these arguments in a process of its own, without a terminal."""
    return _run([str(argument) for argument in arguments], None, cwd, environment, timeout)


def python(code: str, *arguments: str | Path, cwd: Path | None = None, environment: Mapping[str, str] | None = None,
           timeout: float = 120) -> subprocess.CompletedProcess[str]:
    """Python code in a process of its own, in which a warning is an error."""
    return _run([str(argument) for argument in arguments], code, cwd, environment, timeout)


def client_folder() -> Path:
    """A folder for PATH whose `srn-deploy` starts quickly; empty where processes are not forked."""
    return Path(_server()).parent if FORKS else Path(tempfile.mkdtemp())


def _run(arguments: list[str], code: str | None, cwd: Path | None, environment: Mapping[str, str] | None,
         timeout: float) -> subprocess.CompletedProcess[str]:
    variables = dict(os.environ if environment is None else environment)
    if not FORKS:
        program = ["-m", "srn_deploy"] if code is None else ["-W", "error", "-c", code]
        return subprocess.run([sys.executable, *program, *arguments], cwd=cwd, env=variables, capture_output=True,
                              text=True, timeout=timeout, check=False)
    request = {"cwd": str(cwd or Path.cwd()), "environment": variables, "arguments": arguments, "code": code}
    with (tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors, Path(os.devnull).open() as nothing,
          socket.socket(socket.AF_UNIX) as server):
        server.connect(_server())
        data = json.dumps(request).encode()
        socket.send_fds(server, [len(data).to_bytes(4, "big")], [file.fileno() for file in (nothing, output, errors)])
        server.sendall(data)
        status = _status(server, timeout)
        for file in (output, errors):
            file.seek(0)
        return subprocess.CompletedProcess(arguments, status, output.read().decode(), errors.read().decode())


def _status(server: socket.socket, timeout: float) -> int:
    """Wait for the end of a command; kills one that takes too long."""
    answer = server.makefile()
    pid = int(answer.readline())
    server.settimeout(timeout)
    try:
        return int(answer.readline())
    except TimeoutError as error:
        os.kill(pid, signal.SIGKILL)
        raise subprocess.TimeoutExpired(f"process {pid}", timeout) from error


@functools.cache
def _server() -> str:
    """The socket of the server, which the first process that needs it starts and which ends with the run."""
    folder = run_folder()
    assert folder is not None, "commands are forked within a run of the tests"
    path = folder / "bin" / "commands"
    with FileLock(folder / "commands.lock"):
        if not path.exists():
            path.parent.mkdir()
            _start_server(path)
    return str(path)


def _start_server(path: Path) -> None:
    """Start it and wait until it answers; signals that are meant for this process do not reach it."""
    program = path.with_name("srn-deploy")
    program.write_text(CLIENT.format(python=sys.executable, socket=str(path)), encoding="utf-8")
    program.chmod(0o755)
    with open_lifeline() as lifeline:
        server = subprocess.Popen([sys.executable, "-m", "tests.command_server", path], cwd=REPOSITORY,
                                  stdin=lifeline, start_new_session=True)
    deadline = time.monotonic() + START_LIMIT_S
    while not path.exists():
        assert server.poll() is None, "the server of commands does not start"
        assert time.monotonic() < deadline, "the server of commands takes too long to start"
        time.sleep(0.02)
    server.returncode = 0  # it outlives this process
