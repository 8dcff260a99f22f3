"""Keeps what was measured in the cache folder, so that a checkpoint is tried once."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

from srn_deploy.architectures import ARCHITECTURES
from srn_deploy.architectures.recognition.trial import Choices, Examined, Trial, try_choices
from srn_deploy.errors import DamagedCheckpoint, OptionError
from srn_deploy.image.trial_image import VERSION
from srn_deploy.spec import Scalar
from srn_deploy.system.atomic import replacing
from srn_deploy.system.cache import trials_folder
from srn_deploy.system.documents import key_of, read_json, to_builtins

_log = logging.getLogger(__name__)


def measured(source_sha256: str, examined: Examined, choices: Choices, given: Mapping[str, Scalar]) -> Trial:
    """The trial of a checkpoint file, from the cache or made now and kept; see `try_choices`.

    source_sha256: of the file. A cache that cannot be read or written costs time, and nothing else.
    """
    try:
        path = trials_folder() / f"{source_sha256}-{_key(examined, choices, given)}.json"
    except OptionError:  # this user has no cache folder
        return try_choices(examined, choices, given)
    kept = _kept(path)
    if kept is not None:
        return kept
    trial = try_choices(examined, choices, given)
    _keep(path, trial)
    return trial


def _key(examined: Examined, choices: Choices, given: Mapping[str, Scalar]) -> str:
    """Tells questions about one file apart, and those of other versions of this package or of the family's own."""
    package = ARCHITECTURES.package(examined.family.name)
    return key_of([VERSION, examined.family.name, dict(examined.options), asdict(choices), dict(given),
                   examined.weights, *([package] if package else [])])


def _kept(path: Path) -> Trial | None:
    if not path.is_file():
        return None
    try:
        trial = read_json(path, Trial, lambda reason: DamagedCheckpoint(
            f"{path} is damaged ({reason}).", remedy="Delete it: it is measured again."))
    except DamagedCheckpoint as error:
        _log.warning("%s It is measured again.", error.message)
        return None
    return trial if trial.scores else None


def _keep(path: Path, trial: Trial) -> None:
    try:
        with replacing(path) as temporary:
            temporary.write_text(json.dumps(to_builtins(trial), indent=1) + "\n", encoding="utf-8")
    except OSError as error:
        _log.info("What was found by trying is not kept: %s cannot be written (%s).", path, error.strerror)
