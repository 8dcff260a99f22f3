"""Checkpoints on PyTorch: the reference, and the fall-back of nobody who did not ask for it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch

from srn_deploy.architectures.forms import DeployForm
from srn_deploy.backends.batch import check_batch, completed_geometry
from srn_deploy.backends.protocol import Batch
from srn_deploy.checkpoint import LoadedNetwork
from srn_deploy.contract import ModelSpec, PixelType
from srn_deploy.errors import DeviceUnavailable, OutOfMemory
from srn_deploy.geometry import Geometry


class PyTorchBackend:
    """Eager float32 on the CPU or a GPU, channels last; takes uint8 and float32 batches."""

    def __init__(self, loaded: LoadedNetwork, device: str = "cpu") -> None:
        if device != "cpu" and not torch.cuda.is_available():
            raise DeviceUnavailable(f"PyTorch {torch.__version__} sees no GPU.",
                                    remedy="Use --device cpu, or install the driver and PyTorch's CUDA build.")
        self._spec, self._device = loaded.spec, torch.device(device)
        self._network = loaded.network.to(self._device)
        # torch's own annotations leave memory_format out.
        self._network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._forms = {kind: DeployForm(self._network, loaded.spec.value_range, kind) for kind in PixelType}

    @property
    def spec(self) -> ModelSpec:
        """What the checkpoint is."""
        return self._spec

    def run(self, batch: Batch, geometry: Geometry | None = None) -> Batch:
        """Upscale (N, H, W, 3) uint8 or float32; a fresh array of the same dtype."""
        check_batch(batch, geometry, self._spec, tuple(PixelType))
        with self._translated_errors(batch.shape), torch.inference_mode():
            arguments = [torch.from_numpy(batch).to(self._device)]
            if geometry is not None:
                arguments += [torch.from_numpy(geometry.rows).to(self._device),
                              torch.from_numpy(geometry.cols).to(self._device)]
            upscaled = self._forms[PixelType(str(batch.dtype))](*arguments)
            result: Batch = upscaled.contiguous().cpu().numpy()
            return result

    def prepare(self, shape: tuple[int, int, int]) -> Callable[[], None]:
        """One pass over resident uint8 pixels with the matrices of whole pictures; waits for the device."""
        pixels = torch.zeros((*shape, 3), dtype=torch.uint8, device=self._device)
        arguments = [pixels]
        if self._spec.has_esa:
            geometry = completed_geometry(pixels.cpu().numpy(), None)
            arguments += [torch.from_numpy(side).to(self._device) for side in (geometry.rows, geometry.cols)]

        def step() -> None:
            with torch.inference_mode():
                self._forms[PixelType.UINT8](*arguments)
            if self._device.type == "cuda":
                torch.cuda.synchronize(self._device)

        return step

    def close(self) -> None:
        """Drop the network."""
        self._forms.clear()

    @contextmanager
    def _translated_errors(self, shape: tuple[int, ...]) -> Iterator[None]:
        try:
            yield
        except torch.OutOfMemoryError as error:
            raise _out_of_memory(shape) from error
        except RuntimeError as error:
            if "allocate memory" in str(error):  # the CPU allocator's words for it
                raise _out_of_memory(shape) from error
            raise


def _out_of_memory(shape: tuple[int, ...]) -> OutOfMemory:
    return OutOfMemory(f"PyTorch has no memory for a batch of shape {shape}.", remedy="Use a smaller --tile.")
