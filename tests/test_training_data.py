"""Training images and the patches cut from them."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from srn_deploy.errors import TrainingError
from srn_deploy.image import Image, write_image
from srn_deploy.image.bicubic import resize, resize_uint8
from srn_deploy.training.data import PatchBank, TrainingImages, detail, held_out, load_images
from srn_deploy.training.pixel_file import PixelFile
from srn_deploy.training.stress import stress_patches

CPU = torch.device("cpu")
SCALE = 3
LR_SIDE = 5

# torch's antialiased bicubic sums float32 numbers of at most 1.
FLOAT32 = 1e-5
# Three taps of the kernel, in HR pixels: farther from the border no weight falls outside.
STRESS_BORDER_LR_PX = 3


def noise(seed: int, height: int, width: int) -> NDArray[np.uint8]:
    """White noise: no two patches of it are alike."""
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3)).astype(np.uint8)


def small(hr: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return resize_uint8(hr, hr.shape[0] // SCALE, hr.shape[1] // SCALE)


def bank_of(*originals: NDArray[np.uint8], lr_side: int = LR_SIDE) -> PatchBank:
    hr, lr = PixelFile(), PixelFile()
    for original in originals:
        hr.append(original)
        lr.append(small(original))
    images = TrainingImages(names=[], index=list(range(len(originals))), hr=hr.freeze(), lr=lr.freeze(),
                            validation=[], is_validated_on_itself=False)
    return PatchBank(images, scale=SCALE, hr_patch_px=SCALE * lr_side, device=CPU)


def save(path: Path, pixels: NDArray[np.uint8]) -> None:
    write_image(path, Image(pixels=pixels))


def as_levels(batch_nchw: Tensor) -> NDArray[np.uint8]:
    """float32 NCHW in 0..1 to uint8 NHWC."""
    return (batch_nchw * 255).round().byte().permute(0, 2, 3, 1).numpy()


def augmented(patch_hwc: NDArray[np.uint8], kind: int) -> NDArray[np.uint8]:
    """One of the eight: bit 0 flips rows, bit 1 flips columns, bit 2 transposes, in this order."""
    patch_hwc = patch_hwc[::-1] if kind & 1 else patch_hwc
    patch_hwc = patch_hwc[:, ::-1] if kind & 2 else patch_hwc
    return patch_hwc.swapaxes(0, 1) if kind & 4 else patch_hwc


def origin(patch: NDArray[np.uint8], image: NDArray[np.uint8]) -> set[tuple[int, int, int]]:
    """Every (top, left, kind) at which an augmented cut of the image equals the patch."""
    side = patch.shape[0]
    return {(top, left, kind) for kind in range(8) for top in range(image.shape[0] - side + 1)
            for left in range(image.shape[1] - side + 1)
            if np.array_equal(augmented(image[top:top + side, left:left + side], kind), patch)}


@pytest.mark.parametrize("candidates", [1, 3])
def test_lr_and_hr_patches_show_the_same_place_in_the_same_augmentation_and_all_eight_occur(candidates: int) -> None:
    hr_image = noise(1, 9 * SCALE, 8 * SCALE)
    lr_image = small(hr_image)
    lr, hr = bank_of(hr_image).batch(100, torch.Generator().manual_seed(0), candidates=candidates)
    kinds, places = set(), set()
    for lr_patch, hr_patch in zip(as_levels(lr), as_levels(hr), strict=True):
        ((top, left, kind),) = origin(lr_patch, lr_image)
        cut = hr_image[SCALE * top:SCALE * (top + LR_SIDE), SCALE * left:SCALE * (left + LR_SIDE)]
        assert np.array_equal(augmented(cut, kind), hr_patch)
        kinds.add(kind)
        places.add((top, left))
    assert kinds == set(range(8))
    assert len(places) == 20 if candidates == 1 else len(places) >= 10


def test_of_several_candidates_the_one_with_the_most_detail_is_kept() -> None:
    bank = bank_of(np.full((60, 60, 3), 128, np.uint8), noise(1, 60, 60))
    kept = {count: detail(bank.batch(400, torch.Generator().manual_seed(0), candidates=count)[0]) for count in (1, 3)}
    # Half of the candidates are flat: all three of them by chance one time in eight.
    assert float((kept[1] == 0).float().mean()) == pytest.approx(1 / 2, abs=0.1)
    assert float((kept[3] == 0).float().mean()) == pytest.approx(1 / 8, abs=0.05)


def test_an_lr_patch_is_the_bicubic_of_its_hr_patch_up_to_the_border() -> None:
    bank = bank_of(noise(2, 30 * SCALE, 31 * SCALE), lr_side=12)
    lr, hr = bank.batch(8, torch.Generator().manual_seed(0))
    for lr_patch, hr_patch in zip(as_levels(lr), as_levels(hr), strict=True):
        made = resize_uint8(hr_patch, 12, 12).astype(int)
        # Turned patches are rounded between the passes in the other order: one level, or two where clipped.
        assert np.abs(made - lr_patch)[2:-2, 2:-2].max() <= 2
        assert np.mean(made[2:-2, 2:-2] == lr_patch[2:-2, 2:-2]) > 0.5


def test_images_of_many_sizes_do_not_run_into_each_other() -> None:
    flat = [np.full((height * SCALE, width * SCALE, 3), 40 * seed, np.uint8)
            for seed, (height, width) in enumerate([(5, 5), (5, 9), (12, 5), (7, 8)])]
    lr, hr = bank_of(*flat).batch(64, torch.Generator().manual_seed(0))
    for batch in (as_levels(lr), as_levels(hr)):
        assert all(len(np.unique(patch)) == 1 for patch in batch)
        assert set(np.unique(batch)) == {0, 40, 80, 120}


def test_the_same_seed_gives_the_same_batch_and_another_seed_another_one() -> None:
    bank = bank_of(noise(3, 60, 60))
    first, again, other = (bank.batch(4, torch.Generator().manual_seed(seed)) for seed in (7, 7, 8))
    assert all(torch.equal(one, two) for one, two in zip(first, again, strict=True))
    assert not torch.equal(first[1], other[1])


def test_a_batch_is_float32_between_0_and_1() -> None:
    lr, hr = bank_of(noise(3, 60, 60)).batch(4, torch.Generator().manual_seed(0))
    assert (lr.shape, hr.shape) == ((4, 3, LR_SIDE, LR_SIDE), (4, 3, 15, 15))
    assert lr.dtype == hr.dtype == torch.float32
    assert 0 <= hr.min() < 0.01
    assert 0.99 < hr.max() <= 1


def test_a_folder_is_read_with_its_subfolders_sorted_and_cropped_to_the_scale(
        tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    save(tmp_path / "b.png", noise(1, 32, 31))
    save(tmp_path / "a" / "c.png", noise(2, 30, 30))
    images = load_images([tmp_path], SCALE)
    assert [pair.name for pair in images.validation] == ["b.png"]
    assert images.names == [str(Path("a") / "c.png")]
    assert (images.hr.sides, images.lr.sides) == ([(30, 30), (30, 30)], [(10, 10), (10, 10)])
    assert np.array_equal(images.hr.image(1), noise(1, 32, 31)[:30, :30])
    assert np.array_equal(images.lr.image(1), small(noise(1, 32, 31)[:30, :30]))
    assert caplog.messages == []


def test_unreadable_and_small_images_are_left_out_and_logged(
        tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    save(tmp_path / "good.png", noise(1, 30, 30))
    save(tmp_path / "narrow.png", noise(2, 30, 29))
    save(tmp_path / "point.png", noise(2, 1, 1))
    (tmp_path / "broken.png").write_bytes((tmp_path / "good.png").read_bytes()[:200])
    images = load_images([tmp_path], SCALE, smallest_px=30)
    assert images.names == ["good.png"]
    unreadable, too_small = caplog.messages
    assert "broken.png is a truncated PNG" in unreadable
    assert too_small == "Left out: images with a side below 30 px: 2 (narrow.png is the first)."


def test_a_folder_full_of_damaged_files_is_logged_in_a_few_lines(
        tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    save(tmp_path / "good.png", noise(1, 30, 30))
    for number in range(25):
        (tmp_path / f"bad{number:02}.png").touch()
    load_images([tmp_path], SCALE)
    assert len(caplog.messages) == 11
    assert caplog.messages[-1] == "Left out: 15 more unreadable images."


def test_a_folder_without_an_image_or_with_small_ones_alone_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="0 smaller, 0 unreadable"):
        load_images([tmp_path], SCALE)
    save(tmp_path / "small.png", noise(1, 30, 30))
    with pytest.raises(TrainingError, match=r"no image of at least 33 x 33 px \(1 smaller"):
        load_images([tmp_path], SCALE, smallest_px=33)
    with pytest.raises(TrainingError, match="is not a folder"):
        load_images([tmp_path / "missing"], SCALE)


@pytest.mark.parametrize(("count", "validated"), [(2, 1), (3, 1), (50, 1), (100, 2), (120, 2), (5000, 20)])
def test_held_out_images_are_never_trained_with(count: int, validated: int) -> None:
    training, validation = held_out(count)
    assert len(validation) == validated
    assert sorted([*training, *validation]) == list(range(count))  # none in both, none in neither


def test_a_single_image_is_trained_with_and_validated_on() -> None:
    assert held_out(1) == ([0], [0])


def test_more_images_than_the_disk_holds_are_an_error_with_the_variable_to_set(
        monkeypatch: pytest.MonkeyPatch) -> None:
    class Full(io.BytesIO):
        def flush(self) -> None:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr("tempfile.TemporaryFile", lambda prefix: Full())
    pixels = PixelFile()
    pixels.append(noise(1, 4, 4))
    with pytest.raises(TrainingError, match="No space left on device") as caught:
        pixels.freeze()
    assert "TMPDIR" in caught.value.remedy


def test_images_that_do_not_fit_on_a_gpu_stay_in_the_host_s_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    pixels = PixelFile()
    pixels.append(noise(1, 10, 10))
    gpu = torch.device("cuda")
    for free, fits in ((501, True), (499, False)):  # 300 bytes of pixels, three fifths of the free memory
        monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device, free=free: (free, 10**9))
        assert pixels.freeze().fits(gpu) == fits
    assert pixels.on(gpu).device == CPU
    assert pixels.fits(CPU)


def test_without_any_temporary_folder_the_error_names_the_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", "/nowhere/at/all")
    with pytest.raises(TrainingError) as caught:
        PixelFile()
    assert "TMPDIR" in caught.value.remedy


def test_stress_patches_are_whole_levels_between_0_and_1_and_of_every_kind() -> None:
    photos = torch.rand(64, 3, 16, 16, generator=torch.Generator().manual_seed(1))
    lr, hr = stress_patches(photos, 4, torch.Generator().manual_seed(2))
    assert (lr.shape, hr.shape) == ((64, 3, 16, 16), (64, 3, 64, 64))
    for batch in (lr, hr):
        assert batch.min() >= 0
        assert batch.max() <= 1
    assert torch.equal(lr, (lr * 255).round() / 255)
    colours = [len(torch.unique(patch.flatten(1), dim=1).T) for patch in lr]
    assert min(colours) == 2  # a checkerboard
    assert max(colours) == 256  # noise


def test_the_target_of_a_stress_patch_is_the_bicubic_of_its_input() -> None:
    photos = torch.rand(16, 3, 16, 16, generator=torch.Generator().manual_seed(1))
    lr, hr = stress_patches(photos, 4, torch.Generator().manual_seed(2))
    inner = slice(4 * STRESS_BORDER_LR_PX, -4 * STRESS_BORDER_LR_PX)
    for lr_patch, hr_patch in zip(lr, hr, strict=True):
        expected = resize(lr_patch.permute(1, 2, 0).numpy(), 64, 64).clip(0, 1)
        difference = np.abs(expected - hr_patch.permute(1, 2, 0).numpy())
        assert difference[inner, inner].max() < FLOAT32


def test_where_noise_is_to_be_removed_the_target_of_a_noisy_photo_is_the_photo() -> None:
    photos = torch.rand(64, 3, 16, 16, generator=torch.Generator().manual_seed(1))
    originals = torch.rand(64, 3, 64, 64, generator=torch.Generator().manual_seed(3))
    lr, kept = stress_patches(photos, 4, torch.Generator().manual_seed(2))
    same_lr, hr = stress_patches(photos, 4, torch.Generator().manual_seed(2), denoised=originals)
    assert torch.equal(lr, same_lr)
    denoised = [torch.equal(patch, original) for patch, original in zip(hr, originals, strict=True)]
    assert 5 <= sum(denoised) <= 30  # a quarter of 64, seeded
    assert all(is_denoised or torch.equal(one, two) for is_denoised, one, two in zip(denoised, hr, kept, strict=True))


def test_every_image_but_those_held_out_has_a_copy_that_is_smaller_where_that_is_large_enough(tmp_path: Path) -> None:
    for number in range(60):
        write_image(tmp_path / f"{number:02}.png", Image(pixels=noise(number, 45 if number else 20, 60)))
    plain, images = (load_images([tmp_path], SCALE, smallest_px=20, copy_scale=factor) for factor in (0.0, 0.5))
    assert [pair.name for pair in images.validation] == [pair.name for pair in plain.validation]
    copies = [name for name in images.names if name not in plain.names]
    assert copies == [f"{name} x 0.5" for name in plain.names if name != "00.png"]
    first = images.index[images.names.index(copies[0])]
    hr = resize_uint8(noise(1, 45, 60)[:45 // SCALE * SCALE], 45 // SCALE // 2 * SCALE, 30)
    np.testing.assert_array_equal(images.hr.image(first), hr)
    np.testing.assert_array_equal(images.lr.image(first), small(hr))


def test_a_single_image_is_validated_on_itself_whether_it_has_a_copy_or_not(
        tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    save(tmp_path / "one.png", noise(1, 45, 60))
    with caplog.at_level("INFO"):
        single, copied = (load_images([tmp_path], SCALE, copy_scale=factor) for factor in (0.0, 0.5))
    assert (single.is_validated_on_itself, copied.is_validated_on_itself) == (True, True)
    assert (single.names, copied.names) == (["one.png"], ["one.png", "one.png x 0.5"])
    assert caplog.messages == [
        "Copies scaled by 0.5: of 1 of 1 images; those of the others would be smaller than 3 px."]
    save(tmp_path / "two.png", noise(2, 45, 60))
    assert not load_images([tmp_path], SCALE).is_validated_on_itself
