"""The manifest of an engine, a JSON file next to its plan: what was built, from what, and its certificate."""

from __future__ import annotations

import json
from typing import Any, Literal

from msgspec import Raw, Struct

from srn_deploy.engine.identity import Identity
from srn_deploy.spec import ModelSpec
from srn_deploy.system.documents import AsError, decode_json, to_builtins

MANIFEST_VERSION = 1


class CertificateRecord(Struct, frozen=True, kw_only=True):
    """A certificate as it is kept: how far an artefact is from its reference on images, and whether that suffices.

    The fields that decide are required; the figures of certificates of other versions may be missing.
    """

    artefact_sha256: str
    ran_on: str = ""
    gpu: str
    """Name and compute capability of the GPU that ran the artefact; empty for the CPU."""
    reference: str = ""
    precision: str = ""
    pictures: int | None = None
    psnr_db: float | None = None
    """Against the reference; None where nothing differs."""
    worst_levels: float | None = None
    psnr_loss_db: float | None = None
    non_finite: int | None = None
    largest_activation: float | None = None
    largest_layer: str = ""
    overflowing_layers: tuple[str, ...] = ()
    headroom: float | None = None
    passed: bool
    failures: tuple[str, ...]
    """Why it did not pass, as sentences."""


class _Fields(Struct, frozen=True, kw_only=True):
    """What the file and the manifest in memory have in common."""

    name: str
    """Of the model."""
    identity: Identity
    engine_sha256: str
    """Of the plan: checked before the plan is loaded."""
    engine_bytes: int
    build_seconds: float
    convolutions: dict[str, int]
    """How many convolutions compute in each type, as the parsed network has them."""
    certificate: CertificateRecord | None = None
    """None where it is not certified yet."""


class Manifest(_Fields, frozen=True, kw_only=True):
    """Everything that is known about a plan without loading it."""

    spec: ModelSpec
    """Of the graph that was built; its precision is the plan's."""


class _Document(_Fields, frozen=True, kw_only=True):
    """The file; the spec in it has a version of its own."""

    version: Literal[1]
    spec: Raw


def manifest_from_json(text: str | bytes, as_error: AsError) -> Manifest:
    """Decode a manifest. `as_error` makes the error to raise; an invalid spec or option inside raises OptionError."""
    document = decode_json(text, _Document, as_error)
    fields = {name: getattr(document, name) for name in _Fields.__struct_fields__}
    return Manifest(spec=ModelSpec.from_json(bytes(document.spec).decode()), **fields)


def manifest_as_json(manifest: Manifest) -> dict[str, Any]:
    """The manifest as plain values, in the form of the file."""
    return {"version": MANIFEST_VERSION, **to_builtins(manifest), "spec": json.loads(manifest.spec.to_json())}
