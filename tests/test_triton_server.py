"""The model on the real server: bit for bit what runs here, and whatever is sent, the server goes on."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import srn_deploy
from benchmarks.triton_process import Address, is_ready, metrics
from srn_deploy.serving.contract import TENSORS
from tests.triton_server import BROKEN, MODEL, broken_graph, needs_server, shared_server

Pixels = NDArray[Any]

CLIENTS, REQUESTS = 8, 50

SIZES = ((16, 24), (24, 16), (17, 31), (40, 33), (8, 8), (48, 21))
"""Small, of both parities, and below and above what the network takes without reflection."""


@pytest.fixture(scope="module")
def address() -> Address:
    needs_server()
    return shared_server()


@pytest.fixture(scope="module")
def here() -> Iterator[srn_deploy.Upscaler]:
    """The same model, opened in this process as the server opens it."""
    with srn_deploy.load(MODEL, device="cpu") as upscaler:
        yield upscaler


def noise(shape: tuple[int, ...], dtype: Any = np.uint8, seed: int = 0) -> Pixels:
    values = np.random.default_rng(seed).random(shape)
    return (values if dtype == np.float32 else values * np.iinfo(dtype).max).astype(dtype)


def client(address: Address) -> Any:
    from tritonclient.grpc import InferenceServerClient

    return InferenceServerClient(address.host_and_port)


def answer(opened: Any, image: Pixels, name: str | None = None, kind: str | None = None,
           guard: str | None = None, model: str = MODEL) -> tuple[Pixels, list[str]]:
    from tritonclient.grpc import InferInput

    tensors = next(each for each in TENSORS if each.dtype == str(image.dtype))
    given = InferInput(name or tensors.image, list(image.shape), kind or tensors.triton_type)
    given.set_data_from_numpy(image)
    result = opened.infer(model, [given], parameters=None if guard is None else {"guard": guard})
    return result.as_numpy(tensors.upscaled), json.loads(result.as_numpy("FINDINGS").tobytes())


def refusal(opened: Any, image: Pixels, **how: Any) -> tuple[str, str]:
    """Status and text of an error."""
    from tritonclient.utils import InferenceServerException

    with pytest.raises(InferenceServerException) as caught:
        answer(opened, image, **how)
    return str(caught.value.status()), str(caught.value.message())


def test_the_server_is_live_and_its_model_ready(address: Address) -> None:
    opened = client(address)
    assert (opened.is_server_live(), opened.is_server_ready(), opened.is_model_ready(MODEL)) == (True, True, True)
    assert is_ready(address)


def test_many_clients_at_once_get_what_runs_here_bit_for_bit(address: Address, here: srn_deploy.Upscaler) -> None:
    images = [noise((*size, 3), seed=number) for number, size in enumerate(SIZES)]
    expected = [here.upscale(image) for image in images]

    def requests(number: int) -> list[int]:
        opened = client(address)
        chosen = [(number + turn) % len(SIZES) for turn in range(REQUESTS)]
        return [which for which in chosen if not np.array_equal(answer(opened, images[which])[0], expected[which])]

    with ThreadPoolExecutor(CLIENTS) as threads:
        assert list(threads.map(requests, range(CLIENTS))) == [[]] * CLIENTS


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_every_kind_of_image_is_upscaled_as_here(address: Address, here: srn_deploy.Upscaler, channels: int,
                                                 dtype: str) -> None:
    image = noise((20, 27, channels), np.dtype(dtype).type)
    np.testing.assert_array_equal(answer(client(address), image)[0], here.upscale(image))


def test_grey_with_alpha_is_upscaled_as_grey_and_as_alpha(address: Address, here: srn_deploy.Upscaler) -> None:
    grey, alpha = noise((20, 24, 1)), np.full((20, 24, 1), 255, np.uint8)
    large, _ = answer(client(address), np.dstack([grey, alpha]))
    np.testing.assert_array_equal(large[..., :1], here.upscale(grey))
    assert (large[..., 1] == 255).all()


def test_an_image_at_the_limit_is_taken_and_one_beyond_it_refused_with_both_numbers(address: Address) -> None:
    opened = client(address)
    assert answer(opened, noise((100, 200, 3)))[0].shape == (200, 400, 3)
    status, text = refusal(opened, noise((101, 200, 3)))
    assert status == "StatusCode.INVALID_ARGUMENT"
    assert text.startswith("The image has 200 x 101 px (0.0202 megapixels), and this server takes 0.02.\n")


def test_the_size_is_looked_at_before_the_pixels(address: Address) -> None:
    _, text = refusal(client(address), np.full((101, 200, 3), np.nan, np.float32))
    assert text.startswith("The image has 200 x 101 px")


@pytest.mark.parametrize(("image", "how", "words"), [
    (noise((8, 8, 3)), {"name": "IMAGE_16", "kind": "UINT8"}, "data-type is 'UINT8', but model .* expects 'UINT16'"),
    (noise((8, 8)), {}, "unexpected shape for input 'IMAGE'"),
    (noise((1, 8, 8, 3)), {}, "unexpected shape for input 'IMAGE'"),
    (noise((0, 8, 3)), {}, "has no pixels"), (noise((8, 0, 3)), {}, "has no pixels"),
    (noise((8, 8, 0)), {}, "has no pixels"), (noise((8, 8, 5)), {}, "An image has shape"),
    (noise((8, 8, 3)), {"name": "PICTURE"}, "unexpected inference input 'PICTURE'"),
    (noise((8, 8, 3)), {"guard": "maybe"}, "A guard cannot be 'maybe'"),
    (noise((8, 8, 3), np.float32) * 255, {}, "Pixels of float32 lie in 0"),
    (np.full((8, 8, 3), np.nan, np.float32), {}, "not finite")],
    ids=["dtype", "rank 2", "rank 4", "no rows", "no columns", "no channels", "five channels", "another input",
         "guard", "levels", "not finite"])
def test_a_malformed_request_is_answered_and_the_server_goes_on(
        address: Address, here: srn_deploy.Upscaler, image: Pixels, how: dict[str, str], words: str) -> None:
    opened, good = client(address), noise((9, 9, 3))
    status, text = refusal(opened, image, **how)
    assert status == "StatusCode.INVALID_ARGUMENT"
    assert re.search(words, text)
    np.testing.assert_array_equal(answer(opened, good)[0], here.upscale(good))


def test_a_request_without_an_image_or_with_two_is_refused(address: Address) -> None:
    from tritonclient.grpc import InferInput
    from tritonclient.utils import InferenceServerException

    given = []
    for tensors in TENSORS[:2]:
        given.append(InferInput(tensors.image, [8, 8, 3], tensors.triton_type))
        given[-1].set_data_from_numpy(noise((8, 8, 3), np.dtype(tensors.dtype).type))
    for inputs in ([], given):
        with pytest.raises(InferenceServerException, match=f"one image, not {len(inputs)}"):
            client(address).infer(MODEL, inputs)


@pytest.mark.parametrize("guard", [None, "off", "warn", "repair"])
def test_what_the_guard_finds_is_told_and_repaired_as_here(
        address: Address, tmp_path: Path, caplog: pytest.LogCaptureFixture, guard: str | None) -> None:
    image = noise((40, 40, 3)) // 2 + 100
    with srn_deploy.load(broken_graph(tmp_path / "black.onnx"), device="cpu", guard=guard or "warn") as here:
        caplog.clear()
        expected = here.upscale(image)
    large, findings = answer(client(address), image, model=BROKEN, guard=guard)
    np.testing.assert_array_equal(large, expected)
    assert findings == [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert bool(findings) == (guard != "off")
    assert bool(large.any()) == (guard == "repair")


def test_metrics_count_the_requests(address: Address) -> None:
    def done() -> int:
        (line,) = [line for line in metrics(address).splitlines()
                   if line.startswith(f'nv_inference_request_success{{model="{MODEL}"')]
        return int(line.split()[-1])

    before = done()
    answer(client(address), noise((8, 8, 3)))
    deadline = time.monotonic() + 30
    while done() <= before:  # it is counted once it is answered
        assert time.monotonic() < deadline
        time.sleep(0.05)
