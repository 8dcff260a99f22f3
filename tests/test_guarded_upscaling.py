"""Upscaling under the guard: what is reported, what is repaired, what stays untouched; and images of 16 bits."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from numpy.typing import NDArray

import srn_deploy
from srn_deploy.cli import main
from srn_deploy.errors import UnsuitableBatch
from srn_deploy.image import Image, read_image, write_image
from srn_deploy.image.bicubic import resize_uint8
from srn_deploy.inference.arrays import upscale_guarded
from srn_deploy.inference.guard import Guard
from srn_deploy.inference.jobs import run_jobs
from srn_deploy.inference.plan import plan_jobs
from srn_deploy.inference.repair import GROWN_PX, RAMP_PX
from srn_deploy.inference.setup import Fp32Fallback, Setup
from srn_deploy.open_model import fp32_fallback_of
from srn_deploy.registry.resolve import resolve
from srn_deploy.registry.shipped import shipped_models
from srn_deploy.spec import PixelType, Precision
from srn_deploy.tiling.interpolation import Geometry
from srn_deploy.tiling.windows import TileOptions
from tests.fakes import NEAREST, NearestBackend

HALF = replace(NEAREST, precision=Precision.FP16)
PRECISE = replace(NEAREST, pixel_type=PixelType.FLOAT32)
POISON = 213
"""The red level that makes a fake network diverge."""


@dataclass
class DivergingBackend(NearestBackend):
    """Gives green around every poisoned pixel, as far as the poison's square reaches."""

    def run(self, batch: NDArray[Any], geometry: Geometry | None = None) -> NDArray[Any]:
        largest = batch.dtype.type(255 if batch.dtype == np.uint8 else 1)
        level = POISON if batch.dtype == np.uint8 else POISON / 255
        upscaled = super().run(batch)
        upscaled[np.isclose(batch[..., 0], level).repeat(2, axis=1).repeat(2, axis=2)] = (0, largest, 0)
        return upscaled


def poisoned(height: int = 160, width: int = 200) -> NDArray[np.uint8]:
    """Soft grey-red waves with a poisoned square of 24 px at row 64, column 80."""
    rows, cols = np.mgrid[0:height, 0:width]
    wave = 100 + 40 * np.sin(rows / 17) + 40 * np.cos(cols / 23)
    picture = np.stack([wave, wave * 0.9, wave * 0.8], axis=2).astype(np.uint8)
    picture[64:88, 80:104, 0] = POISON
    picture[64:88, 80:104, 1:] = 190
    return picture


def distance_px(height: int, width: int) -> NDArray[np.int64]:
    """Of each output pixel from the poisoned square's blocks, in input pixels (the larger of both axes)."""
    rows, cols = np.mgrid[0:2 * height, 0:2 * width] // 2
    return np.maximum(np.maximum(64 - rows, rows - 87), np.maximum(80 - cols, cols - 103)).clip(0)


@pytest.mark.parametrize("guard", [Guard.OFF, Guard.WARN])
def test_without_repair_the_pixels_are_the_networks(guard: Guard) -> None:
    picture = poisoned()
    upscaled, findings = upscale_guarded(picture, Setup(DivergingBackend(), guard=guard))
    np.testing.assert_array_equal(upscaled, DivergingBackend().run(picture[None])[0])
    assert bool(findings.sentence()) == (guard is Guard.WARN)


def test_a_warning_says_how_much_and_where_and_what_to_do() -> None:
    _, findings = upscale_guarded(poisoned(), Setup(DivergingBackend()))
    assert (findings.broken, findings.blocks, findings.first) == (9, 20 * 25, (128, 160))
    assert findings.sentence() == (
        "1.8 % of the image does not resemble the input, the first place at column 160, row 128: the network broke "
        "there. Look at it; --guard repair fixes it.")


