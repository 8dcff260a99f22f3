"""ONNX graphs as other tools write them: a tiny network that super-resolves, in every layout, type, range and opset."""

from __future__ import annotations

import functools
import io
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn
from torch.nn import functional as torch_functional

from srn_deploy.architectures.luma import STUDIO, ColourSpace
from srn_deploy.image.trial_image import trial_pair
from tests.fitted_networks import least_squares

SCALE = 2


@dataclass(frozen=True, kw_only=True)
class Kind:
    """What a graph takes and how it was exported; as most are by default."""

    channels: int = 3
    value_range: float = 1.0
    order: str = "nchw"
    dtype: torch.dtype = torch.float32
    fixed: tuple[int, int] | None = None
    """(height, width), for one image; None for any."""
    opset: int = 17
    attention: bool = False
    """Whether it pools cells and resizes them to the image, as ESA does."""
    scale: int = SCALE


class TinyNetwork(nn.Module):
    """Random features and a last layer that is fitted to the trial image, with pixels (N, C, H, W) in a range."""

    def __init__(self, kind: Kind) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.scale, self.attention = kind.scale, kind.attention
        self.features = nn.Conv2d(kind.channels, 48, 5, padding=2)
        nn.init.normal_(self.features.get_parameter("bias"), std=0.3 * kind.value_range)
        self.tail = nn.Conv2d(48, kind.channels * kind.scale**2, 3, padding=1)

    def before_tail(self, images: Tensor) -> Tensor:
        """What the last layer takes, (N, 48, H, W)."""
        features = torch.relu(self.features(images))
        if not self.attention:
            return features
        cells = torch_functional.max_pool2d(features, 7, 3)
        resized = torch_functional.interpolate(cells, features.shape[2:], mode="bilinear", align_corners=False)
        return features * torch.sigmoid(resized)

    def forward(self, images: Tensor) -> Tensor:
        """(N, C, H, W) to (N, C, scale*H, scale*W), not clipped."""
        return torch_functional.pixel_shuffle(self.tail(self.before_tail(images)), self.scale)


class AsExported(nn.Module):
    """The network with the images of a kind."""

    def __init__(self, network: nn.Module, kind: Kind) -> None:
        super().__init__()
        self.network, self.kind = network, kind

    def forward(self, images: Tensor) -> Tensor:
        """Images as the kind says to the same."""
        nchw = images.permute(0, 3, 1, 2) if self.kind.order == "nhwc" else images
        upscaled: Tensor = self.network(nchw.float() if self.kind.dtype is torch.uint8 else nchw)
        if self.kind.dtype is torch.uint8:
            upscaled = upscaled.round().clamp(0, 255).to(torch.uint8)
        return upscaled.permute(0, 2, 3, 1) if self.kind.order == "nhwc" else upscaled


@torch.no_grad()
def fitted(kind: Kind) -> TinyNetwork:
    """The network, which gives the original of the trial image as nearly as its last layer can."""
    network = TinyNetwork(kind).eval()
    small, original = (torch.from_numpy(image).permute(2, 0, 1).unsqueeze(0).float() / 255
                       for image in trial_pair(kind.scale))
    if kind.channels == 1:
        colours = ColourSpace(STUDIO, (16.0, 128.0, 128.0))
        small, original = colours.split(small)[:, :1], colours.split(original)[:, :1]
    wanted = torch_functional.pixel_unshuffle(original * kind.value_range, kind.scale)
    weights = least_squares(network.before_tail(small * kind.value_range), wanted)
    network.tail.weight.copy_(weights[:-1].T.reshape(network.tail.weight.shape))
    network.tail.get_parameter("bias").copy_(weights[-1])
    return network


@functools.cache
def exported(kind: Kind) -> bytes:
    """The ONNX file that PyTorch's older exporter, which most graphs in circulation come from, writes."""
    module = AsExported(fitted(kind), kind).eval()
    if kind.dtype is torch.float16:
        module = module.half()
    height, width = kind.fixed or (24, 32)
    shape = (1, kind.channels, height, width) if kind.order == "nchw" else (1, height, width, kind.channels)
    rows, cols = (2, 3) if kind.order == "nchw" else (1, 2)
    axes = {} if kind.fixed else {"input": {0: "batch", rows: "height", cols: "width"}, "output": {0: "batch"}}
    file = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that the exporter is the older one
        torch.onnx.export(module, (torch.zeros(shape, dtype=kind.dtype),), f=file, dynamo=False,  # type: ignore[arg-type]  # a stream is taken too

                          opset_version=kind.opset, input_names=["input"], output_names=["output"], dynamic_axes=axes)
    return file.getvalue()


def written(kind: Kind, folder: Path, name: str = "other.onnx") -> Path:
    """The graph as a file."""
    path = folder / name
    path.write_bytes(exported(kind))
    return path


def enlarger(*, image: onnx.ValueInfoProto | None = None, opset: int = 17) -> onnx.ModelProto:
    """A graph that repeats every pixel: made of a convolution and a shuffle, as hand-written ones are."""
    kernel = np.zeros((3 * SCALE**2, 3, 3, 3), np.float32)
    for channel in range(3):
        kernel[channel * SCALE**2:(channel + 1) * SCALE**2, channel, 1, 1] = 1
    taken = image or image_value("input", "b", 3, "h", "w")
    nodes = [helper.make_node("Conv", [taken.name, "kernel"], ["channels"], pads=[1, 1, 1, 1]),
             helper.make_node("DepthToSpace", ["channels"], ["output"], blocksize=SCALE, mode="CRD")]
    graph = helper.make_graph(nodes, "enlarger", [taken], [image_value("output", "b", 3, "oh", "ow")],
                              [numpy_helper.from_array(kernel, "kernel")])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def image_value(name: str, *dimensions: int | str, kind: int = TensorProto.FLOAT) -> onnx.ValueInfoProto:
    """An input or output."""
    return helper.make_tensor_value_info(name, kind, list(dimensions))


def saved(model: onnx.ModelProto, folder: Path, name: str = "other.onnx") -> Path:
    """The model as a file."""
    path = folder / name
    path.write_bytes(model.SerializeToString())
    return path
