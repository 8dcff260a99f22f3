"""ECBSR (Zhang et al., ACM MM 2021): a plain chain of 3x3 convolutions on luma, trained as edge-oriented blocks.

Keys are those of the authors' code. The plain form has `backbone.N.conv3x3` and `backbone.N.act`. The training form
adds to each of them a 1x1-3x3 pair (`conv1x1_3x3`) and three fixed edge filters (`conv1x1_sbx`, `_sby`, `_lpl`); older
code calls the parts of `backbone` `head`, `body` and `tail`. All branches are linear, so a block equals one
convolution, into which it is folded when a file is read. The branches pad with their own bias, so this is exact at the
border too.

The authors' files work on studio-range Y in 0..255. The paper's Table 1 has 16 blocks of 64 channels on luma: 594,884
parameters (×2) and 601,808 (×4). Its 596K and 603K result if the slopes of the 17 PReLUs are counted twice.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

import torch
from torch import Tensor, nn

from srn_deploy.architectures.luma import LumaNetwork
from srn_deploy.architectures.options import checked, filters, scale_from_tail, stored_tensor
from srn_deploy.architectures.signature import Architecture, OtherForm, Signature, StateDict
from srn_deploy.errors import OptionError
from srn_deploy.spec import Colour, ModelSpec, Scalar


class Activation(StrEnum):
    """The activation after every convolution but the last."""

    PRELU = "prelu"
    RELU = "relu"


@dataclass(frozen=True, kw_only=True)
class EcbsrOptions:
    """Hyper-parameters; the defaults are the network of the paper's Table 1."""

    scale: int = 4
    channels: int = 64
    blocks: int = 16
    """Convolutions between the first and the last."""
    activation: Activation = Activation.PRELU
    identity: bool = False
    """Whether the training form also adds the input of a block where it is as wide as the output. All published
    configurations leave it out. Only folding needs to know it."""
    luma_range: float = 255.0
    """The value range of Y in training (the authors' code does not divide it by 255)."""

    def __post_init__(self) -> None:
        if not 1 <= self.scale <= 4 or min(self.channels, self.blocks) < 1 or self.luma_range <= 0:
            raise OptionError(f"ECBSR cannot be built from {asdict(self)}.",
                              remedy="Scale is 1 to 4; channels and blocks are at least 1; luma_range is 255 or 1.")


class Layer(nn.Module):
    """A 3x3 convolution and its activation, under the published keys."""

    def __init__(self, entering: int, leaving: int, activation: nn.Module) -> None:
        super().__init__()
        self.conv3x3 = nn.Conv2d(entering, leaving, 3, padding=1)
        self.act = activation

    def forward(self, features: Tensor) -> Tensor:
        """(N, C, H, W) to (N, D, H, W)."""
        refined: Tensor = self.act(self.conv3x3(features))
        return refined


class Ecbsr(LumaNetwork):
    """A chain of convolutions; the input itself is added to each sub-pixel."""

    def __init__(self, options: EcbsrOptions) -> None:
        super().__init__(options.scale, options.luma_range)
        width = options.channels
        prelu = options.activation is Activation.PRELU
        layers = [Layer(1 if index == 0 else width, width, nn.PReLU(width) if prelu else nn.ReLU())
                  for index in range(options.blocks + 1)]
        self.backbone = nn.Sequential(*layers, Layer(width, options.scale**2, nn.Identity()))
        self.upsampler = nn.PixelShuffle(options.scale)

    def upscale_luma(self, luma: Tensor) -> Tensor:
        """Y (N, 1, H, W) in 0..1 to (N, 1, scale*H, scale*W)."""
        trained = self.as_trained(luma)
        upscaled: Tensor = self.upsampler(self.backbone(trained) + trained)
        return self.from_trained(upscaled)


_LAYER = re.compile(r"backbone\.([0-9]+)\.conv3x3\.weight")


def _layers(state: StateDict) -> list[int]:
    return sorted(int(found[1]) for key in state if (found := _LAYER.fullmatch(key)))


def _read_options(state: StateDict) -> dict[str, Scalar]:
    layers = _layers(state)
    return asdict(EcbsrOptions(
        scale=scale_from_tail(state, f"backbone.{layers[-1]}.conv3x3.weight", colours=1),
        channels=filters(state, "backbone.0.conv3x3.weight"),
        blocks=len(layers) - 2,
        activation=Activation.PRELU if "backbone.0.act.weight" in state else Activation.RELU,
    ))


