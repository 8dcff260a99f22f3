"""A graph that was never run here is first run in a process of its own: some end, fill or stop the process they run in.

A DepthToSpace with blocks of 2^40 px, a ConvTranspose in no groups or an Expand to a million images crash ONNX Runtime
or fill the memory, and a Loop may never end. Which graphs ran well is remembered by their SHA-256 in the cache.
"""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass
from pathlib import Path

from srn_deploy.errors import GraphError, OptionError, error_named
from srn_deploy.registry.shipped import shipped_with
from srn_deploy.system.bounded_process import run_bounded
from srn_deploy.system.cache import tried_graphs_folder
from srn_deploy.system.documents import decode_json
from srn_deploy.system.folders import make_folder
from srn_deploy.system.hashing import sha256_of_file

SECONDS = 120.0
"""For opening a graph and running it once on a small image: a hundred times what the largest known networks need."""

MEMORY_BYTES = 8 * 2**30
"""Far more than any known network takes on a small image."""

_CHILD = "srn_deploy.backends.trial_run"
_MADE_HERE = "made-here"

_log = logging.getLogger(__name__)

_bounded = False


@dataclass(frozen=True, kw_only=True)
class TrialAnswer:
    """How the run ended: empty, or the error that it raised."""

    error: str = ""
    """The name of its class in `srn_deploy.errors`."""
    message: str = ""
    remedy: str = ""


def run_without_trial() -> None:
    """Say that this process may end, because another one waits for it with a bound: graphs run in it at once."""
    global _bounded  # a property of the process
    _bounded = True


def ensure_runs(path: Path, library: str, version: str, sha256: str | None = None) -> None:
    """Run a graph once in a process of its own, unless it is known to run.

    library: `onnxruntime` or `openvino`; another version of it is another one. sha256: of the file, where it is known.
    Known are graphs that are shipped, that were exported here, and that ran before. Raises GraphError where the file
    cannot be read or the run does not end well, and what it raises.
    """
    if _bounded:
        return
    try:
        digest = sha256 or sha256_of_file(path)
    except OSError as error:
        raise cannot_be_read(path, error) from error
    if not _is_known(digest, (_MADE_HERE, f"{library}-{version}")):
        _log.debug("%s is run for the first time, in a process of its own.", path)
        _run_once(path, library)
        _remember(digest, f"{library}-{version}")


def cannot_be_read(path: Path, error: OSError) -> GraphError:
    """The error for a graph that the system does not give."""
    return GraphError(f"{path} cannot be read: {error.strerror}.",
                      remedy="Check the path and its permissions, or run `srn-deploy export`.")


def remember_export(sha256: str) -> None:
    """Remember that a graph with this hash was exported and proved by this program."""
    _remember(sha256, _MADE_HERE)


def _is_known(sha256: str, names: tuple[str, ...]) -> bool:
    if shipped_with(sha256) is not None:
        return True
    try:
        return any(_place(sha256, name).is_file() for name in names)
    except (OptionError, OSError):  # no cache folder, or none that may be read
        return False


def _place(sha256: str, name: str) -> Path:
    return tried_graphs_folder() / f"{sha256}-{name}"


def _remember(sha256: str, name: str) -> None:
    try:
        place = _place(sha256, name)
        make_folder(place.parent)
        place.touch()
    except (OptionError, OSError) as error:
        _log.info("That the graph ran is not remembered, so it is tried each time: %s", error)


def _run_once(path: Path, library: str) -> None:
    request = f"{library}\n".encode() + os.fsencode(path)
    ended = run_bounded(_CHILD, request, seconds=SECONDS, memory_bytes=MEMORY_BYTES)
    if ended.reason:
        raise GraphError(f"{path} cannot be run: tried on a small image in a process of its own, {ended.reason}.",
                         remedy="Do not use this file: it would end every program that runs it. Export the network "
                                "again with the program that made it.")
    answer = decode_json(ended.output, TrialAnswer, lambda reason: GraphError(
        f"{path} was tried in a process of its own, whose answer cannot be read ({reason}).",
        remedy="Try it again; report it if it stays."))
    if answer.error:
        raise error_named(answer.error, answer.message, answer.remedy)
