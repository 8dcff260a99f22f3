"""Runs windows of a larger image through a network as the whole image would run there."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from srn_deploy.grid import Coordinates, Grid, Interpolation

_MODES = {Interpolation.LINEAR: "bilinear", Interpolation.CUBIC: "bicubic"}
"""ONNX's interpolation to the mode of `torch.nn.functional.interpolate`."""


class WindowForm(nn.Module):
    """A form of a network that also takes the interpolation matrices of a window, a pair for each grid."""

    def __init__(self, form: nn.Module, grids: Sequence[Grid]) -> None:
        super().__init__()
        self.form, self.grids = form, tuple(grids)

    def forward(self, pixels: Tensor, *matrices: Tensor) -> Tensor:
        """What the form computes. matrices: rows (N, h, p) and cols (N, w, q) for each grid; none for whole images."""
        pairs = list(zip(self.grids, matrices[::2], matrices[1::2], strict=True)) if matrices else []
        with _GivenGeometry(pairs) if pairs else nullcontext():
            upscaled: Tensor = self.form(pixels)
        return upscaled


class _GivenGeometry(TorchFunctionMode):
    """While it is active, `interpolate` resizes the cells of every grid by the given matrices."""

    def __init__(self, given: Sequence[tuple[Grid, Tensor, Tensor]]) -> None:
        super().__init__()
        self._given = given

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Called by PyTorch instead of each of its functions."""
        named = kwargs or {}
        if function is functional.interpolate:
            cells, size = args[0] if args else named["input"], named.get("size", args[1] if len(args) > 1 else None)
            mode = named.get("mode", args[3] if len(args) > 3 else "nearest")
            aligned = bool(named.get("align_corners", args[4] if len(args) > 4 else False))
            for grid, rows, cols in self._given:
                shapes = [] if size is None else [(int(size[0]), cells.shape[-2]), (int(size[1]), cells.shape[-1])]
                if shapes == [tuple(rows.shape[1:]), tuple(cols.shape[1:])] and _is_that_of(
                        grid, mode, aligned=aligned):
                    return _resized(cells, rows, cols)
        return function(*args, **named)


def _is_that_of(grid: Grid, mode: str, *, aligned: bool) -> bool:
    """Whether `interpolate` is called as the network resizes the cells of this grid."""
    if grid.interpolation is Interpolation.NEAREST:
        return mode == ("nearest" if grid.coordinates is Coordinates.ASYMMETRIC else "nearest-exact")
    return mode == _MODES[grid.interpolation] and aligned == (grid.coordinates is Coordinates.ALIGN_CORNERS)


def _resized(cells: Tensor, rows: Tensor, cols: Tensor) -> Tensor:
    """Cells (N, C, p, q) to (N, C, h, w)."""
    rows, cols = rows.to(cells.dtype).unsqueeze(1), cols.to(cells.dtype).unsqueeze(1)
    return torch.matmul(torch.matmul(rows, cells), cols.transpose(-1, -2))
