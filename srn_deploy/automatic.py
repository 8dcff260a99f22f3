"""What `auto` takes for a graph on a CPU: OpenVINO in BF16 where that saves time on the work ahead.

OpenVINO starts later than ONNX Runtime and then takes half as long in BF16, so there must be enough to do.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable

from srn_deploy.backends import Backend, why_no_bf16
from srn_deploy.errors import SrnDeployError
from srn_deploy.registry.resolve import ModelKind, ResolvedModel
from srn_deploy.system.cpu_features import cpu_features
from srn_deploy.system.threads import threads_in_use
from srn_deploy.verification.cpu_precision import has_certificate, open_certified

START_S = 0.4
"""What OpenVINO takes longer than ONNX Runtime until its first image is done: its import, a compiled model from the
cache, the first pass. On two cores of an AMD EPYC."""

CERTIFICATE_S = 2.0
"""Of making a certificate, there."""

SAVED_SHARE = 0.5
"""Of the time of ONNX Runtime, by BF16."""

MARGIN = 2
"""As many times what OpenVINO takes longer must be saved, so that no work takes longer than without it."""

FLOPS_OF_A_THREAD = 150e9
"""Per second, in FP32 by ONNX Runtime on a core with AVX-512; too large a number only makes OpenVINO rarer."""

BYTES_PER_PARAMETER = 4


def open_by_work(model: ResolvedModel, pixels: Iterable[int]) -> tuple[Backend, str] | str:
    """Open a graph on OpenVINO in BF16 if that saves time on these images; otherwise why not, as part of a sentence.

    pixels: of each image, before it is upscaled; read only as far as needed. Without OpenVINO, and for models that it
    does not run, there is no reason to be told: the text is empty.
    """
    if model.kind is not ModelKind.GRAPH or importlib.util.find_spec("openvino") is None:
        return ""
    features = cpu_features()
    if features is not None and not features["BF16"]:
        return "in FP32, because the CPU has no BF16"
    certified, uncertified = (least_pixels(model, is_certified=known) for known in (True, False))
    amount = _counted(pixels, uncertified)
    if amount < certified:
        return f"OpenVINO in BF16 is taken from {_in_words(certified)} of images on"
    try:
        if reason := why_no_bf16():
            return f"in FP32, because {reason}"
        if amount < uncertified and not has_certificate(model):
            return (f"OpenVINO in BF16 needs a certificate, which is made from {_in_words(uncertified)} of images on, "
                    "or with --device openvino")
        opened = open_certified(model, f"faster from {_in_words(certified)} of images on")
    except SrnDeployError as error:
        return error.message.rstrip(".")
    if isinstance(opened, str):
        return f"in FP32, because {opened}"
    return opened


def least_pixels(model: ResolvedModel, *, is_certified: bool) -> int:
    """From how many pixels of input on BF16 saves more than OpenVINO takes longer to start.

    A network of convolutions on the small image takes two operations for each parameter and pixel, and the file of a
    graph is hardly more than its parameters. is_certified: otherwise the certificate has to be made first.
    """
    saved_s = MARGIN * START_S + (0.0 if is_certified else CERTIFICATE_S)
    flops_per_px = 2 * max(1, model.path.stat().st_size // BYTES_PER_PARAMETER)
    return int(saved_s / SAVED_SHARE * FLOPS_OF_A_THREAD * threads_in_use() / flops_per_px) + 1


def is_worth_its_start(saved_s_per_px: float, pixels: Iterable[int]) -> bool:
    """Whether OpenVINO saves more on these images than it takes longer to start, by a speed that was measured."""
    if saved_s_per_px <= 0:
        return False
    least = int(MARGIN * START_S / saved_s_per_px) + 1
    return _counted(pixels, least) >= least


def _counted(pixels: Iterable[int], most: int) -> int:
    """The sum, of so many images that it reaches `most`."""
    total = 0
    for amount in pixels:
        total += amount
        if total >= most:
            break
    return total


def _in_words(pixels: int) -> str:
    return f"{pixels / 1e6:.1f} megapixels"
