"""Graphs that were made of models from outside, kept in the cache: each is prepared once, in a bounded process."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib import metadata
from pathlib import Path

from srn_deploy.backends.first_run import remember_export
from srn_deploy.errors import GraphError, OptionError, error_named
from srn_deploy.external.request import ExternalAnswer, ExternalRequest, message_in
from srn_deploy.spec import GRAPH_SUFFIX
from srn_deploy.system.atomic import replacing
from srn_deploy.system.bounded_process import GIB, run_bounded
from srn_deploy.system.cache import external_folder
from srn_deploy.system.documents import decode_json, key_of, read_json, to_builtins
from srn_deploy.system.hashing import sha256_of_file
from srn_deploy.system.locks import lock_path, locked
from srn_deploy.system.threads import threads_in_use

VERSION = 3
"""Of how graphs are made, to be raised with every change of it: another one makes them again."""

SECONDS_VARIABLE, MEMORY_VARIABLE = "SRN_EXTERNAL_SECONDS", "SRN_EXTERNAL_GIB"

SECONDS, MEMORY_GIB = 1800.0, 12.0
"""Bounds that no network of the literature comes near on two cores."""

_WORKER = "srn_deploy.external.worker"

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class KeptGraph:
    """A graph in the cache, and how closely it agrees with what it was made of."""

    path: Path
    answer: ExternalAnswer


def kept_graph(request: ExternalRequest, identity: Sequence[str]) -> KeptGraph:
    """The graph that a request asks for: from the cache, or made now and kept.

    request: its output does not matter. identity: hashes of all that it is made of. Raises what the process raised,
    and GraphError where it was ended or ended by itself, and where the cache cannot be written.
    """
    plain = {**to_builtins(request), "output": "", "threads": 0}
    key = key_of([VERSION, metadata.version("torch"), plain, list(identity)])
    name = "".join(letter if letter.isalnum() or letter in "-_." else "_" for letter in Path(request.source).stem)
    path = external_folder() / f"{name[:60]}-{key}{GRAPH_SUFFIX}"
    try:
        with locked(lock_path(path.parent, path.name), busy=f"Another process makes {path.name}: waiting for it."):
            found = _found(path)
            return _made(request, path) if found is None else found
    except OSError as error:
        raise GraphError(f"{path.parent} cannot be written: {error.strerror}.",
                         remedy="Check its permissions and the free space, or name another folder in SRN_CACHE."
                         ) from error


def _found(path: Path) -> KeptGraph | None:
    """What lies in the cache; what is not whole is made again."""
    record = path.with_suffix(".json")
    if not (path.is_file() and record.is_file()):
        return None
    try:
        kept = KeptGraph(path=path, answer=read_json(record, ExternalAnswer, lambda reason: GraphError(
            f"{record} is damaged ({reason}).", remedy="Delete it.")))
    except GraphError as error:
        _log.warning("%s It is made again.", error.message)
        return None
    changed = [file for file, digest in kept.answer.files.items() if not _is_same(Path(file), digest)]
    if changed:
        _log.info("%s has changed: the graph is made again.", changed[0])
    return None if changed else kept


def _is_same(file: Path, sha256: str) -> bool:
    try:
        return sha256_of_file(file) == sha256
    except OSError:
        return False


def _made(request: ExternalRequest, path: Path) -> KeptGraph:
    _log.info("%s is prepared once; it takes a minute or two.", Path(request.source).name)
    with replacing(path) as temporary:
        answer = _asked(replace(request, output=str(temporary), threads=threads_in_use()))
    remember_export(sha256_of_file(path))
    with replacing(path.with_suffix(".json")) as temporary:
        temporary.write_text(json.dumps(to_builtins(answer), indent=1) + "\n", encoding="utf-8")
    return KeptGraph(path=path, answer=answer)


def _asked(request: ExternalRequest) -> ExternalAnswer:
    """Have the request done in a process of its own; raises the error that it raised, or GraphError."""
    seconds, gib = _bound(SECONDS_VARIABLE, SECONDS), _bound(MEMORY_VARIABLE, MEMORY_GIB)
    ended = run_bounded(_WORKER, json.dumps(to_builtins(request)).encode(), seconds=seconds,
                        memory_bytes=int(gib * GIB), on_line=_pass_on)
    if ended.reason:
        said = "" if message_in(ended.last_line) is not None or not ended.last_line else f" ({ended.last_line[:200]})"
        bounds = (f"If it needs more, give it: {SECONDS_VARIABLE} (now {seconds:g}) and {MEMORY_VARIABLE} (now "
                  f"{gib:g}) are its bounds.")
        raise GraphError(f"{request.network or request.source} could not be prepared: {ended.reason}{said}.",
                         remedy=bounds if ended.exceeded else "Its code or a library that it uses ended the process: "
                         "run it by itself to see where. Nothing else is affected.")
    answer = decode_json(ended.output, ExternalAnswer, lambda reason: GraphError(
        f"The process that prepares {request.source} answers wrongly: {reason}.", remedy="Install srn-deploy again."))
    if answer.error:
        raise error_named(answer.error, answer.message, answer.remedy)
    return answer


def _bound(variable: str, default: float) -> float:
    """A bound from the environment; raises OptionError for what is not a positive number."""
    text = os.environ.get(variable)
    if not text:
        return default
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise OptionError(f"{variable} is {text!r}, not a positive number.", remedy="Correct it, or unset it.")
    return value


def _pass_on(line: str) -> None:
    """Log a message of the other process again; what else it writes is somebody's output, for debugging alone."""
    message = message_in(line)
    if message is None:
        _log.debug("%s", line)
    else:
        _log.log(message[0], "%s", message[1])
