"""CUDA graphs for PyTorch: what a pass launches, recorded once for each shape and launched by one call."""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

Pass = Callable[..., Tensor]
"""Tensors on the device to one tensor on the device."""

Key = tuple[tuple[int, ...], ...]

MOST_GRAPHS = 4
"""A tiled picture has at most two heights times two widths; each graph keeps its own memory."""

_log = logging.getLogger(__name__)


@dataclass
class _Recorded:
    graph: torch.cuda.CUDAGraph
    inputs: list[Tensor]
    output: Tensor


class GraphedPass:
    """A pass whose second run of a shape is recorded; the result lives until the next run of that shape."""

    def __init__(self, run: Pass) -> None:
        self._run = run
        self._recorded: OrderedDict[Key, _Recorded | None] = OrderedDict()
        self._works = True

    def __call__(self, *inputs: Tensor) -> Tensor:
        """Run eagerly, record, or replay."""
        key = tuple(tuple(tensor.shape) for tensor in inputs)
        if not self._works:
            return self._run(*inputs)
        if key not in self._recorded:  # once without: cuDNN chooses and allocates
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

    def _record(self, key: Key, inputs: tuple[Tensor, ...]) -> _Recorded | None:
        """None, and a line in the log, where CUDA does not capture it; out of memory is for the caller."""
        kept, graph = [tensor.clone() for tensor in inputs], torch.cuda.CUDAGraph()
        torch.cuda.synchronize()
        try:
            with torch.cuda.graph(graph):
                output = self._run(*kept)
        except torch.OutOfMemoryError:
            self._recorded.clear()
            raise
        except RuntimeError as error:
            _log.warning("CUDA graphs are left out: %s", str(error).splitlines()[0])
            self._works = False
            return None
        self._recorded[key] = _Recorded(graph, kept, output)
        return self._recorded[key]
