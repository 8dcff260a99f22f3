"""SRVGGNetCompact, RRDBNet and SPAN: recognised in all their published forms, folded, and tiled exactly."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from srn_deploy.architectures import ARCHITECTURES
from srn_deploy.architectures.checkpoint import LoadedNetwork, load_checkpoint, save_checkpoint
from srn_deploy.architectures.rrdbnet import MEASURED_HALO_PX, RrdbNetOptions
from srn_deploy.architectures.rrdbnet import reach_px as told_reach_px
from srn_deploy.backends.pytorch import PyTorchBackend
from srn_deploy.errors import MismatchedTensors, OptionError
from srn_deploy.spec import Corrections
from srn_deploy.tiling.windows import TileOptions
from tests.networks import large_picture, outputs, reach_px, saved, seeded
from tests.test_peer_tiling import ONE_LEVEL, worst_difference

SRVGG: dict[str, Any] = {"scale": 2, "channels": 8, "blocks": 3, "activation": "prelu"}
RRDBNET: dict[str, Any] = {"scale": 4, "channels": 8, "growth": 4, "blocks": 2, "unshuffle": 1}
SPAN: dict[str, Any] = {"scale": 2, "channels": 6, "norm": True}

VARIED = [
    ("srvgg", SRVGG), ("srvgg", SRVGG | {"scale": 4, "blocks": 1}), ("srvgg", SRVGG | {"scale": 1, "blocks": 12}),
    ("srvgg", SRVGG | {"scale": 3, "activation": "relu"}),
    ("rrdbnet", RRDBNET), ("rrdbnet", RRDBNET | {"scale": 2, "unshuffle": 2, "blocks": 11}),
    ("rrdbnet", RRDBNET | {"scale": 1, "unshuffle": 4, "growth": 3}), ("rrdbnet", RRDBNET | {"scale": 2}),
    ("rrdbnet", RRDBNET | {"scale": 8}), ("rrdbnet", RRDBNET | {"scale": 1}),
    ("span", SPAN), ("span", SPAN | {"scale": 4, "channels": 9, "norm": False}),
]


@pytest.mark.parametrize(("name", "options"), VARIED)
def test_a_saved_network_comes_back_with_its_options_and_computes_the_same(
        tmp_path: Path, name: str, options: dict[str, Any]) -> None:
    network = seeded(name, options)
    loaded = load_checkpoint(saved(tmp_path, {"params_ema": network.state_dict()}))
    assert (loaded.spec.architecture, dict(loaded.spec.options)) == (name, options)
    assert loaded.spec.value_range == 1.0
    found, expected = outputs(loaded.network, network)
    assert torch.equal(found, expected)
    assert found.shape == (1, 3, 20 * options["scale"], 24 * options["scale"])


@pytest.mark.parametrize(("name", "options"), VARIED)
def test_signatures_exclude_each_other(name: str, options: dict[str, Any]) -> None:
    keys = seeded(name, options).state_dict().keys()
    assert [family.name for family in ARCHITECTURES.values() if family.recognises(keys)] == [name]


@pytest.mark.parametrize(("name", "options", "parameters"), [
    ("srvgg", {"blocks": 32}, 1_213_296), ("srvgg", {}, 621_424), ("rrdbnet", {}, 16_697_987),
    ("rrdbnet", {"scale": 2, "unshuffle": 2}, 16_703_171), ("rrdbnet", {"blocks": 6}, 4_467_779),
    ("span", {}, 426_288), ("span", {"channels": 52}, 498_208)])
def test_networks_have_as_many_parameters_as_published(name: str, options: dict[str, Any], parameters: int) -> None:
    with torch.device("meta"):
        network = ARCHITECTURES[name].build(options)
    assert sum(p.numel() for p in network.parameters()) == parameters


def test_a_compact_network_is_its_convolutions_and_the_nearest_pixels() -> None:
    network = seeded("srvgg", SRVGG)
    state, image = network.state_dict(), torch.rand(1, 3, 9, 12)
    features = image
    for number in range(0, 9, 2):
        features = functional.conv2d(features, state[f"body.{number}.weight"], state[f"body.{number}.bias"], padding=1)
        if number < 8:
            features = functional.prelu(features, state[f"body.{number + 1}.weight"])
    expected = functional.pixel_shuffle(features, 2) + functional.interpolate(image, scale_factor=2, mode="nearest")
    torch.testing.assert_close(network(image), expected, rtol=0, atol=1e-6)


def test_without_slopes_relu_is_assumed_and_another_activation_can_be_given(tmp_path: Path) -> None:
    path = saved(tmp_path, seeded("srvgg", SRVGG | {"activation": "leakyrelu"}).state_dict())
    assert load_checkpoint(path).spec.options["activation"] == "relu"
    given = load_checkpoint(path, Corrections(options={"activation": "leakyrelu"}))
    assert torch.equal(*outputs(given.network, seeded("srvgg", SRVGG | {"activation": "leakyrelu"})))


def dense(state: Mapping[str, Tensor], block: str, features: Tensor) -> Tensor:
    joined = features
    for number in range(1, 6):
        weight, bias = (state[f"{block}.conv{number}.{kind}"] for kind in ("weight", "bias"))
        more = functional.conv2d(joined, weight, bias, padding=1)
        joined = torch.cat([joined, functional.leaky_relu(more, 0.2)], dim=1)
    return features + 0.2 * more


@pytest.mark.parametrize("options", [RRDBNET, RRDBNET | {"scale": 2, "unshuffle": 2}], ids=["x4", "x2"])
def test_an_rrdbnet_computes_what_its_paper_says(options: dict[str, Any]) -> None:
    network = seeded("rrdbnet", options)
    state, image = network.state_dict(), torch.rand(1, 3, 10, 12)

    def convolved(layer: str, features: Tensor) -> Tensor:
        return functional.conv2d(features, state[f"{layer}.weight"], state[f"{layer}.bias"], padding=1)

    def active(layer: str, features: Tensor) -> Tensor:
        return functional.leaky_relu(convolved(layer, features), 0.2)

    features = shallow = convolved("conv_first", functional.pixel_unshuffle(image, options["unshuffle"]))
    for group in range(2):
        refined = features
        for number in (1, 2, 3):
            refined = dense(state, f"body.{group}.rdb{number}", refined)
        features = features + 0.2 * refined
    features = shallow + convolved("conv_body", features)
    for step in (1, 2):
        features = active(f"conv_up{step}", functional.interpolate(features, scale_factor=2, mode="nearest"))
    torch.testing.assert_close(network(image), convolved("conv_last", active("conv_hr", features)), rtol=0, atol=1e-6)


def in_esrgans_names(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    names = {"body": "RRDB_trunk", "conv_body": "trunk_conv", "conv_up1": "upconv1", "conv_up2": "upconv2",
             "conv_hr": "HRconv"}
    found = {}
    for key, value in state.items():
        first, rest = key.split(".", 1)
        found[f"{names.get(first, first)}.{rest}".replace("rdb", "RDB")] = value
    return found


def numbered(state: Mapping[str, Tensor], blocks: int, steps: int) -> dict[str, Tensor]:
    """The names of ESRGAN's first version: between the convolutions lie layers without weights."""
    tail = {f"conv_up{step}": str(3 * step) for step in range(1, steps + 1)}
    tail |= {"conv_first": "0", "conv_hr": str(3 * steps + 2), "conv_last": str(3 * steps + 4),
             "conv_body": f"1.sub.{blocks}"}
    found = {}
    for key, value in state.items():
        first, *rest = key.split(".")
        if first == "body":
            group, block, convolution, kind = rest
            found[f"model.1.sub.{group}.{block.upper()}.{convolution}.0.{kind}"] = value
        else:
            found[f"model.{tail[first]}.{rest[0]}"] = value
    return found


