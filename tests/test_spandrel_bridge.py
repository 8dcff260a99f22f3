"""A checkpoint that no network here fits is offered to spandrel; a package made up for the tests stands for it."""

from __future__ import annotations

import importlib.util
import logging
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

from srn_deploy.architectures import ARCHITECTURES
from srn_deploy.backends.onnx_runtime import read_spec
from srn_deploy.errors import (
    DamagedCheckpoint,
    MismatchedTensors,
    OptionError,
    SrnDeployError,
    UnknownNetwork,
    UnsafeCheckpoint,
    UnsuitableNetwork,
)
from srn_deploy.external import store, with_spec, worker
from srn_deploy.external.merged_weights import merge_once
from srn_deploy.external.spandrel_bridge import load_by_spandrel
from srn_deploy.external.spandrel_offer import is_offered
from srn_deploy.registry.resolve import ModelKind, ResolvedModel
from srn_deploy.spec import AS_RECOGNISED, Colour, Corrections
from srn_deploy.system.bounded_process import Ended
from srn_deploy.system.hashing import sha256_of_file
from tests.made_up_spandrel import Descriptor, Family, Net, Requirements, made_up, nearest_state

Describe = Callable[[nn.Module], Descriptor]


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    torch.save({"params": nearest_state()}, tmp_path / "odd.pth")
    return tmp_path / "odd.pth"


def stand_in(monkeypatch: pytest.MonkeyPatch, describe: Describe | None = None, **settings: int) -> None:
    """Have the made-up package imported instead of spandrel."""
    monkeypatch.setitem(sys.modules, "spandrel", made_up(describe, **settings))


def test_the_network_computes_what_spandrel_computes_and_says_where_it_comes_from(
        monkeypatch: pytest.MonkeyPatch, checkpoint: Path) -> None:
    stand_in(monkeypatch)
    loaded, sizes = load_by_spandrel(checkpoint, AS_RECOGNISED)
    spec = loaded.spec
    assert (spec.architecture, spec.origin, spec.scale, spec.value_range) == ("MadeUp", "spandrel: MadeUp", 2, 1.0)
    assert (sizes.min_side_px, sizes.size_multiple_px, spec.weights) == (1, 1, "params")
    network = Net()
    network.load_state_dict(nearest_state())
    image = torch.rand(1, 3, 7, 9)
    assert torch.equal(loaded.network(image), network(image))


def test_the_licence_is_left_to_the_user_to_ask_for(monkeypatch: pytest.MonkeyPatch, checkpoint: Path,
                                                    caplog: pytest.LogCaptureFixture) -> None:
    stand_in(monkeypatch)
    with caplog.at_level(logging.INFO):
        loaded, _ = load_by_spandrel(checkpoint, AS_RECOGNISED)
    assert "nothing about the licence of the weights" in caplog.text
    assert loaded.spec.licence == ""


@pytest.mark.parametrize(("requirements", "multiple", "expected"), [
    (Requirements(minimum=32, multiple_of=4), 1, (32, 4)),  # spandrel is stricter than the network
    (Requirements(), 4, (4, 4)),  # the network is
    (Requirements(minimum=10, multiple_of=6), 4, (12, 12)),
])
def test_sizes_are_those_that_both_spandrel_and_the_network_allow(
        monkeypatch: pytest.MonkeyPatch, checkpoint: Path, requirements: Requirements, multiple: int,
        expected: tuple[int, int]) -> None:
    stand_in(monkeypatch, lambda network: Descriptor(model=network, size_requirements=requirements), multiple=multiple)
    loaded, sizes = load_by_spandrel(checkpoint, AS_RECOGNISED)
    assert (sizes.min_side_px, sizes.size_multiple_px) == expected
    assert (loaded.spec.min_side_px, loaded.spec.size_multiple_px) == expected


