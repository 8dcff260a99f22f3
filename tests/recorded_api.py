"""Stand-ins for TensorRT and TensorRT-RTX that have exactly the names recorded in data/tensorrt_api.json.

The bindings cannot be installed everywhere. A stand-in computes nothing, but using a name that its version of the
library does not have is an AttributeError, and every name that is used is noted.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from enum import IntEnum
from pathlib import Path
from typing import Any

from srn_deploy.grid import ESA_GRID

API = Path(__file__).parent / "data/tensorrt_api.json"

SUBCLASSED = ("ILogger", "IProgressMonitor")
"""Classes that Python code derives its own from; they must be real classes."""

SIDE_PX = 30

TENSORS = {"pixels": (1, SIDE_PX, SIDE_PX, 3), "rows": (1, SIDE_PX, ESA_GRID.cells(SIDE_PX)),
           "cols": (1, SIDE_PX, ESA_GRID.cells(SIDE_PX)), "upscaled": (1, 2 * SIDE_PX, 2 * SIDE_PX, 3)}
"""Inputs and output of the deploy graph of a x2 network with ESA, for one image of 30 x 30 px."""

RETURNS: Mapping[str, str] = {
    "Builder.create_network": "INetworkDefinition", "Builder.create_builder_config": "IBuilderConfig",
    "Builder.create_optimization_profile": "IOptimizationProfile", "INetworkDefinition.get_layer": "ILayer",
    "INetworkDefinition.get_input": "ITensor", "ILayer.get_output": "ITensor",
    "ILayer.get_input": "ITensor", "OnnxParser.get_error": "ParserError",
    "IBuilderConfig.create_timing_cache": "ITimingCache", "IBuilderConfig.get_timing_cache": "ITimingCache",
    "Runtime.deserialize_cuda_engine": "ICudaEngine", "ICudaEngine.create_execution_context": "IExecutionContext",
    "ICudaEngine.create_runtime_config": "IRuntimeConfig", "IRuntimeConfig.create_runtime_cache": "IRuntimeCache"}
"""Methods of the libraries that return an object, and its class."""

VALUES: Mapping[str, Any] = {
    "Builder.build_serialized_network": b"a plan", "INetworkDefinition.num_layers": 1,
    "INetworkDefinition.num_inputs": 1, "INetworkDefinition.num_outputs": 1,
    "ILayer.num_inputs": 2, "ITensor.name": "pixels",
    "OnnxParser.num_errors": 1, "IBuilderConfig.add_optimization_profile": 0, "ITimingCache.serialize": b"timings",
    "IRuntimeCache.serialize": b"kernels", "ICudaEngine.num_io_tensors": len(TENSORS),
    "ICudaEngine.num_optimization_profiles": 1, "IExecutionContext.infer_shapes": [],
    "IExecutionContext.update_device_memory_size_for_shapes": 1000}
"""What attributes are and other methods return; a method that is in neither table returns True."""

ATTRIBUTES = {"num_layers", "num_inputs", "num_outputs", "name", "num_errors", "num_io_tensors",
              "num_optimization_profiles", "type", "dtype"}
"""Names that are values and not methods."""


class Recorded:
    """One version of one library, as a module."""

    def __init__(self, name: str, **values: Any) -> None:
        entry = json.loads(API.read_text(encoding="utf-8"))[name]
        self._api: dict[str, list[str]] = entry["api"]
        self._values = {**VALUES, **values}
        self._built: dict[str, Any] = {}
        self.used: set[str] = set()
        """Every name that was used, as `Class.name`."""
        self.__version__ = entry["version"]

    def __getattr__(self, name: str) -> Any:
        if name not in self._api:
            raise AttributeError(f"the library has no {name}")
        if name not in self._built:
            self._built[name] = self._class(name, self._api[name])
        return self._built[name]

    def _class(self, name: str, members: list[str]) -> Any:
        if name in SUBCLASSED:
            return type(name, (), {member: member for member in members})
        if members and all(member.isupper() for member in members):
            return IntEnum(name, members)
        return lambda *arguments: Instance(self, name)

    def names_of(self, owner: str) -> list[str]:
        return self._api[owner]

    def members(self) -> list[list[str]]:
        """The names of every class."""
        return list(self._api.values())

    def value(self, owner: str, name: str) -> Any:
        """What an attribute is, or a method returns."""
        if f"{owner}.{name}" in self._values:
            return self._values[f"{owner}.{name}"]
        if f"{owner}.{name}" in RETURNS:
            return Instance(self, RETURNS[f"{owner}.{name}"])
        if (owner, name) == ("ILayer", "type"):
            return self.LayerType.CONVOLUTION
        if (owner, name) == ("ITensor", "dtype"):
            return self.DataType.HALF
        if (owner, name) == ("Runtime", "get_engine_validity"):
            return self.EngineValidity.VALID, 0
        return True


class Instance:
    """An object of a class of the library."""

    def __init__(self, library: Recorded, owner: str) -> None:
        self.__dict__.update(_library=library, _owner=owner)

    def _noted(self, name: str) -> None:
        library, owner = self.__dict__["_library"], self.__dict__["_owner"]
        if name not in library.names_of(owner):
            raise AttributeError(f"{owner} has no {name}")
        library.used.add(f"{owner}.{name}")

    def __getattr__(self, name: str) -> Any:
        self._noted(name)
        library, owner = self.__dict__["_library"], self.__dict__["_owner"]
        if name in ATTRIBUTES:
            return library.value(owner, name)
        return lambda *arguments: tensor_answer(library, name, *arguments) or library.value(owner, name)

    def __setattr__(self, name: str, value: Any) -> None:
        self._noted(name)


def tensor_answer(library: Recorded, method: str, *arguments: Any) -> Any:
    """What an engine or a context says about a tensor; None for every other method."""
    if method == "get_tensor_name":
        return list(TENSORS)[arguments[0]]
    if method == "get_tensor_mode":
        return library.TensorIOMode.OUTPUT if arguments[0] == "upscaled" else library.TensorIOMode.INPUT
    if method == "get_tensor_dtype":
        return library.DataType.FLOAT if arguments[0] in ("rows", "cols") else library.DataType.UINT8
    if method == "get_tensor_profile_shape":
        return [TENSORS["pixels"]] * 3
    if method == "get_tensor_shape":
        return TENSORS[arguments[0]]
    return None
