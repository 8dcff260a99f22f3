"""Models as OpenVINO compiled them for this machine, kept in files: opening one takes a quarter of compiling it.

A file is one line of JSON, the header, and after it what OpenVINO exported. One that cannot be read or written only
costs time, so it is logged as a warning and never ends the work.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from srn_deploy.engine.caches import SharedFile
from srn_deploy.errors import GraphError, OptionError, SrnDeployError
from srn_deploy.spec import ModelSpec, Precision
from srn_deploy.system.cache import compiled_folder
from srn_deploy.system.documents import decode_json, key_of, to_builtins

COMPILED_SUFFIX = ".compiled"

_LONGEST_STEM = 64
"""Characters of a graph's name that the name of its file begins with."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class CompiledIdentity:
    """Compiled models with equal identities are interchangeable."""

    graph_sha256: str
    """Of the ONNX file."""
    precision: Precision
    library: str
    """Name and version."""
    cpu: str
    """Its name, and the instruction set that the library uses on it."""
    options: Mapping[str, str]
    """Of the compilation; how many threads run the model is not among them."""


@dataclass(frozen=True, kw_only=True)
class CompiledModel:
    """What a file holds."""

    spec: ModelSpec
    """Of the graph."""
    blob: bytes
    """What the library exported."""


@dataclass(frozen=True, kw_only=True)
class _Header:
    version: Literal[1]
    identity: CompiledIdentity
    spec: str
    """As JSON; it has a version of its own."""
    blob_sha256: str


def place_of(stem: str, identity: CompiledIdentity, suffix: str) -> Path:
    """The file in the cache that keeps something about a compiled model; raises OptionError where there is no cache."""
    return compiled_folder() / f"{stem[:_LONGEST_STEM]}-{key_of(identity)}{suffix}"


class CompiledFile:
    """The place of one compiled model in the cache."""

    def __init__(self, stem: str, identity: CompiledIdentity) -> None:
        self._identity = identity
        self._file: SharedFile | None = None
        try:
            self._file = SharedFile(place_of(stem, identity, COMPILED_SUFFIX))
        except OptionError as error:
            _log.warning("Compiled models are not kept: %s %s", error.message, error.remedy)

    def read(self) -> CompiledModel | None:
        """The compiled model; None where there is none. A damaged file is ignored, because it could crash OpenVINO."""
        line, _, blob = (b"" if self._file is None else self._file.read()).partition(b"\n")
        if not line:
            return None
        try:
            header = decode_json(line, _Header, _damaged)
            if (header.identity, header.blob_sha256) != (self._identity, hashlib.sha256(blob).hexdigest()):
                raise _damaged("its content is not what its header says")
            return CompiledModel(spec=ModelSpec.from_json(header.spec), blob=blob)
        except SrnDeployError as error:
            self.ignore(error.message)
            return None

    def ignore(self, reason: str) -> None:
        """Log that the file serves nothing, and that the graph is compiled again."""
        if self._file is not None:
            _log.warning("%s is made again: %s", self._file.path, reason)

    def write(self, model: CompiledModel) -> None:
        """Keep a compiled model."""
        if self._file is None:
            return
        header = _Header(version=1, identity=self._identity, spec=model.spec.to_json(),
                         blob_sha256=hashlib.sha256(model.blob).hexdigest())
        data = json.dumps(to_builtins(header)).encode() + b"\n" + model.blob
        self._file.update(lambda before: data)


def _damaged(reason: str) -> GraphError:
    return GraphError(f"it is damaged ({reason})", remedy="Remove it.")
