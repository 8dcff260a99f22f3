"""The bare graph on the real server, with its configuration, tensors and values.

The wheel that the server comes from has no ONNX Runtime backend. Here a backend of that name, in Python, opens the file
with this environment's ONNX Runtime: the server reads the configuration, picks the backend and passes the tensors on.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.triton_process import FOLDER, command, free_address, make_environment, running, variables
from srn_deploy.backends.onnx_runtime import OnnxRuntimeBackend
from srn_deploy.registry.shipped import shipped_models
from srn_deploy.serving.options import InstanceOptions, ServeOptions
from srn_deploy.tiling.interpolation import whole_geometry
from tests.triton_server import FIRST, MODEL, needs_server

pytest.importorskip("tritonclient.grpc", reason="needs tritonclient: pip install '.[triton]'")
pytest.importorskip("onnx", reason="needs onnx: pip install '.[torch]'")

from tritonclient.grpc import InferenceServerClient, InferInput
from tritonclient.utils import InferenceServerException

from srn_deploy.serving.repository import write_repository

BARE = f"{MODEL}-graph"

LIBRARIES = FOLDER / "nvidia_pytriton.libs"
"""What the Python backend's library needs and finds only from its own place."""

BACKEND = '''
import json
import numpy as np
import onnxruntime
import triton_python_backend_utils as triton


class TritonPythonModel:
    def initialize(self, args):
        self.config = json.loads(args["model_config"])
        assert self.config["backend"] == "onnxruntime", self.config
        path = f"{args['model_repository']}/{args['model_version']}/model.onnx"
        self.session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])

    def execute(self, requests):
        return [self.answer(request) for request in requests]

    def answer(self, request):
        given = {each["name"]: np.from_dlpack(triton.get_input_tensor_by_name(request, each["name"]))
                 for each in self.config["input"]}
        names = [each["name"] for each in self.config["output"]]
        return triton.InferenceResponse([
            triton.Tensor.from_dlpack(name, value) for name, value in zip(names, self.session.run(names, given))])
'''


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[InferenceServerClient]:
    """Of a server with the bare graph alone."""
    needs_server()
    folder, address = tmp_path_factory.mktemp("bare"), free_address()
    write_repository(folder / "models", [MODEL], ServeOptions(
        device="cpu", instances=InstanceOptions(threads=1), onnxruntime="1.22.0"))
    started = [*FIRST, *command(folder / "models", folder / "backends", address),
               "--model-control-mode=explicit", f"--load-model={BARE}"]
    add_backend(folder / "backends")
    environ = variables(make_environment(folder / "environment"))
    environ["LD_LIBRARY_PATH"] = os.pathsep.join(filter(None, (str(LIBRARIES), environ["LD_LIBRARY_PATH"])))
    with (running(started, address, folder / "log.txt", environ),
          InferenceServerClient(address.host_and_port) as opened):
        yield opened


def add_backend(folder: Path) -> None:
    """Beside the Python backend, whose library is copied: the server takes no link to it for other backends."""
    library = folder / "python/libtriton_python.so"
    real = library.resolve()
    library.unlink()
    shutil.copyfile(real, library)
    (folder / "onnxruntime").mkdir()
    (folder / "onnxruntime/model.py").write_text(BACKEND, encoding="utf-8")


def inputs(arrays: dict[str, Any]) -> list[InferInput]:
    made = []
    for name, array in arrays.items():
        made.append(InferInput(name, list(array.shape), "UINT8" if array.dtype == np.uint8 else "FP32"))
        made[-1].set_data_from_numpy(array)
    return made


def test_the_server_takes_the_graph_as_it_is_described_and_gives_what_it_gives_here(
        client: InferenceServerClient) -> None:
    assert client.is_model_ready(BARE)
    with closing(OnnxRuntimeBackend(shipped_models()[MODEL].graph.path)) as here:
        for size in ((40, 48), (33, 57)):
            pixels = np.random.default_rng(size[0]).integers(0, 256, (2, *size, 3), dtype=np.uint8)
            geometry = whole_geometry(2, *size, grids=here.spec.grids)
            answer = client.infer(BARE, inputs({"pixels": pixels, **geometry.named()}))
            (name,) = [each.name for each in answer.get_response().outputs]
            np.testing.assert_array_equal(answer.as_numpy(name), here.run(pixels, geometry))


def test_a_tensor_of_another_type_is_refused_by_the_server_itself(client: InferenceServerClient) -> None:
    with pytest.raises(InferenceServerException, match=r"data-type is 'FP32', but model .* expects 'UINT8'"):
        client.infer(BARE, inputs({name: np.zeros((1, 16, 16, 3)[:4 if name == "pixels" else 3], np.float32)
                                   for name in ("pixels", "rows", "cols")}))