@pytest.mark.parametrize(("scale", "steps"), [(1, 0), (2, 1), (4, 2), (8, 3)])
def test_an_esrgan_of_the_first_version_is_the_same_network(tmp_path: Path, scale: int, steps: int) -> None:
    network = seeded("rrdbnet", RRDBNET | {"scale": scale, "blocks": 11})
    state = numbered(network.state_dict(), 11, steps)
    assert {"model.0.weight", "model.1.sub.10.RDB3.conv5.0.bias", "model.1.sub.11.weight"} < state.keys()
    loaded = load_checkpoint(saved(tmp_path, state))
    assert dict(loaded.spec.options) == RRDBNET | {"scale": scale, "blocks": 11}
    assert torch.equal(*outputs(loaded.network, network))


def test_an_esrgan_in_its_own_names_is_the_same_network(tmp_path: Path) -> None:
    network = seeded("rrdbnet", RRDBNET)
    state = in_esrgans_names(network.state_dict())
    assert {"RRDB_trunk.1.RDB2.conv4.weight", "trunk_conv.bias", "upconv2.bias", "HRconv.weight"} < state.keys()
    loaded = load_checkpoint(saved(tmp_path, state))
    assert dict(loaded.spec.options) == RRDBNET
    assert torch.equal(*outputs(loaded.network, network))


