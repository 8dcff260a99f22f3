"""Damaged, foreign and hostile files: one of our errors, with a remedy, and no code is run."""

from __future__ import annotations

import io
import json
import pickle
import random
import re
import warnings
import zipfile
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from torch import Tensor

from srn_deploy.architectures import ARCHITECTURES
from srn_deploy.architectures.checkpoint import LoadedNetwork, load_checkpoint
from srn_deploy.errors import (
    CheckpointError,
    DamagedCheckpoint,
    MismatchedTensors,
    UnknownNetwork,
    UnsafeCheckpoint,
    UnsupportedCheckpoint,
)
from srn_deploy.spec import SPEC_KEY, Corrections

TINY: dict[str, Any] = {"scale": 2, "channels": 2, "blocks": 1, "esa_channels": 1}


def tiny_state() -> dict[str, Tensor]:
    torch.manual_seed(0)
    return dict(ARCHITECTURES["srn"].build(TINY).state_dict())


def written(found: object, *, as_zip: bool = True) -> bytes:
    buffer = io.BytesIO()
    torch.save(found, buffer, _use_new_zipfile_serialization=as_zip)
    return buffer.getvalue()


@cache
def whole(form: str) -> bytes:
    """A tiny checkpoint in each format; safetensors with a spec."""
    if form != "safetensors":
        return written(tiny_state(), as_zip=form == "zip")
    return safetensors.torch.save(tiny_state(), {SPEC_KEY: ARCHITECTURES["srn"].describe(TINY).to_json()})


def load_bytes(folder: Path, data: bytes, name: str = "file.pt") -> LoadedNetwork:
    (folder / name).write_bytes(data)
    return load_checkpoint(folder / name)


