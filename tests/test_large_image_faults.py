"""What goes wrong with images that are taken by bands is a clear error of the command, and what was finished stays."""

from __future__ import annotations

import errno
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

from srn_deploy.cli import main
from srn_deploy.image import Image, read_image, write_image
from srn_deploy.image.bands.png_stream import PngEncoder
from srn_deploy.image.bands.tiff_rows import TiffRows
from srn_deploy.image.bands.tiff_stream import TiffEncoder
from srn_deploy.inference import large_results
from tests.banded import waves
from tests.picture_table import KINDS

LARGE_BYTES = 2**20
"""Of the results that these tests take for large; the small image's has less."""


def upscaled(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, ["upscale", "--device", "cpu", *map(str, arguments)])


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two small images around a large one, in a folder."""
    monkeypatch.setattr(large_results, "LARGE_RESULT_BYTES", LARGE_BYTES)
    for name in ("a.png", "c.png"):
        write_image(tmp_path / "in" / name, waves(40, 30, KINDS[2]))
    write_image(tmp_path / "in/b.tif", waves(300, 90, KINDS[2]))
    return tmp_path


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_a_disk_that_fills_up_in_a_band(folder: Path, monkeypatch: pytest.MonkeyPatch, suffix: str) -> None:
    encoder, written = {"png": PngEncoder, "tif": TiffEncoder}[suffix], list[int]()

    def add(self: Any, file: Any, packed: Any) -> None:
        written.append(file.write(packed.data))
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(encoder, "add", add)
    ended = upscaled("--format", suffix, "--tile", "48", "--jobs", "1", folder / "in", folder / "out")
    assert written
    assert ended.exit_code == 1
    assert f"{folder / 'out' / f'b.{suffix}'} cannot be written: No space left on device." in ended.stderr
    assert "free space" in ended.stderr
    assert f"a.{suffix}" in names(folder / "out")
    assert f"b.{suffix}" not in names(folder / "out")
    assert not [name for name in names(folder / "out") if not name.endswith(f".{suffix}")]
    assert read_image(folder / f"out/a.{suffix}").pixels.shape == (160, 120, 3)


@pytest.mark.parametrize("options", [("--width", "0"), ("--height", "0"), ("--scale", "0"), ("--fit", "0x5"),
                                     ("--max-side", "0"), ("--width", "1000001"), ("--fit", "5x1000001")], ids=" ".join)
def test_a_size_of_nothing_or_beyond_every_format(folder: Path, options: tuple[str, ...]) -> None:
    ended = upscaled(folder / "in/b.tif", folder / "out.tif", *options)
    assert ended.exit_code == 2
    assert not (folder / "out.tif").exists()


@pytest.mark.parametrize(("name", "width", "options", "says"), [
    ("out.jpg", 16_376, (), "65504 x 8 px is more than JPEG can hold (65500 per side)"),
    ("out.webp", 4096, (), "16384 x 8 px is more than WebP can hold (16383 per side)"),
    ("out.avif", 8193, (), "32772 x 8 px is more than AVIF can hold (32768 per side)"),
    ("out.webp", 16_384, ("--scale", "1"), "16384 x 2 px is more than WebP can hold"),
    ("out.png", 250_001, (), "1000004 x 8 px is more than PNG can hold"),
    ("out.tif", 250_001, (), "1000004 x 8 px is more than TIFF can hold")])
def test_a_result_beyond_the_limit_of_its_format(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, width: int,
                                                 options: tuple[str, ...], says: str) -> None:
    monkeypatch.setattr(large_results, "LARGE_RESULT_BYTES", 0)
    write_image(tmp_path / "in.png", Image(pixels=np.zeros((2, width, 3), np.uint8)))
    ended = upscaled(tmp_path / "in.png", tmp_path / name, *options)
    assert ended.exit_code == 1
    assert says in ended.stderr
    assert "Write a " in ended.stderr
    assert names(tmp_path) == ["in.png"]


@pytest.mark.parametrize(("options", "says"), [
    (("--width", "99", "--fit", "99x99"), "width and fit contradict each other"),
    (("--fit", "99x99", "--max-side", "99"), "fit and max_side contradict each other"),
    (("--width", "99", "--height", "99"), "would change the shape")], ids=" ".join)
def test_two_sizes_that_contradict_each_other(folder: Path, options: tuple[str, ...], says: str) -> None:
    ended = upscaled(folder / "in", folder / "out", *options)
    assert ended.exit_code == 2
    assert says in ended.stderr
    assert "Give one of them" in ended.stderr
    assert names(folder / "out") == []


def test_a_pattern_that_makes_two_results_one(folder: Path) -> None:
    ended = upscaled(folder / "in", folder / "out", "--name", "large{suffix}")
    assert ended.exit_code == 1
    assert f"would both become {folder / 'out/large.png'}" in ended.stderr
    assert "Give them different names" in ended.stderr
    assert names(folder / "out") == []


@pytest.mark.parametrize(("happens", "says"), [
    (Path.unlink, "was removed or renamed while it was read"),
    (lambda path: path.write_bytes(path.read_bytes() + bytes(9)), "grew by 9 bytes while it was read"),
    (lambda path: path.write_bytes(path.read_bytes()[:-9]), "shrank by 9 bytes while it was read")],
    ids=["vanishes", "grows", "shrinks"])
@pytest.mark.parametrize("options", [(), ("--scale", "1.5")], ids=["whole", "reduced"])
def test_an_input_that_changes_while_it_is_read_by_bands(
        folder: Path, monkeypatch: pytest.MonkeyPatch, happens: Callable[[Path], object], says: str,
        options: tuple[str, ...]) -> None:
    plain_read, reads = TiffRows.read, list[int]()

    def read(self: TiffRows, start: int, stop: int) -> Any:
        reads.append(start)
        if len(reads) == 3:
            happens(folder / "in/b.tif")
        return plain_read(self, start, stop)

    monkeypatch.setattr(TiffRows, "read", read)
    ended = upscaled(folder / "in", folder / "out", "--tile", "48", *options)
    assert len(reads) >= 3
    assert ended.exit_code == 1
    assert f"{folder / 'in/b.tif'} {says}" in ended.stderr
    assert "run it again" in ended.stderr
    assert names(folder / "out") == ["a.png", "c.png"]


def test_less_memory_than_the_bands_take(tmp_path: Path) -> None:
    write_image(tmp_path / "in/a.png", waves(40, 30, KINDS[2]))
    write_image(tmp_path / "in/b.png", Image(pixels=np.full((2400, 2400, 3), 90, np.uint8)))
    ended = upscaled("--memory", "20M", tmp_path / "in", tmp_path / "out")
    assert ended.exit_code == 1
    assert "by bands its result takes about" in ended.stderr
    assert "more than the 20 MiB that images may take" in ended.stderr
    assert "--memory" in ended.stderr
    assert names(tmp_path / "out") == ["a.png"]


def test_a_result_that_must_be_whole_without_the_memory_for_it(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(large_results, "available_bytes", lambda: 2**20)
    ended = upscaled(folder / "in/b.tif", folder / "out.avif")
    assert ended.exit_code == 1
    assert "held whole to be written as AVIF" in ended.stderr
    assert "Write a .png or .tif, which is written by bands" in ended.stderr
    assert not (folder / "out.avif").exists()