@pytest.mark.parametrize("tile", [None, 48])
def test_a_diverged_network_is_repaired_by_bicubic_with_a_soft_edge_and_the_rest_is_untouched(tile: int | None) -> None:
    picture = poisoned()
    upscaled, findings = upscale_guarded(picture, Setup(DivergingBackend(), tiles=TileOptions(tile=tile),
                                                        guard=Guard.REPAIR))
    assert (findings.bicubic, findings.run_again) == (9, 0)
    distance, raw = distance_px(*picture.shape[:2]), DivergingBackend().run(picture[None])[0]
    bicubic = resize_uint8(picture, 320, 400)
    inside = distance < GROWN_PX
    # One rounding: `resize_uint8` rounds after each of its passes.
    assert np.abs(upscaled[inside].astype(int) - bicubic[inside]).max() <= 1
    beyond = distance > GROWN_PX + RAMP_PX + 2  # two more for the interpolation of the weights
    np.testing.assert_array_equal(upscaled[beyond], raw[beyond])
    # Between both there is no step; the last 2 input pixels before the square are bicubic's own edge.
    column = upscaled[150, :, 1].astype(int) - raw[150, :, 1]
    assert np.abs(np.diff(column[160 - 32:160 - 4])).max() <= 8


@pytest.mark.parametrize("precision", [Precision.FP16, Precision.BF16])
def test_what_broke_in_half_precision_is_run_again_in_fp32(precision: Precision) -> None:
    picture = poisoned()
    fallback = Fp32Fallback(lambda: NearestBackend(PRECISE))
    backend = DivergingBackend(replace(NEAREST, precision=precision))
    upscaled, findings = upscale_guarded(picture, Setup(backend, guard=Guard.REPAIR, fallback=fallback))
    assert (findings.bicubic, findings.run_again) == (0, 9)
    np.testing.assert_array_equal(upscaled, picture.repeat(2, 0).repeat(2, 1))
    assert "Of 9 blocks: 9 run again in FP32." in findings.sentence()


def test_what_breaks_in_fp32_too_is_interpolated() -> None:
    fallback = Fp32Fallback(lambda: DivergingBackend(PRECISE))
    _, findings = upscale_guarded(poisoned(), Setup(DivergingBackend(HALF), guard=Guard.REPAIR, fallback=fallback))
    assert (findings.bicubic, findings.run_again) == (9, 0)


def test_only_the_windows_around_a_broken_block_are_run_again() -> None:
    precise = NearestBackend(PRECISE)
    upscale_guarded(poisoned(500, 600), Setup(DivergingBackend(HALF), guard=Guard.REPAIR,
                                              fallback=Fp32Fallback(lambda: precise)))
    assert 0 < sum(h * w for _, h, w, _ in precise.shapes) < 500 * 600 // 8


def test_a_healthy_image_opens_no_fallback() -> None:
    def opened() -> NearestBackend:
        raise AssertionError("nobody needs it")

    picture = poisoned()
    upscaled, findings = upscale_guarded(picture, Setup(NearestBackend(HALF), guard=Guard.REPAIR,
                                                        fallback=Fp32Fallback(opened)))
    assert findings.sentence() == ""
    np.testing.assert_array_equal(upscaled, picture.repeat(2, 0).repeat(2, 1))


@pytest.mark.parametrize("dtype", [np.uint16, np.float32])
def test_pixels_of_more_than_8_bits_run_on_the_fp32_fallback(dtype: Any) -> None:
    picture = np.random.default_rng(0).random((20, 30, 3))
    picture = (picture * 65535).astype(np.uint16) if dtype == np.uint16 else picture.astype(np.float32)
    fallback = Fp32Fallback(lambda: NearestBackend(PRECISE))
    upscaled, _ = upscale_guarded(picture, Setup(NearestBackend(), fallback=fallback))
    np.testing.assert_array_equal(upscaled, picture.repeat(2, 0).repeat(2, 1))
    with pytest.raises(UnsuitableBatch, match="--io float32"):
        upscale_guarded(picture, Setup(NearestBackend()))


