"""What makes two engines the same: derived from all fields, so that none can be forgotten."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from srn_deploy.engine.options import BuildOptions

KEY_LENGTH = 16
"""Hex digits in a file name: 64 bits of the hash."""


@dataclass(frozen=True, kw_only=True)
class Identity:
    """An engine with the same identity is the same engine."""

    graph_sha256: str
    """Of the ONNX bytes as they were given, before an FP16 twin is made."""
    options: BuildOptions
    flavour: str
    version: str
    """Of the library."""
    srn_deploy: str
    """Our own version: it decides how the FP16 twin and the profiles are made."""
    target: str
    """Where the plan may run: GPU, compute capability and system, or the target capabilities of TensorRT-RTX."""

    @property
    def key(self) -> str:
        """For file names."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()[:KEY_LENGTH]

    def differences(self, recorded: Mapping[str, Any]) -> list[str]:
        """What a recorded identity (its JSON) has otherwise, as `field: there -> here`."""
        ours, theirs = (dict(_flat(json.loads(json.dumps(fields)))) for fields in (asdict(self), dict(recorded)))
        return [f"{name}: {theirs.get(name, 'absent')} -> {ours.get(name, 'absent')}"
                for name in {**theirs, **ours} if theirs.get(name) != ours.get(name)]


def _flat(fields: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, str]]:
    """Dotted names and values as text; lists stay whole."""
    for name, value in fields.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{above}{name}.")
        else:
            yield f"{above}{name}", json.dumps(value)
