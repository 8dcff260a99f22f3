"""What the server and its clients agree on: names of tensors and parameters, and the version of all that."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum

CONTRACT = "1"
"""Grows when a client of an earlier version could no longer use a server, or the other way round."""

FINDINGS = "FINDINGS"
"""The output with what the guard found: JSON, a list of sentences, as UTF-8 bytes of uint8."""

GUARD = "guard"
"""The parameter of a request that says what to do about broken blocks: off, warn or repair."""

MOST_RESULT_BYTES = 2**31 - 2**20
"""A gRPC message holds 2 GiB at most, and what stands around the pixels takes less than a MiB."""


class Parameter(StrEnum):
    """Parameters of a served model, in its `config.pbtxt`, by which clients know it."""

    CONTRACT = "srn_deploy.contract"
    VERSION = "srn_deploy.version"
    """Of the package that wrote the repository."""
    SCALE = "srn_deploy.scale"
    MOST_MEGAPIXELS = "srn_deploy.most_megapixels"
    """Of an image. Clients do not send a larger one; the server itself goes by what is in the folder of a version."""


@dataclass(frozen=True, kw_only=True)
class PixelTensors:
    """The input and the output for images of one dtype, (H, W, C): grey, grey and alpha, RGB, or RGBA."""

    dtype: str
    triton_type: str
    """As Triton's protocol calls it."""
    image: str
    upscaled: str


TENSORS = (PixelTensors(dtype="uint8", triton_type="UINT8", image="IMAGE", upscaled="UPSCALED"),
           PixelTensors(dtype="uint16", triton_type="UINT16", image="IMAGE_16", upscaled="UPSCALED_16"),
           PixelTensors(dtype="float32", triton_type="FP32", image="IMAGE_FLOAT", upscaled="UPSCALED_FLOAT"))
"""A request has exactly one of the images; its answer has the output beside it, and FINDINGS."""


def too_large(shape: tuple[int, ...], value_bytes: int, scale: int, most_megapixels: float) -> str:
    """Why a server does not take an image of this shape, (H, W, C), with both numbers; empty where it does.

    value_bytes: of one value of a pixel. scale: of the model. most_megapixels: that the server takes.
    """
    height, width = shape[:2]
    megapixels = height * width / 1e6
    if megapixels > most_megapixels:
        return (f"The image has {width} x {height} px ({megapixels:.3g} megapixels), and this server takes "
                f"{most_megapixels:g}.")
    if math.prod(shape) * value_bytes * scale**2 > MOST_RESULT_BYTES:
        return f"The result of {width} x {height} px is more than the 2 GiB of one answer."
    return ""
