"""Objects beside the weights are read and never made; a program stays refused, whatever it hides behind."""

from __future__ import annotations

import argparse
import collections
import datetime
import decimal
import enum
import io
import logging
import os
import pathlib
import pickle
import random
import resource
import subprocess
import time
import types
import uuid
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from srn_deploy.architectures import ARCHITECTURES
from srn_deploy.architectures.checkpoint import load_checkpoint
from srn_deploy.architectures.weights.inert_pickle import MOST_OPERATIONS
from srn_deploy.errors import CheckpointError, DamagedCheckpoint, UnknownNetwork, UnsafeCheckpoint
from tests.test_checkpoint_damage import TINY, load_bytes, tiny_state, written
from tests.test_weight_sets import is_taken


class Mode(enum.Enum):
    """An option as programs have them."""

    FAST = "fast"


class Options:
    """Options of a training program, with everything that a pickle of one may say."""

    class Inner:
        """A class within a class."""

    def __init__(self) -> None:
        self.path, self.mode, self.inner = pathlib.Path("runs"), Mode.FAST, Options.Inner()


class AttributeDict(dict[str, Any]):
    """A mapping of a class of its own, as Lightning and easydict have them."""


OBJECTS: dict[str, object] = {
    "a numpy number": np.float64(28.1),
    "a numpy integer": np.int64(3),
    "a numpy flag": np.bool_(True),
    "a numpy array": np.arange(6.0).reshape(2, 3),
    "an array of texts": np.array(["a", "b"], dtype=object),
    "random numbers of numpy": np.random.default_rng(0),
    "random numbers of Python": random.Random(0).getstate(),
    "a date": datetime.datetime(2024, 1, 1, tzinfo=datetime.UTC),
    "a duration": datetime.timedelta(hours=1),
    "a namespace": argparse.Namespace(scale=4, lr=1e-4, out=pathlib.Path("x")),
    "a simple namespace": types.SimpleNamespace(scale=4),
    "a path": pathlib.PurePosixPath("/x"),
    "a Windows path": pathlib.PureWindowsPath("C:/x"),
    "an enum": Mode.FAST,
    "an object": Options(),
    "a mapping of a class": AttributeDict(scale=4),
    "a default mapping": collections.defaultdict(list, {"loss": [1.0]}),
    "a queue": collections.deque([1.0, 2.0], maxlen=5),
    "a counter": collections.Counter("abc"),
    "sets": (frozenset({1}), {2}),
    "numbers": (decimal.Decimal("1.5"), 3 + 4j, 10**30, uuid.UUID(int=3)),
    "bytes": (b"\xff" * 20, bytearray(b"\xff")),
    "a function that is named": len,
    "a class that is named": Options,
    "a device": torch.device("cuda"),
    "a type": torch.float16,
    "a size": torch.Size([1, 2]),
    "a sparse tensor": torch.zeros(2).to_sparse(),
    "an optimizer": torch.optim.Adam([torch.zeros(2, requires_grad=True)]).state_dict(),
    "a logger": logging.getLogger("training"),
    "a broken-down time": time.gmtime(0),
    "a result with names": torch.zeros(2, 2).max(0),
    "a module": torch.nn.Conv2d(1, 1, 1),
}


@pytest.mark.parametrize("name", OBJECTS)
def test_an_object_beside_the_weights_is_passed_over(tmp_path: Path, name: str) -> None:
    state = tiny_state()
    for as_zip in (True, False):
        for found in ({"params": state, "beside": OBJECTS[name]}, {"beside": [OBJECTS[name]], "params": state}):
            assert is_taken(load_bytes(tmp_path, written(found, as_zip=as_zip)), state)


@pytest.mark.parametrize("protocol", range(2, 6))
def test_every_protocol_that_torch_writes_is_read(tmp_path: Path, protocol: int) -> None:
    torch.save({"params": tiny_state(), "beside": list(OBJECTS.values())}, tmp_path / "file.pt",
               pickle_protocol=protocol)
    assert is_taken(load_checkpoint(tmp_path / "file.pt"), tiny_state())


def test_what_is_left_out_is_reported_in_the_users_words(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "srn_deploy")
    load_bytes(tmp_path, written({"net": tiny_state(), "best_psnr": np.float64(28.1), "date": datetime.date.today(),
                                  "args": argparse.Namespace(scale=4)}))
    assert "left out beside the weights: best_psnr (a numpy number), date (a date), args (an argparse.Namespace)" in \
        caplog.text


def test_weights_in_an_object_that_is_a_mapping_are_found(tmp_path: Path) -> None:
    assert is_taken(load_bytes(tmp_path, written({"checkpoint": AttributeDict(net=tiny_state())})), tiny_state())


