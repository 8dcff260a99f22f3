"""DIPNet (Yu et al., CVPRW 2023), called MegSR in the paper's Table 5: the fastest entry of NTIRE 2023.

The published checkpoint is the pruned and folded network: an RLFN with narrower blocks and no biases outside ESA. Its
keys are those of RLFN; only the missing biases distinguish the two.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import nn

from srn_deploy.architectures.options import checked
from srn_deploy.architectures.rlfn import RLFN_OPEN_OPTIONS, Rlfn, RlfnOptions, read_rlfn_options, rlfn_spec
from srn_deploy.architectures.signature import Architecture, Signature
from srn_deploy.spec import ModelSpec

VALUE_RANGE = 1.0
"""The authors' test program gives their networks a data range of 1."""


@dataclass(frozen=True, kw_only=True)
class DipnetOptions(RlfnOptions):
    """RLFN's hyper-parameters; the defaults are those of the published checkpoint."""

    channels: int = 44
    mid_channels: int = 38
    blocks: int = 4


def _build(options: Mapping[str, Any]) -> nn.Module:
    return Rlfn(checked(DipnetOptions, options), bias=False)


def _describe(options: Mapping[str, Any]) -> ModelSpec:
    return rlfn_spec("dipnet", checked(DipnetOptions, options), value_range=VALUE_RANGE)


ARCHITECTURE = Architecture(
    name="dipnet",
    title="DIPNet (Yu et al., CVPRW 2023), Table 5's MegSR",
    signature=Signature(required=("conv_1.weight", "block_1.c1_r.weight", "block_1.esa.conv1.weight", "conv_2.weight",
                                  "upsampler.0.weight"), forbidden=("conv_1.bias",)),
    read_options=read_rlfn_options,
    build=_build,
    describe=_describe,
    open_options=RLFN_OPEN_OPTIONS,
)
