"""A measurement with its environment, as a JSON file that is whole or absent."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Self, TypeVar

import msgspec

from srn_deploy.benchmark.environment import Environment
from srn_deploy.errors import OptionError
from srn_deploy.system.atomic import replacing
from srn_deploy.system.documents import convert, decode_json, to_builtins

FORMAT_VERSION = 1

Results = TypeVar("Results")


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """What was measured, and in which environment."""

    format_version: int = FORMAT_VERSION
    kind: str
    """Which benchmark: says which results to expect."""
    title: str
    environment: Environment = msgspec.field(name="circumstances")
    results: dict[str, Any]
    """As in the file; units stand in the names. `results_as` reads them as the class of their kind."""

    def results_as(self, results: type[Results]) -> Results:
        """The results as a class of `srn_deploy.benchmark.results`; raises OptionError where they are not that."""
        return convert(self.results, results, lambda fault: OptionError(
            f"The record {self.title!r} does not hold what a record of {self.kind} holds ({fault}).",
            remedy="Measure it again with `srn-deploy bench --save FILE` or `srn-deploy eval --json`."))

    def as_json(self) -> dict[str, Any]:
        """What `load` reads back."""
        return {"format_version": self.format_version, "kind": self.kind, "title": self.title,
                "circumstances": to_builtins(self.environment), "results": self.results}

    def save(self, path: Path) -> None:
        """Write JSON, whole or not at all; raises OptionError for values that JSON lacks and for a bad path."""
        try:
            text = json.dumps(self.as_json(), indent=2, allow_nan=False)
        except (TypeError, ValueError) as error:
            raise OptionError(f"The record {self.title!r} cannot be kept: {error}.",
                              remedy="Keep finite numbers, texts, lists and mappings; None for what is missing.",
                              ) from error
        try:
            with replacing(path) as temporary:
                temporary.write_text(text + "\n", encoding="utf-8")
        except OSError as error:
            raise OptionError(f"{path} cannot be written: {error.strerror}.",
                              remedy="Check the folder, its permissions and the free space.") from error

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read a record back; raises OptionError for a file that is missing, damaged or of another version."""
        def not_a_record(fault: str) -> OptionError:
            return OptionError(f"{path} is not a record ({fault}).",
                               remedy="Measure it again: benchmarks/README.md names the command.")

        try:
            content = path.read_bytes()
        except OSError as error:
            raise OptionError(f"{path} cannot be read: {error.strerror}.",
                              remedy="Measure it: benchmarks/README.md names the command.") from error
        version = decode_json(content, _Version, not_a_record).format_version
        if version != FORMAT_VERSION:
            raise OptionError(f"{path} has format version {version}, this program reads {FORMAT_VERSION}.",
                              remedy="Measure it again with this version of srn-deploy.")
        return decode_json(content, cls, not_a_record)


class _Version(msgspec.Struct, frozen=True):
    """Read first: of another version nothing else is expected."""

    format_version: int
