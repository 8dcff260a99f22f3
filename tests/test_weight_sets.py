"""Which of the weights in a checkpoint are taken, whatever is around them, and what is said about the others."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from torch import Tensor, nn

from srn_deploy.architectures import ARCHITECTURES
from srn_deploy.architectures.checkpoint import LoadedNetwork, load_checkpoint, save_checkpoint
from srn_deploy.errors import MismatchedTensors, OptionError, UnknownNetwork
from srn_deploy.spec import Corrections, ModelSpec
from tests.test_checkpoint_damage import TINY, tiny_state

State = dict[str, Tensor]


def shifted(state: Mapping[str, Tensor], by: float = 1.0) -> State:
    """Weights of the same network that are not these."""
    return {key: value + by for key, value in state.items()}


def prefixed(prefix: str, state: Mapping[str, Tensor]) -> State:
    return {prefix + key: value for key, value in state.items()}


def load(folder: Path, found: object, weights: str | None = None) -> LoadedNetwork:
    torch.save(found, folder / "file.pth")
    return load_checkpoint(folder / "file.pth", Corrections(weights=weights))


def is_taken(loaded: LoadedNetwork, state: Mapping[str, Tensor]) -> bool:
    return all(torch.equal(value, state[key]) for key, value in loaded.network.state_dict().items())


NAMES = ("netG", "net_g", "G", "g", "generator", "generator_state_dict", "student", "weights", "model_dict", "anything",
         "sr")
PREFIXES = ("netG.", "net_g.", "G.", "sr_model.", "student.", "module.netG.", "ema_model.module.", "_orig_mod.",
            "module._orig_mod.model.net.", "a.b.c.d.")


@pytest.mark.parametrize("name", NAMES)
def test_weights_are_found_under_any_name(tmp_path: Path, name: str) -> None:
    assert is_taken(load(tmp_path, {"epoch": 1, name: tiny_state()}), tiny_state())


@pytest.mark.parametrize("prefix", PREFIXES)
def test_weights_are_found_under_any_prefix(tmp_path: Path, prefix: str) -> None:
    assert is_taken(load(tmp_path, prefixed(prefix, tiny_state())), tiny_state())


def averaged_model(raw: State, averaged: State) -> State:
    """What torch.optim.swa_utils.AveragedModel saves, next to the weights of the training."""
    del raw
    return {"n_averaged": torch.tensor(3), **prefixed("module.", averaged)}


TWO: dict[str, Callable[[State, State], object]] = {
    **{name: lambda raw, averaged, name=name: {"epoch": 3, "model": raw, name: averaged}  # type: ignore[misc]
       for name in ("model_ema", "ema_model", "state_dict_ema", "ema_state_dict", "ema", "EMA", "netG_ema",
                    "averaged_model", "swa_state_dict", "modelEMA")},
    "params_ema": lambda raw, averaged: {"params": raw, "params_ema": averaged},
    "ema.state_dict": lambda raw, averaged: {"model": raw, "ema": {"state_dict": averaged, "decay": 0.999}},
    "model_ema.module": lambda raw, averaged: {"model": raw, "model_ema": prefixed("module.", averaged)},
    "state_dict.ema_model": lambda raw, averaged: {
        "state_dict": {**prefixed("model.", raw), **prefixed("ema_model.", averaged)}},
    "swa.module": lambda raw, averaged: {"model": raw, "swa": averaged_model(raw, averaged)},
    "average.module": lambda raw, averaged: {"model": raw, "average": averaged_model(raw, averaged)},
    "ema.ema_model": lambda raw, averaged: {"ema": {
        "initted": torch.tensor(True), "step": torch.tensor(7), **prefixed("online_model.", raw),
        **prefixed("ema_model.", averaged)}},
    "ema.shadow_params": lambda raw, averaged: {
        "model": raw, "ema": {"decay": 0.999, "num_updates": 3, "shadow_params": list(averaged.values())}},
    "state_dict.model_ema": lambda raw, averaged: {"state_dict": {
        **prefixed("model.", raw), "model_ema.decay": torch.tensor(0.999), "model_ema.num_updates": torch.tensor(3),
        **{"model_ema." + key.replace(".", ""): value for key, value in averaged.items()}}},
    "ema": lambda raw, averaged: {**raw, **prefixed("ema.", averaged)},
    "callbacks.EMA.ema_state_dict": lambda raw, averaged: {
        "state_dict": prefixed("model.", raw), "callbacks": {"EMA": {"ema_state_dict": averaged}}},
    "state_dict.": lambda raw, averaged: {"state_dict": averaged, "current_model_state": raw},
    "state_dict": lambda raw, averaged: {"state_dict": averaged, "ema_state_dict": raw, "message_hub": {}},
}


@pytest.mark.parametrize("name", TWO)
def test_averaged_weights_are_taken_first_and_the_choice_is_reported(
        tmp_path: Path, caplog: pytest.LogCaptureFixture, name: str) -> None:
    caplog.set_level(logging.INFO, "srn_deploy")
    loaded = load(tmp_path, TWO[name](shifted(tiny_state()), tiny_state()))
    assert is_taken(loaded, tiny_state())
    taken = name.rstrip(".")
    assert loaded.weights.startswith(f"{taken} (of 2 sets: {taken}, ")
    assert f"weights: {loaded.weights}" in caplog.text


@pytest.mark.parametrize("name", ["module", "n"])
def test_an_averaged_model_of_torch_counts_as_averaged_whatever_it_is_called(tmp_path: Path, name: str) -> None:
    raw = shifted(tiny_state())
    loaded = load(tmp_path, {"model": raw, name: averaged_model(raw, tiny_state())})
    assert is_taken(loaded, tiny_state())


@pytest.mark.parametrize(("name", "is_raw"), [("params", True), ("params_ema", False)])
def test_the_weights_that_are_asked_for_are_taken(tmp_path: Path, name: str, *, is_raw: bool) -> None:
    raw = shifted(tiny_state())
    loaded = load(tmp_path, {"params": raw, "params_ema": tiny_state()}, name)
    assert is_taken(loaded, raw if is_raw else tiny_state())
    assert loaded.spec.weights == name
    assert ModelSpec.from_json(loaded.spec.to_json()) == loaded.spec


def test_a_name_may_be_given_without_its_prefixes(tmp_path: Path) -> None:
    found = {"model": shifted(tiny_state()), "ema": prefixed("module.", tiny_state())}
    assert load(tmp_path, found, "ema").spec.weights == "ema.module"


def test_a_wrong_name_lists_what_is_there(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="no weights called 'ema'") as caught:
        load(tmp_path, {"params": shifted(tiny_state()), "params_ema": tiny_state()}, "ema")
    assert "params_ema, params" in caught.value.remedy


@pytest.mark.parametrize("with_spec", [False, True])
def test_a_name_for_a_file_of_one_set_without_one_is_refused(tmp_path: Path, *, with_spec: bool) -> None:
    path = tmp_path / "file.safetensors"
    network = ARCHITECTURES["srn"].build(TINY)
    if with_spec:
        save_checkpoint(path, network, architecture="srn", options=TINY, value_range=1.0)
    else:
        safetensors.torch.save_file(network.state_dict(), path)
    with pytest.raises(OptionError, match="no weights called 'ema'") as caught:
        load_checkpoint(path, Corrections(weights="ema"))
    assert "leave --weights out" in caught.value.remedy


def test_weights_that_are_asked_for_and_do_not_fit_are_refused_for_their_reason(tmp_path: Path) -> None:
    broken = {key: value for key, value in tiny_state().items() if key != "tail.bias"}
    with pytest.raises(MismatchedTensors, match=r"`params`.* does not fit.*missing: tail\.bias"):
        load(tmp_path, {"params": broken, "params_ema": tiny_state()}, "params")


def test_an_empty_mapping_hides_nothing(tmp_path: Path) -> None:
    assert is_taken(load(tmp_path, {"ema": {}, "model": tiny_state()}), tiny_state())


@pytest.mark.parametrize("first", ["ema", "model"])
def test_averaged_weights_that_no_network_fits_do_not_hide_whole_ones(tmp_path: Path, first: str) -> None:
    broken = {key: value for key, value in tiny_state().items() if key != "tail.bias"}
    found = {"ema": broken, "model": tiny_state()}
    assert is_taken(load(tmp_path, {first: found[first], **found}), tiny_state())


def test_tensors_of_other_parts_are_told_with_their_number(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "srn_deploy")
    moments = {"state": {0: {"exp_avg": torch.zeros(2), "exp_avg_sq": torch.zeros(2)}}}
    load(tmp_path, {"netG": prefixed("module.", tiny_state()), "netD": discriminator_state(), "optimizer": moments})
    assert "left out beside the weights: netD (4 tensors), optimizer (2 tensors)." in caplog.text


def test_a_tensor_beside_a_prefix_is_left_out_and_reported(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    loaded = load(tmp_path, {**prefixed("module.", tiny_state()), "stray.weight": torch.zeros(3)})
    assert is_taken(loaded, tiny_state())
    (told,) = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert "under `module`" in told
    assert "1 are left out: stray.weight" in told


def test_counters_of_programs_are_no_layers(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    counted = {"step": torch.tensor(7), "head.total_ops": torch.zeros(1), "total_params": torch.zeros(1)}
    assert is_taken(load(tmp_path, {**tiny_state(), **counted}), tiny_state())
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


def teacher_state() -> State:
    return dict(ARCHITECTURES["edsr"].build({"scale": 2, "channels": 4, "blocks": 1}).state_dict())


def discriminator_state() -> State:
    return dict(nn.Sequential(nn.Conv2d(3, 4, 3), nn.Conv2d(4, 1, 3)).state_dict())


@pytest.mark.parametrize("found", [
    {"teacher": teacher_state(), "student": tiny_state()},
    {"teacher_ema": teacher_state(), "student": tiny_state()},
    {"netD": discriminator_state(), "netG": tiny_state()},
    {**prefixed("discriminator.", discriminator_state()), **prefixed("generator.", tiny_state())},
    {"model": tiny_state(), "best": shifted(tiny_state())},
    {"state_dict": {**prefixed("teacher.", teacher_state()), **prefixed("model.", tiny_state())}},
], ids=range(6))
def test_the_network_that_is_trained_is_taken_among_others(tmp_path: Path, found: object) -> None:
    assert is_taken(load(tmp_path, found), tiny_state())


@pytest.mark.parametrize("found", [
    {"first": tiny_state(), "second": shifted(tiny_state())},
    {"first": tiny_state(), "second": teacher_state()},
    {"ema_0.999": tiny_state(), "ema_0.9999": shifted(tiny_state()), "model": shifted(tiny_state(), 2)},
], ids=range(3))
def test_nothing_is_guessed_between_sets_that_no_name_tells_apart(tmp_path: Path, found: dict[str, State]) -> None:
    with pytest.raises(OptionError, match="2 sets of weights, and nothing says which") as caught:
        load(tmp_path, found)
    first, second, *_ = found
    assert f"--weights {first}" in caught.value.remedy
    chosen = load(tmp_path, found, second)
    assert chosen.spec.weights == second


def test_the_same_weights_under_two_names_need_no_choice(tmp_path: Path) -> None:
    assert is_taken(load(tmp_path, {"first": tiny_state(), "second": tiny_state()}), tiny_state())


def test_what_does_not_fit_is_reported_with_its_place_and_how_near_it_is(tmp_path: Path) -> None:
    whole = prefixed("module.", tiny_state())
    del whole["module.tail.bias"]
    count = len(tiny_state())
    said = rf"`module`, looks like SRN .* not fit: {count - 1} of the {count} tensors .* there\. missing: tail\.bias"
    with pytest.raises(MismatchedTensors, match=said):
        load(tmp_path, {**whole, "stray": torch.zeros(3)})


def test_an_unknown_network_is_reported_with_its_place(tmp_path: Path) -> None:
    with pytest.raises(UnknownNetwork, match=r"under `netD`: No known network has these 4 tensors.*netD \(4 tensors\)"):
        load(tmp_path, {"netD": discriminator_state(), "epoch": 3})


def test_a_safetensors_file_has_sets_by_prefix(tmp_path: Path) -> None:
    path = tmp_path / "file.safetensors"
    safetensors.torch.save_file({**prefixed("params.", shifted(tiny_state())),
                                 **prefixed("params_ema.", tiny_state())}, path)
    loaded = load_checkpoint(path)
    assert is_taken(loaded, tiny_state())
    assert loaded.weights == "params_ema (of 2 sets: params_ema, params)"


def test_the_top_level_has_a_name_where_there_are_other_sets(tmp_path: Path) -> None:
    found: dict[str, Any] = {**tiny_state(), "ema": shifted(tiny_state())}
    assert load(tmp_path, found).weights == "ema (of 2 sets: ema, top-level)"
    assert is_taken(load(tmp_path, found, "top-level"), tiny_state())


def test_a_list_of_networks_is_looked_into(tmp_path: Path) -> None:
    assert is_taken(load(tmp_path, {"nets": [discriminator_state(), tiny_state()]}), tiny_state())


def test_weights_in_a_tuple_are_found(tmp_path: Path) -> None:
    assert is_taken(load(tmp_path, (3, tiny_state())), tiny_state())


def frozen_pair() -> tuple[State, State]:
    """EDSR, whose mean shifts are not trained, and other weights of its trained layers alone."""
    raw = teacher_state()
    return raw, {key: value + 1 for key, value in raw.items() if "mean" not in key}


AVERAGED_ALONE: dict[str, Callable[[State, State], object]] = {
    "ema": lambda raw, trained: {"model": raw, "ema": trained},
    "model_ema.module": lambda raw, trained: {"model": raw, "model_ema": prefixed("module.", trained)},
    "ema.shadow_params": lambda raw, trained: {"model": raw, "ema": {"shadow_params": list(trained.values())}},
    "model_ema": lambda raw, trained: {"model": raw, "model_ema": {
        key.replace(".", ""): value for key, value in trained.items()}},
}


@pytest.mark.parametrize("name", AVERAGED_ALONE)
def test_averaged_weights_without_frozen_tensors_have_those_of_the_weights_beside_them(
        tmp_path: Path, caplog: pytest.LogCaptureFixture, name: str) -> None:
    caplog.set_level(logging.INFO, "srn_deploy")
    raw, trained = frozen_pair()
    loaded = load(tmp_path, AVERAGED_ALONE[name](raw, trained))
    assert is_taken(loaded, {**raw, **trained})
    assert loaded.weights == f"{name} (of 2 sets: {name}, model)"
    assert f"tensors of model that are not trained, and that {name} lacks, are taken from there" in caplog.text


def test_the_average_that_kair_keeps_is_taken_first(tmp_path: Path) -> None:
    assert load(tmp_path, {"netG": shifted(tiny_state()), "netE": tiny_state()}).weights.startswith("netE (of 2 sets")


def test_a_counter_of_one_element_beside_the_tensors_is_not_a_layer(tmp_path: Path) -> None:
    assert is_taken(load(tmp_path, {**tiny_state(), "epoch": torch.tensor([3])}), tiny_state())
