"""A file is whole or absent, whatever interrupts its writing."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from srn_deploy.system.atomic import TEMPORARY_MARK, replacing


def test_the_file_appears_only_when_the_block_ends_without_an_exception(tmp_path: Path) -> None:
    target = tmp_path / "new" / "out.bin"
    with replacing(target) as temporary:
        temporary.write_bytes(b"whole")
        assert not target.exists()
    assert target.read_bytes() == b"whole"
    assert list(target.parent.iterdir()) == [target]


@pytest.mark.parametrize("interruption", [KeyboardInterrupt, ValueError, SystemExit])
def test_an_interruption_leaves_the_old_file_and_nothing_else(
        tmp_path: Path, interruption: type[BaseException]) -> None:
    target = tmp_path / "out.bin"
    target.write_bytes(b"old")
    with pytest.raises(interruption), replacing(target) as temporary:
        _interrupted(temporary, interruption)
    assert target.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [target]


def _interrupted(path: Path, interruption: type[BaseException]) -> None:
    path.write_bytes(b"ha")
    raise interruption


def test_a_block_that_writes_nothing_is_an_error_and_leaves_the_old_file(tmp_path: Path) -> None:
    target = tmp_path / "out.bin"
    target.write_bytes(b"old")
    with pytest.raises(FileNotFoundError), replacing(target):
        pass
    assert target.read_bytes() == b"old"


def test_the_temporary_name_has_the_suffix_and_the_mark(tmp_path: Path) -> None:
    with replacing(tmp_path / "out.png") as temporary:
        assert temporary.suffix == ".png"
        assert temporary.name.startswith(TEMPORARY_MARK)
        temporary.touch()


def test_a_link_stays_a_link_and_its_file_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    real, link = tmp_path / "real" / "file.bin", tmp_path / "link.bin"
    real.write_bytes(b"old")
    link.symlink_to(real)
    with replacing(link) as temporary:
        temporary.write_bytes(b"new")
    assert link.is_symlink()
    assert real.read_bytes() == b"new"


@pytest.mark.parametrize("kind", ["folder", "pipe"])
def test_what_is_not_a_file_is_never_replaced(tmp_path: Path, kind: str) -> None:
    target = tmp_path / "out.png"
    if kind == "folder":
        target.mkdir()
    else:
        os.mkfifo(target)
    with pytest.raises(OSError, match="not a file"), replacing(target):
        pytest.fail("the block must not be entered")
    assert list(tmp_path.iterdir()) == [target]
