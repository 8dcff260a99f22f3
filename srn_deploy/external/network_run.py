"""Runs a network of the user's own class: what it raises and what it returns become errors with a remedy."""

from __future__ import annotations

import inspect

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from srn_deploy.architectures.luma import LumaNetwork
from srn_deploy.errors import BackendError, OptionError, OutOfMemory
from srn_deploy.external.network_class import gpu_wanted, in_one_line, wants_gpu


class NetworkRun:
    """The network on arrays, as `srn_deploy.measurement` runs it."""

    def __init__(self, network: nn.Module, title: str) -> None:
        check_takes_one_image(network, title)
        self._network, self._title = network, title

    def __call__(self, images: NDArray[np.float32]) -> NDArray[np.float32]:
        """(1, C, h, w) to (1, C, scale*h, scale*w), float32. Raises BackendError for a size that it does not take,
        DeviceUnavailable where it wants a GPU, and OptionError where it does not return one image."""
        try:
            with torch.inference_mode():
                upscaled: object = self._network(torch.from_numpy(np.ascontiguousarray(images)))
        except MemoryError as error:
            raise OutOfMemory(f"{self._title} has no memory for {_size(images)}.",
                              remedy="Use smaller images.") from error
        except (Exception, SystemExit) as error:  # code of the user may raise anything
            raise self._translated(error, images) from error
        if not isinstance(upscaled, Tensor):
            raise OptionError(f"{self._title} returns a {type(upscaled).__name__}, not one tensor.",
                              remedy="Write a class around it whose forward returns the enlarged image alone.")
        array: NDArray[np.float32] = upscaled.float().numpy()
        return array

    def _translated(self, error: BaseException, images: NDArray[np.float32]) -> BackendError:
        if wants_gpu(error):
            return gpu_wanted(self._title, error)
        return BackendError(f"{self._title} fails on an image of {_size(images)}: {in_one_line(error)}.",
                            remedy="Check what sizes it takes.")


def check_takes_one_image(network: nn.Module, title: str) -> None:
    """Raise OptionError for a network whose forward needs more than one argument, or none."""
    parameters = list(inspect.signature(network.forward).parameters.values())
    needed = [one.name for one in parameters if one.default is one.empty
              and one.kind in (one.POSITIONAL_ONLY, one.POSITIONAL_OR_KEYWORD, one.KEYWORD_ONLY)]
    takes_any = any(one.kind is one.VAR_POSITIONAL for one in parameters)
    if len(needed) > 1 or (not parameters and not takes_any):
        raise OptionError(f"{title} takes {len(needed)} inputs ({', '.join(needed) or 'none'}), not one image.",
                          remedy="Write a class around it whose forward takes the image alone.")


def _size(images: NDArray[np.float32]) -> str:
    return f"{images.shape[3]} x {images.shape[2]} px"


class OwnLuma(LumaNetwork):
    """A network of the user's for luma: it takes and returns RGB in 0..1."""

    def __init__(self, network: nn.Module, scale: int, luma_range: float) -> None:
        super().__init__(scale, luma_range)
        self.network = network

    def upscale_luma(self, luma: Tensor) -> Tensor:
        """Y (N, 1, H, W) in 0..1 to (N, 1, scale*H, scale*W)."""
        return self.from_trained(self.network(self.as_trained(luma)))
