"""Files that a report is made of: records, what `tune` measured, and certificates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from srn_deploy.benchmark.records import Record
from srn_deploy.engine.manifest import CertificateRecord
from srn_deploy.errors import OptionError
from srn_deploy.system.documents import read_json
from srn_deploy.tuning.choice import Tuned, read

_REMEDY = ("Give what `srn-deploy bench --save FILE` keeps, what `eval`, `tune` or `verify` print with --json, or a "
           "record of a study.")


@dataclass(frozen=True, kw_only=True)
class NamedCertificate:
    """What `verify` found, and the name of its file."""

    name: str
    found: CertificateRecord


ReportDocument = Record | Tuned | NamedCertificate


@dataclass(frozen=True)
class _Marks:
    """What tells the kinds of files apart."""

    circumstances: Any = None
    kind: Any = None
    ways: Any = None
    artefact_sha256: Any = None


def read_documents(paths: Sequence[Path]) -> list[ReportDocument]:
    """Read every file, in the order given; a file that is named twice is read once.

    Raises OptionError for a file that is missing, damaged, of another version, or none of these, and without any file.
    """
    if not paths:
        raise OptionError("There is no record to report.", remedy=_REMEDY)
    return [_read_document(path) for path in dict.fromkeys(path.resolve() for path in paths)]


def _read_document(path: Path) -> ReportDocument:
    if path.is_dir():
        raise OptionError(f"{path} is a folder.", remedy=f"Name its records, as in {path / '*.json'}.")
    marks = read_json(path, _Marks, lambda fault: OptionError(f"{path} cannot be read as a record ({fault}).",
                                                              remedy=_REMEDY))
    if marks.circumstances is not None or marks.kind is not None:
        return Record.load(path)
    if marks.ways is not None:
        return read(path)
    if marks.artefact_sha256 is not None:
        found = read_json(path, CertificateRecord, lambda fault: OptionError(
            f"{path} is not a certificate ({fault}).", remedy="Run `srn-deploy verify` again."))
        return NamedCertificate(name=path.name.removesuffix(".json").removesuffix(".certificate"), found=found)
    raise OptionError(f"{path} is not a record.", remedy=_REMEDY)
