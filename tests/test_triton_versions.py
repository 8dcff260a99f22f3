"""Versions of a model on the real server: a new one is taken without a restart, and clients can ask for one."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import srn_deploy
from benchmarks.triton_process import Address, command, free_address, make_environment, running, variables
from srn_deploy.serving.options import InstanceOptions, ServeOptions
from srn_deploy.tiling.windows import TileOptions
from tests.triton_server import FIRST, MODEL, needs_server

pytest.importorskip("tritonclient.grpc", reason="needs tritonclient: pip install '.[triton]'")

from tritonclient.grpc import InferenceServerClient, InferInput

from srn_deploy.serving.client import ServedModelClient
from srn_deploy.serving.repository import write_repository

PIXELS = np.random.default_rng(0).integers(0, 255, (60, 70, 3), dtype=np.uint8)

LIMIT_S = 60


def write(folder: Path, **options: Any) -> int:
    """Write the model in this way; the number of its newest version."""
    chosen = ServeOptions(device="cpu", instances=InstanceOptions(threads=1), versions=2, **options)
    return write_repository(folder, [MODEL], chosen)[0].version


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Address]]:
    """The repository of a server that looks for changes every second, and its address."""
    needs_server()
    folder, address = tmp_path_factory.mktemp("versions"), free_address()
    write(folder / "models")
    started = [*FIRST, *command(folder / "models", folder / "backends", address),
               "--model-control-mode=poll", "--repository-poll-secs=1"]
    with running(started, address, folder / "log.txt", variables(make_environment(folder / "environment"))):
        yield folder / "models", address


def ready(client: InferenceServerClient) -> set[str]:
    return {entry.version for entry in client.get_model_repository_index().models if entry.state == "READY"}


def test_a_new_version_is_taken_without_a_restart_and_the_earlier_one_stays_to_be_asked_for(
        place: tuple[Path, Address]) -> None:
    folder, address = place
    with InferenceServerClient(address.host_and_port) as client, srn_deploy.load(MODEL, device="cpu") as here:
        assert ready(client) == {"1"}
        assert write(folder, tiles=TileOptions(tile=96), max_megapixels=2.5) == 2
        deadline = time.monotonic() + LIMIT_S
        while ready(client) != {"1", "2"}:
            assert time.monotonic() < deadline
            time.sleep(0.1)
        given = InferInput("IMAGE", list(PIXELS.shape), "UINT8")
        given.set_data_from_numpy(PIXELS)
        for number in ("1", "2"):
            answer = client.infer(MODEL, [given], model_version=number)
            assert answer.get_response().model_version == number
            np.testing.assert_array_equal(answer.as_numpy("UPSCALED"), here.upscale(PIXELS))
        assert client.infer(MODEL, [given]).get_response().model_version == "2"
    ours = ServedModelClient(address.url, MODEL)
    assert ours.most_megapixels == 2.5  # of the newest
    ours.close()
