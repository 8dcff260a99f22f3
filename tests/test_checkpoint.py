"""Checkpoint files become the networks they were saved from, whatever they are wrapped in."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from torch import Tensor, nn

from srn_deploy.architectures import ARCHITECTURES
from srn_deploy.architectures.checkpoint import load_checkpoint, save_checkpoint
from srn_deploy.errors import CheckpointError, MismatchedTensors, OptionError
from srn_deploy.spec import SPEC_KEY, Corrections
from srn_deploy.system.hashing import sha256_of_file

OFFICIAL = Path("checkpoints") / "wnxbwyc__SRN" / "team25_srn.pt"

SRN: dict[str, Any] = {"scale": 2, "channels": 8, "blocks": 2, "esa_channels": 4}
VARIED: list[tuple[str, dict[str, Any]]] = [
    ("srn", SRN),
    ("srn", SRN | {"scale": 3, "channels": 6, "blocks": 3, "last_conv": True}),
    ("srn", SRN | {"scale": 4, "attention": "old", "residual": True}),
    ("srn", SRN | {"attention": "none", "residual": True, "esa_channels": 16, "last_conv": True}),
    ("edsr", {"scale": 4, "channels": 6, "blocks": 3}),
    ("edsr", {"scale": 3, "channels": 6, "blocks": 1, "last_conv": True, "mean_shift": False}),
]

WRAPPED: dict[str, Callable[[dict[str, Tensor]], object]] = {
    "bare": lambda state: state,
    "params_ema": lambda state: {"params": {key: 0 * value for key, value in state.items()}, "params_ema": state},
    "params": lambda state: {"params": state},
    "state_dict": lambda state: {"epoch": 3, "state_dict": state, "optimizer": {"state": {}, "lr": 1e-4}},
    "model": lambda state: {"step": 7, "model": state},
    "nested": lambda state: {"model": {"state_dict": state, "name": "srn"}, "step": 7},
    "data parallel": lambda state: {f"module.{key}": value for key, value in state.items()},
    "compiled": lambda state: {"params": {f"_orig_mod.module.{key}": value for key, value in state.items()}},
    "lightning": lambda state: {"state_dict": {f"model.{key}": value for key, value in state.items()}},
    "parameters": lambda state: {key: nn.Parameter(value) for key, value in state.items()},
}


def seeded(name: str, options: dict[str, Any]) -> nn.Module:
    torch.manual_seed(0)
    return ARCHITECTURES[name].build(options).eval()


def assert_the_same(path: Path, name: str, options: dict[str, Any], network: nn.Module) -> None:
    loaded = load_checkpoint(path)
    assert loaded.spec.architecture == name
    assert loaded.spec.options == ARCHITECTURES[name].describe(options).options
    assert loaded.spec.source_sha256 == sha256_of_file(path)
    picture = torch.rand(1, 3, 18, 21, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        assert torch.equal(loaded.network(picture), network(picture))


@pytest.mark.parametrize("form", ["zip.pt", "legacy.pth", "tensors.safetensors", "zip", "tensors.pth"])
@pytest.mark.parametrize(("name", "options"), VARIED)
def test_a_network_is_recognised_in_every_file_format(
        tmp_path: Path, name: str, options: dict[str, Any], form: str) -> None:
    network, path = seeded(name, options), tmp_path / form
    if form.startswith("tensors"):
        safetensors.torch.save_file(network.state_dict(), path)
    else:
        torch.save(network.state_dict(), path, _use_new_zipfile_serialization=form.startswith("zip"))
    assert_the_same(path, name, options, network)


@pytest.mark.parametrize("wrapper", WRAPPED)
@pytest.mark.parametrize(("name", "options"), [VARIED[0], VARIED[4]])
def test_a_network_is_recognised_in_every_wrapper(
        tmp_path: Path, name: str, options: dict[str, Any], wrapper: str) -> None:
    network = seeded(name, options)
    torch.save(WRAPPED[wrapper](dict(network.state_dict())), tmp_path / "wrapped.pt")
    assert_the_same(tmp_path / "wrapped.pt", name, options, network)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64, torch.float8_e4m3fn])
def test_weights_of_any_width_become_single_precision(tmp_path: Path, dtype: torch.dtype) -> None:
    narrow = copy.deepcopy(seeded("srn", SRN)).to(dtype)
    torch.save(narrow.state_dict(), tmp_path / "narrow.pt")
    assert_the_same(tmp_path / "narrow.pt", "srn", SRN, narrow.float())


def test_a_loaded_network_is_ready_for_use(tmp_path: Path) -> None:
    torch.save(seeded("srn", SRN).train().state_dict(), tmp_path / "srn.pt")
    network = load_checkpoint(tmp_path / "srn.pt").network
    assert not network.training
    assert not any(parameter.requires_grad for parameter in network.parameters())


def test_a_saved_checkpoint_carries_what_keys_cannot_tell(tmp_path: Path) -> None:
    options = SRN | {"residual": True, "negative_slope": 0.25}
    network = seeded("srn", options)
    saved = save_checkpoint(tmp_path / "new" / "srn.safetensors", network, architecture="srn", options=options,
                            value_range=1.0, licence="CC0")
    loaded = load_checkpoint(tmp_path / "new" / "srn.safetensors").spec
    assert (loaded.options, loaded.value_range, loaded.licence) == (saved.options, 1.0, "CC0")
    assert_the_same(tmp_path / "new" / "srn.safetensors", "srn", options, network)


def test_a_checkpoint_that_cannot_be_written_is_our_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(CheckpointError, match="cannot be written"):
        save_checkpoint(tmp_path / "file" / "srn.safetensors", seeded("srn", SRN), architecture="srn", options=SRN,
                        value_range=255.0)


@pytest.fixture
def srn_file(tmp_path: Path) -> Path:
    torch.save(seeded("srn", SRN).state_dict(), tmp_path / "srn.pt")
    return tmp_path / "srn.pt"


def test_options_that_keys_cannot_show_are_corrected(srn_file: Path) -> None:
    chosen = Corrections.parse(("residual=true", "negative_slope=0.2"), 1.0)
    loaded = load_checkpoint(srn_file, chosen)
    assert (loaded.spec.options["residual"], loaded.spec.options["negative_slope"]) == (True, 0.2)
    assert loaded.spec.value_range == 1.0
    twin = seeded("srn", SRN | {"residual": True, "negative_slope": 0.2})
    picture = torch.rand(1, 3, 15, 15)
    with torch.no_grad():
        assert torch.equal(loaded.network(picture), twin(picture))


def test_the_value_range_has_the_default_of_its_family(srn_file: Path, tmp_path: Path) -> None:
    assert load_checkpoint(srn_file).spec.value_range == 255.0
    state = seeded("edsr", {"channels": 4, "blocks": 1}).state_dict()
    for key in ("sub_mean.bias", "add_mean.bias"):
        state[key] = state[key] / 255
    torch.save(state, tmp_path / "edsr.pt")
    assert load_checkpoint(tmp_path / "edsr.pt").spec.value_range == 1.0


@pytest.mark.parametrize("wrong", [{"slope": "0.2"}, {"residual": "perhaps"}, {"channels": "many"}])
def test_a_correction_that_makes_no_sense_is_refused(srn_file: Path, wrong: dict[str, str]) -> None:
    with pytest.raises(OptionError, match=next(iter(wrong))):
        load_checkpoint(srn_file, Corrections(options=wrong))


@pytest.mark.parametrize("wrong", [{"channels": "16"}, {"scale": "3"}, {"attention": "none"}, {"blocks": "5"}])
def test_a_correction_against_the_weights_is_refused(srn_file: Path, wrong: dict[str, str]) -> None:
    with pytest.raises(MismatchedTensors, match="does not fit") as caught:
        load_checkpoint(srn_file, Corrections(options=wrong))
    assert "--set" in caught.value.remedy


@pytest.mark.parametrize("value_range", [0.0, -1.0, float("nan"), float("inf")])
def test_an_impossible_value_range_is_refused(value_range: float) -> None:
    with pytest.raises(OptionError, match="Value range"):
        Corrections(value_range=value_range)


def test_a_correction_of_another_form_is_refused() -> None:
    with pytest.raises(OptionError, match="name=value"):
        Corrections.parse(("residual",))


def test_the_spec_in_a_file_is_followed_and_corrections_still_win(tmp_path: Path) -> None:
    path = tmp_path / "srn.safetensors"
    save_checkpoint(path, seeded("srn", SRN), architecture="srn", options=SRN | {"residual": True}, value_range=1.0)
    with safetensors.safe_open(path, framework="pt") as file:
        assert '"architecture": "srn"' in file.metadata()[SPEC_KEY]
    assert load_checkpoint(path).spec.options["residual"] is True
    chosen = load_checkpoint(path, Corrections(options={"residual": "false"}, value_range=255.0)).spec
    assert (chosen.options["residual"], chosen.value_range) == (False, 255.0)


def test_the_official_checkpoint_is_the_challenge_model(data: Path) -> None:
    spec = load_checkpoint(data / OFFICIAL).spec
    expected = ARCHITECTURES["srn"].describe({"blocks": 4})
    assert (spec.architecture, spec.options, spec.value_range) == ("srn", expected.options, 255.0)


@pytest.mark.parametrize("size", ["64x64", "_h37w53", "_h15w15"])
def test_the_official_checkpoint_gives_its_authors_tensors(data: Path, size: str) -> None:
    tensors = np.load(data / "reference" / "srn_team25_tensors.npz")
    network = load_checkpoint(data / OFFICIAL).network
    lr = torch.from_numpy(tensors[f"in_butterfly{size}"]).permute(2, 0, 1).unsqueeze(0).float()
    with torch.no_grad():
        upscaled = network(lr)[0].numpy()
    # Another machine adds in another order: single precision at ±950 within the network keeps 1e-4, with room.
    assert np.abs(upscaled - tensors[f"srn_team25_f32_butterfly{size}"]).max() < 1e-2
    rounded = np.clip(np.rint(upscaled), 0, 255).transpose(1, 2, 0).astype(np.int16)
    # A value that close to a half may be rounded to either side.
    assert np.abs(rounded - tensors[f"srn_team25_u8_butterfly{size}"]).max() <= 1
