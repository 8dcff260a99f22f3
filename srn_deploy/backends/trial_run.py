"""Opens a graph and runs it once on a small black image; the answer is how that ended.

Run as `python -m srn_deploy.backends.trial_run`, by `run_bounded`: a request is the library and the path, on two lines.
"""

from __future__ import annotations

import json
import os
from contextlib import closing
from dataclasses import asdict
from pathlib import Path

import numpy as np

from srn_deploy.backends.first_run import TrialAnswer, run_without_trial
from srn_deploy.backends.protocol import Backend
from srn_deploy.errors import GraphError, OutOfMemory, SrnDeployError
from srn_deploy.system.bounded_process import answer_request
from srn_deploy.tiling.tiles import rounded_up

LEAST_SIDE_PX = 16


def run_once(library: str, path: Path) -> TrialAnswer:
    """Open a graph on a library (`onnxruntime` or `openvino`) and run it; the answer is empty where that succeeds."""
    try:
        with closing(_opened(library, path)) as backend:
            height, width = _small_size(backend)
            backend.run(np.zeros((1, height, width, 3), backend.spec.pixel_type))
    except OutOfMemory as error:
        return TrialAnswer(error=GraphError.__name__, message=f"{path} cannot be run, not even on a small image: "
                           f"{error.message}", remedy="Export the network again with the program that made it.")
    except SrnDeployError as error:
        return TrialAnswer(error=type(error).__name__, message=error.message, remedy=error.remedy)
    return TrialAnswer()


def _opened(library: str, path: Path) -> Backend:
    if library == "openvino":
        from srn_deploy.backends.open_vino import OpenVinoBackend

        return OpenVinoBackend(path)
    from srn_deploy.backends.onnx_runtime import OnnxRuntimeBackend

    return OnnxRuntimeBackend(path)


def _small_size(backend: Backend) -> tuple[int, int]:
    if shapes := backend.limits.shapes:
        return shapes[0].smallest
    step = backend.spec.size_multiple_px
    side_px = rounded_up(max(backend.spec.min_side_px, LEAST_SIDE_PX), step)
    return side_px, side_px + step


def answer(request: bytes) -> bytes:
    """Run what the two lines of a request name; how that ended, as JSON."""
    library, _, path = request.partition(b"\n")
    return json.dumps(asdict(run_once(library.decode(), Path(os.fsdecode(path))))).encode()


if __name__ == "__main__":
    run_without_trial()
    answer_request(answer)
