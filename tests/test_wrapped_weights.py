"""Weights in objects of classes that are never made: what such an object holds is looked into."""

from __future__ import annotations

import collections
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch

from srn_deploy.errors import CheckpointError, DamagedCheckpoint
from tests.test_checkpoint_damage import load_bytes, tiny_state, written
from tests.test_placeholders import zip_of
from tests.test_weight_sets import is_taken


class Weights(collections.OrderedDict[str, Any]):
    """A mapping of tensors of a class of its own."""


class Checkpoint(NamedTuple):
    """What a program saves, as a tuple with names."""

    epoch: int
    model: object


@pytest.mark.parametrize("wrapped", [
    Weights, lambda state: Checkpoint(3, state), lambda state: {"best": collections.deque([state])}],
    ids=["mapping", "named tuple", "queue"])
def test_weights_in_an_object_of_any_class_are_found(
        tmp_path: Path, caplog: pytest.LogCaptureFixture, wrapped: Callable[[object], object]) -> None:
    caplog.set_level(logging.INFO, "srn_deploy")
    assert is_taken(load_bytes(tmp_path, written(wrapped(tiny_state()))), tiny_state())
    assert "left out" not in caplog.text


def test_tensors_whose_numbers_are_to_be_negated_are_refused_instead_of_taken_as_they_are(tmp_path: Path) -> None:
    negated = {key: torch.complex(value, -value).conj().imag for key, value in tiny_state().items()}
    with pytest.raises(CheckpointError, match="not stored as plain numbers"):
        load_bytes(tmp_path, written(negated))


def test_arguments_that_an_object_would_keep_again_and_again_are_limited(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("srn_deploy.architectures.weights.inert_pickle.MOST_OPERATIONS", 10_000)
    arguments = b"\x80\x02(" + b"]" * 1000 + b"tq\x00cargparse\nNamespace\nq\x01"
    with pytest.raises(DamagedCheckpoint, match="more than 10,000 objects"):
        load_bytes(tmp_path, zip_of(arguments + b"h\x01h\x00R0" * 100 + b"N."))
