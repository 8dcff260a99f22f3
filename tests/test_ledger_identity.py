"""A ledger is that of one model, one version and one set of options; a damaged one says what to do."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from srn_deploy.errors import DamagedLedger, LedgerError, OtherRun
from srn_deploy.inference.ledger import Ledger
from srn_deploy.inference.ledger_identity import LedgerIdentity
from srn_deploy.spec import ModelSpec
from tests.fakes import NEAREST
from tests.test_ledger import IDENTITY, done, job


def with_model(**changes: object) -> LedgerIdentity:
    return replace(IDENTITY, model=ModelSpec(**{**vars(NEAREST), **changes}).to_json())


@pytest.mark.parametrize(("identity", "said"), [
    (replace(IDENTITY, version="2"), "version 1 of srn-deploy there and 2 here"),
    (replace(IDENTITY, options={"quality": "80"}), "quality None there and 80 here"),
    (replace(IDENTITY, options={}), "quality None there and not known here"),
    (with_model(source_sha256="5" * 64), "the model (source_sha256)"),
    (with_model(precision="bf16"), "the model (precision fp32 there and bf16 here)")],
    ids=["version", "quality", "no quality", "model", "precision"])
def test_the_ledger_of_another_run_is_refused_with_what_differs(
        tmp_path: Path, identity: LedgerIdentity, said: str) -> None:
    out = tmp_path / "out"
    with Ledger(out, IDENTITY) as first:
        first.claim(job(out))
        done(first, job(out))
    with pytest.raises(OtherRun) as caught, Ledger(out, identity):
        pass
    assert said in caught.value.message
    assert "delete" in caught.value.remedy
    assert job(out).target.read_bytes() == b"a large picture"


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b"[]", b'{"version": 3}',
                                     b'{"version":"1","model":"{","options":{}}'],
                         ids=["empty", "cut off", "no text", "list", "number", "damaged model"])
def test_a_damaged_ledger_is_refused_with_what_to_do(
        tmp_path: Path, content: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("srn_deploy.inference.ledger._HALF_WRITTEN_S", 0.1)
    out = tmp_path / "out"
    with Ledger(out, IDENTITY):
        pass
    (out / ".srn-ledger/run.json").write_bytes(content)
    with pytest.raises(DamagedLedger) as caught, Ledger(out, IDENTITY):
        pass
    assert "--skip-existing" in caught.value.remedy


def test_a_ledger_that_cannot_be_written_is_an_error_with_its_place(tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / ".srn-ledger").touch()
    with pytest.raises(LedgerError, match=r"\.srn-ledger cannot be written"), Ledger(out, IDENTITY):
        pass
