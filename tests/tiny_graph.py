"""The graph that `srn-deploy doctor` runs, made anew: `python -m tests.tiny_graph` writes the packaged file."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from srn_deploy.doctor.probe import TINY_GRAPH
from srn_deploy.graph.onnx_file import stamped
from srn_deploy.spec import Form, ModelSpec

SPEC = ModelSpec(architecture="half", options={}, scale=1, value_range=1.0, form=Form.PORTABLE)


def tiny_graph() -> onnx.ModelProto:
    """One 3x3 convolution over RGB that halves every value."""
    kernel = np.zeros((3, 3, 3, 3), np.float32)
    kernel[range(3), range(3), 1, 1] = 0.5
    picture, half = (helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 3, "height", "width"])
                     for name in ("picture", "half"))
    convolution = helper.make_node("Conv", ["picture", "kernel"], ["half"], pads=[1, 1, 1, 1])
    graph = helper.make_graph([convolution], "half", [picture], [half], [numpy_helper.from_array(kernel, "kernel")])
    return stamped(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), SPEC)


if __name__ == "__main__":
    onnx.save(tiny_graph(), TINY_GRAPH)
