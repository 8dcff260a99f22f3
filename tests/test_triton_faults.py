"""The process of a model ends or stands still: the client says what is missing, and a new server does the rest."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from benchmarks.triton_process import Address, free_address, is_ready
from srn_deploy.errors import ModelNotServed, NoServer
from srn_deploy.image import Image, write_image
from srn_deploy.inference.jobs import Outcome
from srn_deploy.inference.plan import plan_jobs
from tests.triton_server import MODEL, needs_server, own_server

pytest.importorskip("tritonclient.grpc", reason="needs tritonclient: pip install '.[triton]'")

from srn_deploy.serving.remote import RemoteUpscaler

IMAGES = 40

TOO_LONG_S = 2.5
"""Triton's Python backend gives up a process of a model that shows no sign of life for a second, and takes back the
memory that it shares with it."""


def process_of_the_model(server: int) -> int:
    """The one that was started by this server."""
    (found,) = [int(path.parent.name) for path in Path("/proc").glob("[0-9]*/cmdline")
                if b"triton_python_backend_stub" in _text_of(path) and os.getpgid(int(path.parent.name)) == server]
    return found


def _text_of(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:  # it has ended
        return b""


def end(process: int) -> None:
    os.kill(process, signal.SIGKILL)


def stand_still(process: int) -> None:
    os.kill(process, signal.SIGSTOP)
    time.sleep(TOO_LONG_S)
    try:
        os.kill(process, signal.SIGCONT)
    except ProcessLookupError:  # the server has ended, and it with it
        return


def upscaled(address: Address, source: Path, target: Path, missing: set[str]) -> list[Outcome]:
    jobs = [job for job in plan_jobs(source, target) if job.source.name in missing]
    with RemoteUpscaler(address.url, MODEL) as upscaler:
        return list(upscaler.upscale_jobs(jobs, jobs=4))


@pytest.mark.parametrize("harm", [end, stand_still])
def test_when_the_process_of_a_model_fails_the_run_ends_and_the_rest_is_done_once_the_server_is_back(
        tmp_path: Path, harm: Callable[[int], None]) -> None:
    needs_server()
    address, source, target = free_address(), tmp_path / "in", tmp_path / "out"
    pixels = np.random.default_rng(0).integers(0, 255, (90, 110, 3), dtype=np.uint8)
    for number in range(IMAGES):
        write_image(source / f"{number:02}.png", Image(pixels=pixels))
    names = {path.name for path in source.iterdir()}
    with own_server(tmp_path / "server", address) as server:
        process = process_of_the_model(server.pid)

        def in_the_middle() -> None:
            while len(list(target.glob("*.png"))) < 5:
                time.sleep(0.01)
            harm(process)

        harming = threading.Thread(target=in_the_middle)
        harming.start()
        outcomes = upscaled(address, source, target, names)
        harming.join()
        if harm is end:
            assert is_ready(address)  # and it does not start the process again
            with pytest.raises(ModelNotServed, match="runs no more"):
                raise upscaled(address, source, target, names)[0].error or AssertionError("answered")
    errors = [outcome.error for outcome in outcomes if outcome.error is not None]
    assert errors
    assert all(isinstance(error, ModelNotServed | NoServer) for error in errors)
    written = {path.name for path in target.iterdir()}
    assert len(written) == len(outcomes) - len(errors) < IMAGES
    with own_server(tmp_path / "server", address):
        again = upscaled(address, source, target, names - written)
    assert [outcome.error for outcome in again] == [None] * (IMAGES - len(written))
    assert len({path.read_bytes() for path in target.iterdir()}) == 1
    assert {path.name for path in target.iterdir()} == names
