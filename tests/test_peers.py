"""The networks of Table 1 are recognised by their published keys, have the published counts, and fold exactly."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from srn_deploy.architectures import ARCHITECTURES, detect
from srn_deploy.architectures.checkpoint import load_checkpoint, save_checkpoint
from srn_deploy.architectures.complexity import count
from srn_deploy.errors import MismatchedTensors, OptionError, UnknownNetwork
from srn_deploy.spec import AS_RECOGNISED, Corrections
from tests.networks import outputs, saved, seeded

RLFN: dict[str, Any] = {"scale": 2, "channels": 8, "mid_channels": 8, "blocks": 2, "esa_channels": 4,
                        "negative_slope": 0.05, "inner_residual": True, "image_residual": "none"}
RFDN: dict[str, Any] = {"scale": 2, "channels": 8, "distilled_channels": 4, "blocks": 2, "esa_channels": 4,
                        "negative_slope": 0.05, "inner_residual": True, "dilations": "1", "image_residual": "none"}
IMDN: dict[str, Any] = {"scale": 2, "channels": 8, "distilled_channels": 2, "squeezed_channels": 1, "blocks": 2,
                        "negative_slope": 0.05, "image_residual": "none"}
CARN: dict[str, Any] = {"scale": 2, "channels": 8, "mobile": False, "groups": 1, "multi_scale": True}
ECBSR: dict[str, Any] = {"scale": 2, "channels": 8, "blocks": 2, "activation": "prelu", "identity": False,
                         "luma_range": 255.0}

VARIED = [
    ("rlfn", RLFN), ("rlfn", RLFN | {"scale": 4, "mid_channels": 10, "blocks": 11, "esa_channels": 3}),
    ("dipnet", RLFN), ("dipnet", RLFN | {"scale": 3, "mid_channels": 6, "blocks": 1}),
    ("rfdn", RFDN), ("rfdn", RFDN | {"scale": 4, "distilled_channels": 3, "blocks": 1, "esa_channels": 2}),
    ("imdn", IMDN), ("imdn", IMDN | {"scale": 3, "distilled_channels": 3, "squeezed_channels": 2, "blocks": 3}),
    *(("carn", CARN | {"scale": scale, "multi_scale": False}) for scale in (2, 3, 4)),
    *(("carn", CARN | {"scale": scale}) for scale in (2, 3, 4)),
    ("carn", CARN | {"mobile": True, "groups": 4}), ("carn", CARN | {"mobile": True, "groups": 2, "scale": 4}),
    ("ecbsr", ECBSR), ("ecbsr", ECBSR | {"scale": 4, "blocks": 1, "activation": "relu"}),
]
"""What keys and shapes show is varied; what they do not has its default. A multi-scale CARN is given its scale."""


@pytest.mark.parametrize(("name", "options"), VARIED)
def test_a_saved_network_comes_back_with_its_options_and_computes_the_same(
        tmp_path: Path, name: str, options: dict[str, Any]) -> None:
    network = seeded(name, options)
    corrections = Corrections(options={"scale": options["scale"]}) if options.get("multi_scale") else AS_RECOGNISED
    loaded = load_checkpoint(saved(tmp_path, network.state_dict()), corrections)
    assert (loaded.spec.architecture, dict(loaded.spec.options)) == (name, options)
    found, expected = outputs(loaded.network, network, height=19, width=23)
    assert torch.equal(found, expected)
    assert found.shape == (1, 3, 19 * options["scale"], 23 * options["scale"])


@pytest.mark.parametrize(("name", "options"), VARIED)
def test_signatures_exclude_each_other(name: str, options: dict[str, Any]) -> None:
    keys = seeded(name, options).state_dict().keys()
    assert [family.name for family in ARCHITECTURES.values() if family.recognises(keys)] == [name]


@pytest.mark.parametrize(("name", "options", "parameters"), [
    ("carn", {"scale": 2}, 1_591_963), ("carn", {"scale": 4}, 1_591_963),
    ("imdn", {"scale": 2}, 694_404), ("imdn", {"scale": 4}, 715_176),
    ("rlfn", {"scale": 2}, 526_856), ("rlfn", {"scale": 4}, 543_740),
    # Table 1 counts the slopes of 17 PReLUs with 64 channels twice.
    ("ecbsr", {"scale": 2}, 595_972 - 17 * 64), ("ecbsr", {"scale": 4}, 602_896 - 17 * 64),
])
def test_table_1_gives_as_many_parameters(name: str, options: dict[str, Any], parameters: int) -> None:
    with torch.device("meta"):
        network = ARCHITECTURES[name].build(options)
    assert sum(p.numel() for p in network.parameters()) == parameters


@pytest.mark.parametrize(("name", "architecture", "scale"), [
    ("rlfn_x2", "rlfn", 2), ("rlfn_x4", "rlfn", 4), ("imdn_x2", "imdn", 2), ("imdn_x4", "imdn", 4),
    ("rfdn_team00", "rfdn", 4), ("dipnet_MegSR", "dipnet", 4)])
def test_every_count_equals_that_of_the_challenge_tool(data: Path, name: str, architecture: str, scale: int) -> None:
    numbers = json.loads((data / "reference" / "reference_numbers.json").read_text())["complexity_256x256"][name]
    expected = {"parameters": "params", "flops": "flops", "activations": "activations", "convolutions": "num_conv"}
    found = asdict(count(ARCHITECTURES[architecture].build({"scale": scale})))
    assert found == {ours: numbers[theirs] for ours, theirs in expected.items()}


def in_challenge_names(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """An RLFN under the names of its authors' entry to NTIRE 2022."""
    names = {"conv_1": "fea_conv", "conv_2": "LR_conv"}
    layers = {key: key.split(".")[0] for key in state}
    return {key.replace(layer, names.get(layer, layer.replace("block_", "B")), 1): state[key]
            for key, layer in layers.items()}


