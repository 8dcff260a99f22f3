"""The networks are recognised from keys and shapes, built as published, and described correctly."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from srn_deploy.architectures import ARCHITECTURES, detect
from srn_deploy.errors import OptionError, UnknownNetwork

SRN: dict[str, Any] = {"scale": 4, "channels": 8, "blocks": 2, "esa_channels": 4, "attention": "new",
                       "residual": False, "last_conv": False, "negative_slope": 0.1,
                       "image_residual": "none"}
EDSR: dict[str, Any] = {"scale": 4, "channels": 8, "blocks": 2, "residual_scaling": 1.0, "last_conv": False,
                        "mean_shift": True}

VARIED = [
    *(("srn", SRN | {"scale": scale}) for scale in (2, 3, 4)),
    ("srn", SRN | {"channels": 12, "blocks": 5, "esa_channels": 3}),
    ("srn", SRN | {"last_conv": True}),
    ("srn", SRN | {"attention": "old", "residual": True}),
    ("srn", SRN | {"attention": "old", "residual": True, "last_conv": True, "scale": 2}),
    ("srn", SRN | {"attention": "none", "residual": True, "esa_channels": 16}),
    ("srn", SRN | {"attention": "none", "residual": True, "esa_channels": 16, "last_conv": True, "blocks": 1}),
    *(("edsr", EDSR | {"scale": scale}) for scale in (1, 2, 3, 4, 8)),
    ("edsr", EDSR | {"last_conv": True, "blocks": 11}),
    ("edsr", EDSR | {"mean_shift": False}),
    ("edsr", EDSR | {"channels": 256, "blocks": 1, "residual_scaling": 0.1, "last_conv": True}),
]
"""What keys and shapes show is varied; what they do not (residual, scaling) has its default."""


def seeded(name: str, options: dict[str, Any]) -> nn.Module:
    torch.manual_seed(0)
    return ARCHITECTURES[name].build(options).eval()


@pytest.mark.parametrize(("name", "options"), VARIED)
def test_family_and_options_are_read_from_keys_and_shapes(name: str, options: dict[str, Any]) -> None:
    state = seeded(name, options).state_dict()
    assert detect(state).name == name
    assert detect(state).read_options(state) == options


@pytest.mark.parametrize(("name", "options"), VARIED)
def test_signatures_exclude_each_other(name: str, options: dict[str, Any]) -> None:
    keys = seeded(name, options).state_dict().keys()
    assert [family.name for family in ARCHITECTURES.values() if family.signature.matches(keys)] == [name]


@pytest.mark.parametrize(("name", "options"), VARIED)
def test_a_network_multiplies_both_sides_by_its_scale(name: str, options: dict[str, Any]) -> None:
    spec = ARCHITECTURES[name].describe(options)
    with torch.no_grad():
        upscaled = seeded(name, options)(torch.zeros(2, 3, 17, 15))
    assert upscaled.shape == (2, 3, 17 * spec.scale, 15 * spec.scale)


@pytest.mark.parametrize(("name", "options"), VARIED)
def test_a_spec_carries_the_options_that_build_the_network_again(name: str, options: dict[str, Any]) -> None:
    spec = ARCHITECTURES[name].describe(options)
    assert dict(spec.options) == options
    assert seeded(name, dict(spec.options)).state_dict().keys() == seeded(name, options).state_dict().keys()


def reach_px(network: nn.Module, scale: int, side: int) -> int:
    """The largest distance of an input pixel that changes the middle pixel, in LR pixels."""
    middle = side // 2
    # In the trained range, around EDSR's mean colour; otherwise its ReLUs would be all on or all off.
    image = (255 * torch.rand(1, 3, side, side, dtype=torch.float64)).requires_grad_()
    network(image)[..., scale * middle:scale * (middle + 1), scale * middle:scale * (middle + 1)].sum().backward()
    assert image.grad is not None
    rows = image.grad.abs().sum(dim=(0, 1, 3)).nonzero().flatten()
    return int(max(middle - rows.min(), rows.max() - middle))


@pytest.mark.parametrize(("name", "options"), [
    (name, options) for name, options in VARIED
    if options.get("attention", "none") == "none" and options["blocks"] < 9])
def test_the_halo_of_a_network_without_attention_is_its_receptive_field(name: str, options: dict[str, Any]) -> None:
    network = seeded(name, options).double()  # single precision would round the smallest gradients to 0
    spec = ARCHITECTURES[name].describe(options)
    assert reach_px(network, spec.scale, side=2 * spec.halo_px + 5) == spec.halo_px


def test_the_keys_of_srn_are_those_of_the_published_checkpoint() -> None:
    layers = ["recon_trunk.0.conv1", "recon_trunk.0.conv2", *(f"recon_trunk.0.ESA.conv{i}" for i in range(1, 5)),
              "head", "tail"]
    keys = seeded("srn", SRN | {"blocks": 1}).state_dict().keys()
    assert set(keys) == {f"{layer}.{part}" for layer in layers for part in ("weight", "bias")}


def test_the_old_attention_has_the_layers_of_its_published_code() -> None:
    keys = seeded("srn", SRN | {"blocks": 1, "attention": "old"}).state_dict().keys()
    layers = {key.split(".")[3] for key in keys if ".ESA." in key}
    assert layers == {"conv1", "conv_f", "conv_max", "conv2", "conv3", "conv3_", "conv4"}  # RFDN's published code


@pytest.mark.parametrize(("scale", "tail"), [(2, ["tail.0.0"]), (3, ["tail.0.0"]), (4, ["tail.0.0", "tail.0.2"])])
def test_the_keys_of_edsr_are_those_of_its_published_code(scale: int, tail: list[str]) -> None:
    layers = ["sub_mean", "add_mean", "head.0", *tail, "tail.1", "body.16",
              *(f"body.{block}.body.{layer}" for block in range(16) for layer in (0, 2))]
    keys = seeded("edsr", EDSR | {"blocks": 16, "last_conv": True, "scale": scale}).state_dict().keys()
    assert set(keys) == {f"{layer}.{part}" for layer in layers for part in ("weight", "bias")}


@pytest.mark.parametrize(("channels", "blocks", "millions"), [(64, 16, "1.5"), (256, 32, "43.1")])
def test_edsr_has_as_many_parameters_as_its_paper_says(channels: int, blocks: int, millions: str) -> None:
    options = EDSR | {"channels": channels, "blocks": blocks, "last_conv": True}
    with torch.device("meta"):
        network = ARCHITECTURES["edsr"].build(options)
    # Table 1 of Lim et al. gives 1.5M and 43M for x4.
    assert f"{sum(p.numel() for p in network.parameters()) / 1e6:.1f}" == millions


@pytest.mark.parametrize("value_range", [1.0, 255.0])
def test_the_value_range_of_edsr_is_read_from_its_mean_shift(value_range: float) -> None:
    state = seeded("edsr", EDSR).state_dict()
    state["add_mean.bias"] = torch.tensor([0.4488, 0.4371, 0.4040]) * value_range
    assert ARCHITECTURES["edsr"].read_value_range(state) == value_range
    assert ARCHITECTURES["edsr"].read_value_range(seeded("edsr", EDSR | {"mean_shift": False}).state_dict()) is None


def output_of(name: str, options: dict[str, Any]) -> Tensor:
    network = seeded(name, options)
    torch.manual_seed(1)
    with torch.no_grad():
        upscaled: Tensor = network(torch.rand(1, 3, 21, 18))
    return upscaled


@pytest.mark.parametrize(("name", "options", "change"), [
    ("srn", SRN, {"residual": True}),
    ("srn", SRN, {"negative_slope": 0.2}),
    ("srn", SRN | {"attention": "none"}, {"residual": True}),
    ("edsr", EDSR, {"residual_scaling": 0.1}),
])
def test_an_option_that_keys_do_not_show_changes_the_output_and_not_the_weights(
        name: str, options: dict[str, Any], change: dict[str, Any]) -> None:
    assert seeded(name, options).state_dict().keys() == seeded(name, options | change).state_dict().keys()
    assert not torch.allclose(output_of(name, options), output_of(name, options | change))


@pytest.mark.parametrize(("name", "option", "value"), [
    ("srn", "channels", 0), ("srn", "channels", -3), ("srn", "channels", "many"), ("srn", "channels", 4.5),
    ("srn", "channels", 10**9), ("srn", "blocks", float("inf")), ("srn", "scale", None), ("srn", "attention", "newer"),
    ("srn", "residual", "maybe"), ("srn", "negative_slope", "nan"), ("srn", "depth", 3), ("edsr", "scale", 5),
    ("edsr", "residual_scaling", "inf"), ("edsr", "mean_shift", 2),
])
def test_an_impossible_option_is_refused_with_what_is_possible(name: str, option: str, value: object) -> None:
    with pytest.raises(OptionError) as caught:
        ARCHITECTURES[name].build({option: value})
    assert option in caught.value.message or "cannot be built" in caught.value.message
    assert any(word in caught.value.remedy for word in ("Allowed", "Known", "Scale"))


@pytest.mark.parametrize("value", ["true", "TRUE", 1])
def test_true_is_understood_in_every_spelling(value: object) -> None:
    assert ARCHITECTURES["srn"].describe({"residual": value}).options["residual"] is True


def test_an_unknown_network_is_refused_with_its_keys_and_the_nearest_family() -> None:
    state = seeded("srn", SRN).state_dict()
    del state["tail.weight"]
    with pytest.raises(UnknownNetwork, match=r"first keys: recon_trunk\.0\.conv1\.weight") as caught:
        detect(state)
    assert "Nearest is srn" in caught.value.remedy
    assert "tail.weight is missing" in caught.value.remedy


def test_for_a_network_without_similar_keys_no_nearest_family_is_named() -> None:
    with pytest.raises(UnknownNetwork, match="first keys: embed") as caught:
        detect({"embed.weight": torch.zeros(1)})
    assert "Nearest" not in caught.value.remedy
    assert "srn, edsr" in caught.value.remedy