def test_a_pickled_network_beside_its_weights_is_left_alone(tmp_path: Path) -> None:
    found = {"model": ARCHITECTURES["srn"].build(TINY), "state_dict": tiny_state()}
    assert is_taken(load_bytes(tmp_path, written(found)), tiny_state())


def test_a_pickled_network_alone_is_refused_with_the_line_that_saves_its_weights(tmp_path: Path) -> None:
    with pytest.raises(UnsafeCheckpoint, match="a whole pickled network under `model`") as caught:
        load_bytes(tmp_path, written({"model": ARCHITECTURES["srn"].build(TINY)}))
    assert "file.pt', weights_only=False)['model'].state_dict(), 'weights.pth')" in caught.value.remedy


def test_weights_that_are_numpy_arrays_are_named(tmp_path: Path) -> None:
    with pytest.raises(UnknownNetwork, match="numpy arrays instead of tensors") as caught:
        load_bytes(tmp_path, written({key: value.numpy() for key, value in tiny_state().items()}))
    assert "torch.from_numpy" in caught.value.remedy


class Calls:
    """A pickle that asks for a call."""

    def __init__(self, function: Callable[..., object], *arguments: object) -> None:
        self.call = function, arguments

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return self.call


def _touch(path: str) -> None:
    Path(path).touch()


def calls(path: str) -> dict[str, object]:
    """Ways in which a pickle tries to make a file."""
    import runpy

    command = f"touch {path}"
    return {
        "os.system": Calls(os.system, command),
        "subprocess": Calls(subprocess.Popen, command),
        "a function": Calls(_touch, path),
        "eval": Calls(eval, f"open({path!r}, 'w')"),
        "exec": Calls(exec, f"open({path!r}, 'w')"),
        "open": Calls(open, path, "w"),
        "import": Calls(__import__, "os"),
        "runpy": Calls(runpy.run_path, path),
        "inner": [{"deep": ({"deeper": Calls(os.system, command)},)}],
        "as an argument": Calls(collections.OrderedDict, [["a", Calls(os.system, command)]]),
        "by getattr": Calls(Calls(getattr, pathlib.Path(path), "touch").call[0], pathlib.Path(path), "touch", 3),
        "a method": pathlib.Path(path).touch,
    }


PROGRAMS = ("os.system", "subprocess", "a function", "eval", "exec", "open", "import", "runpy", "inner",
            "as an argument", "by getattr")


@pytest.mark.parametrize("as_zip", [True, False])
@pytest.mark.parametrize("name", PROGRAMS)
def test_a_program_beside_the_weights_is_refused_and_not_run(tmp_path: Path, name: str, *, as_zip: bool) -> None:
    data = written({"params": tiny_state(), "extra": calls(str(tmp_path / "executed"))[name]}, as_zip=as_zip)
    with pytest.raises(UnsafeCheckpoint, match=r"pickled program \(it asks for .*was not run"):
        load_bytes(tmp_path, data)
    assert not (tmp_path / "executed").exists()


