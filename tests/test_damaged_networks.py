"""Checkpoints of SRVGGNetCompact, RRDBNet and SPAN whose numbers are damaged: refused at once."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from srn_deploy.architectures.checkpoint import load_checkpoint
from srn_deploy.errors import CheckpointError, OptionError
from tests.networks import saved, seeded
from tests.test_todays_networks import RRDBNET, SPAN, SRVGG, numbered


def damaged(name: str, options: dict[str, Any], changed: Mapping[str, Tensor | None]) -> dict[str, Tensor]:
    """The state of a network with some tensors replaced, added, or, for None, taken away."""
    state = {**seeded(name, options).state_dict(), **changed}
    return {key: value for key, value in state.items() if value is not None}


MANY = {f"conv_up{number}.weight": torch.zeros(1) for number in range(3, 5000)}
LONG = "9" * 5000


@pytest.mark.parametrize(("name", "options", "changed"), [
    ("rrdbnet", RRDBNET, MANY), ("rrdbnet", RRDBNET, {f"conv_up{LONG}.weight": torch.zeros(1)}),
    ("rrdbnet", RRDBNET, {"conv_first.weight": torch.zeros(8, 7, 3, 3)}),
    ("rrdbnet", RRDBNET, {"conv_first.weight": torch.zeros(8, 0, 3, 3)}),
    ("rrdbnet", RRDBNET, {"conv_first.weight": torch.zeros(3)}),
    ("rrdbnet", RRDBNET, {f"body.{LONG}.rdb1.conv1.weight": torch.zeros(1)}),
    ("srvgg", SRVGG, {f"body.{LONG}.weight": torch.zeros(12, 8, 3, 3), f"body.{LONG}.bias": torch.zeros(12)}),
    ("srvgg", SRVGG, {"body.0.weight": torch.zeros(8)}), ("srvgg", SRVGG, {"body.8.weight": None}),
    ("srvgg", SRVGG, {f"body.{number}.weight": torch.zeros(1) for number in range(0, 9, 2)}),
    ("span", SPAN, {"upsampler.0.weight": torch.zeros(5, 6, 3, 3)}),
    ("span", SPAN, {"conv_1.eval_conv.weight": torch.zeros(0, 3, 3, 3)})])
def test_a_checkpoint_with_damaged_numbers_is_refused_and_nothing_is_built_of_them(
        tmp_path: Path, name: str, options: dict[str, Any], changed: Mapping[str, Tensor | None]) -> None:
    with pytest.raises((CheckpointError, OptionError)) as caught:
        load_checkpoint(saved(tmp_path, damaged(name, options, changed)))
    assert caught.value.remedy


def test_an_esrgan_of_the_first_version_with_an_endless_number_is_refused(tmp_path: Path) -> None:
    state = numbered(seeded("rrdbnet", RRDBNET).state_dict(), 2, 2) | {f"model.{LONG}.weight": torch.zeros(3, 8, 3, 3)}
    with pytest.raises((CheckpointError, OptionError)):
        load_checkpoint(saved(tmp_path, state))
