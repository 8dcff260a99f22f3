"""What a graph is calibrated on: images as its inputs, and the values inside it while they run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
from numpy.typing import NDArray

from srn_deploy.backends.batch import fixed_limits, matrices_of, to_portable
from srn_deploy.errors import GraphError, OptionError
from srn_deploy.graph.onnx_file import spec_of
from srn_deploy.image import find_images, read_image
from srn_deploy.image.pixels import Rgb8
from srn_deploy.quantization.drawn_images import drawn_images
from srn_deploy.spec import Form
from srn_deploy.tiling.tiles import reflected, rounded_up

MOST_IMAGES = 32
"""More change the result by less than a hundredth of a dB."""

LARGEST_SIDE_PX = 192

HELD_OUT = 4
"""Every so many images of a folder are kept for the certificate."""

_FATAL_ONLY = 4


@dataclass(frozen=True, kw_only=True, eq=False)
class CalibrationImages:
    """RGB images (H, W, 3) in 0..255."""

    inputs: tuple[Rgb8, ...]
    """To calibrate on: such as the network will be given."""
    originals: tuple[Rgb8, ...] = ()
    """To certify on besides the drawn ones; none of them is an input where there are enough images."""
    name: str


def drawn() -> CalibrationImages:
    """The images that are drawn here."""
    return CalibrationImages(inputs=tuple(drawn_images()), name="drawn images")


def images_in(folder: Path) -> CalibrationImages:
    """The middle parts of images of a folder, some of which are kept for the certificate.

    Raises OptionError without an image, UnreadableImage for a damaged one.
    """
    found = find_images(folder)
    if not found:
        raise OptionError(f"There is no image in {folder} to calibrate on.",
                          remedy="Name a folder with images such as the network will be given.")
    step = max(1, len(found) // MOST_IMAGES)
    images = [_middle(read_image(path).as_rgb8()) for path in found[::step][:MOST_IMAGES]]
    kept_back = images[HELD_OUT - 1::HELD_OUT]
    inputs = [image for number, image in enumerate(images, start=1) if number % HELD_OUT] if kept_back else images
    return CalibrationImages(inputs=tuple(inputs), originals=tuple(kept_back or images),
                             name=f"{len(inputs)} image{'s' if len(inputs) > 1 else ''} of {folder}")


def _middle(image: Rgb8) -> Rgb8:
    slices = []
    for side in image.shape[:2]:
        start = max(0, side - LARGEST_SIDE_PX) // 2
        slices.append(slice(start, start + LARGEST_SIDE_PX))
    return image[slices[0], slices[1]]


def inputs_of(graph: onnx.ModelProto, images: Sequence[Rgb8]) -> list[dict[str, NDArray[Any]]]:
    """Each image as the named inputs of a graph of ours, in a size that it takes."""
    spec = spec_of(graph, "the graph")
    first = graph.graph.input[0]
    limits = fixed_limits([side.dim_value or None for side in first.type.tensor_type.shape.dim], spec)
    named = []
    for image in images:
        height, width = limits.shapes[0].largest if limits.shapes else (
            rounded_up(max(side, spec.min_side_px), spec.size_multiple_px) for side in image.shape[:2])
        fitting = reflected(image, max(height, image.shape[0]), max(width, image.shape[1]))[None, :height, :width]
        batch = np.repeat(fitting, limits.largest_batch or 1, axis=0).astype(np.uint8)
        pixels = to_portable(batch) if spec.form is Form.PORTABLE else batch
        named.append({first.name: pixels, **matrices_of(batch, None, spec)})
    return named


def values_inside(graph: onnx.ModelProto, names: Sequence[str],
                  inputs: Sequence[dict[str, NDArray[Any]]]) -> Iterator[list[NDArray[Any]]]:
    """For each input the values of these tensors, on ONNX Runtime; raises GraphError where it cannot run the graph."""
    watched = onnx.ModelProto()
    watched.CopyFrom(graph)
    del watched.graph.output[:]
    watched.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names)
    options = ort.SessionOptions()
    options.log_severity_level = _FATAL_ONLY
    try:
        session = ort.InferenceSession(watched.SerializeToString(), options, providers=["CPUExecutionProvider"])
        taken = {one.name for one in session.get_inputs()}
        for one in inputs:
            yield session.run(list(names), {name: value for name, value in one.items() if name in taken})
    except Exception as error:  # ONNX Runtime's errors have no common class
        raise GraphError(f"ONNX Runtime cannot run the graph to calibrate it: {str(error).splitlines()[0][:200]}.",
                         remedy="Report it with the model's `srn-deploy info`.") from error
