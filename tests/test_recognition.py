"""What the keys of a checkpoint leave open is found by trying, or the file is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch

from srn_deploy.architectures import ARCHITECTURES
from srn_deploy.architectures.checkpoint import LoadedNetwork, save_checkpoint
from srn_deploy.architectures.recognition.recognise import load_resolved
from srn_deploy.backends.onnx_runtime import read_spec
from srn_deploy.errors import UnprovenNetwork
from srn_deploy.image import Image, write_image
from srn_deploy.image.bicubic import resize_uint8
from srn_deploy.image.trial_image import SMALL_SIDE_PX, trial_pair
from srn_deploy.registry.resolve import resolve
from srn_deploy.registry.shipped import shipped_models
from srn_deploy.spec import Corrections
from tests.commands import srn_deploy
from tests.fitted_networks import fitted_network

SRN: dict[str, Any] = {"scale": 2, "channels": 24, "blocks": 1, "esa_channels": 4}
RFDN: dict[str, Any] = {"scale": 2, "channels": 16, "distilled_channels": 8, "blocks": 1, "esa_channels": 4}
RLFN: dict[str, Any] = {"scale": 2, "channels": 24, "mid_channels": 24, "blocks": 1, "esa_channels": 4}


@pytest.fixture(autouse=True)
def _quick(one_thread: None) -> None:
    """Networks this small are fastest on one thread."""


def opened(path: Path, **corrections: Any) -> LoadedNetwork:
    return load_resolved(resolve(path, Corrections(**corrections)))


@pytest.fixture(scope="session")
def fitted(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """A file with the weights of a network that super-resolves with these settings."""
    folder = tmp_path_factory.mktemp("fitted")

    def written(architecture: str = "srn", value_range: float = 1.0, **options: Any) -> Path:
        sizes = {"srn": SRN, "rfdn": RFDN, "rlfn": RLFN}[architecture]
        path = folder / f"{architecture}-{value_range:g}-{'-'.join(map(str, options.values()))}.pt"
        if not path.exists():
            network = fitted_network(architecture, value_range=value_range, **{**sizes, **options})
            torch.save(network.state_dict(), path)
        return path

    return written


@pytest.fixture(scope="session")
def untrained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("untrained") / "untrained.pt"
    torch.save(ARCHITECTURES["srn"].build(SRN).state_dict(), path)
    return path


def test_the_trial_image_is_reduced_from_its_original_by_matlabs_bicubic() -> None:
    for scale in (2, 3, 4):
        small, original = trial_pair(scale)
        assert original.shape == (SMALL_SIDE_PX * scale, SMALL_SIDE_PX * scale, 3)
        assert (small == resize_uint8(original, SMALL_SIDE_PX, SMALL_SIDE_PX)).all()


@pytest.mark.parametrize("value_range", [1.0, 255.0])
def test_the_value_range_is_found_by_trying(fitted: Callable[..., Path], value_range: float) -> None:
    spec = opened(fitted(value_range=value_range)).spec
    assert spec.value_range == value_range
    assert spec.recognised.startswith(f"value range {value_range:g} (by trying: ")


@pytest.mark.parametrize(("architecture", "option", "value"), [
    ("srn", "residual", True), ("srn", "image_residual", "bicubic"), ("srn", "image_residual", "nearest"),
    ("rlfn", "inner_residual", False), ("rfdn", "dilations", "1,2,5"), ("rfdn", "image_residual", "bilinear"),
])
def test_an_option_that_keys_do_not_show_is_found_by_trying(
        fitted: Callable[..., Path], architecture: str, option: str, value: object) -> None:
    spec = opened(fitted(architecture, **{option: value})).spec
    assert ARCHITECTURES[architecture].describe({}).options[option] != value
    assert spec.options[option] == value


def test_the_network_computes_with_what_was_found(fitted: Callable[..., Path]) -> None:
    path = fitted(residual=True)
    built = ARCHITECTURES["srn"].build({**SRN, "residual": True}).eval()
    built.load_state_dict(torch.load(path, weights_only=True))
    image = torch.rand(1, 3, 17, 19)
    with torch.no_grad():
        assert torch.equal(opened(path).network(image), built(image))


def test_a_network_that_super_resolves_with_no_setting_is_refused(untrained: Path) -> None:
    with pytest.raises(UnprovenNetwork, match=r"none of 64 settings .* at best .* dB against .* bicubic") as caught:
        opened(untrained)
    assert "negative_slope 0.1 or 0.05 or 0.2 or 0" in caught.value.message
    for said in ("--set", "--value-range", "--trust"):
        assert said in caught.value.remedy


def test_trust_goes_on_with_the_published_defaults_and_warns(untrained: Path, caplog: pytest.LogCaptureFixture) -> None:
    spec = opened(untrained, trust=True).spec
    assert (spec.value_range, spec.options["negative_slope"], spec.options["residual"]) == (255.0, 0.1, False)
    assert "does not super-resolve" in caplog.text
    assert spec.recognised.startswith("not confirmed by trying")


def test_trust_goes_on_with_what_the_user_says(untrained: Path) -> None:
    spec = opened(untrained, trust=True, value_range=1.0, options={"residual": "true"}).spec
    assert (spec.value_range, spec.options["residual"], spec.options["negative_slope"]) == (1.0, True, 0.1)


def test_an_untrained_network_of_which_one_option_is_given_is_refused_all_the_same(untrained: Path) -> None:
    with pytest.raises(UnprovenNetwork):
        opened(untrained, value_range=1.0)


def test_a_network_of_which_everything_is_given_is_used_with_a_warning(
        untrained: Path, caplog: pytest.LogCaptureFixture) -> None:
    everything = {"negative_slope": 0.2, "residual": False, "image_residual": "none"}
    assert opened(untrained, value_range=1.0, options=everything).spec.options["negative_slope"] == 0.2
    assert "does not super-resolve" in caplog.text


def test_what_the_user_says_holds_and_a_contradiction_is_a_warning(
        fitted: Callable[..., Path], caplog: pytest.LogCaptureFixture) -> None:
    spec = opened(fitted(value_range=1.0), value_range=255.0).spec
    assert spec.value_range == 255.0
    assert "contradicted by trying: value range 255 gives" in caplog.text


def test_a_value_that_is_not_among_those_tried_can_be_given(fitted: Callable[..., Path]) -> None:
    spec = opened(fitted(negative_slope=0.5), options={"negative_slope": "0.5"}).spec
    assert spec.options["negative_slope"] == 0.5
    assert "negative_slope" not in spec.recognised


def test_between_settings_that_cannot_be_told_apart_the_published_default_stands_with_a_warning(
        tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    positive = {"recon_trunk.0.conv1": 20.0}  # no value in front of the LeakyReLU is negative: the slope does nothing
    network = fitted_network("srn", value_range=1.0, biases=positive, **SRN)
    torch.save(network.state_dict(), tmp_path / "linear.pt")
    spec = opened(tmp_path / "linear.pt").spec
    assert spec.options["negative_slope"] == 0.1
    assert "negative_slope 0.1 is in doubt" in caplog.text


def test_what_was_found_is_kept_by_the_hash_of_the_file(
        fitted: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SRN_CACHE", str(tmp_path / "cache"))
    first = opened(fitted()).spec
    monkeypatch.setattr("srn_deploy.architectures.recognition.trial_store.try_choices", None)  # not again
    assert opened(fitted()).spec == first
    assert [path.name[:64] for path in (tmp_path / "cache/trials").iterdir()] == [first.source_sha256]


@pytest.mark.parametrize("damage", ["", "{}", '{"bicubic_db": 1.0, "tried": 1, "scores": []}'])
def test_a_damaged_result_is_measured_again(
        fitted: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: str) -> None:
    monkeypatch.setenv("SRN_CACHE", str(tmp_path))
    first = opened(fitted()).spec
    [kept] = (tmp_path / "trials").iterdir()
    kept.write_text(damage)
    assert opened(fitted()).spec == first
    assert json.loads(kept.read_text())["tried"] == 64


def test_a_cache_that_cannot_be_written_changes_nothing(
        fitted: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("SRN_CACHE", str(tmp_path / "file"))
    assert opened(fitted()).spec.value_range == 1.0


@pytest.mark.parametrize("value_range", [1.0, 255.0])
def test_a_shipped_model_without_its_metadata_is_recognised(tmp_path: Path, value_range: float) -> None:
    weights = safetensors.torch.load_file(shipped_models()["srn-s-b4-x4"].checkpoint.path)  # trained in 0..1
    weights["head.weight"] /= value_range
    weights["tail.weight"] *= value_range
    weights["tail.bias"] *= value_range
    safetensors.torch.save_file(weights, tmp_path / "stripped.safetensors")
    spec = opened(tmp_path / "stripped.safetensors").spec
    assert (spec.value_range, spec.options["negative_slope"], spec.options["residual"]) == (value_range, 0.1, False)


def test_a_shipped_model_is_not_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("srn_deploy.architectures.recognition.recognise.measured", None)  # calling it would fail
    assert opened(shipped_models()["srn-s-b4-x4"].checkpoint.path).spec.recognised == ""


def test_metadata_is_believed_even_of_an_untrained_network(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    torch.manual_seed(0)
    save_checkpoint(tmp_path / "a.safetensors", ARCHITECTURES["srn"].build(SRN), architecture="srn", options=SRN,
                    value_range=1.0)
    assert opened(tmp_path / "a.safetensors").spec.value_range == 1.0
    assert caplog.messages == []


def test_metadata_that_the_trial_contradicts_holds_with_a_warning(
        tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    save_checkpoint(tmp_path / "a.safetensors", fitted_network("srn", value_range=1.0, **SRN), architecture="srn",
                    options=SRN, value_range=255.0)
    assert opened(tmp_path / "a.safetensors").spec.value_range == 255.0
    assert "contradicted by trying: value range 255 gives" in caplog.text


MISREAD: dict[str, tuple[float, dict[str, Any]]] = {  # value range, and what else differs from the published defaults
    "team06_v1.pth": (1.0, {}), "team13_rfdn_dilated.pth": (1.0, {"dilations": "1,2,5"}),
    "team22_rep_rfdn.pth": (1.0, {}), "team40_rfdn_pruned.pth": (255.0, {"inner_residual": False}),
}


@pytest.mark.parametrize("name", MISREAD)
def test_checkpoints_that_keys_alone_misread_are_recognised(data: Path, name: str) -> None:
    spec = opened(data / "misread" / name).spec
    value_range, options = MISREAD[name]
    assert spec.value_range == value_range
    defaults = ARCHITECTURES["rfdn"].describe({}).options
    assert {key: spec.options[key] for key in ARCHITECTURES["rfdn"].open_options} == {
        **{key: defaults[key] for key in ARCHITECTURES["rfdn"].open_options}, **options}


def test_a_published_file_is_known_wherever_it_lies(
        data: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "srn_deploy")
    monkeypatch.setattr("srn_deploy.architectures.recognition.recognise.measured", None)  # calling it would fail
    spec = opened(data / "checkpoints/Zheng222__IMDN/IMDN_x4.pth").spec
    assert spec.value_range == 1.0
    assert "its settings are known, and nothing is tried" in caplog.text


def test_info_shows_what_was_found(fitted: Callable[..., Path]) -> None:
    shown = srn_deploy("info", fitted())
    assert "recognised" in shown.stdout
    assert "value range 1 (by trying: " in shown.stdout
    assert "value range 1 (by trying: " in shown.stderr


def test_info_goes_on_with_trust(untrained: Path) -> None:
    refused, trusted = srn_deploy("info", untrained), srn_deploy("info", untrained, "--trust")
    assert (refused.returncode, trusted.returncode) == (1, 0)
    assert "--trust" in refused.stderr
    assert trusted.stderr.startswith("Warning: untrained.pt does not super-resolve")


def test_upscale_and_eval_refuse_an_unproven_network_and_go_on_with_trust(untrained: Path, tmp_path: Path) -> None:
    small, original = trial_pair(2)
    write_image(tmp_path / "small.png", Image(pixels=small[:16, :16].copy()))
    write_image(tmp_path / "original.png", Image(pixels=original[:40, :40].copy()))
    for command in (("upscale", tmp_path / "small.png", tmp_path / "large.png", "--model", untrained),
                    ("eval", untrained, "--hr", tmp_path / "original.png")):
        refused, trusted = srn_deploy(*command), srn_deploy(*command, "--trust")
        assert (refused.returncode, trusted.returncode) == (1, 0), trusted.stderr
        assert "does it super-resolve the trial image" in refused.stderr
        assert "does not super-resolve the trial image" in trusted.stderr


def test_what_was_found_travels_in_the_graph(fitted: Callable[..., Path], tmp_path: Path) -> None:
    done = srn_deploy("export", fitted(), "-o", tmp_path / "net.onnx")
    assert done.returncode == 0, done.stderr
    spec = read_spec(tmp_path / "net.onnx")
    assert spec.value_range == 1.0
    assert spec.recognised == opened(fitted()).spec.recognised != ""


def test_trust_of_a_graph_is_refused_because_it_has_its_spec() -> None:
    refused = srn_deploy("info", shipped_models()["srn-s-b4-x4"].graph.path, "--trust")
    assert refused.returncode == 1
    assert "cannot be corrected" in refused.stderr


@pytest.mark.parametrize("luma_range", [1.0, 255.0])
def test_the_range_of_a_network_for_luma_is_found_by_trying(
        data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, luma_range: float) -> None:
    weights = torch.load(data / "checkpoints/yjn870__FSRCNN-pytorch/fsrcnn_x2.pth", map_location="cpu",
                         weights_only=True)  # of 0..1
    weights["first_part.0.weight"] /= luma_range
    weights["last_part.weight"] *= luma_range
    weights["last_part.bias"] *= luma_range
    torch.save({**weights, "last_part.bias": weights["last_part.bias"] + 1e-6}, tmp_path / "unpublished.pth")
    assert opened(tmp_path / "unpublished.pth", options={"scale": 2}).spec.options["luma_range"] == luma_range
