"""NVIDIA's Triton Inference Server for tests: one for a whole run, and others that a test may kill."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import pytest
from filelock import FileLock

from benchmarks.triton_process import (
    Address,
    command,
    free_address,
    is_ready,
    make_environment,
    running,
    shared_memory_names,
    variables,
    wait_until_ready,
    why_no_server,
)
from srn_deploy.serving.options import InstanceOptions, ServeOptions
from srn_deploy.spec import Form, ModelSpec
from tests.run_folder import open_lifeline, run_folder

_BEFORE_OTHERS = '[ -w /proc/self/autogroup ] && echo -10 >/proc/self/autogroup; exec nice -n -10 "$@"'

FIRST = ["sh", "-c", _BEFORE_OTHERS, "sh"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []
"""The server goes before the tests where that is allowed, among the threads of its session and as a session: it aborts
where the process of a model does not get the processor for a second."""

_UNTIL_THE_RUN_ENDS = '"$@" & cat >&2; kill $!; wait $!; rm -f /dev/shm/"$NAMES"*'
"""For sh: `cat` reads the lifeline, which ends with the run."""

MODEL = "srn-s-b6-x2"

BROKEN = "black"
"""A model that makes everything black."""

MEGAPIXELS = 0.02
"""What the server takes at most: 200 x 100 px."""


def needs_server() -> None:
    """Skip a test where there is no server, with the line that installs it."""
    pytest.importorskip("tritonclient.grpc", reason="needs tritonclient: pip install '.[triton]'")
    if reason := why_no_server():
        pytest.skip(reason)


def make_repository(folder: Path, environment: Path | None, *models: str) -> Path:
    """A model repository on one thread of the CPU."""
    from srn_deploy.serving.repository import write_repository

    write_repository(folder, models, ServeOptions(device="cpu", environment=environment, max_megapixels=MEGAPIXELS,
                                                  instances=InstanceOptions(threads=1)))
    return folder


def broken_graph(path: Path) -> Path:
    """A graph that makes everything black, twice as large, so that the guard has something to find."""
    import onnx
    from onnx import TensorProto, helper

    from srn_deploy.graph.onnx_file import stamped

    image, large = (helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 3, height, width])
                    for name, height, width in (("image", "height", "width"), ("large", None, None)))
    values = [helper.make_tensor("scales", TensorProto.FLOAT, [4], [1, 1, 2, 2]),
              helper.make_tensor("nothing", TensorProto.FLOAT, [], [0])]
    nodes = [helper.make_node("Resize", ["image", "", "scales"], ["enlarged"], mode="nearest"),
             helper.make_node("Mul", ["enlarged", "nothing"], ["large"])]
    graph = helper.make_graph(nodes, "black", [image], [large], values)
    spec = ModelSpec(architecture="black", options={}, scale=2, value_range=1.0, form=Form.PORTABLE)
    onnx.save(stamped(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10), spec), path)
    return path


@contextmanager
def own_server(folder: Path, address: Address) -> Iterator[subprocess.Popen[bytes]]:
    """A server that the test may kill; it finds the Python of its models by its PATH."""
    environment, repository = folder / "environment", folder / "models"
    if not repository.exists():
        make_repository(repository, None, MODEL)
        make_environment(environment)
    with running(FIRST + command(repository, folder / "backends", address), address, folder / "log.txt",
                 variables(environment)) as process:
        yield process


def shared_server() -> Address:
    """The one server of a run of the tests, which the first process that needs it starts and which ends with the run.

    Its repository names the Python environment, so that it needs no PATH.
    """
    run = run_folder()
    assert run is not None, "the server is shared by a run of the tests"
    folder = run / "triton"
    with FileLock(run / "triton.lock"):
        known = folder / "address.json"
        if known.exists() and is_ready(address := Address(**json.loads(known.read_text(encoding="utf-8")))):
            return address
        folder.mkdir(exist_ok=True)
        known.write_text(json.dumps(asdict(address := _started(folder))), encoding="utf-8")
        return address


def _started(folder: Path) -> Address:
    address, log = free_address(), folder / "log.txt"
    environment, repository = folder / "environment", folder / "models"
    if not repository.exists():
        make_repository(repository, make_environment(environment), MODEL, str(broken_graph(folder / f"{BROKEN}.onnx")))
    started = command(repository, folder / "backends", address)
    with open_lifeline() as lifeline, log.open("wb") as output:
        process = subprocess.Popen(["sh", "-c", _UNTIL_THE_RUN_ENDS, "sh", *FIRST, *started],
                                   stdin=lifeline, stdout=output, stderr=output, start_new_session=True,
                                   env=variables() | {"NAMES": shared_memory_names(address)})
    wait_until_ready(address, process, log)
    process.returncode = 0  # it outlives this process
    return address
