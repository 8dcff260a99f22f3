"""What Python programs pass: Pillow images are taken, and a wrong argument is an error with its remedy."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image as Pillow

import srn_deploy
from srn_deploy.doctor import examine
from srn_deploy.errors import OptionError, SrnDeployError
from srn_deploy.image import Image, check_quality, find_images, image_size, read_image, write_image
from srn_deploy.quality.metrics import cropped, luma, psnr, psnr_y, ssim, ssim_y
from srn_deploy.spec import ModelSpec
from srn_deploy.training import RunOptions, train
from tests.fakes import NearestBackend

PIXELS = np.arange(12 * 16 * 3, dtype=np.uint16).reshape(12, 16, 3).astype(np.uint8)
PLANE = PIXELS[..., 0].astype(np.float64)


class Tensor:
    """Stands for that of torch: the name of the type is all that is looked at."""


WRONG: tuple[Any, ...] = (None, 3, 2.5, True, "x", b"x", [1], {"x": 1}, (), object(), Tensor(), float("nan"),
                          np.zeros(3), np.array(["x"]), Path("nowhere"), Pillow)
"""What some call takes and most do not."""


def upscaler() -> srn_deploy.Upscaler:
    return srn_deploy.Upscaler(NearestBackend())


def test_a_pillow_image_comes_back_as_a_pillow_image_of_the_same_mode() -> None:
    for mode, pixels in (("RGB", PIXELS), ("L", PIXELS[..., 0]), ("RGBA", np.dstack([PIXELS, PIXELS[..., 0] | 128]))):
        large = upscaler().upscale(Pillow.fromarray(pixels))
        assert isinstance(large, Pillow.Image)
        assert (large.mode, large.size) == (mode, (32, 24))
        np.testing.assert_array_equal(np.asarray(large), upscaler().upscale(pixels))


def test_a_pillow_image_of_16_bits_keeps_them() -> None:
    deep = PIXELS[..., 0].astype(np.uint16) * 257
    with srn_deploy.load("srn-s-b6-x2", device="cpu") as opened:
        large = opened.upscale(Pillow.fromarray(deep))
        assert isinstance(large, Pillow.Image)
        assert large.mode == "I;16"
        np.testing.assert_array_equal(np.asarray(large), opened.upscale(deep))


@pytest.mark.parametrize(("image", "mode"), [
    (Pillow.fromarray(PIXELS).convert("P"), "RGB"), (Pillow.new("1", (8, 9), 1), "L"),
    (Pillow.new("LA", (8, 9), (5, 200)), "RGBA")])
def test_other_modes_of_pillow_become_what_they_show(image: Pillow.Image, mode: str) -> None:
    large = upscaler().upscale(image)
    assert large.mode == mode
    np.testing.assert_array_equal(np.asarray(large)[::2, ::2], np.asarray(image.convert(mode)))


def test_a_palette_with_a_transparent_entry_becomes_rgba() -> None:
    image = Pillow.fromarray(PIXELS).convert("P")
    image.info["transparency"] = 0
    assert upscaler().upscale(image).mode == "RGBA"


@pytest.mark.parametrize("mode", ["CMYK", "F", "I", "LAB", "HSV", "YCbCr"])
def test_modes_of_pillow_whose_meaning_would_be_guessed_are_refused(mode: str) -> None:
    with pytest.raises(OptionError, match=f"mode {mode} are not taken") as caught:
        upscaler().upscale(Pillow.new(mode, (8, 9)))
    assert "convert" in caught.value.remedy


def test_the_colour_profile_of_a_pillow_image_stays() -> None:
    image = Pillow.fromarray(PIXELS)
    image.info["icc_profile"] = b"a profile"
    assert upscaler().upscale(image).info["icc_profile"] == b"a profile"


@pytest.mark.parametrize(("image", "cure"), [
    (None, "cv2.imread"), ("a.png", "upscale_files"), (Path("a.png"), "upscale_files"),
    ([[[1, 2, 3]]], "numpy.array"), (Tensor(), "permute"), (3, "numpy.asarray")])
def test_what_is_no_image_is_refused_with_the_line_that_makes_one(image: Any, cure: str) -> None:
    with pytest.raises(OptionError, match="NumPy array or a Pillow image") as caught:
        upscaler().upscale(image)
    assert cure in caught.value.remedy


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite_are_refused(value: float) -> None:
    image = np.full((9, 9, 3), value, np.float32)
    for call in (lambda: upscaler().upscale(image), lambda: psnr(image, image),
                 lambda: ssim_y(image, image, border_px=0)):
        with pytest.raises(OptionError, match="not finite"):
            call()


@pytest.mark.parametrize("wrong", [PIXELS.astype(np.float32), PIXELS / np.float32(127.5) - 1])
def test_float_pixels_of_another_range_are_refused(wrong: NDArray[np.float32]) -> None:
    with pytest.raises(OptionError, match=r"lie in 0\.\.1, and these in") as caught:
        upscaler().upscale(wrong)
    assert "Divide" in caught.value.remedy


def test_float_pixels_that_a_filter_has_made_overshoot_are_taken() -> None:
    with srn_deploy.load("srn-s-b6-x2", device="cpu", guard="off") as opened:
        assert opened.upscale(PIXELS / np.float32(255) * np.float32(1.2) - np.float32(0.1)).shape == (24, 32, 3)


def test_a_pillow_image_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    Pillow.effect_noise((64, 64), 50).save(tmp_path / "whole.png")
    (tmp_path / "part.png").write_bytes((tmp_path / "whole.png").read_bytes()[:600])
    closed = Pillow.open(tmp_path / "whole.png")
    closed.close()
    with Pillow.open(tmp_path / "part.png") as part:
        for image in (closed, part):
            with pytest.raises(OptionError, match="Pillow image cannot be read"):
                upscaler().upscale(image)


def test_metrics_take_pillow_images_as_well() -> None:
    image = Pillow.fromarray(PIXELS)
    assert psnr(image, PIXELS) == float("inf")  # type: ignore[arg-type]
    assert ssim_y(image, PIXELS, border_px=0) == pytest.approx(1)  # type: ignore[arg-type]


def spec(**changes: Any) -> ModelSpec:
    return ModelSpec(**{"architecture": "srn", "options": {}, "scale": 2, "value_range": 1.0, **changes})


CALLS: dict[str, Callable[[Any], object]] = {
    "upscale image": lambda wrong: upscaler().upscale(wrong),
    "upscale on_tile": lambda wrong: upscaler().upscale(PIXELS, on_tile=wrong),
    "Upscaler backend": srn_deploy.Upscaler,
    "Upscaler tiles": lambda wrong: srn_deploy.Upscaler(NearestBackend(), wrong),
    "Upscaler fallback": lambda wrong: srn_deploy.Upscaler(NearestBackend(), fallback=wrong),
    "Upscaler batching": lambda wrong: srn_deploy.Upscaler(NearestBackend(), batching=wrong),
    "Corrections.parse": srn_deploy.Corrections.parse,
    "ModelSpec.from_json": ModelSpec.from_json,
    "Upscaler guard": lambda wrong: srn_deploy.Upscaler(NearestBackend(), guard=wrong),
    "upscale_files source": lambda wrong: list(upscaler().upscale_files(wrong, "out.png")),
    "upscale_files target": lambda wrong: list(upscaler().upscale_files("nothing.png", wrong)),
    "upscale_files suffix": lambda wrong: list(upscaler().upscale_files("nothing.png", "out.png", suffix=wrong)),
    **{f"upscale_files {option}": lambda wrong, option=option: list(  # type: ignore[misc]
        upscaler().upscale_files("nothing.png", "out.png", **{option: wrong}))
       for option in ("size", "keep_times", "frame", "name")},
    "upscale_jobs jobs": lambda wrong: list(upscaler().upscale_jobs(wrong)),
    "upscale_jobs quality": lambda wrong: list(upscaler().upscale_jobs([], quality=wrong)),
    "upscale_jobs max_megapixels": lambda wrong: list(upscaler().upscale_jobs([], max_megapixels=wrong)),
    "upscale_jobs effort": lambda wrong: list(upscaler().upscale_jobs([], effort=wrong)),
    "upscale_jobs jobs number": lambda wrong: list(upscaler().upscale_jobs([], jobs=wrong)),
    "upscale_jobs memory": lambda wrong: list(upscaler().upscale_jobs([], memory=wrong)),
    "upscale_jobs on_times": lambda wrong: list(upscaler().upscale_jobs([], on_times=wrong)),
    "upscale_jobs on_tile": lambda wrong: list(upscaler().upscale_jobs([], on_tile=wrong)),
    "load model": lambda wrong: srn_deploy.load(wrong, device="cpu").close(),
    "load device": lambda wrong: srn_deploy.load(device=wrong),
    "load precision": lambda wrong: srn_deploy.load(device="cpu", precision=wrong).close(),
    "load corrections": lambda wrong: srn_deploy.load(corrections=wrong),
    "load tiles": lambda wrong: srn_deploy.load(device="cpu", tiles=wrong).close(),
    "load guard": lambda wrong: srn_deploy.load(guard=wrong),
    "open_backend model": srn_deploy.open_backend,
    "open_backend device": lambda wrong: srn_deploy.open_backend("nothing.onnx", wrong),
    "open_backend corrections": lambda wrong: srn_deploy.open_backend("nothing.pth", corrections=wrong),
    "Corrections options": lambda wrong: srn_deploy.Corrections(options=wrong),
    "Corrections value_range": lambda wrong: srn_deploy.Corrections(value_range=wrong),
    "TileOptions tile": lambda wrong: srn_deploy.TileOptions(tile=wrong),
    "TileOptions halo": lambda wrong: srn_deploy.TileOptions(halo=wrong),
    "TileOptions activation_bytes": lambda wrong: srn_deploy.TileOptions(activation_bytes=wrong),
    "TileOptions tiles_per_batch": lambda wrong: srn_deploy.TileOptions(tiles_per_batch=wrong),
    "VideoOptions codec": lambda wrong: srn_deploy.VideoOptions(codec=wrong),
    "VideoOptions crf": lambda wrong: srn_deploy.VideoOptions(crf=wrong),
    "VideoOptions encoder_options": lambda wrong: srn_deploy.VideoOptions(encoder_options=wrong),
    "VideoOptions keep_partial": lambda wrong: srn_deploy.VideoOptions(keep_partial=wrong),
    "upscale_jobs video": lambda wrong: list(upscaler().upscale_jobs([], video=wrong)),
    "upscale_jobs on_frame": lambda wrong: list(upscaler().upscale_jobs([], on_frame=wrong)),
    "OutputSize width": lambda wrong: srn_deploy.OutputSize(width=wrong),
    "OutputSize scale": lambda wrong: srn_deploy.OutputSize(scale=wrong),
    "OutputSize fit": lambda wrong: srn_deploy.OutputSize(fit=wrong),
    "ResultOptions size": lambda wrong: srn_deploy.ResultOptions(size=wrong),
    "ResultOptions keep_times": lambda wrong: srn_deploy.ResultOptions(keep_times=wrong),
    "ModelSpec architecture": lambda wrong: spec(architecture=wrong),
    "ModelSpec options": lambda wrong: spec(options=wrong),
    "ModelSpec scale": lambda wrong: spec(scale=wrong),
    "ModelSpec value_range": lambda wrong: spec(value_range=wrong),
    "ModelSpec halo_px": lambda wrong: spec(halo_px=wrong),
    "examine device": examine,
    "psnr": lambda wrong: psnr(wrong, PIXELS),
    "ssim": lambda wrong: ssim(PLANE, wrong),
    "psnr_y": lambda wrong: psnr_y(wrong, PIXELS, border_px=0),
    "ssim_y": lambda wrong: ssim_y(PIXELS, wrong, border_px=0),
    "luma": luma,
    "cropped border_px": lambda wrong: cropped(PIXELS, wrong),
    "read_image": read_image,
    "image_size": image_size,
    "find_images": find_images,
    "write_image path": lambda wrong: write_image(wrong, Image(pixels=PIXELS)),
    "write_image image": lambda wrong: write_image(Path("out.png"), wrong),
    "check_quality": check_quality,
    "train recipe": lambda wrong: train(wrong, "nothing", "run"),
    "train data": lambda wrong: train("compact-x4", wrong, "run", RunOptions(device="cpu")),
    "train out": lambda wrong: train("compact-x4", "nothing", wrong, RunOptions(device="cpu")),
    "train options": lambda wrong: train("compact-x4", "nothing", "run", wrong),
    "train report": lambda wrong: train("compact-x4", "nothing", "run", RunOptions(device="cpu"), wrong),
    "RunOptions device": lambda wrong: RunOptions(device=wrong),
    "RunOptions steps": lambda wrong: RunOptions(steps=wrong),
    "RunOptions minutes": lambda wrong: RunOptions(minutes=wrong),
    "RunOptions seed": lambda wrong: RunOptions(seed=wrong),
    "RunOptions initial": lambda wrong: RunOptions(initial=wrong),
    "RunOptions threads": lambda wrong: RunOptions(threads=wrong),
}


@pytest.mark.parametrize("name", CALLS)
def test_a_wrong_argument_is_one_of_our_errors_or_taken(
        name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    refused = 0
    for wrong in WRONG:
        try:
            CALLS[name](wrong)
        except SrnDeployError as error:
            assert error.message
            assert error.remedy
            refused += 1
    assert refused >= len(WRONG) // 2


@pytest.mark.parametrize("wrong", [0, -1.0, float("nan"), "x", None, [1], True])
def test_the_doctor_is_not_given_a_time_that_is_none(wrong: Any) -> None:
    with pytest.raises(OptionError, match=r"seconds|timeout_s"):
        examine("cpu", timeout_s=wrong)


def test_every_public_name_that_can_be_called_is_tried() -> None:
    called = {name.split()[0] for name in CALLS} | {"cpu_threads"}  # the latter in test_threads
    public = {name for name in srn_deploy.__all__ if callable(getattr(srn_deploy, name))}
    assert public - called == {"SrnDeployError"}


ABSURD = [("scale", 0), ("scale", 10**6), ("scale", -2), ("scale", True), ("min_side_px", 10**9), ("min_side_px", 0),
          ("alignment_px", 0), ("alignment_px", 10**7), ("halo_px", -1), ("halo_px", 10**9),
          ("activation_bytes_per_px", -1), ("activation_bytes_per_px", 2**62), ("value_range", 0.0),
          ("value_range", float("nan")), ("value_range", float("inf")), ("value_range", -1.0), ("value_range", 1e9)]


@pytest.mark.parametrize(("name", "value"), ABSURD)
def test_a_spec_beyond_sense_is_refused_with_its_field(name: str, value: float) -> None:
    with pytest.raises(OptionError, match=name.replace("value_range", "Value range")):
        spec(**{name: value})


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, value in ABSURD if np.isfinite(value)])
def test_such_a_spec_in_the_metadata_of_a_file_is_refused_as_well(name: str, value: float) -> None:
    text = json.dumps({**json.loads(spec().to_json()), name: value})
    with pytest.raises(OptionError):
        ModelSpec.from_json(text)


def test_wrong_arguments_are_shown_short() -> None:
    for wrong in itertools.chain(WRONG, ["x" * 1000, [0] * 1000]):
        with pytest.raises(SrnDeployError) as caught:
            srn_deploy.load(corrections=wrong)
        assert len(caught.value.message) < 150
