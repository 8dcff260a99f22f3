"""Commands in processes of their own that start in milliseconds: forked from a server with the libraries imported.

Starting Python with PyTorch takes 3 s of a processor, and hundreds of tests run a command. The server imports the
libraries once, computes nothing and has one thread; each command is a fork of it with its own working directory,
environment and streams. Tests whose claim is about starting, importing or signals start Python themselves.

Run as a script it is the server: `python -m tests.command_server SOCKET` serves until its stdin ends. A copy of
`CLIENT` named `srn-deploy` makes it the command of a shell.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import importlib
import io
import json
import os
import pkgutil
import selectors
import signal
import socket
import sys
import threading
import traceback
import warnings
from pathlib import Path
from typing import Any, NoReturn

import srn_deploy
from srn_deploy.cli import main
from tests.shared_exports import share_exports

LIBRARIES = ("onnxruntime", "cv2", "PIL.Image", "rich.progress", "simplejpeg", "onnx", "onnxscript", "networkx",
             "safetensors.torch", "torch.export", "torch._dynamo", "torch._decomp.decompositions", "torch.onnx",
             "torch.onnx._internal.exporter._core", "torch.fx.experimental.symbolic_shapes")
"""What is imported before commands are forked, beside the package itself, where it is installed."""

CLIENT = """#!{python} -IS
import json, os, socket, sys
with socket.socket(socket.AF_UNIX) as server:
    server.connect({socket!r})
    request = json.dumps({{"cwd": os.getcwd(), "environment": dict(os.environ), "arguments": sys.argv[1:]}}).encode()
    socket.send_fds(server, [len(request).to_bytes(4, "big")], [0, 1, 2])
    server.sendall(request)
    status = json.loads(server.makefile().readlines()[1])
sys.exit(status if status >= 0 else 128 - status)
"""
"""A program that hands its arguments, environment and streams to the server and ends as the command does."""

_DEFAULT_FILTERS = len(warnings.filters)


def serve(path: str) -> None:
    """Fork a process for each request until stdin ends."""
    with socket.socket(socket.AF_UNIX) as listener, selectors.DefaultSelector() as selector:
        listener.bind(f"{path}.new")
        listener.listen(64)
        Path(f"{path}.new").rename(path)  # whoever finds it may connect
        _import_libraries()
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # no zombies
        selector.register(listener, selectors.EVENT_READ)
        selector.register(sys.stdin, selectors.EVENT_READ)
        while listener in [key.fileobj for key, _ in selector.select()]:
            connection, _ = listener.accept()
            if os.fork() == 0:
                listener.close()
                _keep(connection)
            connection.close()


def _import_libraries() -> None:
    modules = (found.name for found in pkgutil.walk_packages(srn_deploy.__path__, "srn_deploy."))
    for name in (*modules, *LIBRARIES):
        if name != "srn_deploy.__main__":
            with contextlib.suppress(ImportError):
                importlib.import_module(name)
    share_exports()
    gc.freeze()  # a fork then leaves the pages of the libraries alone


def _keep(connection: socket.socket) -> NoReturn:
    """Start the command, report its pid and, when it has ended, its status."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    prefix, streams, _, _ = socket.recv_fds(connection, 4, 3)
    request = json.loads(_received(connection, int.from_bytes(prefix, "big")))
    pid = os.fork()
    if pid == 0:
        connection.close()
        _end(_run(request, streams))
    for stream in streams:
        os.close(stream)
    connection.sendall(f"{pid}\n".encode())
    _, status = os.waitpid(pid, 0)
    connection.sendall(f"{os.waitstatus_to_exitcode(status)}\n".encode())
    os._exit(0)


def _received(connection: socket.socket, length: int) -> bytes:
    data = b""
    while len(data) < length:
        data += connection.recv(length - len(data))
    return data


def _run(request: dict[str, Any], streams: list[int]) -> int:
    """Become the command: `srn-deploy ARGUMENTS` or `python -W error -c CODE ARGUMENTS`."""
    os.chdir(request["cwd"])
    os.environ.clear()
    os.environ.update(request["environment"])
    for target, stream in enumerate(streams):
        os.dup2(stream, target)
        os.close(stream)
    sys.stdin, sys.stdout, sys.stderr = open(0), _writer(1), _writer(2)  # noqa: SIM115  # for good
    sys.path[0] = ""
    sys.argv = ["srn-deploy" if request.get("code") is None else "-c", *request["arguments"]]
    sys.modules["__main__"] = type(sys)("__main__")
    try:
        if request.get("code") is None:
            main()
        else:
            _run_code(request["code"])
    except SystemExit as ended:
        return _status_of(ended)
    except BaseException:  # noqa: BLE001  # as the interpreter does
        traceback.print_exc()
        return 1
    return 0


def _run_code(code: str) -> None:
    filters: Any = warnings.filters
    warnings.simplefilter("error")
    # After the filters of the libraries, as with the interpreter's own option.
    filters.insert(len(filters) - _DEFAULT_FILTERS, filters.pop(0))
    exec(compile(code, "<string>", "exec"), vars(sys.modules["__main__"]))


def _status_of(ended: SystemExit) -> int:
    if isinstance(ended.code, str):
        sys.stderr.write(f"{ended.code}\n")
        return 1
    return ended.code or 0


def _end(status: int) -> NoReturn:
    """End as an interpreter does, except that the libraries are not taken apart, which takes a second."""
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def _writer(descriptor: int) -> io.TextIOWrapper:
    """A text stream as the interpreter makes it."""
    at_once = "PYTHONUNBUFFERED" in os.environ
    raw = open(descriptor, "wb", 0 if at_once else -1, closefd=False)  # noqa: SIM115  # for good
    return io.TextIOWrapper(raw, encoding="utf-8", errors="backslashreplace" if descriptor == 2 else "strict",
                            line_buffering=descriptor == 2 or raw.isatty(), write_through=at_once)


if __name__ == "__main__":
    serve(sys.argv[1])
