"""A client of a served model: what it says of itself, and images to it and back, over gRPC.

Errors of gRPC and of the server become ours here.
"""

from __future__ import annotations

import json
import math
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

import numpy as np
from tritonclient.grpc import InferenceServerClient, InferInput, InferRequestedOutput, KeepAliveOptions
from tritonclient.utils import InferenceServerException

from srn_deploy.errors import ModelNotServed, NoServer, OtherContract, RequestRefused, ServingError, SrnDeployError
from srn_deploy.inference.guard import Guard
from srn_deploy.inference.stages import Sentences
from srn_deploy.serving.address import host_and_port
from srn_deploy.serving.contract import CONTRACT, FINDINGS, GUARD, TENSORS, Parameter, too_large
from srn_deploy.tiling.tiles import PixelArray

CONNECT_S = 10.0
"""A server that does not answer a question about itself within this time is none."""

QUIET_S = 310.0
"""After so long without a sign of life the connection is tried. Servers take more than one question in 300 s for an
attack, and a large image may take as long."""

PATIENCE_S = 60.0
"""How long a request is sent again to a server whose queue is full."""

PAUSE_S = 0.1

_FULL_QUEUE = "Exceeds maximum queue size"
_WAITED_TOO_LONG = "Request timeout expired"
_NOT_SERVED = "Request for unknown model"
_NOT_HEALTHY = "is not healthy"
"""Of the process that runs a model: it ended, or showed no sign of life for a second."""
_LOST = ("StatusCode.UNAVAILABLE", "StatusCode.CANCELLED", "StatusCode.DEADLINE_EXCEEDED")
"""What a server that ends, or that is not there, leaves behind."""

Replied = TypeVar("Replied")


