"""EFDN, FMEN, BSRN and SPANV2: recognised in their published forms, counted, tiled and built as what they are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks.inputs import RECORDS
from srn_deploy.architectures import ARCHITECTURES
from srn_deploy.architectures.checkpoint import load_checkpoint
from srn_deploy.architectures.complexity import count
from srn_deploy.backends.pytorch import PyTorchBackend
from srn_deploy.benchmark.records import Record
from srn_deploy.errors import OptionError
from srn_deploy.registry.published import published_models
from srn_deploy.tiling.windows import TileOptions
from tests.networks import large_picture, outputs, reach_px, saved, seeded, seeded_network
from tests.test_peer_tiling import ONE_LEVEL, picture_of_several_tiles, worst_difference

EFDN: dict[str, Any] = {"scale": 2, "channels": 8, "distilled_channels": 4, "esa_channels": 4,
                        "image_residual": "none"}
FMEN: dict[str, Any] = {"scale": 2, "channels": 8, "blocks": 2, "attention_channels": 4, "attention_pairs": 1,
                        "first_attention_channels": 3, "first_attention_pairs": 2, "negative_slope": 0.1,
                        "image_residual": "none"}
BSRN: dict[str, Any] = {"scale": 2, "channels": 8, "distilled_channels": 4, "blocks": 2, "esa_channels": 4,
                        "squeezed_channels": 2, "variant": "paper", "image_residual": "none"}
BSRN_S = BSRN | {"variant": "challenge", "squeezed_channels": 4}
SPANV2: dict[str, Any] = {"scale": 2, "channels": 8, "blocks": 3}

VARIED = [
    ("efdn", EFDN), ("efdn", EFDN | {"scale": 4, "distilled_channels": 3, "esa_channels": 2}),
    ("fmen", FMEN), ("fmen", FMEN | {"scale": 3, "blocks": 11, "attention_pairs": 2, "first_attention_pairs": 1}),
    ("bsrn", BSRN), ("bsrn", BSRN | {"scale": 4, "blocks": 1, "esa_channels": 3, "squeezed_channels": 1}),
    ("bsrn", BSRN_S), ("bsrn", BSRN_S | {"scale": 3, "distilled_channels": 3, "blocks": 3}),
    ("spanv2", SPANV2), ("spanv2", SPANV2 | {"scale": 4, "channels": 12, "blocks": 10}),
]
"""What keys and shapes show is varied; what they do not has its default."""


@pytest.fixture(autouse=True)
def quick(one_thread: None) -> None:
    """Tiny networks."""


@pytest.mark.parametrize(("name", "options"), VARIED)
def test_a_saved_network_comes_back_with_its_options_and_computes_the_same(
        tmp_path: Path, name: str, options: dict[str, Any]) -> None:
    network = seeded(name, options)
    loaded = load_checkpoint(saved(tmp_path, network.state_dict()))
    assert (loaded.spec.architecture, dict(loaded.spec.options)) == (name, options)
    found, expected = outputs(loaded.network, network, height=19, width=23)
    assert torch.equal(found, expected)
    assert found.shape == (1, 3, 19 * options["scale"], 23 * options["scale"])


@pytest.mark.parametrize(("name", "options"), VARIED)
def test_signatures_exclude_each_other(name: str, options: dict[str, Any]) -> None:
    keys = seeded(name, options).state_dict().keys()
    assert [family.name for family in ARCHITECTURES.values() if family.recognises(keys)] == [name]


def test_an_fmen_in_the_names_of_its_authors_is_the_same_network(tmp_path: Path) -> None:
    network = seeded("fmen", FMEN)
    state = {key.replace("basic_blocks", "ERBs").replace("hfabs", "HFABs"): value
             for key, value in network.state_dict().items()}
    assert {"ERBs.1.conv2.rep_conv.bias", "HFABs.0.squeeze.weight"} < state.keys()
    loaded = load_checkpoint(saved(tmp_path, state))
    assert dict(loaded.spec.options) == FMEN
    assert torch.equal(*outputs(loaded.network, network))


def test_a_bsrn_s_whose_pointwise_parts_are_matrices_is_the_same_network(tmp_path: Path) -> None:
    network = seeded("bsrn", BSRN_S)
    state = {key: value[:, :, 0, 0] if value.dim() == 4 and value.shape[2:] == (1, 1) else value
             for key, value in network.state_dict().items()}
    assert state["B1.c5.weight"].dim() == 2
    loaded = load_checkpoint(saved(tmp_path, state))
    assert dict(loaded.spec.options) == BSRN_S
    assert torch.equal(*outputs(loaded.network, network))


@pytest.mark.parametrize(("name", "options", "parameters"), [
    ("efdn", {}, 276_192), ("efdn", {"scale": 2}, 260_604), ("fmen", {}, 341_066),
    ("bsrn", {}, 352_400), ("bsrn", {"scale": 2}, 331_628), ("bsrn", {"scale": 3}, 340_283),
    ("bsrn", {"variant": "challenge", "channels": 48, "distilled_channels": 24, "blocks": 5, "esa_channels": 12},
     156_288), ("spanv2", {}, 139_104)])
def test_the_published_networks_have_as_many_parameters(name: str, options: dict[str, Any], parameters: int) -> None:
    with torch.device("meta"):
        network = ARCHITECTURES[name].build(options)
    assert sum(p.numel() for p in network.parameters()) == parameters


def test_spanv2_costs_what_its_challenge_counts_to_two_digits() -> None:
    # 9.12 G: the challenge's report; activations cost one for each element here, and 18 of the 22 convolutions there
    # are ordinary ones, the other four the gates.
    assert count(ARCHITECTURES["spanv2"].build({})).flops / 1e9 == pytest.approx(9.12, abs=0.05)


@pytest.mark.parametrize(("name", "options"), [("efdn", EFDN | {"channels": 0}), ("fmen", FMEN | {"blocks": 0}),
                                               ("bsrn", BSRN | {"esa_channels": 0}), ("spanv2", {"channels": 3}),
                                               ("bsrn", BSRN | {"variant": "s"})])
def test_options_that_cannot_work_are_refused(name: str, options: dict[str, Any]) -> None:
    with pytest.raises(OptionError):
        ARCHITECTURES[name].build(options)


@pytest.mark.parametrize(("name", "options"), [
    ("efdn", {"channels": 16, "distilled_channels": 8, "esa_channels": 8}),
    *(("bsrn", {"channels": 16, "distilled_channels": 8, "esa_channels": 8, "blocks": blocks, "variant": "challenge"})
      for blocks in (1, 4))])
def test_tiles_with_attention_are_within_one_level_of_the_whole(name: str, options: dict[str, Any]) -> None:
    loaded = seeded_network(name, scale=2, **options)
    assert worst_difference(PyTorchBackend(loaded), picture_of_several_tiles(loaded), TileOptions(tile=48)) < ONE_LEVEL


@pytest.mark.parametrize(("name", "options"), [("fmen", FMEN), ("spanv2", SPANV2 | {"blocks": 2})])
def test_without_such_attention_tiles_equal_the_whole_up_to_rounding(name: str, options: dict[str, Any]) -> None:
    backend = PyTorchBackend(seeded_network(name, **options))
    # The halo is the whole receptive field: only the order of float32 sums differs with the shape.
    assert worst_difference(backend, large_picture(150, 161), TileOptions(tile=48)) < 1e-5


@pytest.mark.parametrize(("name", "options"), [("fmen", FMEN), ("spanv2", SPANV2)])
def test_the_halo_is_the_receptive_field(name: str, options: dict[str, Any]) -> None:
    halo_px = ARCHITECTURES[name].describe(options).halo_px
    assert reach_px(seeded(name, options), options["scale"]) == halo_px


def test_the_papers_bsrn_looks_at_the_whole_image_and_bsrn_s_does_not() -> None:
    assert ARCHITECTURES["bsrn"].describe(BSRN).pools_whole_picture
    assert not ARCHITECTURES["bsrn"].describe(BSRN_S).pools_whole_picture


OF_AUTHORS = {
    # What their own code gives, on Y of Set5 at x4 (reference/ntire2022.json of the real data).
    "efdn-x4": ("Set5", 32.0796), "fmen-x4": ("Set5", 32.0330), "bsrn-s-x4": ("Set5", 32.0120),
    # Table 2 of the paper.
    "bsrn-x4": ("Set5", 32.35),
    # What its authors' own code gives, run on a CPU (models/team38_SPAN.py of its repository at 4dcc654).
    "span-ntire-x4": ("Set5", 31.7459),
    # As that, in the form without its own kernel (models/team22_SPANV2_ESR.py, use_span_attn=False, at 4592ce6).
    "spanv2-x4": ("Set5", 31.7702),
}
"""Model of the catalogue to a test set and PSNR in dB."""


@pytest.mark.parametrize("name", OF_AUTHORS)
def test_a_published_file_scores_what_its_authors_tell_within_a_hundredth(name: str) -> None:
    model, (test_set, psnr_db) = published_models()[name], OF_AUTHORS[name]
    (record,) = [record for path in RECORDS.glob("eval-*.json") if (record := Record.load(path)).results["set"] ==
                 test_set and record.results["spec"]["source_sha256"] == model.sha256]
    assert record.results["psnr_db"] == pytest.approx(psnr_db, abs=0.01)