def zip_of(pickled: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("archive/data.pkl", pickled)
    return buffer.getvalue()


def text(value: str) -> bytes:
    return b"X" + len(value).to_bytes(4, "little") + value.encode()


MADE_BY_HAND: dict[str, bytes] = {
    "a call that is thrown away": b"\x80\x02cos\nsystem\n" + text("true") + b"\x85R0}.",
    "state for a class": b"\x80\x02ctorch.nn.parameter\nParameter\nN}" + text("__torch_function__") + b"K\x01s\x86b.",
    "an item of a module": b"\x80\x02cos\nenviron\n" + text("PATH") + text("/tmp") + b"s.",
    "an old instance": b"(" + text("true") + b"ios\nsystem\n.",
    "an old object": b"(cos\nsystem\n" + text("true") + b"o.",
    "a new object of a function": b"\x80\x02cos\nsystem\n" + text("true") + b"\x85\x81.",
    "names from the stack": b"\x80\x04" + text("os") + text("system") + b"\x93" + text("true") + b"\x85R.",
    "a module in a module": b"\x80\x02cposixpath\nos.system\n" + text("true") + b"\x85R.",
    "a name of Python 2": b"\x80\x02c__builtin__\neval\n" + text("1") + b"\x85R.",
    "an extension": b"\x80\x02\x82\x01.",
    "a memo of any size": b"\x80\x02}r\xff\xff\xff\x7f.",
    "a text that is not there": b"\x80\x04\x8d" + (2**62).to_bytes(8, "little") + b"abc.",
    "a number of many digits": b"I" + b"9" * 100_000 + b"\n.",
    "an empty stack": b"\x80\x020000.",
    "nothing to build": b"\x80\x02}Nb.",
    "a set of tensors that are none": b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n(K\x01K\x02K\x03K\x04tR.",
    "an id that is none": b"\x80\x02" + text("x") + b"Q.",
    "a deep tuple as a key": b"\x80\x02}" + b")" + b"\x85" * 50_000 + b"Ns.",
    "deep lists": b"\x80\x02" + b"]" * 50_000 + b"a" * 49_999 + b".",
    "deep mappings": b"\x80\x02" + (b"}" + text("a")) * 100_000 + b"N" + b"s" * 100_000 + b".",
    "deep objects": b"\x80\x02" + b"cargparse\nNamespace\n)\x81}" * 50_000 + text("a") * 1 + b"N" + b"s" + b"b" + b".",
    "lists that double": b"\x80\x02]q\x00" + b"".join(
        b"](h" + bytes([one]) + b"h" + bytes([one]) + b"eq" + bytes([one + 1]) for one in range(100)) + b".",
    "names that grow": b"\x80\x02cbuiltins\ngetattr\nq\x00cargparse\nNamespace\n" + b"q\x01h\x00h\x01" + (
        text("a" * 70) + b"\x86Rq\x01h\x00h\x01") * 20_000 + b".",
}


@pytest.mark.parametrize("name", MADE_BY_HAND)
@pytest.mark.parametrize("form", ["zip", "bare"])
def test_a_hostile_pickle_ends_quickly_in_an_error(tmp_path: Path, name: str, form: str) -> None:
    data, began = MADE_BY_HAND[name], time.monotonic()
    before_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(CheckpointError):
        load_bytes(tmp_path, zip_of(data) if form == "zip" else data)
    assert time.monotonic() - began < 20  # a loaded machine; what grows without bounds takes hours
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kib < 2**17


def test_the_number_of_objects_is_limited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert MOST_OPERATIONS < 10**7
    monkeypatch.setattr("srn_deploy.architectures.weights.inert_pickle.MOST_OPERATIONS", 1000)
    many = zip_of(b"\x80\x02cargparse\nNamespace\nq\x00" + b"h\x00)\x810" * 500 + b"N.")
    with pytest.raises(DamagedCheckpoint, match="more than 1,000 objects"):
        load_bytes(tmp_path, many)


def test_a_list_that_a_builder_would_copy_again_and_again_is_limited(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("srn_deploy.architectures.weights.inert_pickle.MOST_OPERATIONS", 10_000)
    listed = b"\x80\x02](" + b"N" * 1000 + b"eq\x00ccollections\nOrderedDict\nq\x010"
    pickled = listed + b"h\x01h\x00\x85R0" * 100 + b"N."
    with pytest.raises(DamagedCheckpoint, match="more than 10,000 objects"):
        load_bytes(tmp_path, zip_of(pickled))


def test_a_tensor_that_claims_more_than_its_storage_is_refused(tmp_path: Path) -> None:
    whole = torch.zeros(4)
    with zipfile.ZipFile(io.BytesIO(written({"a": whole}))) as archive:
        pickled = archive.read(next(name for name in archive.namelist() if name.endswith("data.pkl")))
        shape = pickled.replace(b"K\x04\x85", b"J\xff\xff\xff\x7f\x85")  # 2**31 - 1 elements instead of 4
        assert shape != pickled
        with zipfile.ZipFile(tmp_path / "file.pt", "w") as changed:
            for name in archive.namelist():
                changed.writestr(name, shape if name.endswith("data.pkl") else archive.read(name))
    with pytest.raises(DamagedCheckpoint, match="beyond its storage"):
        load_checkpoint(tmp_path / "file.pt")


def test_a_plain_pickle_without_tensors_is_called_what_it_is(tmp_path: Path) -> None:
    with pytest.raises(UnsafeCheckpoint, match=r"a Python pickle, which torch\.save did not write") as caught:
        load_bytes(tmp_path, pickle.dumps({"weights": [1.0, 2.0]}))
    assert "torch.save(model.state_dict()" in caught.value.remedy


@pytest.mark.parametrize("protocol", [3, 4, 5])
def test_a_plain_pickle_of_tensors_is_read(tmp_path: Path, protocol: int) -> None:
    assert is_taken(load_bytes(tmp_path, pickle.dumps({"net": tiny_state()}, protocol)), tiny_state())


def test_a_program_within_the_bytes_of_a_storage_is_refused(tmp_path: Path) -> None:
    inner = written([Calls(os.system, f"touch {tmp_path / 'executed'}")], as_zip=False)
    with pytest.raises(CheckpointError):
        load_bytes(tmp_path, pickle.dumps(Calls(torch.storage._load_from_bytes, inner)))
    assert not (tmp_path / "executed").exists()