def test_an_rlfn_in_the_names_of_the_challenge_is_the_same_network(tmp_path: Path) -> None:
    network = seeded("rlfn", RLFN | {"mid_channels": 10})
    state = in_challenge_names(network.state_dict())
    assert {"fea_conv.weight", "B2.c3_r.bias", "B1.esa.conv_f.weight", "LR_conv.bias"} < state.keys()
    loaded = load_checkpoint(saved(tmp_path, state))
    assert dict(loaded.spec.options) == RLFN | {"mid_channels": 10}
    assert torch.equal(*outputs(loaded.network, network))


def test_for_a_carn_of_several_scales_the_scale_must_be_given(tmp_path: Path) -> None:
    path = saved(tmp_path, seeded("carn", CARN).state_dict())
    with pytest.raises(OptionError, match="more than one scale") as caught:
        load_checkpoint(path)
    assert "--set scale=4" in caught.value.remedy
    for scale in (2, 3, 4):
        assert load_checkpoint(path, Corrections(options={"scale": scale})).spec.scale == scale


def test_a_network_of_carn_m_uses_one_residual_block_per_cascade() -> None:
    keys = seeded("carn", CARN | {"mobile": True, "groups": 4}).state_dict().keys()
    assert {key.split(".")[1] for key in keys if key.startswith("b2.")} == {"b1", "c1", "c2", "c3"}


EDGES = {"sbx": [[1, 0, -1], [2, 0, -2], [1, 0, -1]], "sby": [[1, 2, 1], [0, 0, 0], [-1, -2, -1]],
         "lpl": [[0, 1, 0], [1, -4, 1], [0, 1, 0]]}
"""The fixed filters of ECBSR's paper: Sobel in x and in y, Laplace."""


def training_layer(layer: str, entering: int, leaving: int) -> dict[str, Tensor]:
    """The tensors of one edge-oriented block under the authors' names, as large as after training."""
    middle = 2 * leaving
    state = {"conv3x3.weight": torch.randn(leaving, entering, 3, 3) / 8, "conv3x3.bias": torch.randn(leaving),
             "conv1x1_3x3.k0": torch.randn(middle, entering, 1, 1) / 4, "conv1x1_3x3.b0": torch.randn(middle),
             "conv1x1_3x3.k1": torch.randn(leaving, middle, 3, 3) / 8, "conv1x1_3x3.b1": torch.randn(leaving)}
    for name, mask in EDGES.items():
        state |= {f"conv1x1_{name}.k0": torch.randn(leaving, entering, 1, 1) / 4,
                  f"conv1x1_{name}.b0": torch.randn(leaving), f"conv1x1_{name}.bias": torch.randn(leaving),
                  f"conv1x1_{name}.scale": torch.randn(leaving, 1, 1, 1) / 4,
                  f"conv1x1_{name}.mask": torch.tensor(mask, dtype=torch.float32).expand(leaving, 1, 3, 3).clone()}
    return {f"{layer}.{key}": value for key, value in state.items()}


def branches(state: Mapping[str, Tensor], layer: str, features: Tensor) -> Tensor:
    """One block as it is trained, with separate branches, each padded with the bias of its 1x1."""
    part = {key.removeprefix(f"{layer}."): value for key, value in state.items() if key.startswith(f"{layer}.")}

    def padded(name: str) -> Tensor:
        bias = part[f"{name}.b0"]
        mixed = functional.conv2d(features, part[f"{name}.k0"]) + 0.0
        return functional.pad(mixed, (1, 1, 1, 1)) + bias.view(1, -1, 1, 1)

    total = functional.conv2d(features, part["conv3x3.weight"], part["conv3x3.bias"], padding=1)
    total = total + functional.conv2d(padded("conv1x1_3x3"), part["conv1x1_3x3.k1"], part["conv1x1_3x3.b1"])
    for name in (f"conv1x1_{edge}" for edge in EDGES):
        kernel = part[f"{name}.scale"] * part[f"{name}.mask"]
        total = total + functional.conv2d(padded(name), kernel, part[f"{name}.bias"], groups=len(kernel))
    return total


