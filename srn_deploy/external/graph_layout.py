"""How the images of a graph are laid out, and running it on them whatever that is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto

from srn_deploy.backends.onnx_runtime import PlainGraph
from srn_deploy.errors import BackendError, GraphError, OptionError
from srn_deploy.external.graph_file import TYPES, ForeignGraph
from srn_deploy.spec import Scalar

TRIED_SIDES_PX = (64, 128)
"""Of the image that tells layouts apart: multiples of what nearly every network needs."""

LEAST_SIDE_PX = 8
"""Of an image; a smaller dimension counts channels or images."""

CHANNELS = {3: "RGB", 1: "Y"}


class Order(StrEnum):
    """The order of dimensions."""

    NCHW = "nchw"
    NHWC = "nhwc"


@dataclass(frozen=True, kw_only=True)
class Layout:
    """The dimensions of a graph's images."""

    order: Order
    channels: int
    """3 for RGB, 1 for Y."""

    def sides(self, dimensions: tuple[int | None, ...]) -> tuple[int | None, int | None]:
        """(height, width) among four dimensions."""
        rows, cols = (2, 3) if self.order is Order.NCHW else (1, 2)
        return dimensions[rows], dimensions[cols]

    def __str__(self) -> str:
        return f"{CHANNELS[self.channels]} {self.order.upper()}"


class ForeignRun:
    """Runs a graph of another tool: float32 (N, C, H, W) in the range it was trained in, to the same."""

    def __init__(self, graph: ForeignGraph, layout: Layout) -> None:
        self._plain, self._layout = PlainGraph(graph.original, graph.name), layout
        self._dtype = np.dtype(TYPES[graph.element_type])

    def __call__(self, images: NDArray[np.float32]) -> NDArray[np.float32]:
        """Upscale; raises BackendError for sizes that the graph does not take, and for results that are no images."""
        values = images.transpose(0, 2, 3, 1) if self._layout.order is Order.NHWC else images
        if self._dtype == np.uint8:
            values = np.clip(np.rint(np.nan_to_num(values)), 0, 255)
        upscaled = self._plain.run(np.ascontiguousarray(values.astype(self._dtype)))
        if upscaled.ndim != 4:
            raise BackendError(f"The graph gives an array of shape {upscaled.shape}, and no images.",
                               remedy="Export it with the upscaled image as its output.")
        if self._layout.order is Order.NHWC:
            upscaled = upscaled.transpose(0, 3, 1, 2)
        return np.ascontiguousarray(upscaled, np.float32)

    def __deepcopy__(self, memo: object) -> ForeignRun:
        """Itself: sessions cannot be copied, and do not change."""
        return self


def find_layout(graph: ForeignGraph, options: Mapping[str, Scalar]) -> Layout:
    """The layout that the dimensions of a graph show, or else the one that it can be run in.

    options: `layout` and `channels` where the user knows them. Raises GraphError where there is none, OptionError where
    there are several.
    """
    possible = [layout for layout in _layouts(graph.dimensions) if _is_asked_for(layout, options)]
    if len(possible) == 1:
        return possible[0]
    if not possible:
        shown = ", ".join("?" if side is None else str(side) for side in graph.dimensions)
        raise GraphError(f"{graph.name} takes no images of one or three channels: its input is ({shown}).",
                         remedy="Export it for RGB or for luma, as (N, C, H, W) or (N, H, W, C), with one image at a "
                                "time or any number, and with both sides fixed or none.")
    running = [layout for layout in possible if _runs(graph, layout)]
    if len(running) == 1:
        return running[0]
    found = f"runs as {' and as '.join(map(str, running))}" if running else "runs in no layout"
    raise OptionError(f"The dimensions of {graph.name} do not show its layout, and it {found}.",
                      remedy="Say which it is: --set layout=nchw or nhwc, --set channels=3 or 1.")


def _layouts(dimensions: tuple[int | None, ...]) -> Iterator[Layout]:
    """The layouts that do not contradict the dimensions; none for a fixed number of several images."""
    for order in Order:
        for channels in CHANNELS:
            layout = Layout(order=order, channels=channels)
            sides = layout.sides(dimensions)
            if dimensions[1 if order is Order.NCHW else 3] in (None, channels) and dimensions[0] in (None, 1) and \
                    (sides == (None, None) or min(side or 0 for side in sides) >= LEAST_SIDE_PX):
                yield layout


def _is_asked_for(layout: Layout, options: Mapping[str, Scalar]) -> bool:
    asked = str(options.get("layout", layout.order)).lower(), str(options.get("channels", layout.channels))
    return asked == (layout.order, str(layout.channels))


def _runs(graph: ForeignGraph, layout: Layout) -> bool:
    height, width = (side or usual for side, usual in
                     zip(layout.sides(graph.dimensions), TRIED_SIDES_PX, strict=True))
    try:
        upscaled = ForeignRun(graph, layout)(np.zeros((1, layout.channels, height, width), np.float32))
    except BackendError:
        return False
    return bool(upscaled.shape[1] == layout.channels)


def computes_in_half(graph: ForeignGraph) -> bool:
    """Whether the weights of its convolutions or matrix products are float16."""
    weights = {tensor.name: tensor.data_type for tensor in graph.graph.graph.initializer}
    kinds = {weights[name] for node in graph.graph.graph.node if node.op_type in ("Conv", "ConvTranspose", "MatMul")
             for name in list(node.input)[1:2] if name in weights}
    return TensorProto.FLOAT16 in (kinds or {graph.element_type})
