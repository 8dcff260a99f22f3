"""What makes two engines the same: a key derived from every field, so that none can be forgotten."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from msgspec import Struct

from srn_deploy.engine.library import Runtime
from srn_deploy.engine.options import BuildOptions
from srn_deploy.system.documents import key_of, to_builtins


class Identity(Struct, frozen=True, kw_only=True, rename={"runtime": "flavour"}):
    """Engines with equal identities are interchangeable. Part of every manifest; JSON calls the runtime `flavour`."""

    graph_sha256: str
    """Of the ONNX bytes as they were given, before an FP16 copy is made."""
    options: BuildOptions
    runtime: Runtime
    version: str
    """Of the runtime."""
    srn_deploy: str
    """The version of this package: it decides how the FP16 copy and the profiles are made."""
    target: str
    """Where the plan may run: GPU, compute capability and system, or the target capabilities of TensorRT-RTX."""

    @property
    def key(self) -> str:
        """The part of the file name that tells engines of one model apart: hex digits of a SHA-256."""
        return key_of(self)

    def differences(self, recorded: Identity) -> list[str]:
        """The fields in which a recorded identity differs, each as `field: recorded -> wanted`."""
        wanted, other = (dict(_flat(to_builtins(identity))) for identity in (self, recorded))
        named = {name: "runtime" if name == "flavour" else name for name in wanted}
        return [f"{named[name]}: {other.get(name, 'absent')} -> {wanted[name]}" for name in wanted
                if wanted[name] != other.get(name)]


def _flat(fields: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Dotted names and values as JSON; lists are kept whole."""
    for name, value in fields.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", json.dumps(value)
