"""A Ray cluster for the time of a run: started or connected to within seconds, and quiet."""

from __future__ import annotations

import logging
import math
import os
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from srn_deploy.cluster.options import AUTO, LOCAL, RayOptions, checked_address, need_ray_packages
from srn_deploy.errors import ClusterUnreachable, OptionError
from srn_deploy.system.quiet import quiet, quiet_stderr
from srn_deploy.system.threads import usable_cores

ANSWER_LIMIT_S = 10.0
"""For the head node to answer. Ray itself tries for minutes."""

OBJECT_STORE_BYTES = 128 * 2**20
"""Of a cluster that is started here: paths and outcomes are all that goes through it."""

MOST_CPUS = 8
"""Threads of a worker by default: networks for small images gain little from more, and decoding needs none."""

POLL_S = 0.5
"""Between two looks whether batches are done."""

_HTTP2_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes.fromhex("000000040000000000")
"""RFC 9113, section 3.4: the words, and an empty frame of settings."""

_SETTINGS_OF_RAY = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_BACKEND_LOG_LEVEL": "fatal",
                    "RAY_DATA_LOGGING_CONFIG": str(Path(__file__).with_name("ray_data_logging.yaml"))}
"""No reports to its makers, and no messages about itself; what the user has set stays."""

_SETTINGS = 4
"""The type of the frame that a server answers with."""

_REMEDY = ("Check the address and that the head node runs (`ray status` there), or give --ray local. Python, Ray and "
           "the token of the cluster are the same on every machine.")

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class WorkerShape:
    """How many workers there are and what each of them takes."""

    workers: int
    cpus: int
    gpus: int


@contextmanager
def connected(options: RayOptions) -> Iterator[None]:
    """Ray, connected while the block runs; a cluster that is started here ends with it.

    A program that has connected itself keeps its connection. Raises MissingPackage and ClusterUnreachable.
    """
    need_ray_packages()
    for name, value in _SETTINGS_OF_RAY.items():
        os.environ.setdefault(name, value)
    import ray  # here, because it and its processes read these variables

    if ray.is_initialized():
        yield
        return
    address = _named_elsewhere() if options.address == AUTO else options.address
    if address not in (LOCAL, AUTO):
        _check_answers(address)
    with _messages_in_our_log(), _polled_less():
        _start_or_connect(address)
        try:
            yield
        finally:
            ray.shutdown()


def _named_elsewhere() -> str:
    """The address that RAY_ADDRESS names, else that of the cluster this machine belongs to; `auto` where neither says.

    Ray itself would try for minutes to reach a cluster that has ended without saying so.
    """
    if named := os.environ.get("RAY_ADDRESS"):
        try:
            return checked_address(named)
        except OptionError as error:
            raise OptionError(f"RAY_ADDRESS: {error.message}", remedy=error.remedy) from error
    import ray

    read = getattr(ray._private.utils, "read_ray_address", None)  # nothing public tells it
    return (read() if read else None) or AUTO


@contextmanager
def _messages_in_our_log() -> Iterator[None]:
    """Log what raylets report, instead of the lines that Ray prints to stdout, where results are printed.

    Ray has no setting for it; where a later version has no such function, its lines are printed.
    """
    import ray

    module, name = ray._private.worker, "print_to_stdstream"
    original = getattr(module, name, None)
    if original is None:
        yield
        return

    def log(data: Mapping[str, Any], *_: object, **__: object) -> None:
        text = " ".join(map(str, data.get("lines", ())))
        if "marked dead" in text:
            _log.warning("A node of the Ray cluster is gone: what it had begun is done by others.")
        _log.debug("Ray: %s", text)

    setattr(module, name, log)
    try:
        yield
    finally:
        setattr(module, name, original)


@contextmanager
def _polled_less() -> Iterator[None]:
    """Let Ray Data look less often than ten times a second whether a batch is done: it takes 4 % of a core to look.

    It has no setting for it; where a later version has no such number, it looks as often as it does.
    """
    from ray.data._internal.execution import streaming_executor_state

    name = "WAIT_FOR_TASK_COMPLETION_TIMEOUT_S"
    original = getattr(streaming_executor_state, name, None)
    if original is None:
        yield
        return
    setattr(streaming_executor_state, name, POLL_S)
    try:
        yield
    finally:
        setattr(streaming_executor_state, name, original)


def _start_or_connect(address: str) -> None:
    import ray

    own: dict[str, Any] = {"num_cpus": usable_cores(), "object_store_memory": OBJECT_STORE_BYTES,
           "include_dashboard": False} if address == LOCAL else {}
    try:
        with quiet("ray"), quiet_stderr():
            ray.init(address=address, log_to_driver=False, configure_logging=False, **own)
    except (SystemExit, Exception) as error:
        if isinstance(error, MemoryError):
            raise
        lines = str(error).strip().splitlines() or [type(error).__name__]
        where = "on this machine does not start" if address == LOCAL else f"at {address} cannot be used"
        raise ClusterUnreachable(f"Ray {where}: {lines[0].rstrip('.')}.", remedy=_REMEDY) from error


def _check_answers(address: str) -> None:
    """Raise ClusterUnreachable unless what Ray speaks, HTTP/2, is spoken at an address."""
    host, _, port = address.rpartition(":")
    try:
        with socket.create_connection((host.strip("[]"), int(port)), timeout=ANSWER_LIMIT_S) as connection:
            connection.sendall(_HTTP2_PREFACE)
            frame = connection.recv(9, socket.MSG_WAITALL)
        if frame[3:4] == bytes([_SETTINGS]):
            return
        reason = "what answers is no Ray" if frame else "the connection was refused or closed"
    except TimeoutError:
        reason = f"no answer within {ANSWER_LIMIT_S:g} s"
    except ConnectionError:
        reason = "the connection was refused or closed"
    except (OSError, OverflowError, UnicodeError) as error:
        reason = str(error)
    raise ClusterUnreachable(f"No Ray cluster answers at {address}: {reason}.", remedy=_REMEDY)


def worker_shape(options: RayOptions, *, may_use_gpu: bool) -> WorkerShape:
    """How the connected cluster is divided; raises ClusterUnreachable where it has no room for a worker."""
    import ray

    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]  # type: ignore[no-untyped-call]
    with_gpu = [node for node in nodes if node.get("GPU", 0) >= 1]
    gpus = options.gpus if options.gpus is not None else int(may_use_gpu and bool(with_gpu))
    fitting = with_gpu if gpus else [node for node in nodes if node.get("CPU", 0) >= 1]
    shares = [node.get("CPU", 0) / (node["GPU"] if gpus else 1) for node in fitting]
    cpus = options.cpus or max(1, min([MOST_CPUS, *map(int, shares)]))
    room = sum(int(min(node.get("CPU", 0) // cpus, node.get("GPU", 0) if gpus else math.inf))
               for node in fitting)
    if not room:
        raise ClusterUnreachable(f"No node of the Ray cluster has {cpus} CPUs{' and a GPU' if gpus else ''}.",
                                 remedy="Give fewer --threads, or nodes with what a worker needs.")
    return WorkerShape(workers=min(options.workers or room, room), cpus=cpus, gpus=gpus)
