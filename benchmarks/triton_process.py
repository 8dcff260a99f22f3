"""NVIDIA's Triton Inference Server without a GPU, from the wheel of nvidia-pytriton that `make test` unpacks.

The server itself is started: of the wheel only its programs and libraries are used. Tests and `benchmarks.service` need
it on this machine.
"""

from __future__ import annotations

import functools
import os
import signal
import socket
import subprocess
import sys
import sysconfig
import time
import urllib.request
import venv
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parent.parent

FOLDER = Path(os.environ.get("SRN_TRITON_SERVER") or CHECKOUT / ".triton-server")
"""Where `make test` installs it."""

START_LIMIT_S = 60

SHARED_MEMORY_BYTES = 2**20
"""Between the server and the process of each model at first; the server makes it larger where it has to be."""

_SHARED_MEMORY = Path("/dev/shm")

_STUB = "triton_python_backend_stub"

_PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"

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


def free_address() -> Address:
    """Three ports that are free now."""
    with socket.socket() as one, socket.socket() as two, socket.socket() as three:
        for each in (one, two, three):
            each.bind(("127.0.0.1", 0))
        grpc, http, metrics = (each.getsockname()[1] for each in (one, two, three))
    return Address(grpc=grpc, http=http, metrics=metrics)


@functools.cache
def why_no_server() -> str:
    """Why the server cannot be started here, with what installs it; empty where it can."""
    stub = FOLDER / "pytriton" / "tritonserver" / "python_backend_stubs" / _PYTHON / _STUB
    if not stub.is_file():
        return f"needs Triton's server: make {FOLDER.name}/.made"
    linked = subprocess.run(["ldd", stub], env=os.environ | {"LD_LIBRARY_PATH": _LIBRARIES}, capture_output=True,
                            text=True, check=False).stdout
    missing = [line.split()[0] for line in linked.splitlines() if "not found" in line]
    return f"needs {', '.join(missing)}: apt install libpython{_PYTHON}" if missing else ""


def make_environment(folder: Path) -> Path:
    """A Python environment that sees this checkout and this environment's libraries, for the server's models."""
    venv.create(folder, symlinks=True, with_pip=False)
    (packages,) = folder.glob("lib/python*/site-packages")
    places = [str(CHECKOUT), *dict.fromkeys(sysconfig.get_path(name) for name in ("purelib", "platlib"))]
    (packages / "checkout.pth").write_text("\n".join(places) + "\n", encoding="utf-8")
    return folder


def command(repository: Path, backends: Path, address: Address) -> list[str]:
    """What starts the server. backends: a folder for its Python backend, which is made once."""
    source = FOLDER / "pytriton" / "tritonserver"
    if not backends.exists():
        backend = backends / "python"
        backend.mkdir(parents=True)
        for file in (source / "backends" / "python").iterdir():
            if file.name != _STUB:
                (backend / file.name).symlink_to(file)  # a library finds its own libraries from where it really is
        (backend / _STUB).symlink_to(source / "python_backend_stubs" / _PYTHON / _STUB)
    ports = [f"--{name}-port={number}" for name, number in asdict(address).items()]
    local = [f"--{name}-address=127.0.0.1" for name in asdict(address)]
    return [str(source / "bin" / "tritonserver"), f"--model-repository={repository}", f"--backend-directory={backends}",
            f"--backend-config=python,shm-default-byte-size={SHARED_MEMORY_BYTES}",
            f"--backend-config=python,shm-region-prefix-name={shared_memory_names(address)}",
            "--rate-limit=execution_count", *ports, *local]


def shared_memory_names(address: Address) -> str:
    """How the names of its shared memory begin, in /dev/shm, which a server that is killed leaves behind."""
    return f"srn-deploy-{address.grpc}-"


def variables(environment: Path | None = None, *, threads: int = 1) -> dict[str, str]:
    """The environment variables of the server; environment: the Python that its models run in."""
    path = os.environ["PATH"] if environment is None else f"{environment / 'bin'}{os.pathsep}{os.environ['PATH']}"
    return {**os.environ, "LD_LIBRARY_PATH": _LIBRARIES, "PATH": path, "OMP_NUM_THREADS": str(threads)}


@contextmanager
def running(started: list[str], address: Address, log: Path,
            environ: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    """The server from when it is ready until the block ends; raises RuntimeError with its log where it ends before."""
    with log.open("wb") as output:
        process = subprocess.Popen(started, env=environ, stdout=output, stderr=output, stdin=subprocess.DEVNULL,
                                   start_new_session=True)
    try:
        wait_until_ready(address, process, log)
        yield process
    finally:
        with suppress(ProcessLookupError):  # where it ended by itself, and they with it
            os.killpg(process.pid, signal.SIGKILL)  # the processes that run the models too
        process.wait()
        for left in _SHARED_MEMORY.glob(f"{shared_memory_names(address)}*"):
            left.unlink(missing_ok=True)


def wait_until_ready(address: Address, process: subprocess.Popen[bytes], log: Path) -> None:
    """Wait for the server to have loaded its models; raises RuntimeError with its log where it does not."""
    deadline = time.monotonic() + START_LIMIT_S
    while not is_ready(address):
        ended = process.poll() is not None
        if ended or time.monotonic() > deadline:
            what = "ended" if ended else "takes too long to start"
            raise RuntimeError(f"The server {what}:\n{log.read_text(errors='replace')}")
        time.sleep(0.05)


def cpu_seconds(server: subprocess.Popen[bytes]) -> float:
    """The time on processors that a server and the processes of its models took until now (Linux)."""
    ticks = 0
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):  # it has ended meanwhile
            fields = path.read_text(encoding="utf-8").rpartition(")")[2].split()
            if int(fields[2]) == server.pid:  # its group
                ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def is_ready(address: Address) -> bool:
    """Whether it answers, over HTTP, that it is ready."""
    try:
        with _without_proxy().open(f"http://127.0.0.1:{address.http}/v2/health/ready", timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def metrics(address: Address) -> str:
    """What Prometheus would scrape."""
    with _without_proxy().open(f"http://127.0.0.1:{address.metrics}/metrics", timeout=10) as answer:
        return str(answer.read().decode())


def _without_proxy() -> urllib.request.OpenerDirector:
    return urllib.request.build_opener(urllib.request.ProxyHandler({}))
