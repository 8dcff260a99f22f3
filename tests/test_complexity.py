"""Parameters, FLOPs, activations and convolutions equal the paper's to the digit."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from srn_deploy.architectures import ARCHITECTURES
from srn_deploy.architectures.complexity import Complexity, count


def srn(**options: Any) -> nn.Module:
    return ARCHITECTURES["srn"].build(options)


def test_the_challenge_model_costs_what_table_5_says() -> None:
    assert count(srn(blocks=4)) == Complexity(
        parameters=351_984, flops=21_970_323_456, activations=63_005_824, convolutions=26)


@pytest.mark.parametrize(("options", "parameters"), [
    ({"scale": 4}, 513_232), ({"scale": 2}, 492_460),
    ({"scale": 4, "last_conv": True}, 550_160), ({"scale": 2, "last_conv": True}, 529_388),
])
def test_six_blocks_have_as_many_parameters_as_table_1_says(options: dict[str, Any], parameters: int) -> None:
    assert count(srn(**options)).parameters == parameters


@pytest.mark.parametrize(("name", "options"), [
    ("srn_team25", {"blocks": 4}),
    ("paper_SRN-S_6NRB_x2", {"scale": 2}), ("paper_SRN_6NRB_x2", {"scale": 2, "last_conv": True}),
    ("paper_SRN-S_6NRB_x4", {}), ("paper_SRN_6NRB_x4", {"last_conv": True}),
])
def test_every_count_equals_that_of_the_challenge_tool(data: Path, name: str, options: dict[str, Any]) -> None:
    numbers = json.loads((data / "reference" / "reference_numbers.json").read_text())["complexity_256x256"][name]
    expected = {"parameters": "params", "flops": "flops", "activations": "activations", "convolutions": "num_conv"}
    assert asdict(count(srn(**options))) == {ours: numbers[theirs] for ours, theirs in expected.items()}


def test_counts_follow_the_size_of_the_input() -> None:
    network = nn.Sequential(nn.Conv2d(4, 6, 3, padding=1, groups=2), nn.ReLU(), nn.Conv2d(6, 2, 1, stride=2))
    found = count(network, height=8, width=10, channels=4)
    grouped, strided = 6 * 8 * 10, 2 * 4 * 5
    assert found == Complexity(parameters=6 * 2 * 9 + 6 + 2 * 6 + 2, activations=grouped + strided, convolutions=2,
                               flops=9 * 2 * grouped + grouped + 6 * strided)


def test_counting_does_not_change_the_network() -> None:
    network = srn(channels=4, blocks=1, esa_channels=2)
    before = {key: value.clone() for key, value in network.state_dict().items()}
    count(network)
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())
    assert not any(module._forward_hooks for module in network.modules())
