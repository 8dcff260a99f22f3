"""NVIDIA's Triton Inference Server for tests: the server itself, without a GPU, from the wheel of nvidia-pytriton."""

from __future__ import annotations

import functools
import json
import os
import shutil
import socket
import subprocess
import sys
import sysconfig
import time
import urllib.request
import venv
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import pytest
from filelock import FileLock

from srn_deploy.serving.options import InstanceOptions, ServeOptions
from tests.commands import REPOSITORY
from tests.run_folder import open_lifeline, run_folder

FOLDER = Path(os.environ.get("SRN_TRITON_SERVER") or REPOSITORY / ".triton-server")
"""Where `make test` installs it."""

START_LIMIT_S = 60

MODEL = "srn-s-b6-x2"

MEGAPIXELS = 0.02
"""What the server takes at most: 200 x 100 px."""

_STUB = "triton_python_backend_stub"

# The stub holds an interpreter: it needs libpython, wherever this Python keeps it.
_LIBRARIES = os.pathsep.join(filter(None, (sysconfig.get_config_var("LIBDIR"), os.environ.get("LD_LIBRARY_PATH"))))


@dataclass(frozen=True, kw_only=True)
class Address:
    """Where a server listens, on this machine."""

    grpc: int
    http: int
    metrics: int

    @property
    def url(self) -> str:
        """As `upscale --server` takes it."""
        return f"grpc://127.0.0.1:{self.grpc}"

    @property
    def host_and_port(self) -> str:
        """As tritonclient takes it."""
        return f"127.0.0.1:{self.grpc}"


@functools.cache
def why_no_server() -> str:
    """Why the server cannot be started here, with what installs it; empty where it can."""
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    stub = FOLDER / "pytriton" / "tritonserver" / "python_backend_stubs" / python / _STUB
    if not stub.is_file():
        return f"needs Triton's server: make {FOLDER.name}/.made"
    linked = subprocess.run(["ldd", stub], env=os.environ | {"LD_LIBRARY_PATH": _LIBRARIES}, capture_output=True,
                            text=True, check=False).stdout
    missing = [line.split()[0] for line in linked.splitlines() if "not found" in line]
    return f"needs {', '.join(missing)}: apt install libpython{python}" if missing else ""


def needs_server() -> None:
    """Skip a test where there is no server, with the line that installs it."""
    pytest.importorskip("tritonclient.grpc", reason="needs tritonclient: pip install '.[triton]'")
    if reason := why_no_server():
        pytest.skip(reason)


def make_environment(folder: Path) -> Path:
    """A Python environment that sees this checkout and this environment's libraries, for the server's model."""
    venv.create(folder, symlinks=True, with_pip=False)
    (packages,) = folder.glob("lib/python*/site-packages")
    places = [str(REPOSITORY), *dict.fromkeys(sysconfig.get_path(name) for name in ("purelib", "platlib"))]
    (packages / "checkout.pth").write_text("\n".join(places) + "\n", encoding="utf-8")
    return folder


def make_repository(folder: Path, environment: Path | None) -> Path:
    """A model repository with a shipped model on one thread of the CPU."""
    from srn_deploy.serving.repository import write_repository

    write_repository(folder, [MODEL], ServeOptions(device="cpu", environment=environment, max_megapixels=MEGAPIXELS,
                                                   instances=InstanceOptions(threads=1)))
    return folder


def command(repository: Path, backends: Path, address: Address) -> list[str]:
    """What starts the server."""
    shutil.copytree(FOLDER / "pytriton" / "tritonserver" / "backends", backends, symlinks=True, dirs_exist_ok=True)
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    source = FOLDER / "pytriton" / "tritonserver"
    for library in (backends / "python").glob("*.so"):  # it finds its own libraries from where it really is
        library.unlink()
        library.symlink_to(source / "backends" / "python" / library.name)
    (backends / "python" / _STUB).unlink(missing_ok=True)
    (backends / "python" / _STUB).symlink_to(source / "python_backend_stubs" / python / _STUB)
    ports = [f"--{name}-port={number}" for name, number in asdict(address).items()]
    local = [f"--{name}-address=127.0.0.1" for name in asdict(address)]
    return [str(source / "bin" / "tritonserver"), f"--model-repository={repository}", f"--backend-directory={backends}",
            "--rate-limit=execution_count", *ports, *local]


