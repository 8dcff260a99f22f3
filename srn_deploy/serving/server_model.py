"""What Triton's Python backend runs: one opened model for each instance, images of any size, errors in words.

Triton imports this through the `model.py` of the repository. Pixels go through DLPack in both directions: the tensors
of earlier servers do not understand the arrays of NumPy 2. What is logged goes to stderr, which is the server's.
"""

from __future__ import annotations

import ctypes
import json
import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import triton_python_backend_utils as triton

from srn_deploy.api import Upscaler
from srn_deploy.errors import BackendError, OptionError, SrnDeployError, UnsuitableBatch
from srn_deploy.image.pillow_images import pixels_of
from srn_deploy.inference.arrays import colour_and_alpha, like_input, upscale_colour_and_alpha
from srn_deploy.inference.guard import Guard
from srn_deploy.serving.contract import FINDINGS, GUARD, TENSORS, PixelTensors, too_large
from srn_deploy.serving.served import ServedModel
from srn_deploy.tiling.tiles import PixelArray

_VISIBLE_GPUS = "CUDA_VISIBLE_DEVICES"

_NO_GPU = "-1"

_GREY_AND_ALPHA = 2

_TAKEN = b"used_dltensor"
"""What the DLPack protocol calls a capsule whose tensor was taken. Triton calls it otherwise, and NumPy complains."""

_set_name = ctypes.pythonapi.PyCapsule_SetName
_set_name.argtypes = (ctypes.py_object, ctypes.c_char_p)

_log = logging.getLogger(__name__)


class TritonPythonModel:
    """The interface of Triton's Python backend; one object for each instance, in a process of its own."""

    _upscaler: Upscaler
    _served: ServedModel

    def initialize(self, args: Mapping[str, str]) -> None:
        """Open the model of the version that is loaded; an exception is why the server does not load it."""
        os.environ[_VISIBLE_GPUS] = visible_gpu(args["model_instance_kind"], args["model_instance_device_id"],
                                                os.environ.get(_VISIBLE_GPUS, ""))
        log_to_stderr(args["model_instance_name"])
        folder = Path(args["model_repository"], args["model_version"])
        self._served = ServedModel.read(folder)
        self._upscaler = self._served.open(folder)

    def execute(self, requests: Sequence[Any]) -> list[Any]:
        """One answer for each request; what is wrong with one is the answer to that one alone."""
        return [self._answer(request) for request in requests]

    def finalize(self) -> None:
        """Close the model."""
        self._upscaler.close()

    def _answer(self, request: Any) -> Any:
        try:
            tensors, image = _image_of(request)
            large, findings = self._upscaled(image, _guard_of(request, self._served.guard))
        except SrnDeployError as error:
            is_theirs = not isinstance(error, BackendError) or isinstance(error, UnsuitableBatch)
            return _error(str(error), triton.TritonError.INVALID_ARG if is_theirs else triton.TritonError.INTERNAL)
        except MemoryError:
            return _error("The server has not enough memory for this image.\nSend a smaller one, or try again later.",
                          triton.TritonError.INTERNAL)
        except Exception as error:  # noqa: BLE001  # the server goes on with the next request
            _log.exception("A request failed.")
            return _error(f"The server failed ({type(error).__name__}: {error}).\nSee its log.",
                          triton.TritonError.INTERNAL)
        text = np.frombuffer(json.dumps(findings).encode(), np.uint8).copy()
        return triton.InferenceResponse([_tensor(tensors.upscaled, large), _tensor(FINDINGS, text)])

    def _upscaled(self, image: PixelArray, guard: Guard) -> tuple[PixelArray, tuple[str, ...]]:
        """(H, W, C) upscaled, and what the guard found; raises UnsuitableBatch and what `Upscaler.upscale` raises."""
        if reason := too_large(image.shape, image.itemsize, self._served.scale, self._served.max_megapixels):
            raise OptionError(reason, remedy="Send a smaller one, or serve the model with more --max-megapixels.")
        colour, alpha = _parts(image)
        setup = replace(self._upscaler.setup, guard=guard)
        large, large_alpha, findings = upscale_colour_and_alpha(colour, alpha, setup)
        return like_input(image, large, large_alpha), findings


def log_to_stderr(instance: str) -> None:
    """Show what the library says, INFO and above, beside the lines of the server."""
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter(f"srn-deploy {instance}: %(levelname)s: %(message)s"))
    logger = logging.getLogger("srn_deploy")
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)


def visible_gpu(kind: str, number: str, visible: str) -> str:
    """The CUDA_VISIBLE_DEVICES of an instance: its GPU alone, or none. visible: what holds for the server."""
    if kind != "GPU":
        return _NO_GPU
    named = [name.strip() for name in visible.split(",") if name.strip()]
    return named[int(number)] if int(number) < len(named) else number


def _image_of(request: Any) -> tuple[PixelTensors, PixelArray]:
    """The one image of a request, (H, W, C); it is the server's and cannot be written to."""
    given = [(tensors, tensor) for tensors in TENSORS
             if (tensor := triton.get_input_tensor_by_name(request, tensors.image)) is not None]
    if len(given) != 1:
        raise UnsuitableBatch(f"A request has one image, not {len(given)}.",
                              remedy=f"Send one of {', '.join(tensors.image for tensors in TENSORS)}.")
    tensors, tensor = given[0]
    shape = tuple(tensor.shape())
    if 0 in shape:
        raise UnsuitableBatch(f"An image of shape {shape} has no pixels.", remedy="Send (height, width, channels).")
    return tensors, np.from_dlpack(tensor)


def _parts(image: PixelArray) -> tuple[PixelArray, PixelArray | None]:
    """Colour and alpha of an image with one to four channels; raises UnsuitableBatch and OptionError."""
    if image.shape[2] == _GREY_AND_ALPHA:
        return colour_and_alpha(pixels_of(image[..., :1]))[0], image[..., 1:]
    return colour_and_alpha(pixels_of(image))


def _guard_of(request: Any, default: str) -> Guard:
    parameters = json.loads(request.parameters() or "{}")
    return Guard.named(parameters.get(GUARD, default))


def _tensor(name: str, values: PixelArray) -> Any:
    capsule = np.ascontiguousarray(values).__dlpack__()
    tensor = triton.Tensor.from_dlpack(name, capsule)
    _set_name(capsule, _TAKEN)
    return tensor


def _error(text: str, code: int) -> Any:
    return triton.InferenceResponse(error=triton.TritonError(text, code))