def test_an_rrdbnet_with_further_layers_in_its_blocks_is_not_taken_for_one(tmp_path: Path) -> None:
    state = seeded("rrdbnet", RRDBNET).state_dict()
    more = {key.replace("conv1.", "conv1x1."): torch.zeros(4, 8, 1, 1) for key in state if key.endswith("conv1.weight")}
    for form in ({**state, **more}, in_esrgans_names({**state, **more}), numbered(state, 2, 2)
                 | {"model.1.sub.0.RDB1.conv1x1.weight": torch.zeros(1)}):
        assert not ARCHITECTURES["rrdbnet"].recognises(form.keys())


def training_form(options: dict[str, Any]) -> dict[str, Tensor]:
    """A SPAN as it is trained: three convolutions and one beside them for each, and a folded one that is older."""
    state = dict(seeded("span", options).state_dict())
    for key in [key for key in state if key.endswith(".eval_conv.weight")]:
        layer = key.removesuffix(".eval_conv.weight")
        leaving, entering = state[key].shape[:2]
        shapes = {"sk": (leaving, entering, 1, 1), "conv.0": (2 * entering, entering, 1, 1),
                  "conv.1": (2 * leaving, 2 * entering, 3, 3), "conv.2": (leaving, 2 * leaving, 1, 1)}
        for name, shape in shapes.items():
            state[f"{layer}.{name}.weight"] = torch.randn(shape) / (shape[1] * shape[2] * shape[3]) ** 0.5
            state[f"{layer}.{name}.bias"] = torch.randn(shape[0]) / 8
    return state


def branches(state: Mapping[str, Tensor], layer: str, features: Tensor) -> Tensor:
    chained = functional.pad(features, (1, 1, 1, 1))
    for name in ("conv.0", "conv.1", "conv.2"):
        chained = functional.conv2d(chained, state[f"{layer}.{name}.weight"], state[f"{layer}.{name}.bias"])
    return chained + functional.conv2d(features, state[f"{layer}.sk.weight"], state[f"{layer}.sk.bias"])


@pytest.mark.parametrize("norm", [True, False])
def test_a_folded_span_equals_its_training_form(tmp_path: Path, *, norm: bool) -> None:
    options = SPAN | {"norm": norm}
    state, image = training_form(options), torch.rand(1, 3, 9, 12)
    loaded = load_checkpoint(saved(tmp_path, state))
    assert (loaded.spec.architecture, dict(loaded.spec.options)) == ("span", options)
    mean = torch.tensor([0.4488, 0.4371, 0.4040]).view(1, 3, 1, 1)
    features = shallow = branches(state, "conv_1", (image - mean) * 255 if norm else image)
    kept: list[tuple[Tensor, Tensor]] = []
    for number in range(1, 7):
        first = functional.silu(branches(state, f"block_{number}.c1_r", features))
        second = branches(state, f"block_{number}.c2_r", first)
        third = branches(state, f"block_{number}.c3_r", functional.silu(second))
        features = (third + features) * (torch.sigmoid(third) - 0.5)
        kept.append((features, first))
    joined = torch.cat([shallow, branches(state, "conv_2", features), kept[0][0], kept[5][1]], dim=1)
    joined = functional.conv2d(joined, state["conv_cat.weight"], state["conv_cat.bias"])
    tail = functional.conv2d(joined, state["upsampler.0.weight"], state["upsampler.0.bias"], padding=1)
    expected = functional.pixel_shuffle(tail, 2)
    found = loaded.network(image)
    # Single precision, through 21 layers, relative to the largest value.
    assert float((found - expected).abs().max()) < 1e-4 * float(expected.abs().max())


def test_a_folded_span_is_saved_as_the_plain_form(tmp_path: Path) -> None:
    first = load_checkpoint(saved(tmp_path, training_form(SPAN)))
    assert not any(".sk." in key or ".conv." in key for key in first.network.state_dict())
    save_checkpoint(tmp_path / "a.safetensors", first.network, architecture="span", options=first.spec.options,
                    value_range=1.0)
    assert torch.equal(*outputs(load_checkpoint(tmp_path / "a.safetensors").network, first.network))


