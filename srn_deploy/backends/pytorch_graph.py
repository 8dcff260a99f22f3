"""CUDA graphs for PyTorch: what a pass launches, recorded once for each shape and launched by one call."""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

TensorFunction = Callable[..., Tensor]
"""From tensors on the device to one tensor on the device."""

_Shapes = tuple[tuple[int, ...], ...]

MOST_GRAPHS = 4
"""The windows of a tiled image have at most two heights times two widths; each graph keeps memory of its own."""

_log = logging.getLogger(__name__)


@dataclass
class _Recorded:
    graph: torch.cuda.CUDAGraph
    inputs: list[Tensor]
    output: Tensor


class GraphedPass:
    """A function that is recorded as a CUDA graph when a shape comes for the second time.

    The result is valid until the next call with the same shapes.
    """

    def __init__(self, run: TensorFunction) -> None:
        self._run = run
        self._recorded: OrderedDict[_Shapes, _Recorded | None] = OrderedDict()
        self._works = True

    def __call__(self, *inputs: Tensor) -> Tensor:
        """Run eagerly, record a graph, or launch the recorded one."""
        key = tuple(tuple(tensor.shape) for tensor in inputs)
        if not self._works:
            return self._run(*inputs)
        if key not in self._recorded:  # the first run is not recorded: cuDNN chooses algorithms and allocates
            self._recorded[key] = None
            while len(self._recorded) > MOST_GRAPHS:
                self._recorded.popitem(last=False)
            return self._run(*inputs)
        self._recorded.move_to_end(key)
        recorded = self._recorded[key] or self._record(key, inputs)
        if recorded is None:
            return self._run(*inputs)
        for kept, given in zip(recorded.inputs, inputs, strict=True):
            kept.copy_(given)
        recorded.graph.replay()
        return recorded.output

    def _record(self, key: _Shapes, inputs: tuple[Tensor, ...]) -> _Recorded | None:
        """None, with a warning in the log, where CUDA cannot capture it; raises torch.OutOfMemoryError."""
        kept, graph = [tensor.clone() for tensor in inputs], torch.cuda.CUDAGraph()
        torch.cuda.synchronize()
        try:
            with torch.cuda.graph(graph):
                output = self._run(*kept)
        except torch.OutOfMemoryError:
            self._recorded.clear()
            raise
        except RuntimeError as error:
            _log.warning("CUDA graphs are not used: %s", str(error).splitlines()[0])
            self._works = False
            return None
        self._recorded[key] = _Recorded(graph, kept, output)
        return self._recorded[key]
