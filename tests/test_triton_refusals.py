"""What a client of a server says where the server is not as it should be, shown without one."""

from __future__ import annotations

import socket
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from srn_deploy.errors import ModelNotServed, NoServer, OptionError, OtherContract, RequestRefused
from srn_deploy.image import Image, read_image, write_image
from srn_deploy.serving.address import host_and_port
from tests.triton_server import MODEL

pytest.importorskip("tritonclient.grpc", reason="needs tritonclient: pip install '.[triton]'")

from tritonclient.utils import InferenceServerException

from srn_deploy.serving import client as client_module
from srn_deploy.serving.client import ServedModelClient
from srn_deploy.serving.remote import RemoteUpscaler


def pixels(height: int, width: int, seed: int = 0) -> Any:
    return np.random.default_rng(seed).integers(0, 255, (height, width, 3), dtype=np.uint8)


@pytest.mark.parametrize("wrong", ["localhost:8001", "http://localhost:8001", "grpc://localhost", "grpc://:8001",
                                   "grpc://localhost:8001/models", "grpc://localhost:99999", "grpc://user@localhost:1"])
def test_an_address_of_another_form_is_refused(wrong: str) -> None:
    with pytest.raises(OptionError, match="not of the form grpc://HOST:PORT"):
        host_and_port(wrong)


def test_addresses_of_both_kinds_are_taken() -> None:
    assert (host_and_port("grpc://localhost:8001"), host_and_port("grpc://[::1]:8001")) == (
        "localhost:8001", "[::1]:8001")


def test_a_server_that_does_not_answer_is_given_up_after_a_bounded_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module, "CONNECT_S", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent, pytest.raises(NoServer, match="No server answers"):
        ServedModelClient(f"grpc://127.0.0.1:{silent.getsockname()[1]}", MODEL)


class MadeUpServer:
    """Stands for tritonclient's client where no server behaves like this on purpose."""

    parameters: dict[str, str]
    failures: list[InferenceServerException]

    def __init__(self, target: str, **options: Any) -> None:
        self.target = target

    def get_model_repository_index(self, client_timeout: float) -> Any:
        return Described(models=[Described(name=MODEL, state="READY", reason="")])

    def get_model_config(self, name: str, client_timeout: float) -> Any:
        values = {key: Described(string_value=value) for key, value in self.parameters.items()}
        return Described(config=Described(parameters=values))

    def infer(self, model: str, inputs: Any, outputs: Any, parameters: Any) -> Any:
        raise self.failures.pop(0) if len(self.failures) > 1 else self.failures[0]

    def close(self) -> None:
        pass


class Described:
    """A message of gRPC."""

    def __init__(self, **fields: Any) -> None:
        vars(self).update(fields)


@pytest.fixture
def made_up(monkeypatch: pytest.MonkeyPatch) -> type[MadeUpServer]:
    monkeypatch.setattr(client_module, "InferenceServerClient", MadeUpServer)
    monkeypatch.setattr(client_module, "PATIENCE_S", 0.05)
    monkeypatch.setattr(client_module, "PAUSE_S", 0.01)
    MadeUpServer.parameters = {"srn_deploy.contract": "1", "srn_deploy.scale": "2", "srn_deploy.version": "0.1.0"}
    MadeUpServer.failures = []
    return MadeUpServer


def test_a_model_of_another_version_of_the_protocol_is_refused_with_both(made_up: type[MadeUpServer]) -> None:
    made_up.parameters |= {"srn_deploy.contract": "9", "srn_deploy.version": "3.2.1"}
    with pytest.raises(OtherContract, match=r"speaks version 9 .* written by srn-deploy 3\.2\.1, .* version 1"):
        ServedModelClient("grpc://localhost:8001", MODEL)


def test_a_model_of_others_is_refused(made_up: type[MadeUpServer]) -> None:
    made_up.parameters = {}
    with pytest.raises(OtherContract, match="was not written by `srn-deploy triton-repository`"):
        ServedModelClient("grpc://localhost:8001", MODEL)


