"""SPAN (Wan et al., CVPRW 2024), the winner of NTIRE 2024's challenge on efficient super-resolution.

Keys are those of the authors' code: `conv_1`, `block_N.cM_r`, `conv_cat`, `conv_2` and `upsampler.0`. In training every
3x3 convolution is a chain of three (`conv.0|1|2`) beside a 1x1 (`sk`); all are linear, so they equal one convolution,
`eval_conv`, into which they are folded when a file is read. That the file has may be older than its branches.

A block multiplies its features by sigmoid(features) - 0.5, each value by itself, so tiles are exact.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn

from srn_deploy.architectures.edsr import DIV2K_MEAN_RGB
from srn_deploy.architectures.layers import named
from srn_deploy.architectures.options import checked, filters, scale_from_tail, stored_tensor
from srn_deploy.architectures.signature import Architecture, OtherForm, Signature, StateDict
from srn_deploy.spec import ModelSpec, Scalar

VALUE_RANGE = 1.0
"""The authors' network takes pixels of 0..1 and gives them; inside it widens them."""

INNER_RANGE = 255.0
"""What the authors' code multiplies pixels by after it has taken DIV2K's mean colour from them."""

BLOCKS = 6

REACH_PX = 1 + 3 * BLOCKS + 1 + 1
"""The receptive field to one side: the first convolution, the blocks, `conv_2` and the upsampler's."""


@dataclass(frozen=True, kw_only=True)
class SpanOptions:
    """Hyper-parameters; the defaults are the paper's SPAN."""

    scale: int = 4
    channels: int = 48
    norm: bool = True
    """Whether the mean colour is taken from the input, which is widened; files of later programs that leave it out have
    a key `no_norm`."""


def _convolution(entering: int, leaving: int) -> nn.Sequential:
    return named(eval_conv=nn.Conv2d(entering, leaving, 3, padding=1))


class AttentionBlock(nn.Module):
    """Three convolutions with a residual, weighted by a symmetric function of what the last of them gives."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.c1_r, self.c2_r, self.c3_r = (_convolution(channels, channels) for _ in range(3))
        self.act1 = nn.SiLU()

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Features (N, C, H, W) to refined features and the first convolution's, activated; both of the same shape.

        The authors' activation writes over its input, so what they hand on is what it gives.
        """
        first = self.act1(self.c1_r(features))
        last = self.c3_r(self.act1(self.c2_r(first)))
        return (last + features) * (torch.sigmoid(last) - 0.5), first


class SpanNetwork(nn.Module):
    """Head, a chain of blocks of which four features are joined, sub-pixel reconstruction."""

    def __init__(self, options: SpanOptions) -> None:
        super().__init__()
        width = options.channels
        self.conv_1 = _convolution(3, width)
        for number in range(1, BLOCKS + 1):
            self.add_module(f"block_{number}", AttentionBlock(width))
        self.conv_cat = nn.Conv2d(4 * width, width, 1)
        self.conv_2 = _convolution(width, width)
        self.upsampler = nn.Sequential(nn.Conv2d(width, 3 * options.scale**2, 3, padding=1),
                                       nn.PixelShuffle(options.scale))
        if options.norm:
            self.register_buffer("mean", torch.tensor(DIV2K_MEAN_RGB).view(1, 3, 1, 1), persistent=False)
        else:
            self.register_buffer("no_norm", torch.zeros(1))
        self.norm = options.norm

    def forward(self, lr: Tensor) -> Tensor:
        """RGB (N, 3, H, W) in the trained value range to (N, 3, scale*H, scale*W), not clipped."""
        widened = (lr - self.get_buffer("mean")) * INNER_RANGE if self.norm else lr
        shallow = self.conv_1(widened)
        after_one, _ = self.get_submodule("block_1")(shallow)
        features, inside_last = after_one, after_one
        for number in range(2, BLOCKS + 1):
            features, inside_last = self.get_submodule(f"block_{number}")(features)
        joined = [shallow, self.conv_2(features), after_one, inside_last]
        upscaled: Tensor = self.upsampler(self.conv_cat(torch.cat(joined, dim=1)))
        return upscaled