def variables(environment: Path | None = None) -> dict[str, str]:
    """The environment variables of the server; environment: the Python that its models run in."""
    path = os.environ["PATH"] if environment is None else f"{environment / 'bin'}{os.pathsep}{os.environ['PATH']}"
    return {**os.environ, "LD_LIBRARY_PATH": _LIBRARIES, "PATH": path, "OMP_NUM_THREADS": "1"}


def free_address() -> Address:
    """Three ports that are free now."""
    with socket.socket() as one, socket.socket() as two, socket.socket() as three:
        for each in (one, two, three):
            each.bind(("127.0.0.1", 0))
        grpc, http, metrics = (each.getsockname()[1] for each in (one, two, three))
    return Address(grpc=grpc, http=http, metrics=metrics)


def wait_until_ready(address: Address, process: subprocess.Popen[bytes], log: Path) -> None:
    """Wait for the server to have loaded its models."""
    deadline = time.monotonic() + START_LIMIT_S
    while not is_ready(address):
        text = log.read_text(errors="replace") if log.exists() else ""
        assert process.poll() is None, f"the server ended:\n{text}"
        assert time.monotonic() < deadline, f"the server takes too long to start:\n{text}"
        time.sleep(0.05)


def is_ready(address: Address) -> bool:
    """Whether it answers, over HTTP, that it is ready."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(f"http://127.0.0.1:{address.http}/v2/health/ready", timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def metrics(address: Address) -> str:
    """What Prometheus would scrape."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(f"http://127.0.0.1:{address.metrics}/metrics", timeout=10) as answer:
        return str(answer.read().decode())


@contextmanager
def own_server(folder: Path, address: Address) -> Iterator[subprocess.Popen[bytes]]:
    """A server that the test may kill, on the repository of the shared one; it finds its Python by its PATH."""
    environment, repository = folder / "environment", folder / "models"
    if not repository.exists():
        make_repository(repository, None)
        make_environment(environment)
    log = folder / "log.txt"
    with log.open("wb") as output:
        process = subprocess.Popen(command(repository, folder / "backends", address), env=variables(environment),
                                   stdout=output, stderr=output, stdin=subprocess.DEVNULL)
    try:
        wait_until_ready(address, process, log)
        yield process
    finally:
        process.kill()
        process.wait()


def shared_server() -> Address:
    """The one server of a run of the tests, which the first process that needs it starts and which ends with the run.

    Its repository names the Python environment, so that it needs no PATH.
    """
    run = run_folder()
    assert run is not None, "the server is shared by a run of the tests"
    folder = run / "triton"
    with FileLock(run / "triton.lock"):
        known = folder / "address.json"
        if not known.exists():
            folder.mkdir(exist_ok=True)
            known.write_text(json.dumps(asdict(_started(folder))), encoding="utf-8")
        return Address(**json.loads(known.read_text(encoding="utf-8")))


def _started(folder: Path) -> Address:
    address, log = free_address(), folder / "log.txt"
    repository = make_repository(folder / "models", make_environment(folder / "environment"))
    started = command(repository, folder / "backends", address)
    with open_lifeline() as lifeline, log.open("wb") as output:  # `cat` ends when the run does
        process = subprocess.Popen(["sh", "-c", '"$@" & cat >&2; kill -9 $!', "sh", *started], env=variables(),
                                   stdin=lifeline, stdout=output, stderr=output, start_new_session=True)
    wait_until_ready(address, process, log)
    process.returncode = 0  # it outlives this process
    return address