@pytest.mark.parametrize(("key", "wrong"), [
    ("block_3.c2_r.conv.1.weight", None), ("conv_1.conv.2.weight", torch.zeros(6, 5, 1, 1)),
    ("block_6.c3_r.sk.bias", torch.zeros(7)), ("conv_2.conv.0.bias", torch.zeros(1).expand(12)),
    ("conv_2.sk.weight", torch.zeros(3))])
def test_a_damaged_training_form_is_refused_before_it_is_folded(tmp_path: Path, key: str, wrong: Tensor | None) -> None:
    state = {name: value for name, value in training_form(SPAN).items() if name != key}
    if wrong is not None:
        state[key] = wrong
    with pytest.raises(MismatchedTensors):
        load_checkpoint(saved(tmp_path, state))


@pytest.mark.parametrize(("name", "option", "value"), [
    ("srvgg", "activation", "elu"), ("srvgg", "blocks", 0), ("rrdbnet", "scale", 3), ("rrdbnet", "unshuffle", 3),
    ("rrdbnet", "growth", 0), ("span", "channels", 0), ("span", "norm", "maybe")])
def test_an_impossible_option_is_refused_with_what_is_possible(name: str, option: str, value: object) -> None:
    with pytest.raises(OptionError) as caught:
        ARCHITECTURES[name].build({option: value})
    assert caught.value.remedy


@pytest.mark.parametrize(("name", "options"), [
    ("srvgg", SRVGG), ("srvgg", SRVGG | {"blocks": 16}), ("span", SPAN), ("span", SPAN | {"scale": 4}),
    *(("rrdbnet", RRDBNET | {"blocks": 1, "scale": scale}) for scale in (1, 2, 4, 8)),
    ("rrdbnet", RRDBNET | {"blocks": 1, "scale": 2, "unshuffle": 2}),
    ("rrdbnet", RRDBNET | {"blocks": 1, "scale": 1, "unshuffle": 4})])
def test_the_halo_is_the_receptive_field(name: str, options: dict[str, Any]) -> None:
    reached = reach_px(seeded(name, options), options["scale"], options.get("unshuffle", 1))
    assert reached == ARCHITECTURES[name].describe(options).halo_px


@pytest.mark.parametrize(("name", "options"), [
    ("srvgg", SRVGG | {"blocks": 8}), ("span", SPAN), ("rrdbnet", RRDBNET | {"blocks": 1}),
    ("rrdbnet", RRDBNET | {"blocks": 1, "scale": 2, "unshuffle": 2})])
def test_tiles_equal_the_whole_up_to_rounding(name: str, options: dict[str, Any]) -> None:
    loaded = LoadedNetwork(network=seeded(name, options).requires_grad_(False),
                           spec=ARCHITECTURES[name].describe(options))
    # The halo is the whole receptive field: only the order of float32 sums differs with the shape.
    assert worst_difference(PyTorchBackend(loaded), large_picture(121, 131), TileOptions(tile=32)) < 1e-5


@pytest.mark.parametrize(("blocks", "halo_px", "most_levels"), [
    (23, MEASURED_HALO_PX, 0.01), (23, MEASURED_HALO_PX // 3, 0.01), (6, MEASURED_HALO_PX // 3, 0.01)])
def test_tiles_of_a_deep_rrdbnet_differ_by_rounding_at_a_third_of_a_halo_far_below_its_receptive_field(
        blocks: int, halo_px: int, most_levels: float) -> None:
    options = RRDBNET | {"blocks": blocks}
    network, spec = seeded("rrdbnet", options).requires_grad_(False), ARCHITECTURES["rrdbnet"].describe(options)
    assert spec.halo_px == MEASURED_HALO_PX < told_reach_px(RrdbNetOptions(**options))
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, nonlinearity="linear")
    picture = large_picture(150, 131)
    with torch.no_grad():
        loudest = network(torch.from_numpy(picture).permute(2, 0, 1)[None]).std()
        network.get_submodule("conv_last").weight /= 4 * loudest
    backend = PyTorchBackend(LoadedNetwork(network=network, spec=replace(spec, halo_px=halo_px)))
    assert worst_difference(backend, picture, TileOptions(tile=32)) < most_levels * ONE_LEVEL
