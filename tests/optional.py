"""Marks for tests of optional packages: skipped, with the reason, where one is not installed."""

from __future__ import annotations

import importlib.util

import pytest

needs_openvino = pytest.mark.skipif(importlib.util.find_spec("openvino") is None,
                                    reason="needs OpenVINO: pip install openvino")