def test_a_network_for_luma_takes_rgb(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    torch.save(nearest_state(1), tmp_path / "luma.pth")
    stand_in(monkeypatch, lambda network: Descriptor(model=network, input_channels=1, output_channels=1), channels=1)
    loaded, _ = load_by_spandrel(tmp_path / "luma.pth", AS_RECOGNISED)
    assert (loaded.spec.colour, tuple(loaded.network(torch.rand(1, 3, 8, 8)).shape)) == (Colour.Y, (1, 3, 16, 16))


def test_of_several_results_the_first_is_the_image(monkeypatch: pytest.MonkeyPatch, checkpoint: Path) -> None:
    stand_in(monkeypatch, outputs=2)
    loaded, _ = load_by_spandrel(checkpoint, AS_RECOGNISED)
    assert tuple(loaded.network(torch.rand(1, 3, 8, 8)).shape) == (1, 3, 16, 16)


@pytest.mark.parametrize(("describe", "words"), [
    (lambda network: Descriptor(model=network, purpose="Inpainting"), "takes two inputs"),
    (lambda network: Descriptor(model=network, input_channels=4, output_channels=3), "takes 4 channels and returns 3"),
    (lambda network: Descriptor(model=network, size_requirements=Requirements(square=True)), "square images alone"),
    (lambda network: Descriptor(model=network, scale=4), "enlarges by 2, not by 4"),
    (lambda network: Descriptor(model=network, offset=0.1), "spandrel does more"),
])
def test_what_is_no_enlargement_of_any_image_is_refused(monkeypatch: pytest.MonkeyPatch, checkpoint: Path,
                                                        describe: Describe, words: str) -> None:
    stand_in(monkeypatch, describe)
    with pytest.raises(UnsuitableNetwork, match=words):
        load_by_spandrel(checkpoint, AS_RECOGNISED)


def test_weights_that_do_not_fit_are_an_error_that_names_the_other_way(monkeypatch: pytest.MonkeyPatch,
                                                                       tmp_path: Path) -> None:
    torch.save({**nearest_state(), "surplus.weight": torch.zeros(2, 2)}, tmp_path / "misfit.pth")
    stand_in(monkeypatch)
    with pytest.raises(MismatchedTensors, match=r"(?s)surplus.*--network FILE\.py:CLASS"):
        load_by_spandrel(tmp_path / "misfit.pth", AS_RECOGNISED)


def test_what_spandrel_does_not_know_is_told_as_without_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    torch.save({"strange.weight": torch.zeros(2, 2, 3, 3)}, tmp_path / "strange.pth")
    stand_in(monkeypatch)
    with pytest.raises(UnknownNetwork, match=r"(?s)strange\.weight.*spandrel .* does not know it either"):
        load_by_spandrel(tmp_path / "strange.pth", AS_RECOGNISED)


def test_nothing_in_the_file_is_executed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[object, ...]:
            return Path.touch, (tmp_path / "executed",)

    torch.save({**nearest_state(), "trap": Trap()}, tmp_path / "trap.pth")
    stand_in(monkeypatch)
    with pytest.raises(UnsafeCheckpoint):
        load_by_spandrel(tmp_path / "trap.pth", AS_RECOGNISED)
    assert not (tmp_path / "executed").exists()


def test_weights_in_half_precision_are_read_as_float32(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    torch.save({key: tensor.half() for key, tensor in nearest_state().items()}, tmp_path / "half.pth")
    stand_in(monkeypatch)
    loaded, _ = load_by_spandrel(tmp_path / "half.pth", AS_RECOGNISED)
    assert {tensor.dtype for tensor in loaded.network.state_dict().values()} == {torch.float32}


def test_keys_that_all_begin_alike_are_offered_without_that(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    torch.save({"state_dict": {f"generator.{key}": tensor for key, tensor in nearest_state().items()}},
               tmp_path / "prefixed.pth")
    stand_in(monkeypatch)
    assert load_by_spandrel(tmp_path / "prefixed.pth", AS_RECOGNISED)[0].spec.architecture == "MadeUp"


def test_the_weights_that_are_asked_for_are_taken(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    other = {key: tensor * 2 for key, tensor in nearest_state().items()}
    torch.save({"params": nearest_state(), "params_ema": other}, tmp_path / "two.pth")
    stand_in(monkeypatch)
    taken = {name: load_by_spandrel(tmp_path / "two.pth", Corrections(weights=name))[0].network.state_dict()
             for name in (None, "params", "params_ema")}
    assert torch.equal(taken[None]["network.odd_name.weight"], other["odd_name.weight"])  # averaged ones come first
    assert torch.equal(taken["params"]["network.odd_name.weight"], nearest_state()["odd_name.weight"])
    with pytest.raises(OptionError, match=r"no weights called 'nosuch'"):
        load_by_spandrel(tmp_path / "two.pth", Corrections(weights="nosuch"))


def test_a_range_that_trying_does_not_confirm_is_a_warning(monkeypatch: pytest.MonkeyPatch, checkpoint: Path,
                                                           caplog: pytest.LogCaptureFixture) -> None:
    stand_in(monkeypatch)
    loaded, _ = load_by_spandrel(checkpoint, AS_RECOGNISED)
    assert "value range 1 as spandrel says, but trying does not confirm it" in caplog.text
    assert loaded.spec.recognised.startswith("not confirmed by trying")


def test_the_range_that_the_user_gives_holds(monkeypatch: pytest.MonkeyPatch, checkpoint: Path) -> None:
    stand_in(monkeypatch)
    loaded, _ = load_by_spandrel(checkpoint, Corrections(value_range=255.0, trust=True))
    assert (loaded.spec.value_range, loaded.spec.recognised) == (255.0, "")


def test_settings_are_refused_because_spandrel_finds_them(monkeypatch: pytest.MonkeyPatch, checkpoint: Path) -> None:
    stand_in(monkeypatch)
    with pytest.raises(OptionError, match="spandrel finds the settings"):
        load_by_spandrel(checkpoint, Corrections(options={"width": 4}))


def test_a_spandrel_that_cannot_be_imported_is_an_error_with_its_reason(monkeypatch: pytest.MonkeyPatch, tmp_path: Path,
                                                                        checkpoint: Path) -> None:
    (tmp_path / "spandrel.py").write_text("raise RuntimeError('operator torchvision::nms does not exist')\n")
    monkeypatch.delitem(sys.modules, "spandrel", raising=False)
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(OptionError, match=r"(?s)torchvision::nms does not exist.*same build"):
        load_by_spandrel(checkpoint, AS_RECOGNISED)


def test_a_name_that_cannot_be_printed_is_made_printable(monkeypatch: pytest.MonkeyPatch, checkpoint: Path) -> None:
    stand_in(monkeypatch, lambda network: Descriptor(model=network, architecture=Family(name="A\nB")))
    assert load_by_spandrel(checkpoint, AS_RECOGNISED)[0].spec.architecture == "A?B"


def test_a_file_that_is_cut_off_is_damaged_as_everywhere(monkeypatch: pytest.MonkeyPatch, checkpoint: Path) -> None:
    stand_in(monkeypatch)
    checkpoint.write_bytes(checkpoint.read_bytes()[:400])
    with pytest.raises(DamagedCheckpoint) as raised:
        load_by_spandrel(checkpoint, AS_RECOGNISED)
    assert isinstance(raised.value, SrnDeployError)


def test_weights_that_a_network_merges_in_every_pass_are_merged_once() -> None:
    class Merging(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.branch, self.eval_conv = nn.Conv2d(3, 3, 1), nn.Conv2d(3, 3, 1)
            self.merges = 0

        def update_params(self) -> None:
            self.merges += 1
            self.eval_conv.load_state_dict(self.branch.state_dict())

        def forward(self, image: torch.Tensor) -> torch.Tensor:
            self.update_params()
            merged: torch.Tensor = self.eval_conv(image)
            return merged

    layer = Merging().requires_grad_(False)
    network, image = nn.Sequential(layer), torch.rand(1, 3, 4, 4)
    expected = layer.branch(image)
    assert merge_once(network) == 1
    assert torch.equal(network(image), expected)
    assert layer.merges == 1


# The whole road, once

def test_a_checkpoint_becomes_a_graph_that_says_where_it_comes_from(
        monkeypatch: pytest.MonkeyPatch, tmp_path: Path, checkpoint: Path) -> None:
    def in_this_process(module: str, request: bytes, **bounds: object) -> Ended:
        with monkeypatch.context() as patched:
            stand_in(patched)
            return Ended(output=worker.answer(request))

    (tmp_path / "spandrel.py").write_text("", encoding="utf-8")  # it is found, but only the other process imports it
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("SRN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(store, "run_bounded", in_this_process)
    made = with_spec(ResolvedModel(path=checkpoint, kind=ModelKind.CHECKPOINT))
    spec = read_spec(made.path)
    assert (spec.architecture, spec.origin, spec.halo_px) == ("MadeUp", "spandrel: MadeUp", 1)
    assert spec.source_sha256 == sha256_of_file(checkpoint)


# Which files are offered

def offered(path: Path, **corrections: object) -> bool:
    return is_offered(ResolvedModel(path=path, kind=ModelKind.CHECKPOINT,
                                    corrections=Corrections(**corrections)))  # type: ignore[arg-type]


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A spandrel that is found, and must not be imported to find out what is offered to it."""
    folder = tmp_path / "installed"
    folder.mkdir()
    (folder / "spandrel.py").write_text("raise AssertionError\n", encoding="utf-8")
    monkeypatch.delitem(sys.modules, "spandrel", raising=False)
    monkeypatch.syspath_prepend(str(folder))


@pytest.mark.usefixtures("installed")
def test_a_checkpoint_that_no_network_here_fits_is_offered(checkpoint: Path) -> None:
    assert offered(checkpoint)


@pytest.mark.usefixtures("installed")
def test_a_checkpoint_of_a_network_that_is_built_in_is_not_offered(tmp_path: Path) -> None:
    torch.save(ARCHITECTURES["srcnn"].build(dict(ARCHITECTURES["srcnn"].describe({"scale": 2}).options)).state_dict(),
               tmp_path / "ours.pth")
    assert not offered(tmp_path / "ours.pth")


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize("corrections", [{"network": "net.py:Net"}, {"options": {"width": 4}}])
def test_a_checkpoint_about_which_the_user_says_more_is_not_offered(checkpoint: Path,
                                                                    corrections: dict[str, object]) -> None:
    assert not offered(checkpoint, **corrections)


@pytest.mark.usefixtures("installed")
def test_a_damaged_file_is_not_offered(checkpoint: Path) -> None:
    checkpoint.write_bytes(checkpoint.read_bytes()[:400])
    assert not offered(checkpoint)


def test_without_spandrel_nothing_is_offered(checkpoint: Path) -> None:
    if importlib.util.find_spec("spandrel") is not None:
        pytest.skip("spandrel is installed here")
    assert not offered(checkpoint)
