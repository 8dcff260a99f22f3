"""Which checkpoints are offered to spandrel: those that no network here fits, where spandrel is installed."""

from __future__ import annotations

import importlib.util
from importlib import metadata

from srn_deploy.errors import SrnDeployError
from srn_deploy.registry.resolve import ModelKind, ResolvedModel


def spandrel_version() -> str:
    """Of the spandrel that is installed; a question mark where nothing says it."""
    try:
        return metadata.version("spandrel")
    except metadata.PackageNotFoundError:  # a folder on the path
        return "?"


def is_offered(model: ResolvedModel) -> bool:
    """Whether spandrel is asked about a model; the file is read for it, and nothing is raised for a damaged one."""
    given = model.corrections
    if model.kind is not ModelKind.CHECKPOINT or given.network is not None or given.options:
        return False
    if any(importlib.util.find_spec(package) is None for package in ("spandrel", "torch", "safetensors")):
        return False
    from srn_deploy.architectures.weights.choice import fits_known_network
    from srn_deploy.architectures.weights.file import read_weights_file
    from srn_deploy.architectures.weights.sets import search

    try:
        content = read_weights_file(model.path)
        return content.recorded is None and not fits_known_network(search(content.found), str(model.path))
    except SrnDeployError:
        return False  # whoever loads it says the same, better
