"""Results of a size that was asked for: pixels, metadata, what is refused, and what a second run finds."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from PIL import Image as Pillow

import srn_deploy
from srn_deploy.errors import OptionError, UnsuitableBatch, UnwritableImage
from srn_deploy.image import Image, read_image, write_image
from srn_deploy.image.output_size import OutputSize
from srn_deploy.image.reduction import reduced
from srn_deploy.inference.earlier_results import Fault, compare_with_sources
from srn_deploy.inference.jobs import Outcome, run_jobs
from srn_deploy.inference.plan import plan_jobs
from srn_deploy.inference.result_options import ResultOptions
from srn_deploy.inference.setup import Setup
from tests.commands import srn_deploy as run
from tests.fakes import NearestBackend
from tests.test_georeference import SCALE, TIE, corners, doubles, keys
from tests.test_georeference import written as georeferenced
from tests.xmp_packets import packet

PIXELS = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)
HALF_AGAIN = OutputSize(scale=1.5)


def put(path: Path, pixels: NDArray[Any] = PIXELS, **others: Any) -> Path:
    write_image(path, Image(pixels=pixels, **others))
    return path


def one(source: Path, target: Path, size: OutputSize, backend: NearestBackend | None = None) -> Outcome:
    jobs = plan_jobs(source, target, wanted=ResultOptions(size=size))
    (outcome,) = run_jobs(jobs, Setup(backend or NearestBackend()))
    return outcome


def test_a_result_is_the_network_s_reduced(tmp_path: Path) -> None:
    outcome = one(put(tmp_path / "a.png"), tmp_path / "b.png", HALF_AGAIN)
    assert outcome.error is None
    np.testing.assert_array_equal(read_image(tmp_path / "b.png").pixels,
                                  reduced(PIXELS.repeat(2, 0).repeat(2, 1), 30, 45))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_alpha_and_all_bits_are_kept(tmp_path: Path, dtype: Any) -> None:
    top = int(np.iinfo(dtype).max)
    pixels = np.random.default_rng(1).integers(0, top, (20, 30, 3), dtype=dtype)
    alpha = np.zeros((20, 30, 1), dtype)
    alpha[:, :15] = top
    put(tmp_path / "a.tif", pixels, alpha=alpha)
    setup = Setup(NearestBackend(spec=replace(NearestBackend().spec, pixel_type=srn_deploy.spec.PixelType.FLOAT32)))
    jobs = plan_jobs(tmp_path / "a.tif", tmp_path / "b.tif", wanted=ResultOptions(size=HALF_AGAIN))
    (outcome,) = run_jobs(jobs, setup)
    assert outcome.error is None, outcome.error
    result = read_image(tmp_path / "b.tif")
    assert result.pixels.dtype == dtype
    assert result.alpha is not None
    assert result.alpha[:, :20].min() == top
    assert result.alpha[:, -20:].max() == 0


def test_an_image_that_is_no_smaller_is_reduced_without_the_network_and_said(
        tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    backend = NearestBackend()
    with caplog.at_level(logging.INFO):
        outcome = one(put(tmp_path / "a.png"), tmp_path / "b.png", OutputSize(width=21), backend)
    assert outcome.error is None
    assert backend.shapes == []
    np.testing.assert_array_equal(read_image(tmp_path / "b.png").pixels, reduced(PIXELS, 14, 21))
    assert f"{tmp_path / 'a.png'} has 30 x 20 px, no fewer than its result: it is reduced without the network." \
        in caplog.messages


def test_more_than_the_network_gives_is_an_error_of_that_image_alone_before_it_runs(tmp_path: Path) -> None:
    put(tmp_path / "in/a.png")
    put(tmp_path / "in/b.png", PIXELS.repeat(2, 0).repeat(2, 1))
    backend = NearestBackend()
    jobs = plan_jobs(tmp_path / "in", tmp_path / "out", wanted=ResultOptions(size=OutputSize(width=100)))
    first, second = run_jobs(jobs, Setup(backend))
    assert isinstance(first.error, UnwritableImage)
    assert "100 x 67 px is more than the 60 x 40 px" in first.error.message
    assert second.error is None
    assert len(backend.shapes) == 1
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["b.png"]


def test_a_format_s_limit_counts_for_the_result_not_for_what_the_network_gives(tmp_path: Path) -> None:
    put(tmp_path / "a.png", np.zeros((2, 9000, 3), np.uint8))
    whole = one(tmp_path / "a.png", tmp_path / "b.webp", OutputSize())
    assert isinstance(whole.error, UnwritableImage)
    assert one(tmp_path / "a.png", tmp_path / "b.webp", OutputSize(max_side=16383)).error is None
    with Pillow.open(tmp_path / "b.webp") as opened:
        assert opened.size == (16383, 4)


def test_sizes_and_resolution_are_right_in_every_place(tmp_path: Path) -> None:
    exif = Pillow.Exif()
    exif[0x0100], exif[0x0101], exif[0x011A], exif[0x011B], exif[0x0128] = 30, 20, 300, 300, 2
    inner = exif.get_ifd(0x8769)
    inner[0xA002], inner[0xA003], inner[0x9214] = 30, 20, (10, 8)
    xmp = packet('tiff:ImageWidth="30" tiff:ImageLength="20" exif:PixelXDimension="30" exif:PixelYDimension="20"')
    Pillow.fromarray(PIXELS).save(tmp_path / "a.jpg", exif=exif, dpi=(300, 300), xmp=xmp)
    assert one(tmp_path / "a.jpg", tmp_path / "b.jpg", HALF_AGAIN).error is None
    with Pillow.open(tmp_path / "b.jpg") as opened:
        found, dpi, text = opened.getexif(), opened.info["dpi"], opened.info["xmp"].decode()
        assert opened.size == (45, 30)
    assert (found[0x0100], found[0x0101]) == (45, 30)
    assert [found.get_ifd(0x8769)[tag] for tag in (0xA002, 0xA003, 0x9214)] == [45, 30, (15, 12)]
    assert dpi == (300, 300)  # keeps its number, as without a size
    assert 'tiff:ImageWidth="45" tiff:ImageLength="30"' in text
    assert 'exif:PixelXDimension="45" exif:PixelYDimension="30"' in text


@pytest.mark.parametrize("size", [HALF_AGAIN, OutputSize(width=57), OutputSize(max_side=23)], ids=repr)
@pytest.mark.parametrize("raster_type", [1, 2])
def test_a_georeferenced_result_of_any_size_lies_where_its_source_lay(
        tmp_path: Path, size: OutputSize, raster_type: int) -> None:
    source = georeferenced(tmp_path, keys(raster_type), doubles(33550, *SCALE), doubles(33922, *TIE))
    assert one(source, tmp_path / "out.tif", size).error is None
    with tifffile.TiffFile(tmp_path / "out.tif") as opened:
        assert opened.pages.first.shape[:2] == size.of(24, 40, factor=2)
    np.testing.assert_allclose(corners(tmp_path / "out.tif"), corners(source), atol=1e-6)


def test_a_world_file_has_the_true_ratio(tmp_path: Path) -> None:
    put(tmp_path / "a.png")
    (tmp_path / "a.pgw").write_text("3.0\n0.0\n0.0\n-3.0\n100.5\n200.5\n")
    assert one(tmp_path / "a.png", tmp_path / "b.png", HALF_AGAIN).error is None
    numbers = [float(line) for line in (tmp_path / "b.pgw").read_text().split()]
    # The upper left corner, half a pixel before the centre that the file gives, stays where it was.
    assert numbers == pytest.approx([2.0, 0.0, 0.0, -2.0, 99.0 + 1.0, 202.0 - 1.0])


def test_earlier_results_are_compared_with_the_size_that_is_asked_for(tmp_path: Path) -> None:
    put(tmp_path / "in/a.png")
    put(tmp_path / "out/a.png", PIXELS.repeat(2, 0).repeat(2, 1))
    faults = {}
    for size in (OutputSize(), HALF_AGAIN, OutputSize(width=100)):
        found = compare_with_sources(plan_jobs(tmp_path / "in", tmp_path / "out", wanted=ResultOptions(size=size)), 2)
        faults[size] = [each.fault for each in found.outdated]
    assert faults == {OutputSize(): [], HALF_AGAIN: [Fault.OTHER_SIZE], OutputSize(width=100): [Fault.OTHER_SIZE]}


def test_update_replaces_results_of_another_size_and_skips_them_afterwards(tmp_path: Path) -> None:
    put(tmp_path / "in/a.png", np.zeros((20, 30, 3), np.uint8))
    assert run("upscale", tmp_path / "in", tmp_path / "out", "--device", "cpu").returncode == 0
    ended = run("upscale", tmp_path / "in", tmp_path / "out", "--device", "cpu", "--scale", "1.5", "--skip-existing")
    assert "is of another size than this run gives. Replace with --update" in ended.stderr
    ended = run("upscale", tmp_path / "in", tmp_path / "out", "--device", "cpu", "--scale", "1.5", "--update")
    assert "is of another size than this run gives: replaced." in ended.stderr
    assert read_image(tmp_path / "out/a.png").pixels.shape == (30, 45, 3)
    ended = run("upscale", tmp_path / "in", tmp_path / "out", "--device", "cpu", "--scale", "1.5", "--update")
    assert "Nothing to do" in ended.stderr


@pytest.mark.parametrize(("options", "size"), [
    (("--scale", "1.5"), (30, 45)), (("--width", "77"), (51, 77)), (("--height", "77"), (77, 116)),
    (("--fit", "100x60"), (60, 90)), (("--max-side", "99"), (66, 99)),
    (("--scale", "3", "--max-side", "80"), (53, 80))], ids=lambda value: " ".join(map(str, value)))
def test_each_option_of_the_command_gives_its_size(tmp_path: Path, options: tuple[str, ...],
                                                   size: tuple[int, int]) -> None:
    put(tmp_path / "a.png")
    ended = run("upscale", tmp_path / "a.png", tmp_path / "b.png", "--device", "cpu", *options)
    assert ended.returncode == 0, ended.stderr
    assert read_image(tmp_path / "b.png").pixels.shape[:2] == size


@pytest.mark.parametrize("options", [("--width", "9", "--height", "9"), ("--width", "9", "--fit", "9x9"),
                                     ("--scale", "2", "--width", "9"), ("--fit", "9x9", "--max-side", "9")],
                         ids=" ".join)
def test_options_that_contradict_each_other_are_wrong_usage(tmp_path: Path, options: tuple[str, ...]) -> None:
    put(tmp_path / "a.png")
    ended = run("upscale", tmp_path / "a.png", tmp_path / "b.png", *options)
    assert ended.returncode == 2
    assert "Give one of them" in ended.stderr
    assert not (tmp_path / "b.png").exists()


def test_arrays_and_pillow_images_have_the_size_too() -> None:
    upscaler = srn_deploy.Upscaler(NearestBackend())
    assert upscaler.upscale(PIXELS[..., 0], size=HALF_AGAIN).shape == (30, 45)
    rgba = np.concatenate([PIXELS, PIXELS[..., :1]], axis=2)
    assert upscaler.upscale(rgba, size=OutputSize(width=20)).shape == (13, 20, 4)
    assert upscaler.upscale(Pillow.fromarray(PIXELS), size=OutputSize(height=33)).size == (50, 33)
    same = upscaler.upscale(PIXELS, size=OutputSize(scale=1))
    np.testing.assert_array_equal(same, PIXELS)
    assert not np.shares_memory(same, PIXELS)


def test_an_array_that_is_none_is_refused_without_the_network_too() -> None:
    upscaler = srn_deploy.Upscaler(NearestBackend())
    with pytest.raises(UnsuitableBatch):
        upscaler.upscale(np.zeros((9, 9, 3), np.float64), size=OutputSize(width=3))
    with pytest.raises(UnwritableImage, match="more than"):
        upscaler.upscale(PIXELS, size=OutputSize(width=300))
    with pytest.raises(OptionError, match="size cannot be"):
        upscaler.upscale(PIXELS, size=(30, 45))  # type: ignore[arg-type]