@pytest.mark.parametrize(("status", "text", "kind", "words"), [
    ("StatusCode.UNAVAILABLE", "Socket closed", NoServer, "No server answers"),
    ("StatusCode.UNAVAILABLE", "Exceeds maximum queue size", RequestRefused, "was full for"),
    ("StatusCode.UNAVAILABLE", "Request timeout expired", RequestRefused, "waited longer in the queue"),
    ("StatusCode.UNAVAILABLE", "Request for unknown model: 'x' has no available versions", ModelNotServed, "no model"),
    ("StatusCode.INTERNAL", "Stub process 'm_0_0' is not healthy.", ModelNotServed, "runs no more .*not healthy"),
    ("StatusCode.INTERNAL", "Something else.", RequestRefused, "Something else"),
    ("StatusCode.INVALID_ARGUMENT", "What.\nWhat to do.", RequestRefused, "What")])
def test_every_failure_of_a_request_is_one_of_our_errors(
        made_up: type[MadeUpServer], status: str, text: str, kind: type[Exception], words: str) -> None:
    made_up.failures = [InferenceServerException(text, status)]
    client = ServedModelClient("grpc://localhost:8001", MODEL)
    with pytest.raises(kind, match=words):
        client.upscale(pixels(8, 8))


def test_a_result_that_no_message_holds_is_refused_before_it_is_sent(made_up: type[MadeUpServer]) -> None:
    client = ServedModelClient("grpc://localhost:8001", MODEL)
    broad = np.broadcast_to(np.zeros((1, 1, 3), np.uint8), (14_000, 14_000, 3))
    with pytest.raises(RequestRefused, match="more than the 2 GiB"):
        client.upscale(broad)


def test_an_image_beyond_the_limit_of_the_server_is_refused_before_it_is_sent(made_up: type[MadeUpServer]) -> None:
    made_up.parameters |= {"srn_deploy.most_megapixels": "0.02"}
    client = ServedModelClient("grpc://localhost:8001", MODEL)
    with pytest.raises(RequestRefused, match=r"200 x 101 px \(0\.0202 megapixels\), and this server takes 0\.02\."):
        client.upscale(pixels(101, 200))  # what is sent raises another error: there is nothing in `failures`
    assert client.most_megapixels == 0.02


def test_as_many_requests_are_under_way_as_are_asked_for(monkeypatch: pytest.MonkeyPatch, tmp_path: Path,
                                                         made_up: type[MadeUpServer]) -> None:
    from srn_deploy.inference.plan import plan_jobs

    for number in range(12):
        write_image(tmp_path / f"in/{number:02}.png", Image(pixels=pixels(9, 9, seed=number)))
    four, lock, begun = threading.Barrier(4, timeout=30), threading.Lock(), 0

    def upscale(self: ServedModelClient, image: Any, guard: Any = None) -> Any:
        nonlocal begun
        with lock:
            begun += 1
            is_of_the_first = begun <= 4
        if is_of_the_first:
            four.wait()  # raises where the others do not come
        return image.repeat(2, 0).repeat(2, 1), ()

    monkeypatch.setattr(ServedModelClient, "upscale", upscale)
    with RemoteUpscaler("grpc://localhost:8001", MODEL) as upscaler:
        outcomes = list(upscaler.upscale_jobs(plan_jobs(tmp_path / "in", tmp_path / "out"), jobs=4))
    assert [outcome.error for outcome in outcomes] == [None] * 12
    assert begun == 12
    assert read_image(tmp_path / "out/00.png").pixels.shape == (18, 18, 3)


def test_a_ledger_is_not_for_a_server(tmp_path: Path, made_up: type[MadeUpServer]) -> None:
    from srn_deploy.inference.ledger import Ledger

    with RemoteUpscaler("grpc://localhost:8001", MODEL) as upscaler, \
            pytest.raises(OptionError, match="With a server no ledger can be given"):
        upscaler.upscale_jobs([], ledger=Ledger(tmp_path, None))