def _folded_layer(state: StateDict, layer: str, *, identity: bool) -> dict[str, Tensor]:
    """Fold all branches of one block into one convolution."""
    leaving, entering = state[f"{layer}.conv3x3.weight"].shape[:2]
    kernel = stored_tensor(state, f"{layer}.conv3x3.weight", leaving, entering, 3, 3)
    bias = stored_tensor(state, f"{layer}.conv3x3.bias", leaving)
    pair = f"{layer}.conv1x1_3x3"
    middle = filters(state, f"{pair}.k0") if f"{pair}.k0" in state else 0
    narrow = stored_tensor(state, f"{pair}.k0", middle, entering, 1, 1)
    wide = stored_tensor(state, f"{pair}.k1", leaving, middle, 3, 3)
    kernel = kernel + torch.einsum("omyx,mi->oiyx", wide, narrow[:, :, 0, 0])
    bias = bias + wide.sum(dim=(2, 3)) @ stored_tensor(state, f"{pair}.b0", middle)
    bias = bias + stored_tensor(state, f"{pair}.b1", leaving)
    for edge in (f"{layer}.conv1x1_{name}" for name in ("sbx", "sby", "lpl")):
        mix = stored_tensor(state, f"{edge}.k0", leaving, entering, 1, 1)[:, :, 0, 0]
        strength = stored_tensor(state, f"{edge}.scale", leaving, 1, 1, 1)
        filtered = (strength * stored_tensor(state, f"{edge}.mask", leaving, 1, 3, 3))[:, 0]
        kernel = kernel + torch.einsum("oyx,oi->oiyx", filtered, mix)
        bias = bias + filtered.sum(dim=(1, 2)) * stored_tensor(state, f"{edge}.b0", leaving)
        bias = bias + stored_tensor(state, f"{edge}.bias", leaving)
    if identity and entering == leaving:
        kernel[:, :, 1, 1] += torch.eye(leaving, dtype=kernel.dtype)
    return {f"{layer}.conv3x3.weight": kernel.float(), f"{layer}.conv3x3.bias": bias.float()}


def _folded(state: StateDict, given: Mapping[str, Any]) -> StateDict:
    """Convert the training form to the plain form."""
    chosen = checked(EcbsrOptions, given)
    folded = {key: value for key, value in state.items() if ".conv1x1_" not in key}
    for number in _layers(state):
        filters(state, f"backbone.{number}.conv3x3.weight")
        folded |= _folded_layer(state, f"backbone.{number}", identity=chosen.identity)
    return folded


def _renamed_and_folded(state: StateDict, given: Mapping[str, Any]) -> StateDict:
    """Convert the training form with its older names to the plain form."""
    last = 1 + len({key.split(".")[1] for key in state if key.startswith("body.")})
    renamed = {}
    for key, value in state.items():
        part, number, rest = [*key.split(".", 2), "", ""][:3]
        own = {"head": "0", "body": str(int(number) + 1) if number.isdecimal() else number, "tail": str(last)}
        renamed[f"backbone.{own[part]}.{rest}" if part in own else key] = value
    return _folded(renamed, given)


def _build(options: Mapping[str, Any]) -> nn.Module:
    return Ecbsr(checked(EcbsrOptions, options))


def _describe(options: Mapping[str, Any]) -> ModelSpec:
    chosen = checked(EcbsrOptions, options)
    return ModelSpec(
        architecture="ecbsr",
        options=asdict(chosen),
        scale=chosen.scale,
        value_range=1.0,
        colour=Colour.Y,
        halo_px=chosen.blocks + 2,
        activation_bytes_per_px=4 * max(3 * chosen.channels + 4, chosen.channels + 10 * chosen.scale**2),
    )


_PAIR = "conv1x1_3x3.k0"

ARCHITECTURE = Architecture(
    name="ecbsr",
    title="ECBSR (Zhang et al., ACM MM 2021)",
    signature=Signature(required=("backbone.0.conv3x3.weight", "backbone.1.conv3x3.weight",
                                  "backbone.2.conv3x3.weight"),
                        forbidden=(f"backbone.0.{_PAIR}",)),
    other_forms=(
        OtherForm(signature=Signature(required=("backbone.0.conv3x3.weight", f"backbone.0.{_PAIR}",
                                                "backbone.2.conv3x3.weight")), converted=_folded),
        OtherForm(signature=Signature(required=("head.0.conv3x3.weight", f"head.0.{_PAIR}", "body.0.conv3x3.weight",
                                                "tail.0.conv3x3.weight")), converted=_renamed_and_folded)),
    read_options=_read_options,
    build=_build,
    describe=_describe,
    value_ranges=(),
    open_options={"luma_range": (255.0, 1.0)},
)
