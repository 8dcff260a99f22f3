"""LR patches as cameras deliver them: each kind of degradation is what it claims to be."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor

from srn_deploy.image.bicubic import resize
from srn_deploy.training.degradation import Degradation, degrade, draw_degradation
from srn_deploy.training.jpeg_codec import through_jpeg
from srn_deploy.verification.sample_images import sample_images

SCALE = 4

# The codec works in whole numbers where ours has floats: a coefficient that falls between two steps may be
# rounded to the other one, and then its block differs by some levels. Measured: 0.3 to 0.72 levels on average.
MEAN_LEVELS, WORST_SHARE = 0.8, 0.04


def image() -> Tensor:
    """float32 (1, 3, 96, 112) of whole levels in 0..1."""
    pixels = list(sample_images())[-1]
    pixels = np.pad(pixels, ((0, max(0, 96 - pixels.shape[0])), (0, max(0, 112 - pixels.shape[1])), (0, 0)), "reflect")
    return torch.from_numpy(pixels[:96, :112].copy()).permute(2, 0, 1).unsqueeze(0).float() / 255


def undegraded(count: int) -> Degradation:
    """A degradation that only downscales by bicubic."""
    nothing, no = torch.zeros(count), torch.zeros(count, dtype=torch.bool)
    return Degradation(clean=no, blur=torch.zeros(count, 3), resizer=nothing.long(), read_noise=nothing,
                       shot_gain=nothing, grey_noise=no, noise_seed=0, compressed=no,
                       quality=torch.full((count,), 90.0), halved_chroma=no)


@pytest.mark.parametrize("halved", [False, True])
@pytest.mark.parametrize("quality", [30, 50, 75, 95])
def test_jpeg_does_to_a_batch_what_the_real_codec_does_to_a_file(quality: int, halved: bool) -> None:
    rgb = image()
    made = through_jpeg(rgb, torch.tensor([float(quality)]), torch.tensor([halved]))
    sampling = cv2.IMWRITE_JPEG_SAMPLING_FACTOR_420 if halved else cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444
    bgr = (rgb[0].permute(1, 2, 0) * 255).round().byte().numpy()[..., ::-1]
    encoded = cv2.imencode(".jpg", bgr, (cv2.IMWRITE_JPEG_QUALITY, quality, cv2.IMWRITE_JPEG_SAMPLING_FACTOR,
                                         sampling))[1]
    decoded = cv2.imdecode(encoded, cv2.IMREAD_COLOR)
    assert decoded is not None
    expected = decoded[..., ::-1].astype(float)
    difference = np.abs((made[0].permute(1, 2, 0) * 255).round().numpy() - expected)
    change = np.abs(bgr[..., ::-1].astype(float) - expected)
    assert difference.mean() < MEAN_LEVELS
    assert (difference > 3).mean() < WORST_SHARE
    assert difference.mean() < change.mean() / 2  # it resembles the file, not the original


def test_jpeg_treats_each_image_of_a_batch_alone_and_keeps_odd_sides() -> None:
    rgb = image()[..., :51, :37]
    both = through_jpeg(rgb.repeat(2, 1, 1, 1), torch.tensor([40.0, 90.0]), torch.tensor([True, False]))
    assert both.shape == (2, 3, 51, 37)
    for index, (quality, halved) in enumerate([(40.0, True), (90.0, False)]):
        assert torch.equal(both[index:index + 1], through_jpeg(rgb, torch.tensor([quality]), torch.tensor([halved])))


def test_without_degradation_what_is_left_is_the_bicubic_of_the_clean_patches() -> None:
    hr = image()
    clean = replace(draw_degradation(1, torch.Generator().manual_seed(0)), clean=torch.tensor([True]))
    assert torch.equal(degrade(hr, SCALE, clean), degrade(hr, SCALE, undegraded(1)))
    expected = resize((hr[0].permute(1, 2, 0) * 255).numpy(), 24, 28)
    made = (degrade(hr, SCALE, clean)[0].permute(1, 2, 0) * 255).numpy()
    # torch repeats no edge pixel as imresize does; inside the border only the rounding is left.
    assert np.abs(made - expected.clip(0, 255))[2:-2, 2:-2].max() < 0.51


@pytest.mark.parametrize(("read", "shot", "brightness"), [(0.04, 0.0, 0.4), (0.0, 0.005, 0.2), (0.03, 0.004, 0.6)])
def test_noise_has_the_variance_of_a_sensor(read: float, shot: float, brightness: float) -> None:
    hr = torch.full((1, 3, 512, 512), brightness)
    degradation = replace(undegraded(1), read_noise=torch.tensor([read]), shot_gain=torch.tensor([shot]))
    noise = degrade(hr, SCALE, degradation) - brightness
    expected = (read**2 + shot * brightness) ** 0.5
    # 49,152 samples: their standard deviation is known to 0.3 %; three of these, and the rounding to levels.
    assert float(noise.std()) == pytest.approx(expected, rel=0.012)
    assert abs(float(noise.mean())) < 0.002


def test_grey_noise_is_the_same_in_all_colours() -> None:
    degradation = replace(undegraded(2), read_noise=torch.tensor([0.03, 0.03]), grey_noise=torch.tensor([True, False]))
    noise = degrade(torch.full((2, 3, 64, 64), 0.5), SCALE, degradation)
    assert torch.equal(noise[0, 0], noise[0, 1])
    assert not torch.equal(noise[1, 0], noise[1, 1])


def test_blur_has_the_standard_deviation_along_its_own_axes() -> None:
    hr = torch.zeros(1, 3, 128, 128)
    hr[..., 60:68, 60:68] = 1.0  # narrow beside the blur
    level = torch.ones(1, 1, 1, 1)

    def spread(angle: float) -> tuple[float, float]:
        degradation = replace(undegraded(1), blur=torch.tensor([[0.5, 0.1, angle]]))
        from srn_deploy.training.degradation import _blurred
        blurred = _blurred(hr, degradation.blur, SCALE)[0, 0] * level[0, 0]
        y, x = torch.meshgrid(torch.arange(128) - 63.5, torch.arange(128) - 63.5, indexing="ij")
        mass = blurred.sum()
        return float((blurred * y * y).sum() / mass), float((blurred * x * x).sum() / mass)

    box = (8**2 - 1) / 12  # variance of the square itself; variances add
    vertical, horizontal = spread(0.0)
    assert horizontal == pytest.approx(box + (0.5 * SCALE) ** 2, rel=0.02)
    assert vertical == pytest.approx(box + (0.1 * SCALE) ** 2, rel=0.05)
    assert spread(torch.pi / 2) == pytest.approx((horizontal, vertical), rel=0.01)


def test_degradation_is_a_function_of_the_seed_and_of_every_kind() -> None:
    hr = image().repeat(64, 1, 1, 1)[..., :64, :64]
    one, again, other = (degrade(hr, SCALE, draw_degradation(64, torch.Generator().manual_seed(seed)))
                         for seed in (3, 3, 4))
    assert torch.equal(one, again)
    assert not torch.equal(one, other)
    drawn = draw_degradation(4000, torch.Generator().manual_seed(0))
    for share, drawn_share in ((0.15, drawn.clean), (0.5, drawn.blur[:, 0] > 0), (0.6, drawn.read_noise > 0),
                        (0.7, drawn.compressed)):
        assert float(drawn_share.float().mean()) == pytest.approx(share, abs=0.03)  # four standard deviations
    assert set(drawn.resizer.tolist()) == {0, 1, 2}
    assert 40 <= drawn.quality.min() <= drawn.quality.max() <= 95


def test_degraded_patches_are_whole_levels_of_the_right_size() -> None:
    lr = degrade(image().repeat(8, 1, 1, 1), SCALE, draw_degradation(8, torch.Generator().manual_seed(1)))
    assert lr.shape == (8, 3, 24, 28)
    assert torch.equal(lr, (lr.clamp(0, 1) * 255).round() / 255)
