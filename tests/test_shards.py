"""Shards: the same parts everywhere, which together are the whole."""

from __future__ import annotations

from pathlib import Path

import pytest

from srn_deploy.errors import OptionError
from srn_deploy.inference.plan import plan_jobs
from srn_deploy.inference.shards import Shard
from tests.commands import srn_deploy
from tests.test_kill import draw

NAMES = [f"{folder}{name}{number}.{suffix}" for number in range(40) for folder in ("", "a/", "a b/ü/")
         for name, suffix in (("picture", "png"), ("clip", "mkv"))]


@pytest.mark.parametrize("count", [1, 2, 3, 7, 64])
def test_every_file_is_in_one_of_the_shards(count: int) -> None:
    parts = [[name for name in NAMES if Shard(number, count).has(name)] for number in range(1, count + 1)]
    assert sorted(name for part in parts for name in part) == sorted(NAMES)
    assert max(map(len, parts)) < 3 * len(NAMES) / count + 8  # even enough; the hash is the same for ever


def test_a_file_stays_in_its_shard_on_every_machine_and_in_every_version() -> None:
    # Worked out once with sha256sum: other values would let runs of two versions leave files out.
    found = {name: next(number for number in range(1, 9) if Shard(number, 8).has(name))
             for name in ("a.png", "sub/a.png", "clip.mkv", "b\udcff.png")}
    assert found == {"a.png": 1, "sub/a.png": 8, "clip.mkv": 6, "b\udcff.png": 2}


def test_jobs_are_divided_by_their_sources_whatever_their_results_are_called(tmp_path: Path) -> None:
    for name in NAMES:
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "in" / name).touch()
    plain = plan_jobs(tmp_path / "in", tmp_path / "out")
    named = plan_jobs(tmp_path / "in", tmp_path / "out", ".jpg", name="{stem}_large{suffix}")
    moved = plan_jobs([tmp_path / "in/a", tmp_path / "in/picture1.png"], tmp_path / "elsewhere")
    for number in (1, 2, 3):
        shard = Shard(number, 3)
        part = [job.source for job in shard.of(plain, tmp_path / "out")]
        assert part == [job.source for job in shard.of(named, tmp_path / "out")]
        assert part == [tmp_path / "in" / name for name in sorted(NAMES, key=Path) if shard.has(name)]
        assert {job.source for job in shard.of(moved, tmp_path / "elsewhere")} <= set(part)


def test_a_single_result_is_in_one_shard_by_its_name(tmp_path: Path) -> None:
    (tmp_path / "in.png").touch()
    jobs = plan_jobs(tmp_path / "in.png", tmp_path / "out.png")
    assert [len(Shard(number, 3).of(jobs, tmp_path / "out.png")) for number in (1, 2, 3)].count(1) == 1


@pytest.mark.parametrize("text", ["4/3", "0/3", "x", "", "1/0", "-1/3", "1/3/5", "1", "1 / 3", "٣/٤", "1/9999999"])
def test_a_shard_that_there_is_not_is_refused(text: str) -> None:
    with pytest.raises(OptionError) as caught:
        Shard.parse(text)
    assert "2/8" in caught.value.remedy


def test_runs_of_all_shards_leave_the_tree_of_one_run(tmp_path: Path) -> None:
    draw(tmp_path / "in")
    alone = srn_deploy("upscale", tmp_path / "in", tmp_path / "alone", "--device", "cpu")
    assert alone.returncode == 0, alone.stderr
    for number in (1, 2, 3):
        ended = srn_deploy("upscale", tmp_path / "in", tmp_path / "out", "--device", "cpu", "--shard", f"{number}/3")
        assert ended.returncode == 0, ended.stderr
        assert 0 < len(ended.stdout.splitlines()) < len(alone.stdout.splitlines())
    assert tree(tmp_path / "out") == tree(tmp_path / "alone")


def test_a_shard_without_files_is_no_error_and_says_so(tmp_path: Path) -> None:
    draw(tmp_path / "in")
    (tmp_path / "out").mkdir()
    shard = next(shard for shard in (Shard(number, 500) for number in range(1, 500))
                 if not shard.of(plan_jobs(tmp_path / "in", tmp_path / "out"), tmp_path / "out"))
    ended = srn_deploy("upscale", tmp_path / "in", tmp_path / "out", "--shard", str(shard))
    assert (ended.returncode, ended.stdout) == (0, "")
    assert f"none of 24 files is in shard {shard}" in ended.stderr
    assert list((tmp_path / "out").iterdir()) == []


def tree(folder: Path) -> dict[str, bytes]:
    """Every result under a folder; the ledger is none."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*"))
            if path.is_file() and ".srn-ledger" not in path.parts}