class ServedModelClient:
    """A model on a server. Any number of threads may use it; whoever opens it closes it.

    address: as in grpc://localhost:8001. Raises OptionError for an address of another form, NoServer, ModelNotServed,
    and OtherContract for a model that is not one of srn-deploy in a version that is understood.
    """

    def __init__(self, address: str, model: str) -> None:
        self.address, self.model = address, model
        self._target = host_and_port(address)
        self._of_thread = threading.local()
        self._opened: list[InferenceServerClient] = []
        self._lock = threading.Lock()
        try:
            said = self._described()
            self.scale = int(said[Parameter.SCALE])
            self.most_megapixels = float(said.get(Parameter.MOST_MEGAPIXELS, math.inf))
        except BaseException:
            self.close()
            raise

    def upscale(self, image: PixelArray, guard: Guard | None = None) -> tuple[PixelArray, Sentences]:
        """Upscale (H, W, C) on the server; the result, of the same dtype, is not to be written to.

        image: grey, grey and alpha, RGB, or RGBA; uint8, uint16 or float32 in 0..1. guard: None leaves it to the
        server. Returns what the guard found, too. Raises RequestRefused, for an image that is larger than the server
        takes before it is sent, NoServer and ModelNotServed.
        """
        if reason := too_large(image.shape, image.itemsize, self.scale, self.most_megapixels):
            raise RequestRefused(reason, remedy="Upscale it without --server, or in parts, or serve the model with "
                                                "more --max-megapixels.")
        tensors = next(each for each in TENSORS if each.dtype == image.dtype.name)
        given = InferInput(tensors.image, list(image.shape), tensors.triton_type)
        given.set_data_from_numpy(np.ascontiguousarray(image))
        wanted = [InferRequestedOutput(name) for name in (tensors.upscaled, FINDINGS)]
        how = None if guard is None else {GUARD: guard.value}
        answer = self._patiently(lambda client: client.infer(self.model, [given], outputs=wanted, parameters=how))
        return answer.as_numpy(tensors.upscaled), tuple(json.loads(answer.as_numpy(FINDINGS).tobytes()))

    def close(self) -> None:
        """Close the connections; calling it twice is harmless."""
        with self._lock:
            opened, self._opened = self._opened, []
        for client in opened:
            client.close()

    def _described(self) -> dict[str, str]:
        """The parameters of the model, once it is known to be there and ready."""
        index = self._ask(lambda client: client.get_model_repository_index(client_timeout=CONNECT_S)).models
        states = {(entry.name, entry.state): entry.reason for entry in index}
        if (self.model, "READY") not in states:
            raise self._not_served([name for name, state in states if state == "READY"],
                                   next((f" ({reason})" for (name, _), reason in states.items()
                                         if name == self.model and reason), ""))
        config = self._ask(lambda client: client.get_model_config(self.model, client_timeout=CONNECT_S)).config
        said = {key: str(value.string_value) for key, value in config.parameters.items()}
        if said.get(Parameter.CONTRACT) != CONTRACT:
            raise self._other_contract(said)
        return said

    def _not_served(self, ready: list[str], reason: str = "") -> ModelNotServed:
        return ModelNotServed(f"The server at {self.address} has no model {self.model} that is ready{reason}.",
                              remedy=f"Ready are: {', '.join(sorted(set(ready)))}." if ready else
                              "Write it with `srn-deploy triton-repository`, or look at the server's log.")

    def _other_contract(self, said: dict[str, str]) -> OtherContract:
        if Parameter.CONTRACT not in said:
            return OtherContract(f"{self.model} at {self.address} was not written by `srn-deploy triton-repository`.",
                                 remedy="Give the --model that was; the bare graphs and engines beside it are for "
                                        "clients that tile themselves.")
        return OtherContract(
            f"{self.model} at {self.address} speaks version {said[Parameter.CONTRACT]} of the protocol, written by "
            f"srn-deploy {said.get(Parameter.VERSION, 'of an unknown version')}, and this program version {CONTRACT}.",
            remedy="Use the same version of srn-deploy on both sides, and write the repository again.")

    def _patiently(self, call: Callable[[InferenceServerClient], Replied]) -> Replied:
        """As `_ask`; where the queue of the server is full the request is sent again for a while."""
        deadline = time.monotonic() + PATIENCE_S
        while True:
            try:
                return self._ask(call)
            except _QueueIsFull:
                if time.monotonic() > deadline:
                    raise RequestRefused(
                        f"The queue of {self.model} at {self.address} was full for {PATIENCE_S:.0f} s.",
                        remedy="Try again later, or serve the model with a longer --queue.") from None
                time.sleep(PAUSE_S)

    def _ask(self, call: Callable[[InferenceServerClient], Replied]) -> Replied:
        try:
            return call(self._client())
        except InferenceServerException as error:
            raise self._translated(str(error.status()), str(error.message())) from error

    def _client(self) -> InferenceServerClient:
        """That of this thread: they are not made to be shared. gRPC shares the connection."""
        client = getattr(self._of_thread, "client", None)
        if client is None:
            alive = KeepAliveOptions(keepalive_time_ms=int(QUIET_S * 1000), keepalive_timeout_ms=int(CONNECT_S * 1000),
                                     http2_max_pings_without_data=0)
            client = self._of_thread.client = InferenceServerClient(self._target, keepalive_options=alive)
            with self._lock:
                self._opened.append(client)
        return client

    def _translated(self, status: str, text: str) -> SrnDeployError:
        if _FULL_QUEUE in text:
            return _QueueIsFull(text, remedy="Try again.")
        if _WAITED_TOO_LONG in text:
            return RequestRefused(f"The image waited longer in the queue of {self.model} at {self.address} than the "
                                  "server lets it.", remedy="Try again with fewer --jobs, or serve the model with a "
                                                            "longer --queue-timeout.")
        if _NOT_SERVED in text:
            return self._not_served([], f" ({text})")
        if _NOT_HEALTHY in text:
            return ModelNotServed(f"{self.model} at {self.address} runs no more ({_short(text)}).",
                                  remedy="Start the server again, which does not do that by itself; why the process of "
                                         "the model ended or stood still is in its log.")
        if status in _LOST:
            return NoServer(f"No server answers at {self.address} ({_short(text)}).",
                            remedy="Start it, or correct the address; 8001 is Triton's port for gRPC.")
        message, _, remedy = text.partition("\n")
        return RequestRefused(message, remedy=remedy or "Look at the log of the server.")


class _QueueIsFull(ServingError):
    """There is no place in the queue now; caught here."""


def _short(text: str) -> str:
    """What gRPC says, without its details."""
    with suppress(IndexError):
        return text.splitlines()[0][:120].rstrip(". ")
    return "no reason given"