def _read_options(state: StateDict) -> dict[str, Scalar]:
    return asdict(SpanOptions(scale=scale_from_tail(state, "upsampler.0.weight"),
                              channels=filters(state, "conv_1.eval_conv.weight"), norm="no_norm" not in state))


def _folded_layer(state: StateDict, layer: str) -> dict[str, Tensor]:
    """Fold the branches of one convolution; padding is that of their first 1x1, so this holds at the border too."""
    leaving, entering = filters(state, f"{layer}.sk.weight"), int(state[f"{layer}.sk.weight"].shape[1])
    first, last = (filters(state, key) if (key := f"{layer}.conv.{number}.weight") in state else 0
                   for number in (0, 1))
    narrow = stored_tensor(state, f"{layer}.conv.0.weight", first, entering, 1, 1)[:, :, 0, 0]
    wide = stored_tensor(state, f"{layer}.conv.1.weight", last, first, 3, 3)
    join = stored_tensor(state, f"{layer}.conv.2.weight", leaving, last, 1, 1)[:, :, 0, 0]
    kernel = torch.einsum("ol,lfyx,fi->oiyx", join, wide, narrow)
    inner = wide.sum(dim=(2, 3)) @ stored_tensor(state, f"{layer}.conv.0.bias", first)
    bias = join @ (inner + stored_tensor(state, f"{layer}.conv.1.bias", last))
    bias = bias + stored_tensor(state, f"{layer}.conv.2.bias", leaving)
    kernel[:, :, 1, 1] += stored_tensor(state, f"{layer}.sk.weight", leaving, entering, 1, 1)[:, :, 0, 0]
    bias = bias + stored_tensor(state, f"{layer}.sk.bias", leaving)
    return {f"{layer}.eval_conv.weight": kernel.float(), f"{layer}.eval_conv.bias": bias.float()}


def _folded(state: StateDict, given: Mapping[str, Any]) -> StateDict:
    """Convert the training form to the plain form."""
    layers = [key.removesuffix(".sk.weight") for key in state if key.endswith(".sk.weight")]
    branches = tuple(f"{layer}.{part}" for layer in layers for part in ("sk.", "conv.", "eval_conv."))
    folded = {key: value for key, value in state.items() if not key.startswith(branches)}
    for layer in layers:
        folded |= _folded_layer(state, layer)
    return folded


def _build(options: Mapping[str, Any]) -> nn.Module:
    return SpanNetwork(checked(SpanOptions, options))


def _describe(options: Mapping[str, Any]) -> ModelSpec:
    chosen = checked(SpanOptions, options)
    return ModelSpec(
        architecture="span",
        options=asdict(chosen),
        scale=chosen.scale,
        value_range=VALUE_RANGE,
        halo_px=REACH_PX,
        # Measured: in the last block, or what is joined beside the sub-pixels.
        activation_bytes_per_px=4 * (max(11 * chosen.channels, 7 * chosen.channels + 6 * chosen.scale**2) + 3),
    )


_REST = ("block_1.c1_r.eval_conv.weight", "block_6.c3_r.eval_conv.weight", "conv_cat.weight", "conv_2.eval_conv.weight",
         "upsampler.0.weight")

ARCHITECTURE = Architecture(
    name="span",
    title="SPAN (Wan et al., CVPRW 2024)",
    signature=Signature(required=("conv_1.eval_conv.weight", *_REST), forbidden=("conv_1.sk.weight",)),
    other_forms=(OtherForm(signature=Signature(
        required=("conv_1.sk.weight", "conv_1.conv.1.weight", "block_1.c1_r.sk.weight", "block_6.c3_r.sk.weight",
                  "conv_cat.weight", "upsampler.0.weight")), converted=_folded),),
    read_options=_read_options,
    build=_build,
    describe=_describe,
    value_ranges=(),
    own_keys=frozenset({"no_norm"}),
)
