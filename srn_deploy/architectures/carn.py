"""CARN and CARN-M (Ahn et al., ECCV 2018): residual blocks that cascade on two levels. CARN is in the paper's Table 1.

Keys are those of the authors' code: `entry`, `bN.bM.body.0|2|4`, `bN.cM.body.0`, `cN.body.0`, `upsample`, `exit` and
the frozen mean shifts. CARN-M has grouped convolutions and uses one residual block per cascade, three times.

The authors train one network for ×2, ×3 and ×4 with an upsampler for each (`upsample.up2`, `up3`, `up4`), so a file
does not say which scale is meant. All three belong to the network: only with all of them does CARN have the 1592K
parameters (1,591,963) that Table 1 gives for both scales. An exported graph keeps the one that it uses.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn

from srn_deploy.architectures.edsr import DIV2K_MEAN_RGB
from srn_deploy.architectures.options import checked, filters
from srn_deploy.architectures.signature import Architecture, Signature, StateDict
from srn_deploy.errors import OptionError
from srn_deploy.spec import ModelSpec, Scalar

VALUE_RANGE = 1.0
"""The authors' test program works on 0..1, and so do their mean shifts."""

_STEPS = {2: (2,), 3: (3,), 4: (2, 2)}

_CASCADE = (1, 2, 3)
"""The stages of a cascade, on both levels."""

REACH_PX = 1 + 2 * 3 * 3 + 2
"""The receptive field to one side: entry, nine residual blocks, then the upsampler and exit as in EDSR."""


@dataclass(frozen=True, kw_only=True)
class CarnOptions:
    """Hyper-parameters; the defaults are the paper's CARN. CARN-M is mobile=True, groups=4."""

    scale: int
    channels: int = 64
    mobile: bool = False
    """CARN-M: a residual block ends in a 1x1 convolution, and each cascade has one, used three times."""
    groups: int = 1
    """Groups of the 3x3 convolutions in residual blocks and upsamplers."""
    multi_scale: bool = True
    """Whether there is an upsampler for each of ×2, ×3 and ×4."""

    def __post_init__(self) -> None:
        if self.scale not in _STEPS or self.channels % self.groups:
            raise OptionError(f"CARN cannot be built from {asdict(self)}.",
                              remedy="Scale is 2, 3 or 4; the channels are a multiple of the groups.")


class Body(nn.Module):
    """Layers under the key `body`."""

    def __init__(self, *layers: nn.Module) -> None:
        super().__init__()
        self.body = nn.Sequential(*layers)

    def forward(self, features: Tensor) -> Tensor:
        """Through all layers."""
        result: Tensor = self.body(features)
        return result


class CarnBlock(Body):
    """The output of the body is added to its input, then ReLU."""

    def __init__(self, options: CarnOptions) -> None:
        width, groups = options.channels, options.groups
        layers = [nn.Conv2d(width, width, 3, padding=1, groups=groups), nn.ReLU(),
                  nn.Conv2d(width, width, 3, padding=1, groups=groups)]
        super().__init__(*layers, *([nn.ReLU(), nn.Conv2d(width, width, 1)] if options.mobile else []))
        self.relu = nn.ReLU()

    def forward(self, features: Tensor) -> Tensor:
        """Features (N, C, H, W) to refined features of the same shape."""
        refined: Tensor = self.relu(super().forward(features) + features)
        return refined


