"""What a training program saves beside a network's weights is left out and named; what may be a layer is not."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
import torch

from srn_deploy.errors import MismatchedTensors
from tests.test_checkpoint_damage import tiny_state
from tests.test_weight_sets import is_taken, load


@pytest.mark.parametrize("name", ["criterion.vgg.0.weight", "loss_fn.weight", "netD.conv.weight"])
@pytest.mark.parametrize("key", [None, "state_dict"])
def test_losses_and_discriminators_beside_weights_without_a_prefix_are_left_out_and_named(
        tmp_path: Path, caplog: pytest.LogCaptureFixture, name: str, key: str | None) -> None:
    caplog.set_level(logging.INFO)
    state = {**tiny_state(), name: torch.ones(3)}
    assert is_taken(load(tmp_path, state if key is None else {key: state}), tiny_state())
    assert f"left out beside the weights: {name}." in caplog.text


def test_a_layer_that_may_belong_to_the_network_is_not_left_out(tmp_path: Path) -> None:
    with pytest.raises(MismatchedTensors, match="left over: refine"):
        load(tmp_path, {**tiny_state(), "refine.0.weight": torch.ones(3)})
