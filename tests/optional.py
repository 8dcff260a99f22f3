"""Marks for tests of optional packages: skipped, with the reason, where one is not installed."""

from __future__ import annotations

import importlib.util

import pytest

from srn_deploy.system.cpu_features import cpu_features

ONNX = "needs onnx: pip install '.[torch]'"
OPENVINO = "needs OpenVINO: pip install '.[openvino]'"
TENSORRT_RTX = "needs TensorRT-RTX: pip install '.[tensorrt-rtx]'"
TORCH = "needs PyTorch: pip install '.[torch]'"
CUDA_BINDINGS = "needs CUDA's bindings: pip install '.[tensorrt-rtx]'"

needs_openvino = pytest.mark.skipif(importlib.util.find_spec("openvino") is None, reason=OPENVINO)

needs_vnni = pytest.mark.skipif((cpu_features() or {}).get("VNNI") is False,
                                reason="the CPU has no VNNI: INT8 graphs lose too much on it to be certified")