def training_form(blocks: int = 2, width: int = 6, scale: int = 2) -> dict[str, Tensor]:
    torch.manual_seed(0)
    widths = [1, *[width] * (blocks + 1), scale**2]
    state: dict[str, Tensor] = {}
    for number, (entering, leaving) in enumerate(pairwise(widths)):
        state |= training_layer(f"backbone.{number}", entering, leaving)
        if number <= blocks:
            state[f"backbone.{number}.act.weight"] = torch.rand(width) / 4
    return state


def in_older_names(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    names = {"backbone.0": "head.0", "backbone.1": "body.0", "backbone.2": "body.1", "backbone.3": "tail.0"}
    return {names[key[:10]] + key[10:]: value for key, value in state.items()}


@pytest.mark.parametrize("identity", [False, True])
@pytest.mark.parametrize("older", [False, True])
def test_a_folded_ecbsr_equals_its_training_form(tmp_path: Path, *, older: bool, identity: bool) -> None:
    state = training_form()
    written = in_older_names(state) if older else state
    loaded = load_checkpoint(saved(tmp_path, written), Corrections(options={"identity": identity}))
    assert dict(loaded.spec.options) == ECBSR | {"channels": 6, "identity": identity}
    luma = torch.rand(1, 1, 9, 12)
    features = 255 * luma
    for number in range(4):
        refined = branches(state, f"backbone.{number}", features)
        features = refined + features if identity and number in (1, 2) else refined
        if number < 3:
            features = functional.prelu(features, state[f"backbone.{number}.act.weight"])
    expected = functional.pixel_shuffle(features + 255 * luma, 2) / 255
    found = loaded.network.upscale_luma(luma)  # type: ignore[operator]
    # Single precision: a sum of some hundred terms in another order, relative to the largest value.
    assert float((found - expected).abs().max()) < 1e-5 * float(expected.abs().max())


def test_a_folded_ecbsr_is_saved_as_the_plain_form(tmp_path: Path) -> None:
    first = load_checkpoint(saved(tmp_path, training_form()))
    plain = first.network.state_dict()
    assert not any("conv1x1" in key for key in plain)
    assert torch.equal(*outputs(load_checkpoint(saved(tmp_path, plain)).network, first.network))
    save_checkpoint(tmp_path / "a.safetensors", first.network, architecture="ecbsr", options=first.spec.options,
                    value_range=1.0)
    assert torch.equal(*outputs(load_checkpoint(tmp_path / "a.safetensors").network, first.network))


@pytest.mark.parametrize(("key", "wrong"), [
    ("backbone.1.conv1x1_sbx.k0", None), ("backbone.0.conv1x1_3x3.k1", torch.zeros(6, 5, 3, 3)),
    ("backbone.2.conv1x1_lpl.mask", torch.zeros(1).expand(6, 1, 3, 3)), ("backbone.0.conv3x3.bias", torch.zeros(7)),
    ("backbone.1.conv3x3.weight", torch.zeros(6)), ("backbone.0.conv1x1_3x3.k0", torch.zeros(3)),
])
def test_a_damaged_training_form_is_refused_before_it_is_folded(tmp_path: Path, key: str, wrong: Tensor | None) -> None:
    state = {name: value for name, value in training_form().items() if name != key}
    if wrong is not None:
        state[key] = wrong
    with pytest.raises(MismatchedTensors):
        load_checkpoint(saved(tmp_path, state))


def test_an_ecbsr_of_three_colours_is_refused(tmp_path: Path) -> None:
    state = dict(seeded("ecbsr", ECBSR).state_dict())
    state["backbone.0.conv3x3.weight"] = torch.zeros(8, 3, 3, 3)
    with pytest.raises(MismatchedTensors, match="misshapen"):
        load_checkpoint(saved(tmp_path, state))


def test_the_nearest_family_is_named_for_the_other_form_too() -> None:
    state = in_challenge_names(seeded("rlfn", RLFN).state_dict())
    del state["LR_conv.weight"]
    with pytest.raises(UnknownNetwork) as caught:
        detect(state)
    assert "Nearest is rlfn" in caught.value.remedy
    assert "LR_conv.weight is missing" in caught.value.remedy


@pytest.mark.parametrize(("name", "option", "value"), [
    ("rlfn", "blocks", 0), ("dipnet", "mid_channels", -1), ("rfdn", "distilled_channels", 0),
    ("imdn", "distilled_channels", 64), ("carn", "scale", 5), ("carn", "groups", 7), ("ecbsr", "activation", "elu"),
    ("ecbsr", "scale", 8), ("ecbsr", "luma_range", 0)])
def test_an_impossible_option_is_refused_with_what_is_possible(name: str, option: str, value: object) -> None:
    with pytest.raises(OptionError) as caught:
        ARCHITECTURES[name].build({"scale": 4, option: value})
    assert option in caught.value.message
    assert any(word in caught.value.remedy for word in ("Allowed", "Scale"))
