"""Checkpoints on PyTorch: the reference that graphs are proved against, and a way to run without an export."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from srn_deploy.architectures.checkpoint import LoadedNetwork
from srn_deploy.architectures.forms import DeployForm, HalfCore
from srn_deploy.architectures.luma import LumaNetwork
from srn_deploy.architectures.window_form import WindowForm
from srn_deploy.backends.batch import check_batch, check_shape, matrices_of
from srn_deploy.backends.protocol import Batch
from srn_deploy.backends.pytorch_clock import elapsed_ms
from srn_deploy.backends.pytorch_graph import GraphedPass, TensorFunction
from srn_deploy.errors import BackendError, DeviceUnavailable, OutOfMemory, UnsuitableBatch
from srn_deploy.spec import ModelSpec, PixelType, Precision
from srn_deploy.system.threads import fitting_threads
from srn_deploy.tiling.interpolation import Geometry
from srn_deploy.tiling.shapes import Limits

_NARROW = {Precision.FP16: torch.float16, Precision.BF16: torch.bfloat16}


class PyTorchBackend:
    """Runs a copy of the network; takes uint8 and float32 batches.

    channels_last: the layout in memory, which is faster; False is that of most scripts. compiled: by torch.compile, on
    the first batch of each shape, which takes long: for benchmarks.

    In FP32 it runs eagerly; on a GPU the convolutions use cuDNN's default, which is TF32. In FP16 and BF16 the network
    computes in half precision, pixels before and after it do not; in FP16 on a GPU every shape is a CUDA graph from its
    second run on.
    PyTorch has one number of threads for the whole process, which is set here.
    """

    def __init__(self, loaded: LoadedNetwork, device: str = "cpu", *, precision: Precision = Precision.FP32,
                 channels_last: bool = True, compiled: bool = False) -> None:
        torch.set_num_threads(fitting_threads(torch.get_num_threads()))
        self._spec, self._device = replace(loaded.spec, precision=precision), torch.device(device)
        self.network = _moved(loaded, self._device, torch.channels_last if channels_last else torch.contiguous_format)
        """The copy that is run; it must not be changed."""
        core = HalfCore(self.network, _NARROW[precision]) if precision in _NARROW else self.network
        if compiled:
            core.compile(dynamic=False)
        self._forms: dict[PixelType, TensorFunction] = {
            kind: WindowForm(DeployForm(core, loaded.spec.value_range, kind), loaded.spec.grids) for kind in PixelType}
        if precision is Precision.FP16 and self._device.type == "cuda":
            self._forms = {kind: GraphedPass(form) for kind, form in self._forms.items()}

    @property
    def spec(self) -> ModelSpec:
        """What the checkpoint is."""
        return self._spec

    @property
    def limits(self) -> Limits:
        """Any size; on a GPU half of the free memory."""
        if self._device.type == "cpu":
            return Limits()
        return Limits(activation_bytes=torch.cuda.mem_get_info(self._device)[0] // 2)

    def run(self, batch: Batch, geometry: Geometry | None = None) -> Batch:
        """Upscale (N, H, W, 3) uint8 or float32; a new array of the same dtype."""
        check_batch(batch, geometry, self._spec)
        form = self._form(PixelType(str(batch.dtype)))
        with _translated_errors(batch.shape), torch.inference_mode():
            arrays: list[Batch] = [batch, *(geometry.named().values() if geometry is not None else ())]
            result: Batch = form(*map(self._resident, arrays)).contiguous().cpu().numpy()
            return result

    def upscale_luma(self, plane: NDArray[np.float32]) -> NDArray[np.float32]:
        """Upscale luma (H, W) float32 in 0..255 by a network that works on luma; the result is clipped, not rounded.

        The published figures of such networks are measured on this. Raises UnsuitableBatch for other networks.
        """
        self._form(PixelType.FLOAT32)  # raises BackendError where this backend has been closed
        if not isinstance(self.network, LumaNetwork):
            raise UnsuitableBatch(f"{self._spec.architecture} works on RGB, not on luma.",
                                  remedy="Upscale the image and take the luma of the result.")
        with _translated_errors(plane.shape), torch.inference_mode():
            dtype = next(self.network.parameters()).dtype
            upscaled = self.network.upscale_luma((self._resident(plane)[None, None] / 255.0).to(dtype)).float()
            result: NDArray[np.float32] = (upscaled[0, 0] * 255.0).clamp(0.0, 255.0).cpu().numpy()
            return result

    def prepare(self, shape: tuple[int, int, int]) -> Callable[[], None]:
        """A step that runs one batch of black images, which are on the device already, and waits for the device."""
        check_shape(shape, self._spec)
        form, pixels = self._form(PixelType.UINT8), np.zeros((*shape, 3), np.uint8)
        with _translated_errors(shape):
            arrays: list[Batch] = [pixels, *matrices_of(pixels, None, self._spec).values()]
            arguments = list(map(self._resident, arrays))

        def step() -> None:
            with _translated_errors(shape), torch.inference_mode():
                form(*arguments)
                if self._device.type == "cuda":
                    torch.cuda.synchronize(self._device)

        return step

    def measure(self, shape: tuple[int, int, int]) -> Callable[[], float]:
        """A step like that of `prepare` that returns its milliseconds: between events on a GPU, else by the clock."""
        return partial(elapsed_ms, self.prepare(shape), self._device)

    def close(self) -> None:
        """Drop the network."""
        self._forms.clear()

    def _form(self, kind: PixelType) -> TensorFunction:
        if not self._forms:
            raise BackendError("This backend has been closed.", remedy="Open the artefact again.")
        return self._forms[kind]

    def _resident(self, array: Batch) -> Tensor:
        # torch refuses negative strides, which a flipped image has.
        return torch.from_numpy(np.ascontiguousarray(array)).to(self._device)


def _moved(loaded: LoadedNetwork, device: torch.device, layout: torch.memory_format) -> torch.nn.Module:
    """A copy on the device. A convolution is tried there: a GPU that is too old or too new fails only then."""
    if device.type != "cpu" and not torch.cuda.is_available():
        raise _no_gpu("it finds none")
    try:
        network = copy.deepcopy(loaded.network).to(device)
        # torch's annotations do not have memory_format.
        network.to(memory_format=layout)  # type: ignore[call-overload]
        if device.type != "cpu":
            torch.nn.functional.conv2d(torch.zeros(1, 1, 8, 8, device=device), torch.zeros(1, 1, 3, 3, device=device))
            torch.cuda.synchronize(device)
    except RuntimeError as error:
        raise _no_gpu(str(error).splitlines()[0]) from error
    return network


def _no_gpu(reason: str) -> DeviceUnavailable:
    return DeviceUnavailable(f"PyTorch {torch.__version__} cannot use a GPU: {reason}.",
                             remedy="Use --device cpu, or install the driver and PyTorch's CUDA build for this GPU.")


_NO_MEMORY = ("allocate memory", "could not create a primitive", "could not create a memory")
"""Messages of PyTorch's allocator on a CPU, and of oneDNN where an allocation of its own fails."""


def is_out_of_memory(error: Exception) -> bool:
    """Whether an error of PyTorch means that memory is missing; on a CPU only its message says so."""
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or any(one in str(error) for one in _NO_MEMORY)


@contextmanager
def _translated_errors(shape: tuple[int, ...]) -> Iterator[None]:
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if is_out_of_memory(error):
            raise OutOfMemory(f"PyTorch has no memory for a batch of shape {shape}.",
                              remedy="Use a smaller --tile.") from error
        raise BackendError(f"PyTorch failed on a batch of shape {shape}: {(str(error).splitlines() or [''])[0][:200]}",
                           remedy="Report this with the checkpoint's `srn-deploy info`.") from error
