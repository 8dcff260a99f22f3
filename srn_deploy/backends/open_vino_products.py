"""Matrix products by OpenVINO on the CPU: the most that a network in the same precision can reach there."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import numpy as np

from srn_deploy.backends.open_vino import library_title
from srn_deploy.errors import BackendError, OptionError
from srn_deploy.system.threads import thread_limit

_ov: Any = importlib.import_module("openvino")  # after open_vino, which keeps this import from being reported

_HINTS = {"fp32": "f32", "bf16": "bf16", "int8": "f32"}
"""What else than the product runs in. INT8 is in the graph, as in a quantised network."""


def product(precision: str, side: int) -> Callable[[], object]:
    """A step that multiplies a matrix (side, side) by a constant one.

    precision: fp32, bf16 or int8. In INT8 activations have 8 bits without a sign, weights 8 with one, as a graph that
    NNCF quantised. Raises OptionError for another precision, BackendError where OpenVINO cannot do it.
    """
    if precision not in _HINTS:
        raise OptionError(f"There is no product in {precision}.", remedy=f"Use one of {', '.join(_HINTS)}.")
    try:
        request = _compiled(precision, side).create_infer_request()
        request.set_input_tensor(_ov.Tensor(np.ones((side, side), np.float32)))
    except (RuntimeError, MemoryError) as error:
        raise BackendError(f"{library_title()} makes no matrix product in {precision}.",
                           remedy="Report it with the name of this CPU.") from error
    return lambda: request.infer()  # a new function: the request must live as long as it


def _compiled(precision: str, side: int) -> Any:
    threads = {"INFERENCE_NUM_THREADS": str(thread_limit())} if thread_limit() else {}
    settings = {"INFERENCE_PRECISION_HINT": _HINTS[precision], "PERFORMANCE_HINT": "LATENCY", "NUM_STREAMS": "1"}
    return _ov.Core().compile_model(_graph(side, is_quantised=precision == "int8"), "CPU", {**settings, **threads})


def _graph(side: int, *, is_quantised: bool) -> Any:
    """The product, reduced to one number so that writing the result costs nothing."""
    ops = _ov.opset13
    given = ops.parameter([side, side], _ov.Type.f32)
    weights = ops.constant(np.linspace(-1, 1, side * side, dtype=np.float32).reshape(side, side))
    left, right = given, weights
    if is_quantised:
        left, right = _quantised(given, 0.0, 2.55, 256), _quantised(weights, -1.0, 1.0, 255)
    result = ops.reduce_max(ops.matmul(left, right, False, True), ops.constant([0, 1]), False)
    return _ov.Model([result], [given])


def _quantised(values: Any, least: float, most: float, levels: int) -> Any:
    bounds = [np.float32(least), np.float32(most)] * 2
    return _ov.opset13.fake_quantize(values, *bounds, levels)