@pytest.mark.parametrize("guard", [Guard.WARN, Guard.REPAIR])
def test_a_grey_image_is_looked_at_in_the_colours_that_the_network_gives_it(guard: Guard) -> None:
    class Tinting(NearestBackend):
        """Makes grey colourful and keeps its luma, as diverging networks do with patterns."""

        def run(self, batch: NDArray[Any], geometry: Geometry | None = None) -> NDArray[Any]:
            return super().run(batch) // 2 + np.array([80, 0, 60], np.uint8)

    grey = poisoned()[..., 1:2]
    upscaled, findings = upscale_guarded(grey, Setup(Tinting(), guard=guard))
    assert findings.broken == findings.blocks
    assert upscaled.shape == (320, 400, 1)
    if guard is Guard.REPAIR:  # one rounding in each of two passes
        assert np.abs(upscaled.astype(int) - resize_uint8(grey, 320, 400)).max() <= 1


@pytest.fixture(scope="module")
def sixteen(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A slow ramp of 16 bits: 8 bits would leave stairs."""
    ramp = np.linspace(20000, 24000, 64)[None, :, None] * np.array([1.0, 0.9, 0.8])
    path = tmp_path_factory.mktemp("deep") / "ramp.png"
    write_image(path, Image(pixels=np.broadcast_to(ramp, (40, 64, 3)).astype(np.uint16)))
    return path


def test_a_image_of_16_bits_keeps_them_with_every_shipped_model(sixteen: Path, tmp_path: Path) -> None:
    for name in shipped_models():
        with srn_deploy.load(name, device="cpu") as upscaler:
            outcome, = upscaler.upscale_files(sixteen, tmp_path / f"{name}.png")
        assert outcome.error is None
        large = read_image(tmp_path / f"{name}.png").pixels
        assert large.dtype == np.uint16
        assert len(np.unique(large[40, :, 0])) > 64  # more than the 16 levels that 8 bits would leave


def test_a_folder_of_both_depths_opens_the_float_graph_once(
        sixteen: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for number in range(2):
        write_image(tmp_path / f"in/deep{number}.png", read_image(sixteen))
        write_image(tmp_path / f"in/flat{number}.png", Image(pixels=poisoned(24, 24)))
    caplog.set_level(logging.INFO, logger="srn_deploy")
    with srn_deploy.load(device="cpu") as upscaler:
        outcomes = list(upscaler.upscale_files(tmp_path / "in", tmp_path / "out"))
    assert [outcome.error for outcome in outcomes] == [None] * 4
    assert ["ONNX Runtime on the CPU" in message for message in caplog.messages] == [True, True]


def test_a_graph_that_was_made_of_no_shipped_model_has_no_fallback(tmp_path: Path) -> None:
    graph = tmp_path / "other.onnx"
    graph.write_bytes(resolve().path.read_bytes() + b"\0")
    assert not fp32_fallback_of(graph)
    assert fp32_fallback_of()


def test_every_outcome_carries_what_the_guard_found(tmp_path: Path) -> None:
    write_image(tmp_path / "in.png", Image(pixels=poisoned(), alpha=poisoned()[..., :1]))
    outcome, = run_jobs(plan_jobs(tmp_path / "in.png", tmp_path / "out.png"), Setup(DivergingBackend()))
    assert [sentence.split(" %")[1].split(",")[0] for sentence in outcome.findings] == [
        " of the image does not resemble the input", " of the transparency does not resemble the input"]


@pytest.mark.parametrize("given", [(), ("--guard", "repair"), ("--guard", "off")])
def test_the_command_says_what_the_guard_found_and_continues(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: tuple[str, ...]) -> None:
    def opened(*_: Any, **__: Any) -> NearestBackend:
        return DivergingBackend()

    monkeypatch.setattr("srn_deploy.open_model.open_model", opened)
    write_image(tmp_path / "in.png", Image(pixels=poisoned()))
    result = CliRunner().invoke(main, ["upscale", str(tmp_path / "in.png"), str(tmp_path / "out.png"), *given])
    assert result.exit_code == 0
    assert (f"Warning: {tmp_path / 'in.png'}: 1.8 % of the image" in result.stderr) == ("off" not in given)
    assert ("replaced by bicubic" in result.stderr) == ("repair" in given)


def test_the_python_interface_logs_what_the_guard_found(caplog: pytest.LogCaptureFixture) -> None:
    make: Callable[..., Any] = srn_deploy.Upscaler
    with make(DivergingBackend(), guard="repair") as upscaler:
        upscaler.upscale(poisoned())
    assert "replaced by bicubic" in caplog.text
