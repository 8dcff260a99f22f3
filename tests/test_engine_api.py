"""Every name of TensorRT that the code uses exists in TensorRT 10.16, 11.4 and TensorRT-RTX 1.7.

The bindings of TensorRT itself cannot be installed everywhere; their public names are kept in
data/tensorrt_api.json. The code calls the module `trt` and its objects by the names below, and this test
walks its syntax tree.
"""

from __future__ import annotations

import ast
import json
from pathlib import Path

import pytest

OBJECTS = {"builder": "Builder", "config": "IBuilderConfig", "network": "INetworkDefinition", "parser": "OnnxParser",
           "profile": "IOptimizationProfile", "layer": "ILayer", "refusal": "ParserError"}
"""What the code's variables are."""

ONE_FLAVOUR = {"ComputeCapability": "tensorrt_rtx", "num_compute_capabilities": "tensorrt_rtx",
               "set_compute_capability": "tensorrt_rtx"}
"""Names that are used behind a question for the flavour."""

OURS = {"__init__", "__version__", "__members__", "errors", "told", "add_note"}
"""Attributes of these variables that are no names of the library."""

SOURCES = ("build.py", "monitor.py", "library.py")


def api(repository: Path) -> dict[str, dict[str, list[str]]]:
    kept = json.loads((repository / "tests/data/tensorrt_api.json").read_text(encoding="utf-8"))
    return {f"{name} {entry['version']}": entry["api"] for name, entry in kept.items()}


def used_names(tree: ast.AST) -> set[tuple[str, str]]:
    """(class or `trt`, attribute) for every attribute of the module and of its objects; (enum, member) too."""
    found = set()
    for node in ast.walk(tree):
        if not isinstance(node, ast.Attribute) or node.attr in OURS:
            continue
        owner = ast.unparse(node.value)
        if owner == "trt":
            found.add(("trt", node.attr))
        elif owner.startswith("trt.") and owner.count(".") == 1:
            found.add((owner.removeprefix("trt."), node.attr))
        elif owner in OBJECTS:
            found.add((OBJECTS[owner], node.attr))
    return found


@pytest.fixture(scope="module")
def used(repository: Path) -> set[tuple[str, str]]:
    trees = [ast.parse((repository / "srn_deploy/engine" / name).read_text(encoding="utf-8")) for name in SOURCES]
    return set().union(*map(used_names, trees))


def test_every_name_exists_in_every_supported_library(repository: Path, used: set[tuple[str, str]]) -> None:
    missing = [f"{library}: {owner}.{name}"
               for library, names in api(repository).items() for owner, name in sorted(used)
               if library.startswith(ONE_FLAVOUR.get(name, ONE_FLAVOUR.get(owner, "")))
               and name not in (names if owner == "trt" else names.get(owner, ()))]
    assert missing == []


def test_the_walk_sees_what_the_build_is_made_of(used: set[tuple[str, str]]) -> None:
    for name in (("trt", "Builder"), ("Builder", "build_serialized_network"), ("BuilderFlag", "TF32"),
                 ("IBuilderConfig", "progress_monitor"), ("NetworkDefinitionCreationFlag", "STRONGLY_TYPED"),
                 ("LayerType", "CONVOLUTION"), ("IOptimizationProfile", "set_shape"), ("ParserError", "desc")):
        assert name in used


def test_a_name_that_tensorrt_11_dropped_would_be_found(repository: Path) -> None:
    tree = ast.parse("config.set_flag(trt.BuilderFlag.FP16)\nlayer.precision = 1")
    assert used_names(tree) == {("IBuilderConfig", "set_flag"), ("trt", "BuilderFlag"), ("BuilderFlag", "FP16"),
                                ("ILayer", "precision")}
    eleven = next(names for library, names in api(repository).items() if library.startswith("tensorrt 11"))
    assert "FP16" not in eleven["BuilderFlag"]
    assert "precision" not in eleven["ILayer"]


def test_the_kept_names_are_those_of_the_installed_library(repository: Path) -> None:
    trt = pytest.importorskip("tensorrt_rtx")
    kept = next(names for library, names in api(repository).items() if library.startswith("tensorrt_rtx"))
    for owner in ("Builder", "IBuilderConfig", "INetworkDefinition", "OnnxParser", "BuilderFlag"):
        assert {name for name in kept[owner] if not hasattr(getattr(trt, owner), name)} == set()
