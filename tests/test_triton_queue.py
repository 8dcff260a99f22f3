"""The queue of a served model on the real server: what does not fit into it, and what waits for too long."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from benchmarks.triton_process import Address, command, free_address, make_environment, running, variables
from srn_deploy.image import Image, write_image
from srn_deploy.inference.plan import plan_jobs
from srn_deploy.serving.options import InstanceOptions, QueueOptions, ServeOptions
from tests.triton_server import FIRST, needs_server

pytest.importorskip("tritonclient.grpc", reason="needs tritonclient: pip install '.[triton]'")

from srn_deploy.errors import RequestRefused
from srn_deploy.serving.remote import RemoteUpscaler
from srn_deploy.serving.repository import write_repository

SHORT_QUEUE, SHORT_WAIT = "srn-s-b6-x2", "srn-s-b4-x4"

AT_ONCE = 8

NOISE = np.random.default_rng(0).integers(0, 255, (120, 160, 3), dtype=np.uint8)
"""Takes the network long enough for others to come meanwhile."""


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Address]:
    """A server with one model in whose queue is one place, and one in whose queue nothing waits for long."""
    needs_server()
    folder, address = tmp_path_factory.mktemp("queue"), free_address()
    for model, queue in ((SHORT_QUEUE, QueueOptions(most_waiting=1)), (SHORT_WAIT, QueueOptions(most_wait_s=0.001))):
        write_repository(folder / "models", [model], ServeOptions(device="cpu", queue=queue,
                                                                  instances=InstanceOptions(threads=1)))
    started = FIRST + command(folder / "models", folder / "backends", address)
    with running(started, address, folder / "log.txt", variables(make_environment(folder / "environment"))):
        yield address


def sent_at_once(address: Address, model: str) -> list[str]:
    """What became of requests that come at the same time: empty for one that was answered."""
    from tritonclient.grpc import InferenceServerClient, InferInput
    from tritonclient.utils import InferenceServerException

    ready = threading.Barrier(AT_ONCE, timeout=60)

    def send(_: int) -> str:
        given = InferInput("IMAGE", list(NOISE.shape), "UINT8")
        given.set_data_from_numpy(NOISE)
        with InferenceServerClient(address.host_and_port) as client:
            client.is_server_live()
            ready.wait()
            try:
                client.infer(model, [given])
            except InferenceServerException as error:
                return str(error.message())
        return ""

    with ThreadPoolExecutor(AT_ONCE) as threads:
        return list(threads.map(send, range(AT_ONCE)))


def put(folder: Path, count: int) -> Path:
    for number in range(count):
        write_image(folder / f"{number:02}.png", Image(pixels=NOISE))
    return folder


def test_requests_for_which_there_is_no_place_are_refused_at_once(address: Address) -> None:
    answers = sent_at_once(address, SHORT_QUEUE)
    assert "" in answers
    assert any("Exceeds maximum queue size" in answer for answer in answers)


def test_files_for_which_there_is_no_place_are_sent_again(address: Address, tmp_path: Path) -> None:
    jobs = plan_jobs(put(tmp_path / "in", 2 * AT_ONCE), tmp_path / "out")
    with RemoteUpscaler(address.url, SHORT_QUEUE) as upscaler:
        assert [outcome.error for outcome in upscaler.upscale_jobs(jobs, jobs=AT_ONCE)] == [None] * len(jobs)


def test_what_waited_for_too_long_is_refused_and_told_and_the_run_goes_on(address: Address, tmp_path: Path) -> None:
    assert any("Request timeout expired" in answer for answer in sent_at_once(address, SHORT_WAIT))
    jobs = plan_jobs(put(tmp_path / "in", 2 * AT_ONCE), tmp_path / "out")
    with RemoteUpscaler(address.url, SHORT_WAIT) as upscaler:
        errors = [outcome.error for outcome in upscaler.upscale_jobs(jobs, jobs=AT_ONCE)]
    assert len(errors) == len(jobs)
    assert None in errors
    refused = [error for error in errors if error is not None]
    assert refused
    assert all(isinstance(error, RequestRefused) and "waited longer in the queue" in error.message
               for error in refused)
