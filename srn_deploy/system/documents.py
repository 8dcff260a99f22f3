"""Typed documents: JSON and TOML decoded into frozen classes, with the field at fault named."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from srn_deploy.errors import SrnDeployError

Document = TypeVar("Document")

KEY_LENGTH = 16
"""Hex digits in a file name: 64 bits of the hash."""

AsError = Callable[[str], SrnDeployError]
"""Makes the error to raise from one sentence fragment, as in "Expected `int`, got `str` - at `$.scale`"."""


def decode_json(text: str | bytes, kind: type[Document], as_error: AsError) -> Document:
    """Decode JSON into a dataclass or msgspec.Struct; `as_error` turns what is wrong into the error that is raised.

    Types are checked strictly: a bool is not an int, and an int serves where a float is expected. Unknown fields are
    ignored, so that a document of a newer version can still be read where its fields suffice.
    """
    try:
        return msgspec.json.decode(text, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, ValueError, TypeError) as error:
        raise as_error(str(error).rstrip(".")) from error


def decode_toml(text: str, kind: type[Document], as_error: AsError) -> Document:
    """Decode TOML as `decode_json` decodes JSON."""
    try:
        return msgspec.toml.decode(text, type=kind)
    except (msgspec.MsgspecError, RecursionError, ValueError, TypeError) as error:
        raise as_error(str(error).rstrip(".")) from error


def read_json(path: Path, kind: type[Document], as_error: AsError) -> Document:
    """Read and decode a JSON file; a file that cannot be read is an error of the same kind."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise as_error(error.strerror or str(error)) from error
    return decode_json(content, kind, as_error)


def convert(data: object, kind: type[Document], as_error: AsError) -> Document:
    """Convert mappings, lists and plain values, already decoded, into a dataclass or msgspec.Struct."""
    try:
        return msgspec.convert(data, type=kind)
    except (msgspec.MsgspecError, RecursionError, ValueError, TypeError) as error:
        raise as_error(str(error).rstrip(".")) from error


def to_builtins(document: object) -> Any:
    """The document as mappings, lists and plain values, ready for JSON; fields with their default values included."""
    # msgspec leaves out the defaults of a dataclass that it decoded, because they are not in its __dict__.
    plain = asdict(document) if is_dataclass(document) and not isinstance(document, type) else document
    return msgspec.to_builtins(plain)


def key_of(document: object) -> str:
    """The part of a file name that tells documents apart, derived from every field so that none can be forgotten."""
    return hashlib.sha256(json.dumps(to_builtins(document), sort_keys=True).encode()).hexdigest()[:KEY_LENGTH]