class Cascade(nn.Module):
    """Three stages; after each, a 1x1 convolution combines the input and the outputs of all stages so far."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        for stage in _CASCADE:
            self.add_module(f"c{stage}", Body(nn.Conv2d((stage + 1) * channels, channels, 1), nn.ReLU()))

    def cascade(self, stages: Iterable[nn.Module], features: Tensor) -> Tensor:
        """Features (N, C, H, W) through the stages to features of the same shape."""
        joined = features
        for number, stage in zip(_CASCADE, stages, strict=True):
            joined = torch.cat([joined, stage(features)], dim=1)
            features = self.get_submodule(f"c{number}")(joined)
        return features


class LocalCascade(Cascade):
    """A cascade of residual blocks; in CARN-M the stages share one block."""

    def __init__(self, options: CarnOptions) -> None:
        super().__init__(options.channels)
        self.stages = ["b1"] * 3 if options.mobile else ["b1", "b2", "b3"]
        for name in dict.fromkeys(self.stages):
            self.add_module(name, CarnBlock(options))

    def forward(self, features: Tensor) -> Tensor:
        """Features (N, C, H, W) to refined features of the same shape."""
        return self.cascade(map(self.get_submodule, self.stages), features)


class CarnMeanShift(nn.Module):
    """A frozen 1x1 convolution that adds sign * mean to each colour, under the published key."""

    def __init__(self, sign: int) -> None:
        super().__init__()
        self.shifter = nn.Conv2d(3, 3, 1)
        self.shifter.weight.data = torch.eye(3).view(3, 3, 1, 1)
        self.shifter.bias.data = sign * torch.tensor(DIV2K_MEAN_RGB)  # type: ignore[union-attr]
        self.requires_grad_(False)

    def forward(self, rgb: Tensor) -> Tensor:
        """(N, 3, H, W) to the same shape."""
        shifted: Tensor = self.shifter(rgb)
        return shifted


def _upsampler(options: CarnOptions, scale: int) -> Body:
    width, layers = options.channels, []
    for step in _STEPS[scale]:
        layers += [nn.Conv2d(width, width * step**2, 3, padding=1, groups=options.groups), nn.ReLU(),
                   nn.PixelShuffle(step)]
    return Body(*layers)


class Carn(Cascade):
    """Entry, a cascade of cascades, one upsampler, exit."""

    def __init__(self, options: CarnOptions) -> None:
        super().__init__(options.channels)
        self.sub_mean, self.add_mean = CarnMeanShift(-1), CarnMeanShift(+1)
        self.entry = nn.Conv2d(3, options.channels, 3, padding=1)
        for stage in _CASCADE:
            self.add_module(f"b{stage}", LocalCascade(options))
        scales = {f"up{scale}": scale for scale in _STEPS} if options.multi_scale else {"up": options.scale}
        self.upsample = nn.ModuleDict({name: _upsampler(options, scale) for name, scale in scales.items()})
        self.chosen = f"up{options.scale}" if options.multi_scale else "up"
        self.exit = nn.Conv2d(options.channels, 3, 3, padding=1)

    def forward(self, lr: Tensor) -> Tensor:
        """RGB (N, 3, H, W) in the trained value range to (N, 3, scale*H, scale*W), not clipped."""
        shallow = self.entry(self.sub_mean(lr))
        features = self.cascade((self.get_submodule(f"b{stage}") for stage in _CASCADE), shallow)
        upscaled: Tensor = self.add_mean(self.exit(self.upsample[self.chosen](features)))
        return upscaled


def _read_options(state: StateDict) -> dict[str, Scalar]:
    channels = filters(state, "entry.weight")
    filters(state, "b1.b1.body.0.weight")
    per_group = int(state["b1.b1.body.0.weight"].shape[1])
    found: dict[str, Scalar] = {
        "channels": channels, "mobile": "b1.b1.body.4.weight" in state, "groups": max(channels // max(per_group, 1), 1),
        "multi_scale": "upsample.up.body.0.weight" not in state}
    if not found["multi_scale"]:
        wide = filters(state, "upsample.up.body.0.weight") == 9 * channels
        found["scale"] = 3 if wide else 4 if "upsample.up.body.3.weight" in state else 2
    return found


def _build(options: Mapping[str, Any]) -> nn.Module:
    return Carn(checked(CarnOptions, options))


def _describe(options: Mapping[str, Any]) -> ModelSpec:
    chosen = checked(CarnOptions, options)
    return ModelSpec(
        architecture="carn",
        options=asdict(chosen),
        scale=chosen.scale,
        value_range=VALUE_RANGE,
        halo_px=REACH_PX,
        # Measured: in the cascades, or in the upsampler's last stage, its input and output at full resolution.
        activation_bytes_per_px=4 * chosen.channels * max(14, 2 * chosen.scale**2 + 2),
    )


ARCHITECTURE = Architecture(
    name="carn",
    title="CARN and CARN-M (Ahn et al., ECCV 2018)",
    signature=Signature(required=("sub_mean.shifter.weight", "entry.weight", "b1.b1.body.0.weight",
                                  "b1.c1.body.0.weight", "c3.body.0.weight", "exit.weight")),
    read_options=_read_options,
    build=_build,
    describe=_describe,
    unknown_options=("scale",),
)