class CreatesAFile:
    """A pickle that does something when it is opened by an unrestricted unpickler."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[[str], object], tuple[str]]:
        return _touch, (str(self.path),)


def _touch(path: str) -> None:
    Path(path).touch()


HOSTILE: dict[str, Callable[[object], bytes]] = {
    "zip": lambda boom: written({"params": tiny_state(), "extra": boom}),
    "legacy": lambda boom: written({"params": tiny_state(), "extra": boom}, as_zip=False),
    **{f"pickle {protocol}": partial(pickle.dumps, protocol=protocol) for protocol in range(6)},
}


@pytest.mark.parametrize("form", HOSTILE)
def test_pickled_code_is_never_run(tmp_path: Path, form: str) -> None:
    data = HOSTILE[form](CreatesAFile(tmp_path / "executed"))
    with pytest.raises((UnsafeCheckpoint, DamagedCheckpoint)):
        load_bytes(tmp_path, data)
    assert not (tmp_path / "executed").exists()


def test_the_hostile_file_would_have_run_its_code_elsewhere(tmp_path: Path) -> None:
    (tmp_path / "file.pt").write_bytes(HOSTILE["zip"](CreatesAFile(tmp_path / "executed")))
    torch.load(tmp_path / "file.pt", weights_only=False)
    assert (tmp_path / "executed").exists()


def test_a_pickled_module_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(UnsafeCheckpoint, match=r"asks for srn_deploy\.architectures\.srn\.Srn") as caught:
        load_bytes(tmp_path, written(ARCHITECTURES["srn"].build(TINY)))
    assert "state_dict()" in caught.value.remedy


def test_a_torchscript_program_is_refused(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # torch.jit is on its way out; its files are not
        torch.jit.save(torch.jit.script(torch.nn.Linear(2, 2)), str(tmp_path / "script.pt"))
    with pytest.raises(UnsafeCheckpoint, match="TorchScript"):
        load_checkpoint(tmp_path / "script.pt")


def test_published_files_are_recognised_by_their_keys_or_refused_for_what_they_are(data: Path) -> None:
    listed = json.loads((data / "checkpoints" / "index.json").read_text())
    assert len(listed) > 10
    for path, loads in ((data / entry["file"], entry.get("weights_only_loads")) for entry in listed):
        if loads:
            # The name of every file or of its folder names the network.
            architecture = load_checkpoint(path, Corrections(options={"scale": scale_of(path)})).spec.architecture
            assert architecture in f"{path.parent.name}/{path.name}".lower()
        else:
            assert type(_refusal(path)) is {False: UnsafeCheckpoint, None: DamagedCheckpoint}[loads], path.name


def scale_of(path: Path) -> int:
    """Of a published file; 4 for those that serve several scales."""
    return 2 if "x2" in path.name else 4


def _refusal(path: Path) -> CheckpointError:
    with pytest.raises(CheckpointError) as caught:
        load_checkpoint(path)
    return caught.value


def test_every_published_bad_sample_is_refused_with_its_cure(data: Path) -> None:
    samples = sorted((data / "checkpoints" / "bad_samples").iterdir())
    assert samples
    for path in samples:
        assert "git lfs pull" in _refusal(path).remedy


@pytest.mark.parametrize("size", [0, 1, 7, 9, 100, 5000])
def test_random_bytes_are_no_weights_and_no_program(tmp_path: Path, size: int) -> None:
    for seed in range(20):
        with pytest.raises(DamagedCheckpoint):
            load_bytes(tmp_path, random.Random(seed).randbytes(size))


@pytest.mark.parametrize("name", ["missing.pt", "folder.pt", "nul\0.pt", "x" * 300])
def test_a_path_that_cannot_be_read_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "folder.pt").mkdir()
    with pytest.raises(CheckpointError, match="cannot be read"):
        load_checkpoint(tmp_path / name)


@pytest.mark.parametrize("form", ["zip", "legacy", "safetensors"])
def test_every_truncation_is_refused(tmp_path: Path, form: str) -> None:
    data = whole(form)
    # A legacy file that ends within a name asks for something that torch does not know.
    expected = (DamagedCheckpoint, UnsafeCheckpoint) if form == "legacy" else DamagedCheckpoint
    for length in range(0, len(data), 1 + len(data) // 150):
        with pytest.raises(expected, match=r"truncated|damaged|not a complete|was not run"):
            load_bytes(tmp_path, data[:length], "file.safetensors" if form == "safetensors" else "file.pt")


def mutated(data: bytes, chance: random.Random) -> bytes:
    """A copy with flipped bits, a piece cut out, a piece doubled, or foreign bytes put in."""
    at, length = chance.randrange(len(data)), chance.randrange(1, 64)
    kind = chance.choice(["flip", "flip", "flip", "cut", "double", "foreign"])
    if kind == "flip":
        damaged = bytearray(data)
        for _ in range(chance.randrange(1, 6)):
            # Half of them where names and sizes stand: at the front, and for a zip at the end.
            place = chance.choice([chance.randrange(len(data)), chance.randrange(600), -1 - chance.randrange(600)])
            damaged[place] ^= 1 << chance.randrange(8)
        return bytes(damaged)
    middle = {"cut": b"", "double": data[at:at + length] * 2, "foreign": chance.randbytes(length)}[kind]
    return data[:at] + middle + data[at + length:]


@pytest.mark.parametrize("form", ["zip", "legacy", "safetensors"])
def test_a_mutated_file_is_loaded_or_refused_with_one_of_our_errors(tmp_path: Path, form: str) -> None:
    ends: dict[str, int] = {}
    for seed in range(250):
        try:
            end: type = type(load_bytes(tmp_path, mutated(whole(form), random.Random(seed))))
        except CheckpointError as error:
            end = type(error)
        ends[end.__name__] = ends.get(end.__name__, 0) + 1
    assert sum(ends.values()) == 250
    assert ends["DamagedCheckpoint"] > 50, ends


@pytest.mark.parametrize(("change", "said"), [
    (lambda state: state.pop("tail.bias"), "missing: tail.bias"),
    (lambda state: state.update({"extra.weight": torch.zeros(1)}), "left over: extra.weight"),
    (lambda state: state.update({"head.bias": torch.zeros(3)}), r"misshapen: head.bias is float32 (3,) instead of"),
    (lambda state: state.update({"head.bias": torch.zeros(2, dtype=torch.int8)}), "head.bias is int8 (2,) instead of"),
    (lambda state: state.update({"tail.weight": torch.zeros(7, 2, 3, 3)}), "tail.weight has 7 filters"),
    (lambda state: state.update({"tail.weight": torch.zeros(())}), "tail.weight has 0 dimensions"),
    (lambda state: state.update({"head.weight": torch.zeros(0, 3, 3, 3)}), "cannot be built"),
    (lambda state: state.update({"head.weight": torch.zeros(1).expand(10**9, 3, 3, 3)}), "channels cannot be"),
    (lambda state: state.update({"head.bias": torch.zeros(1).expand(10**12)}), "float32 (1000000000000,) instead of"),
    (lambda state: state.update({"recon_trunk.3.conv1.weight": torch.zeros(2, 2, 3, 3)}), "missing: recon_trunk.1."),
])
def test_tensors_that_do_not_fit_are_named(
        tmp_path: Path, change: Callable[[dict[str, Tensor]], object], said: str) -> None:
    state = tiny_state()
    change(state)
    with pytest.raises(MismatchedTensors, match=re.escape(said)):
        load_bytes(tmp_path, written(state))


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_no_numbers_are_refused(tmp_path: Path, value: float) -> None:
    state = tiny_state()
    state["tail.bias"][1] = value
    with pytest.raises(DamagedCheckpoint, match=r"tail\.bias has values that are not finite"):
        load_bytes(tmp_path, written(state))


@pytest.mark.parametrize("tensor", [torch.zeros(2, device="meta"), torch.zeros(2).to_sparse()])
def test_weights_that_are_not_stored_plainly_are_refused(tmp_path: Path, tensor: Tensor) -> None:
    with pytest.raises(DamagedCheckpoint, match="not stored as plain numbers"):
        load_bytes(tmp_path, written(tiny_state() | {"head.bias": tensor}))


@pytest.mark.parametrize(("found", "said"), [
    ([torch.zeros(1)], "type list"), (3, "type int"), ({}, "none"), ({"epoch": 3, "lr": 0.1}, "keys epoch, lr"),
    ({"model": {"state_dict": {"note": "gone"}}}, "keys note"), ({7: torch.zeros(1)}, "keys .none"),
])
def test_a_file_without_named_tensors_says_what_it_holds(tmp_path: Path, found: object, said: str) -> None:
    with pytest.raises(UnknownNetwork, match=said):
        load_bytes(tmp_path, written(found))


def test_a_file_that_holds_itself_ends_in_an_error(tmp_path: Path) -> None:
    ring: dict[str, object] = {}
    ring["model"] = {"state_dict": ring}
    with pytest.raises(UnknownNetwork, match="no named tensors"):
        load_bytes(tmp_path, written(ring))


def test_another_zip_archive_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "file.pt", "w") as archive:
        archive.writestr("readme.txt", "no weights")
    with pytest.raises(UnsupportedCheckpoint, match=r"zip archive with readme\.txt") as caught:
        load_checkpoint(tmp_path / "file.pt")
    assert "Unpack it" in caught.value.remedy


SPEC = json.loads(ARCHITECTURES["srn"].describe(TINY).to_json())


@pytest.mark.parametrize(("text", "error"), [
    ("", DamagedCheckpoint), ("[]", DamagedCheckpoint), ("[" * 100_000, DamagedCheckpoint),
    (json.dumps(SPEC | {"version": 99}), DamagedCheckpoint),
    (json.dumps(SPEC | {"options": 5}), DamagedCheckpoint),
    (json.dumps(SPEC | {"options": SPEC["options"] | {"channels": -1}}), DamagedCheckpoint),
    (json.dumps(SPEC | {"options": SPEC["options"] | {"channels": 10**12}}), DamagedCheckpoint),
    (json.dumps(SPEC | {"value_range": "wide"}), DamagedCheckpoint),
    (json.dumps(SPEC | {"value_range": -1}), DamagedCheckpoint),
    (json.dumps(SPEC | {"architecture": ["srn"]}), DamagedCheckpoint),
    (json.dumps(SPEC | {"architecture": "of 2030"}), UnknownNetwork),
    (json.dumps(SPEC | {"options": SPEC["options"] | {"channels": 4}}), MismatchedTensors),
], ids=range(12))
def test_a_spec_that_makes_no_sense_is_refused(tmp_path: Path, text: str, error: type[CheckpointError]) -> None:
    with pytest.raises(error):
        load_bytes(tmp_path, safetensors.torch.save(tiny_state(), {SPEC_KEY: text}), "file.safetensors")


